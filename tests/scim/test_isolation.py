"""Two organizations on one server: for every verb at every endpoint, not yours is not there (V7, A2).

Made from the route table: an endpoint that is added is attacked here without a word more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, Engine, event, select

from scimd.db import prepared, tables
from scimd.scim import request_log
from scimd.scim.app import RESOURCES
from tests.scim.declared import HR, HR_URN, source_with
from tests.scim.serving import Client, Installation
from tests.support.patience import AT_MOST_S

NOBODY = "01a1ff5f-0000-7000-8000-000000000000"
BODIES: dict[tuple[str, str], Any] = {
    ("Users", "PUT"): {"userName": "taken over"},
    ("Groups", "PUT"): {"displayName": "taken over"},
    ("Users", "PATCH"): {"Operations": [{"op": "replace", "path": "displayName", "value": "taken over"}]},
    ("Groups", "PATCH"): {"Operations": [{"op": "add", "path": "members", "value": [{"value": "OTHER"}]}]},
}


@dataclass
class Two:
    """Ours asks; theirs is whom nobody may see."""

    ours: Client
    theirs: Client
    user: dict[str, Any]
    group: dict[str, Any]

    def known(self, endpoint: str) -> str:
        found: str = (self.user if endpoint == "Users" else self.group)["id"]
        return found


@pytest.fixture(params=["another organization", "another source"])
async def two(scimd: Installation, request: pytest.FixtureRequest) -> Two:
    first = await scimd.organization("ours")
    second = first if request.param == "another source" else await scimd.organization("theirs")
    ours, theirs = await scimd.client(first, "one"), await scimd.client(second, "two")
    await ours.user("own")
    user = await theirs.user(
        "dana", externalId="e1", displayName="Secret Dana", emails=[{"value": "dana@secret.example"}]
    )
    group = await theirs.group("Secret Ops", user["id"])
    return Two(ours, theirs, user, group)


def rows_of(client: Client, conn: Connection) -> dict[str, list[str]]:
    """Every row of what their source said."""
    found = {}
    for table in (tables.assertions, tables.groups, tables.group_members):
        theirs = (table.c.org_id == client.org_id) & (table.c.source_id == client.source_id)
        found[table.name] = sorted(map(repr, conn.execute(select(table).where(theirs))))
    return found


async def untouched(scimd: Installation, two: Two) -> dict[str, list[str]]:
    return await scimd.door.read(lambda conn: rows_of(two.theirs, conn))


def verbs() -> Iterator[tuple[str, str]]:
    for endpoint, (_, on_one) in RESOURCES.items():
        for method in [*on_one, "HEAD", "OPTIONS"]:
            yield endpoint, method


async def test_for_every_verb_what_is_theirs_is_not_there(scimd: Installation, two: Two) -> None:
    """Status, headers and bytes are those of an id that nobody has."""
    before = await untouched(scimd, two)
    seen = set()
    for endpoint, method in verbs():
        body = BODIES.get((endpoint, method))
        for headers in (
            {},
            {"If-Match": "*"},
            {"If-Match": two.user["meta"]["version"]},
            {"If-None-Match": "*"},
        ):
            answers = []
            for key in (two.known(endpoint), NOBODY):
                sent = None if body is None else orjson.dumps(body).replace(b"OTHER", two.user["id"].encode())
                reply = await two.ours.send(method, f"/{endpoint}/{key}", sent, headers=headers)
                shown = {
                    name: value
                    for name, value in reply.headers.items()
                    if name.lower() not in ("date", "x-request-id")
                }
                answers.append((reply.status, shown, reply.raw.replace(key.encode(), b"ID")))
            assert answers[0] == answers[1], (endpoint, method, headers)
            seen.add((method, answers[0][0]))
    assert {status for method, status in seen if method != "OPTIONS"} == {404}
    assert await untouched(scimd, two) == before


async def test_no_list_search_or_order_tells_of_theirs(scimd: Installation, two: Two) -> None:
    user, group = two.user["id"], two.group["id"]
    filters = {
        "Users": [
            f'id eq "{user}"', f'id ne "{NOBODY}"', 'userName eq "dana"', 'userName sw "d"',
            'externalId eq "e1"', 'emails.value co "secret"', f'groups.value eq "{group}"',
            'groups.display eq "Secret Ops"', "groups pr", 'displayName gt "A"', f'not (id eq "{user}")',
            f'meta.location co "{user}"',
        ],
        "Groups": [
            f'id eq "{group}"', 'displayName eq "Secret Ops"', f'members.value eq "{user}"',
            f'members[value eq "{user}"]', "members pr", 'members.type eq "User"',
            f'id eq "{group}" and members eq "{user}"', "id pr",
        ],
    }  # fmt: skip
    for endpoint, texts in filters.items():
        for text in texts:
            replies = [
                await two.ours.get(f"/{endpoint}", params={"filter": text}),
                await two.ours.get(f"/{endpoint}", params={"filter": text, "cursor": ""}),
                await two.ours.post(f"/{endpoint}/.search", {"filter": text}),
                await two.ours.post("/.search", {"filter": text}),
            ]
            for reply in replies:
                assert reply.status == 200, (text, reply.raw)
                assert not any(
                    each in reply.raw for each in (user.encode(), group.encode(), b"ecret", b"dana")
                ), text
    for order in ("userName", "displayName", "meta.created", "emails.value"):
        reply = await two.ours.get("/Users", params={"sortBy": order, "attributes": "userName"})
        assert [each["userName"] for each in reply.json["Resources"]] == ["own"]
    assert (await two.ours.get("/Groups")).json["totalResults"] == 0


async def test_a_cursor_of_theirs_opens_nothing_of_ours_and_ours_nothing_of_theirs(two: Two) -> None:
    for n in range(4):
        await two.theirs.user(f"theirs-{n}")
        await two.ours.user(f"ours-{n}")
    theirs = (await two.theirs.get("/Users", params={"cursor": "", "count": "2"})).json["nextCursor"]
    for params in (
        {"cursor": theirs},
        {"cursor": theirs, "count": "2"},
        {"cursor": theirs, "startIndex": "1"},
    ):
        reply = await two.ours.get("/Users", params=params)
        assert reply.status == 400
        assert b"theirs" not in reply.raw
    # A page by index goes on from where one ended: where ours did, not theirs.
    await two.theirs.get("/Users", params={"startIndex": "1", "count": "2"})
    page = await two.ours.get("/Users", params={"startIndex": "3", "count": "2"})
    assert {each["userName"] for each in page.json["Resources"]} <= {f"ours-{n}" for n in range(4)}


async def test_nothing_that_names_theirs_reaches_them(scimd: Installation, two: Two) -> None:
    """As a member, as a manager, by a bulk request, by a bulkId that is an id, by their external id."""
    before = await untouched(scimd, two)
    user, group = two.user["id"], two.group["id"]
    mine = await two.ours.group("Mine", user, group, "e1")
    assert not mine.get("members")
    path = f"/Groups/{mine['id']}"
    members = [{"value": user}, {"value": group, "type": "Group"}]
    for operation in ("add", "replace", "remove"):
        reply = await two.ours.patch(path, {"op": operation, "path": "members", "value": members})
        assert reply.status == 204
        assert not (await two.ours.get(path)).json.get("members")
    for text in (f'members.value eq "{user}"', "members pr", f'members[value eq "{group}"]'):
        assert (await two.ours.get("/Groups", params={"filter": text})).json["totalResults"] == 0
    operations = [
        {"method": "DELETE", "path": f"/Users/{user}"},
        {"method": "DELETE", "path": f"/Groups/{group}"},
        {"method": "PUT", "path": f"/Users/{user}", "data": {"userName": "x"}},
        {"method": "PATCH", "path": f"/Groups/{group}", "data": BODIES["Groups", "PATCH"]},
        {"method": "DELETE", "path": f"/Users/bulkId:{user}"},
    ]
    done = (await two.ours.post("/Bulk", {"Operations": operations})).json["Operations"]
    assert [each["status"] for each in done] == ["404"] * 4 + ["400"]
    made = {
        "method": "POST",
        "path": "/Groups",
        "bulkId": user,
        "data": {"displayName": "B", "members": members},
    }
    done = (await two.ours.post("/Bulk", {"Operations": [made]})).json["Operations"]
    assert done[0]["status"] == "201"
    assert not (await two.ours.get(f"/Groups/{done[0]['location'].rpartition('/')[2]}")).json.get("members")
    assert await untouched(scimd, two) == before
    assert (await two.theirs.get(f"/Users/{user}")).json["groups"][0]["value"] == group


async def test_the_same_names_and_external_ids_live_in_both(scimd: Installation) -> None:
    """Lessons 4 and 6: who somebody is, is (organization, source, external id); an address is data."""
    ours = await scimd.client(await scimd.organization("ours"))
    theirs = await scimd.client(await scimd.organization("theirs"))
    given: dict[str, Any] = {"externalId": "e1", "emails": [{"value": "dana@example.com", "primary": True}]}
    first, second = await theirs.user("dana", **given), await ours.user("dana", **given)
    assert first["id"] != second["id"]
    await ours.delete(f"/Users/{second['id']}")
    again = await ours.user("dana", **given)
    assert again["id"] in (second["id"], again["id"])
    assert again["id"] != first["id"]
    assert (await theirs.get(f"/Users/{first['id']}")).json == first
    assert (await ours.get(f"/Users/{first['id']}")).status == 404


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement that the database is given, by whichever way."""
    statements: list[str] = []
    bound = prepared._Text.bound

    def seen(self: Any, parameters: Any) -> Any:
        statements.append(self.sql)
        return bound(self, parameters)

    def told(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    monkeypatch.setattr(request_log, "FLUSH_S", AT_MOST_S)  # what is written behind has not to do with it
    monkeypatch.setattr(prepared._Text, "bound", seen)
    event.listen(Engine, "before_cursor_execute", told)
    yield statements
    event.remove(Engine, "before_cursor_execute", told)


async def test_not_yours_takes_as_long_as_not_there(two: Two, asked: list[str]) -> None:
    """V7, A22: the same work for both, and the same answer; so no clock tells them apart."""

    async def done(verb: str, endpoint: str, key: str) -> tuple[list[str], bytes]:
        asked.clear()
        reply = await two.ours.send(verb, f"/{endpoint}/{key}", BODIES.get((endpoint, verb)))
        assert reply.status == 404
        return list(asked), reply.raw.replace(key.encode(), b"ID")

    for endpoint in ("Users", "Groups"):
        for verb in ("GET", "PUT", "PATCH", "DELETE"):
            # What is written behind comes in between at times; what differs does so always.
            for _ in range(10):
                nobodys = await done(verb, endpoint, NOBODY)
                theirs = await done(verb, endpoint, two.known(endpoint))
                if theirs == nobodys:
                    break
            assert nobodys[0], "nothing was asked"
            assert theirs == nobodys, (endpoint, verb)


async def test_discovery_tells_each_source_its_own_and_nothing_of_another(scimd: Installation) -> None:
    ours = await scimd.client(await scimd.organization("ours"))
    theirs = await scimd.client(await scimd.organization("theirs"), config=source_with(HR))
    assert HR_URN in (await theirs.get("/Schemas")).raw.decode()
    for path in ("/Schemas", "/ResourceTypes", "/ServiceProviderConfig"):
        assert HR_URN not in (await ours.get(path)).raw.decode()
    assert (await ours.get(f"/Schemas/{HR_URN}")).status == 404
    assert (await theirs.get(f"/Schemas/{HR_URN}")).status == 200
