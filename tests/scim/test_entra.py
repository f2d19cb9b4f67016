"""Entra ID's documented requests: learn.microsoft.com, use-scim-to-provision-users-and-groups and
application-provisioning-config-problem-scim-compatibility (2026-11)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from scimd.core.attributes import ENTERPRISE_URN, SCIMD_URN, USER_URN
from tests.scim.serving import Client, Installation

NEW: dict[str, Any] = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE_URN],
    "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
    "userName": "Test_User_ab6490ee",
    "active": True,
    "emails": [{"primary": True, "type": "work", "value": "Test_User_fd0ea19b@testuser.com"}],
    "meta": {"resourceType": "User"},
    "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
    "roles": [],
}
GROUP: dict[str, Any] = {
    "schemas": [
        "urn:ietf:params:scim:schemas:core:2.0:Group",
        "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group",
    ],
    "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
    "displayName": "displayName",
    "meta": {"resourceType": "Group"},
}


@pytest.fixture(params=["entra", "default"])
async def entra(request: pytest.FixtureRequest, scimd: Installation) -> Client:
    return await scimd.client(await scimd.organization("acme"), "entra", profile=request.param)


async def found(client: Client, endpoint: str, text: str, **more: str) -> dict[str, Any]:
    reply = await client.get(endpoint, params={"filter": text, **more})
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("application/scim+json")
    return dict(reply.json)


async def says(client: Client, user_id: str) -> dict[str, Any]:
    return dict((await client.get(f"/Users/{user_id}", params={"attributes": SCIMD_URN})).json[SCIMD_URN])


async def test_connection_is_tested_with_people_and_groups_that_do_not_exist(entra: Client) -> None:
    assert (await found(entra, "/Users", 'userName eq "non-existent user"'))["Resources"] == []
    missing = await found(entra, "/Groups", 'displayName eq "2c6b6d0a"', excludedAttributes="members")
    assert missing["totalResults"] == 0


async def test_user_is_created_found_updated_disabled_enabled_deleted(entra: Client) -> None:
    made = await entra.post("/Users", NEW)
    assert made.status == 201
    path = f"/Users/{made.json['id']}"
    assert {key: made.json[key] for key in ("externalId", "userName", "active", "emails", "name")} == {
        key: NEW[key] for key in ("externalId", "userName", "active", "emails", "name")
    }
    for text in (
        f'userName eq "{NEW["userName"]}"',
        f'externalId eq "{NEW["externalId"]}"',
        f'emails[type eq "work"].value eq "{NEW["emails"][0]["value"]}"',
    ):
        assert [each["id"] for each in (await found(entra, "/Users", text))["Resources"]] == [made.json["id"]]

    many = await entra.patch(
        path,
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "updatedEmail@microsoft.com"},
        {"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"},
    )
    assert many.status == 200
    assert many.json["emails"][0] == {"primary": True, "type": "work", "value": "updatedEmail@microsoft.com"}
    assert many.json["name"]["familyName"] == "updatedFamilyName"
    one = await entra.patch(path, {"op": "Replace", "path": "userName", "value": "5b50642d@testuser.com"})
    assert one.json["userName"] == "5b50642d@testuser.com"

    off = await entra.patch(path, {"op": "Replace", "path": "active", "value": "False"})
    assert off.json["active"] is False
    assert (await found(entra, "/Users", 'userName eq "5b50642d@testuser.com"'))["totalResults"] == 1
    assert (await says(entra, made.json["id"]))["status"] == "inactive"
    on = await entra.patch(path, {"op": "Replace", "path": "active", "value": "True"})
    assert on.json["active"] is True
    assert (await entra.patch(path, {"op": "replace", "path": "active", "value": False})).json[
        "active"
    ] is False

    assert (await entra.delete(path)).status == 204
    gone = await entra.get(path)
    assert (gone.status, gone.json["status"]) == (404, "404")
    assert (await found(entra, "/Users", 'userName eq "5b50642d@testuser.com"'))["Resources"] == []


async def test_patches_with_and_without_the_flag_come_to_the_same(entra: Client) -> None:
    number = f"{ENTERPRISE_URN}:employeeNumber"
    old = [
        {"op": "Replace", "path": "displayName", "value": "Pvlo"},
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "t@test.microsoft.com"},
        {"op": "Replace", "path": "name.givenName", "value": "Gtfd"},
        {"op": "Replace", "path": "name.familyName", "value": "Pkqf"},
        {"op": "Replace", "path": number, "value": "Eqpj"},
        {"op": "Add", "path": "nickName", "value": "Babs"},
    ]
    new = [
        {"op": "replace", "path": 'emails[type eq "work"].value', "value": "t@test.microsoft.com"},
        {
            "op": "replace",
            "value": {
                "displayName": "Pvlo",
                "name.givenName": "Gtfd",
                "name.familyName": "Pkqf",
                number: "Eqpj",
                "nickName": "Babs",
            },
        },
    ]
    results = []
    for n, operations in enumerate((old, new)):
        user = await entra.user(f"u{n}", name={"givenName": "x"})
        changed = (await entra.patch(f"/Users/{user['id']}", *operations)).json
        results.append(
            {key: value for key, value in changed.items() if key not in ("id", "meta", "userName")}
        )
    assert results[0] == results[1]
    assert results[0]["emails"] == [{"type": "work", "value": "t@test.microsoft.com"}]
    assert results[0][ENTERPRISE_URN] == {"employeeNumber": "Eqpj"}


async def test_values_that_match_nothing_are_made(entra: Client) -> None:
    user = await entra.user("u")
    changed = await entra.patch(
        f"/Users/{user['id']}",
        {"op": "Add", "path": 'emails[type eq "work"].value', "value": "w@x.org"},
        {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "Admin"},
        {"op": "Replace", "path": 'phoneNumbers[type eq "mobile"].value', "value": "+47"},
        {"op": "Add", "path": 'addresses[type eq "work"].locality', "value": "Oslo"},
        {"op": "Add", "path": f"{ENTERPRISE_URN}:manager", "value": "boss-1"},
    )
    assert changed.status == 200, changed.raw
    got = changed.json
    assert got["emails"] == [{"type": "work", "value": "w@x.org"}]
    assert got["roles"] == [{"primary": True, "value": "Admin"}]
    assert got["phoneNumbers"] == [{"type": "mobile", "value": "+47"}]
    assert got["addresses"] == [{"type": "work", "locality": "Oslo"}]
    assert got[ENTERPRISE_URN]["manager"] == {"value": "boss-1"}


async def test_group_is_created_matched_filled_emptied_deleted(entra: Client) -> None:
    user = await entra.user("member")
    made = await entra.post("/Groups", GROUP)
    assert made.status == 201
    group_id = made.json["id"]
    path = f"/Groups/{group_id}"
    bare = await entra.get(path, params={"excludedAttributes": "members"})
    assert "members" not in bare.json
    by_name = await found(entra, "/Groups", 'displayName eq "displayName"', excludedAttributes="members")
    assert [each["id"] for each in by_name["Resources"]] == [group_id]
    twin = await entra.post("/Groups", {**GROUP, "externalId": "other", "displayName": "DISPLAYNAME"})
    assert (twin.status, twin.scim_type) == (409, "uniqueness")

    renamed = await entra.patch(path, {"op": "Replace", "path": "displayName", "value": "renamed"})
    assert (renamed.status, renamed.raw) == (204, b"")
    member = {"$ref": None, "value": user["id"]}
    for _ in range(2):  # adding whoever is in already changes nothing
        added = await entra.patch(path, {"op": "Add", "path": "members", "value": [member]})
        assert added.status == 204
    assert len((await entra.get(path)).json["members"]) == 1
    asked = f'id eq "{group_id}" and members eq "{user["id"]}"'
    assert (await found(entra, "/Groups", asked, excludedAttributes="members"))["totalResults"] == 1

    assert (await entra.patch(path, {"op": "Remove", "path": "members", "value": [member]})).status == 204
    assert (await found(entra, "/Groups", asked, excludedAttributes="members"))["totalResults"] == 0
    await entra.patch(path, {"op": "Add", "path": "members", "value": [member]})
    with_flag = {"op": "remove", "path": f'members[value eq "{user["id"]}"]'}
    assert (await entra.patch(path, with_flag)).status == 204
    assert not (await entra.get(path)).json.get("members")
    assert (await entra.delete(path)).status == 204
    assert (await found(entra, "/Groups", 'displayName eq "renamed"'))["totalResults"] == 0


async def test_twenty_members_added_at_once_are_all_there(entra: Client) -> None:
    group = (await entra.post("/Groups", GROUP)).json
    users = [await entra.user(f"u{n}") for n in range(20)]
    replies = await asyncio.gather(
        *(
            entra.patch(
                f"/Groups/{group['id']}", {"op": "Add", "path": "members", "value": [{"value": each["id"]}]}
            )
            for each in users
        )
    )
    assert {reply.status for reply in replies} == {204}
    members = (await entra.get(f"/Groups/{group['id']}")).json["members"]
    assert {each["value"] for each in members} == {each["id"] for each in users}


async def test_memberships_wait_for_whoever_is_disabled_and_enabled(entra: Client) -> None:
    user = await entra.user("u", emails=[{"value": "u@example.com"}])
    group = (await entra.post("/Groups", GROUP)).json
    await entra.patch(
        f"/Groups/{group['id']}", {"op": "Add", "path": "members", "value": [{"value": user["id"]}]}
    )
    before = await says(entra, user["id"])
    assert before["projects"]

    path = f"/Users/{user['id']}"
    await entra.patch(path, {"op": "Replace", "path": "active", "value": "False"})
    off = await says(entra, user["id"])
    assert off["status"] == "inactive"
    assert not off.get("projects")
    assert not off.get("seat")

    # Entra does not send the memberships again.
    await entra.patch(path, {"op": "Replace", "path": "active", "value": "True"})
    assert await says(entra, user["id"]) == before
    assert [each["value"] for each in (await entra.get(path)).json["groups"]] == [group["id"]]


#: How a manager is told of, and whom the user then has for one, of "old" before.
MANAGERS: list[tuple[dict[str, Any], str | None]] = [
    ({"op": "Remove", "path": "manager"}, None),
    ({"op": "Remove", "path": f"{ENTERPRISE_URN}.manager"}, None),
    ({"op": "remove", "path": "Manager.value"}, None),
    ({"op": "Replace", "path": "manager", "value": "m"}, "m"),
    ({"op": "Replace", "path": "manager", "value": ""}, None),
    ({"op": "Replace", "path": "manager", "value": [{"$ref": None, "value": "m"}]}, "m"),
    ({"op": "Replace", "path": "manager", "value": {"value": ""}}, None),
    ({"op": "Replace", "path": "manager.value", "value": "m"}, "m"),
    ({"op": "Replace", "path": "manager.value", "value": ""}, None),
    ({"op": "Add", "path": f"{ENTERPRISE_URN}.manager", "value": "m"}, "m"),
    ({"op": "Replace", "path": f"{ENTERPRISE_URN.lower()}.manager.value", "value": "m"}, "m"),
    ({"op": "Replace", "path": ENTERPRISE_URN, "value": {"manager": [{"value": "m"}]}}, "m"),
    ({"op": "replace", "value": {"manager": "m"}}, "m"),
    ({"op": "replace", "value": {"manager": ""}}, None),
    ({"op": "replace", "value": {"manager.value": "m"}}, "m"),
    ({"op": "replace", "value": {f"{ENTERPRISE_URN}.manager": {"value": "m"}}}, "m"),
    ({"op": "replace", "value": {ENTERPRISE_URN: {"manager": "m"}}}, "m"),
    ({"op": "replace", "value": {"manager": "x", f"{ENTERPRISE_URN}:manager": "m"}}, "m"),
]


@pytest.mark.parametrize(("operation", "wanted"), MANAGERS, ids=[str(each[0]) for each in MANAGERS])
async def test_manager_is_changed_in_every_form(
    entra: Client, operation: dict[str, Any], wanted: str | None
) -> None:
    """With aadOptscim062020 and without, with the URN and without; a test collection has a dot after it."""
    user = await entra.user("u", **{ENTERPRISE_URN: {"department": "d", "manager": {"value": "old"}}})
    reply = await entra.patch(f"/Users/{user['id']}", operation)
    assert reply.status == 200, reply.raw
    managed = {} if wanted is None else {"manager": {"value": wanted}}
    assert reply.json[ENTERPRISE_URN] == {"department": "d", **managed}


@pytest.mark.parametrize(
    "told",
    [
        {"manager": "m", f"{ENTERPRISE_URN}:department": "d"},
        {"manager": {"value": "m"}, f"{ENTERPRISE_URN}.department": "d"},
        {"manager": [{"value": "m", "$ref": None}], ENTERPRISE_URN: {"department": "d"}},
        {"manager.value": "m", ENTERPRISE_URN.upper(): {"department": "d"}},
        {f"{ENTERPRISE_URN}:manager": "m", ENTERPRISE_URN: {"department": "d"}},
        {f"{ENTERPRISE_URN}:manager.value": "m", f"{ENTERPRISE_URN.lower()}:Department": "d"},
        {f"{ENTERPRISE_URN}:manager": "m", "manager": "m", ENTERPRISE_URN: {"department": "d"}},
    ],
)
async def test_manager_and_department_are_created_in_every_form(entra: Client, told: dict[str, Any]) -> None:
    wanted = {"department": "d", "manager": {"value": "m"}}
    made = await entra.post("/Users", {"userName": "u", **told})
    assert (made.status, made.json[ENTERPRISE_URN]) == (201, wanted), made.raw
    path = f"/Users/{made.json['id']}"
    assert (await entra.put(path, {"userName": "u", **told})).json[ENTERPRISE_URN] == wanted
    none = await entra.put(path, {"userName": "u", "manager": "", f"{ENTERPRISE_URN}:department": "d"})
    assert none.json[ENTERPRISE_URN] == {"department": "d"}


async def test_people_are_found_by_their_manager_without_the_urn(entra: Client) -> None:
    """use-scim-to-provision-users-and-groups: whether a reference is there, asked before it is written."""
    user = await entra.user("u", **{ENTERPRISE_URN: {"manager": {"value": "m1"}}})
    await entra.user("v", **{ENTERPRISE_URN: {"manager": {"value": "m2"}}})
    for text, wanted in (
        (f'id eq "{user["id"]}" and manager eq "m1"', 1),
        (f'id eq "{user["id"]}" and manager eq "m2"', 0),
        ('Manager.value eq "m1" or not (manager pr)', 1),
        ('manager pr and userName sw "u"', 1),
    ):
        told = await found(entra, "/Users", text, attributes="id")
        assert [each["id"] for each in told["Resources"]] == [user["id"]] * wanted, text
    search = {"filter": 'manager eq "m1"', "attributes": ["id"]}
    for path in ("/.search", "/Users/.search"):
        assert [each["id"] for each in (await entra.post(path, search)).json["Resources"]] == [user["id"]]
    other = await entra.get("/Groups", params={"filter": 'manager eq "m1"'})
    assert (other.status, other.scim_type) == (400, "invalidFilter")


@pytest.mark.parametrize("profile", ["okta", "authentik", "rfc"])
async def test_other_profiles_know_no_manager_without_the_urn(scimd: Installation, profile: str) -> None:
    other = await scimd.client(await scimd.organization("acme"), profile=profile)
    reply = await other.get("/Users", params={"filter": 'manager eq "m1"'})
    assert (reply.status, reply.scim_type) == (400, "invalidFilter")


async def test_messages_keys_are_read_in_any_case(entra: Client) -> None:
    """RFC 7643 §2.1: what the profile does, it does for them too."""
    user = await entra.user("u")
    role = '{"id":"06b07648","value":"Admin","displayName":"Admin"}'
    reply = await entra.send(
        "PATCH",
        f"/Users/{user['id']}",
        {
            "operations": [
                {"OP": "Replace", "Path": "manager", "VALUE": "m1"},
                {"op": "Add", "PATH": "roles", "value": [{"value": role}]},
            ]
        },
    )
    assert reply.json[ENTERPRISE_URN]["manager"] == {"value": "m1"}
    assert [each["value"] for each in reply.json["roles"]] == ["Admin"]


ROLE = '{"id":"06b07648-ecfe-589f-9d2f-6325724a46ee","value":"25","displayName":"Role1234"}'


async def test_app_roles_come_as_objects_and_as_json_within_a_string(entra: Client) -> None:
    """customize-application-attributes, "Provisioning a role to a SCIM app": POST and PATCH differ."""
    kind = {"type": "WindowsAzureActiveDirectoryRole"}
    user = await entra.post(
        "/Users",
        {
            "schemas": NEW["schemas"][:1],
            "userName": "alias@contoso.example",
            "roles": [
                {"primary": False, **kind, "display": "Admin", "value": "Admin"},
                {"primary": False, **kind, "displayName": "User", "value": "User"},
            ],
        },
    )
    admin, plain = ({"primary": False, **kind, "display": name, "value": name} for name in ("Admin", "User"))
    assert user.json["roles"] == [admin, plain]
    path = f"/Users/{user.json['id']}"
    again = {"value": ROLE.replace("25", "Admin").replace("Role1234", "Admin")}
    added = await entra.patch(path, {"op": "Add", "path": "roles", "value": [again, {"value": ROLE}]})
    new = {**kind, "value": "25", "display": "Role1234"}
    assert added.json["roles"] == [admin, plain, new], "a role that is there is no second one"
    removed = await entra.patch(path, {"op": "Remove", "path": "roles", "value": [again]})
    assert removed.json["roles"] == [plain, new]
    odd = await entra.patch(path, {"op": "Replace", "path": "roles", "value": [{"value": "{no json"}]})
    assert odd.json["roles"] == [{"value": "{no json"}]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "Add", "path": f"{USER_URN}:roles", "value": [{"value": ROLE}]},
        {"op": "Add", "path": f"{USER_URN}.Roles", "value": ROLE},
        {"op": "Add", "value": {"roles": [{"value": ROLE}]}},
        {"op": "Add", "value": {f"{USER_URN}:roles": [{"value": ROLE}]}},
        {"op": "Add", "value": {USER_URN: {"roles": {"value": ROLE}}}},
        {"op": "Add", "path": USER_URN, "value": {"roles": [ROLE]}},
        {"op": "Add", "path": 'roles[primary eq "True"].value', "value": ROLE},
        {"op": "Add", "path": 'roles[primary eq "True"]', "value": {"value": ROLE}},
        {"op": "Replace", "path": f'{USER_URN}:roles[type eq "x]"].value', "value": ROLE},
    ],
    ids=str,
)
async def test_app_roles_are_unwrapped_wherever_they_stand(entra: Client, operation: dict[str, Any]) -> None:
    user = await entra.user("u")
    reply = await entra.patch(f"/Users/{user['id']}", operation)
    assert reply.status == 200, reply.raw
    assert [each["value"] for each in reply.json["roles"]] == ["25"]
    named = await entra.patch(
        f"/Users/{user['id']}", {"op": "Add", "path": 'roles[value eq "25"].displayName', "value": "Boss"}
    )
    assert named.json["roles"][0]["display"] == "Boss"


async def test_single_value_in_a_list_is_that_value(entra: Client) -> None:
    """MicrosoftDocs/azure-docs#42220; what is a list stays one. Of groups as of users."""
    path = f"/Users/{(await entra.post('/Users', NEW)).json['id']}"
    boxed = [{"$ref": None, "value": "User X"}]
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    reply = await entra.patch(
        path,
        {"op": "Replace", "path": "displayName", "value": boxed},
        {"op": "Replace", "path": "name.givenName", "value": boxed},
        {"op": "Replace", "path": f"{enterprise}:department", "value": boxed},
        {"op": "Replace", "path": "active", "value": [{"$ref": None, "value": "False"}]},
        {"op": "Replace", "path": "roles", "value": [{"$ref": None, "value": "Admin"}]},
    )
    assert reply.status == 200, reply.raw
    said = reply.json
    assert (said["displayName"], said["name"]["givenName"], said["active"]) == ("User X", "User X", False)
    assert (said[enterprise]["department"], said["roles"][0]["value"]) == ("User X", "Admin")
    group = f"/Groups/{(await entra.post('/Groups', GROUP)).json['id']}"
    renamed = await entra.patch(group, {"op": "Replace", "path": "displayName", "value": [{"value": "G"}]})
    assert renamed.status == 204, renamed.raw
    assert (await entra.get(group)).json["displayName"] == "G"


async def test_validators_patch_of_no_operation_is_done(scimd: Installation) -> None:
    """scimmyjs/scimmy#59: Microsoft's SCIM Validator sends it; RFC 7644 wants one operation at least."""
    org = await scimd.organization("acme")
    entra, other = [await scimd.client(org, profile=profile) for profile in ("entra", "default")]
    user, group = (await entra.post("/Users", NEW)).json, (await entra.post("/Groups", GROUP)).json
    for path, status in ((f"/Users/{user['id']}", 200), (f"/Groups/{group['id']}", 204)):
        tag = (await entra.get(path)).headers["ETag"]
        assert (await entra.patch(path)).status == status
        assert (await entra.get(path)).headers["ETag"] == tag
        assert (await other.patch(path)).status == 400
