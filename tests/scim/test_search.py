"""A search over users and groups together: RFC 7644 §3.4.2.1, §3.4.3."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.attributes import USER_URN
from tests.scim.serving import Client, Installation
from tests.scim.test_catalogue import ruled


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('userName eq "dana" or displayName eq "Team"', ["dana", "Team"]),
        ('emails[type eq "work"] or members pr', ["dana", "Team"]),
        ('userName pr and displayName eq "Team"', []),
        ('not (userName eq "dana")', ["erik", "Team"]),
        ('userName ne "dana"', ["erik", "Team"]),
        ("userName eq null", ["Team"]),
        ("userName ne null", ["dana", "erik"]),
        ("not (members pr) and meta.resourceType pr", ["dana", "erik"]),
        (f'{USER_URN}:userName eq "dana"', ["dana"]),
    ],
)
async def test_what_a_type_does_not_have_is_unassigned_in_a_search_of_both(
    idp: Client, text: str, wanted: list[str]
) -> None:
    """§3.4.2.1: the other type's attribute is treated as one without a value."""
    dana = await idp.user("dana", emails=[{"value": "d@example.com", "type": "work"}])
    await idp.user("erik")
    await idp.group("Team", dana["id"])
    found = (await idp.post("/.search", {"filter": text})).json
    names = [each.get("userName") or each["displayName"] for each in found["Resources"]]
    assert (names, found["totalResults"]) == (wanted, len(wanted))


async def test_search_of_both_is_sorted_by_what_one_of_them_has(idp: Client) -> None:
    """§3.4.2.3: what has no value comes last, and first when descending."""
    for name in ("dana", "erik"):
        await idp.user(name)
    await idp.group("Team")
    body = {"sortBy": "userName", "sortOrder": "descending"}
    found = (await idp.post("/.search", body)).json
    names = [each.get("userName") or each["displayName"] for each in found["Resources"]]
    assert names == ["Team", "erik", "dana"]
    body["sortOrder"] = "ascending"
    found = (await idp.post("/.search", {**body, "count": 2})).json
    assert [each["userName"] for each in found["Resources"]] == ["dana", "erik"]
    for text in ("active gt true", "members gt true", 'nosuch eq "x" or userName pr'):
        assert (await idp.post("/.search", {"filter": text})).scim_type == "invalidFilter"


@pytest.mark.parametrize(
    ("query", "scim_type"),
    [
        ({"sortBy": "nosuch"}, "invalidPath"),
        ({"filter": 'nosuch eq "x"'}, "invalidFilter"),
        ({"filter": "userName pr and emails[value pr] or name.nosuch pr"}, "invalidFilter"),
        ({"filter": "nosuch[value pr]"}, "invalidFilter"),
    ],
)
async def test_what_no_type_has_is_not_said_of_users_alone(
    idp: Client, query: dict[str, str], scim_type: str
) -> None:
    for reply in (await idp.get("/", params=query), await idp.post("/.search", query)):
        assert (reply.status, reply.scim_type) == (400, scim_type)
        assert "nosuch" in reply.json["detail"]
        assert "o type of resource has" in reply.json["detail"]


@pytest.mark.parametrize("root", ["", "/"])
async def test_root_is_queried_by_get_as_by_post(idp: Client, root: str) -> None:
    """§3.4.2.1."""
    dana = await idp.user("dana", title="Engineer")
    await idp.group("Team", dana["id"])
    for query in (
        {},
        {"filter": 'userName eq "dana" or displayName eq "Team"'},
        {"filter": 'meta.resourceType eq "Group"', "attributes": "displayName"},
        {"sortBy": "userName", "sortOrder": "descending", "startIndex": "2", "count": "1"},
    ):
        body = {name: int(query[name]) if name in ("startIndex", "count") else query[name] for name in query}
        asked = await idp.get(root, params=query)
        assert (asked.status, asked.json) == (200, (await idp.post("/.search", body)).json)
    paged = (await idp.get(root, params={"cursor": "", "count": "1"})).json
    more = {"cursor": paged["nextCursor"], "count": "1"}
    (last,) = (await idp.get(root, params=more)).json["Resources"]
    assert (paged["Resources"][0]["userName"], last["displayName"]) == ("dana", "Team")
    head = await idp.send("HEAD", root)
    assert (head.status, head.raw) == (200, b"")
    assert (await idp.get(root, params={"filter": "nosuch pr"})).scim_type == "invalidFilter"


