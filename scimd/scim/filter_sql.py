"""Filters and sorting as SQL: the second visitor over the same tree as ``filters``.

Columns where the attribute table names one, else JSON functions on the folded document. Every value
is a bound parameter; every name comes from the table. Conditions are never NULL, so that ``not``
means what it says. The tenant's predicate is added by whoever reads; subqueries here carry it too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

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
from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Text,
    and_,
    case,
    cast,
    collate,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from scimd.core.attributes import GROUP, SCIMD_URN, Attribute, Resolved, ResourceKind, moment
from scimd.db.tables import assertions, group_members, groups, people
from scimd.org.keyset import Sort
from scimd.scim.errors import invalid_filter
from scimd.scim.filters import Binder, Test

Condition = ColumnElement[bool]
_ORDER = {
    CompareOperator.gt: "__gt__",
    CompareOperator.ge: "__ge__",
    CompareOperator.lt: "__lt__",
    CompareOperator.le: "__le__",
}
_SORTED_CHARS = 500
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$"
#: Never NULL, so that no guard is needed and an index serves.
_ALWAYS_SET = frozenset(("user_name_key", "person_id", "id", "created_at", "changed_at"))


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose resources are asked for, and in which database's dialect."""

    kind: ResourceKind
    org_id: str
    source_id: str
    dialect: Literal["sqlite", "postgresql"]
    base_url: str
    tolerant: bool = True

    @property
    def table(self) -> Any:
        return groups if self.kind is GROUP else assertions

    @property
    def key(self) -> ColumnElement[str]:
        """The column with the resource's id."""
        return groups.c.id if self.kind is GROUP else assertions.c.person_id


def condition(node: FilterNode, scope: Scope) -> Condition:
    """The filter as a condition on ``assertions`` or ``groups``. Raises invalidFilter."""
    return SqlFilter(scope).visit(node)


def sort(found: Resolved, descending: bool, scope: Scope) -> Sort:
    """What to sort by: of a multi-valued attribute the primary value, else the first.

    Texts by their beginning, so that the place of a row fits into a cursor.
    """
    return Sort(SqlFilter(scope).sort_value(found), descending)


class _Json:
    """JSON paths in the dialect at hand. Names come from the attribute table, never from a client."""

    def __init__(self, dialect: Literal["sqlite", "postgresql"]) -> None:
        self.sqlite = dialect == "sqlite"

    def text(self, base: ColumnElement[Any], *path: str) -> ColumnElement[str]:
        """The value at the path as text; a boolean as 1 and 0 on SQLite, 'true' and 'false' else."""
        if self.sqlite:
            return func.json_extract(base, self._path(path))
        return base.op("#>>", return_type=Text())(self._path(path))

    def rows(self, base: ColumnElement[Any], *path: str) -> FromClause:
        """The elements of the array at the path, one row each; none where there is no array."""
        if self.sqlite:
            return func.json_each(base, self._path(path)).table_valued("key", "value", "type").alias()
        array = base.op("#>", return_type=JSONB())(self._path(path))
        safe = case((func.jsonb_typeof(array) == "array", array), else_=literal_column("'[]'::jsonb"))
        return func.jsonb_array_elements(safe).table_valued("value", with_ordinality="key").render_derived()

    def part(self, rows: FromClause, name: str | None) -> ColumnElement[str]:
        """A sub-attribute of a row of ``rows``; without a name the element itself."""
        if not self.sqlite:
            path = () if name is None else (name,)
            return rows.c.value.op("#>>", return_type=Text())(self._path(path))
        if name is None:
            return rows.c.value
        # json_extract fails on a text that is not JSON, such as a bare string in the array.
        return func.json_extract(case((rows.c.type == "object", rows.c.value)), self._path((name,)))

    def number(self, have: ColumnElement[Any]) -> ColumnElement[Any]:
        """What ``text`` or ``part`` found, as a number; NULL where it is none."""
        if self.sqlite:
            return case((func.typeof(have).in_(("integer", "real")), have))
        return case((have.op("~")(_NUMBER), cast(have, Double)))

    def flag(self, value: bool) -> ColumnElement[Any]:
        return literal_column(str(int(value)) if self.sqlite else f"'{str(value).lower()}'")

    def _path(self, path: tuple[str, ...]) -> ColumnElement[Any]:
        quoted = [f'"{name}"' for name in path]
        if self.sqlite:
            return literal_column(f"'${''.join(f'.{name}' for name in quoted)}'")
        return literal_column(f"'{{{','.join(quoted)}}}'::text[]")


