"""PATCH on documents (RFC 7644 §3.5.2)."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from scimd.core.attributes import ENTERPRISE_URN, USER, USER_URN, Schema
from scimd.core.attributes.rows import text
from scimd.core.bearer import PROFILES as NAMES
from scimd.scim.errors import ScimError
from scimd.scim.operations import operations_of
from scimd.scim.patch import apply
from scimd.scim.quirks.profiles import DEFAULT, PROFILES, RFC, named

DANA: dict[str, Any] = {
    "userName": "dana",
    "active": True,
    "name": {"givenName": "Dana", "familyName": "Berg"},
    "title": "CTO",
    "emails": [
        {"value": "work@example.com", "type": "work", "primary": True},
        {"value": "home@example.com", "type": "home"},
    ],
    ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "7"}},
}


def patched(*operations: dict[str, Any], profile: str = "default") -> dict[str, Any]:
    chosen = named(profile)
    body, _ = chosen.transform("User", "patch", {"Operations": list(operations)})
    before = copy.deepcopy(DANA)
    result = apply(USER, DANA, operations_of(body, 100, chosen.rules), chosen.rules)
    assert before == DANA, "the stored document is left alone"
    return result


def changes(*operations: dict[str, Any], profile: str = "default") -> dict[str, Any]:
    """What differs from before; None for what is gone."""
    after = patched(*operations, profile=profile)
    return {key: after.get(key) for key in {*DANA, *after} if after.get(key) != DANA.get(key)}


def op(name: str, path: str | None = None, *value: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"op": name}
    if path is not None:
        made["path"] = path
    if value:
        made["value"] = value[0]
    return made


WORK, HOME = DANA["emails"]


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        (op("replace", "title", "CEO"), {"title": "CEO"}),
        (op("REPLACE", "TITLE", "CEO"), {"title": "CEO"}),
        (op("Add", f"{USER_URN}:title", "CEO"), {"title": "CEO"}),
        (op("remove", "title"), {"title": None}),
        (op("remove", "nickName"), {}),
        (op("replace", "title", None), {"title": None}),
        (op("replace", "name.givenName", "D"), {"name": {"givenName": "D", "familyName": "Berg"}}),
        (op("replace", "name", {"givenName": "D"}), {"name": {"givenName": "D", "familyName": "Berg"}}),
        (op("remove", "name.givenName"), {"name": {"familyName": "Berg"}}),
        (op("replace", "name", {"givenName": None}), {"name": {"familyName": "Berg"}}),
        (op("replace", None, {"name": {"GivenName": None}}), {"name": {"familyName": "Berg"}}),
        (
            op("replace", "name", {"givenName": None, "middleName": "M"}),
            {"name": {"familyName": "Berg", "middleName": "M"}},
        ),
        (op("replace", "name", {"givenName": None, "familyName": None}), {"name": None}),
        (op("add", "name", {"givenName": None}), {}),
        (op("replace", "name", {"middleName": None}), {}),
        (op("replace", "name", {"nosuch": "x"}), {}),
        (op("replace", f"{ENTERPRISE_URN}:manager", {"displayName": "Kay"}), {}),
        (op("replace", None, {"active": False}), {"active": False}),
        (op("replace", "active", "False"), {"active": False}),
        (op("replace", None, {"active": "False"}), {"active": False}),
        (op("replace", None, {"name.givenName": "D"}), {"name": {"givenName": "D", "familyName": "Berg"}}),
        (
            op("replace", None, {f"{ENTERPRISE_URN}:department": "Ops"}),
            {ENTERPRISE_URN: {"department": "Ops", "manager": {"value": "7"}}},
        ),
        (
            op("add", None, {ENTERPRISE_URN: {"costCenter": "9"}}),
            {ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "7"}, "costCenter": "9"}},
        ),
        (op("remove", ENTERPRISE_URN), {ENTERPRISE_URN: None}),
        (op("remove", f"{ENTERPRISE_URN}:manager"), {ENTERPRISE_URN: {"department": "R&D"}}),
        (
            op("add", f"{ENTERPRISE_URN}:manager", "8"),
            {ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "8"}}},
        ),
        (op("replace", f"{ENTERPRISE_URN}:manager", ""), {ENTERPRISE_URN: {"department": "R&D"}}),
        (
            op("replace", f"{ENTERPRISE_URN}:manager", [{"value": "8"}]),
            {ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "8"}}},
        ),
        (op("add", "emails", [HOME]), {}),
        (op("add", "emails", {"value": "x@y.org"}), {"emails": [WORK, HOME, {"value": "x@y.org"}]}),
        (
            op("add", "emails", [{"value": "x@y.org", "primary": True}]),
            {"emails": [{**WORK, "primary": False}, HOME, {"value": "x@y.org", "primary": True}]},
        ),
        (op("add", "emails", [{"value": WORK["value"], "type": "work"}]), {}),
        (
            op("add", "emails", [{**HOME, "primary": True}, {"value": "x@y.org"}, {"value": "x@y.org"}]),
            {"emails": [{**WORK, "primary": False}, {**HOME, "primary": True}, {"value": "x@y.org"}]},
        ),
        (
            op("add", "emails", [{"value": WORK["value"], "type": "work"}, {**HOME, "primary": True}]),
            {"emails": [{**WORK, "primary": False}, {**HOME, "primary": True}]},
        ),
        (
            op("add", "emails", [{**HOME, "type": "other"}]),
            {"emails": [WORK, HOME, {**HOME, "type": "other"}]},
        ),
        (op("replace", "emails", [WORK, {**HOME, "primary": True}]), {}),
        (op("replace", "emails.primary", True), {}),
        (op("replace", "emails[value pr].primary", True), {}),
        (op("replace", "emails", [{"value": "x@y.org"}]), {"emails": [{"value": "x@y.org"}]}),
        (op("replace", "emails", []), {"emails": None}),
        (
            op("replace", 'emails[type eq "work"].value', "n@e.org"),
            {"emails": [{**WORK, "value": "n@e.org"}, HOME]},
        ),
        (
            op("replace", 'emails[type eq "HOME" and value co "example"]', {"value": "n@e.org"}),
            {"emails": [WORK, {"value": "n@e.org"}]},
        ),
        (
            op("replace", 'emails[type eq "work"]', "n@e.org"),
            {"emails": [{**WORK, "value": "n@e.org"}, HOME]},
        ),
        (op("add", 'emails[type eq "home"]', {"display": "H"}), {"emails": [WORK, {**HOME, "display": "H"}]}),
        (op("remove", 'emails[type eq "work"]'), {"emails": [HOME]}),
        (op("remove", 'emails[value sw "h"].type'), {"emails": [WORK, {"value": "home@example.com"}]}),
        (op("remove", "emails[value pr]"), {"emails": None}),
        (op("remove", 'emails.type eq "work"'), {"emails": [HOME]}),
        (op("remove", "emails", [{"value": "home@example.com"}]), {"emails": [WORK]}),
        (op("remove", "emails"), {"emails": None}),
        (
            op("Replace", 'phoneNumbers[type eq "work"].value', "+47"),
            {"phoneNumbers": [{"type": "work", "value": "+47"}]},
        ),
        (
            op("Add", 'roles[primary eq "True"].value', "admin"),
            {"roles": [{"primary": True, "value": "admin"}]},
        ),
        (op("remove", 'phoneNumbers[type eq "work"]'), {}),
        (op("replace", "password", "secret"), {}),
        (op("add", "nosuch", "x"), {}),
        (op("add", None, {"nosuch": 1, "no path!": 2, "urn:example:ext": {"a": 1}}), {}),
        (op("replace", None, {"id": "x", "meta": {}, "groups": [], "title": "CEO"}), {"title": "CEO"}),
        (op("add", "title", None), {}),
    ],
)
def test_operation_changes_what_it_says(operation: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert changes(operation) == wanted


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        (op("replace", "id", "x"), "mutability"),
        (op("replace", "meta.created", "x"), "mutability"),
        (op("add", "groups", [{"value": "g"}]), "mutability"),
        (op("remove", "userName"), "mutability"),
        (op("replace", "userName", ""), "invalidValue"),
        (op("remove"), "noTarget"),
        (op("remove", USER_URN), "noTarget"),
        (op("add", "title"), "invalidValue"),
        (op("replace", "title", 7), "invalidValue"),
        (op("replace", "title", "nul\0"), "invalidValue"),
        (op("replace", "title", ["x", "y"]), "invalidValue"),
        (op("replace", "title", [{"value": "x", "type": "y"}]), "invalidValue"),
        (op("replace", "name", ["x"]), "invalidValue"),
        (op("replace", None, [{"title": "x"}, {"nickName": "y"}]), "invalidValue"),
        (op("replace", "active", "maybe"), "invalidValue"),
        (op("replace", "emails", [{"value": ["a@b.c"]}]), "invalidValue"),
        (op("replace", "emails", [{"value": "a@b.c\r\nBcc: x@y.z"}]), "invalidValue"),
        (op("replace", "emails", [{"value": "a@b.c,d@e.f"}]), "invalidValue"),
        (op("add", None, "text"), "invalidValue"),
        (op("replace", "title[value eq 1]", "x"), "invalidPath"),
        (op("replace", "emails[type eq", "x"), "invalidPath"),
        (op("replace", "emails..value", "x"), "invalidPath"),
        (op("replace", 'emails[nosuch eq "x"]', {}), "invalidFilter"),
        (op("replace", 'emails[primary eq "x"]', {}), "invalidFilter"),
        (op("replace", 'emails[type sw "x"].value', "y"), "noTarget"),
        (op("move", "title", "x"), "invalidSyntax"),
        (op("replace", "[" * 50, "x"), "invalidPath"),
    ],
)
def test_refused_operation_says_why(operation: dict[str, Any], scim_type: str) -> None:
    with pytest.raises(ScimError) as refused:
        patched(op("replace", "title", "half done"), operation)
    assert (refused.value.status, refused.value.scim_type) == (400, scim_type)


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        (op("replace", 'phoneNumbers[type eq "work"].value', "+47"), "noTarget"),
        (op("remove", 'phoneNumbers[type eq "work"]'), "noTarget"),
        (op("replace", "active", "False"), "invalidValue"),
        (op("add", "nosuch", "x"), "invalidPath"),
        (op("add", None, {"nosuch": "x"}), "invalidValue"),
        (op("add", ENTERPRISE_URN, {"nosuch": "x"}), "invalidValue"),
        (op("add", None, {"groups": []}), "mutability"),
        (op("replace", None, {"id": "x"}), "mutability"),
        (op("replace", USER_URN, {"meta": {"version": "x"}}), "mutability"),
        (op("add", f"{ENTERPRISE_URN}:manager", "8"), "invalidValue"),
        (op("replace", "title", ["x"]), "invalidValue"),
        (op("replace", None, [{"title": "x"}]), "invalidValue"),
        (op("replace", 'phoneNumbers[type eq "work"].value', None), "noTarget"),
    ],
)
def test_rfc_profile_keeps_to_the_letter(operation: dict[str, Any], scim_type: str) -> None:
    with pytest.raises(ScimError) as refused:
        patched(operation, profile="rfc")
    assert refused.value.scim_type == scim_type


def test_operations_follow_each_other() -> None:
    after = patched(
        op("remove", "emails"),
        op("add", "emails", [{"value": "a@b.c", "type": "work"}]),
        op("replace", 'emails[type eq "work"].value', "d@e.f"),
    )
    assert after["emails"] == [{"value": "d@e.f", "type": "work"}]


@pytest.mark.parametrize("body", [{}, {"Operations": {}}, {"Operations": []}, {"Operations": ["x"]}])
def test_message_without_operations_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ScimError) as refused:
        operations_of(body, 100)
    assert refused.value.scim_type == "invalidSyntax"


def test_every_profile_of_the_tokens_is_known() -> None:
    assert set(NAMES) == set(PROFILES)
    assert named("nosuch") is DEFAULT
    assert RFC.quirks == ()


@pytest.mark.parametrize(
    "operation",
    [
        op("replace", "emails", [WORK, {**HOME, "primary": True}]),
        op("add", "emails", [{"value": each, "primary": True} for each in ("a@b.c", "b@b.c")]),
        op("replace", None, {"emails": [WORK, {**HOME, "primary": True}]}),
        op("replace", "emails.primary", True),
        op("replace", "emails[value pr].primary", True),
    ],
)
def test_rfc_profile_refuses_two_primary_values(operation: dict[str, Any]) -> None:
    """RFC 7643 §2.4: true appears no more than once."""
    with pytest.raises(ScimError) as refused:
        patched(operation, profile="rfc")
    assert (refused.value.status, refused.value.scim_type) == (400, "invalidValue")
    assert "emails" in refused.value.detail


LIKE_WORK = {"type": "Work", "value": "Work@Example.COM"}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([LIKE_WORK], {}),
        ([{**LIKE_WORK, "display": "W"}], {"emails": [{**WORK, "display": "W"}, HOME]}),
        ([{"value": WORK["value"]}], {"emails": [WORK, HOME, {"value": WORK["value"]}]}),
    ],
)
def test_added_value_that_differs_in_case_alone_is_the_one_that_is_there(
    given: list[Any], wanted: dict[str, Any]
) -> None:
    """RFC 7644 §3.5.2.1, RFC 7643 §2.2."""
    assert changes(op("add", "emails", given)) == wanted
    assert changes(op("add", "emails", given), profile="rfc") == wanted


def test_certificates_which_are_case_exact_differ_in_case() -> None:
    after = patched(op("add", "x509Certificates", [{"value": "YWJj"}, {"value": "ywJJ"}]))
    assert after["x509Certificates"] == [{"value": "YWJj"}, {"value": "ywJJ"}]


def test_value_that_comes_twice_in_one_list_is_kept_once() -> None:
    """RFC 7643 §2.4: the same combination of value and type SHOULD NOT be there twice."""
    twice = [WORK, {**LIKE_WORK, "display": "W"}, HOME]
    assert patched(op("replace", "emails", twice))["emails"] == [{**WORK, "display": "W"}, HOME]


AT_XY = {"value": "x@y.org", "type": "home"}


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        (op("replace", "emails[value pr]", {"value": "x@y.org", "type": "home"}), [AT_XY]),
        (op("replace", "emails[value pr]", AT_XY | {"display": "D"}), [AT_XY | {"display": "D"}]),
        (op("replace", 'emails[type eq "work"]', {**HOME, "display": "D"}), [{**HOME, "display": "D"}]),
    ],
)
@pytest.mark.parametrize("profile", ["default", "rfc"])
def test_values_that_become_the_same_are_one(operation: dict[str, Any], wanted: Any, profile: str) -> None:
    assert patched(operation, profile=profile)["emails"] == wanted


@pytest.mark.parametrize("path", ["phoneNumbers.type", "phoneNumbers[value pr].type"])
def test_two_values_that_lose_what_told_them_apart_are_one(path: str) -> None:
    phones = op("add", "phoneNumbers", [{"value": "555", "type": "work"}, {"value": "555", "type": "fax"}])
    assert patched(phones, op("remove", path))["phoneNumbers"] == [{"value": "555"}]
    assert patched(phones, op("replace", path, "x"))["phoneNumbers"] == [{"value": "555", "type": "x"}]


def test_a_second_primary_value_that_is_nothing_else_is_none() -> None:
    """RFC 7643 §2.5."""
    given = [{"value": "5", "primary": True}, {"primary": True}]
    assert patched(op("add", "roles", given))["roles"] == given[:1]


PHONES = [{"type": kind, "value": "555"} for kind in ("work", "mobile", "fax")]
PLACES = [{"type": "work", "locality": place} for place in ("Oslo", "Bergen")]


@pytest.mark.parametrize(
    ("name", "have", "given", "left"),
    [
        ("phoneNumbers", PHONES, [{"type": "fax", "value": "555"}], PHONES[:2]),
        ("phoneNumbers", PHONES, [{"type": "FAX", "value": "555", "display": "F"}], PHONES[:2]),
        ("phoneNumbers", PHONES, [{"type": "fax"}], PHONES[:2]),
        ("phoneNumbers", PHONES, [{"type": "pager", "value": "555"}], PHONES),
        ("phoneNumbers", PHONES, [{"value": "555"}], None),
        ("phoneNumbers", PHONES, ["555"], None),
        ("phoneNumbers", PHONES, [PHONES[0], PHONES[2]], PHONES[1:2]),
        ("phoneNumbers", PHONES, [], PHONES),
        ("addresses", PLACES, [{"type": "work", "locality": "OSLO"}], PLACES[1:]),
        ("addresses", PLACES, [{"locality": "Oslo", "country": "NO"}], PLACES),
        ("emails", [WORK, HOME], [{"value": "HOME@example.com"}], [WORK]),
        ("emails", [WORK, HOME], [{"primary": True}], [HOME]),
    ],
)
def test_remove_takes_the_values_that_its_list_names(
    name: str, have: list[Any], given: list[Any], left: list[Any] | None
) -> None:
    after = patched(op("replace", name, have), op("Remove", name, given))
    assert after.get(name) == left


@pytest.mark.parametrize("value", [[{"value": "home@example.com"}], [], "home@example.com"])
def test_rfc_profile_takes_no_list_for_a_remove_of_all(value: Any) -> None:
    """Whoever names one value does not mean the others too."""
    with pytest.raises(ScimError) as refused:
        patched(op("remove", "emails", value), profile="rfc")
    assert (refused.value.status, refused.value.scim_type) == (400, "invalidValue")
    assert "in the path" in refused.value.detail
    for whole in (op("remove", "emails"), op("remove", "emails", None)):
        assert changes(whole, profile="rfc") == {"emails": None}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ('emails[type eq "other"].value', None),
        ('emails[type eq "other"].value', ""),
        ('emails[type eq "other"].type', "other"),
        ('emails[type eq "other"]', None),
        ('emails[type eq "other"]', {"type": "other"}),
        ('emails[type eq "other"]', {"value": None}),
        ('emails[type eq "home" and primary eq "True"].value', None),
        ('emails[type eq "home" and primary eq "True"].value', ""),
        ('addresses[type eq "work"].formatted', None),
        ('emails[type sw "x"].value', None),
    ],
)
@pytest.mark.parametrize("name", ["add", "replace"])
def test_nothing_is_made_of_nothing(name: str, path: str, value: Any) -> None:
    """RFC 7643 §2.5: null is unassigned; ``SCIM_Null_Update_Test`` of AzureAD/SCIMReferenceCode."""
    assert changes(op(name, path, value)) == {}


def test_value_that_the_filter_names_is_made_where_the_operation_says_it() -> None:
    made = {"roles": [{"value": "admin"}]}
    assert changes(op("add", 'roles[value eq "admin"]', {"value": "admin"})) == made
    assert changes(op("add", 'roles[value eq "admin"].primary', "True")) == {
        "roles": [{"value": "admin", "primary": True}]
    }


@pytest.mark.parametrize("value", [["X"], [{"value": "X"}], [{"$ref": None, "value": "X"}]])
@pytest.mark.parametrize("profile", sorted({*PROFILES} - {"rfc"}))
def test_single_value_in_a_list_of_one_is_that_value(value: Any, profile: str) -> None:
    """MicrosoftDocs/azure-docs#42220, AzureAD/SCIMReferenceCode, Captain-P-Goldfish/SCIM-SDK."""
    after = patched(
        op("replace", "title", value),
        op("replace", f"{USER_URN}:nickName", value),
        op("replace", "name.givenName", value),
        op("replace", 'emails[type eq "work"].display', value),
        op("replace", 'emails[type eq "other"].value', value),
        op("replace", f"{ENTERPRISE_URN}:department", value),
        op("replace", None, {"userName": value, "name.middleName": value}),
        op("replace", "active", [{"value": "False"}]),
        op("replace", ENTERPRISE_URN, [{"division": "X"}]),
        profile=profile,
    )
    assert (after["title"], after["nickName"], after["userName"], after["active"]) == ("X", "X", "X", False)
    assert after["name"] == {"givenName": "X", "familyName": "Berg", "middleName": "X"}
    assert after["emails"] == [{**WORK, "display": "X"}, HOME, {"type": "other", "value": "X"}]
    assert (after[ENTERPRISE_URN]["department"], after[ENTERPRISE_URN]["division"]) == ("X", "X")


