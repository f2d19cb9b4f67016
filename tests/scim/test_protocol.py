"""The protocol over HTTP: RFC 7644, section by section."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from scimd.core.attributes import ENTERPRISE_URN, GROUP_URN, SCIMD_URN, USER_URN
from scimd.org.reading import reads
from scimd.org.tokens import tokens
from tests.scim.serving import BASE, Client, Installation

# ------------------------------------------------------------------------------ §3.3-3.6


async def test_created_user_stands_at_its_location_under_its_tag(idp: Client) -> None:
    """§3.3, §3.14."""
    made = await idp.post("/Users", {"userName": "dana", ENTERPRISE_URN: {"department": "R&D"}})
    assert made.status == 201
    assert made.headers["Location"] == made.json["meta"]["location"] == f"{BASE}/Users/{made.json['id']}"
    read = await idp.get(f"/Users/{made.json['id']}")
    assert read.headers["ETag"] == read.json["meta"]["version"]
    assert read.json["schemas"] == [USER_URN, ENTERPRISE_URN]
    assert read.json == made.json


async def test_put_clears_what_is_absent_but_for_active(idp: Client) -> None:
    """§3.5.1; docs/decisions/0008."""
    user = await idp.user("dana", title="CTO", active=False, emails=[{"value": "d@x.org"}])
    changed = await idp.put(f"/Users/{user['id']}", {"userName": "dana2"})
    assert changed.status == 200
    assert {"title", "emails"}.isdisjoint(changed.json)
    assert (changed.json["userName"], changed.json["active"]) == ("dana2", False)


async def test_same_document_again_raises_no_version(idp: Client) -> None:
    """V5: the version changes if and only if the source's document does."""
    user = await idp.user("dana", title="CTO")
    path = f"/Users/{user['id']}"
    same = await idp.put(path, {"userName": "dana", "title": "CTO", "active": True})
    assert same.json["meta"]["version"].partition("-")[0] == user["meta"]["version"].partition("-")[0]
    patched = await idp.patch(path, {"op": "replace", "path": "title", "value": "CTO"})
    assert patched.json["meta"]["version"] == same.json["meta"]["version"]
    other = await idp.patch(path, {"op": "replace", "path": "title", "value": "CEO"})
    assert other.json["meta"]["version"] != same.json["meta"]["version"]


async def test_patch_is_whole_or_nothing(idp: Client) -> None:
    """§3.5.2."""
    user = await idp.user("dana", title="CTO")
    refused = await idp.patch(
        f"/Users/{user['id']}",
        {"op": "replace", "path": "title", "value": "CEO"},
        {"op": "replace", "path": "id", "value": "x"},
    )
    assert (refused.status, refused.scim_type) == (400, "mutability")
    assert (await idp.get(f"/Users/{user['id']}")).json == user


async def test_deleted_user_is_gone_from_everywhere(idp: Client) -> None:
    """§3.6."""
    user, other = await idp.user("dana"), await idp.user("erik")
    group = await idp.group("Ops", user["id"], other["id"])
    assert (await idp.delete(f"/Users/{user['id']}")).status == 204
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        body = (
            {"userName": "x", "Operations": [{"op": "remove", "path": "title"}]} if method != "GET" else None
        )
        assert (await idp.send(method, f"/Users/{user['id']}", body)).status == 404
    assert [each["userName"] for each in (await idp.get("/Users")).json["Resources"]] == ["erik"]
    assert [each["value"] for each in (await idp.get(f"/Groups/{group['id']}")).json["members"]] == [
        other["id"]
    ]
    again = await idp.post("/Users", {"userName": "dana"})
    assert again.status == 201


async def test_preconditions_hold_for_one_writer(idp: Client) -> None:
    """§3.14; V5."""
    user = await idp.user("dana")
    path, tag = f"/Users/{user['id']}", user["meta"]["version"]
    replies = await asyncio.gather(
        *(idp.put(path, {"userName": "dana", "title": f"t{n}"}, headers={"If-Match": tag}) for n in range(8))
    )
    assert sorted(reply.status for reply in replies) == [200, *[412] * 7]
    assert orjson.loads(next(each for each in replies if each.status == 412).raw)["status"] == "412"
    assert (await idp.delete(path, headers={"If-Match": tag})).status == 412
    assert (await idp.delete(path, headers={"If-Match": "*"})).status == 204


