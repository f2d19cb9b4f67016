"""What published suites check, request by request, written down from their own files (read 2026-11-21).

- Okta: *SCIM 2.0 SPEC Test* for Runscope (developer.okta.com/standards/SCIM/SCIMFiles) and the requests
  that its CRUD test makes Okta send.
- Microsoft: *SCIM Tests*, the Postman collection of AzureAD/SCIMReferenceCode.
- scim-sanity: ``probe/tests.py`` of thomaselliottbetz/scim-sanity.

Where a suite wants what scimd decided otherwise, the test says so and holds what scimd does instead.
"""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.attributes import ENTERPRISE_URN, GROUP_URN, USER_URN
from tests.scim.serving import Client, Installation, Reply

LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_OKTA = {"Accept": "application/scim+json", "Accept-Charset": "utf-8", "User-Agent": "OKTA SCIM Integration"}
_UTF8 = {"Content-Type": "application/scim+json; charset=utf-8"}
_JSON = {"Content-Type": "application/json"}


def is_list(reply: Reply, total: int | None = None) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.raw
    body = reply.json
    assert LIST in body["schemas"]
    assert all(type(body[name]) is int for name in ("totalResults", "startIndex", "itemsPerPage"))
    assert total is None or body["totalResults"] == total
    return list(body["Resources"])


def is_error(reply: Reply, status: int) -> None:
    assert reply.status == status, reply.raw
    assert ERROR in reply.json["schemas"]
    assert reply.json["status"] == str(status)
    assert reply.json["detail"]


# ------------------------------------------------------------------------------ Okta


def okta_user(name: str, email: str) -> dict[str, Any]:
    return {
        "schemas": [USER_URN],
        "userName": name,
        "name": {"givenName": "Jordan", "familyName": "Rivera"},
        "emails": [{"primary": True, "value": email, "type": "work"}],
        "displayName": "Jordan Rivera",
        "active": True,
    }


@pytest.mark.parametrize("profile", ["default", "okta"])
async def test_okta_specification(scimd: Installation, profile: str) -> None:
    client = await scimd.client(await scimd.organization("acme"), profile=profile)
    client.headers = {**_OKTA, **_UTF8}
    first = (await client.post("/Users", okta_user("seed@example.com", "seed@example.com"))).json
    (one,) = is_list(await client.get("/Users?count=1&startIndex=1"))
    read = await client.get(f"/Users/{one['id']}")
    assert read.status == 200
    for user in (one, read.json):
        assert user["id"] == first["id"]
        assert user["name"]["familyName"]
        assert user["name"]["givenName"]
        assert user["userName"]
        assert user["active"] is True
        assert user["emails"][0]["value"]
    # The query is not encoded but for its blanks, as Runscope sends it.
    for nobody in ("nobody@example.invalid", "jordan@example.com"):
        is_list(await client.get(f'/Users?filter=userName eq "{nobody}"'), 0)
    is_error(await client.get("/Users/00919288221112222"), 404)
    random = okta_user("jordan@example.com", "jordan.primary@example.com")
    accepts = {**_JSON, "Accept": "application/scim+json; charset=utf-8"}
    made = await client.post("/Users", random, headers=accepts)
    assert made.status == 201
    assert {name: made.json[name] for name in random} == random
    again = await client.get(f"/Users/{made.json['id']}")
    assert {name: again.json[name] for name in random} == random
    twin = okta_user("jordan@example.com", "jordan@example.com")
    is_error(await client.post("/Users", twin, headers=accepts), 409)
    found = is_list(await client.get('/Users?filter=userName eq "JORDAN@EXAMPLE.COM"'), 1)
    assert found[0]["id"] == made.json["id"]
    assert is_list(await client.get("/Groups"), 0) == []
    for wrong in ("non-token", "Bearer non-token", "Basic b2t0YTp4"):
        is_error(await client.get("/Users", headers={"Authorization": wrong}), 401)


async def test_okta_crud(scimd: Installation) -> None:
    """Created with an unwanted password, found, replaced whole, switched off and on and off."""
    client = await scimd.client(await scimd.organization("acme"), profile="okta")
    sent = okta_user("riley@atko.example", "riley@atko.example")
    sent |= {"title": "Engineer", "phoneNumbers": [{"value": "415.123.4567"}], "password": "N3verSt0red!"}
    made = await client.post("/Users", sent)
    assert made.status == 201
    assert "password" not in made.json
    path = f"/Users/{made.json['id']}"
    (found,) = is_list(await client.get("/Users", params={"filter": 'userName eq "riley@atko.example"'}), 1)
    assert found["id"] == made.json["id"]
    whole = (await client.get(path)).json
    whole["name"]["givenName"] = "Rileyupdate"
    put = await client.put(path, whole)
    assert (put.status, put.json["name"]["givenName"]) == (200, "Rileyupdate")
    for active in (False, True, False):
        switched = await client.patch(path, {"op": "replace", "value": {"active": active}})
        assert (switched.status, switched.json["active"]) == (200, active)
        assert (await client.get(path)).json["active"] is active


