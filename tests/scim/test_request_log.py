"""What of SCIM's requests is kept: which, what of them, for whom, how much; and what never is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from scimd.cli.doctor.client import Client as DoctorClient
from scimd.cli.doctor.play import Play
from scimd.cli.doctor.sequences import SEQUENCES
from scimd.cli.doctor.stage import Names
from scimd.cli.replay import bundle as bundles
from scimd.cli.replay.play import Outcome, instance, played
from scimd.core.attributes import SCIMD_URN, USER_URN
from scimd.core.errors import DatabaseUnavailable, InvalidValue, NotFound
from scimd.core.people import TokenId
from scimd.org import organizations, request_log, sources, tokens
from scimd.org.request_log import Bounds, RequestRecord, Wanted
from scimd.scim.app import REQUEST_LOG
from scimd.scim.request_log import Behind
from tests.scim.serving import BASE, Client, Installation
from tests.support.patience import AT_MOST_S

EVERY = Wanted()
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def behind(scimd: Installation) -> Behind:
    return scimd.app[REQUEST_LOG]


async def logged(scimd: Installation, client: Client, wanted: Wanted = EVERY) -> list[RequestRecord]:
    """Everything in the log of the client's organization, the oldest first."""
    await behind(scimd).flush()
    return [each async for each in request_log.every_request(scimd.door, client.org_id, wanted)]


async def test_writes_refusals_and_errors_are_kept_and_untraced_reads_are_not(
    scimd: Installation, idp: Client
) -> None:
    made = await idp.user("anna")
    await idp.get(f"/Users/{made['id']}")
    await idp.get("/Users", params={"filter": 'userName eq "anna"'})
    await idp.post("/Users/.search", {"filter": 'userName eq "anna"'})
    await idp.post("/Users", {"userName": "ANNA"})
    await idp.get("/Users/0193a1b2-aaaa-7bbb-8ccc-0123456789ab")
    await idp.delete(f"/Users/{made['id']}")
    entries = await logged(scimd, idp)
    assert [(each.method, each.pattern, each.status, each.scim_type) for each in entries] == [
        ("POST", "/Users", 201, None),
        ("POST", "/Users", 409, "uniqueness"),
        ("GET", "/Users/{id}", 404, None),
        ("DELETE", "/Users/{id}", 204, None),
    ]
    assert [each.resource_id for each in entries] == [made["id"], None, None, made["id"]]
    assert all(each.resource_kind == "User" and each.dropped == 0 for each in entries)


@pytest.mark.parametrize("root", ["", "/"])
async def test_query_at_the_root_is_kept_as_one(scimd: Installation, idp: Client, root: str) -> None:
    await idp.get(root, params={"filter": "nosuch pr"})
    (entry,) = await logged(scimd, idp)
    assert (entry.pattern, entry.path, entry.status) == ("/", root, 400)
    assert str(entry.query).startswith("filter=")


async def test_entry_says_token_source_profile_correlation_id_and_duration(
    scimd: Installation, idp: Client
) -> None:
    await idp.post("/Users", {"userName": "anna"}, headers={"X-Request-Id": "from-okta-0001"})
    entry = await request_log.get_request(scimd.door, idp.org_id, (await logged(scimd, idp))[0].id)
    assert (entry.token_name, entry.source_name, entry.profile) == ("idp-default", "idp", "default")
    assert entry.source_id == idp.source_id
    assert entry.duration_us > 0
    same = await request_log.get_request(scimd.door, idp.org_id, "from-okta-0001")
    assert same == entry
    with pytest.raises(NotFound):
        await request_log.get_request(scimd.door, idp.org_id, "from-okta-0002")


async def test_transforms_and_ignored_attributes_are_said(scimd: Installation, idp: Client) -> None:
    extension = {"manager": "anna", "shoeSize": 40}
    made = await idp.user("ben", password="geheim99", shoeSize=42, groups=[], **{ENTERPRISE: extension})
    await idp.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"shirtSize": "L", "title": "Dr"}})
    created, patched = await logged(scimd, idp)
    assert [each["name"] for each in created.transforms] == ["entra.manager-forms"]
    assert "manager as a bare string" in created.transforms[0]["did"]
    assert {each["name"]: each["why"] for each in created.ignored} == {
        "password": "scimd keeps no password",
        "shoeSize": "scimd serves no such attribute",
        "groups": "it is read-only",
        f"{ENTERPRISE}:shoeSize": "scimd serves no such attribute",
    }
    assert [each["name"] for each in patched.ignored] == ["shirtSize"]


