"""Requests of clients that are no provider with a profile, against the default (2026-11).

Libraries and gateways, and products that push to each other: what their documents and public threads
show. Each comes to what it means, or to a refusal in SCIM's words.
"""

from __future__ import annotations

import codecs
from typing import Any

import orjson
import pytest
from yarl import URL

from tests.scim.serving import Client, Installation, Reply

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
    "text", ["userName eq dana or title pr", "userName eq 'dana'", 'emails[type eq "work"] eq "x"', ""]
)
async def test_filter_that_cannot_be_read_finds_nobody_and_says_so(idp: Client, text: str) -> None:
    """MicrosoftDocs/azure-docs#83855: were it ignored, everybody would be found."""
    await idp.user("dana")
    reply = await idp.get("/Users", params={"filter": text})
    assert (reply.status, reply.scim_type) == (400, "invalidFilter")
    assert "Resources" not in reply.json


async def asked(client: Client, query: str) -> Reply:
    """``/Users`` with the query exactly as it is written."""
    url = URL(f"{client.url}/scim/v2/Users?{query}", encoded=True)
    async with client.http.get(url, headers={"Authorization": f"Bearer {client.token}"}) as answer:
        return Reply(answer.status, answer.headers, await answer.read())


async def test_value_without_quotes_is_its_text(idp: Client) -> None:
    """WSO2 Identity Server, before each change: ``AbstractOperations.java`` of its SCIM 2 client."""
    dana = await idp.user("wso2admin")
    await idp.user("other")
    found = (await asked(idp, "filter=userName%20Eq%20wso2admin&startIndex=1&count=1")).json
    assert [each["id"] for each in found["Resources"]] == [dana["id"]]
    dev = await idp.group("dev")
    groups = (await idp.get("/Groups", params={"filter": "displayName Eq dev"})).json
    assert [each["id"] for each in groups["Resources"]] == [dev["id"]]
    managed = (await idp.get("/Users", params={"filter": "manager eq wso2admin"})).json
    assert managed["totalResults"] == 0, "as whoever has quotes asks, without the URN"


@pytest.mark.parametrize("profile", ["rfc", "okta", "entra"])
async def test_value_without_quotes_is_refused_where_nobody_sends_it(
    scimd: Installation, profile: str
) -> None:
    client = await scimd.client(await scimd.organization("acme"), profile=profile)
    await client.user("dana", schemas=[USER])
    reply = await asked(client, "filter=userName%20eq%20dana")
    assert (reply.status, reply.scim_type) == (400, "invalidFilter")


async def test_value_without_quotes_in_a_path_is_its_text(idp: Client) -> None:
    """WSO2's documents and whoever follows them, Asgardeo's clients: a member leaves so."""
    dana, erin = await idp.user("dana"), await idp.user("erin")
    team = f"/Groups/{(await idp.group('Team', dana['id'], erin['id']))['id']}"
    digits = "01901234-5678-7012-8345-678901234567"  # an id that is no number all the same
    gone = (f"members[value eq {dana['id']}]", f"members[value eq {digits}]", "members[value eq s-12345]")
    for path in gone:
        assert (await idp.patch(team, {"op": "remove", "path": path})).status == 204
        assert [each["value"] for each in (await idp.get(team)).json["members"]] == [erin["id"]]
    user = f"/Users/{dana['id']}"
    made = await idp.patch(user, {"op": "add", "path": "emails[type eq work].value", "value": "d@x.example"})
    assert made.json["emails"] == [{"type": "work", "value": "d@x.example"}]
    marked = await idp.patch(user, {"op": "add", "path": "emails[primary eq false].primary", "value": True})
    assert marked.json["emails"] == [{"type": "work", "value": "d@x.example", "primary": True}]
    for wrong in ("members[value eq x or value eq y]", "members[value eq 'x']", "members[value eq]"):
        assert (await idp.patch(team, {"op": "remove", "path": wrong})).scim_type == "invalidPath"
    number = await idp.patch(team, {"op": "remove", "path": "members[value eq 5]"})
    assert (number.status, number.scim_type) == (400, "invalidFilter")


