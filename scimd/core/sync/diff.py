"""What differs between two documents: by SCIM path, old and new, as a report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scimd.core.people import Document

#: Never a person's attribute: how the document says what it consists of.
_PLUMBING = frozenset({"schemas"})


def flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a document by path: ``name.givenName``, ``emails``, ``urn:…:User:department``.

    A multi-valued attribute is one value, in its order.
    """
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key in _PLUMBING:
            continue
        if isinstance(value, Mapping):
            mark = ":" if key.startswith("urn:") else "."
            values.update((f"{key}{mark}{inner}", item) for inner, item in flat(value).items())
        else:
            values[key] = value
    return values


def between(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The paths whose values differ: ``(old values, new values)``, None where there is or was none.

    Equal documents give two empty mappings. ``active`` left out counts as true.
    """
    before, after = _with_active(flat(old)), _with_active(flat(new))
    paths = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    return {path: before.get(path) for path in paths}, {path: after.get(path) for path in paths}


def _with_active(values: dict[str, Any]) -> dict[str, Any]:
    return {"active": True, **values} if values.get("active") is None else values


def turns_inactive(old: Document, new: Document) -> bool:
    return old.get("active", True) is not False and new.get("active", True) is False


def turns_active(old: Document, new: Document) -> bool:
    return turns_inactive(new, old)