async def test_what_a_path_for_a_key_leads_to_is_not_ignored(scimd: Installation, idp: Client) -> None:
    told = {"name.givenName": "Ben", f"{ENTERPRISE}:department": "Ops", "manager": "anna"}
    await idp.user("ben", **told, **{"name.shoeSize": 40, "emails.value": "b@x.example"})
    (created,) = await logged(scimd, idp)
    assert [each["name"] for each in created.transforms] == ["entra.attribute-names", "entra.manager-forms"]
    assert {each["name"] for each in created.ignored} == {"name.shoeSize", "emails.value"}


async def test_trace_lasts_as_long_as_the_clock_says(
    scimd: Installation, idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = (await organizations.list_organizations(scimd.door))[0]
    ctx = scimd.context(org)
    token = (await tokens.list_tokens(scimd.door, idp.org_id))[0]
    await idp.get("/Users")
    until = await request_log.trace(scimd.door, ctx, token.id, timedelta(hours=1))
    await idp.get("/Users", params={"count": "1"})
    await idp.get("/Schemas")
    assert until is not None
    monkeypatch.setattr(scimd.door, "clock", lambda: until)
    await idp.get("/Users", params={"count": "2"})
    monkeypatch.undo()
    await idp.get("/Users", params={"count": "3"})
    assert await request_log.trace(scimd.door, ctx, token.id, None) is None
    await idp.get("/Users", params={"count": "4"})
    entries = await logged(scimd, idp)
    assert sorted((each.pattern, each.query) for each in entries) == [
        ("/Schemas", None), ("/Users", "count=1"), ("/Users", "count=3"),
    ]  # fmt: skip


@pytest.mark.parametrize("lasting", [timedelta(0), timedelta(days=8)])
async def test_trace_is_bounded(lasting: timedelta, scimd: Installation, idp: Client) -> None:
    org = (await organizations.list_organizations(scimd.door))[0]
    token = (await tokens.list_tokens(scimd.door, idp.org_id))[0]
    with pytest.raises(InvalidValue):
        await request_log.trace(scimd.door, scimd.context(org), token.id, lasting)
    with pytest.raises(NotFound):
        await request_log.trace(scimd.door, scimd.context(org), TokenId(idp.source_id), timedelta(hours=1))


async def test_refused_token_is_logged_where_it_was_somebodys(scimd: Installation, idp: Client) -> None:
    org = (await organizations.list_organizations(scimd.door))[0]
    token = (await tokens.list_tokens(scimd.door, idp.org_id))[0]
    await tokens.revoke(scimd.door, scimd.context(org), token.id)
    assert (await idp.get("/Users")).status == 401
    unknown = {"Authorization": "Bearer scimd_nobodys"}
    assert (await idp.get("/Users", headers=unknown)).status == 401
    entries = await logged(scimd, idp)
    assert [(each.status, each.token_id) for each in entries] == [(401, token.id)]


async def test_organizations_see_their_own_requests_and_other_pseudonyms(
    scimd: Installation, idp: Client
) -> None:
    other = await scimd.client(await scimd.organization("globex"))
    await idp.user("anna.kovacs@acme.example")
    await other.user("anna.kovacs@acme.example")
    [mine], [theirs] = await logged(scimd, idp), await logged(scimd, other)
    assert mine.org_id == idp.org_id
    assert mine.request != theirs.request
    with pytest.raises(NotFound):
        await request_log.get_request(scimd.door, other.org_id, mine.id)


SECRETS = ("Xylophone", "quarzschnee", "4711471147", "Kovacsnagy", "geheimnisvoll", "rumpelstilz")


async def test_no_value_of_a_person_and_no_secret_is_kept(scimd: Installation, idp: Client) -> None:
    name, mail, phone, family, password, token = SECRETS
    person = {
        "userName": f"{mail}@{name}.example",
        "externalId": f"{family}-{phone}",
        "name": {"givenName": name, "familyName": family, "formatted": f"{name} {family}"},
        "emails": [{"value": f"{mail}@{name}.example", "type": "work"}],
        "phoneNumbers": [{"value": f"+36 {phone}"}],
        "password": password,
        "active": name,
        f"{name} {family}": mail,
        "photos": [{"value": f"https://{name}.example/{mail}.png"}],
    }
    right = {**person, "active": True}
    made = (await idp.post("/Users", right)).json
    for body in (right, person, {**right, "userName": {"a": name}}, {**right, "title": [phone, 4711471147]}):
        await idp.post("/Users", body)
    await idp.post("/Users", f'{{"userName": "{mail}", "password": "{password}'.encode())
    for op in (
        {"op": "replace", "path": "password", "value": password},
        {"op": "replace", "path": f'emails[value eq "{mail}@{name}.example"].value', "value": mail},
        {"op": "replace", "path": f"emails[value eq {mail}].value", "value": mail},
        {"op": "replace", "path": f"{mail}@{name}", "value": mail},
        {"op": name, "value": {"password": password, "displayName": family}},
        {"op": "add", "value": {"urn:ietf:params:scim:schemas:core:2.0:User:password": password}},
    ):
        await idp.patch(f"/Users/{made['id']}", op)
    for text in (
        f'userName eq "{mail}" or', f"userName eq {mail}", f"displayName eq {name} {family}",
        f'password eq "{password}"', f"password eq {password}", f'nickName xx "{mail}"', f"{mail}@{name} pr",
    ):  # fmt: skip
        await idp.get("/Users", params={"filter": text})
        await idp.post("/Users/.search", {"filter": text})
    await idp.get("/Users", params={"filter": "x", name: mail, "cursor": family, "attributes": f"{mail}@x"})
    await idp.get(f"/Users/{mail}")
    await idp.get(f"/{family}/{mail}@{name}")
    await idp.send("PATCH", f"/Users/{mail}%40{name}", {"Operations": [{"op": "remove", "path": family}]})
    await idp.post("/Bulk", {"Operations": [{"method": "POST", "path": f"/Users/{mail}", "bulkId": mail,
                                             "data": right}, {"method": name, "path": family}]})  # fmt: skip
    await idp.delete(
        f"/Users/{made['id']}", headers={"If-Match": f'"{mail}"', "Content-Type": f"{mail}/{name}"}
    )
    await idp.get("/Users", headers={"Authorization": f"Bearer {token}"})
    entries = await logged(scimd, idp)
    assert len(entries) >= 25
    text = b"".join(bundles.recorded(each).line() for each in entries) + repr(entries).encode()
    low = text.lower().replace(b'"path":"kovacsnagy"', b"")  # a name of an attribute, as sent
    for secret in SECRETS:
        assert secret.lower().encode() not in low, low[low.index(secret.lower().encode()) - 300 :][:400]
    assert idp.token.encode() not in text


async def test_body_too_large_is_left_out_and_said(scimd: Installation, idp: Client) -> None:
    await idp.post("/Users", {"userName": "anna", "title": "x" * 70_000})
    [entry] = await logged(scimd, idp)
    assert entry.status == 201
    assert (entry.request, sorted(entry.omitted)) == (None, ["request", "response"])


async def test_burst_drops_reads_first_and_counts_them(
    scimd: Installation, idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = (await organizations.list_organizations(scimd.door))[0]
    token = (await tokens.list_tokens(scimd.door, idp.org_id))[0]
    await request_log.trace(scimd.door, scimd.context(org), token.id, timedelta(hours=1))
    log = behind(scimd)
    await log.flush()
    monkeypatch.setattr(log, "_room", 5_000)
    async with log._turn:  # nothing is written meanwhile
        for number in range(3):
            await idp.user(f"user{number}")
            for _ in range(3):
                await idp.get("/Users", params={"count": "0"})
    entries = await logged(scimd, idp)
    writes = [each for each in entries if each.method == "POST"]
    assert len(writes) == 3
    assert len(entries) < 12
    assert sum(each.dropped for each in entries) == 12 - len(entries)


async def test_a_body_that_no_entry_holds_pushes_nothing_out(
    scimd: Installation, idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = behind(scimd)
    await log.flush()
    monkeypatch.setattr(log, "_room", 140_000)
    await idp.user("anna")
    await idp.post("/Users", {"userName": "robin", "title": "x" * 900_000})
    entries = await logged(scimd, idp)
    assert [(each.status, each.dropped, sorted(each.omitted)) for each in entries] == [
        (201, 0, []),
        (201, 0, ["request", "response"]),
    ]


async def test_what_the_database_refused_waits_and_is_written_once(
    scimd: Installation, idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable

    await idp.user("anna")
    with monkeypatch.context() as patched:
        patched.setattr(scimd.door.db, "write", away)
        with pytest.raises(DatabaseUnavailable):
            await behind(scimd).flush()
    assert [each.status for each in await logged(scimd, idp)] == [201]
    assert [each.status for each in await logged(scimd, idp)] == [201]


async def test_a_database_that_stays_away_is_told_once_a_minute(
    scimd: Installation, idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable

    await idp.user("anna")
    log = behind(scimd)
    with monkeypatch.context() as patched, structlog.testing.capture_logs() as lines:
        patched.setattr(scimd.door.db, "write", away)
        for _ in range(5):
            await log._try()
        log._not_written._silent_until = 0.0  # a minute later
        await log._try()
    said = [line for line in lines if line["event"] == "request_log_not_written"]
    assert [(line["code"], line["times"]) for line in said] == [
        ("database_unavailable", 1),
        ("database_unavailable", 5),
    ]


async def test_pruned_by_age_rows_and_bytes(scimd: Installation, idp: Client) -> None:
    for number in range(6):
        await idp.user(f"user{number}")
    entries = await logged(scimd, idp)
    ever, much = timedelta(days=30), 10**9
    assert await request_log.prune_all(scimd.door, Bounds(ever, 6, much)) == 0
    assert await request_log.prune_all(scimd.door, Bounds(ever, 4, much)) == 2
    kept = await logged(scimd, idp)
    assert kept == entries[2:]
    assert await request_log.prune_all(scimd.door, Bounds(ever, 9, sum(e.bytes for e in kept[1:]))) == 1
    assert await logged(scimd, idp) == entries[3:]
    assert await request_log.prune_all(scimd.door, Bounds(timedelta(seconds=-5), 9, much)) == 3


async def test_list_pages_and_filters(scimd: Installation, idp: Client) -> None:
    for number in range(5):
        await idp.user(f"user{number}")
    await idp.user("other")
    await idp.post("/Users", {"userName": "other"})
    await idp.post("/Groups", {})
    entries = await logged(scimd, idp)
    first = await request_log.list_requests(scimd.door, idp.org_id, limit=3)
    rest = await request_log.list_requests(scimd.door, idp.org_id, before=first.older, limit=50)
    assert [*first.requests, *rest.requests] == entries[::-1]
    assert rest.older is None
    for wanted, number in (
        (Wanted(only="errors"), 2), (Wanted(status=409), 1), (Wanted(status=4), 2),
        (Wanted(method="post"), 8),
        (Wanted(source_id=idp.source_id), 8), (Wanted(resource_id=entries[0].resource_id), 1),
        (Wanted(since=entries[6].at), 2), (Wanted(correlation_id=entries[3].correlation_id), 1),
        (Wanted(method="PUT"), 0), (Wanted(only="writes"), 8),
    ):  # fmt: skip
        assert len(await logged(scimd, idp, wanted)) == number, wanted


# ------------------------------------------------------------------------------ replaying


async def exported(scimd: Installation, client: Client, file: Path) -> Path:
    source = await sources.get_source(scimd.door, client.org_id, client.source_id)
    org = next(o for o in await organizations.list_organizations(scimd.door) if o.id == client.org_id)
    header = bundles.header_of(org, source, BASE, "default", 200, 100)
    lines = [bundles.recorded(each).line() for each in await logged(scimd, client)]
    file.write_bytes(header.line() + b"".join(lines))
    return file


async def replayed(file: Path) -> list[Outcome]:
    header, requests = bundles.read(file)
    async with instance(header) as (url, token_for):
        return [each async for each in played(header, requests, url, token_for)]


@pytest.mark.parametrize("provider", ["okta", "entra"])
async def test_a_providers_sequence_replays_without_difference(
    provider: str, scimd: Installation, tmp_path: Path
) -> None:
    org = await scimd.organization("acme")
    client = await scimd.client(org, profile=provider)
    token = (await tokens.list_tokens(scimd.door, org.id))[0]
    await request_log.trace(scimd.door, scimd.context(org), token.id, timedelta(hours=1))
    sequence = SEQUENCES[provider]
    doctor = DoctorClient(f"{client.url}/scim/v2", client.token, sequence.manner, timeout_s=AT_MOST_S)
    async with doctor:
        await Play(sequence, doctor, Names()).run()
    outcomes = await replayed(await exported(scimd, client, tmp_path / "bundle"))
    assert len(outcomes) > 20
    assert {each.number: (each.recorded.path, each.differs) for each in outcomes if each.differs} == {}
    assert not any(each.passed_over for each in outcomes)


async def push(idp: Client) -> None:
    """What a provider sends over time, and what it is refused."""
    anna = await idp.user("Anna@Acme.example", externalId="e-1", name={"givenName": "Anna"})
    ben = await idp.user("ben", emails=[{"value": "ben@acme.example", "type": "work", "primary": True}])
    team = await idp.group("Team A", anna["id"], ben["id"], "0193a1b2-aaaa-7bbb-8ccc-0123456789ab")
    await idp.post("/Users", {"userName": "ANNA@acme.EXAMPLE"})
    await idp.post("/Users", {"displayName": "nobody"})
    await idp.post("/Users", b'{"userName": "x", ')
    await idp.put(
        f"/Users/{ben['id']}",
        {"userName": "ben", "title": "Dr"},
        headers={"If-Match": ben["meta"]["version"]},
    )
    await idp.put(f"/Users/{ben['id']}", {"userName": "ben"}, headers={"If-Match": ben["meta"]["version"]})
    await idp.patch(f"/Users/{anna['id']}", {"op": "replace", "value": {"active": "False"}})
    await idp.patch(f"/Groups/{team['id']}", {"op": "remove", "path": f'members[value eq "{ben["id"]}"]'})
    await idp.patch(f"/Groups/{team['id']}", {"op": "replace", "path": "nothing[", "value": 1})
    await idp.get("/Users", params={"filter": 'nickNam eq "x"'})
    await idp.post("/Bulk", {"Operations": [
        {"method": "POST", "path": "/Users", "bulkId": "q", "data": {"userName": "cleo"}},
        {"method": "POST", "path": "/Groups", "bulkId": "g",
         "data": {"displayName": "Bulk", "members": [{"value": "bulkId:q"}]}},
    ]})  # fmt: skip
    await idp.delete(f"/Users/{anna['id']}")
    await idp.get(f"/Users/{anna['id']}")


async def test_pushes_and_refusals_replay_without_difference(
    scimd: Installation, idp: Client, tmp_path: Path
) -> None:
    await push(idp)
    outcomes = await replayed(await exported(scimd, idp, tmp_path / "bundle"))
    assert [(each.recorded.path, each.differs) for each in outcomes if each.differs] == []
    assert len(outcomes) == 15


async def test_reads_replay_without_difference(scimd: Installation, idp: Client, tmp_path: Path) -> None:
    """By a part of a value, by schema, and of what groups and rules give."""
    token = (await tokens.list_tokens(scimd.door, idp.org_id))[0]
    org = await organizations.by_slug(scimd.door, "acme")
    await request_log.trace(scimd.door, scimd.context(org), token.id, timedelta(hours=1))
    anna = await idp.user("anna")
    await idp.user("joanna")
    for name in ("Sales", "Support", "Staff"):
        await idp.group(name, anna["id"])
    for text in ('userName sw "an"', f'schemas eq "{USER_URN}"', f'{SCIMD_URN}:status eq "active"'):
        await idp.get("/Users", params={"filter": text})
    told = await idp.get(f"/Users/{anna['id']}", params={"attributes": SCIMD_URN})
    assert len(told.json[SCIMD_URN]["projects"]) == 3
    await idp.patch(f"/Users/{anna['id']}", {"op": "replace", "path": "active", "value": False})
    await idp.get(f"/Users/{anna['id']}", params={"attributes": SCIMD_URN})
    await idp.get("/Roles")
    outcomes = await replayed(await exported(scimd, idp, tmp_path / "bundle"))
    assert [(each.recorded.query, each.differs) for each in outcomes if each.differs] == []
    assert [each.recorded.path for each in outcomes if each.passed_over] == ["/Roles"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda line: line | {"status": 200}, "status 201 instead of 200"),
        (lambda line: line | {"response": line["response"] | {"title": "x"}}, "title: missing"),
        (lambda line: line | {"response": line["response"] | {"userName": "x"}}, "userName: "),
        (
            lambda line: line | {"response": line["response"] | {"active": False}},
            "active: True instead of False",
        ),
    ],
)
async def test_a_difference_is_found_and_named(
    change: Callable[[Any], Any], told: str, scimd: Installation, idp: Client, tmp_path: Path
) -> None:
    await idp.user("anna")
    file = await exported(scimd, idp, tmp_path / "bundle")
    header, line = file.read_bytes().splitlines()
    file.write_bytes(header + b"\n" + orjson.dumps(change(orjson.loads(line))) + b"\n")
    [outcome] = await replayed(file)
    assert len(outcome.differs) == 1
    assert outcome.differs[0].startswith(told)


@pytest.mark.parametrize(
    "text", ["", "{}", "no json", '{"format": "scimd-requests/1"}', '{"format": "other"}']
)
def test_what_is_no_bundle_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text(text)
    with pytest.raises(InvalidValue):
        bundles.read(tmp_path / "bundle")