@pytest.mark.parametrize("profile", ["rfc", "okta", "entra"])
async def test_value_without_quotes_in_a_path_is_refused_where_nobody_sends_it(
    scimd: Installation, profile: str
) -> None:
    client = await scimd.client(await scimd.organization("acme"), profile=profile)
    team = (await client.post("/Groups", {"schemas": [GROUP], "displayName": "Team"})).json["id"]
    reply = await client.patch(f"/Groups/{team}", {"op": "remove", "path": "members[value eq dana]"})
    assert (reply.status, reply.scim_type) == (400, "invalidPath")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("filter=userName%20eq%20%22jane+test@x.example%22", ["jane+test@x.example"]),
        ("filter=userName%20eq%20jane+test@x.example", ["jane+test@x.example"]),
        ("filter=userName%20eq%20%22jane%2Btest@x.example%22", ["jane+test@x.example"]),
        ("filter=userName+eq+%22jane%2Btest%40x.example%22", ["jane+test@x.example"]),
        ("filter=userName+eq+%22jane+doe%22", ["jane doe"]),
        ("filter=userName%20eq%20%22jane%20doe%22", ["jane doe"]),
        ("filter=userName%20eq%20%22jane+doe%22", []),
        ("filter=userName+eq+%22jane+doe%22&attributes=userName,%20emails", ["jane doe"]),
        ("filter=userName%20sw%20%22jane+%22&attributes=userName,+emails", ["jane+test@x.example"]),
        (
            "filter=meta.created%20gt%20%222020-01-01T00:00:00+00:00%22%20and%20userName%20co%20%22doe%22",
            ["jane doe"],
        ),
    ],
)
async def test_plus_is_itself_beside_encoded_spaces_and_else_a_space(
    idp: Client, query: str, names: list[str]
) -> None:
    """RFC 3986 §3.4 and forms: Spring leaves a plus (okta/okta-sdk-java#839), Go writes spaces so."""
    for name in ("jane+test@x.example", "jane doe", "jane test@x.example"):
        await idp.user(name)
    reply = await asked(idp, query)
    assert (reply.status, [each["userName"] for each in reply.json["Resources"]]) == (200, names), reply.raw


async def test_names_in_several_parameters_are_one_list(idp: Client) -> None:
    """Oracle Identity Governance's clients, and those that are generated from OpenAPI (``explode``)."""
    await idp.user("dana", title="CTO", nickName="D")
    told = (await asked(idp, "attributes=userName&attributes=nickName,title&excludedAttributes=title")).json
    assert set(told["Resources"][0]) == {"schemas", "id", "userName", "nickName"}
    left = (await asked(idp, "excludedAttributes=title&excludedAttributes=nickName&count=1")).json
    assert set(left["Resources"][0]) == {"schemas", "id", "userName", "active", "meta"}
    twice = await asked(idp, "count=1&count=2")
    assert (twice.status, twice.scim_type) == (400, "invalidSyntax")


async def test_plus_stays_as_it_is_where_a_list_goes_on(idp: Client) -> None:
    """RFC 9865: the query of each page is the same, however it is written."""
    for name in ("a+1", "a+2", "a 3"):
        await idp.user(name)
    query = "filter=userName%20sw%20%22a+%22&count=1&attributes=userName"
    first = (await asked(idp, f"{query}&cursor=")).json
    for same in (query, query.replace("+", "%2B"), query.replace("+", "%2B").replace("%20", "+")):
        rest = (await asked(idp, f"{same}&cursor={first['nextCursor']}")).json
        names = [each["userName"] for each in first["Resources"] + rest["Resources"]]
        assert (names, rest.get("nextCursor")) == (["a+1", "a+2"], None)


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


async def test_base_address_that_ends_in_a_slash_leads_to_the_same(idp: Client) -> None:
    """Who types it decides, and Microsoft's examples end in one; half of the clients add ``/Users`` to it."""
    made = await idp.post("//Users", {"schemas": [USER], "userName": "dana"})
    assert made.status == 201
    path = f"/Users/{made.json['id']}"
    assert made.json["meta"]["location"].endswith(f"/scim/v2{path}")
    assert (await idp.get(f"/{path}")).json == made.json
    assert (await idp.get("//users", params={"filter": 'userName eq "dana"'})).json["totalResults"] == 1
    assert (await idp.patch(f"//{path}", {"op": "add", "path": "title", "value": "CTO"})).status == 200
    for elsewhere in ("//", "/Users//", f"/Users/{path}"):
        assert (await idp.get(elsewhere)).status == 404


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
