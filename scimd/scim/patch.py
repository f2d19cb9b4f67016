"""PATCH applied to a document: pure, whole or not at all (RFC 7644 §3.5.2).

Works on a copy. Paths come from scim2-models' grammar and are bound to the attribute table; keys of
a value without path are paths themselves, since clients send ``name.givenName`` and
``urn:…:User:department`` there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any, Literal

import orjson
from scim2_models import InvalidPathException
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
    Path,
    PathNode,
    ValuePath,
)

from scimd.core.attributes import Attribute, Resolved, ResourceKind, Schema
from scimd.core.people import Document
from scimd.core.travelling import travels
from scimd.scim.documents import require, writable
from scimd.scim.errors import (
    ScimError,
    invalid_path,
    invalid_syntax,
    invalid_value,
    no_target,
    read_only,
    shown,
)
from scimd.scim.filters import Binder, Predicate, ValueFilter, check_bounds
from scimd.scim.values import Rules, few_enough, is_primary, one_primary, taken, taken_one, unknown

Op = Literal["add", "remove", "replace"]


class _Absent(Enum):
    """The value of an operation without one: a singleton, also after a way through ``pickle``."""

    ABSENT = 0


_ABSENT = _Absent.ABSENT
_OPS: Mapping[str, Op] = {"add": "add", "remove": "remove", "replace": "replace"}
#: Of all paths of one PATCH that stay for the document; each costs a parse and a pass over values.
MAX_PATHS_CHARS = 16_384


@travels
@dataclass(frozen=True, slots=True)
class PatchRules:
    """How a profile wants PATCH done.

    ``create_missing``: a value filter that matches nothing creates what it describes, instead of
    noTarget. ``remove_listed``: a remove with a value takes away the listed values, not all of them.
    ``allow_none``: a message without any operation changes nothing, instead of invalidSyntax.
    """

    values: Rules = field(default_factory=Rules)
    create_missing: bool = True
    remove_listed: bool = True
    allow_none: bool = False


@travels
@dataclass(frozen=True, slots=True)
class Operation:
    """``value`` is the sentinel ABSENT where none was sent; null is a value."""

    op: Op
    path: str | None
    value: Any = _ABSENT

    @property
    def has_value(self) -> bool:
        return self.value is not _ABSENT


@dataclass(frozen=True, slots=True)
class Target:
    """What a path points at: an attribute or a whole extension, perhaps some of its values."""

    found: Resolved
    chosen: FilterNode | None
    text: str


# ------------------------------------------------------------------------------ reading a message


def operations_of(
    body: Mapping[str, Any], at_most: int, *, allow_none: bool = False
) -> tuple[Operation, ...]:
    """The operations of a PatchOp message; its keys and ``op`` in any case."""
    keys = {key.lower(): value for key, value in body.items()}
    many = keys.get("operations")
    if not isinstance(many, list) or not (many or allow_none):
        raise invalid_syntax("Operations: an array with at least one operation is wanted.")
    if len(many) > at_most:
        raise ScimError(413, f"Operations: more than the {at_most} that are allowed.", "tooMany")
    return tuple(map(_operation, many))


def _operation(each: Any) -> Operation:
    if not isinstance(each, dict | Mapping):
        raise invalid_syntax("Operations: each must be an object.")
    keys = {key.lower(): value for key, value in each.items()}
    op, path = keys.get("op"), keys.get("path")
    if not isinstance(op, str) or op.lower() not in _OPS:
        raise invalid_syntax(f"op: add, remove or replace is wanted, not {shown(str(op))}.")
    if path is not None and not isinstance(path, str):
        raise invalid_path(str(path), "a string is wanted")
    return Operation(_OPS[op.lower()], path or None, keys.get("value", _ABSENT))


def parse_path(text: str) -> PathNode:
    """The syntax tree of a path. Raises invalidPath."""
    # Providers send the same few paths all day; those with a value in them are kept by nobody.
    return _parsed(text) if '"' in text else _known_path(text)


@lru_cache(maxsize=1024)
def _known_path(text: str) -> PathNode:
    return _parsed(text)


def _parsed(text: str) -> PathNode:
    try:
        check_bounds(text)
        node = Path(text).ast
    except ScimError as exc:
        raise invalid_path(text, exc.detail) from exc
    except InvalidPathException as exc:
        raise invalid_path(text, f"it cannot be read: {exc.detail}") from exc
    if node is None:
        raise invalid_path(text, "it is empty")
    return node


# ------------------------------------------------------------------------------ applying


def apply(
    kind: ResourceKind, document: Document, operations: Sequence[Operation], rules: PatchRules
) -> Document:
    """The document after all operations; the one given is left as it is."""
    if sum(len(each.path or "") for each in operations) > MAX_PATHS_CHARS:
        raise ScimError(
            413, f"Operations: paths of more than {MAX_PATHS_CHARS} characters in all.", "tooMany"
        )
    # A document is JSON: written and read again it is copied at a thirtieth of deepcopy's cost.
    patching = _Patching(kind, orjson.loads(orjson.dumps(document)), rules)
    for operation in operations:
        patching.run(operation)
    return require(kind, patching.document)


class _Patching:
    def __init__(self, kind: ResourceKind, document: Document, rules: PatchRules) -> None:
        self.kind = kind
        self.document = document
        self.rules = rules

    def run(self, operation: Operation) -> None:
        if operation.op != "remove" and not operation.has_value:
            raise invalid_value("value", f"the operation {operation.op} needs one")
        if operation.path is None:
            self._pathless(operation)
        else:
            self._at(operation, operation.path)

    def _pathless(self, operation: Operation) -> None:
        if operation.op == "remove":
            raise no_target("", "remove needs a path")
        if not isinstance(operation.value, Mapping):
            raise invalid_value("value", "without a path, an object of attributes is wanted")
        for key, value in operation.value.items():
            if key.lower() not in ("schemas", "id", "meta"):
                self._at(Operation(operation.op, key, value), key, quiet=True)

    def _at(self, operation: Operation, path: str, *, quiet: bool = False) -> None:
        """One operation at one path. ``quiet``: the path was a key, so read-only ones are passed over."""
        extension = self.kind.schema_of(path)
        if extension is not None:
            self._schema(extension, operation)
            return
        try:
            target = self._target(path)
        except ScimError:
            # A key that is no path is an attribute that scimd does not serve.
            if quiet and not self.rules.values.refuse_unknown:
                return
            raise
        if target is None:
            return
        if _is_read_only(target.found):
            if quiet and not self.rules.values.refuse_unknown:
                return
            raise read_only(str(target.found))
        self._do(target, operation)

    def _schema(self, schema: Schema, operation: Operation) -> None:
        """The path is a schema's URN: its attributes, all of them or those in the value."""
        if schema is self.kind.schema:
            self._pathless(operation)
        elif operation.op == "remove" or operation.value is None:
            self.document.pop(schema.id, None)
        elif isinstance(operation.value, Mapping):
            for key, value in operation.value.items():
                if key.lower() == "schemas":  # python-scim's clients put it inside extensions too
                    continue
                self._at(
                    Operation(operation.op, f"{schema.id}:{key}", value), f"{schema.id}:{key}", quiet=True
                )
        else:
            raise invalid_value(schema.id, "an object is wanted")

    def _target(self, text: str) -> Target | None:
        """What the path points at; None for what scimd does not serve and the profile passes over."""
        node = parse_path(text)
        if isinstance(node, ValuePath):
            sub = node.sub_attr
            path, chosen = node.attr_path, node.val_filter
        elif isinstance(node, AttrPath):
            path, chosen, sub = node, None, node.sub_attr
        else:
            path, chosen, sub = _selection(node, text)
        found = self.kind.resolve(path.uri, path.attr, sub)
        if found is None:
            if self.rules.values.refuse_unknown:
                raise invalid_path(text, f"{self.kind.name} has no such attribute; see /Schemas")
            return None
        if chosen is not None and not found.attribute.multi:
            raise invalid_path(text, f"{found.attribute.name} has no values to select from")
        return Target(found, chosen, text)

    # -------------------------------------------------------------- one target

    def _do(self, target: Target, operation: Operation) -> None:
        if target.chosen is not None:
            self._on_values(target, target.chosen, operation)
        elif target.found.sub is not None:
            self._on_part(target.found, operation)
        elif operation.op == "remove":
            self._remove(target.found, operation)
        else:
            self._write(target.found, operation)

    def _write(self, found: Resolved, operation: Operation) -> None:
        row, given = found.attribute, operation.value
        if row.multi and given is not None and not isinstance(given, list):
            given = [given]
        value = writable(row, given, str(found), self.rules.values)
        if row.type == "complex" and not row.multi and (value or (isinstance(given, Mapping) and given)):
            self._merge(found, given, value or {}, operation.op)
        elif value is None:
            if operation.op == "replace" and row.mutability == "readWrite":
                self._put(found, None)
        elif row.multi and operation.op == "add":
            self._put(found, self._with_more(found, value))
        else:
            self._put(found, value)

    def _merge(self, found: Resolved, given: Any, parts: Document, op: Op) -> None:
        """Parts of a complex value; those that nobody names stay as they are (§3.5.2.3)."""
        gone = _unassigned(found.attribute, given) if op == "replace" else ()
        kept = {name: each for name, each in (self._get(found) or {}).items() if name not in gone}
        self._put(found, {**kept, **parts} or None)

    def _with_more(self, found: Resolved, more: list[Any]) -> list[Any]:
        """The values with more added to them. One that is there already is no second one (§3.5.2.1)."""
        values: list[Any] = list(self._get(found) or [])
        places = {_known_by(each): place for place, each in enumerate(values)}
        fresh = set()
        for each in more:
            place = places.setdefault(_known_by(each), len(values))
            if is_primary(each):
                fresh.add(place)
            if place == len(values):
                values.append(each)
            elif isinstance(each, Mapping):
                values[place] = {**values[place], **each}
        few_enough(values, str(found))
        _one_primary(values, fresh)
        return values

    def _remove(self, found: Resolved, operation: Operation) -> None:
        row = found.attribute
        listed = operation.value if operation.has_value and self.rules.remove_listed and row.multi else None
        if listed is None:
            self._put(found, None)
            return
        gone = {_named(each) for each in taken(row, listed, str(found), self.rules.values) or []}
        kept = [each for each in self._get(found) or [] if not {_named(each), _identity(each)} & gone]
        self._put(found, kept or None)

    def _on_part(self, found: Resolved, operation: Operation) -> None:
        """``name.givenName``; of a multi-valued attribute, the part of every value."""
        part = _part(found)
        value = self._part_value(found, operation)
        if not found.attribute.multi:
            self._put(found, _with(self._get(found) or {}, part.name, value) or None)
            return
        have = self._get(found) or ([{}] if value is not None else [])
        kept = [changed for each in have if (changed := _with(each, part.name, value))]
        self._put(found, one_primary(kept, str(found), self.rules.values) or None)

    def _on_values(self, target: Target, chosen: FilterNode, operation: Operation) -> None:
        """``emails[type eq "work"]``, perhaps with a part after it."""
        found = target.found
        have: list[Any] = self._get(found) or []
        whole = Resolved(found.extension, found.attribute)
        binder = Binder(self.kind, tolerant=self.rules.values.tolerant)
        picked = list(map(_chooser(binder, whole, chosen, target.text), have))
        if not any(picked):
            self._on_nothing(target, chosen, operation, have)
            return
        change = self._change(found, operation)
        values = [change(each) if hit else each for each, hit in zip(have, picked, strict=True)]
        kept = [each for each in values if each]
        if operation.op != "remove":
            _one_primary(kept, {position for position, hit in enumerate(picked) if hit})
            kept = one_primary(kept, str(found), self.rules.values)
        self._put(found, kept or None)

    def _change(self, found: Resolved, operation: Operation) -> Callable[[Any], Any]:
        """What happens to one value that was selected; an empty result takes it away."""
        if found.sub is not None:
            part, value = _part(found), self._part_value(found, operation)
            return lambda each: _with(each, part.name, value)
        if operation.op == "remove":
            return lambda each: None
        value = self._one_value(found, operation)
        # A bare string stands for the value's ``value``, and leaves the rest of it.
        whole = operation.op == "replace" and not isinstance(operation.value, str)
        if whole or not isinstance(value, Mapping):
            return lambda each: value
        return lambda each: {**each, **value}

    def _on_nothing(self, target: Target, chosen: FilterNode, operation: Operation, have: list[Any]) -> None:
        """No value was selected (RFC 7644 §3.5.2.3: noTarget; Entra ID expects that it is made)."""
        if not self.rules.create_missing:
            raise no_target(target.text, "no value matches")
        if operation.op == "remove":
            return
        described = _described(target.found, chosen)
        if described is None:
            raise no_target(target.text, "no value matches, and the filter does not describe one to make")
        rules = self.rules.values
        fresh = taken_one(target.found.attribute, described, str(target.found), rules) or {}
        made = self._change(target.found, operation)(fresh)
        if isinstance(made, Mapping):
            made = {**fresh, **made}
        values = [*have, made] if made else have
        few_enough(values, str(target.found))
        _one_primary(values, {len(have)})
        self._put(target.found, values or None)

    def _part_value(self, found: Resolved, operation: Operation) -> Any:
        if operation.op == "remove" or operation.value is None:
            return None
        return taken_one(_part(found), operation.value, str(found), self.rules.values)

    def _one_value(self, found: Resolved, operation: Operation) -> Any:
        value = operation.value
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        return None if value is None else taken_one(found.attribute, value, str(found), self.rules.values)

    # -------------------------------------------------------------- the document

    def _get(self, found: Resolved) -> Any:
        holder = self.document if found.extension is None else self.document.get(found.extension, {})
        return holder.get(found.attribute.name)

    def _put(self, found: Resolved, value: Any) -> None:
        if value is None and found.attribute.required:
            raise read_only(str(found), "it is required and cannot be removed")
        if found.extension is None:
            _assign(self.document, found.attribute.name, value)
            return
        extension = self.document.get(found.extension, {})
        _assign(extension, found.attribute.name, value)
        _assign(self.document, found.extension, extension or None)


