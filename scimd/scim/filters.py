"""Filters: bounded, parsed by scim2-models, bound to the attribute table, evaluated in memory.

What a comparison means, here and in ``filter_sql`` alike (RFC 7644 §3.4.2.2):

- a multi-valued attribute matches where any of its values does; ``ne`` is the negation of ``eq``, so
  it also holds where the attribute is unassigned;
- ``eq null`` is the negation of ``pr``;
- a complex attribute is compared by its ``value``;
- a value that does not say whether it is ``primary`` is not (RFC 7643 §2.4); to ``pr`` it is unassigned;
- strings are compared by ``people.fold`` unless the table says caseExact; by code point for order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from scim2_models import InvalidFilterException
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ScimFilter,
    ValuePath,
)

from scimd.core.attributes import Attribute, Resolved, ResourceKind, date_time
from scimd.core.people import fold
from scimd.scim.errors import invalid_filter, shown
from scimd.scim.values import MAX_NUMBER

MAX_CHARS = 4096
MAX_DEPTH = 20
MAX_TERMS = 100
#: Of terms that look into each resource's document, memberships or versions; see ``Looks``.
MAX_LOOKS = 20

#: ``and`` and ``or`` need no spaces beside brackets and quotes. Names that hold them do not count.
_JOINTS = re.compile(r"(?<![\w.:$-])(?:and|or)(?![\w.:$-])", re.IGNORECASE | re.ASCII)
_ORDERING = frozenset((CompareOperator.gt, CompareOperator.ge, CompareOperator.lt, CompareOperator.le))
_PARTS = frozenset((CompareOperator.co, CompareOperator.sw, CompareOperator.ew))
_EQUALITY = frozenset((CompareOperator.eq, CompareOperator.ne))

#: The value of a multi-valued attribute that is not complex, inside brackets.
_ITSELF = "value"


Value: TypeAlias = str | bool | int | float | datetime


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison bound to the table. ``value`` is folded and typed; None is null."""

    __test__ = False  # not one of pytest's

    found: Resolved
    op: CompareOperator
    value: Value | None
    #: What else it may equal instead, of ``alternatives``: of the same type, and no booleans.
    others: tuple[Value, ...] = ()

    @property
    def values(self) -> tuple[Value, ...]:
        """All with which it compares; none where that is null."""
        return () if self.value is None else (self.value, *self.others)


def parse(text: str) -> FilterNode:
    """The filter's syntax tree. Raises invalidFilter for what is no filter, or too long or deep."""
    check_bounds(text)
    try:
        return ScimFilter(text).ast
    except InvalidFilterException as exc:
        raise invalid_filter(f"The filter {shown(text)} cannot be read: {exc.detail}.") from exc


def check_bounds(text: str) -> None:
    """Refuse what is too long, too deep or has too many terms, before any parser sees it."""
    if len(text) > MAX_CHARS:
        raise invalid_filter(f"The filter is longer than {MAX_CHARS} characters.")
    depth = deepest = 0
    words = 1
    for piece in _outside_quotes(text):
        for char in piece:
            if char in "([":
                depth += 1
                deepest = max(deepest, depth)
            elif char in ")]":
                depth -= 1
        words += len(_JOINTS.findall(piece))
    if deepest > MAX_DEPTH:
        raise invalid_filter(f"The filter nests deeper than {MAX_DEPTH} levels.")
    if words > MAX_TERMS:
        raise invalid_filter(f"The filter has more than {MAX_TERMS} terms.")


def _outside_quotes(text: str) -> Sequence[str]:
    return text.replace("\\\\", "").replace('\\"', "").split('"')[::2]


# ------------------------------------------------------------------------------ binding