class SqlFilter(FilterVisitor[Condition]):
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.binder = Binder(scope.kind, tolerant=scope.tolerant)
        self.json = _Json(scope.dialect)

    # -------------------------------------------------------------- the tree

    def visit_comparison(self, node: Comparison) -> Condition:
        test = self.binder.comparison(node)
        if test.value is None:
            present = self.visit_present(Present(node.attr_path))
            return present if test.op is CompareOperator.ne else not_(present)
        if test.op is CompareOperator.ne:
            return not_(self._holds(Test(test.found, CompareOperator.eq, test.value)))
        return self._holds(test)

    def _holds(self, test: Test) -> Condition:
        if not test.found.attribute.multi:
            return self._compare(self._scalar(test.found), test)
        rows = self._rows(test.found)
        return rows.any(rows.compare(test))

    def visit_present(self, node: Present) -> Condition:
        found = self.binder.attribute(node.attr_path)
        if found.attribute.multi:
            rows = self._rows(found)
            return rows.any(rows.present(found))
        if found.target.type == "complex":
            parts = (Resolved(found.extension, found.attribute, part) for part in found.target.sub)
            return or_(*(self._present(self._scalar(each), each.target) for each in parts))
        return self._present(self._scalar(found), found.target)

    def visit_not(self, node: Not) -> Condition:
        return not_(self.visit(node.expr))

    def visit_logical_expr(self, node: LogicalExpr) -> Condition:
        terms = [self.visit(term) for term in node.terms]
        return and_(*terms) if node.op == LogicalOperator.and_ else or_(*terms)

    def visit_value_path(self, node: ValuePath) -> Condition:
        rows = self._rows(self.binder.selection(node))
        return rows.any(_Inside(self, rows).visit(node.val_filter))

    # -------------------------------------------------------------- one value

    def _scalar(self, found: Resolved) -> ColumnElement[Any]:
        """The expression of a single-valued attribute."""
        if found.extension is None and found.attribute.name == "meta":
            return self._meta(found.target.name)
        if found.target.column == "id":
            return self.scope.key
        if found.target.column is not None:
            return self.scope.table.c[found.target.column]  # type: ignore[no-any-return]
        names = (*found.keys, found.sub.name) if found.sub else found.keys
        base, path = self._base(found, names)
        return self.json.text(base, *path)

    def _meta(self, name: str) -> ColumnElement[Any]:
        table, key = self.scope.table, self.scope.key
        match name:
            case "resourceType":
                return literal(self.scope.kind.name)
            case "location":
                return literal(f"{self.scope.base_url}{self.scope.kind.endpoint}/") + key
            case "version":
                rest: ColumnElement[Any] = (
                    literal("0") if self.scope.kind is GROUP else self._person(people.c.rest)
                )
                return literal('W/"') + cast(table.c.version, Text) + "-" + cast(rest, Text) + '"'
            case "created":
                return table.c.created_at  # type: ignore[no-any-return]
            case _:
                return table.c.changed_at  # type: ignore[no-any-return]

    def _person(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return (
            select(column)
            .where(people.c.org_id == assertions.c.org_id, people.c.id == assertions.c.person_id)
            .correlate(assertions)
            .scalar_subquery()
        )

    def _base(self, found: Resolved, path: tuple[str, ...]) -> tuple[ColumnElement[Any], tuple[str, ...]]:
        """The JSON in which an attribute stands, and the way to it."""
        if found.extension != SCIMD_URN or found.attribute.mutability != "readOnly":
            return self.scope.table.c.folded, path
        if self.scope.dialect == "sqlite":
            return self._person(cast(people.c.extension, Text)), path[1:]
        return self._person(cast(func.convert_from(people.c.extension, "UTF8"), JSONB)), path[1:]

    def _compare(self, have: ColumnElement[Any], test: Test) -> Condition:
        """One expression against the value, NULL-safe."""
        if test.value is None:
            present = self._present(have, test.found.target)
            return present if test.op is CompareOperator.ne else not_(present)
        if test.op is CompareOperator.ne:
            return not_(self._compare(have, Test(test.found, CompareOperator.eq, test.value)))
        value = test.value
        if test.found.target.type in ("integer", "decimal"):
            have = self.json.number(have)
        elif isinstance(value, datetime) and test.found.target.column is None:
            value = moment(value)  # as the folded document has it
        compared: Condition = self._operate(have, test.op, value)
        if getattr(have, "name", None) in _ALWAYS_SET and getattr(have, "table", None) is not None:
            return compared
        return and_(have.is_not(None), compared)

    def _operate(self, have: ColumnElement[Any], op: CompareOperator, value: Any) -> Any:
        if isinstance(value, bool):
            return have == self.json.flag(value)
        match op:
            case CompareOperator.eq:
                return have == value
            case CompareOperator.co:
                # LIKE would ignore ASCII case on SQLite.
                find = func.instr if self.json.sqlite else func.strpos
                return find(have, value) > 0 if value else true()
            case CompareOperator.sw:
                return func.substr(have, 1, len(value)) == value
            case CompareOperator.ew:
                tail = func.substr(have, -len(value)) if self.json.sqlite else func.right(have, len(value))
                return tail == value if value else true()
            case _:
                if not self.json.sqlite and isinstance(value, str):
                    have = collate(have, "C")
                return getattr(have, _ORDER[op])(value)

    def _present(self, have: ColumnElement[Any], row: Attribute) -> Condition:
        if row.type in ("string", "reference", "binary"):
            return and_(have.is_not(None), have != "")
        return have.is_not(None)

    # -------------------------------------------------------------- many values

    def _rows(self, found: Resolved) -> _Rows:
        if found.extension is None and found.attribute.name == "groups":
            return _GroupsOfUser(self, found)
        if found.extension is None and found.attribute.name == "members":
            return _MembersOfGroup(self, found)
        return _JsonRows(self, found)

    # -------------------------------------------------------------- sorting

    def sort_value(self, found: Resolved) -> ColumnElement[Any]:
        if found.extension is None and found.attribute.name in ("groups", "members"):
            raise invalid_filter(f"{found} cannot be sorted by.")
        if not found.attribute.multi:
            return self._sortable(self._scalar(found), found.target)
        if found.extension is None and found.attribute.name == "emails" and found.target.name == "value":
            return self._sortable(assertions.c.email_key, found.target)
        rows = _JsonRows(self, found)
        value = rows.value(found)
        return (
            select(self._sortable(value, found.target))
            .select_from(rows.source)
            .order_by(case((rows.is_primary(), 0), else_=1), rows.source.c.key)
            .limit(1)
            .scalar_subquery()
        )

    def _sortable(self, value: ColumnElement[Any], row: Attribute) -> ColumnElement[Any]:
        if row.type in ("integer", "decimal"):
            return self.json.number(value)
        if row.type == "boolean" or (row.type == "dateTime" and row.column):
            return value
        if row.max_chars is None or row.max_chars > _SORTED_CHARS:
            value = func.substr(value, 1, _SORTED_CHARS)
        return value if self.json.sqlite else collate(value, "C")


class _Rows(ABC):
    """The values of a multi-valued attribute as rows of a subquery."""

    def __init__(self, outer: SqlFilter, found: Resolved) -> None:
        self.outer = outer
        self.found = found

    @abstractmethod
    def value(self, part: Resolved) -> ColumnElement[Any]:
        """What a row has for the attribute or its sub-attribute."""

    @abstractmethod
    def any(self, inner: Condition) -> Condition:
        """Some row satisfies the condition."""

    def compare(self, test: Test) -> Condition:
        return self.outer._compare(self.value(test.found), test)

    def present(self, found: Resolved) -> Condition:
        if found.sub is not None or not found.attribute.sub:
            return self.outer._present(self.value(found), found.target)
        parts = [Resolved(found.extension, found.attribute, part) for part in found.attribute.sub]
        return or_(*(self.outer._present(self.value(each), each.target) for each in parts))


class _JsonRows(_Rows):
    """Elements of an array in the folded document."""

    def __init__(self, outer: SqlFilter, found: Resolved) -> None:
        super().__init__(outer, found)
        base, path = outer._base(found, found.keys)
        self.source = outer.json.rows(base, *path)

    def value(self, part: Resolved) -> ColumnElement[Any]:
        return self.outer.json.part(self.source, part.sub.name if part.sub else None)

    def is_primary(self) -> Condition:
        if self.found.attribute.find("primary") is None:
            return false()
        flag = self.outer.json.part(self.source, "primary")
        return and_(flag.is_not(None), flag == self.outer.json.flag(True))

    def any(self, inner: Condition) -> Condition:
        return exists(select(literal_column("1")).select_from(self.source).where(inner))


class _GroupsOfUser(_Rows):
    """The groups that hold a person, directly or through other groups: found from the groups' side."""

    def value(self, part: Resolved) -> ColumnElement[Any]:
        return (
            groups.c.display_name_key if part.sub is not None and part.sub.name == "display" else groups.c.id
        )

    def present(self, found: Resolved) -> Condition:
        return true()

    def any(self, inner: Condition) -> Condition:
        scope = self.outer.scope
        down = (
            select(groups.c.id)
            .where(
                groups.c.org_id == scope.org_id,
                groups.c.source_id == scope.source_id,
                groups.c.state == "live",
                inner,
            )
            .cte(recursive=True)
        )
        child, inside = group_members.alias(), group_members.alias()
        down = down.union(
            select(child.c.child_id).where(
                child.c.org_id == scope.org_id, child.c.group_id == down.c.id, child.c.child_id.is_not(None)
            )
        )
        people_inside = select(inside.c.person_id).where(
            inside.c.org_id == scope.org_id,
            inside.c.group_id.in_(select(down.c.id)),
            inside.c.person_id.is_not(None),
        )
        return assertions.c.person_id.in_(people_inside)


class _MembersOfGroup(_Rows):
    """The members of a group that are known and not deleted."""

    def value(self, part: Resolved) -> ColumnElement[Any]:
        if part.sub is not None and part.sub.name == "type":
            return case((group_members.c.person_id.is_not(None), "user"), else_="group")
        return func.coalesce(group_members.c.person_id, group_members.c.child_id)

    def compare(self, test: Test) -> Condition:
        row = test.found.sub
        if test.op is CompareOperator.eq and row is not None and row.name == "value":
            columns = (group_members.c.person_id, group_members.c.child_id)
            return or_(*(and_(column.is_not(None), column == test.value) for column in columns))
        return super().compare(test)

    def present(self, found: Resolved) -> Condition:
        return true()

    def any(self, inner: Condition) -> Condition:
        child, person = groups.alias(), assertions.alias()
        known = or_(
            exists(
                select(literal_column("1")).where(
                    person.c.org_id == group_members.c.org_id,
                    person.c.source_id == group_members.c.source_id,
                    person.c.person_id == group_members.c.person_id,
                    person.c.state == "live",
                )
            ),
            exists(
                select(literal_column("1")).where(
                    child.c.org_id == group_members.c.org_id,
                    child.c.id == group_members.c.child_id,
                    child.c.state == "live",
                )
            ),
        )
        return exists(
            select(literal_column("1"))
            .where(group_members.c.org_id == groups.c.org_id, group_members.c.group_id == groups.c.id)
            .where(inner, known)
            .correlate(groups)
        )


class _Inside(FilterVisitor[Condition]):
    """The filter between brackets, on the rows that they select from."""

    def __init__(self, outer: SqlFilter, rows: _Rows) -> None:
        self.outer = outer
        self.rows = rows

    def visit_comparison(self, node: Comparison) -> Condition:
        test = self.outer.binder.inside_comparison(self.rows.found, node)
        return self.rows.compare(test)

    def visit_present(self, node: Present) -> Condition:
        return self.rows.present(self.outer.binder.inside(self.rows.found, node.attr_path))

    def visit_not(self, node: Not) -> Condition:
        return not_(self.visit(node.expr))

    def visit_logical_expr(self, node: LogicalExpr) -> Condition:
        terms = [self.visit(term) for term in node.terms]
        return and_(*terms) if node.op == LogicalOperator.and_ else or_(*terms)

    def visit_value_path(self, node: ValuePath) -> Condition:
        raise invalid_filter(f"{node.attr_path}: brackets cannot stand inside brackets.")
