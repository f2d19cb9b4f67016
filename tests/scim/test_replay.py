"""Bundles of the request log, played again: what was answered then is answered now, or it is said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from scimd.cli.doctor.client import Client as DoctorClient
from scimd.cli.doctor.play import Play
from scimd.cli.doctor.sequences import SEQUENCES
from scimd.cli.doctor.stage import Names
from scimd.cli.replay import bundle as bundles
from scimd.cli.replay.play import Outcome, instance, played
from scimd.config import Config
from scimd.core.attributes import SCIMD_URN, USER_URN
from scimd.core.bearer import SCOPES
from scimd.core.errors import InvalidValue
from scimd.org.organizations import organizations
from scimd.org.request_log import request_log
from scimd.org.sources import source_states, sources
from scimd.org.tokens import tokens
from tests.scim.serving import PUBLIC_URL, Client, Installation, installed
from tests.scim.test_request_log import logged
from tests.support.patience import AT_MOST_S


async def exported(scimd: Installation, client: Client, file: Path, **more: Any) -> Path:
    """``more``: sections of the installation's config."""
    source = await sources.get_source(scimd.door, client.org_id, client.source_id)
    org = next(o for o in await organizations.list_organizations(scimd.door) if o.id == client.org_id)
    config = Config.model_validate({"server": {"public_url": PUBLIC_URL}, **more})
    header = bundles.header_of(org, source, "default", config)
    lines = [bundles.recorded(each).line() for each in await logged(scimd, client)]
    file.write_bytes(header.line() + b"".join(lines))
    return file


def told(outcomes: list[Outcome]) -> list[tuple[str, list[str]]]:
    """What differs."""
    return [
        (f"{each.recorded.method} {each.recorded.path}", each.differs) for each in outcomes if each.differs
    ]


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
        {"method": "POST", "path": "/Groups", "bulkId": "R&D/Lab%40",
         "data": {"displayName": "Bulk", "members": [{"value": "bulkId:q"}]}},
        {"method": "PATCH", "path": "/Groups/bulkId:R&D/Lab%40",
         "data": [{"op": "replace", "path": "displayName", "value": "Lab"}]},
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


# ------------------------------------------------------------------------------ what a bundle has to say


async def test_requests_of_a_source_that_is_paused_now_replay(
    scimd: Installation, idp: Client, tmp_path: Path
) -> None:
    await idp.user("anna")
    org = await organizations.by_slug(scimd.door, "acme")
    await source_states.pause(scimd.door, scimd.context(org), idp.source_id)
    await idp.post("/Users", {"userName": "ben"})
    outcomes = await replayed(await exported(scimd, idp, tmp_path / "bundle"))
    assert told(outcomes) == []
    assert [each.passed_over for each in outcomes] == [None, "401 was about that moment"]


async def test_endpoints_in_other_spellings_replay_and_other_addresses_are_passed_over(
    scimd: Installation, idp: Client, tmp_path: Path
) -> None:
    made = await idp.user("anna")
    one = f"/users/{made['id']}"
    await idp.patch(one, {"op": "replace", "path": "title", "value": "Dr"})
    await idp.put(one, {"userName": "anna"}, headers={"If-Match": made["meta"]["version"]})
    group = (await idp.post("/groups", {"displayName": "Ops", "members": [{"value": made["id"]}]})).json
    await idp.patch(f"/GROUPS/{group['id']}", {"op": "remove", "path": "members"})
    await idp.post("/scim/v2/Users", {"userName": "doubled"})
    await idp.delete(one)
    outcomes = await replayed(await exported(scimd, idp, tmp_path / "bundle"))
    assert told(outcomes) == []
    assert [each.recorded.path for each in outcomes if each.passed_over] == ["/scim/v2/Users"]


async def test_a_token_that_lacked_a_scope_lacks_it_again(
    scimd: Installation, idp: Client, tmp_path: Path
) -> None:
    org = await organizations.by_slug(scimd.door, "acme")
    reader = await scimd.client(org, scopes=["users:read"])
    half = await scimd.client(org, scopes=["users:write", "groups:read"])
    await reader.get("/Groups")
    await reader.post("/Users", {"userName": "refused"})
    await half.post("/Bulk", {"Operations": [
        {"method": "POST", "path": "/Users", "bulkId": "u", "data": {"userName": "anna"}},
        {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {"displayName": "Ops"}},
    ]})  # fmt: skip
    await idp.user("refused")
    await idp.group("Ops")
    file = await exported(scimd, idp, tmp_path / "bundle")
    outcomes = await replayed(file)
    assert [each.recorded.status for each in outcomes] == [403, 403, 200, 201, 201]
    assert told(outcomes) == []
    assert not any(each.passed_over for each in outcomes)
    header, requests = bundles.read(file)
    async with instance(header) as (url, token_for):
        every = await token_for("default", list(SCOPES))

        async def one(*_: Any) -> str:
            return every

        played_by_one = [each async for each in played(header, requests, url, one, one_token=True)]
    assert told(played_by_one) == []
    assert [bool(each.passed_over) for each in played_by_one] == [True, True, True, False, False]


