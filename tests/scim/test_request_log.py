"""What of SCIM's requests is kept: which, what of them, for whom, how much; and what never is."""

from __future__ import annotations

import asyncio
import socket
import struct
from datetime import timedelta
from typing import Any

import orjson
import pytest
import structlog
from yarl import URL

from scimd.cli.replay import bundle as bundles
from scimd.core.errors import DatabaseUnavailable, InvalidValue, NotFound
from scimd.core.people import TokenId
from scimd.core.pseudonyms import Pseudonyms
from scimd.org.organizations import organizations
from scimd.org.request_log import request_log
from scimd.org.request_log.request_log import Bounds, RequestRecord, Wanted
from scimd.org.tokens import tokens
from scimd.scim.app import REQUEST_LOG
from scimd.scim.request_log import Behind
from tests.scim.serving import Client, Installation, reading
from tests.support.patience import eventually

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


async def test_plus_beside_encoded_spaces_is_one_in_the_log(scimd: Installation, idp: Client) -> None:
    for query in ("x%20eq%20%22anna+b%22", "x%20eq%20%22anna%2Bb%22"):
        url = URL(f"{scimd.url}/scim/v2/Users?filter={query}", encoded=True)
        async with scimd.http.get(url, headers={"Authorization": f"Bearer {idp.token}"}) as answer:
            assert answer.status == 400
    one, other = await logged(scimd, idp)
    assert (one.query, one.response) == (other.query, other.response)


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


async def test_what_nothing_is_kept_of_is_ignored_and_members_within_members_are_not(
    scimd: Installation, idp: Client
) -> None:
    ben = (await idp.user("ben"))["id"]
    team = f"/Groups/{(await idp.group('Team'))['id']}"
    await idp.patch(f"/Users/{ben}", {"op": "replace", "path": "emails", "value": [{"email": "b@x.org"}]})
    await idp.patch(team, {"op": "add", "path": "members", "value": {"members": [{"value": ben}]}})
    *_, emails, members = await logged(scimd, idp)
    assert [each["name"] for each in emails.ignored] == ["emails.email"]
    assert [each["name"] for each in members.transforms] == ["ping.members-within-members"]
    assert members.ignored == []


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


async def test_an_endpoint_is_logged_as_itself_however_it_is_spelled(
    scimd: Installation, idp: Client
) -> None:
    made = await idp.user("anna")
    await idp.patch(f"/users/{made['id']}", {"op": "add", "path": "shoeSize", "value": 42})
    await idp.post("/groups", {"displayName": "Ops"})
    await idp.post("/users/.search", {"filter": "nosuch pr"})
    entries = (await logged(scimd, idp))[1:]
    assert [(each.pattern, each.resource_kind, each.path.split("/")[1]) for each in entries] == [
        ("/Users/{id}", "User", "users"),
        ("/Groups", "Group", "groups"),
        ("/Users/.search", None, "users"),
    ]
    assert entries[0].resource_id == made["id"]
    assert [each["name"] for each in entries[0].ignored] == ["shoeSize"]


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/scim/v1/Users?filter=userName%20eq%20%22zdenka%22", "/scim/v1/Users"),
        ("/scim/Users/zdenka.quartz", "/scim/Users/"),
        ("/scim/v2x/Users", "/scim/"),
        ("/scim/v2/scim/v2/Users", "/scim/v2/Users"),
        ("/scim/v2/Users//x", "/Users//"),
        ("/scim", "/scim"),
    ],
)
async def test_what_went_to_another_address_is_logged_as_asked_for(
    path: str, kept: str, scimd: Installation, idp: Client
) -> None:
    headers = {"Authorization": f"Bearer {idp.token}"}
    async with scimd.http.get(URL(scimd.url + path, encoded=True), headers=headers) as answer:
        assert answer.status == 404
    [entry] = await logged(scimd, idp)
    assert (entry.pattern, entry.resource_kind, entry.status) == ("/?", None, 404)
    assert entry.path.startswith(kept)
    assert "zdenka" not in f"{entry.path} {entry.query}"


