"""The documents that nearly all clients send, checked at a fifth of what the general way costs.

From a kind's rows comes once, by each attribute's own name, a test of what its values plainly are: a
string with nothing to look into, true or false, an object of such, a list of those. What is spelled in
another way, has another form or could be refused fails it, and is for ``documents.document_of`` to
judge; a property holds both equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from scimd.core.attributes import COMMON, Attribute, ResourceKind
from scimd.core.people import Document
from scimd.scim.values import MAX_VALUES, NO_ADDRESS, is_uri

#: Whether a value is stored just as it was sent.
Fits: TypeAlias = Callable[[Any], bool]
#: By name; None: it is left out, whatever it is.
Plan: TypeAlias = Mapping[str, Fits | None]

_KINDS_KEPT = 1000
#: By the kind's ``id()``, which is nobody else's while it is kept: to hash a kind is to look at all its rows.
_plans: dict[int, tuple[ResourceKind, Plan]] = {}


def document(kind: ResourceKind, body: Mapping[str, Any]) -> Document | None:
    """The attributes of a plain body as they are stored, but for ``schemas``; None for another body.

    Values are the body's own.
    """
    known = _plans.get(id(kind))
    plan = _planned(kind) if known is None else known[1]
    kept: Document = {}
    for name, value in body.items():
        fits = plan.get(name, _nothing)
        if fits is None:
            continue
        if value is not None or fits is _nothing:
            if not fits(value):
                return None
            kept[name] = value
    return kept


def _planned(kind: ResourceKind) -> Plan:
    if len(_plans) >= _KINDS_KEPT:
        _plans.clear()
    own = {row.name: row for row in (*COMMON.attributes, *kind.schema.attributes)}
    plan: dict[str, Fits | None] = dict(_tests(own.values()))
    plan |= {row.name: None for row in own.values() if row.mutability == "readOnly"}
    plan |= {
        schema.id: _an_object(dict(_tests(schema.attributes)))
        for schema in kind.extensions
        if ":" in schema.id and kind.schema_of(schema.id) is schema
    }
    # Members are read elsewhere, and ``schemas`` checked.
    plan |= {name: None for name in ("schemas", "members") if name in own}
    _plans[id(kind)] = kind, plan
    return plan


def _tests(rows: Iterable[Attribute]) -> Iterable[tuple[str, Fits]]:
    for row in rows:
        fits = _an_object(_parts(row)) if row.type == "complex" else _single(row)
        if fits is not None and row.mutability in ("readWrite", "immutable") and row.name != "members":
            yield row.name, _a_list(fits, row) if row.multi else fits


def _parts(row: Attribute) -> Mapping[str, Fits]:
    found = {part.name: _single(part) for part in row.sub if part.mutability != "readOnly" and not part.multi}
    return {name: fits for name, fits in found.items() if fits is not None}


def _single(row: Attribute) -> Fits | None:
    if row.type == "boolean":
        return _a_boolean
    if row.type not in ("string", "reference"):
        return None
    if row.type == "reference":
        return _uri
    if row.max_chars is None and not row.address and row.name != "externalId":
        return _text
    at_most = 1 << 62 if row.max_chars is None else row.max_chars
    # An empty externalId is none.
    return _bounded(int(row.name == "externalId"), at_most, address=row.address)


def _nothing(value: Any) -> bool:
    return False


def _a_boolean(value: Any) -> bool:
    return value is True or value is False


def _text(value: Any) -> bool:
    return type(value) is str and value.isascii() and "\0" not in value


def _uri(value: Any) -> bool:
    return type(value) is str and is_uri(value)


def _bounded(at_least: int, at_most: int, *, address: bool) -> Fits:
    def fits(value: Any) -> bool:
        if not _text(value) or not at_least <= len(value) <= at_most:
            return False
        return not address or NO_ADDRESS.search(value) is None

    return fits


def _an_object(parts: Mapping[str, Fits]) -> Fits:
    find = parts.get

    def fits(value: Any) -> bool:
        # An empty one is no value.
        if type(value) is not dict or not value:
            return False
        for name, part in value.items():
            of_part = find(name)
            if of_part is None or not of_part(part):
                return False
        return True

    return fits


def _a_list(one: Fits, row: Attribute) -> Fits:
    """None of the values may be the same as another, and one at most the primary one."""
    marked = row.find("primary") is not None
    told_by = None if row.type != "complex" else "value" if row.find("value") is not None else "type"

    def fits(values: Any) -> bool:
        if type(values) is not list or not 0 < len(values) <= MAX_VALUES or not all(map(one, values)):
            return False
        if len(values) == 1:
            return True
        if marked and [each.get("primary") for each in values].count(True) > 1:
            return False
        return _differ(values if told_by is None else [each.get(told_by) for each in values])

    return fits


def _differ(parts: list[Any]) -> bool:
    """Plain texts fold to their lower case."""
    return len({part.lower() if type(part) is str else part for part in parts}) == len(parts)
