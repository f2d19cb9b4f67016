"""PATCH by no value, or by no part of one (RFC 7644 §3.5.2.1, §3.5.2.3, RFC 7643 §2.5)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from scimd.core.attributes import ENTERPRISE_URN
from scimd.scim.quirks.profiles import PROFILES
from tests.scim.test_patch import changes, op


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize(
    "path",
    [
        "title",
        "name",
        "name.familyName",
        "emails",
        "emails.type",
        'emails[type eq "work"]',
        'emails[type eq "work"].value',
        ENTERPRISE_URN,
        f"{ENTERPRISE_URN}:department",
        f"{ENTERPRISE_URN}:manager",
        f"{ENTERPRISE_URN}:manager.value",
    ],
)
def test_add_of_null_takes_nothing_away(path: str, profile: str) -> None:
    assert changes(op("add", path, None), profile=profile) == {}
    if "[" not in path and (profile != "rfc" or "." not in path):
        assert changes(op("add", None, {path: None}), profile=profile) == {}


@pytest.mark.parametrize("value", [{}, {"value": None}, [None], ""])
def test_add_of_an_empty_value_takes_no_selected_one_away(value: Any) -> None:
    assert changes(op("add", 'emails[type eq "work"]', value)) == {}


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("name.familyName", {"name": {"givenName": "Dana"}}),
        ('emails[type eq "work"]', {"emails": [{"value": "home@example.com", "type": "home"}]}),
        ("name", {"name": None}),
        (ENTERPRISE_URN, {ENTERPRISE_URN: None}),
    ],
)
def test_replace_by_null_takes_away(path: str, gone: dict[str, Any]) -> None:
    assert changes(op("replace", path, None)) == gone


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize(
    "path", ["name", f"{ENTERPRISE_URN}:manager", ENTERPRISE_URN, 'emails[type eq "work"]']
)
def test_replace_by_an_object_without_parts_changes_nothing(path: str, profile: str) -> None:
    """§3.5.2.3: a set of sub-attributes is replaced, those that are named. None is."""
    assert changes(op("replace", path, {}), profile=profile) == {}
    if "[" not in path:
        assert changes(op("replace", None, {path: {}}), profile=profile) == {}
    if profile != "rfc":
        assert changes(op("replace", path, [{}]), profile=profile) == {}
        assert changes(op("replace", path, "{}" if path != ENTERPRISE_URN else {}), profile=profile) == {}


@pytest.mark.parametrize("value", [{}, [{}], []])
def test_list_is_replaced_whole_by_an_empty_one(value: Any) -> None:
    """§3.5.2.3: of a multi-valued attribute without a filter all values are replaced."""
    assert changes(op("replace", "emails", value)) == {"emails": None}


@pytest.mark.parametrize("profile", sorted(set(PROFILES) - {"rfc"}))
@pytest.mark.parametrize("value", [{"givenName": None}, {"givenName": None, "shoe": 1}])
def test_null_takes_its_part_away_alone_in_whatever_form_the_object_comes(value: Any, profile: str) -> None:
    packed = orjson.dumps(value).decode()
    for form in (value, [value], packed, [packed], f"[{packed}]"):
        assert changes(op("replace", "name", form), profile=profile) == {"name": {"familyName": "Berg"}}, form
        assert changes(op("replace", None, {"name": form}), profile=profile) == {
            "name": {"familyName": "Berg"}
        }
        assert changes(op("add", "name", form), profile=profile) == {}, form