def test_operation_without_path_may_have_its_object_in_a_list() -> None:
    """The client of Captain-P-Goldfish/SCIM-SDK, on which Keycloak's plugins are built."""
    assert changes(op("replace", None, [{"active": False}])) == {"active": False}


TAGS_URN = "urn:example:tags"
TAGGED = replace(
    USER,
    extensions=(
        *USER.extensions,
        Schema(TAGS_URN, "Tags", "", (text("tags", "", multi=True), text("grade", ""))),
    ),
)


@pytest.mark.parametrize(
    ("operation", "tags"),
    [
        (op("replace", f'{TAGS_URN}:tags[value eq "nn"]', "q"), ["a", "B", "q"]),
        (op("replace", f'{TAGS_URN}:tags[value eq "nn"]', "b"), ["a", "B"]),
        (op("replace", f'{TAGS_URN}:tags[value eq "nn"]', None), ["a", "B"]),
        (op("replace", f'{TAGS_URN}:tags[value eq "nn"]', ""), ["a", "B"]),
        (op("replace", f'{TAGS_URN}:tags[value eq "A"]', "q"), ["q", "B"]),
        (op("add", f"{TAGS_URN}:tags", ["A", "c"]), ["a", "B", "c"]),
        (op("replace", f"{TAGS_URN}:tags", ["x", "X", "y"]), ["x", "y"]),
        (op("remove", f"{TAGS_URN}:tags", ["b"]), ["a"]),
        (op("replace", f"{TAGS_URN}:grade", ["7"]), ["a", "B"]),
    ],
)
def test_plain_values_of_an_own_extension_are_changed_one_by_one(
    operation: dict[str, Any], tags: list[str]
) -> None:
    stored = {**DANA, TAGS_URN: {"tags": ["a", "B"]}}
    after = apply(TAGGED, stored, operations_of({"Operations": [operation]}, 9), DEFAULT.rules)
    assert after[TAGS_URN]["tags"] == tags