@pytest.mark.parametrize("endpoint", ["Users", "Groups"])
async def test_write_that_wants_nothing_there_changes_nothing(idp: Client, endpoint: str) -> None:
    """RFC 9110 §13.1.2: If-None-Match with * or the current tag is 412; with another, it is done."""
    name = "userName" if endpoint == "Users" else "displayName"
    made = await (idp.user("dana") if endpoint == "Users" else idp.group("dana"))
    path, tag = f"/{endpoint}/{made['id']}", made["meta"]["version"]
    change = {"op": "replace", "path": name, "value": "other"}
    for value in ("*", tag, f'"x", {tag}'):
        headers = {"If-None-Match": value}
        refused = await idp.put(path, {name: "other"}, headers=headers)
        assert (refused.status, "If-None-Match" in refused.json["detail"]) == (412, True)
        assert (await idp.patch(path, change, headers=headers)).status == 412
        assert (await idp.delete(path, headers=headers)).status == 412
    assert (await idp.get(path)).json == made
    assert (await idp.put(path, {name: "other"}, headers={"If-None-Match": 'W/"999-0"'})).status == 200
    assert (
        await idp.put(f"{path[:-12]}000000000000", {name: "x"}, headers={"If-None-Match": "*"})
    ).status == 404
    assert (await idp.delete(path, headers={"If-None-Match": tag})).status == 204


@pytest.mark.parametrize("endpoint", ["Users", "Groups"])
async def test_read_that_wants_another_state_is_told_so(idp: Client, endpoint: str) -> None:
    """RFC 9110 §13.1.1, and before If-None-Match (§13.2.2)."""
    made = await (idp.user("dana") if endpoint == "Users" else idp.group("dana"))
    path, tag = f"/{endpoint}/{made['id']}", made["meta"]["version"]
    for value in (tag, f'"x", {tag}', "*"):
        assert (await idp.get(path, headers={"If-Match": value})).status == 200
    other = {"If-Match": 'W/"999-9"'}
    for headers in (other, {**other, "If-None-Match": tag}):
        refused = await idp.get(path, headers=headers)
        assert (refused.status, "If-Match" in refused.json["detail"]) == (412, True)
        assert (await idp.send("HEAD", path, headers=headers)).status == 412
    assert (await idp.get(f"/{endpoint}", headers=other)).status == 200


async def test_membership_fails_nobodys_put(idp: Client) -> None:
    """Design, section 3: If-Match compares the document's version only, If-None-Match the whole."""
    user = await idp.user("dana")
    before = await idp.get(f"/Users/{user['id']}")
    await idp.group("Ops", user["id"])
    path = f"/Users/{user['id']}"
    after = await idp.get(path, headers={"If-None-Match": before.headers["ETag"]})
    assert after.status == 200
    assert after.json["groups"][0]["display"] == "Ops"
    unchanged = await idp.get(path, headers={"If-None-Match": f'"other", {after.headers["ETag"]}'})
    assert (unchanged.status, unchanged.raw) == (304, b"")
    changed = await idp.put(
        path, {"userName": "dana", "title": "x"}, headers={"If-Match": before.headers["ETag"]}
    )
    assert changed.status == 200


async def test_parallel_creates_of_one_name_make_one(idp: Client) -> None:
    """V6."""
    replies = await asyncio.gather(
        *(idp.post("/Users", {"userName": f"{'dana' if n % 2 else 'DANA'}"}) for n in range(32))
    )
    assert sorted(reply.status for reply in replies) == [201, *[409] * 31]
    assert {reply.scim_type for reply in replies if reply.status == 409} == {"uniqueness"}


async def test_parallel_patches_lose_nothing(idp: Client) -> None:
    """V5, lesson from lost updates."""
    user = await idp.user("dana")
    replies = await asyncio.gather(
        *(
            idp.patch(
                f"/Users/{user['id']}", {"op": "add", "path": "emails", "value": [{"value": f"{n}@x.org"}]}
            )
            for n in range(20)
        )
    )
    assert {reply.status for reply in replies} == {200}
    assert len((await idp.get(f"/Users/{user['id']}")).json["emails"]) == 20


