"""PATCH applied to a document: pure, whole or not at all (RFC 7644 §3.5.2).

Works on a copy. Paths come from scim2-models' grammar and are bound to the attribute table; keys of
a value without path are paths themselves, since clients send ``name.givenName`` and
``urn:…:User:department`` there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from scim2_models.path import AttrPath, FilterNode, ValuePath

from scimd.core.attributes import Attribute, Resolved, ResourceKind, Schema
from scimd.core.people import Document
from scimd.scim.documents import bounded, require, writable
from scimd.scim.effort import MAX_GONE_OVER, Effort, bound_paths
from scimd.scim.errors import ScimError, invalid_path, invalid_value, no_target, read_only
from scimd.scim.filters import Binder, is_present
from scimd.scim.nesting import unpacked
from scimd.scim.operations import Op, Operation, PatchRules
from scimd.scim.paths import chooser, comparisons_in, described_by, is_any_other, parse_path, selection
from scimd.scim.plural import distinct, is_primary, joined, known_by, listed, newly_primary
from scimd.scim.references import References
from scimd.scim.single import plain_of
from scimd.scim.values import DROPPED, few_enough, one_primary, taken, taken_one, unknown

#: Of all paths of one PATCH that stay for the document; each costs a parse and a pass over values.
MAX_PATHS_CHARS = 16_384


@dataclass(frozen=True, slots=True)
class Target:
    """What a path points at: an attribute or a whole extension, perhaps some of its values."""

    found: Resolved
    chosen: FilterNode | None
    text: str


def apply(
    kind: ResourceKind,
    document: Document,
    operations: Sequence[Operation],
    rules: PatchRules,
    gone_over: int = MAX_GONE_OVER,
) -> Document:
    """The document after all operations; the one given is left as it is. ``gone_over``: values, at most."""
    bound_paths(sum(_path_chars(kind, each) for each in operations), MAX_PATHS_CHARS)
    # A document is JSON: written and read again it is copied at a thirtieth of deepcopy's cost.
    before = orjson.dumps(document)
    patching = _Patching(kind, orjson.loads(before), rules, Effort(gone_over))
    patching.effort.begins(before)
    for operation in operations:
        patching.run(operation)
    return bounded(require(kind, patching.document), len(before))


def _path_chars(kind: ResourceKind, operation: Operation) -> int:
    """The characters of the operation's path, and of the keys that are paths where it has none of its own."""
    path, value = operation.path, operation.value
    told = len(path or "")
    if isinstance(value, Mapping) and (path is None or kind.schema_of(path) is not None):
        inner = (each for key, each in value.items() if ":" in key and isinstance(each, Mapping))
        told += sum(map(len, value)) + sum(sum(map(len, each)) for each in inner)
    return told