# ------------------------------------------------------------------------------ Microsoft


def microsoft_user(user_name: str, number: int, /, **more: Any) -> dict[str, Any]:
    """As the collection writes it: ``Primary``, nulls inside, ``meta`` of its own."""
    return {
        "userName": user_name,
        "active": True,
        "addresses": [
            {"country": "Bermuda", "formatted": "9132 Way\nSouth, MI", "type": "work", "primary": False},
            {
                "country": None,
                "formatted": "18522 Unions",
                "locality": None,
                "type": "other",
                "primary": False,
            },
        ],
        "displayName": "BobIsAmazing",
        "emails": [
            {"Primary": True, "type": "work", "value": f"{user_name}@example.com"},
            {"Primary": False, "type": "home", "value": f"{user_name}@home.example"},
        ],
        "meta": {"created": "2019-09-18T18:15:26.5788954+00:00", "resourceType": "User"},
        "name": {
            "formatted": "Ryan Leenay",
            "familyName": "Leenay",
            "givenName": "Ryan",
            "honorificPrefix": None,
        },
        "roles": [],
        "externalId": f"22fbc523-6032-4c5f-939d-{number:012}",
        "schemas": [USER_URN],
        **more,
    }


@pytest.fixture
async def microsoft(scimd: Installation) -> Client:
    client = await scimd.client(await scimd.organization("acme"))
    client.headers = dict(_JSON)
    return client


async def test_microsoft_endpoints(microsoft: Client) -> None:
    """``/users`` in lower case, as the collection has it."""
    for path in ("/users", "/Users", "/groups", "/Groups"):
        assert is_list(await microsoft.get(path), 0) == []
    types = is_list(await microsoft.get("/ResourceTypes"))
    assert types[0]["endpoint"] == "/Users"
    config = await microsoft.get("/ServiceProviderConfig")
    assert (config.status, config.json["patch"]["supported"]) == (200, True)
    assert b"User Account" in (await microsoft.get("/Schemas")).raw


async def test_microsoft_users(microsoft: Client) -> None:
    one = await microsoft.post("/Users", microsoft_user("UserName123", 1))
    extension = {"Department": "bob", "Manager": {"Value": "SuzzyQ"}}
    two = await microsoft.post(
        "/Users",
        microsoft_user("UserName222", 2, schemas=[ENTERPRISE_URN, USER_URN], **{ENTERPRISE_URN: extension}),
    )
    assert (one.status, two.status) == (201, 201)
    assert two.json[ENTERPRISE_URN]["manager"]["value"] == "SuzzyQ"
    for made in (one, two):
        assert (await microsoft.get(f"/Users/{made.json['id']}")).json["id"] == made.json["id"]
    assert one.json["id"].encode() in (await microsoft.get("/Users?attributes=userName,emails")).raw
    shown = await microsoft.get("/Users/?filter=DisplayName+eq+%22BobIsAmazing%22")
    assert one.json["id"].encode() in shown.raw
    renamed = await microsoft.patch(
        f"/Users/{one.json['id']}", {"op": "replace", "path": "userName", "value": "ryan3"}
    )
    assert renamed.status == 200
    assert (await microsoft.get(f"/Users/{one.json['id']}")).json["userName"] == "ryan3"
    whole = microsoft_user("Replaced2", 2, id=two.json["id"], name={"formatted": "NewName"})
    assert (await microsoft.put(f"/Users/{two.json['id']}", whole)).status == 200
    assert (await microsoft.get(f"/Users/{two.json['id']}")).json["name"]["formatted"] == "NewName"
    for made in (one, two):
        assert (await microsoft.delete(f"/Users/{made.json['id']}")).status == 204


async def test_microsoft_complex_attributes(microsoft: Client) -> None:
    """A filter in a projection; the attribute is shown whole."""
    await microsoft.post("/Users", microsoft_user("emailName357", 1))
    for asked in ("emails%5Btype+eq+%22work%22%5D", "emails%5Bvalue+eq+%22emailName357%22%5D"):
        (user,) = is_list(await microsoft.get(f"/Users?attributes={asked}"), 1)
        assert user["emails"][0]["value"] == "emailName357@example.com"
        assert "displayName" not in user


