"""/Roles and /Entitlements (C13): draft-ietf-scim-roles-entitlements-01, and Okta's reading of it."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.attributes import SCIMD_URN
from scimd.org.organizations import organizations
from tests.scim.serving import BASE, Client, Installation

RULES = [
    {"number": 1, "scim_role": "manager", "role": "manager"},
    {"number": 2, "scim_role": "Lead EMEA/1", "project": "EMEA"},
    {"number": 3, "entitlement": "gold", "licence": "Gold plan"},
]
ROLE = "urn:ietf:params:scim:schemas:core:2.0:Role"
OKTA_ROLE = "urn:okta:scim:schemas:core:1.0:Role"
OKTA_ENTITLEMENT = "urn:okta:scim:schemas:core:1.0:Entitlement"


async def ruled(scimd: Installation, *rules: dict[str, Any], **more: Any) -> Client:
    config = {"rule": rules or RULES}
    return await scimd.client(await scimd.organization("acme"), "hr", config=config, **more)


def ids(listed: Any) -> list[str]:
    return [each["id"] for each in listed.json["Resources"]]


async def test_roles_are_those_up_to_the_ceiling_and_what_rules_name(scimd: Installation) -> None:
    hr = await ruled(scimd)
    listed = await hr.get("/Roles")
    assert (listed.status, listed.json["totalResults"]) == (200, 3)
    assert ids(listed) == ["Lead EMEA/1", "manager", "user"], (
        "no Auditor: it reads the audit, a Manager does not"
    )
    assert listed.json["Resources"][1] == {
        "schemas": [ROLE],
        "id": "manager",
        "value": "manager",
        "display": "Manager",
        "type": "role",
        "supported": True,
        "limitedAssignmentsPermitted": False,
        "meta": {"resourceType": "Role", "location": f"{BASE}/Roles/manager"},
    }
    assert [each["supported"] for each in listed.json["Resources"]] == [True, True, False]


async def test_account_admin_is_listed_only_where_a_rule_may_give_it(scimd: Installation) -> None:
    rule = {"number": 1, "scim_role": "boss", "role": "account-admin"}
    closed = await ruled(scimd, rule, ceiling="account-admin")
    assert "account-admin" not in ids(await closed.get("/Roles"))
    org = await scimd.organization("beta")
    allowed = {**rule, "may_give_account_admin": True}
    hr = await scimd.client(org, "hr", config={"rule": [allowed]})
    assert "account-admin" in ids(await hr.get("/Roles"))


async def test_licences_and_what_rules_name_are_entitlements(scimd: Installation) -> None:
    hr = await ruled(scimd)
    listed = (await hr.get("/Entitlements")).json["Resources"]
    assert [(each["value"], each["type"], each["supported"]) for each in listed] == [
        ("gold", "licence", True),
        ("Gold plan", "licence", False),
    ]


async def test_value_from_the_list_gives_what_its_rule_says(scimd: Installation) -> None:
    hr = await ruled(scimd)
    user = await hr.user("dana@example.com", roles=[{"value": "manager"}], entitlements=[{"value": "GOLD"}])
    told = (await hr.get(f"/Users/{user['id']}", params={"attributes": SCIMD_URN})).json[SCIMD_URN]
    assert len(told["licences"]) == 1
    off = await hr.patch(f"/Users/{user['id']}", {"op": "remove", "path": 'entitlements[value eq "gold"]'})
    assert off.status == 200
    told = (await hr.get(f"/Users/{user['id']}", params={"attributes": SCIMD_URN})).json[SCIMD_URN]
    assert "licences" not in told


async def test_one_is_read_by_its_id_and_an_unknown_one_is_not_there(scimd: Installation) -> None:
    hr = await ruled(scimd)
    listed = (await hr.get("/Roles")).json["Resources"][0]
    path = listed["meta"]["location"].removeprefix(BASE)
    assert path == "/Roles/Lead%20EMEA%2F1"
    assert (await hr.get("/Roles/account-admin")).status == 404
    assert (await hr.get("/Entitlements/manager")).status == 404


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"filter": 'value eq "MANAGER"'}, ["manager"]),
        ({"filter": "supported eq true"}, ["Lead EMEA/1", "manager"]),
        ({"filter": 'display sw "l" or type eq "project"'}, ["Lead EMEA/1"]),
        ({"filter": 'id eq "user"'}, ["user"]),
        ({"filter": 'meta.resourceType eq "Group"'}, []),
        ({"sortBy": "display", "sortOrder": "descending"}, ["user", "manager", "Lead EMEA/1"]),
        ({"sortBy": "supported"}, ["user", "Lead EMEA/1", "manager"]),
        ({"startIndex": "2", "count": "1"}, ["manager"]),
        ({"count": "0"}, []),
    ],
)
async def test_lists_are_filtered_sorted_and_paged(
    scimd: Installation, query: dict[str, str], wanted: list[str]
) -> None:
    hr = await ruled(scimd)
    assert ids(await hr.get("/Roles", params=query)) == wanted
    body = {**query, **{name: int(query[name]) for name in ("startIndex", "count") if name in query}}
    assert ids(await hr.post("/Roles/.search", body)) == wanted


async def test_unknown_names_are_refused_and_cursors_walk_the_list(scimd: Installation) -> None:
    hr = await ruled(scimd)
    bad = await hr.get("/Roles", params={"filter": 'userName eq "x"'})
    assert (bad.status, bad.scim_type) == (400, "invalidFilter")
    seen, cursor = [], ""
    while True:
        page = (await hr.get("/Roles", params={"cursor": cursor, "count": "1"})).json
        seen += [each["id"] for each in page["Resources"]]
        if "nextCursor" not in page:
            break
        cursor = page["nextCursor"]
    assert seen == ["Lead EMEA/1", "manager", "user"]


async def test_nobody_writes_them(scimd: Installation) -> None:
    hr = await ruled(scimd)
    for method, path in (("POST", "/Roles"), ("PUT", "/Roles/user"), ("DELETE", "/Entitlements/gold")):
        refused = await hr.send(method, path, {"value": "x"})
        assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_other_sources_and_organizations_are_not_told(scimd: Installation) -> None:
    hr = await ruled(scimd)
    org = next(iter([await scimd.organization("beta")]))
    stranger = await scimd.client(org, "hr")
    assert ids(await stranger.get("/Entitlements")) == []
    assert "Lead EMEA/1" not in ids(await stranger.get("/Roles"))
    assert hr.org_id != stranger.org_id


async def test_they_are_announced_where_a_rule_makes_something_of_them(scimd: Installation) -> None:
    """docs/decisions/0029: a client that discovers a resource type takes it for one that it may write."""
    hr = await ruled(scimd)
    types = {each["name"]: each for each in (await hr.get("/ResourceTypes")).json["Resources"]}
    assert types["Role"]["endpoint"] == "/Roles"
    assert types["Entitlement"]["endpoint"] == "/Entitlements"
    schema = (await hr.get(f"/Schemas/{types['Role']['schema']}")).json
    assert {row["mutability"] for row in schema["attributes"]} == {"readOnly"}
    config = (await hr.get("/ServiceProviderConfig")).json["RolesAndEntitlements"]
    assert config["roles"]["supported"] is config["entitlements"]["supported"] is True
    plain = await scimd.client(await scimd.organization("beta"))
    assert {each["name"] for each in (await plain.get("/ResourceTypes")).json["Resources"]} == {
        "User",
        "Group",
    }
    assert "RolesAndEntitlements" not in (await plain.get("/ServiceProviderConfig")).json
    assert (await plain.get("/Roles")).status == 200


async def test_rfc_profile_announces_them_without_a_member_that_rfc_7643_lacks(scimd: Installation) -> None:
    """One source, two tokens: what one profile is told is not what the other is."""
    hr = await ruled(scimd)
    org = await organizations.by_slug(scimd.door, "acme")
    strict = await scimd.client(org, "hr", profile="rfc")
    for client, told in ((hr, True), (strict, False), (hr, True)):
        assert ("RolesAndEntitlements" in (await client.get("/ServiceProviderConfig")).json) is told
    types = (await strict.get("/ResourceTypes")).json["Resources"]
    assert {each["name"] for each in types} == {"User", "Group", "Role", "Entitlement"}
    assert ids(await strict.get("/Roles")) == ids(await hr.get("/Roles"))


async def test_okta_discovers_them_in_its_own_form(scimd: Installation) -> None:
    """developer.okta.com, guide "Build a SCIM 2.0 server with entitlements", 2026-11: its sequence."""
    org = await scimd.organization("acme")
    okta = await scimd.client(org, "okta", profile="okta", config={"rule": RULES})
    types = (await okta.get("/ResourceTypes")).json
    assert types["totalResults"] == len(types["Resources"]) == 4
    assert {each["name"]: each["schema"] for each in types["Resources"]} == {
        "User": "urn:ietf:params:scim:schemas:core:2.0:User",
        "Group": "urn:ietf:params:scim:schemas:core:2.0:Group",
        "Role": OKTA_ROLE,
        "Entitlement": OKTA_ENTITLEMENT,
    }
    assert {OKTA_ROLE, OKTA_ENTITLEMENT} <= {
        each["id"] for each in (await okta.get("/Schemas")).json["Resources"]
    }
    for endpoint, urn in (("/Roles", OKTA_ROLE), ("/Entitlements", OKTA_ENTITLEMENT)):
        listed = (await okta.get(endpoint, params={"startIndex": "1", "count": "100"})).json
        assert listed["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
        assert listed["totalResults"] == len(listed["Resources"]) > 0
        for each in listed["Resources"]:
            assert each["schemas"] == [urn]
            assert each["id"]
            assert each["displayName"]
    user = await okta.user(
        "dana@example.com",
        roles=[{"value": "manager", "display": "Manager"}],
        entitlements=[{"value": "gold", "display": "gold", "type": "licence"}],
    )
    assert user["entitlements"] == [{"value": "gold", "display": "gold", "type": "licence"}]
