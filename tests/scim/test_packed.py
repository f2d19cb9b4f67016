"""Values within strings of JSON, and objects in a list of one: what is read, and what is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from scimd.core.attributes import ENTERPRISE_URN, GROUP, GROUP_URN, USER_URN
from scimd.scim import members_patch
from scimd.scim.errors import ScimError
from scimd.scim.nesting import MAX_DEPTH, unpacked
from scimd.scim.operations import operations_of
from scimd.scim.patch import apply
from scimd.scim.quirks.profiles import DEFAULT, RFC
from tests.scim.serving import Client, Installation
from tests.scim.test_patch import DANA, HOME, WORK, changes, op


def packed(value: Any) -> str:
    return orjson.dumps(value).decode()


CHANGED = [
    (op("replace", "name", packed({"givenName": "B"})), {"name": {"givenName": "B", "familyName": "Berg"}}),
    (
        op("replace", "name", packed({"givenName": None, "formatted": "X"})),
        {"name": {"familyName": "Berg", "formatted": "X"}},
    ),
    (op("replace", None, packed({"title": "CEO"})), {"title": "CEO"}),
    (op("add", None, packed([{"title": "CEO"}])), {"title": "CEO"}),
    (op("add", USER_URN, packed({"title": "CEO"})), {"title": "CEO"}),
    (
        op("add", "emails", packed({"value": "c@x.example", "type": "other"})),
        {"emails": [WORK, HOME, {"value": "c@x.example", "type": "other"}]},
    ),
    (op("replace", "emails", packed([{"value": "c@x.example"}])), {"emails": [{"value": "c@x.example"}]}),
    (op("replace", "emails", [packed({"value": "c@x.example"})]), {"emails": [{"value": "c@x.example"}]}),
    (op("replace", None, {"emails": packed([WORK])}), {"emails": [WORK]}),
    (op("remove", "emails", packed([{"value": "home@example.com"}])), {"emails": [WORK]}),
    (
        op("replace", 'emails[type eq "home"]', packed({"value": "c@x.example"})),
        {"emails": [WORK, {"value": "c@x.example"}]},
    ),
    (
        op("replace", ENTERPRISE_URN, packed({"department": "Ops"})),
        {ENTERPRISE_URN: {"department": "Ops", "manager": {"value": "7"}}},
    ),
    (
        op("replace", f"{ENTERPRISE_URN}:manager", packed({"value": "8"})),
        {ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "8"}}},
    ),
]


@pytest.mark.parametrize(("operation", "wanted"), CHANGED)
@pytest.mark.parametrize("profile", ["default", "keycloak", "okta", "authentik"])
def test_json_within_a_string_is_the_object_that_it_says(
    operation: dict[str, Any], wanted: dict[str, Any], profile: str
) -> None:
    """Captain-P-Goldfish/SCIM-SDK, ``PatchRequestOperation.java`` (2026-11)."""
    assert changes(operation, profile=profile) == wanted


@pytest.mark.parametrize("operation", [each for each, _ in CHANGED])
def test_json_within_a_string_is_none_by_the_letter(operation: dict[str, Any]) -> None:
    with pytest.raises(ScimError) as refused:
        changes(operation, profile="rfc")
    assert refused.value.scim_type == "invalidValue"


@pytest.mark.parametrize("text", ["x", "", "{", "[1", '{"a":1} x', "null", '"{}"', '{"a":"\udc00"}'])
def test_string_that_is_no_object_of_json_is_refused_where_one_is_wanted(text: str) -> None:
    for operation in (op("replace", "name", text), op("replace", None, text), op("add", USER_URN, text)):
        with pytest.raises(ScimError) as refused:
            changes(operation)
        assert refused.value.scim_type == "invalidValue"
        assert "an object" in refused.value.detail


def test_text_that_only_begins_like_json_is_a_value() -> None:
    assert changes(op("add", "roles", ["[Admin] x", "{y}"])) == {
        "roles": [{"value": "[Admin] x"}, {"value": "{y}"}]
    }
    assert changes(op("replace", "title", '{"a":1}')) == {"title": '{"a":1}'}, "an attribute of text"


def test_json_within_a_string_is_as_deep_as_a_body_at_most() -> None:
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert unpacked(deepest) == orjson.loads(deepest)
    for deep in (f"[{deepest}]", "[" * 900 + "]" * 900, "[" * 500_000):
        assert unpacked(deep) is deep
        with pytest.raises(ScimError):
            changes(op("replace", "name", deep))


async def test_whole_resources_have_json_within_strings_too(idp: Client) -> None:
    body = {"name": packed({"givenName": "Dana"}), "emails": packed([{"value": "d@x.example"}])}
    made = await idp.user("dana", **body)
    assert (made["name"], made["emails"]) == ({"givenName": "Dana"}, [{"value": "d@x.example"}])
    body = {"schemas": [USER_URN], "userName": "dana", "name": packed({"givenName": "D"})}
    assert (await idp.put(f"/Users/{made['id']}", body)).json["name"] == {"givenName": "D"}


# ------------------------------------------------------------------------------ one in a list


@pytest.mark.parametrize("profile", ["default", "okta", "entra", "rfc"])
@pytest.mark.parametrize("path", [None, GROUP_URN])
async def test_members_without_an_attribute_are_refused_one_as_two(
    scimd: Installation, profile: str, path: str | None
) -> None:
    """Whoever is told 204 takes them for members."""
    client = await scimd.client(await scimd.organization("acme"), profile=profile)
    made = await client.post("/Groups", {"schemas": [GROUP_URN], "displayName": "Team"})
    dana = await client.post("/Users", {"schemas": [USER_URN], "userName": "dana"})
    one = {"value": dana.json["id"]}
    for value in ([one], [one, one], [{"Value": "x", "type": "User"}], [{"$ref": "../Users/x"}]):
        reply = await client.patch(f"/Groups/{made.json['id']}", op("add", path, value))
        assert (reply.status, reply.scim_type) == (400, "invalidValue")
        assert reply.json["detail"] == "value: must be an object of attributes when there is no path"


@pytest.mark.parametrize(
    "operation",
    [
        op("add", GROUP_URN, [{"members": [{"value": "a"}]}]),
        op("add", GROUP_URN.upper(), packed({"members": [{"value": "a"}]})),
        op("add", None, packed({"members": [{"value": "a"}]})),
        op("add", None, packed([{"members": packed([{"value": "a"}])}])),
        op("add", None, {GROUP_URN: {"members": [{"value": "a"}], "displayName": "New"}}),
    ],
)
def test_members_below_the_schemas_urn_are_members(operation: dict[str, Any]) -> None:
    operations = operations_of({"Operations": [operation]}, 1, DEFAULT.rules)
    rest, change = members_patch.split(operations, DEFAULT.rules.values)
    assert list(change.add) == ["a"]
    after = apply(GROUP, {"displayName": "Team"}, rest, DEFAULT.rules)
    assert after == {"displayName": "New" if "New" in str(operation) else "Team"}


def test_members_below_the_schemas_urn_are_so_by_the_letter_too() -> None:
    operation = op("add", None, {GROUP_URN: {"members": [{"value": "a"}]}})
    operations = operations_of({"Operations": [operation]}, 1, RFC.rules)
    rest, change = members_patch.split(operations, RFC.rules.values)
    assert (rest, list(change.add)) == ((), ["a"])


# ------------------------------------------------------------------------------ as many as cost a moment


def refusal_of(*operations: dict[str, Any]) -> tuple[int, str | None]:
    with pytest.raises(ScimError) as refused:
        changes(*operations)
    return refused.value.status, refused.value.scim_type


def test_keys_that_are_paths_are_bounded_as_paths_are() -> None:
    many = {f"k{n}": 0 for n in range(100_000)}
    for value in (many, packed(many), [many], {ENTERPRISE_URN: many}):
        assert refusal_of(op("replace", None, value)) == (413, None)
    for urn in (USER_URN, ENTERPRISE_URN):
        assert refusal_of(op("replace", urn, many)) == (413, None)
    named = op("replace", "name", {"givenName": "B", "familyName": "Berg"})
    assert changes(*[named] * 100)["name"]["givenName"] == "B", "keys of one attribute are no paths"


async def test_more_operations_than_are_allowed_are_refused_before_each_is_looked_at(idp: Client) -> None:
    dana = (await idp.user("dana"))["id"]
    body = {"operations": [{}] * 200_000}
    reply = await idp.send("PATCH", f"/Users/{dana}", packed(body).encode())
    assert (reply.status, reply.scim_type) == (413, None)
    assert reply.json["detail"] == "Operations: more than the 1000 that are allowed."


def test_user_named_in_a_list_is_still_an_object_of_attributes() -> None:
    assert changes(op("replace", None, [{"title": "CEO"}])) == {"title": "CEO"}
    assert DANA["title"] == "CTO"