async def test_microsoft_users_with_garbage(microsoft: Client) -> None:
    """The collection gives five users one externalId, which scimd keeps unique (V6)."""
    first = await microsoft.post("/Users", microsoft_user("OMalley", 1))
    assert (first.status, first.json["userName"], first.json["active"]) == (201, "OMalley", True)
    family = {"familyName": "Employee", "givenName": "Darl"}
    text = await microsoft.post("/Users", microsoft_user("emp1", 2, active="True", name=family))
    assert (text.status, text.json["active"]) == (201, True)
    assert b"OMalley" in (await microsoft.get("/Users")).raw
    for n, name in enumerate(("emp2", "emp3", "enterprise"), 3):
        assert (await microsoft.post("/Users", microsoft_user(name, n, name=family))).status == 201
    nameless = microsoft_user("x", 9)
    del nameless["userName"]
    is_error(await microsoft.post("/Users", nameless), 400)
    is_error(await microsoft.post("/Users", b'{"acve": tre, "adadfdresses": [{ "coudftry": "Beruda" }'), 400)
    for _ in range(2):
        is_error(await microsoft.post("/Users", microsoft_user("emp3", 4)), 409)
    path = f"/Users/{first.json['id']}"
    is_error(await microsoft.put(path, {**nameless, "userame": "OMalley"}), 400)
    misspelt = microsoft_user("OMalley", 1, adreses=[{"country": "Germany"}])
    del misspelt["addresses"]
    put = await microsoft.put(path, misspelt)
    assert put.status == 200
    assert b"ddresses" not in put.raw
    # Its reference server answers 204; scimd answers 200 with the user, as RFC 7644 §3.5.2 allows as well.
    for attribute, value in (("userName", "newusername"), ("active", False)):
        done = await microsoft.patch(path, {"op": "Replace", "path": attribute, "value": value})
        assert (done.status, done.json[attribute]) == (200, value)
    germany = microsoft_user("OMalley", 1, active=False, addresses=[{"country": "Germany", "type": "work"}])
    put = await microsoft.put(path, germany)
    assert (put.json["userName"], put.json["active"]) == ("OMalley", False)
    assert b"Germany" in put.raw
    assert len(is_list(await microsoft.get("/Users?startIndex=1&count=2"), 5)) == 2
    is_list(await microsoft.get("/Users?attributes=userName,emails"), 5)
    # The collection leaves the quotes out. One value by eq is its text; all else is no filter (lesson 10),
    # and finds what it wants with them.
    is_list(await microsoft.get("/Users", params={"filter": "name.FamilyName eq Employee"}), 4)
    for bare in ("userName sw O", "meta.Created gt 2015-10-10T14:38:21Z"):
        assert (await microsoft.get("/Users", params={"filter": bare})).scim_type == "invalidFilter"
    both = '(emails.Value co "example.com" or emails.Value co "example.org")'
    for text_, total in (
        (f'name.FamilyName eq "Employee" and {both}', 4),
        ('userName sw "O"', 1),
        ('meta.Created gt "2015-10-10T14:38:21.8617979-07:00"', 5),
    ):
        is_list(await microsoft.get("/Users", params={"filter": text_}), total)


async def test_microsoft_groups(microsoft: Client) -> None:
    vice, senior = [(await microsoft.post("/Users", microsoft_user(f"u{n}", n))).json["id"] for n in (3, 4)]
    groups = []
    for n, members in enumerate(([], [{"value": vice, "display": "VP"}], [])):
        body = {"externalId": f"g{n}", "schemas": [GROUP_URN], "displayName": f"Group{n}", "members": members}
        made = await microsoft.post("/Groups", body)
        assert made.status == 201
        groups.append(f"/Groups/{made.json['id']}")
    assert len(is_list(await microsoft.get("/Groups"), 3)) == 3
    both = [{"value": vice, "display": "VP"}, {"value": senior, "display": "SenorVP"}]
    put = {
        "schemas": [GROUP_URN],
        "id": groups[2].rpartition("/")[2],
        "displayName": "putName",
        "members": both,
    }
    assert (await microsoft.put(groups[2], put)).status == 200
    assert vice.encode() in (await microsoft.get(groups[2])).raw
    add = {
        "name": "addMember",
        "op": "add",
        "path": "members",
        "value": [{"displayName": "new", "value": senior}],
    }
    remove = {"op": "remove", "path": f'members[value eq "{senior}"]'}
    for operation in (add, remove, add):
        assert (await microsoft.patch(groups[0], operation)).status == 204
    # It looks for the name that the client gave the member; scimd shows the member's own (idps.md).
    (member,) = (await microsoft.get(groups[0])).json["members"]
    assert (member["value"], member["display"]) == (senior, "BobIsAmazing")
    assert (await microsoft.patch(groups[0], {"op": "remove", "path": "members"})).status == 204
    assert not (await microsoft.get(groups[0])).json.get("members")
    for path in groups:
        assert (await microsoft.delete(path)).status == 204


