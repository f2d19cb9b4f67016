"""A PATCH of a group → changes of member rows, and what is left for the document.

The group is never built: what comes out is the net of what to add, what to remove, or the whole new
list, so that the cost follows the change and not the group (RFC 7644 §3.5.2; docs/decisions/0008). Only
where a path selects by something else than the ids of members are the group's rows looked through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
    Not,
    PathNode,
    ValuePath,
)

from scimd.core.attributes import GROUP, GROUP_URN, Resolved
from scimd.core.people import Document, fold
from scimd.core.resource import group_location, user_location
from scimd.org.groups.chosen_members import Leaving
from scimd.scim.effort import bound_paths
from scimd.scim.errors import ScimError, invalid_value, no_target, read_only, shown
from scimd.scim.filters import Binder, is_text
from scimd.scim.nesting import seems_packed, unpacked
from scimd.scim.operations import Operation
from scimd.scim.paths import chooser, comparisons_in, parse_path, selection
from scimd.scim.plural import listed
from scimd.scim.values import Rules, is_uri, taken_one

_NAME = "members"
_ROW = next(row for row in GROUP.schema.attributes if row.name == _NAME)
#: What providers send, read without building a syntax tree. Nothing in it is escaped.
_ONE_MEMBER = re.compile(r'members\[value eq "([!#-\[\]-~]{1,255})"\]')
#: Of one PATCH: so many times is the group looked through, by filters of so many characters in all, which
#: make so many comparisons of each member.
_MAX_SELECTIONS = 8
_MAX_SELECTION_CHARS = 1024
_MAX_COMPARISONS = 20
#: Of all paths of one PATCH that have to be read by the grammar, at some 5 µs a character.
_MAX_PATHS_CHARS = 49_152
#: Of so many members the ids are taken in one go.
_MANY = 8
_SPELLED = frozenset(part.name for part in _ROW.sub)
_VALUE = next(part for part in _ROW.sub if part.name == "value")


@dataclass(slots=True)
class MemberChange:
    """The net of several operations, in their order. ``replace`` None: the list is not replaced.

    ``users``: those of ``remove`` who stay where they are groups. ``chosen``: who leaves by what is known of
    them, with what came before; the rest comes after.
    """

    replace: dict[str, None] | None = None
    add: dict[str, None] = field(default_factory=dict)
    remove: dict[str, None] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    chosen: list[Leaving] = field(default_factory=list)

    def adding(self, ids: Sequence[str]) -> None:
        for each in ids:
            if self.replace is not None:
                self.replace[each] = None
            else:
                self.remove.pop(each, None)
                self.users.discard(each)
                self.add[each] = None

    def removing(self, ids: Sequence[str]) -> None:
        for each in ids:
            self.users.discard(each)
            if self.replace is not None:
                self.replace.pop(each, None)
            else:
                self.add.pop(each, None)
                self.remove[each] = None

    def removing_users(self, ids: Sequence[str]) -> None:
        """The same of users alone; none of them may be among those who came before (``may_have_come``)."""
        for each in ids:
            if each not in self.remove:
                self.remove[each] = None
                self.users.add(each)

    def may_have_come(self, ids: Sequence[str]) -> bool:
        """Whether an operation before put one of them into the group."""
        return self.replace is not None or any(each in self.add for each in ids)

    def replacing(self, ids: Sequence[str]) -> None:
        self.replace = dict.fromkeys(ids)
        self.add, self.remove, self.users = {}, {}, set()
        if not any(each.asks for each in self.chosen):  # what is refused is so whatever comes after it
            self.chosen = []

    def leaving(
        self, holds: Callable[[Document], bool], asks: Callable[[Sequence[Document]], None] | None = None
    ) -> None:
        replace = None if self.replace is None else tuple(self.replace)
        add, remove, users = tuple(self.add), tuple(self.remove), tuple(self.users)
        self.chosen.append(Leaving(holds, add, remove, replace, users, asks))
        self.replace, self.add, self.remove, self.users = None, {}, {}, set()


@dataclass(slots=True)
class _Selections:
    """The filters of one PATCH that look through the group. ``base_url``: of the members' addresses."""

    rules: Rules
    base_url: str
    many: int = 0
    chars: int = 0
    comparisons: int = 0
    read_chars: int = 0

    def read(self, path: str) -> PathNode:
        """The syntax tree of a path. Raises 413 where all of them are longer than is allowed."""
        self.read_chars += len(path)
        bound_paths(self.read_chars, _MAX_PATHS_CHARS)
        return parse_path(path)

    def holds(self, chosen: FilterNode, text: str) -> Callable[[Document], bool]:
        """The filter as a test of one member. Raises 413 where they cost more than is allowed."""
        self.many, self.chars = self.many + 1, self.chars + len(text)
        self.comparisons += comparisons_in(chosen)
        if (
            self.many > _MAX_SELECTIONS
            or self.chars > _MAX_SELECTION_CHARS
            or self.comparisons > _MAX_COMPARISONS
        ):
            raise ScimError(
                413,
                f"Operations: more than {_MAX_SELECTIONS} filters on members, {_MAX_SELECTION_CHARS}"
                f" characters of them, or {_MAX_COMPARISONS} comparisons in them.",
            )
        if _holds_of_all(chosen):
            raise ScimError(
                400,
                f"The path {shown(text)}: every value contains the empty text, so it would select all.",
                "invalidFilter",
            )
        test = chooser(Binder(GROUP, tolerant=self.rules.tolerant), Resolved(None, _ROW), chosen, text)
        return lambda member: test(self.located(member))

    def located(self, member: Document) -> Document:
        locate = {"User": user_location, "Group": group_location}.get(member.get("type", ""))
        return member if locate is None else {**member, "$ref": locate(member["value"], self.base_url)}


