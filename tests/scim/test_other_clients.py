"""Requests of clients that are no provider with a profile, against the default (2026-11).

Libraries and gateways, and products that push to each other: what their documents and public threads
show. Each comes to what it means, or to a refusal in SCIM's words.
"""

from __future__ import annotations

import codecs
from typing import Any

import orjson
import pytest

from tests.scim.serving import Client

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

#: Who sends it, the operations, and what the user then says.
CHANGES: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("GitLab: active as text", [{"op": "Replace", "path": "active", "value": "false"}], {"active": False}),
    ("GitHub: no path", [{"op": "replace", "value": {"active": False}}], {"active": False}),
    (
        "sourcegraph#48430: dotted keys without a path, a sub-attribute of a list",
        [
            {"op": "add", "path": "displayName", "value": "Dave Test"},
            {"op": "replace", "value": {"name.givenName": "Dave", "nickName": "Testie"}},
            {"op": "add", "path": "emails.value", "value": "email2@company.example"},
        ],
        {"displayName": "Dave Test", "name": {"givenName": "Dave"}, "nickName": "Testie"},
    ),
    (
        "scim-patch#207: an extension's attributes as URN keys",
        [{"op": "replace", "value": {f"{ENTERPRISE}:organization": "O", f"{ENTERPRISE}:division": "D"}}],
        {ENTERPRISE: {"organization": "O", "division": "D"}},
    ),
    (
        "SailPoint, midPoint: an extension as a path, as a nested value",
        [
            {"op": "replace", "path": ENTERPRISE, "value": {"department": "Q"}},
            {"op": "add", "value": {ENTERPRISE: {"costCenter": "4130"}}},
        ],
        {ENTERPRISE: {"department": "Q", "costCenter": "4130"}},
    ),
    (
        "scim-for-keycloak, SCIM-SDK: what is read-only comes back with the rest",
        [
            {
                "op": "replace",
                "value": {"id": "x", "meta": {"resourceType": "User"}, "groups": [], "title": "T"},
            }
        ],
        {"title": "T"},
    ),
    ("Oracle IDCS: full URNs", [{"op": "replace", "path": f"{USER}:title", "value": "T"}], {"title": "T"}),
    (
        "open-webui#30074: externalId is added",
        [{"op": "add", "path": "externalId", "value": "e"}],
        {"externalId": "e"},
    ),
    (
        "better-auth#10421: a remove is done",
        [{"op": "remove", "path": "name.formatted"}],
        {"name": {"familyName": "F"}},
    ),
    (
        "IBM Verify, CyberArk: values of lists by type, made where there are none",
        [
            {"op": "add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "123"},
            {"op": "replace", "path": 'addresses[type eq "work"].streetAddress', "value": "S 1"},
        ],
        {
            "phoneNumbers": [{"type": "mobile", "value": "123"}],
            "addresses": [{"type": "work", "streetAddress": "S 1"}],
        },
    ),
]


@pytest.mark.parametrize(("who", "operations", "wanted"), CHANGES, ids=[each[0] for each in CHANGES])
async def test_change_comes_to_what_it_means(
    idp: Client, who: str, operations: list[dict[str, Any]], wanted: dict[str, Any]
) -> None:
    made = await idp.user("dana", name={"familyName": "F", "formatted": "D F"})
    # None of these sends the message's schema reliably.
    reply = await idp.send("PATCH", f"/Users/{made['id']}", {"Operations": operations})
    assert reply.status == 200, (who, reply.raw)
    for name, value in wanted.items():
        said = reply.json[name]
        assert (value.items() <= said.items()) if isinstance(value, dict) else (said == value), (name, said)


@pytest.mark.parametrize(
    "text",
    [
        'userName Eq "dana"',
        'USERNAME eq "DANA"',
        f'{USER}:userName eq "dana"',
        'userName eq "dana" and active eq true',
        'emails eq "dana@x.example" or userName eq "dana"',
        'emails[primary eq true].value eq "dana@x.example"',
        'meta.lastModified gt "2011-05-13T04:42:34Z" and userName sw "da"',
        f'schemas eq "{USER}" and externalId eq "x"',
        f'({ENTERPRISE}:department eq "Ops")',
    ],
)
async def test_looked_up_in_many_ways_it_is_the_same_person(idp: Client, text: str) -> None:
    """awslabs/ssosync, scimgateway, wso2#5139, PingFederate, Oracle IDCS, midPoint."""
    dana = await idp.user(
        "dana",
        externalId="x",
        emails=[{"value": "dana@x.example", "primary": True}],
        **{ENTERPRISE: {"department": "Ops"}},
    )
    await idp.user("other", emails=[{"value": "other@x.example", "primary": True}])
    found = (await idp.get("/Users", params={"filter": text, "startIndex": "1", "count": "2"})).json
    assert [each["id"] for each in found["Resources"]] == [dana["id"]]


