"""One value of a PATCH where its client wrote a list of it, or JSON within a string (docs/decisions/0022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scimd.scim.nesting import unpacked

#: What a value of a list names itself by.
_PARTS = frozenset(("value", "$ref"))


def object_of(value: Any, *, packed: bool, listed: bool, may_be_value: bool) -> Any:
    """The object within a string of JSON, or in a list of one; any other value as it is.

    ``packed``, ``listed``: whether the profile takes those. An object with ``value`` or ``$ref`` may be one
    of the values of an attribute, as a member of a group is. Where the operation names none it stays in its
    list, to be refused with it: no resource has attributes of these names. Extensions and single attributes
    may.
    """
    if packed:
        value = unpacked(value)
    if not listed or not isinstance(value, list) or len(value) != 1:
        return value
    one = unpacked(value[0]) if packed and may_be_value else value[0]
    if not isinstance(one, Mapping) or (not may_be_value and any(key.lower() in _PARTS for key in one)):
        return value
    return one


def plain_of(value: Any) -> Any:
    """The plain value in a list of one; any other value as it is."""
    if not isinstance(value, list) or len(value) != 1:
        return value
    (one,) = value
    if isinstance(one, Mapping) and "value" in one and one.keys() <= {"$ref", "value"}:
        return one["value"]
    return one
