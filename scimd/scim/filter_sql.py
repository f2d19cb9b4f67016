"""Filters and sorting as SQL: the second visitor over the same tree as ``filters``.

What a value is stands in ``filter_values`` and ``filter_rows``. The tenant's predicate is added by
whoever reads; subqueries carry it too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from scim2_models.path import (
    CompareOperator,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ValuePath,
)
from sqlalchemy import ColumnElement, and_, not_, or_, true

from scimd.core.attributes import Resolved
from scimd.db.tables import assertions
from scimd.org.groups.group_nesting import NestedIds
from scimd.org.reading.keyset import Sort
from scimd.scim.errors import invalid_filter
from scimd.scim.filter_rows import Rows, rows_of, wanted
from scimd.scim.filter_values import EMPLOYEE_NUMBER, Condition, Scope, Values
from scimd.scim.filters import Binder, Looks, Test, alternatives

#: Of conditions on rows, how many PostgreSQL may join.
_JOINED = 4
#: So many times members and their names are gone through, group by group and no further than need be, before
#: all of the source are found once instead.
_WALKS = 2


@dataclass(frozen=True, slots=True)
class Filtered:
    """What a list is asked for by a filter; see ``ListQuery``."""

    where: Condition
    any_of: Sequence[Condition]
    nested: Sequence[NestedIds]


def filtered(node: FilterNode, scope: Scope) -> Filtered:
    """The filter as conditions on ``assertions`` or ``groups``. Raises invalidFilter."""
    one = SqlFilter(scope)
    where = one.visit(node)
    if one.one.named_members > _WALKS:
        one = SqlFilter(scope, shares_members=True)
        where = one.visit(node)
    return Filtered(where, _by_index(node, scope, where), one.one.nested)


def _by_index(node: FilterNode, scope: Scope, whole: Condition) -> Sequence[Condition]:
    """The filter, where indexes find what fits: the terms of an ``or``, each of which is asked for by itself
    (SQLite, without statistics, rather walks through a source than uses two indexes), or the ``whole``.
    Nothing where all must be looked at. What is in groups through others has the names that it has in the
    whole, since both are visited in the same order.
    """
    one = SqlFilter(scope)
    if not _ByIndex(one).visit(node):
        return ()
    if isinstance(node, LogicalExpr) and node.op == LogicalOperator.or_:
        return [one.alone(each) for each in alternatives(node, one.binder.comparison)]
    return (whole,)


def sort(found: Resolved, descending: bool, scope: Scope) -> Sort:
    """What to sort by: of a multi-valued attribute the primary value, else the first.

    Texts by their beginning, so that the place of a row fits into a cursor.
    """
    return Sort(SqlFilter(scope).sort_value(found), descending)


class SqlFilter(FilterVisitor[Condition]):
    def __init__(self, scope: Scope, *, shares_members: bool = False) -> None:
        self.binder = Binder(scope.kind, tolerant=scope.tolerant)
        self.one = Values(scope, shares_members=shares_members)
        self.looks = Looks()
        self._subqueries = 0
        self._alone = True

    def visit_comparison(self, node: Comparison) -> Condition:
        test = self.binder.comparison(node)
        if test.value is None:
            present = self._present(test.found)
            return present if test.op is CompareOperator.ne else not_(present)
        if test.op is CompareOperator.ne:
            return not_(self._holds(Test(test.found, CompareOperator.eq, test.value)))
        return self._holds(test)

    def _holds(self, test: Test) -> Condition:
        self._look_for(test.found)
        if not test.found.attribute.multi:
            return self.one.holds(test)
        rows = rows_of(self.one, test.found)
        return self._of_rows(rows, rows.holds(test))

    def visit_present(self, node: Present) -> Condition:
        return self._present(self.binder.attribute(node.attr_path))

    def _present(self, found: Resolved) -> Condition:
        self._look_for(found)
        if found.attribute.multi:
            rows = rows_of(self.one, found)
            return self._of_rows(rows, rows.any(rows.present(found)))
        if found.target.type == "complex":
            parts = (Resolved(found.extension, found.attribute, part) for part in found.target.sub)
            return or_(*(self.one.present(self.one.scalar(each), each.target) for each in parts))
        return self.one.present(self.one.scalar(found), found.target)

    def _look_for(self, found: Resolved) -> None:
        if not self.one.has_column(found):
            self.looks.add(_weight(found))

    def visit_not(self, node: Not) -> Condition:
        self._alone = False
        return not_(self.visit(node.expr))

    def visit_logical_expr(self, node: LogicalExpr) -> Condition:
        self._alone = False
        if node.op == LogicalOperator.and_:
            return and_(*[self.visit(term) for term in node.terms])
        return or_(*map(self._term, alternatives(node, self.binder.comparison)))

    def _term(self, term: FilterNode | Test) -> Condition:
        return self._holds(term) if isinstance(term, Test) else self.visit(term)

    def alone(self, term: FilterNode | Test) -> Condition:
        """One of several of which one must hold, in a statement of its own."""
        self._subqueries, self._alone = 0, True
        return self._term(term)

    def visit_value_path(self, node: ValuePath) -> Condition:
        rows = rows_of(self.one, self.binder.selection(node))
        inner = _Inside(self, rows).visit(node.val_filter)  # first: it refuses in the filter's order
        return self._of_rows(rows, rows.chosen(inner, _Wanted(self, rows).visit(node.val_filter)))

    def _of_rows(self, rows: Rows, found: Condition) -> Condition:
        """PostgreSQL makes a join of each such condition, and plans a hundred for ten seconds: of the first
        ones only, by which it may find what fits. A subquery below IS TRUE stays one.
        """
        self._subqueries += 1
        may_join = self._alone if rows.joins_alone else self._subqueries <= _JOINED
        return found if may_join or self.one.scope.dialect != "postgresql" else found.is_(true())

    def sort_value(self, found: Resolved) -> ColumnElement[Any]:
        if not found.attribute.multi:
            return self.one.sortable(self.one.scalar(found), found.target)
        if found.extension is None and found.attribute.name == "emails" and found.target.name == "value":
            return self.one.sortable(assertions.c.email_key, found.target)
        return rows_of(self.one, found).first(found)


def _weight(found: Resolved) -> int:
    """As ``Looks`` counts it."""
    return 2 if found.extension is None and found.attribute.name == "groups" else 1


class _Inside(FilterVisitor[Condition]):
    """The filter between brackets, on the rows that they select from."""

    def __init__(self, outer: SqlFilter, rows: Rows) -> None:
        self.outer = outer
        self.rows = rows

    def visit_comparison(self, node: Comparison) -> Condition:
        return self._compare(self._bound(node))

    def _bound(self, node: Comparison) -> Test:
        return self.outer.binder.inside_comparison(self.rows.found, node)

    def _compare(self, test: Test) -> Condition:
        self.outer.looks.add(_weight(self.rows.found))
        return self.rows.compare(test)

    def visit_present(self, node: Present) -> Condition:
        self.outer.looks.add(_weight(self.rows.found))
        return self.rows.present(self.outer.binder.inside(self.rows.found, node.attr_path))

    def visit_not(self, node: Not) -> Condition:
        return not_(self.visit(node.expr))

    def visit_logical_expr(self, node: LogicalExpr) -> Condition:
        if node.op == LogicalOperator.and_:
            return and_(*[self.visit(term) for term in node.terms])
        terms = alternatives(node, self._bound)
        return or_(*[self._compare(each) if isinstance(each, Test) else self.visit(each) for each in terms])

    def visit_value_path(self, node: ValuePath) -> Condition:
        raise invalid_filter(f"{node.attr_path}: brackets cannot stand inside brackets.")


class _Wanted(FilterVisitor[Collection[str] | None]):
    """The filter between brackets → the values of which a row must have one to satisfy it, where they can
    be told.
    """

    def __init__(self, outer: SqlFilter, rows: Rows) -> None:
        self.outer = outer
        self.rows = rows

    def visit_comparison(self, node: Comparison) -> Collection[str] | None:
        return wanted(self.outer.binder.inside_comparison(self.rows.found, node))

    def visit_present(self, node: Present) -> None:
        return None

    def visit_not(self, node: Not) -> None:
        return None

    def visit_logical_expr(self, node: LogicalExpr) -> Collection[str] | None:
        every = [self.visit(term) for term in node.terms]
        told = [each for each in every if each is not None]
        if node.op == LogicalOperator.and_:
            return min(told, key=len, default=None)
        return set().union(*told) if len(told) == len(every) else None

    def visit_value_path(self, node: ValuePath) -> None:
        return None


#: What indexes hold, in its order; and of what they only tell who has a value.
_ORDERED = frozenset(("id", "externalId", "userName", "displayName"))
_KEYED = _ORDERED | {"emails.value", "members.value", "groups.value", EMPLOYEE_NUMBER}


class _ByIndex(FilterVisitor[bool]):
    """Whether an index finds what fits, or little else."""

    def __init__(self, outer: SqlFilter) -> None:
        self.outer = outer

    def visit_comparison(self, node: Comparison) -> bool:
        test = self.outer.binder.comparison(node)
        if test.op is CompareOperator.sw:
            return bool(test.value) and str(test.found) in _ORDERED
        return test.op is CompareOperator.eq and test.value is not None and str(test.found) in _KEYED

    def visit_present(self, node: Present) -> bool:
        return False

    def visit_not(self, node: Not) -> bool:
        return False

    def visit_logical_expr(self, node: LogicalExpr) -> bool:
        every = [self.visit(term) for term in node.terms]
        return any(every) if node.op == LogicalOperator.and_ else all(every)

    def visit_value_path(self, node: ValuePath) -> bool:
        rows = rows_of(self.outer.one, self.outer.binder.selection(node))
        values = _Wanted(self.outer, rows).visit(node.val_filter)
        return values is not None and rows.having(values) is not None
