"""Where a body tells an attribute of a user: by a key, below a schema's URN, by the path of a PATCH."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import is_
from typing import Any

from scimd.core.attributes import ENTERPRISE_SCHEMA, ENTERPRISE_URN, SCIMD_URN, USER, USER_URN
from scimd.core.people import Document
from scimd.scim.quirks import each_operation

#: From a value, and what the path says behind the attribute's name (nothing, ``.value``,
#: ``[type eq "work"].value``), to the value that is meant: the very same where that is it.
Change = Callable[[Any, str], Any]

_URNS = {urn.lower(): urn for urn in (USER_URN, ENTERPRISE_URN)}
#: By schema, the keys of which each is one of its own attributes, as most clients spell them.
OWN = {
    USER_URN: frozenset((*USER.rows, SCIMD_URN)),
    ENTERPRISE_URN: frozenset(row.name for row in ENTERPRISE_SCHEMA.attributes),
}


def values_of(urn: str, name: str, change: Change) -> Callable[[Document], Document]:
    """From a change of one attribute's values to that of a body; the very body where it changes none.

    What ``change`` does is said of the whole, in the words of its docstring.
    """
    others = {schema: names - {name} if schema == urn else names for schema, names in OWN.items()}
    wanted = name.lower()

    def at(path: str, value: Any, schema: str) -> Any:
        lowered = path.lower()
        inner = _URNS.get(lowered)
        if inner is not None:
            may_tell = inner in (USER_URN, urn) and isinstance(value, Mapping)
            return within(value, inner) if may_tell else value
        if wanted not in lowered:
            return value
        told, rest = _split(path, schema)
        behind = rest[len(name) :]
        if told != urn or rest[: len(name)].lower() != wanted or behind[:1] not in ("", ".", "["):
            return value
        return change(value, behind)

    def within(given: Any, schema: str) -> Any:
        odd = [key for key in given if key not in others[schema]]
        changed = [at(key, given[key], schema) for key in odd]
        if all(map(is_, changed, map(given.__getitem__, odd))):
            return given
        return {**given, **dict(zip(odd, changed, strict=True))}

    def operation(each: Any) -> Any:
        if not isinstance(each, Mapping) or "value" not in each:
            return each
        path, value = each.get("path"), each["value"]
        if path:
            changed = at(path, value, USER_URN) if isinstance(path, str) else value
        else:
            changed = within(value, USER_URN) if isinstance(value, Mapping) else value
        return each if changed is value else {**each, "value": changed}

    def body(given: Document) -> Document:
        if "Operations" in given:
            return each_operation(given, operation)
        changed: Document = within(given, USER_URN)
        return changed

    body.__doc__ = change.__doc__
    return body


def _split(path: str, schema: str) -> tuple[str, str]:
    """The schema that a path names, else the one in which it stands, and the path within it."""
    lowered = path.lower()
    for urn in _URNS.values():
        if lowered.startswith(f"{urn}:".lower()):
            return urn, path[len(urn) + 1 :]
    return schema, path
