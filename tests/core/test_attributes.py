"""The attribute table, and what derives from it directly."""

from __future__ import annotations

import pytest

from scimd.core.attributes import (
    ENTERPRISE_URN,
    GROUP,
    KINDS,
    SCIMD_URN,
    SEVERAL,
    USER,
    USER_URN,
    columns_of,
    date_time,
    fold_document,
)


def test_every_row_is_described_and_complex_rows_have_parts() -> None:
    for kind in KINDS:
        for row in (found.attribute for found in kind.attributes()):
            assert row.description, row.name
            assert (row.type == "complex") == bool(row.sub), row.name
            assert (row.type == "reference") == bool(row.references), row.name
            for part in row.sub:
                assert part.description, (row.name, part.name)
                assert part.type != "complex", "RFC 7643 §2.3.8: no complex attribute inside another"


@pytest.mark.parametrize(
    ("uri", "name", "sub", "found"),
    [
        (None, "USERNAME", None, "userName"),
        (USER_URN.upper(), "username", None, "userName"),
        (None, "Emails", "VALUE", "emails.value"),
        (ENTERPRISE_URN.lower(), "employeenumber", None, f"{ENTERPRISE_URN}:employeeNumber"),
        (ENTERPRISE_URN, "manager", "$REF", f"{ENTERPRISE_URN}:manager.$ref"),
        (None, "meta", "lastmodified", "meta.lastModified"),
        (SCIMD_URN, "seat", None, f"{SCIMD_URN}:seat"),
    ],
)
def test_names_are_found_whatever_their_case(uri: str | None, name: str, sub: str | None, found: str) -> None:
    assert str(USER.resolve(uri, name, sub)) == found


@pytest.mark.parametrize(
    ("uri", "name", "sub"),
    [
        (None, "employeeNumber", None),
        (None, "nosuch", None),
        (None, "emails", "nosuch"),
        (None, "userName", "value"),
        ("urn:other", "userName", None),
        (ENTERPRISE_URN, "id", None),
    ],
)
def test_names_that_are_not_served_are_not_found(uri: str | None, name: str, sub: str | None) -> None:
    assert USER.resolve(uri, name, sub) is None


def test_folding_follows_case_exactness() -> None:
    document = {
        "userName": "Dana.STRASSE@Example.com",
        "externalId": "AbC",
        "active": True,
        "name": {"familyName": "Straße"},
        "emails": [{"value": "D@Example.COM", "type": "Work", "primary": True}],
        "x509Certificates": [{"value": "QUJD", "display": "Main"}],
        ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "Boss-1", "displayName": "Bo"}},
        "urn:example:ext": {"Badge": "XY"},
    }
    assert fold_document(document) == {
        "userName": "dana.strasse@example.com",
        "externalId": "AbC",
        "active": True,
        "name": {"familyName": "strasse"},
        "emails": [{"value": "d@example.com", "type": "work", "primary": True}],
        "x509Certificates": [{"value": "QUJD", "display": "main"}],
        ENTERPRISE_URN: {"department": "r&d", "manager": {"value": "Boss-1", "displayName": "bo"}},
        "urn:example:ext": {"Badge": "xy"},
    }
    assert fold_document({"displayName": "ÅSA", "externalId": "Q"}, GROUP) == {
        "displayName": "åsa",
        "externalId": "Q",
    }


@pytest.mark.parametrize(
    ("text", "strict", "tolerant"),
    [
        ("2026-01-31T09:00:00Z", True, True),
        ("2026-01-31T09:00:00", True, True),
        ("2026-01-31T09:00:00.123456+14:00", True, True),
        ("2026-01-31T09:00:00-13:59", True, True),
        ("2026-01-31t09:00:00z", False, True),
        ("2026-01-31T09:00:00+14:01", False, False),
        ("2026-01-31T09:00:00+09:60", False, False),
        ("2026-01-31T09:00Z", False, False),
        ("2026-01-31 09:00:00Z", False, False),
        ("2026-01-31", False, False),
        ("20260131T090000Z", False, False),
        ("2026-W05-6", False, False),
    ],
)
def test_date_time_is_that_of_xml_schema(text: str, strict: bool, tolerant: bool) -> None:
    """RFC 7643 §2.3.5; XML Schema Part 2 §3.2.7."""
    assert (date_time(text, tolerant=False) is not None, date_time(text) is not None) == (strict, tolerant)


def test_columns_hold_the_primary_address_and_the_names() -> None:
    assert columns_of(
        {
            "displayName": "Dana B",
            "name": {"familyName": "B", "givenName": "Dana"},
            "emails": [{"value": "A@x.org"}, {"value": "B@x.org", "primary": True}],
        }
    ) == {
        "display_name_key": "dana b",
        "family_name_key": "b",
        "given_name_key": "dana",
        "email_key": "b@x.org",
        "other_email_key": "a@x.org",
    }


@pytest.mark.parametrize(
    ("emails", "primary", "other"),
    [
        ([{"value": "A@x.org"}], "a@x.org", None),
        ([{"value": "A@x.org"}, {"value": "a@X.org", "type": "home"}, {"type": "work"}], "a@x.org", None),
        ([{"type": "work"}, {"value": "A@x.org"}], None, "a@x.org"),
        ([{"value": "A@x.org"}, {"value": ""}], "a@x.org", ""),
        ([{"value": "A@x.org"}, {"value": "B@x.org"}, {"value": "C@x.org"}], "a@x.org", SEVERAL),
    ],
)
def test_every_address_stands_in_a_column_or_there_are_several(
    emails: list[dict[str, str]], primary: str | None, other: str | None
) -> None:
    columns = columns_of({"userName": "dana", "emails": emails})
    assert (columns["email_key"], columns["other_email_key"]) == (primary, other)


def test_columns_of_a_bare_document_are_empty() -> None:
    assert set(columns_of({"userName": "dana", "emails": [], "name": None}).values()) == {None}
