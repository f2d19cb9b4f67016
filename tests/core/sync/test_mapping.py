from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.connector_api import DirectoryUser
from scimd.core.sync.mapping import (
    ENTERPRISE,
    MappingFailed,
    OutOfScope,
    WrongMapping,
    compile_mapping,
    failing_tests,
)

LDAP = compile_mapping({}, connector="ldap")
FILE = compile_mapping({}, connector="file")


def entry(**attributes: Any) -> DirectoryUser:
    return DirectoryUser("e-1", "uid=ada,dc=example", attributes)


def test_inet_org_person_needs_no_mapping() -> None:
    got = LDAP.apply(
        entry(
            uid=("ada",),
            cn=("Ada Lovelace", "Ada King"),
            sn=("Lovelace",),
            givenName=("Ada",),
            mail=("ada@example.com", "a@example.org"),
            telephoneNumber=("+44 1",),
            employeeNumber=("17",),
            departmentNumber=("R&D",),
            title=("Countess",),
            jpegPhoto=b"\xff\xd8",
        )
    )
    assert got == {
        "externalId": "e-1",
        "userName": "ada",
        "displayName": "Ada Lovelace",
        "title": "Countess",
        "active": True,
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [
            {"value": "ada@example.com", "type": "work", "primary": True},
            {"value": "a@example.org", "type": "work"},
        ],
        "phoneNumbers": [{"value": "+44 1", "type": "work", "primary": True}],
        ENTERPRISE: {"employeeNumber": "17", "department": "R&D"},
    }


@pytest.mark.parametrize(
    ("attributes", "active"),
    [
        ({}, True),
        ({"pwdAccountLockedTime": "000001010000Z"}, False),
        ({"pwdAccountLockedTime": "20250101000000Z"}, True),
        ({"nsAccountLock": "TRUE"}, False),
        ({"nsAccountLock": "FALSE"}, True),
        ({"shadowExpired": "TRUE"}, False),
        ({"accountExpired": "TRUE"}, False),
        ({"shadowExpire": "99999"}, True),
        ({"userAccountControl": "514"}, False),
        ({"userAccountControl": "546"}, False),
        ({"userAccountControl": "512"}, True),
        ({"userAccountControl": "66048"}, True),
    ],
)
def test_only_an_account_locked_for_good_is_inactive(attributes: dict[str, str], active: bool) -> None:
    """By wire, and in an LDIF, which says nothing of those who are not."""
    got = LDAP.apply(entry(uid="ada", **attributes))
    assert isinstance(got, dict)
    assert got["active"] is active
    got = FILE.apply(entry(uid="ada", **attributes))
    assert isinstance(got, dict)
    assert got.get("active", True) is active


@pytest.mark.parametrize(
    ("attributes", "active"),
    [
        ({"active": "true", "nsAccountLock": "true"}, True),
        ({"active": "false"}, False),
        ({"nsAccountLock": True}, False),
        ({"nsAccountLock": False, "userAccountControl": ""}, True),
        ({"userAccountControl": 514}, False),
    ],
)
def test_a_file_may_say_active_in_its_own_way(attributes: dict[str, Any], active: bool) -> None:
    got = FILE.apply(entry(uid="ada", **attributes))
    assert isinstance(got, dict)
    assert got.get("active", True) is active


def test_a_lock_that_cannot_be_read_fails_the_entry() -> None:
    assert isinstance(FILE.apply(entry(uid="ada", userAccountControl="x")), MappingFailed)