def split(
    operations: Sequence[Operation], rules: Rules, base_url: str = ""
) -> tuple[tuple[Operation, ...], MemberChange]:
    """The operations on the document, and the change of members."""
    rest: list[Operation] = []
    change, selections = MemberChange(), _Selections(rules, base_url)
    for operation in operations:
        rest.extend(_without_members(operation, change, selections))
    return tuple(rest), change


def _without_members(
    operation: Operation, change: MemberChange, selections: _Selections
) -> Iterator[Operation]:
    rules = selections.rules
    if operation.path is None or operation.path.lower() == GROUP_URN.lower():
        yield from _pathless(operation, change, rules)
        return
    if operation.op == "remove" and (one := _ONE_MEMBER.fullmatch(operation.path)):
        change.removing([one[1]])
        return
    node = selections.read(operation.path)
    path = node if isinstance(node, AttrPath) else node.attr_path
    found = GROUP.resolve(path.uri, path.attr)
    if found is None or found.attribute is not _ROW:
        yield operation
    elif isinstance(node, AttrPath) and node.sub_attr is None:
        _whole(operation, change, rules)
    else:
        _selected(node, operation, change, selections)


def _pathless(operation: Operation, change: MemberChange, rules: Rules) -> Iterator[Operation]:
    # A remove without a path has no target, whatever its value names (RFC 7644 §3.5.2.2).
    if operation.op == "remove" or not isinstance(operation.value, Mapping):
        yield operation
        return
    kept = {}
    for key, value in operation.value.items():
        if key.lower() in (_NAME, f"{GROUP_URN}:{_NAME}".lower()):
            _whole(Operation(operation.op, _NAME, value), change, rules)
        elif key.lower() == GROUP_URN.lower() and isinstance(value, Mapping):
            yield from _pathless(Operation(operation.op, None, value), change, rules)
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


def _selected(node: Any, operation: Operation, change: MemberChange, selections: _Selections) -> None:
    """``members[value eq "…"]`` or another filter, or the same as a comparison."""
    text = operation.path or ""
    if operation.op != "remove" or (isinstance(node, ValuePath) and node.sub_attr is not None):
        _as_they_are(node, operation, change, selections)
        return
    chosen = node.val_filter if isinstance(node, ValuePath) else selection(node, text)[1]
    named = _named(chosen)
    if named is None or (named.users and change.may_have_come(named.users)):
        change.leaving(selections.holds(chosen, text))
    else:
        change.removing(named.ids)
        change.removing_users(named.users)


def _as_they_are(node: Any, operation: Operation, change: MemberChange, selections: _Selections) -> None:
    """Nothing of a member can be changed; to say what is so already is no change (RFC 7644 §3.5.2)."""
    text = operation.path or ""
    fixed = read_only(text, "a member's attributes cannot be changed; add or remove the member")
    said = None if operation.op == "remove" else _said_of_members(node, operation, selections.rules)
    if said is None:
        raise fixed
    is_so = listed(_ROW, [said])

    def ask(chosen: Sequence[Document]) -> None:
        if not chosen:
            raise no_target(text, "no value matches")
        if not all(is_so(selections.located(member)) for member in chosen):
            raise fixed

    change.leaving(selections.holds(node.val_filter, text), ask)