async def test_roles_as_json_replay(scimd: Installation, tmp_path: Path) -> None:
    idp = await scimd.client(await scimd.organization("acme"), profile="entra")
    made = await idp.user("anna")
    role = {"id": "18d14569-c3bd-439b-9a66-3a2aee01d14f", "value": "Lektorin", "displayName": "Lektorin"}
    value = [{"value": orjson.dumps(role).decode()}]
    reply = await idp.patch(f"/Users/{made['id']}", {"op": "Add", "path": "roles", "value": value})
    assert reply.json["roles"][0]["value"] == "Lektorin"
    file = await exported(scimd, idp, tmp_path / "bundle")
    assert b"Lektorin" not in file.read_bytes()
    assert told(await replayed(file)) == []


@pytest.mark.parametrize(
    "given",
    [
        None, 'application/json;charset="utf-8"', "Application/SCIM+JSON", "application/json; odata=verbose",
        "application/json; charset=quartz", "text/plain", "text/quartzova", "quartzova",
    ],
)  # fmt: skip
async def test_media_type_is_sent_again_as_it_was(
    given: str | None, scimd: Installation, idp: Client, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {idp.token}"} | ({} if given is None else {"Content-Type": given})
    statuses = []
    for body in (b'{"userName": "anna"}', b"{"):
        async with scimd.http.post(
            f"{scimd.url}/scim/v2/Users", data=body, headers=headers, skip_auto_headers=("Content-Type",)
        ) as answer:
            statuses.append(answer.status)
    file = await exported(scimd, idp, tmp_path / "bundle")
    assert b"quartz" not in file.read_bytes()
    outcomes = await replayed(file)
    assert [each.status for each in outcomes] == statuses
    assert set(statuses) in ({201, 400}, {415})


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ('W/"99-1", W/"98-1"', 412),
        ('"quartz"', 412),
        ("quartz", 412),
        ('"quartz", {version}', 200),
        ('{version} , W/"7-7"', 200),
        ("*", 200),
    ],
)
async def test_conditions_are_asked_again(
    tag: str, status: int, scimd: Installation, idp: Client, tmp_path: Path
) -> None:
    made = await idp.user("anna")
    headers = {"If-Match": tag.format(version=made["meta"]["version"])}
    reply = await idp.put(f"/Users/{made['id']}", {"userName": "anna", "title": "Dr"}, headers=headers)
    assert reply.status == status
    file = await exported(scimd, idp, tmp_path / "bundle")
    assert b"quartz" not in file.read_bytes()
    assert told(await replayed(file)) == []


async def test_an_encoding_that_is_not_taken_is_refused_again(
    scimd: Installation, idp: Client, tmp_path: Path
) -> None:
    reply = await idp.post("/Users", {"userName": "anna"}, headers={"Content-Encoding": "quartz"})
    assert reply.status == 415
    file = await exported(scimd, idp, tmp_path / "bundle")
    assert b"quartz" not in file.read_bytes()
    assert told(await replayed(file)) == []


async def test_a_body_with_a_byte_order_mark_is_kept_and_replays(
    scimd: Installation, idp: Client, tmp_path: Path
) -> None:
    assert (await idp.post("/Users", b'\xef\xbb\xbf{"userName": "anna"}')).status == 201
    [entry] = await logged(scimd, idp)
    assert list(orjson.loads(entry.request or "")) == ["userName"]
    assert told(await replayed(await exported(scimd, idp, tmp_path / "bundle"))) == []


async def test_limits_of_requests_are_those_of_the_recording(database_url: str, tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "scim": {"max_operations": 3, "max_bulk_operations": 2},
        "server": {"public_url": PUBLIC_URL, "max_body_bytes": 20_000},
    }
    async with installed(database_url, **sections) as scimd:
        idp = await scimd.client(await scimd.organization("acme", default_project=None))
        made = await idp.user("anna")
        change = {"op": "replace", "path": "title", "value": "Dr"}
        assert (await idp.patch(f"/Users/{made['id']}", *[change] * 5)).status == 413
        drop = {"method": "DELETE", "path": f"/Users/{made['id']}"}
        assert (await idp.post("/Bulk", {"Operations": [drop] * 3})).status == 413
        assert (await idp.post("/Users", {"userName": "ben", "title": "x" * 30_000})).status == 413
        outcomes = await replayed(await exported(scimd, idp, tmp_path / "bundle", **sections))
    assert told(outcomes) == []
    assert [each.passed_over for each in outcomes] == [None, None, None, "its body was not kept"]