def _assign(holder: Document, name: str, value: Any) -> None:
    if value is None:
        holder.pop(name, None)
    else:
        holder[name] = value


def _with(value: Mapping[str, Any], name: str, part: Any) -> Document:
    """The complex value with one part set, or without it."""
    changed = {key: each for key, each in value.items() if key != name}
    if part is not None:
        changed[name] = part
    return changed


def _part(found: Resolved) -> Attribute:
    if found.sub is None:
        raise unknown(str(found))
    return found.sub


def _is_read_only(found: Resolved) -> bool:
    return "readOnly" in (found.attribute.mutability, found.target.mutability)


def _selection(node: Any, text: str) -> tuple[AttrPath, FilterNode, None]:
    """``emails.type eq "work"`` as a path (errata 7122): the values of which that holds."""
    path = node.attr_path
    inner = AttrPath(path.sub_attr or "value")
    if isinstance(node, Comparison):
        return AttrPath(path.attr, None, path.uri), Comparison(inner, node.op, node.value), None
    raise invalid_path(text, "an attribute is wanted")


def _chooser(binder: Binder, found: Resolved, chosen: FilterNode, text: str) -> Predicate:
    try:
        return ValueFilter(binder, found).visit(chosen)
    except ScimError as exc:
        # In a path, what is wrong with the filter is wrong with the path's filter (RFC 7644 §3.12).
        raise ScimError(400, f"The path {shown(text)}: {exc.detail}", "invalidFilter") from exc


