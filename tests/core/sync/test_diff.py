from __future__ import annotations

import pytest

from scimd.core.sync import diff


def test_difference_names_paths_with_old_and_new() -> None:
    old = {
        "userName": "ada",
        "name": {"givenName": "Ada"},
        "urn:x:User": {"department": "R", "a": 1},
        "title": "Dr",
    }
    new = {"userName": "ada", "name": {"givenName": "Ada M."}, "urn:x:User": {"department": "S", "a": 1}}
    assert diff.between(old, new) == (
        {"name.givenName": "Ada", "urn:x:User:department": "R", "title": "Dr"},
        {"name.givenName": "Ada M.", "urn:x:User:department": "S", "title": None},
    )


def test_equal_documents_do_not_differ_whatever_they_say_of_schemas() -> None:
    assert diff.between({"userName": "a", "schemas": ["x"]}, {"userName": "a", "active": True}) == ({}, {})


@pytest.mark.parametrize(
    ("old", "new", "off", "on"),
    [
        ({}, {"active": False}, True, False),
        ({"active": True}, {"active": False}, True, False),
        ({"active": False}, {}, False, True),
        ({"active": False}, {"active": False}, False, False),
        ({}, {"active": True}, False, False),
    ],
)
def test_active_turns(old: dict[str, object], new: dict[str, object], off: bool, on: bool) -> None:
    assert (diff.turns_inactive(old, new), diff.turns_active(old, new)) == (off, on)
