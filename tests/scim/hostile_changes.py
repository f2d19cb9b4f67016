"""Changes: paths and operations of PATCH, members, bulk requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scimd.core.attributes import ENTERPRISE_URN
from tests.scim.hostile import GROUP, NOBODY, USER, Hostile, Victims, json, numbered, patch_of
from tests.scim.hostile_bodies import UNKNOWN

BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"

#: No path of the grammar (RFC 7644 §3.5.2, figure 7), none that a user has, or none that may be written.
PATHS = [
    " ", ".", "..", "/", "//", "*", "?", "#", "[", "]", "[]", "()", '"', "'", "\\", "$", "$.userName",
    "/userName", "/emails/0/value", "emails/0", "emails[0]", "emails[0].value", "emails[*].value",
    "emails.*", "emails.0", "emails[", "emails]", "emails[]", "emails[].value", "emails[ ].value",
    "emails[type]", "emails[type eq]", "emails[type eq work]", "emails[type eq 'work']",
    'emails[type eq "work"', 'emails[type eq "work"]]', 'emails[type eq "work"]value',
    'emails[type eq "work"]..value', 'emails[type eq "work"].', 'emails[type eq "work"].value.x',
    'emails[type eq "work"].nosuch', 'emails[type eq "work"][value pr]', 'emails[nosuch eq "x"].value',
    'emails[type.x eq "work"].value', 'emails[value[type eq "x"]]', 'emails["work"]', "emails[type gt null]",
    "emails[primary gt true].value", "emails.value.value", "emails.nosuch", "a.b.c.d", ".userName",
    "userName.", "userName..x", "userName.x", "userName[value eq 1]", "userName eq", "userName eq ",
    'name[familyName eq "x"]', "name.nosuch", "title.x", "active.x", "urn:", "urn:x", "urn:x:y", "urn::",
    ":userName", f"{USER}:", f"{USER}:nosuch", f"{USER}:.x", f"{ENTERPRISE_URN}:nosuch",
    f"{ENTERPRISE_URN}.manager", f"{ENTERPRISE_URN}:manager.nosuch", f"{ENTERPRISE_URN}:manager.value.x",
    f"{GROUP}:displayName", "members", f'members[value eq "{NOBODY}"]', "id", "meta", "meta.created",
    "meta.nosuch", "schemas[value pr]", "groups", "groups[value pr]", "groups.value", "$ref", "emails.$ref",
    "__class__.__mro__", "userName; DROP TABLE people", "userName' --", "userName and title",
    "not (userName pr)", "(userName)", "userName title", "userName,title", "userName\x00", "user\u200bName",
    "ｕserName", "\ufeffuserName", "𝕏", "x" * 5_000, "[" * 1_000, "emails[" * 200,
    "emails[" + "(" * 30 + "type pr" + ")" * 30 + "]",
    "emails[" + "not (" * 100 + "type pr" + ")" * 100 + "]",
    "emails[" + " or ".join(["type pr"] * 200) + "]", 'emails[type eq "' + "x" * 5_000 + '"]',
    'emails[type eq "\\u0000"].value', 'emails[type eq "\\ud800"].value', 'emails[type eq "a\0"].value',
    "urn:" * 500, "a." * 500, " " * 5_000, "emails[type co 1]", "emails[primary eq 1].value",
]  # fmt: skip

#: Wrong whatever the user is: operation by operation.
OPERATIONS: list[Any] = [
    1, True, None, "x", [], {}, {"op": None}, {"op": 1}, {"op": []}, {"op": ""},
    {"op": "x", "path": "title"}, {"op": "move", "path": "title", "from": "nickName"},
    {"op": "copy", "path": "title", "from": "nickName"}, {"op": "test", "path": "title", "value": "x"},
    {"op": "replace ", "path": "title", "value": "x"}, {"op": "ａdd", "path": "title", "value": "x"},
    {"op": "add"}, {"op": "add", "path": "title"}, {"op": "replace"}, {"op": "replace", "path": "title"},
    {"op": "remove"}, {"op": "remove", "value": {"title": "x"}}, {"op": "remove", "path": ""},
    {"op": "remove", "path": None}, {"op": "add", "value": []}, {"op": "add", "value": 1},
    {"op": "add", "value": "x"}, {"op": "add", "value": None}, {"op": "replace", "value": [{}, {}]},
    {"op": "replace", "path": 1, "value": 1}, {"op": "replace", "path": ["title"], "value": "x"},
    {"op": "replace", "path": {"a": 1}, "value": "x"}, {"op": "replace", "path": True, "value": "x"},
    {"op": "replace", "path": "userName", "value": None}, {"op": "replace", "path": "userName", "value": ""},
    {"op": "replace", "path": "userName", "value": " "},
    {"op": "replace", "path": "userName", "value": {"value": "x"}}, {"op": "remove", "path": "userName"},
    {"op": "replace", "value": {"userName": None}}, {"op": "replace", "value": {"userName": ""}},
    {"op": "add", "value": {"userName": 1}}, {"op": "add", "path": "groups", "value": [{"value": NOBODY}]},
    {"op": "replace", "path": "id", "value": NOBODY}, {"op": "remove", "path": "id"},
    {"op": "remove", "path": "meta"}, {"op": "remove", "path": "groups"},
    {"op": "replace", "path": "meta.version", "value": 'W/"1"'},
    {"op": "replace", "path": "active", "value": "perhaps"}, {"op": "replace", "path": "active", "value": 1},
    {"op": "replace", "path": "active", "value": [True, True]},
    {"op": "add", "path": "emails", "value": [["a@b.example"]]},
    {"op": "add", "path": "emails", "value": [1]}, {"op": "add", "path": "emails", "value": [{"value": 1}]},
    {"op": "add", "path": "emails", "value": [{"primary": "x"}]},
    {"op": "replace", "path": "name", "value": "x"}, {"op": "replace", "path": "name", "value": [1]},
    {"op": "replace", "path": "name", "value": {"familyName": 1}},
    {"op": "replace", "path": "name.familyName", "value": {}},
    {"op": "add", "path": ENTERPRISE_URN, "value": "x"},
    {"op": "add", "path": ENTERPRISE_URN, "value": ["x"]},
    {"op": "add", "path": f"{ENTERPRISE_URN}:manager", "value": 1},
    {"op": "replace", "path": 'emails[type eq "nosuch"].value', "value": {"a": 1}},
    {"op": "replace", "path": 'emails[type gt "x"].value', "value": "a@b.example"},
    {"op": "replace", "path": "externalId", "value": "x" * 501},
    {"op": "replace", "path": "title", "value": "a\0"},
]  # fmt: skip

_MEMBERS: list[Any] = [
    {"op": "add", "path": "members"},
    {"op": "replace", "path": "members"},
    {"op": "add", "path": "members", "value": 1},
    {"op": "add", "path": "members", "value": True},
    {"op": "add", "path": "members", "value": [1]},
    {"op": "add", "path": "members", "value": [None]},
    {"op": "add", "path": "members", "value": [[]]},
    {"op": "add", "path": "members", "value": [{}]},
    {"op": "add", "path": "members", "value": [{"value": 1}]},
    {"op": "add", "path": "members", "value": [{"value": None}]},
    {"op": "add", "path": "members", "value": [{"value": ""}]},
    {"op": "add", "path": "members", "value": [{"value": {"value": "x"}}]},
    {"op": "add", "path": "members", "value": [{"value": "a\0"}]},
    {"op": "add", "path": "members", "value": [{"value": "x" * 501}]},
    {"op": "add", "path": "members", "value": [{"value": "\ud800"}]},
    {"op": "remove", "path": "members", "value": 1},
    {"op": "remove", "path": "members", "value": [1]},
    {"op": "remove", "path": "members", "value": [{}]},
    {"op": "remove", "path": "members", "value": "[1]"},
    {"op": "remove", "path": "members", "value": "{"},
    {"op": "add", "path": "members", "value": ["[]"]},
    {"op": "add", "path": "members", "value": "[" * 5_000},
    {"op": "remove", "value": {"members": None}},
    {"op": "remove", "value": {"members": [{"value": "x"}]}},
    {"op": "remove", "path": GROUP, "value": {"members": None}},
    {"op": "remove", "path": "members[nosuch pr]"},
    {"op": "remove", "path": "members[value.x pr]"},
    {"op": "remove", "path": 'members[value co ""]'},
    {"op": "remove", "path": 'members[not (display sw "")]'},
    {"op": "remove", "path": 'members[value eq "x" or type ew ""]'},
    {"op": "remove", "path": "members[value gt null]"},
    {"op": "remove", "path": 'members[display pr or value[type eq "x"]]'},
    {"op": "remove", "path": "members[" + " or ".join(["type pr"] * 100) + "]"},
    {"op": "remove", "path": "members[value eq 1]"},
    {"op": "remove", "path": "members[]"},
    {"op": "remove", "path": "members["},
    {"op": "remove", "path": 'members[value eq "x"].value'},
    {"op": "remove", "path": "members.display"},
    {"op": "replace", "path": "members.value", "value": "x"},
    {"op": "replace", "path": 'members[value eq "x"]', "value": {"value": "y"}},
    {"op": "add", "path": 'members[value eq "x"].display', "value": "y"},
    {"op": "replace", "path": "displayName", "value": ""},
    {"op": "replace", "path": "displayName", "value": None},
    {"op": "replace", "path": "displayName", "value": ["x", "y"]},
    {"op": "remove", "path": "displayName"},
    {"op": "replace", "value": {"displayName": 7}},
    {"op": "replace", "value": {"members": [1]}},
    {"op": "replace", "value": {"displayName": "x", "members": "x\0"}},
]


def _patches(victims: Victims) -> Iterator[Hostile]:
    user, group = f"/Users/{victims.user}", f"/Groups/{victims.group}"
    for name, path in numbered("path", [*PATHS, *(each for each in UNKNOWN if each)]):
        for op in ("replace", "remove"):
            body = patch_of({"op": op, "path": path, "value": 7})
            yield Hostile(f"{name}-{op}", "PATCH", user, body, profile="rfc")
        # Whatever is no attribute may be passed over by the default profile; nothing may come of it.
        body = patch_of({"op": "add", "path": path, "value": {"value": 7}})
        yield Hostile(f"{name}-add", "PATCH", user, body, fate="either")
        if not path.strip().startswith("urn:"):
            key = patch_of({"op": "replace", "value": {path: {"value": 7}}})
            yield Hostile(f"{name}-key", "PATCH", user, key, fate="either")
    for name, operation in numbered("operation", OPERATIONS):
        yield Hostile(name, "PATCH", user, patch_of(operation))
        good = {"op": "replace", "path": "title", "value": "changed"}
        yield Hostile(f"{name}-after-good", "PATCH", user, patch_of(good, operation))
    for name, operation in numbered("members", _MEMBERS):
        yield Hostile(name, "PATCH", group, patch_of(operation))
        good = {"op": "add", "path": "members", "value": [{"value": NOBODY}]}
        yield Hostile(f"{name}-after-good", "PATCH", group, patch_of(good, operation))
    for name, many in numbered("operations", [None, 1, True, "x", {}, [], {"op": "remove", "path": "title"}]):
        yield Hostile(name, "PATCH", user, json({"Operations": many}))
        yield Hostile(f"{name}-group", "PATCH", group, json({"Operations": many}))
    yield Hostile("operations-none", "PATCH", user, json({"schemas": ["x"]}))
    add = {"op": "add", "path": "title", "value": "x"}
    yield Hostile("operations-many", "PATCH", user, patch_of(*[add] * 1_001), statuses=frozenset((413,)))
    select = {"op": "replace", "path": 'emails[type eq "' + "x" * 1_000 + '"].value', "value": "a@b.example"}
    yield Hostile("operations-long", "PATCH", user, patch_of(*[select] * 100), statuses=frozenset((413,)))


def _put(path: str, **more: Any) -> dict[str, Any]:
    return {"method": "PUT", "path": path, "data": {"userName": "hostile"}, **more}


def _post(bulk_id: Any, **more: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": {"userName": "hostile"}, **more}


def _bulk(victims: Victims) -> Iterator[Hostile]:
    operations: list[Any] = [
        1, True, None, "x", [], {}, {"method": "GET", "path": "/Users"},
        {"method": "HEAD", "path": "/Users"}, {"method": "OPTIONS", "path": "/Users"},
        {"method": "TRACE", "path": "/Users"}, {"method": "BREW", "path": "/Users"},
        {"method": "", "path": "/Users"}, {"method": 1, "path": "/Users"},
        {"method": "x" * 10_000, "path": "/Users"}, _post(None), _post(""), _post(1), _post(["x"]),
        _post({"a": 1}), _post("x", data=None), _post("x", data=[]), _post("x", data="x"),
        _post("x", data={}), _post("x", data={"userName": ""}), _post("x", data={"userName": 1}),
        _post("x", path=None), _post("x", path=""), _post("x", path="/"), _post("x", path=1),
        _post("x", path="/Bulk"), _post("x", path="/bulk"), _post("x", path="/Me"),
        _post("x", path="/.search"), _post("x", path="/Users/.search"), _post("x", path="/Schemas"),
        _post("x", path="/ServiceProviderConfig"), _post("x", path="/%FFusers"), _post("x", path="/user"),
        _post("x", path="/Users?attributes=id"), _post("x", path="/Users#x"), _post("x", path="/Users;x"),
        _post("x", path="/Users/.."), _post("x", path="/../v2/Users"), _post("x", path="/%2555sers"),
        _post("x", path="/Users%2F"), _post("x", path="https://evil.example/Users"),
        _post("x", path="//evil.example/Users"), _post("x", path="/scim/v2/Users"),
        _post("x", path=f"/Users/{victims.user}"), _post("x", path="/Users/a/b/c"),
        _post("x", path="/" + "x" * 10_000), _post("x", path="/Users\0"), _post("x", path="\\Users"),
        _put("/Users"), _put(f"/Users/{NOBODY}"), _put(f"/Groups/{victims.user}"),
        _put(f"/Users/{victims.user}/x"), _put(f"/Users/{victims.user}?x=1"),
        _put(f"/Users/{victims.user.upper()}"), _put(f"/Users/{victims.user}", data=None),
        _put(f"/Users/{victims.user}", version='W/"999-1"'), _put(f"/Users/{victims.user}", version=1),
        _put(f"/Users/{victims.user}", version=[]), _put(f"/Users/{victims.user}", version='"' * 5_000),
        _put("/Users/bulkId:x"), _put("/Users/bulkId:"), _put("/Users/bulkId"), _put("bulkId:x"),
        {"method": "DELETE", "path": "/Users"}, {"method": "DELETE", "path": f"/Users/{NOBODY}"},
        {"method": "DELETE", "path": "/Users/*"}, {"method": "DELETE", "path": f"/Groups/{victims.user}"},
        {"method": "DELETE", "path": f"/Users/{victims.user}", "version": 'W/"999"'},
        {"method": "PATCH", "path": f"/Users/{victims.user}", "data": {}},
        {"method": "PATCH", "path": f"/Users/{victims.user}", "data": {"Operations": []}},
        {"method": "PATCH", "path": f"/Users/{victims.user}", "data": {"Operations": [{"op": "remove"}]}},
        {"method": "PATCH", "path": f"/Users/{victims.user}", "data": [{"op": "remove"}]},
        {"method": "PATCH", "path": f"/Users/{victims.user}", "data": []},
        {"method": "PUT", "path": f"/Users/{victims.user}", "data": [{"op": "remove", "path": "title"}]},
        {"method": "PATCH", "path": f"/Groups/{victims.group}", "data": {"Operations": [_MEMBERS[9]]}},
        {"method": "PATCH", "path": "/Users", "data": {"Operations": [{"op": "remove", "path": "title"}]}},
        _post("self", data={"userName": "hostile", ENTERPRISE_URN: {"manager": {"value": "bulkId:nosuch"}}}),
        _post("self", path="/Groups", data={"displayName": "x", "members": [{"value": "bulkId:nosuch"}]}),
        {"method": "POST", "path": "/Bulk", "bulkId": "x", "data": {"Operations": [_post("y")]}},
    ]  # fmt: skip
    for name, operation in numbered("bulk", operations):
        yield Hostile(
            name, "POST", "/Bulk", json({"schemas": [BULK], "Operations": [operation]}), fate="failed"
        )
    many = [{"method": "DELETE", "path": f"/Users/{NOBODY}"}] * 200
    yield Hostile("bulk-most", "POST", "/Bulk", json({"Operations": many}), fate="failed")
    for name, body in numbered(
        "bulk-whole",
        [
            {}, {"Operations": None}, {"Operations": 1}, {"Operations": "x"}, {"Operations": {}},
            {"Operations": _post("x")}, {"Operations": [*many * 5, many[0]]}, {"Operations": many * 50},
            {"Operations": [_post("x"), _post("x")]}, {"Operations": [_post("x")], "failOnErrors": -1},
            *({"Operations": [_post("x")], "failOnErrors": stop} for stop in ("1", 1.5, True, [])),
        ],
    ):  # fmt: skip
        yield Hostile(name, "POST", "/Bulk", json(body))


def changes(victims: Victims) -> dict[str, list[Hostile]]:
    """The sections of this module, by name."""
    return {"patches": list(_patches(victims)), "bulk": list(_bulk(victims))}