def _described(found: Resolved, chosen: FilterNode) -> Document | None:
    """The value that a filter of equalities describes: ``type eq "work"`` → {"type": "work"}."""
    terms = (
        chosen.terms if isinstance(chosen, LogicalExpr) and chosen.op == LogicalOperator.and_ else (chosen,)
    )
    described: Document = {}
    for term in terms:
        if not isinstance(term, Comparison) or term.op != CompareOperator.eq or term.value is None:
            return None
        described[term.attr_path.attr] = term.value
    return described


def _identity(value: Any) -> bytes:
    """The whole value, as what it is compared by."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _known_by(value: Any) -> bytes:
    """What makes two values the same: ``value`` and ``type`` (RFC 7643 §2.4), else all of it."""
    told = isinstance(value, Mapping) and "value" in value
    return _identity([value["value"], value.get("type")] if told else value)


def _unassigned(row: Attribute, given: Any) -> frozenset[str]:
    """The parts that an object names as null (RFC 7643 §2.5)."""
    nulls = (name for name, each in given.items() if each is None) if isinstance(given, Mapping) else ()
    parts = map(row.find, nulls)
    return frozenset(part.name for part in parts if part is not None and part.mutability != "readOnly")


def _named(value: Any) -> bytes:
    """What a value in a remove's list is known by: its ``value``, else all of it."""
    return _identity(value.get("value", value) if isinstance(value, Mapping) else value)


def _one_primary(values: list[Any], fresh: set[int]) -> None:
    """A new primary value takes that mark from the others (RFC 7644 §3.5.2)."""
    if not any(is_primary(each) for position, each in enumerate(values) if position in fresh):
        return
    for position, each in enumerate(values):
        if position not in fresh and is_primary(each):
            values[position] = {**each, "primary": False}
