"""PATCH of what names one resource by ``value`` and by ``$ref``: a manager (RFC 7643 §4.3)."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.attributes import ENTERPRISE_URN, USER
from scimd.scim.operations import operations_of
from scimd.scim.patch import apply
from scimd.scim.quirks.profiles import PROFILES, named
from tests.scim.test_patch import op

MANAGER = f"{ENTERPRISE_URN}:manager"
ANN = {"value": "a", "$ref": "../Users/a"}
STORED = {"userName": "dana", ENTERPRISE_URN: {"department": "R&D", "manager": ANN}}


def manager(*operations: dict[str, Any], profile: str = "default") -> Any:
    """Whom somebody has as manager after these operations, who had Ann."""
    chosen = named(profile)
    body, _ = chosen.transform("User", "patch", {"Operations": list(operations)})
    after = apply(USER, STORED, operations_of(body, 100, chosen.rules), chosen.rules)
    return after[ENTERPRISE_URN].get("manager")


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize(
    "operation",
    [
        op("replace", MANAGER, {"value": "b"}),
        op("add", MANAGER, {"value": "b"}),
        op("add", MANAGER, {"value": "b", "$ref": None}),
        op("replace", f"{MANAGER}.value", "b"),
        op("add", f"{MANAGER}.value", "b"),
        op("replace", ENTERPRISE_URN, {"manager": {"value": "b"}}),
        op("replace", None, {ENTERPRISE_URN: {"manager": {"value": "b"}}}),
        op("add", None, {MANAGER: {"value": "b"}}),
    ],
)
def test_address_of_the_old_manager_goes_with_them(operation: dict[str, Any], profile: str) -> None:
    assert manager(operation, profile=profile) == {"value": "b"}


@pytest.mark.parametrize(
    "value", ["b", ["b"], [{"value": "b"}], '{"value": "b"}', ['{"value": "b"}'], '[{"value": "b"}]']
)
@pytest.mark.parametrize("profile", sorted(set(PROFILES) - {"rfc"}))
def test_manager_in_another_form_is_another_one_too(value: Any, profile: str) -> None:
    assert manager(op("Replace", MANAGER, value), profile=profile) == {"value": "b"}


@pytest.mark.parametrize(
    ("operations", "wanted"),
    [
        (
            [op("replace", MANAGER, {"value": "b", "$ref": "../Users/b"})],
            {"value": "b", "$ref": "../Users/b"},
        ),
        (
            [op("replace", MANAGER, {"value": "b", "$ref": "../Users/a"})],
            {"value": "b", "$ref": "../Users/a"},
        ),
        (
            [op("replace", f"{MANAGER}.$ref", "../Users/b"), op("replace", f"{MANAGER}.value", "b")],
            {"value": "b", "$ref": "../Users/b"},
        ),
        (
            [op("replace", f"{MANAGER}.value", "b"), op("replace", f"{MANAGER}.$ref", "../Users/b")],
            {"value": "b", "$ref": "../Users/b"},
        ),
        ([op("replace", MANAGER, {"value": "a"})], ANN),
        ([op("replace", f"{MANAGER}.value", "a")], ANN),
        ([op("replace", MANAGER, {"displayName": "Kay"})], ANN),
        ([op("replace", f"{MANAGER}.$ref", "/Users/a")], {"value": "a", "$ref": "/Users/a"}),
        ([op("remove", f"{MANAGER}.value")], None),
    ],
)
@pytest.mark.parametrize("profile", ["default", "rfc"])
def test_address_stays_where_it_was_said_or_nobody_else_is_named(
    operations: list[dict[str, Any]], wanted: Any, profile: str
) -> None:
    assert manager(*operations, profile=profile) == wanted