class _Patching:
    def __init__(self, kind: ResourceKind, document: Document, rules: PatchRules, effort: Effort) -> None:
        self.kind = kind
        self.document = document
        self.rules = rules
        self.references = References()
        self.effort = effort
        #: What the last add left, and where each value of it stands by what it is known by.
        self.added: tuple[list[Any], dict[bytes, int]] = ([], {})

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
            raise invalid_value("value", "must be an object of attributes when there is no path")
        passed = ("schemas",) if self.rules.values.refuse_unknown else ("schemas", "id", "meta")
        for key, value in operation.value.items():
            if key.lower() not in passed:
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
            if quiet and self.rules.values.refuse_unknown:
                raise unknown(path) from None
            if quiet:
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
        own = schema is self.kind.schema
        operation = replace(operation, value=self.rules.object_in(operation.value, may_be_value=not own))
        if own and operation.op == "remove":
            raise no_target(schema.id, "remove needs the path of an attribute")
        if own:
            self._pathless(operation)
        elif _adds_nothing(operation, operation.value):
            return
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
            raise invalid_value(schema.id, "must be an object")

    def _target(self, text: str) -> Target | None:
        """What the path points at; None for what scimd does not serve and the profile passes over."""
        node = parse_path(text)
        if isinstance(node, ValuePath):
            sub = node.sub_attr
            path, chosen = node.attr_path, node.val_filter
        elif isinstance(node, AttrPath):
            path, chosen, sub = node, None, node.sub_attr
        else:
            (path, chosen), sub = selection(node, text), None
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
        row = target.found.target
        plain = not row.multi and row.type != "complex"
        if plain and isinstance(operation.value, list) and self.rules.out_of_list:
            operation = replace(operation, value=plain_of(operation.value))
        elif row.type == "complex" and not row.multi:
            operation = replace(operation, value=self.rules.object_in(operation.value))
        elif row.type == "complex" and self.rules.values.tolerant:
            operation = replace(operation, value=unpacked(operation.value))
        self.effort.given(operation.value)
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
        dropped, value = value is DROPPED, _said(value)
        if row.type == "complex" and not row.multi and (value or (isinstance(given, Mapping) and given)):
            self._merge(found, given, value or {}, operation.op)
        elif not row.multi and _adds_nothing(operation, value):
            return
        elif value is None:
            if operation.op == "replace" and row.mutability == "readWrite" and not dropped:
                self._put(found, None)
        elif row.multi and operation.op == "add":
            self._put(found, self._with_more(found, value))
        else:
            self._put(found, value)

    def _merge(self, found: Resolved, given: Any, parts: Document, op: Op) -> None:
        """Parts of a complex value; those that nobody names stay as they are (§3.5.2.3)."""
        gone = _unassigned(found.attribute, given) if op == "replace" else ()
        have = self._get(found) or {}
        kept = {name: each for name, each in have.items() if name not in gone}
        self._put(found, self.references.kept(found, have, {**kept, **parts}, parts))

    def _with_more(self, found: Resolved, more: list[Any]) -> list[Any]:
        """The values with more added to them. One that is there already is no second one (§3.5.2.1)."""
        row = found.attribute
        values, places = self.added
        if self._get(found) is not values:
            values = list(self._values(found))
            places = {known_by(row, each): place for place, each in enumerate(values)}
        fresh = set()
        for each in more:
            place = places.setdefault(known_by(row, each), len(values))
            if is_primary(each):
                fresh.add(place)
            if place == len(values):
                values.append(each)
            else:
                values[place] = joined(values[place], each)
        few_enough(values, str(found))
        newly_primary(values, fresh)
        # A mark that is taken away may be a part of what its value is known by.
        self.added = ([], {}) if fresh else (values, places)
        return values

    def _remove(self, found: Resolved, operation: Operation) -> None:
        row = found.attribute
        if not row.multi or not operation.has_value or operation.value is None:
            self._put(found, None)
            return
        if not self.rules.remove_listed:
            # Some mean the listed values by it; to take all for those would be the worse mistake.
            raise invalid_value(str(found), 'remove takes no value: select in the path, as [type eq "work"]')
        gone = listed(row, _said(taken(row, operation.value, str(found), self.rules.values)) or [])
        values = self._values(found, gone.ways)
        self._put(found, [each for each in values if not gone(each)] or None)

    def _on_part(self, found: Resolved, operation: Operation) -> None:
        """``name.givenName``; of a multi-valued attribute, the part of every value."""
        part = _part(found)
        value = self._part_value(found, operation)
        if _adds_nothing(operation, value):
            return
        if not found.attribute.multi:
            one = self._get(found) or {}
            self._put(found, self.references.kept(found, one, _with(one, part.name, value), {part.name}))
            return
        have = self._values(found) or ([{}] if value is not None else [])
        kept = [changed for each in have if (changed := _with(each, part.name, value))]
        kept = distinct(found.attribute, kept)
        self._put(found, one_primary(kept, str(found), self.rules.values) or None)

    def _on_values(self, target: Target, chosen: FilterNode, operation: Operation) -> None:
        """``emails[type eq "work"]``, perhaps with a part after it."""
        found = target.found
        have = self._values(found, comparisons_in(chosen))
        whole = Resolved(found.extension, found.attribute)
        binder = Binder(self.kind, tolerant=self.rules.values.tolerant)
        picked = list(map(chooser(binder, whole, chosen, target.text), have))
        if not any(picked):
            self._on_nothing(target, chosen, operation)
            return
        change = self._change(found, operation)
        values = [change(each) if hit else each for each, hit in zip(have, picked, strict=True)]
        if operation.op != "remove":
            newly_primary(values, {position for position, hit in enumerate(picked) if hit})
        kept = distinct(found.attribute, [each for each in values if each])
        self._put(found, one_primary(kept, str(found), self.rules.values) or None)

    def _change(self, found: Resolved, operation: Operation) -> Callable[[Any], Any]:
        """What happens to one value that was selected; an empty result takes it away."""
        part = found.sub
        if operation.op == "remove" and part is None:
            return lambda each: None
        value = self._one_value(found, operation) if part is None else self._part_value(found, operation)
        if value is DROPPED or _adds_nothing(operation, value):
            return lambda each: each
        if part is not None:
            return lambda each: _with(each, part.name, value)
        # A bare string stands for the value's ``value``, and leaves the rest of it.
        whole = operation.op == "replace" and not isinstance(operation.value, str)
        if whole or not isinstance(value, Mapping):
            return lambda each: value
        return lambda each: {**each, **value}

    def _on_nothing(self, target: Target, chosen: FilterNode, operation: Operation) -> None:
        """No value was selected (RFC 7644 §3.5.2.3: noTarget; Entra ID expects that it is made)."""
        if not self.rules.create_missing:
            raise no_target(target.text, "no value matches")
        if operation.op == "remove" or operation.value is None:
            return
        described = described_by(chosen)
        if described is None:
            raise no_target(target.text, "no value matches, and the filter does not describe one to make")
        made = self._made(target.found, described, operation)
        if made is None:
            return
        if is_any_other(target.found.attribute, described, made):
            raise no_target(target.text, "no value matches, and nothing gives the value of a new one")
        self._put(target.found, self._with_more(target.found, [made]))

    def _made(self, found: Resolved, described: Document, operation: Operation) -> Any:
        """A value as the filter describes it, with what the operation says; None where that is nothing more.

        Entra ID's validation sends null and ``""`` for each target that is mapped
        (AzureAD/SCIMReferenceCode, ``SCIM_Null_Update_Test``), which is no value (RFC 7643 §2.5).
        """
        if not found.attribute.sub:
            value = self._one_value(found, operation)
            return value if is_present(value) else None
        filtered = _said(taken_one(found.attribute, described, str(found), self.rules.values)) or {}
        said = self._change(found, operation)({}) or {}
        if not any(is_present(said[name]) for name in said if name == "value" or name not in filtered):
            return None
        return {**filtered, **said}

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

    def _values(self, found: Resolved, ways: int = 1) -> list[Any]:
        """The values of a multi-valued attribute, to go over each, so many times. Raises 413 where those are
        too many.
        """
        values: list[Any] = self._get(found) or []
        self.effort.over(values, ways)
        return values

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


def _adds_nothing(operation: Operation, value: Any) -> bool:
    """An add of no value takes none away (RFC 7644 §3.5.2.1), nor does a replace by no part (§3.5.2.3)."""
    no_part = operation.op == "replace" and operation.value in ({}, [{}])
    return value is None and (operation.op == "add" or no_part)


def _said(value: Any) -> Any:
    """A checked value; None where nothing of it is kept."""
    return None if value is DROPPED else value


def _part(found: Resolved) -> Attribute:
    if found.sub is None:
        raise unknown(str(found))
    return found.sub


def _is_read_only(found: Resolved) -> bool:
    return "readOnly" in (found.attribute.mutability, found.target.mutability)


def _unassigned(row: Attribute, given: Any) -> frozenset[str]:
    """The parts that an object names as null (RFC 7643 §2.5)."""
    nulls = (name for name, each in given.items() if each is None) if isinstance(given, Mapping) else ()
    parts = map(row.find, nulls)
    return frozenset(part.name for part in parts if part is not None and part.mutability != "readOnly")
