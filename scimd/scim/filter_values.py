"""One value of a resource as SQL, and what a comparison with it means in the dialect at hand.

Columns where the attribute table names one, else JSON functions on the folded document. Every value
is a bound parameter; every name comes from the table. Conditions are never NULL, so that ``not``
means what it says.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from scim2_models.path import CompareOperator
from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Text,
    and_,
    case,
    cast,
    collate,
    func,
    literal,
    literal_column,
    not_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from scimd.core.attributes import ENTERPRISE_URN, GROUP, SCIMD_URN, Attribute, Resolved, ResourceKind, moment
from scimd.core.attributes.rows import INDEXED
from scimd.db.tables import assertions, groups, people
from scimd.org.groups.group_nesting import NestedIds
from scimd.scim.filters import Test

Condition = ColumnElement[bool]
_ORDER = {
    CompareOperator.gt: "__gt__",
    CompareOperator.ge: "__ge__",
    CompareOperator.lt: "__lt__",
    CompareOperator.le: "__le__",
}
EMPLOYEE_NUMBER = f"{ENTERPRISE_URN}:employeeNumber"
_SORTED_CHARS = 500
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$"
#: Columns that no row of the attribute table names.
_OF_THE_ROW = frozenset(("meta.created", "meta.lastModified", "meta.resourceType", "meta.location"))
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


class Values:
    """The single values of the resources in a scope."""

    def __init__(self, scope: Scope, *, shares_members: bool = False) -> None:
        self.scope = scope
        self.json = _Json(scope.dialect)
        #: How many walks through members with their names a filter makes, and whether one is made for all.
        self.named_members = 0
        self.shares_members = shares_members
        self.members: Any = None
        #: What a statement is run with where a filter asks for groups that may be in others.
        self.nested: list[NestedIds] = []

    def scalar(self, found: Resolved) -> ColumnElement[Any]:
        """The expression of a single-valued attribute."""
        if found.extension is None and found.attribute.name == "meta":
            return self._meta(found.target.name)
        if found.target.column == "id":
            return self.scope.key
        if found.target.column is not None:
            return self.scope.table.c[found.target.column]  # type: ignore[no-any-return]
        names = (*found.keys, found.sub.name) if found.sub else found.keys
        base, path = self.base(found, names)
        return self.json.text(base, *path)

    def has_column(self, found: Resolved) -> bool:
        """Whether it stands in a column of the resource's own row."""
        return not found.attribute.multi and (found.target.column is not None or str(found) in _OF_THE_ROW)

    def _meta(self, name: str) -> ColumnElement[Any]:
        table, key = self.scope.table, self.scope.key
        match name:
            case "resourceType":
                return literal(self.scope.kind.name)
            case "location":
                return literal(f"{self.scope.base_url}{self.scope.kind.endpoint}/") + key
            case "version":
                rest: ColumnElement[Any] = (
                    literal("0") if self.scope.kind is GROUP else self.person(people.c.rest)
                )
                return literal('W/"') + cast(table.c.version, Text) + "-" + cast(rest, Text) + '"'
            case "created":
                return table.c.created_at  # type: ignore[no-any-return]
            case _:
                return table.c.changed_at  # type: ignore[no-any-return]

    def person(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return (
            select(column)
            .where(people.c.org_id == assertions.c.org_id, people.c.id == assertions.c.person_id)
            .correlate(assertions)
            .scalar_subquery()
        )

    def base(self, found: Resolved, path: tuple[str, ...]) -> tuple[ColumnElement[Any], tuple[str, ...]]:
        """The JSON in which an attribute stands, and the way to it."""
        if found.extension != SCIMD_URN or found.attribute.mutability != "readOnly":
            return self.scope.table.c.folded, path
        if self.scope.dialect == "sqlite":
            return self.person(cast(people.c.extension, Text)), path[1:]
        return self.person(cast(func.convert_from(people.c.extension, "UTF8"), JSONB)), path[1:]

    def holds(self, test: Test) -> Condition:
        """The comparison of a single-valued attribute; by an index where one has its key."""
        compared, texts = self.compare(self.scalar(test.found), test), list(map(str, test.values))
        if self.scope.table is assertions and str(test.found) == "displayName" and texts:
            return self._shown(test, texts)
        if str(test.found) != EMPLOYEE_NUMBER or test.op is not CompareOperator.eq:
            return compared
        if not texts or not all(map(str.strip, texts)):  # no key is kept of a blank one
            return compared
        other = assertions.alias()
        # Whatever the source: the index has none.
        same = select(other.c.person_id).where(
            other.c.org_id == self.scope.org_id, equals(other.c.employee_number_key, texts)
        )
        return and_(assertions.c.person_id.in_(same), compared)

    def _shown(self, test: Test, names: Sequence[str]) -> Condition:
        """A name to show against these: its column has the beginning of a long one."""
        column, whole = assertions.c.display_name_key, self.json.text(assertions.c.folded, "displayName")
        if test.op in (CompareOperator.eq, CompareOperator.sw):
            first, *others = (each[:INDEXED] for each in names)
            near = self.compare(column, replace(test, value=first, others=tuple(others)))
            return near if max(map(len, names)) < INDEXED else and_(near, self.compare(whole, test))
        either = case((func.length(column) < INDEXED, column), else_=whole)
        return and_(column.is_not(None), self.compare(either, test))

    def compare(self, have: ColumnElement[Any], test: Test) -> Condition:
        """One expression against the value, NULL-safe."""
        if test.value is None:
            present = self.present(have, test.found.target)
            return present if test.op is CompareOperator.ne else not_(present)
        if test.op is CompareOperator.ne:
            return not_(self.compare(have, Test(test.found, CompareOperator.eq, test.value)))
        values: Sequence[Any] = test.values
        if test.found.target.type in ("integer", "decimal"):
            # Of one type, which SQLAlchemy takes from the first: PostgreSQL would round what comes after a 7.
            have, values = self.json.number(have), list(map(float, values))
        elif test.found.target.type == "dateTime" and test.found.target.column is None:
            values = list(map(moment, values))  # as the folded document has it
        compared: Condition = equals(have, values) if test.others else self._operate(have, test.op, values[0])
        if getattr(have, "name", None) in _ALWAYS_SET and getattr(have, "table", None) is not None:
            return compared
        return and_(self.is_set(have, test), compared)

    def is_set(self, have: ColumnElement[Any], test: Test) -> Condition:
        """The guard of a comparison. SQLite rather takes "is not null" for a range of an index than finds
        several values in it.
        """
        return func.typeof(have) != "null" if test.others and self.json.sqlite else have.is_not(None)

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
                if not value or getattr(have, "table", None) is None:
                    return func.substr(have, 1, len(value)) == value
                beyond = _beyond(value)  # a column, in whose index they stand together
                return have >= value if beyond is None else and_(have >= value, have < beyond)
            case CompareOperator.ew:
                tail = func.substr(have, -len(value)) if self.json.sqlite else func.right(have, len(value))
                return tail == value if value else true()
            case _:
                if not self.json.sqlite and isinstance(value, str):
                    have = collate(have, "C")
                return getattr(have, _ORDER[op])(value)

    def present(self, have: ColumnElement[Any], row: Attribute) -> Condition:
        if row.type in ("string", "reference", "binary"):
            return and_(have.is_not(None), have != "")
        return have.is_not(None)

    def sortable(self, value: ColumnElement[Any], row: Attribute) -> ColumnElement[Any]:
        if row.type in ("integer", "decimal"):
            return self.json.number(value)
        if row.type == "boolean" or (row.type == "dateTime" and row.column):
            return value
        is_key = getattr(value, "table", None) is not None  # which no index would take if it were longer
        if not is_key and (row.max_chars is None or row.max_chars > _SORTED_CHARS):
            value = func.substr(value, 1, _SORTED_CHARS)
        return value if self.json.sqlite else collate(value, "C")


def equals(have: ColumnElement[Any], values: Sequence[Any]) -> Condition:
    """It is one of these; NULL where it is."""
    return have == values[0] if len(values) == 1 else have.in_(values)


def _beyond(head: str) -> str | None:
    """The least text, by code point, that is greater than all that begin so; None: there is none."""
    rest = head.rstrip(chr(sys.maxunicode))
    if not rest:
        return None
    last = ord(rest[-1]) + 1
    return rest[:-1] + chr(0xE000 if last == 0xD800 else last)  # what lies between is no text