async def test_microsoft_groups_with_garbage(microsoft: Client) -> None:
    made = await microsoft.post(
        "/Groups", {"displayName": "Group 1", "externalId": "e", "schemas": [GROUP_URN]}
    )
    path = f"/Groups/{made.json['id']}"
    for text in ("string id 1", "string id 2"):
        sent = {"id": made.json["id"], "Operations": [{"op": "add", "path": "members", "value": text}]}
        assert (await microsoft.send("PATCH", path, {**sent, "schemas": [PATCH]})).status == 204
    assert (await microsoft.get(path)).status == 200
    assert "members" not in (await microsoft.get(f"{path}?excludedAttributes=members")).json
    put = await microsoft.put(path, {"id": made.json["id"], "displayName": "Tiffany", "schemas": [GROUP_URN]})
    assert (put.status, put.json["displayName"]) == (200, "Tiffany")


# ------------------------------------------------------------------------------ scim-sanity


def is_resource(reply: Reply, status: int, urn: str, endpoint: str) -> dict[str, Any]:
    assert reply.status == status, reply.raw
    body: dict[str, Any] = reply.json
    assert reply.headers["Content-Type"] == "application/scim+json"
    assert urn in body["schemas"]
    assert body["meta"]["resourceType"] == endpoint.strip("/s")
    assert body["meta"]["location"].endswith(f"{endpoint}/{body['id']}")
    assert body["meta"]["created"] <= body["meta"]["lastModified"]
    if status == 201:
        assert reply.headers["Location"] == body["meta"]["location"]
    assert reply.headers["ETag"] == body["meta"]["version"]
    return body


@pytest.mark.parametrize(("endpoint", "urn"), [("/Users", USER_URN), ("/Groups", GROUP_URN)])
async def test_scim_sanity_lifecycle(scimd: Installation, endpoint: str, urn: str) -> None:
    """With the profile ``rfc``, which answers each PATCH with the resource, as the suite wants."""
    client = await scimd.client(await scimd.organization("acme"), profile="rfc")
    named = {"userName": "sanity@test.invalid"} if endpoint == "/Users" else {}
    sent = {"schemas": [urn], "displayName": "sanity", **named}
    made = is_resource(await client.post(endpoint, sent), 201, urn, endpoint)
    path = f"{endpoint}/{made['id']}"
    assert is_resource(await client.get(path), 200, urn, endpoint) == made
    fresh = {name: value for name, value in made.items() if name != "meta"} | {"displayName": "Updated"}
    is_resource(await client.put(path, fresh), 200, urn, endpoint)
    assert (await client.get(path)).json["displayName"] == "Updated"
    attribute, value = ("active", False) if endpoint == "/Users" else ("displayName", "Patched")
    changed = await client.patch(path, {"op": "replace", "path": attribute, "value": value})
    is_resource(changed, 200, urn, endpoint)
    assert (await client.get(path)).json[attribute] == value
    if endpoint == "/Groups":
        for operation in (
            {"op": "add", "path": "members", "value": [{"value": "fake-member-id"}]},
            {"op": "remove", "path": "members"},
        ):
            assert (await client.patch(path, operation)).status == 200
    gone = await client.delete(path)
    assert (gone.status, gone.raw) == (204, b"")
    is_error(await client.get(path), 404)


async def test_scim_sanity_discovery_search_and_errors(idp: Client) -> None:
    for path in ("/ServiceProviderConfig", "/Schemas", "/ResourceTypes"):
        reply = await idp.get(path)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "application/scim+json")
    await idp.user("someone")
    is_list(await idp.get("/Users"))
    is_list(await idp.get("/Users", params={"filter": 'userName eq "nonexistent@test.invalid"'}), 0)
    assert len(is_list(await idp.get("/Users?startIndex=1&count=1"))) == 1
    assert is_list(await idp.get("/Users?count=0"), 1) == []
    is_error(await idp.get("/Users/nonexistent-id-000000"), 404)
    is_error(await idp.post("/Users", {"not": "a scim resource"}), 400)
    is_error(await idp.post("/Users", {"schemas": [USER_URN]}), 400)