def _said_of_members(node: Any, operation: Operation, rules: Rules) -> Document | None:
    """What an operation says of the members that its path selects; None where that is nothing of theirs."""
    if not isinstance(node, ValuePath) or not operation.has_value:
        return None
    value = operation.value
    if node.sub_attr is not None:
        value = {node.sub_attr: value}
    elif isinstance(value, list) and len(value) == 1:
        (value,) = value
    said = None if value is None else taken_one(_ROW, value, _NAME, rules)
    return said if isinstance(said, dict) else None


class _Named(NamedTuple):
    """Ids, and those whose ``type`` has to be ``User``."""

    ids: Sequence[str]
    users: Sequence[str] = ()


def _named(node: FilterNode) -> _Named | None:
    """The ids that a filter of equalities on ``value`` names; None where it says anything else."""
    if isinstance(node, Comparison) and _is_id(node):
        return _Named([node.value])
    if isinstance(node, LogicalExpr) and node.op == LogicalOperator.or_:
        named = [_named(term) for term in node.terms]
        many = [each for each in named if each is not None]
        if len(many) < len(named):
            return None
        return _Named(
            [one for each in many for one in each.ids], [one for each in many for one in each.users]
        )
    if isinstance(node, LogicalExpr):
        ids = [term for term in node.terms if isinstance(term, Comparison) and _is_id(term)]
        others = [term for term in node.terms if term not in ids]
        if len(ids) == 1 and all(_says_user(term) for term in others):
            return _Named((), [ids[0].value])
    return None


def _holds_of_all(node: FilterNode) -> bool:
    """Whether it looks for an empty text: whoever filled in nothing means nobody, and not everybody."""
    match node:
        case LogicalExpr():
            return any(map(_holds_of_all, node.terms))
        case Not():
            return _holds_of_all(node.expr) or (isinstance(node.expr, Comparison) and node.expr.value == "")
        case Comparison():
            return node.op != CompareOperator.eq and node.value == ""
        case _:
            return False


def _is_id(node: Comparison) -> bool:
    return _is(node, "value") and is_text(node.value)  # what is no text is refused as in every filter


def _says_user(node: FilterNode) -> bool:
    """``type eq "User"`` beside an id: what the id is, is known where it is looked up."""
    if not (isinstance(node, Comparison) and _is(node, "type")):
        return False
    return fold(str(node.value)) == "user"


def _is(node: Comparison, name: str) -> bool:
    path = node.attr_path
    named = path.attr.lower() == name and path.sub_attr is None
    return named and node.op == CompareOperator.eq and isinstance(node.value, str)


def member_ids(value: Any, rules: Rules) -> list[str]:
    """The ids in a list of members, each once; null is an empty list. Raises invalidValue."""
    if value is None:
        return []
    if isinstance(value, str) and rules.tolerant:
        value = _unpacked(value)
    many = value if isinstance(value, list) else [value]
    return _plain_ids(many, rules) or list(dict.fromkeys(_member_id(each, rules) for each in many))


def _plain_ids(many: Sequence[Any], rules: Rules) -> list[str] | None:
    """The same where all are spelled as the schema has them and nothing is wrong: megabytes in one go.

    None for whatever has to be looked at one by one, and be it for the words of a refusal.
    """
    if len(many) < _MANY or not all(type(each) is dict and _SPELLED.issuperset(each) for each in many):
        return None
    try:
        ids = dict.fromkeys([each["value"] for each in many])
        together = "".join(ids)
        if not rules.tolerant:
            together += "".join([each.get("type", "") for each in many])
            if not all(is_uri(each["$ref"]) for each in many if "$ref" in each):
                return None
    except (KeyError, TypeError):
        return None
    if not together.isascii() or "\0" in together or "" in set(map(str.strip, ids)):
        return None
    if _VALUE.max_chars is not None and max(map(len, ids)) > _VALUE.max_chars:
        return None
    return list(ids)


def _unpacked(text: str) -> Any:
    """Members that were written as JSON within a string; any other string is the id of one."""
    if not seems_packed(text):
        return {"value": text}
    told = unpacked(text)
    if told is text:
        raise invalid_value(_NAME, "each must be an object with value, not a string of broken JSON")
    return told


def _member_id(each: Any, rules: Rules) -> str:
    if isinstance(each, str) and rules.tolerant:
        each = _unpacked(each)
    if not isinstance(each, Mapping):
        raise invalid_value(_NAME, "each must be an object with value")
    given = next((value for key, value in each.items() if key.lower() == "value"), None)
    if not isinstance(given, str) or not given.strip():
        raise invalid_value(f"{_NAME}.value", "must be the id of a user or group")
    taken: str = taken_one(_VALUE, given, f"{_NAME}.value", rules)
    if not rules.tolerant:  # the rest is not kept, and providers fill it as they like
        taken_one(_ROW, each, _NAME, rules)
    return taken
