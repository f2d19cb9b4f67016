"""Where an operation of a bulk request names a ``bulkId`` (RFC 7644 §3.7.2), and the id in its place.

It does where it names a resource: as a member or a manager, by ``value`` or ``$ref``, and in a PATCH also
in the filter of such a path. Any other text that looks like it is that text. Where resources are written as
JSON within a string (``nesting.unpacked``), it does so in there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import hdrs

from scimd.core.endpoints import BULK_ID
from scimd.core.people import Document
from scimd.scim.nesting import unpacked

#: What such a value names its resource by; as some write it, in members once more or by SCIM 1.1's name
#: (``quirks.ping``, ``quirks.onelogin``).
_PARTS = frozenset(("value", "$ref", "members", "managerid"))
#: A path, or a key of a resource, to the attributes whose values are resources, or to what names them.
_TO_RESOURCES = re.compile(
    r"(?:[^\s\[]*[:.])?(?:members|manager)(?:\.(?:value|\$ref))?(?:[\s\[].*)?", re.IGNORECASE | re.DOTALL
)
_COMPARED = re.compile(r'((?:\bvalue|\$ref)\s+\w\w\s+"(?:[^"]*/)?)bulkId:([^"]{1,256})"', re.IGNORECASE)
_NAMED = re.compile(r"(|.*/)bulkId:(.{1,256})", re.DOTALL)
_SEGMENT = re.compile(r"bulkId:(.{1,256})", re.DOTALL)
#: In place of what names a bulkId that has no id.
_HOLE = object()

#: From a bulkId to its id; None where there is none.
_Ids = Callable[[str], str | None]


def in_segment(segment: str) -> str | None:
    """The bulkId that a segment of an address is."""
    match = _SEGMENT.fullmatch(segment)
    return None if match is None else match[1]


def as_made(segment: str, posted: Set[str]) -> str:
    """The segment with the bulkId as a POST of the request spells it: a path may have it percent-encoded."""
    bulk_id = in_segment(segment)
    return segment if bulk_id is None or bulk_id in posted else BULK_ID + unquote(bulk_id)


def named(method: str, data: Document) -> set[str]:
    """The bulkIds that an operation's data names."""
    found: set[str] = set()
    _with(method, data, _noting(found))
    return found


def with_ids(method: str, data: Document, ids: Mapping[str, str]) -> Document:
    """The data with ids for the bulkIds; a member or a manager that has no id is left out."""
    return _with(method, data, ids.get)


def naming(data: Any, bulk_ids: Set[str]) -> Any:
    """Of a whole resource, only the members and the manager that name one of these."""
    if isinstance(data, list):
        return [part for each in data if (part := naming(each, bulk_ids))]
    if not isinstance(data, Mapping):
        return None
    parts = {
        key: _naming(each, bulk_ids) if _TO_RESOURCES.fullmatch(key) else naming(each, bulk_ids)
        for key, each in data.items()
    }
    return {key: part for key, part in parts.items() if part}


def _naming(value: Any, bulk_ids: Set[str]) -> Any:
    if isinstance(value, list):
        return [each for each in value if _naming(each, bulk_ids)]
    found: set[str] = set()
    _resources(value, _noting(found))
    return None if found.isdisjoint(bulk_ids) else value


def _noting(found: set[str]) -> _Ids:
    def noted(bulk_id: str) -> str:
        found.add(bulk_id)
        return bulk_id

    return noted


def _with(method: str, data: Document, ids: _Ids) -> Document:
    if method != hdrs.METH_PATCH:
        return {key: part for key, each in data.items() if (part := _at(key, each, ids)) is not _HOLE}
    return {
        key: [_operation(each, ids) for each in value]
        if key.lower() == "operations" and isinstance(value, list)
        else value
        for key, value in data.items()
    }


def _operation(given: Any, ids: _Ids) -> Any:
    """One operation of a PATCH, all of whose bulkIds have an id."""
    if not isinstance(given, Mapping):
        return given
    keys = {key.lower(): key for key in given}
    changed = dict(given)
    path = given.get(keys.get("path"))
    if not isinstance(path, str):
        path = ""
    elif _TO_RESOURCES.fullmatch(path):
        changed[keys["path"]] = _COMPARED.sub(lambda match: f'{match[1]}{ids(match[2])}"', path)
    if "value" in keys:
        value = given[keys["value"]]
        inner = None if path else _unpacked(value)
        changed[keys["value"]] = _at(path, value, ids) if inner is None else _packed(_at(path, inner, ids))
    return changed


def _unpacked(value: Any) -> Any:
    """What was written as JSON within a string, and may name bulkIds; None for anything else."""
    inner = unpacked(value) if isinstance(value, str) and "bulkId:" in value else value
    return None if inner is value else inner


def _packed(value: Any) -> Any:
    """A string again: whether one is taken there is for others to say."""
    return value if value is _HOLE else orjson.dumps(value).decode()


def _at(path: str, value: Any, ids: _Ids) -> Any:
    """What stands at a path, or under a key, which is one."""
    return _resources(value, ids) if _TO_RESOURCES.fullmatch(path) else _attributes(value, ids)


def _attributes(value: Any, ids: _Ids) -> Any:
    if isinstance(value, Mapping):
        return {key: part for key, each in value.items() if (part := _at(key, each, ids)) is not _HOLE}
    if isinstance(value, list):
        return [_attributes(each, ids) for each in value]
    return value


def _resources(value: Any, ids: _Ids) -> Any:
    """A member or a manager, many of them in a list, or a text that names one."""
    if isinstance(value, list):
        return [part for each in value if (part := _resources(each, ids)) is not _HOLE]
    if isinstance(value, Mapping):
        parts = {key: _resources(each, ids) if key.lower() in _PARTS else each for key, each in value.items()}
        return _HOLE if _HOLE in parts.values() else parts
    inner = _unpacked(value)
    if inner is not None:
        return _packed(_resources(inner, ids))
    match = _NAMED.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    found = ids(match[2])
    return _HOLE if found is None else match[1] + found