class Binder:
    """Binds the paths of a filter to the rows of a resource type."""

    def __init__(self, kind: ResourceKind, *, tolerant: bool = True) -> None:
        self.kind = kind
        self.tolerant = tolerant

    def attribute(self, path: AttrPath) -> Resolved:
        """What a path names. Raises invalidFilter with the name where there is no such attribute."""
        found = self.kind.resolve(path.uri, path.attr, path.sub_attr)
        if found is None:
            raise invalid_filter(f"{self.kind.name} has no attribute {shown(str(path))}; see /Schemas.")
        if not (found.attribute.filterable and found.target.filterable):
            raise invalid_filter(f"{found} cannot be filtered by.")
        return found

    def comparison(self, node: Comparison) -> Test:
        found = self.attribute(node.attr_path)
        # Null asks for the attribute, as pr does.
        if found.target.type == "complex" and node.value is not None:
            value = found.target.find(_ITSELF)
            if value is None:
                raise invalid_filter(f"{found} is complex: compare one of its sub-attributes.")
            found = Resolved(found.extension, found.attribute, value)
        return self._test(found, node)

    def selection(self, node: ValuePath) -> Resolved:
        """The multi-valued attribute from which brackets select."""
        found = self.attribute(node.attr_path)
        if not found.attribute.multi or found.sub is not None:
            raise invalid_filter(f"{found} has no values to select from.")
        return found

    def inside(self, found: Resolved, path: AttrPath) -> Resolved:
        """What a path inside the brackets of ``found`` names."""
        part = found.attribute.find(path.attr)
        if part is None and not found.attribute.sub and path.attr.lower() == _ITSELF:
            return found
        if part is None or path.sub_attr is not None or path.uri is not None:
            raise invalid_filter(f"{found} has no sub-attribute {shown(str(path))}; see /Schemas.")
        if not part.filterable:
            raise invalid_filter(f"{found}.{part.name} cannot be filtered by.")
        return Resolved(found.extension, found.attribute, part)

    def inside_comparison(self, found: Resolved, node: Comparison) -> Test:
        return self._test(self.inside(found, node.attr_path), node)

    def _test(self, found: Resolved, node: Comparison) -> Test:
        row, op = found.target, node.op
        if op not in _EQUALITY and (node.value is None or row.type in ("boolean", "binary")):
            raise invalid_filter(f"{op.value} cannot be applied to {found} and {shown(node.value)}.")
        if op in _PARTS and row.type in ("dateTime", "integer", "decimal"):
            raise invalid_filter(f"{op.value} cannot be applied to {found}, which is of type {row.type}.")
        return Test(found, op, None if node.value is None else self._typed(found, row, node.value))

    def _typed(self, found: Resolved, row: Attribute, value: Any) -> Value:
        match row.type:
            case "boolean":
                if isinstance(value, str) and self.tolerant and value.lower() in ("true", "false"):
                    return value.lower() == "true"
                wanted = isinstance(value, bool)
            case "integer" | "decimal":
                wanted = isinstance(value, (int, float)) and not isinstance(value, bool)
                wanted = wanted and -MAX_NUMBER <= value <= MAX_NUMBER
            case "dateTime":
                return self._instant(found, value)
            case _:
                wanted = isinstance(value, str) and is_text(value)
        if not wanted:
            raise invalid_filter(f"{found} cannot be compared with {shown(value)}: it is of type {row.type}.")
        return fold(value) if row.folds else value

    def _instant(self, found: Resolved, value: Any) -> datetime:
        at = date_time(value, tolerant=self.tolerant) if isinstance(value, str) else None
        if at is None:
            raise invalid_filter(
                f"{found} must be compared with a dateTime such as 2026-01-31T09:00:00Z, not {shown(value)}."
            )
        return at


def alternatives(node: LogicalExpr, bound: Callable[[Comparison], Test]) -> Iterator[FilterNode | Test]:
    """The terms of an ``or``, but one test for all that ask whether one attribute equals something.

    A hundred names are asked for at once, so that each person is looked at once. Whoever visits each as it
    comes refuses what is wrong in the filter's order.
    """
    tests: dict[str, Test] = {}
    for term in _flat(node):
        test = bound(term) if isinstance(term, Comparison) and term.op is CompareOperator.eq else None
        if test is None or test.value is None or isinstance(test.value, bool):
            yield term
            continue
        first = tests.setdefault(str(test.found), test)
        if first is not test:
            tests[str(test.found)] = replace(first, others=(*first.others, test.value))
    yield from tests.values()


def _flat(node: LogicalExpr) -> Iterator[FilterNode]:
    for term in node.terms:
        if isinstance(term, LogicalExpr) and term.op == node.op:
            yield from _flat(term)
        else:
            yield term


class Looks:
    """Counts what a filter looks for in each resource beside the columns of its row: what stands in its
    document, its memberships, its version. Each takes its own time for each resource; memberships, which
    may be of everybody in many groups, as long as two others.
    """

    def __init__(self) -> None:
        self._so_far = 0

    def add(self, weight: int = 1) -> None:
        """One more. Raises invalidFilter where it is one too many."""
        self._so_far += weight
        if self._so_far > MAX_LOOKS:
            raise invalid_filter(
                f"The filter has more than {MAX_LOOKS} terms that are looked for in every resource; "
                "ask in several requests. Terms with eq on one attribute and or between them count as one, "
                "those on id, userName, externalId or displayName not at all, on groups of users as two."
            )


