"""Pages that go on behind the last row of the page before, so that a deep page costs what the first does.

The order is always total: what is sorted by, then when the row was made, then its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, Select, Text, and_, literal, or_, tuple_, type_coerce
from sqlalchemy.sql import ColumnElement

from scimd.db.among import unindexed

#: What a row may be sorted by, as the database gives it and takes it back.
Key: TypeAlias = str | int | float | bool | datetime | None


@dataclass(frozen=True, slots=True)
class Position:
    """A row's place in the order. ``key`` is None where nothing is sorted by, and where it is unassigned."""

    key: Key
    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Sort:
    """Unassigned values stand last, and first when descending (RFC 7644 §3.4.2.3)."""

    by: ColumnElement[Any]
    descending: bool

    @property
    def order(self) -> tuple[ColumnElement[Any], ...]:
        unassigned = self.by.is_(None)
        return (unassigned.desc(), self.by.desc()) if self.descending else (unassigned, self.by)

    def after(self, key: Key, later: ColumnElement[bool]) -> ColumnElement[bool]:
        """Behind a row with this key; ``later``: behind it among those with the same key."""
        if key is None:
            rest = and_(self.by.is_(None), later)
            return or_(rest, self.by.is_not(None)) if self.descending else rest
        beyond = self.by < key if self.descending else self.by > key
        found = or_(beyond, and_(self.by == key, later))
        return found if self.descending else or_(found, self.by.is_(None))


def page(
    conn: Connection,
    found: Select[Any],
    sort: Sort | None,
    place: tuple[ColumnElement[datetime], ColumnElement[str]],
    after: Position | None,
    skip: int,
    count: int,
    given: Mapping[str, Any] | None = None,
    *,
    sorted_after: bool = False,
) -> tuple[Sequence[Row[Any]], Position | None]:
    """Rows, and the last one's position where more follow. ``place``: the columns that end the order;
    ``given``: the parameters of ``found``.

    ``sorted_after``: so few fit that they are better sorted when found than found in their order, which
    SQLite, without statistics, would look through the whole source for.
    """
    made, row_id = place
    last: tuple[ColumnElement[Any], ...] = place
    if sorted_after and conn.dialect.name == "sqlite":
        last = (unindexed(type_coerce(made, Text)), row_id)
    order = (*(sort.order if sort else ()), *last)
    found = found.add_columns(made.label("made_at"), row_id.label("row_id"))
    if sort is not None:
        found = found.add_columns(sort.by.label("sort_key"))
    if after is not None:
        # By the columns' own types: times are stored in a form of ours on SQLite.
        later = tuple_(made, row_id) > tuple_(
            literal(after.created_at, made.type), literal(after.id, row_id.type)
        )
        found = found.where(sort.after(after.key, later) if sort else later)
    found = found.order_by(*order).limit(count + 1)
    rows = conn.execute(found.offset(skip) if skip else found, given).all()
    if len(rows) <= count:
        return rows, None
    end = rows[count - 1]
    key = end.sort_key if sort else None
    return rows[:count], Position(key, end.made_at, end.row_id)