@pytest.mark.parametrize(
    "attributes",
    [
        {"userName": "ada", "name.givenName": "Ada", "emails": "ada@example.com", "department": "R&D"},
        {"userName": "ada", "givenName": "Ada", "email": "ada@example.com", "department": "R&D"},
        {
            "userName": "ada",
            "name": {"givenName": "Ada"},
            "emails": "ada@example.com",
            ENTERPRISE: {"department": "R&D"},
        },
        {"uid": ("ada",), "givenName": ("Ada",), "mail": ("ada@example.com",), "departmentNumber": ("R&D",)},
    ],
    ids=["dotted", "flat", "nested", "ldif"],
)
def test_file_needs_no_mapping_however_it_spells_scim(attributes: dict[str, Any]) -> None:
    assert FILE.apply(entry(**attributes)) == {
        "externalId": "e-1",
        "userName": "ada",
        "name": {"givenName": "Ada"},
        "emails": [{"value": "ada@example.com", "type": "work", "primary": True}],
        ENTERPRISE: {"department": "R&D"},
    }


def test_rows_of_a_json_file_stay_as_they_are() -> None:
    rows = ({"value": "a@x.org", "type": "home"}, {"value": "b@x.org", "type": "work", "primary": True})
    got = FILE.apply(entry(userName="ada", emails=rows))
    assert isinstance(got, dict)
    assert got["emails"] == list(rows)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1234567.0, "1234567"),
        (12345678901.0, "12345678901"),
        (float(2**53 - 1), "9007199254740991"),
        (-0.0, "0"),
        (1234567.25, "1234567.25"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (7, "7"),
        (2**63, "9223372036854775808"),
    ],
)
def test_a_number_is_the_text_that_was_written(number: float, text: str) -> None:
    got = FILE.apply(entry(userName="ada", employeeNumber=number, phone=number))
    assert isinstance(got, dict)
    assert got[ENTERPRISE]["employeeNumber"] == text
    assert got["phoneNumbers"][0]["value"] == text


@pytest.mark.parametrize("number", [float(2**53), 1e22, 0.1 + 0.2, 123456789.1234567, math.inf, math.nan])
def test_a_number_that_may_have_lost_digits_fails_the_entry(number: float) -> None:
    for name in ("employeeNumber", "phone"):
        got = FILE.apply(entry(userName="ada", **{name: number}))
        assert isinstance(got, MappingFailed)
        assert got.why.endswith(f"the number {number!r} may have lost digits; have it written as text")


@pytest.mark.parametrize(("number", "active"), [(1.0, True), (0.0, False), (1, True), (0, False)])
def test_numbers_for_active_are_understood(number: float, active: bool) -> None:
    got = FILE.apply(entry(userName="ada", active=number))
    assert isinstance(got, dict)
    assert got["active"] is active


@pytest.mark.parametrize(("text", "active"), [("TRUE", True), ("no", False), ("0", False), ("Enabled", True)])
def test_words_for_active_are_understood(text: str, active: bool) -> None:
    got = FILE.apply(entry(userName="ada", active=text))
    assert isinstance(got, dict)
    assert got["active"] is active


def test_unknown_word_for_active_fails_the_entry_rather_than_deactivating_it() -> None:
    assert FILE.apply(entry(userName="ada", active="perhaps")) == MappingFailed(
        "active: 'perhaps' is neither true nor false"
    )


def test_missing_required_attribute_fails_the_entry() -> None:
    mapping = compile_mapping({}, connector="file", required=["userName", f"{ENTERPRISE}:employeeNumber"])
    got = mapping.apply(entry(userName="ada"))
    assert got == MappingFailed(f"{ENTERPRISE}:employeeNumber: required, and the entry gives no value")
    assert isinstance(mapping.apply(entry(employeeNumber="1")), MappingFailed)


def test_own_expression_replaces_a_default_and_an_empty_one_drops_it() -> None:
    mapping = compile_mapping({"userName": "entry.mail[0].lowerAscii()", "title": ""}, connector="ldap")
    got = mapping.apply(entry(uid="ada", mail="Ada@Example.com", title="Dr"))
    assert isinstance(got, dict)
    assert got["userName"] == "ada@example.com"
    assert "title" not in got


