"""What happened to others, as tests at the SCIM edge, each named by its lesson's number.

Lessons that are another test's whole matter stand there: 1, 3, 5, 27 in ``test_hostile``, 2 in
``test_semantics``, 4 and 6 in ``test_isolation``, 8 in ``org/test_random_walk``, 9 in ``test_protocol``,
12 in ``test_bulk``, 13 in ``e2e/test_slow_clients``, 17 in ``test_hostile``, 26 in ``test_scopes`` and
``doors/test_rate_keys``.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select
from yarl import URL

from scimd.core.people import PersonId
from scimd.db import tables
from scimd.org.grants import manual_grants
from scimd.org.sources import source_states
from scimd.org.tokens import tokens
from tests.scim.serving import Client, Installation, Reply, reading
from tests.support.patience import AT_MOST_S, promptly

_TESTS = Path(__file__).parent.parent
LESSONS = {*range(1, 14), 16, 17, *range(25, 29)}


def test_each_lesson_has_a_test_that_says_so() -> None:
    named: set[int] = set()
    for path in _TESTS.rglob("test_*.py"):
        for found in re.findall(r"[Ll]essons? ([0-9, and-]+)", path.read_text("utf-8")):
            for first, last in re.findall(r"(\d+)(?:-(\d+))?", found):
                named |= set(range(int(first), int(last or first) + 1))
    assert named >= LESSONS


# ------------------------------------------------------------------------------ 7


def ways_to_deactivate(user: str) -> list[tuple[str, str, Any]]:
    patch = "urn:ietf:params:scim:schemas:core:2.0:User:active"
    off = {"userName": "ann", "active": False}
    return [
        ("PUT", f"/Users/{user}", off),
        ("PATCH", f"/Users/{user}", {"Operations": [{"op": "replace", "path": "active", "value": False}]}),
        ("PATCH", f"/Users/{user}", {"Operations": [{"op": "Replace", "path": patch, "value": "False"}]}),
        ("PATCH", f"/Users/{user}", {"Operations": [{"op": "replace", "value": {"active": False}}]}),
        ("DELETE", f"/Users/{user}", None),
    ]


async def test_every_way_to_a_protected_person_gets_the_same_answer(scimd: Installation) -> None:
    """Lesson 7: the rule sits on the person, not on an endpoint; by bulk as alone."""
    org = await scimd.organization("acme")
    idp = await scimd.client(org, invite="never")
    user = (await idp.user("ann", emails=[{"value": "ann@example.com"}]))["id"]
    await scimd.door.run(
        scimd.context(org),
        lambda tx: manual_grants.give(tx, PersonId(user), "role", "account-admin", "tests"),
    )
    before = (await idp.get(f"/Users/{user}")).json
    details = set()
    for method, path, body in ways_to_deactivate(user):
        alone = await idp.send(method, path, body)
        assert alone.status == 403, (method, alone.raw)
        operation = {"method": method, "path": path, **({"data": body} if body else {})}
        (told,) = (await idp.post("/Bulk", {"Operations": [operation]})).json["Operations"]
        assert told["status"] == "403"
        details |= {alone.json["detail"], told["response"]["detail"]}
    assert len(details) == 1
    assert (await idp.get(f"/Users/{user}")).json == before


async def test_no_way_into_a_group_gives_a_role_above_the_sources_ceiling(scimd: Installation) -> None:
    """Lesson 7: joining a group is being given its roles, by whatever endpoint."""
    org = await scimd.organization("acme")
    rule = {"number": 1, "pattern": "admins*", "role": "account-admin"}
    idp = await scimd.client(org, config={"rule": [rule]})
    ids = [(await idp.user(f"u{n}"))["id"] for n in range(5)]
    members = [[{"value": each}] for each in ids]
    made = await idp.post("/Groups", {"displayName": "admins", "members": members[0]})
    path = f"/Groups/{made.json['id']}"
    await idp.patch(path, {"op": "add", "path": "members", "value": members[1]})
    await idp.patch(path, {"op": "add", "value": {"members": members[2]}})
    whole = [each[0] for each in members[:4]]
    assert (await idp.put(path, {"displayName": "admins", "members": whole})).status == 200
    data = {"Operations": [{"op": "add", "path": "members", "value": members[4]}]}
    await idp.post("/Bulk", {"Operations": [{"method": "PATCH", "path": path, "data": data}]})
    assert len((await idp.get(path)).json["members"]) == len(ids)
    late = await idp.post("/Groups", {"displayName": "sales", "members": whole})
    await idp.patch(
        f"/Groups/{late.json['id']}", {"op": "replace", "path": "displayName", "value": "admins-2"}
    )
    columns = select(tables.people.c.primary_role, tables.people.c.roles)
    rows = await scimd.door.read(
        lambda conn: list(conn.execute(columns.where(tables.people.c.org_id == org.id)))
    )
    assert len(rows) == len(ids)
    assert all(row.primary_role == "user" and "account-admin" not in row.roles for row in rows)


# ------------------------------------------------------------------------------ 10, 11, 12

RIGHT = [
    'userName eq "ann"',
    'USERNAME EQ "ANN"',
    'userName sw "a" and title eq "CTO"',
    '(userName eq "nobody" or title pr) and not (active eq false)',
    'emails[type eq "work" and value ew "@example.com"]',
    'not (userName ne "ann") and meta.created gt "2020-01-01T00:00:00Z"',
]


async def test_right_filters_give_exactly_one_and_cut_ones_are_refused(idp: Client) -> None:
    """Lesson 10: what cannot be read to its end finds nobody, rather than everybody."""
    await idp.user("ann", title="CTO", emails=[{"value": "ann@example.com", "type": "work"}])
    await idp.user("bob", active=True)
    for text in RIGHT:
        assert (await idp.get("/Users", params={"filter": text})).json["totalResults"] == 1, text
        for cut in {text.rstrip('")]')[:-1], text + " and", f"({text}", text + '"', text + " garbage"}:
            reply = await idp.get("/Users", params={"filter": cut})
            assert (reply.status, reply.scim_type) == (400, "invalidFilter"), cut


@pytest.mark.parametrize("depth", [21, 100, 1_000, 10_000])
async def test_depth_bombs_are_refused_at_once(idp: Client, depth: int) -> None:
    """Lesson 11: in filters, in paths of PATCH, in JSON; by the query and by a search."""
    user = (await idp.user("ann"))["id"]
    bombs = ["(" * depth, "not (" * depth + "title pr" + ")" * depth, "[" * depth, "emails[" * depth]
    bombs += ["(title pr)and" * depth, " or ".join(["title pr"] * (depth * 5)), " " * depth * 5 + "x"]

    async def bombed(text: str) -> list[Reply]:
        replies = [await idp.post("/Users/.search", {"filter": text})]
        if len(text) < 7_000:
            replies.append(await idp.get("/Users", params={"filter": text}))
        operation = {"op": "replace", "path": f"emails[{text}].value", "value": "a@b.example"}
        return [*replies, await idp.patch(f"/Users/{user}", operation)]

    for text in bombs:
        replies: list[Reply] = await promptly(partial(bombed, text))
        assert {reply.status for reply in replies} <= {400, 413}, [reply.raw for reply in replies]
    nested = b'{"userName":"x","name":' + b'{"a":' * depth * 2 + b"1" + b"}" * depth * 2 + b"}"
    assert (await idp.post("/Users", nested)).status == 400


# ------------------------------------------------------------------------------ 16


async def test_no_answer_holds_an_invitations_token(scimd: Installation) -> None:
    """Lesson 16: the link goes to the mailbox; whoever provisions sees nothing of it."""
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    made = await idp.post("/Users", {"userName": "ann", "emails": [{"value": "ann@example.com"}]})
    link = select(tables.links.c.id).where(tables.links.c.org_id == org.id)
    ids = await scimd.door.read(lambda conn: [str(each) for each in conn.execute(link).scalars()])
    everything = ",".join(("id", "meta", "urn:ietf:params:scim:schemas:extension:scimd:2.0:User"))
    replies = [made, await idp.get("/Users", params={"attributes": everything}), await idp.get("/Users")]
    for reply in replies:
        assert b"token" not in reply.raw.lower()
        assert b"invitation" not in reply.raw.lower()
        assert not any(each.encode() in reply.raw for each in ids)


# ------------------------------------------------------------------------------ 25


@pytest.mark.parametrize("end", ["token revoked", "source paused"])
async def test_request_whose_token_dies_while_its_body_arrives_writes_nothing(
    scimd: Installation, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Lesson 25: what counts is the token when the work is done, not when the first line came."""
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    at, body, begun = URL(idp.url), orjson.dumps({"userName": "late"}), reading(monkeypatch)
    stream, writer = await asyncio.open_connection(at.host, at.port)
    head = f"POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {idp.token}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
    await begun.wait()
    if end == "token revoked":
        (listed,) = await tokens.list_tokens(scimd.door, org.id)
        await tokens.revoke(scimd.door, scimd.context(org), listed.id)
    else:
        await source_states.pause(scimd.door, scimd.context(org), idp.source_id)
    writer.write(body[5:])
    answer = await asyncio.wait_for(stream.readuntil(b"\r\n\r\n"), AT_MOST_S)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401"), answer
    count = select(tables.people.c.id).where(tables.people.c.org_id == org.id)
    assert await scimd.door.read(lambda conn: conn.execute(count).first()) is None