# ------------------------------------------------------------------------------ groups


async def test_member_pushed_before_its_user_is_resolved_when_it_appears(idp: Client) -> None:
    """C11."""
    group = await idp.group("Ops", "ext-7", "ext-8")
    path = f"/Groups/{group['id']}"
    assert not group.get("members")
    user = await idp.user("dana", externalId="ext-7")
    assert [each["value"] for each in (await idp.get(path)).json["members"]] == [user["id"]]
    assert (await idp.get(f"/Users/{user['id']}")).json["groups"][0]["value"] == group["id"]


async def test_replace_with_unknown_ids_never_wipes_those_that_are_known(idp: Client) -> None:
    user = await idp.user("dana")
    group = await idp.group("Ops", user["id"])
    path = f"/Groups/{group['id']}"
    listed = [{"value": user["id"]}, {"value": "01a1ff5f-0000-7000-8000-000000000000"}]
    assert (await idp.patch(path, {"op": "replace", "path": "members", "value": listed})).status == 204
    assert [each["value"] for each in (await idp.get(path)).json["members"]] == [user["id"]]


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
async def test_a_list_of_nobody_who_is_known_empties_no_group(idp: Client, verb: str) -> None:
    """What pushes out of order end in is the same nevertheless."""
    user = await idp.user("dana")
    group = await idp.group("Ops", user["id"])
    path = f"/Groups/{group['id']}"
    listed = [{"value": "01a1ff5f-0000-7000-8000-000000000000"}, {"value": "ext-7"}]
    if verb == "PUT":
        await idp.put(path, group | {"members": listed})
    else:
        await idp.patch(path, {"op": "replace", "path": "members", "value": listed})
    assert [each["value"] for each in (await idp.get(path)).json["members"]] == [user["id"]]
    other = await idp.user("robin", externalId="ext-7")
    assert [each["value"] for each in (await idp.get(path)).json["members"]] == [other["id"]]
    assert "groups" not in (await idp.get(f"/Users/{user['id']}")).json


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": 'members[value eq "{0}"]'},
        {"op": "remove", "path": "members", "value": [{"value": "{0}"}]},
    ],
)
async def test_both_spellings_remove_exactly_the_named(idp: Client, operation: dict[str, Any]) -> None:
    """Lesson 9."""
    first, second = await idp.user("a"), await idp.user("b")
    group = await idp.group("Ops", first["id"], second["id"])
    text = orjson.dumps(operation).decode().replace("{0}", first["id"])
    await idp.patch(f"/Groups/{group['id']}", orjson.loads(text))
    left = (await idp.get(f"/Groups/{group['id']}")).json["members"]
    assert [each["value"] for each in left] == [second["id"]]
    await idp.patch(f"/Groups/{group['id']}", {"op": "remove", "path": "members", "value": []})
    assert (await idp.get(f"/Groups/{group['id']}")).json["members"] == left


async def test_nested_groups_show_on_both_sides(idp: Client) -> None:
    user = await idp.user("dana", displayName="Dana B")
    inner = await idp.group("Inner", user["id"])
    outer = await idp.group("Outer", inner["id"])
    assert outer["members"] == [
        {"value": inner["id"], "$ref": f"{BASE}/Groups/{inner['id']}", "type": "Group", "display": "Inner"}
    ]
    groups = (await idp.get(f"/Users/{user['id']}")).json["groups"]
    assert [(each["value"], each["type"]) for each in groups] == [
        (inner["id"], "direct"),
        (outer["id"], "indirect"),
    ]
    members = (await idp.get(f"/Groups/{inner['id']}")).json["members"]
    assert members[0]["display"] == "Dana B"
    found = await idp.get("/Users", params={"filter": f'groups.value eq "{outer["id"]}"'})
    assert found.json["totalResults"] == 1