def test_scope_leaves_entries_out() -> None:
    mapping = compile_mapping({}, connector="ldap", scope="entry.?employeeType[?0].orValue('') != 'robot'")
    assert mapping.apply(entry(uid="r2d2", employeeType="robot")) == OutOfScope()
    assert isinstance(mapping.apply(entry(uid="ada")), dict)


def test_scope_that_fails_makes_the_entry_failed_and_not_out_of_scope() -> None:
    mapping = compile_mapping({}, connector="ldap", scope="entry.employeeType[0] != 'robot'")
    got = mapping.apply(entry(uid="ada"))
    assert isinstance(got, MappingFailed)
    assert got.why.startswith("scope: the entry has no attribute 'employeeType'")


def test_every_fault_of_a_mapping_is_named_at_once() -> None:
    with pytest.raises(WrongMapping) as caught:
        compile_mapping({"userName": "entry.", "externalId": "id", "a.b.c": "id"}, connector="x", scope="(")
    faults = caught.value.faults
    assert [fault.partition(": ")[0] for fault in faults] == [
        "mapping.user.userName", "mapping.user.externalId", "mapping.user.'a.b.c'", "mapping.scope",
    ]  # fmt: skip


def test_unknown_connector_must_map_user_name() -> None:
    with pytest.raises(WrongMapping, match=r"mapping\.required: userName is not mapped"):
        compile_mapping({}, connector="strange")
    assert compile_mapping({"userName": "id"}, connector="strange").apply(entry()) == {
        "externalId": "e-1",
        "userName": "e-1",
    }


def test_mapping_tests_name_what_came_out_instead() -> None:
    mapping = compile_mapping({}, connector="ldap", scope="!has(entry.robot)")
    tests: list[Any] = [
        ({"uid": "ada"}, {"userName": "ada", "title": None}),
        ({"uid": "ada"}, {"userName": "eve"}),
        ({"uid": "r2", "robot": "1"}, {"in_scope": False}),
        ({"uid": "ada"}, {"in_scope": False}),
        ({}, {"userName": "x"}),
    ]
    assert [fault.partition(": ")[0] for fault in failing_tests(mapping, tests)] == [
        "mapping test 2", "mapping test 4", "mapping test 5",
    ]  # fmt: skip


values = st.recursive(
    st.text() | st.binary() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["uid", "mail", "userName", "active", "name", "emails"]) | st.text(), values
    )
)
def test_any_entry_is_mapped_or_fails_alone(attributes: dict[str, Any]) -> None:
    for mapping in (LDAP, FILE):
        got = mapping.apply(DirectoryUser("e", "n", attributes))
        assert isinstance(got, dict | MappingFailed)


@given(st.dictionaries(st.text(), values), st.randoms())
def test_digest_does_not_depend_on_the_order_of_attributes(attributes: dict[str, Any], chance: Any) -> None:
    items = list(attributes.items())
    chance.shuffle(items)
    one = FILE.digest(DirectoryUser("e", "n", attributes), 1)
    assert one == FILE.digest(DirectoryUser("e", "n", dict(items)), 1)
    assert one is None or one != FILE.digest(DirectoryUser("e", "n", attributes), 2)


def test_digest_changes_with_values() -> None:
    entries = [entry(mail=mail) for mail in ("a", ("a",), ("a", "b"), b"a")]
    # One value and a list of it are one thing to JSON only where the directory writes them so.
    assert len({FILE.digest(one, 1) for one in entries}) == 4


@pytest.mark.parametrize(
    ("expression", "counts"), [("name", True), ("entry.name[0]", False), ("id + name", True)]
)
def test_digest_counts_the_entrys_name_only_where_an_expression_looks_at_it(
    expression: str, counts: bool
) -> None:
    mapping = compile_mapping({"title": expression}, connector="file")
    here, there = (DirectoryUser("e", name, {}) for name in ("line 1", "line 2"))
    assert (mapping.digest(here, 1) != mapping.digest(there, 1)) is counts