# ------------------------------------------------------------------------------ 28


async def test_audit_of_a_membership_names_group_and_member(scimd: Installation) -> None:
    """Lesson 28: each changing request has one entry with what it was about, and the ids that changed."""
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    ann, bob = (await idp.user("ann"))["id"], (await idp.user("bob"))["id"]
    path = f"/Groups/{(await idp.group('Ops', ann))['id']}"
    requests: list[tuple[str, Any, set[str]]] = [
        ("PATCH", {"Operations": [{"op": "add", "path": "members", "value": [{"value": bob}]}]}, {bob}),
        ("PATCH", {"Operations": [{"op": "remove", "path": f'members[value eq "{ann}"]'}]}, {ann}),
        ("PUT", {"displayName": "Ops", "members": [{"value": ann}]}, {ann, bob}),
    ]
    for method, body, changed in requests:
        reply = await idp.send(method, path, body)
        kinds = await audited(scimd, reply)
        mine = [
            values for kind, target, values in kinds if kind.startswith("group.") and path.endswith(target)
        ]
        assert len(mine) == 1, kinds
        assert all(each in mine[0] for each in changed), (mine, changed)


async def audited(scimd: Installation, reply: Reply) -> list[tuple[str, str, str]]:
    """Kind, target and values of the events that a request caused."""
    events = tables.events
    statement = select(events.c.kind, events.c.target_id, events.c.body).where(
        events.c.correlation_id == reply.headers["X-Request-Id"]
    )
    rows = await scimd.door.read(lambda conn: list(conn.execute(statement)))
    return [(row.kind, row.target_id, repr(row.body)) for row in rows]