async def test_of_a_bulk_request_all_transforms_and_what_each_operation_ignored_are_said(
    scimd: Installation,
) -> None:
    idp = await scimd.client(await scimd.organization("acme"), profile="entra")
    one = f"/Users/{(await idp.user('anna'))['id']}"
    role = orjson.dumps({"id": "x", "value": "Lektor", "displayName": "L"}).decode()
    await idp.post("/Bulk", {"Operations": [
        {"method": "PATCH", "path": one, "data": {"Operations": [
            {"op": "add", "path": "roles", "value": [{"value": role}]},
            {"op": "add", "path": "shoeSize", "value": "1"}]}},
        {"method": "PATCH", "path": one, "data": [{"op": "add", "path": "manager", "value": "boss"}]},
        {"method": "POST", "path": "/users", "bulkId": "b",
         "data": {"userName": "ben", "shirtSize": "L", "password": "geheim99"}},
        {"method": "POST", "path": "/Users", "bulkId": "c", "data": {"hatSize": "L"}},
    ]})  # fmt: skip
    entry = (await logged(scimd, idp))[-1]
    assert [each["name"] for each in entry.transforms] == [
        "entra.roles-as-json",
        "entra.attribute-names",
        "entra.manager-forms",
    ]
    assert {each["name"] for each in entry.ignored} == {"shoeSize", "shirtSize", "password"}


async def test_of_a_bulk_request_no_transform_is_said_of_what_was_left_undone(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"), profile="entra")
    one = f"/Users/{(await idp.user('anna'))['id']}"
    managers = [{"op": "add", "path": "manager", "value": "boss"}]
    await idp.post("/Bulk", {"failOnErrors": 1, "Operations": [
        {"method": "PATCH", "path": one, "data": [{"op": "add", "path": "userName", "value": ""}]},
        {"method": "PATCH", "path": one, "data": managers},
    ]})  # fmt: skip
    assert (await logged(scimd, idp))[-1].transforms == []


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


async def test_write_with_an_integer_of_64_bits_is_kept(scimd: Installation, idp: Client) -> None:
    made = await idp.user("anna", floor=2**64 - 1)
    await idp.post("/Users", {"floor": 10**19})
    await idp.patch(f"/Users/{made['id']}", {"op": "replace", "path": "floor", "value": -(2**63)})
    assert [(each.status, each.omitted) for each in await logged(scimd, idp)] == [
        (201, []),
        (400, []),
        (200, []),
    ]


async def test_body_that_nobody_foresaw_costs_its_entry_no_more_than_itself(
    scimd: Installation, idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def number(_: Pseudonyms, number: int) -> int:
        raise TypeError(number)

    monkeypatch.setattr(Pseudonyms, "number", number)
    await idp.post("/Users", {"userName": "anna", "floor": 77})
    [entry] = await logged(scimd, idp)
    assert (entry.status, entry.request, entry.omitted) == (201, None, ["request"])
    assert entry.response is not None


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
    await idp.post("/Users", {"userName": "robin", "title": "x" * 250_000})
    entries = await logged(scimd, idp)
    assert [(each.status, each.dropped, sorted(each.omitted)) for each in entries] == [
        (201, 0, []),
        (201, 0, ["request", "response"]),
    ]


async def test_what_comes_while_it_is_written_is_for_the_next_time(
    scimd: Installation, idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the log would write without end, and each request bring a transaction of its own."""
    log = behind(scimd)
    await log.flush()
    write = log._write
    came = 0

    async def and_another_comes(portion: Any) -> int:
        nonlocal came
        if came < 5:
            await idp.user(f"while{(came := came + 1)}")
        return await write(portion)

    monkeypatch.setattr(log, "_write", and_another_comes)
    await idp.user("anna")
    assert await log.flush() == 1
    assert (came, await log.flush()) == (1, 1)


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
    tries = 0  # the log's own among them

    async def away(*_: Any, **__: Any) -> None:
        nonlocal tries
        tries += 1
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
    assert [line["code"] for line in said] == ["database_unavailable"] * 2
    assert [line["times"] for line in said] in ([1, tries - 1], [1, tries - 2])


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


@pytest.mark.parametrize("reset", [False, True])
async def test_who_hangs_up_in_the_middle_of_a_body_is_kept_as_cut_off_and_is_no_fault_of_ours(
    scimd: Installation, idp: Client, monkeypatch: pytest.MonkeyPatch, reset: bool
) -> None:
    at, begun = URL(scimd.url), reading(monkeypatch)
    with structlog.testing.capture_logs() as lines:
        _, writer = await asyncio.open_connection(at.host, at.port)
        head = f"POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {idp.token}\r\n"
        writer.write(f"{head}Content-Length: 500\r\n\r\n{{".encode())
        await begun.wait()
        if reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()
        (entry,) = await eventually(lambda: logged(scimd, idp))
    assert entry.status == 400
    assert [line for line in lines if line["log_level"] not in ("debug", "info")] == []