async def test_group_put_replaces_members_too(idp: Client) -> None:
    user, other = await idp.user("a"), await idp.user("b")
    group = await idp.group("Ops", user["id"])
    whole = {**group, "members": [{"value": other["id"]}]}
    changed = await idp.put(f"/Groups/{group['id']}", whole)
    assert [each["value"] for each in changed.json["members"]] == [other["id"]]
    assert changed.json["schemas"] == [GROUP_URN]


@pytest.mark.parametrize("kind", ["Users", "Groups"])
async def test_name_and_external_id_of_another_are_taken_on_every_way(idp: Client, kind: str) -> None:
    """§3.3, §3.5: 409 uniqueness, also of a resource that is there and takes what another has."""
    name = "userName" if kind == "Users" else "displayName"
    urn = USER_URN if kind == "Users" else GROUP_URN
    whole = {"schemas": [urn], name: "one", "externalId": "e1"}
    one = (await idp.post(f"/{kind}", whole)).json
    two = (await idp.post(f"/{kind}", {**whole, name: "two", "externalId": "e2"})).json
    path = f"/{kind}/{two['id']}"
    for taken in ({name: "ONE"}, {"externalId": "e1"}):
        for reply in (
            await idp.post(f"/{kind}", {**whole, name: "three", "externalId": "e3", **taken}),
            await idp.put(path, {**two, **taken}),
            await idp.patch(path, {"op": "replace", "value": taken}),
        ):
            assert (reply.status, reply.scim_type) == (409, "uniqueness"), (taken, reply.raw)
            assert next(iter(taken)) in reply.json["detail"]
    assert (await idp.get(path)).json == two
    assert (await idp.delete(f"/{kind}/{one['id']}")).status == 204
    freed = await idp.patch(path, {"op": "replace", "path": "externalId", "value": "e1"})
    assert freed.status in (200, 204)
    assert (await idp.get(path)).json["externalId"] == "e1"


# ------------------------------------------------------------------------------ HTTP


async def test_location_stands_in_the_head_wherever_one_resource_is_answered(idp: Client) -> None:
    """As in the examples of §3.4.1 and §3.5.1; wso2's compliance suite looks for it."""
    user = await idp.user("dana")
    group = await idp.group("Team", user["id"])
    for path, whole, name in (("/Users", user, "userName"), ("/Groups", group, "displayName")):
        path = f"{path}/{whole['id']}"
        change = {"op": "replace", "path": name, "value": "new"}
        for reply in (
            await idp.get(path),
            await idp.get(path, params={"attributes": name}),
            await idp.put(path, whole),
            await idp.patch(path, change, params={"attributes": "meta"}),
        ):
            assert (reply.status, reply.headers["Location"]) == (200, whole["meta"]["location"])