async def test_numbers_as_text_are_numbers(idp: Client) -> None:
    """Captain-P-Goldfish/SCIM-SDK, ``PostRequestBuilder.java``: every parameter is sent as text (2026-11)."""
    for name in ("dana", "erik", "finn"):
        await idp.user(name)
    body = {"startIndex": "2", "count": "1", "filter": "userName pr", "attributes": "userName,emails"}
    for path in ("/Users/.search", "/.search"):
        found = (await idp.post(path, body)).json
        assert [each["userName"] for each in found["Resources"]] == ["erik"]
        assert (found["startIndex"], found["totalResults"]) == (2, 3)
    first = (await idp.post("/Users/.search", {"count": "2", "cursor": ""})).json
    assert len(first["Resources"]) == 2
    for name, value in (("count", "two"), ("count", ""), ("startIndex", "1.5"), ("count", True)):
        reply = await idp.post("/Users/.search", {name: value})
        assert (reply.status, reply.scim_type) == (400, "invalidValue")
        assert reply.json["detail"].startswith(f"{name}: must be a whole number")


async def test_numbers_as_text_are_none_by_the_letter(scimd: Installation) -> None:
    client = await scimd.client(await scimd.organization("acme"), profile="rfc")
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}
    for name in ("count", "startIndex"):
        assert (await client.post("/.search", {**body, name: 1})).status == 200
        assert (await client.post("/.search", {**body, name: "1"})).scim_type == "invalidValue"


async def test_roots_slash_is_one(idp: Client) -> None:
    assert (await idp.get("//")).status == 404


# ------------------------------------------------------------------------------ roles and entitlements


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"filter": 'meta.resourceType eq "Role"'}, ["Lead EMEA/1", "manager", "user"]),
        ({"filter": 'value eq "gold"'}, ["gold"]),
        ({"filter": 'supported eq true or userName eq "dana"'}, ["dana", "Lead EMEA/1", "manager", "gold"]),
        ({"filter": "not (supported pr)"}, ["dana", "Team"]),
        ({"filter": 'supported ne true and meta.resourceType ne "User"'}, ["Team", "user", "Gold plan"]),
        ({"sortBy": "supported"}, ["user", "Lead EMEA/1", "manager", "Gold plan", "gold", "dana", "Team"]),
        (
            {"sortBy": "userName", "sortOrder": "descending"},
            ["Team", "Lead EMEA/1", "manager", "user", "gold", "Gold plan", "dana"],
        ),
        ({"startIndex": 2, "count": 3}, ["Team", "Lead EMEA/1", "manager"]),
        ({"startIndex": 6, "count": 9}, ["gold", "Gold plan"]),
        ({"count": 0}, []),
    ],
)
async def test_search_of_everything_finds_roles_and_entitlements(
    scimd: Installation, query: dict[str, Any], wanted: list[str]
) -> None:
    hr = await ruled(scimd)
    await hr.user("dana")
    await hr.group("Team")
    found = (await hr.post("/.search", query)).json
    assert list(map(name_of, found["Resources"])) == wanted


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("more", [{}, {"sortBy": "supported", "sortOrder": "descending"}])
async def test_cursor_goes_on_through_all_types(
    scimd: Installation, count: int, more: dict[str, str]
) -> None:
    hr = await ruled(scimd)
    await hr.user("dana")
    await hr.group("Team")
    whole = (await hr.post("/.search", more)).json
    assert whole["totalResults"] == 7
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await hr.post("/.search", {"count": count, "cursor": cursor, **more})).json
        assert page["totalResults"] == 7
        found += page["Resources"]
        cursor = page.get("nextCursor")
        assert page["Resources"]
    assert found == whole["Resources"]


async def test_what_is_not_announced_is_not_searched(idp: Client) -> None:
    await idp.user("dana")
    assert (await idp.post("/.search", {})).json["totalResults"] == 1
    assert (await idp.post("/.search", {"filter": 'value eq "user"'})).scim_type == "invalidFilter"
    assert (await idp.get("/Roles")).json["totalResults"] > 0


def name_of(resource: dict[str, Any]) -> str:
    return str(resource.get("userName") or resource.get("value") or resource["displayName"])
