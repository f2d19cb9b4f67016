"""A PATCH of a group → changes of member rows, and what is left for the document.

The group is never built: what comes out is the net of what to add, what to remove, or the whole new
list, so that the cost follows the change and not the group (RFC 7644 §3.5.2; docs/decisions/0008).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
    ValuePath,
)

from scimd.core.attributes import GROUP, GROUP_URN
from scimd.scim.errors import ScimError, invalid_path, invalid_value, read_only
from scimd.scim.patch import Operation, parse_path
from scimd.scim.values import Rules, taken_one

_NAME = "members"
_ROW = next(row for row in GROUP.schema.attributes if row.name == _NAME)
#: What providers send, read without building a syntax tree. Nothing in it is escaped.
_ONE_MEMBER = re.compile(r'members\[value eq "([!#-\[\]-~]{1,255})"\]')
#: Of so many members the ids are taken in one go.
_MANY = 8
_SPELLED = frozenset(part.name for part in _ROW.sub)
_VALUE = next(part for part in _ROW.sub if part.name == "value")


@dataclass(slots=True)
class MemberChange:
    """The net of several operations, in their order. ``replace`` None: the list is not replaced."""

    replace: dict[str, None] | None = None
    add: dict[str, None] = field(default_factory=dict)
    remove: dict[str, None] = field(default_factory=dict)

    def adding(self, ids: Sequence[str]) -> None:
        for each in ids:
            if self.replace is not None:
                self.replace[each] = None
            else:
                self.remove.pop(each, None)
                self.add[each] = None

    def removing(self, ids: Sequence[str]) -> None:
        for each in ids:
            if self.replace is not None:
                self.replace.pop(each, None)
            else:
                self.add.pop(each, None)
                self.remove[each] = None

    def replacing(self, ids: Sequence[str]) -> None:
        self.replace, self.add, self.remove = dict.fromkeys(ids), {}, {}


def split(operations: Sequence[Operation], rules: Rules) -> tuple[tuple[Operation, ...], MemberChange]:
    """The operations on the document, and the change of members."""
    rest: list[Operation] = []
    change = MemberChange()
    for operation in operations:
        rest.extend(_without_members(operation, change, rules))
    return tuple(rest), change


def _without_members(operation: Operation, change: MemberChange, rules: Rules) -> Iterator[Operation]:
    if operation.path is None or operation.path.lower() == GROUP_URN.lower():
        yield from _pathless(operation, change, rules)
        return
    if operation.op == "remove" and (one := _ONE_MEMBER.fullmatch(operation.path)):
        change.removing([one[1]])
        return
    node = parse_path(operation.path)
    path = node if isinstance(node, AttrPath) else node.attr_path
    found = GROUP.resolve(path.uri, path.attr)
    if found is None or found.attribute is not _ROW:
        yield operation
    elif isinstance(node, AttrPath) and node.sub_attr is None:
        _whole(operation, change, rules)
    else:
        _selected(node, operation, change)


def _pathless(operation: Operation, change: MemberChange, rules: Rules) -> Iterator[Operation]:
    if not isinstance(operation.value, Mapping):
        yield operation
        return
    kept = {}
    for key, value in operation.value.items():
        if key.lower() in (_NAME, f"{GROUP_URN}:{_NAME}".lower()):
            _whole(Operation(operation.op, _NAME, value), change, rules)
        else:
            kept[key] = value
    if kept or not operation.value:
        yield Operation(operation.op, operation.path, kept)


def _whole(operation: Operation, change: MemberChange, rules: Rules) -> None:
    """The path is ``members``."""
    if operation.op == "remove":
        # A list names exactly whom to remove, also an empty one; only without any value does the
        # path mean all members (RFC 7644 §3.5.2.2).
        if operation.has_value and operation.value is not None:
            change.removing(member_ids(operation.value, rules))
        else:
            change.replacing(())
    elif not operation.has_value:
        raise invalid_value(_NAME, f"the operation {operation.op} needs a value")
    elif operation.op == "add":
        change.adding(member_ids(operation.value, rules))
    else:
        change.replacing(member_ids(operation.value, rules))


def _selected(node: Any, operation: Operation, change: MemberChange) -> None:
    """``members[value eq "…"]``, or the same as a comparison."""
    text = operation.path or ""
    if operation.op != "remove" or (isinstance(node, ValuePath) and node.sub_attr is not None):
        raise read_only(text, "a member's attributes cannot be changed; add or remove the member")
    if isinstance(node, ValuePath):
        ids = _named(node.val_filter, text)
    elif isinstance(node, Comparison):
        ids = _named(Comparison(AttrPath(node.attr_path.sub_attr or "value"), node.op, node.value), text)
    else:
        raise invalid_path(text, 'members are selected by value, as in members[value eq "…"]')
    change.removing(ids)


def _named(node: FilterNode, text: str) -> list[str]:
    """The ids that a filter of equalities on ``value`` names."""
    if isinstance(node, Comparison) and _is_id(node):
        return [node.value]
    if isinstance(node, LogicalExpr) and node.op == LogicalOperator.or_:
        return [each for term in node.terms for each in _named(term, text)]
    if isinstance(node, LogicalExpr):
        ids = [term for term in node.terms if isinstance(term, Comparison) and _is_id(term)]
        others = [term for term in node.terms if term not in ids]
        if len(ids) == 1 and all(_is_type(term) for term in others):
            return [ids[0].value]
    raise ScimError(
        400,
        f'The path {text!r}: members are selected by value, as in members[value eq "…"].',
        "invalidFilter",
    )


def _is_id(node: Comparison) -> bool:
    return _is(node, "value")


def _is_type(node: FilterNode) -> bool:
    """An id names one resource; its type adds nothing."""
    return isinstance(node, Comparison) and _is(node, "type")


def _is(node: Comparison, name: str) -> bool:
    path = node.attr_path
    named = path.attr.lower() == name and path.sub_attr is None
    return named and node.op == CompareOperator.eq and isinstance(node.value, str)


def member_ids(value: Any, rules: Rules) -> list[str]:
    """The ids in a list of members, each once; null is an empty list. Raises invalidValue."""
    if value is None:
        return []
    many = value if isinstance(value, list) else [value]
    return _plain_ids(many) or list(dict.fromkeys(_member_id(each, rules) for each in many))


def _plain_ids(many: Sequence[Any]) -> list[str] | None:
    """The same where all are spelled as the schema has them and nothing is wrong: megabytes in one go.

    None for whatever has to be looked at one by one, and be it for the words of a refusal.
    """
    if len(many) < _MANY or not all(type(each) is dict and _SPELLED.issuperset(each) for each in many):
        return None
    try:
        ids = dict.fromkeys([each["value"] for each in many])
        together = "".join(ids)
    except (KeyError, TypeError):
        return None
    if not together.isascii() or "\0" in together or "" in set(map(str.strip, ids)):
        return None
    if _VALUE.max_chars is not None and max(map(len, ids)) > _VALUE.max_chars:
        return None
    return list(ids)


def _member_id(each: Any, rules: Rules) -> str:
    if isinstance(each, str) and rules.tolerant:
        given: Any = each
    elif isinstance(each, Mapping):
        given = next((value for key, value in each.items() if key.lower() == "value"), None)
    else:
        raise invalid_value(_NAME, "an object with value is wanted")
    if not isinstance(given, str) or not given.strip():
        raise invalid_value(f"{_NAME}.value", "the id of a user or group is wanted")
    taken: str = taken_one(_VALUE, given, f"{_NAME}.value", rules)
    return taken