async def test_methods_and_their_refusals(idp: Client) -> None:
    user = await idp.user("dana")
    head = await idp.send("HEAD", f"/Users/{user['id']}")
    assert (head.status, head.raw) == (200, b"")
    assert head.headers["ETag"] == user["meta"]["version"]
    options = await idp.send("OPTIONS", "/Users")
    assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    for method, path, allow in [
        ("PUT", "/Users", "GET, HEAD, OPTIONS, POST"),
        ("POST", f"/Users/{user['id']}", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("POST", "/Schemas", "GET, HEAD, OPTIONS"),
        ("GET", "/.search", "OPTIONS, POST"),
        ("POST", "", "GET, HEAD, OPTIONS"),
        ("DELETE", "/", "GET, HEAD, OPTIONS"),
    ]:
        refused = await idp.send(method, path)
        assert (refused.status, refused.headers["Allow"]) == (405, allow)
        assert refused.json["status"] == "405"
    assert (await idp.get("/Me")).status == 501


async def test_discovery_is_served_by_id_and_takes_no_filter(idp: Client) -> None:
    """§4."""
    for endpoint in ("ResourceTypes", "Schemas"):
        for each in (await idp.get(f"/{endpoint}")).json["Resources"]:
            assert (await idp.get(f"/{endpoint}/{each['id']}")).json == each
        assert (await idp.get(f"/{endpoint}", params={"filter": "id pr"})).status == 403
    assert SCIMD_URN in {each["id"] for each in (await idp.get("/Schemas")).json["Resources"]}


async def test_rfc_profile_takes_members_of_a_whole_group_in_an_array_alone(scimd: Installation) -> None:
    """RFC 7643 §2.4, as of every multi-valued attribute."""
    org = await scimd.organization("acme")
    strict, lenient = await scimd.client(org, profile="rfc"), await scimd.client(org)
    dana = (await lenient.user("dana"))["id"]
    path = f"/Groups/{(await lenient.group('Team', dana))['id']}"
    for n, one in enumerate(({"value": dana}, {}, dana)):
        body = {"schemas": [GROUP_URN], "displayName": f"Team {n}", "members": one}
        for refused in (await strict.post("/Groups", body), await strict.put(path, body)):
            assert (refused.status, refused.scim_type) == (400, "invalidValue")
            assert "send an array" in refused.json["detail"]
    one = {"displayName": "Crew", "members": {"value": dana}}
    replies = (await lenient.post("/Groups", one), await lenient.put(path, {**one, "displayName": "Team"}))
    assert [reply.status for reply in replies] == [201, 200]
    added = await strict.patch(path, {"op": "add", "path": "members", "value": {"value": dana}})
    assert added.status == 200


async def test_rfc_profile_refuses_what_others_pass_over(scimd: Installation) -> None:
    org = await scimd.organization("acme")
    strict, lenient = await scimd.client(org, profile="rfc"), await scimd.client(org)
    body = {"schemas": [USER_URN], "userName": "dana", "nosuch": 1}
    refused = await strict.post("/Users", body)
    assert (refused.status, refused.scim_type) == (400, "invalidValue")
    assert "nosuch" in refused.json["detail"]
    made = await lenient.post("/Users", body)
    assert made.status == 201
    both = {"attributes": "userName", "excludedAttributes": "title"}
    assert (await strict.get("/Users", params=both)).status == 400
    path = f"/Users/{made.json['id']}"
    unknown = await strict.patch(path, {"op": "add", "path": "nosuch", "value": 1})
    assert (unknown.status, unknown.scim_type) == (400, "invalidPath")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/Users/{id}", {"Operations": [{"op": "add", "path": "title", "value": "x"}]}),
        ("PATCH", "/Groups/{group}", {"Operations": [{"op": "remove", "path": "members"}]}),
        ("POST", "/.search", {}),
        ("POST", "/Users/.search", {"count": 1}),
        ("POST", "/Bulk", {"Operations": []}),
    ],
)
async def test_rfc_profile_wants_each_message_to_say_which_it_is(
    scimd: Installation, method: str, path: str, body: dict[str, Any]
) -> None:
    """§3.4.3, §3.5.2, §3.7: ``schemas`` has the message's URI. GitHub's PATCH has none."""
    org = await scimd.organization("acme")
    strict, lenient = await scimd.client(org, profile="rfc"), await scimd.client(org)
    user = await lenient.user("dana")
    group = await lenient.group("Team", user["id"])
    path = path.format(id=user["id"], group=group["id"])
    for schemas in ({}, {"schemas": [USER_URN]}, {"schemas": None}):
        refused = await strict.send(method, path, {**schemas, **body})
        assert (refused.status, refused.scim_type) == (400, "invalidSyntax"), schemas
        assert (await lenient.send(method, path, {**schemas, **body})).status in (200, 204)


async def test_revoked_token_is_dead_at_the_next_request(scimd: Installation) -> None:
    """Lesson 25, V11."""
    org = await scimd.organization("acme")
    client, other = await scimd.client(org), await scimd.client(org, profile="okta")
    assert (await client.get("/Users")).status == 200
    first = min(await tokens.list_tokens(scimd.door, org.id), key=lambda each: each.created_at)
    await tokens.revoke(scimd.door, scimd.context(org), first.id)
    assert (await client.get("/Users")).status == 401
    assert (await other.get("/Users")).status == 200


