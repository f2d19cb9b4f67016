"""The values of a multi-valued attribute side by side: which of them are the same, which is the primary one.

Two values are the same where ``value`` and ``type`` are (RFC 7643 §2.4), else where all of it is. Parts are
compared as filters compare them: folded unless the table says caseExact (RFC 7643 §2.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from scimd.core.attributes import Attribute
from scimd.core.people import fold

_KNOWN_BY = ("value", "type")


def known_by(row: Attribute, value: Any) -> bytes:
    """What makes two values of an attribute the same."""
    if not isinstance(value, Mapping):
        return orjson.dumps(_folded(row, value))
    return _of_parts(row, value, _KNOWN_BY if "value" in value else value)


def _of_parts(row: Attribute, value: Mapping[str, Any], names: Iterable[str]) -> bytes:
    parts = {name: _folded(row.find(name), value.get(name)) for name in names}
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)


def _folded(row: Attribute | None, value: Any) -> Any:
    return fold(value) if row is not None and row.folds and isinstance(value, str) else value


def joined(have: Any, again: Any) -> Any:
    """A value with what is said besides where the same one comes again (docs/decisions/0022)."""
    if not isinstance(again, Mapping):
        return have
    same = _KNOWN_BY if "value" in again else again
    besides = {name: part for name, part in again.items() if name not in same or name not in have}
    return {**have, **besides}


def distinct(row: Attribute, values: list[Any]) -> list[Any]:
    """The values with each of them once (RFC 7643 §2.4: SHOULD)."""
    if len(values) < 2:
        return values
    found: dict[bytes, Any] = {}
    for each in values:
        key = known_by(row, each)
        found[key] = joined(found[key], each) if key in found else each
    return list(found.values())


class Listed:
    """The values of a list. ``ways``: by so many sets of parts a value is compared with them."""

    def __init__(self, row: Attribute, wanted: Mapping[tuple[str, ...], set[bytes]], plain: set[bytes]):
        self._row, self._wanted, self._plain = row, wanted, plain
        self.ways = max(1, len(wanted))

    def __call__(self, value: Any) -> bool:
        """Whether it is one of them."""
        if not isinstance(value, Mapping):
            return known_by(self._row, value) in self._plain
        return any(_of_parts(self._row, value, names) in keys for names, keys in self._wanted.items())


def listed(row: Attribute, many: Iterable[Any]) -> Listed:
    """Whether a value is one of a list: equal in ``value`` and ``type``, as far as it is named by them.

    A listed value without ``value`` is compared by all the parts that it has.
    """
    wanted: dict[tuple[str, ...], set[bytes]] = {}
    plain = set()
    for each in many:
        if isinstance(each, Mapping):
            names = tuple(sorted(name for name in each if "value" not in each or name in _KNOWN_BY))
            wanted.setdefault(names, set()).add(_of_parts(row, each, names))
        else:
            plain.add(known_by(row, each))
    return Listed(row, wanted, plain)


def is_primary(value: Any) -> bool:
    """Whether a checked value is marked as the primary one."""
    return isinstance(value, Mapping) and value.get("primary") is True


def newly_primary(values: list[Any], fresh: set[int]) -> None:
    """Let a new primary value, at one of these places, take that mark from the others (RFC 7644 §3.5.2)."""
    if not any(is_primary(values[position]) for position in fresh):
        return
    for position, each in enumerate(values):
        if position not in fresh and is_primary(each):
            values[position] = {**each, "primary": False}