@pytest.mark.parametrize(
    "text", ["userName eq akadmin", "userName eq 'dana'", 'emails[type eq "work"] eq "x"']
)
async def test_filter_that_cannot_be_read_finds_nobody_and_says_so(idp: Client, text: str) -> None:
    """authentik#16455, MicrosoftDocs/azure-docs#83855: were it ignored, everybody would be found."""
    await idp.user("dana")
    reply = await idp.get("/Users", params={"filter": text})
    assert (reply.status, reply.scim_type) == (400, "invalidFilter")
    assert "Resources" not in reply.json


@pytest.mark.parametrize(
    "members",
    [
        lambda key: {"value": key},
        lambda key: [key],
        lambda key: key,
        lambda key: [{"value": key, "type": "User", "display": "x", "$ref": f"../Users/{key}"}],
        lambda key: [{"value": key, "$ref": None}],
    ],
    ids=["an object", "a list of ids", "an id", "with all there is", "with a null"],
)
async def test_members_in_every_shape_are_those_members(idp: Client, members: Any) -> None:
    """Zoom and Slack style clients, python-scim, scimgateway; Rippling and WorkOS by their documents."""
    dana, erin = await idp.user("dana"), await idp.user("erin")
    team = (await idp.group("Team", erin["id"]))["id"]
    path = f"/Groups/{team}"
    for op, wanted in (
        ("add", {dana["id"], erin["id"]}),
        ("remove", {erin["id"]}),
        ("replace", {dana["id"]}),
    ):
        one = {"op": op, "path": "members", "value": members(dana["id"])}
        assert (await idp.send("PATCH", path, {"Operations": [one]})).status == 204
        assert {each["value"] for each in (await idp.get(path)).json["members"]} == wanted
    body = {"schemas": [GROUP], "displayName": "Team", "members": None, "id": None, "meta": None}
    assert (await idp.put(path, body)).status == 200


async def test_body_with_a_byte_order_mark_is_read(idp: Client) -> None:
    """.NET's StreamWriter sets one; RFC 8259 §8.1 lets a reader pass over it."""
    body = codecs.BOM_UTF8 + orjson.dumps({"schemas": [USER], "userName": "dana"})
    assert (await idp.post("/Users", body)).status == 201
    assert (await idp.post("/Users", codecs.BOM_UTF8)).scim_type == "invalidSyntax"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Type", "application/json; charset=UTF-8"),
        ("Content-Type", "application/scim+json;charset=utf-8"),
        ("Accept", "application/json"),
        ("Accept", "*/*"),
        ("Accept", "application/scim+json, application/json;q=0.9"),
    ],
)
async def test_headers_of_common_http_libraries_are_taken(idp: Client, header: str, value: str) -> None:
    reply = await idp.post("/Users", {"schemas": [USER], "userName": "dana"}, headers={header: value})
    assert (reply.status, reply.headers["Content-Type"]) == (201, "application/scim+json")


async def test_attributes_below_the_schemas_own_urn_are_those_beside_it(idp: Client) -> None:
    """limosa-io/scimverify, the suite behind verify.scim.dev: "Creates a new user - Alternative 2"."""
    inner = {"userName": "dana", "emails": [{"value": "dana@x.example"}]}
    made = await idp.post("/Users", {"schemas": [USER], USER: inner})
    assert (made.status, {key: made.json[key] for key in inner}) == (201, inner)
    path = f"/Users/{made.json['id']}"
    put = await idp.put(path, {"schemas": [USER], USER: inner, "title": "CTO"})
    assert (put.json["title"], put.json["emails"]) == ("CTO", inner["emails"])
    patched = await idp.patch(path, {"op": "replace", "value": {USER: {"title": "CEO"}}})
    assert patched.json["title"] == "CEO"
    members = [{"value": made.json["id"]}]
    team = await idp.post("/Groups", {"schemas": [GROUP], GROUP: {"displayName": "T", "members": members}})
    assert (team.status, [each["value"] for each in team.json["members"]]) == (201, [made.json["id"]])
    twice = await idp.put(path, {"schemas": [USER], "userName": "erin", USER: inner})
    assert (twice.status, twice.scim_type) == (400, "invalidValue")