async def test_what_nobody_foresaw_is_a_scim_error_without_internals(
    idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A47."""

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("canary-internal")

    monkeypatch.setattr(reads, "scim_users", broken)
    reply = await idp.get("/Users")
    assert reply.status == 500
    assert reply.headers["Content-Type"] == "application/scim+json"
    assert reply.json["status"] == "500"
    assert b"canary" not in reply.raw
    assert (await idp.get("/Groups")).status == 200


# ------------------------------------------------------------------------------ whose it is


async def test_two_organizations_see_nothing_of_each_other(scimd: Installation) -> None:
    """V7, lessons 4 and 6: not yours is not there, with the same bytes, for every verb."""
    ours = await scimd.client(await scimd.organization("ours"))
    theirs = await scimd.client(await scimd.organization("theirs"))
    user = await theirs.user("dana", externalId="e1", emails=[{"value": "dana@example.com"}])
    group = await theirs.group("Ops", user["id"])
    await _unseen(ours, theirs, user, group)
    twin = await ours.user("dana", externalId="e1", emails=[{"value": "dana@example.com"}])
    assert twin["id"] != user["id"]


async def test_two_sources_of_one_organization_see_nothing_of_each_other(scimd: Installation) -> None:
    org = await scimd.organization("acme")
    ours, theirs = await scimd.client(org, "one"), await scimd.client(org, "two")
    user = await theirs.user("dana", externalId="e1")
    group = await theirs.group("Ops", user["id"])
    await _unseen(ours, theirs, user, group)


async def _unseen(ours: Client, theirs: Client, user: dict[str, Any], group: dict[str, Any]) -> None:
    nobody = "01a1ff5f-0000-7000-8000-000000000000"
    before = (await theirs.get("/Users")).json, (await theirs.get("/Groups")).json
    remove = {"Operations": [{"op": "replace", "path": "displayName", "value": "taken over"}]}
    for endpoint, known, body in (
        ("Users", user["id"], {"userName": "x"}),
        ("Groups", group["id"], {"displayName": "x"}),
    ):
        for method, sent in (
            ("GET", None),
            ("HEAD", None),
            ("PUT", body),
            ("PATCH", remove),
            ("DELETE", None),
        ):
            real = await ours.send(method, f"/{endpoint}/{known}", sent)
            none = await ours.send(method, f"/{endpoint}/{nobody}", sent)
            assert real.status == none.status == 404
            assert real.raw.replace(known.encode(), b"") == none.raw.replace(nobody.encode(), b"")
        for text in (f'id eq "{known}"', "id pr", 'externalId eq "e1"'):
            found = await ours.get(f"/{endpoint}", params={"filter": text})
            assert found.json["totalResults"] == 0
        assert (await ours.get(f"/{endpoint}", params={"sortBy": "meta.created"})).json["totalResults"] == 0
    for text in (f'groups.value eq "{group["id"]}"', "groups pr"):
        assert (await ours.get("/Users", params={"filter": text})).json["totalResults"] == 0
    mine = await ours.group("Mine", user["id"], group["id"])
    assert not mine.get("members")
    assert not (await ours.get(f"/Groups/{mine['id']}")).json.get("members")
    assert (await ours.get("/Groups", params={"filter": f'members eq "{user["id"]}"'})).json[
        "totalResults"
    ] == 0
    assert ((await theirs.get("/Users")).json, (await theirs.get("/Groups")).json) == before


async def test_keys_in_another_order_are_no_change(idp: Client) -> None:
    """RFC 8259 §4: a client that writes its objects anew each time, in whatever order, changes nobody."""
    user = {"userName": "dana", "name": {"givenName": "D", "familyName": "B"}, "title": "", "active": False}
    turned = {**dict(reversed(user.items())), "name": {"familyName": "B", "givenName": "D"}}
    group = {"displayName": "Sales", "externalId": "e1"}
    for endpoint, first, again in (
        ("Users", user, turned),
        ("Groups", group, dict(reversed(group.items()))),
    ):
        made = await idp.post(f"/{endpoint}", first)
        assert made.status == 201
        for _ in range(2):
            put = await idp.put(f"/{endpoint}/{made.json['id']}", again)
            assert (put.status, put.json) == (200, made.json)
            assert put.headers["ETag"] == made.headers["ETag"]