def is_text(value: str) -> bool:
    """No database holds NUL, or half of a surrogate pair."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value)


# ------------------------------------------------------------------------------ evaluation

_COMPARE: dict[CompareOperator, Callable[[Any, Any], bool]] = {
    CompareOperator.eq: lambda have, want: have == want,
    CompareOperator.co: lambda have, want: want in have,
    CompareOperator.sw: lambda have, want: have.startswith(want),
    CompareOperator.ew: lambda have, want: have.endswith(want),
    CompareOperator.gt: lambda have, want: have > want,
    CompareOperator.ge: lambda have, want: have >= want,
    CompareOperator.lt: lambda have, want: have < want,
    CompareOperator.le: lambda have, want: have <= want,
}


def holds(test: Test, values: Sequence[Any]) -> bool:
    """Whether the comparison holds of an attribute with these values (none: unassigned)."""
    if test.value is None:
        return any(map(is_present, values)) is (test.op is CompareOperator.ne)
    if test.op is CompareOperator.ne:
        return not holds(Test(test.found, CompareOperator.eq, test.value), values)
    compare = _COMPARE[test.op]
    return any(compare(have, test.value) for have in map(comparable(test.found), values) if have is not None)


def comparable(found: Resolved) -> Callable[[Any], Any]:
    """From a stored value to what is compared; None for a value of another type than the table's."""
    row, unsaid = found.target, found.unsaid

    def convert(value: Any) -> Any:
        if value is None:
            return unsaid
        match row.type:
            case "boolean":
                return value if isinstance(value, bool) else None
            case "integer" | "decimal":
                return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
            case "dateTime":
                return date_time(value) if isinstance(value, str) else None
            case _:
                return (fold(value) if row.folds else value) if isinstance(value, str) else None

    return convert


def is_present(value: Any) -> bool:
    """``pr``: not null, not empty; a complex value has some part that is present."""
    if isinstance(value, Mapping):
        return any(map(is_present, value.values()))
    if isinstance(value, list):
        return any(map(is_present, value))
    return value is not None and value != ""


class Evaluator(FilterVisitor[bool]):
    """A filter evaluated on one resource, as a dict in the form in which it is rendered."""

    def __init__(self, kind: ResourceKind, resource: Mapping[str, Any], *, tolerant: bool = True) -> None:
        self.binder = Binder(kind, tolerant=tolerant)
        self.resource = resource

    def visit_comparison(self, node: Comparison) -> bool:
        test = self.binder.comparison(node)
        return holds(test, values_of(self.resource, test.found))

    def visit_present(self, node: Present) -> bool:
        return any(map(is_present, values_of(self.resource, self.binder.attribute(node.attr_path))))

    def visit_not(self, node: Not) -> bool:
        return not self.visit(node.expr)

    def visit_logical_expr(self, node: LogicalExpr) -> bool:
        # A list: each term is bound, so that an unknown name is refused wherever it stands.
        results = [self.visit(term) for term in node.terms]
        return all(results) if node.op == LogicalOperator.and_ else any(results)

    def visit_value_path(self, node: ValuePath) -> bool:
        found = self.binder.selection(node)
        chosen = ValueFilter(self.binder, found).visit(node.val_filter)
        return any(map(chosen, values_of(self.resource, found)))


Predicate = Callable[[Any], bool]


class ValueFilter(FilterVisitor[Predicate]):
    """The filter inside brackets → a test of one value. Bound once, since there may be many values."""

    def __init__(self, binder: Binder, found: Resolved) -> None:
        self.binder = binder
        self.found = found

    def visit_comparison(self, node: Comparison) -> Predicate:
        test = self.binder.inside_comparison(self.found, node)
        if test.value is None:
            wanted = test.op is CompareOperator.ne
            return _on_part(test.found, lambda part: is_present(part) is wanted)
        compare = _COMPARE[CompareOperator.eq if test.op is CompareOperator.ne else test.op]
        convert, value, negated = comparable(test.found), test.value, test.op is CompareOperator.ne

        def holds_of(part: Any) -> bool:
            have = convert(part)
            return (have is not None and compare(have, value)) is not negated

        return _on_part(test.found, holds_of)

    def visit_present(self, node: Present) -> Predicate:
        return _on_part(self.binder.inside(self.found, node.attr_path), is_present)

    def visit_not(self, node: Not) -> Predicate:
        inner = self.visit(node.expr)
        return lambda value: not inner(value)

    def visit_logical_expr(self, node: LogicalExpr) -> Predicate:
        terms = [self.visit(term) for term in node.terms]
        if node.op == LogicalOperator.and_:
            return lambda value: all(term(value) for term in terms)
        return lambda value: any(term(value) for term in terms)

    def visit_value_path(self, node: ValuePath) -> Predicate:
        raise invalid_filter(f"{node.attr_path}: brackets cannot stand inside brackets.")


def _on_part(found: Resolved, test: Predicate) -> Predicate:
    """The test on the sub-attribute that was named; on the whole value where there is none."""
    if found.sub is None:
        return test
    name = found.sub.name
    return lambda value: test(value.get(name) if isinstance(value, Mapping) else None)


def values_of(resource: Mapping[str, Any], found: Resolved) -> Sequence[Any]:
    """The values that an attribute has in a resource, flattened; none where it is unassigned.

    Of a sub-attribute as many as there are values, None for each that lacks it.
    """
    here: Any = resource
    for key in found.keys:
        here = here.get(key) if isinstance(here, Mapping) else None
    many = here if isinstance(here, list) else [] if here is None else [here]
    if found.sub is None:
        return many
    return [each.get(found.sub.name) if isinstance(each, Mapping) else None for each in many]
