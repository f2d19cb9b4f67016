"""Parts of a list: so many rows behind a place in an order, so that a deep page costs what the first does.

The order is total: by what is asked for, then by id, and ids are made in the order of time. A cut needs
no OFFSET; where an index leads with the sorted column it reads only what it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy import Connection, Row, Select, and_, func, literal, or_, select, tuple_
from sqlalchemy.sql import ColumnElement

R = TypeVar("R")
S = TypeVar("S")
#: What a row may be sorted by, as the database gives it and takes it back.
Key: TypeAlias = str | int | float | bool | datetime | None
#: Of 2,000 characters a cursor is at most, with four bytes for a character and what seals it.
_BRIEF = 250


@dataclass(frozen=True, slots=True)
class Place:
    """A row's place in the order. ``key`` is None where nothing but the id orders, and where it is unset."""

    key: Key
    id: str | int


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``limit`` rows behind ``after``. ``sort``: a name of the list's, with ``-`` downwards."""

    limit: int = 100
    after: Place | None = None
    sort: str = ""
    total: bool = False

    @property
    def by(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        return self.sort.startswith("-")


@dataclass(frozen=True, slots=True)
class Slice(Generic[R]):
    """``next``: the last row's place, where more follow. ``total``: of the whole list, where asked for."""

    rows: Sequence[R]
    next: Place | None
    total: int | None = None

    def map(self, each: Callable[[R], S]) -> Slice[S]:
        return Slice([each(row) for row in self.rows], self.next, self.total)

    def with_rows(self, rows: Sequence[S]) -> Slice[S]:
        """The same place in the list, its rows in another form."""
        return Slice(rows, self.next, self.total)


def cut(
    conn: Connection,
    found: Select[Any],
    window: Window,
    sorts: Mapping[str, ColumnElement[Any]],
    row_id: ColumnElement[Any],
) -> Slice[Row[Any]]:
    """Cut the window out of a list without an order.

    ``sorts`` names what the list may be sorted by; a name that it does not hold sorts by ``row_id``.
    Unset values stand last, also when descending.
    """
    by, downwards = sorts.get(window.by), window.descending
    query = found if by is None else found.add_columns(by.label("sort_key"))
    if window.after is not None:
        query = query.where(_behind(by, row_id, window.after, downwards))
    order = _order(by, row_id, downwards)
    rows = conn.execute(query.order_by(*order).limit(window.limit + 1)).all()
    more = len(rows) > window.limit
    rows = rows[: window.limit]
    place = None
    if more:
        last = rows[-1]
        place = Place(None if by is None else last.sort_key, last._mapping[row_id])
    return Slice(rows, place, _total(conn, found) if window.total else None)


def narrowed(found: Select[Any], *wanted: tuple[ColumnElement[Any], object]) -> Select[Any]:
    """Of a list those rows that have in each of these columns what is wanted there; None: whatever."""
    for column, value in wanted:
        if value is not None:
            found = found.where(column == value)
    return found


def brief(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A text of any length as something to sort by: as much of it as a cursor holds."""
    return func.substr(column, 1, _BRIEF)


def part(rows: Iterable[R], window: Window, key: Callable[[R], str]) -> Slice[R]:
    """Cut the window out of a short list that is read whole, in the order of a key that each has alone."""
    down = window.descending
    ordered = sorted(rows, key=key, reverse=down)
    found = ordered
    if window.after is not None:
        last = str(window.after.id)
        found = [row for row in ordered if (key(row) < last if down else key(row) > last)]
    page = found[: window.limit]
    place = Place(None, key(page[-1])) if len(found) > window.limit else None
    return Slice(page, place, len(ordered) if window.total else None)


def _total(conn: Connection, found: Select[Any]) -> int:
    return int(conn.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def _nullable(by: ColumnElement[Any]) -> bool:
    return bool(getattr(by, "nullable", True))


def _order(by: Any, row_id: Any, downwards: bool) -> list[ColumnElement[Any]]:
    columns = [row_id] if by is None else [by, row_id]
    order = [column.desc() if downwards else column for column in columns]
    return [by.is_(None), *order] if by is not None and _nullable(by) else order


def _behind(by: Any, row_id: Any, after: Place, downwards: bool) -> ColumnElement[bool]:
    def beyond(column: Any, value: Any) -> Any:
        return column < value if downwards else column > value

    # By the columns' own types: times are stored in a form of ours on SQLite.
    at = literal(after.id, row_id.type)
    if by is None:
        return beyond(row_id, at)  # type: ignore[no-any-return]
    key = literal(after.key, by.type)
    if not _nullable(by):
        return beyond(tuple_(by, row_id), tuple_(key, at))  # type: ignore[no-any-return]
    if after.key is None:
        return and_(by.is_(None), beyond(row_id, at))
    return or_(beyond(by, key), and_(by == key, beyond(row_id, at)), by.is_(None))
