"""Members who leave by a filter (RFC 7644 §3.5.2), on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.attributes import GROUP_URN, USER_URN
from tests.scim.serving import Client, Installation

Ids = dict[str, str]


def removing(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


async def left(idp: Client, group: str) -> set[str]:
    return {each["value"] for each in (await idp.get(group)).json.get("members", [])}


@pytest.fixture
async def ids(idp: Client) -> Ids:
    """Two people, a group, and a group of all three and of somebody who is not known yet."""
    found = {name: (await idp.user(name.lower(), displayName=name))["id"] for name in ("Ann", "Bob")}
    found["team"] = (await idp.group("Team"))["id"]
    found["all"] = (await idp.group("All", *found.values(), "later"))["id"]
    return found


@pytest.mark.parametrize(
    ("path", "stay"),
    [
        ('members[type eq "User"]', {"team"}),
        ('members.type eq "Group"', {"Ann", "Bob"}),
        ('members[display co "nn"]', {"Bob", "team"}),
        ('members[display eq "Team"]', {"Ann", "Bob"}),
        ("members[value pr]", set()),
        ('members[type eq "nosuch"]', {"Ann", "Bob", "team"}),
        ('members[value eq "nobody"]', {"Ann", "Bob", "team"}),
        ('members[$ref co "/Groups/"]', {"Ann", "Bob"}),
    ],
)
async def test_whom_the_filter_selects_leaves(idp: Client, ids: Ids, path: str, stay: set[str]) -> None:
    group = f"/Groups/{ids['all']}"
    before = (await idp.get(group)).headers["ETag"]
    reply = await idp.patch(group, removing(path))
    assert reply.status == 204, reply.raw
    assert await left(idp, group) == {ids[name] for name in stay}
    assert (reply.headers["ETag"] == before) is (len(stay) == 3)


@pytest.mark.parametrize("profile", ["default", "rfc"])
async def test_to_say_of_a_member_what_is_so_changes_nothing(scimd: Installation, profile: str) -> None:
    """§3.5.2: what is immutable may be written where nothing is modified."""
    idp = await scimd.client(await scimd.organization("acme"), profile=profile)
    made = [{"schemas": [USER_URN], "userName": name} for name in ("ann", "bob")]
    ann, bob = [(await idp.post("/Users", body)).json["id"] for body in made]
    body = {"schemas": [GROUP_URN], "displayName": "All", "members": [{"value": ann}, {"value": "later"}]}
    group = f"/Groups/{(await idp.post('/Groups', body)).json['id']}"
    shown = await idp.get(group)
    (row,) = [each for each in shown.json["members"] if each["value"] == ann]
    one = f'members[value eq "{ann}"]'
    mutability, no_target = (400, "mutability"), (400, "noTarget")
    cases: list[tuple[str, Any, Any]] = [
        (one, row, None),
        (one, [{"value": ann}], None),
        (f"{one}.type", "user", None),
        (f"{one}.value", ann, None),
        (f"{one}.$ref", row["$ref"], None),
        (one, {**row, "type": "Group"}, mutability),
        (one, {"value": bob}, mutability),
        (one, {}, mutability),
        (one, None, mutability),
        (f"{one}.type", "Group", mutability),
        (f"{one}.type", None, mutability),
        (f"{one}.value", bob, mutability),
        (f"{one}.display", "ann", mutability),
        ('members[value eq "later"].type', "User", mutability),
        ("members[value pr].type", "User", mutability),
        ("members.type", "User", mutability),
        (f'members[value eq "{bob}"].type', "User", no_target),
    ]
    for path, value, refusal in cases:
        for name in ("add", "replace"):
            reply = await idp.patch(group, {"op": name, "path": path, "value": value})
            if refusal is None:
                assert reply.status in (200, 204), (path, value, reply.raw)
            else:
                assert (reply.status, reply.scim_type) == refusal, (path, value)
    after = await idp.get(group)
    assert (after.json, after.headers["ETag"]) == (shown.json, shown.headers["ETag"])
    wrong = {"op": "replace", "path": f"{one}.type", "value": "Group"}
    whole = {"op": "replace", "path": "members", "value": [{"value": ann}]}
    assert (await idp.patch(group, wrong, whole)).scim_type == "mutability", "whatever comes after it"
    coming = {"op": "add", "path": "members", "value": [{"value": bob}]}
    said = {"op": "replace", "path": f'members[value eq "{bob}"].type', "value": "User"}
    assert (await idp.patch(group, coming, said)).status in (200, 204)
    assert await left(idp, group) == {ann, bob}


async def test_an_id_of_another_type_selects_nobody(idp: Client, ids: Ids) -> None:
    group, everybody = f"/Groups/{ids['all']}", {ids["Ann"], ids["Bob"], ids["team"]}
    other = f'members[value eq "{ids["Ann"]}" and type eq "Group"]'
    assert (await idp.patch(group, removing(other))).status == 204
    assert await left(idp, group) == everybody
    own = f'members[type eq "user" and value eq "{ids["Ann"]}"]'
    assert (await idp.patch(group, removing(own))).status == 204
    assert await left(idp, group) == everybody - {ids["Ann"]}


async def test_nested_group_that_is_named_as_a_user_stays(idp: Client, ids: Ids) -> None:
    """§3.5.2.2: only what the filter selects leaves."""
    group, everybody = f"/Groups/{ids['all']}", {ids["Ann"], ids["Bob"], ids["team"]}
    team, ann, later = (
        removing(f'members[value eq "{each}" and type eq "User"]')
        for each in (ids["team"], ids["Ann"], "later")
    )
    anew = {"op": "replace", "path": "members", "value": [{"value": each} for each in everybody]}
    for operations, stay in (
        ([team], everybody),
        ([anew, team], everybody),
        ([team, removing('members[display eq "nobody"]')], everybody),
        ([removing(f'members[value eq "{ids["team"]}"]'), team, ann, later], {ids["Bob"]}),
    ):
        assert (await idp.patch(group, *operations)).status == 204
        assert await left(idp, group) == stay
    await idp.user("later", externalId="later")
    assert await left(idp, group) == {ids["Bob"]}


async def test_whom_the_filter_negates_by_id_stays(idp: Client, ids: Ids) -> None:
    group, ann = f"/Groups/{ids['all']}", ids["Ann"]
    for path in (f'members[value ne "{ann}"]', f'members[not (value eq "{ann}")]'):
        assert (await idp.patch(group, removing(path))).status == 204
        assert await left(idp, group) == {ann}
    assert (await idp.patch(group, removing(f'members[value sw "{ann[:20]}"]'))).status == 204
    assert await left(idp, group) == set()


async def test_who_is_hidden_or_not_known_yet_leaves_too(idp: Client, ids: Ids) -> None:
    """Else they would be in the group when they appear."""
    group = f"/Groups/{ids['all']}"
    await idp.delete(f"/Users/{ids['Ann']}")
    assert (await idp.patch(group, removing("members[value pr]"))).status == 204
    await idp.user("ann", displayName="Ann")
    await idp.user("later", externalId="later")
    assert await left(idp, group) == set()


async def test_operations_around_a_filter_keep_their_order(idp: Client, ids: Ids) -> None:
    group = f"/Groups/{ids['team']}"
    reply = await idp.patch(
        group,
        {"op": "add", "path": "members", "value": [{"value": ids["Ann"]}]},
        removing('members[type eq "User"]'),
        {"op": "add", "path": "members", "value": [{"value": ids["Bob"]}]},
        {"op": "replace", "path": "displayName", "value": "Crew"},
    )
    assert reply.status == 204, reply.raw
    assert await left(idp, group) == {ids["Bob"]}
    for name, groups in (("Ann", {"All"}), ("Bob", {"All", "Crew"})):
        told = (await idp.get(f"/Users/{ids[name]}")).json["groups"]
        assert {each["display"] for each in told if each["type"] == "direct"} == groups


async def test_who_leaves_by_a_filter_loses_what_the_group_gave(scimd: Installation) -> None:
    urn = "urn:ietf:params:scim:schemas:extension:scimd:2.0:User"
    idp = await scimd.client(await scimd.organization("acme"), invite="never")
    ann = (await idp.user("ann", emails=[{"value": "ann@example.com"}]))["id"]
    group = f"/Groups/{(await idp.group('Sales', ann))['id']}"

    async def projects() -> set[str]:
        told = (await idp.get(f"/Users/{ann}", params={"attributes": urn})).json[urn]
        return {each["value"] for each in told.get("projects", [])}

    given = await projects()
    assert given
    assert (await idp.patch(group, removing('members[type eq "User"]'))).status == 204
    assert given.isdisjoint(await projects())


@pytest.mark.parametrize("value", ['[{"value":"%s"}]', ['{"value":"%s","type":"User"}']])
async def test_member_as_json_in_a_string_is_that_member(idp: Client, ids: Ids, value: Any) -> None:
    group = f"/Groups/{ids['team']}"
    told = value % ids["Ann"] if isinstance(value, str) else [each % ids["Ann"] for each in value]
    reply = await idp.patch(group, {"op": "add", "path": "members", "value": told})
    assert reply.status == 204, reply.raw
    assert await left(idp, group) == {ids["Ann"]}


async def test_objects_without_path_come_in_a_list_of_one(idp: Client, ids: Ids) -> None:
    group, ann = f"/Groups/{ids['team']}", f"/Users/{ids['Ann']}"
    added = await idp.patch(group, {"op": "add", "value": [{"members": [{"value": ids["Ann"]}]}]})
    assert added.status == 204, added.raw
    assert await left(idp, group) == {ids["Ann"]}
    assert (await idp.patch(ann, {"op": "replace", "value": [{"active": False}]})).json["active"] is False


@pytest.mark.parametrize("value", [{"members": None}, {"members": []}, None])
@pytest.mark.parametrize("profile", ["default", "rfc"])
async def test_remove_without_a_path_empties_no_group(scimd: Installation, profile: str, value: Any) -> None:
    """RFC 7644 §3.5.2.2."""
    idp = await scimd.client(await scimd.organization("acme"), profile=profile)
    urn = "urn:ietf:params:scim:schemas:core:2.0:"
    ann = await idp.post("/Users", {"schemas": [f"{urn}User"], "userName": "ann"})
    members = [{"value": ann.json["id"]}]
    made = await idp.post("/Groups", {"schemas": [f"{urn}Group"], "displayName": "All", "members": members})
    group = f"/Groups/{made.json['id']}"
    refused = await idp.patch(group, {"op": "remove", "value": value})
    assert (refused.status, refused.scim_type) == (400, "noTarget")
    assert await left(idp, group) == {ann.json["id"]}
