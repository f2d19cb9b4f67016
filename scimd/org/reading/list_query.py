"""What is asked of a list of users or groups, and how it is looked for in its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, Select, func, select, union
from sqlalchemy.sql import ColumnElement

from scimd.core.people import OrgId, SourceId
from scimd.db.among import among
from scimd.db.tables import sources
from scimd.org.groups.group_nesting import NestedIds, nested_ids
from scimd.org.identities.linkable import Bounds
from scimd.org.reading import keyset
from scimd.org.reading.keyset import Position, Sort
from scimd.org.tx import Listed

#: So many are sorted at once rather than looked for in their order.
_FEW = 1000
#: Larger pages are ordered by the database.
_PAGE = 200
_BY_PLACE = attrgetter("made_at", "row_id")


@dataclass(frozen=True, slots=True)
class ListQuery:
    """``where`` and ``sort`` speak of the columns of ``assertions`` or ``groups``.

    ``after``: the end of the page before, from which to go on; with ``if_moves`` only while nobody came
    into the list or left it since, else by ``start_index``. ``total``: how many fit, where the caller knows.
    """

    where: ColumnElement[bool] | None = None
    #: The same as ``where``, where indexes find it: the conditions of which one must hold.
    any_of: Sequence[ColumnElement[bool]] = ()
    #: What these are run with.
    nested: Sequence[NestedIds] = ()
    sort: Sort | None = None
    start_index: int = 1
    count: int = 100
    after: Position | None = None
    if_moves: int | None = None
    total: int | None = None
    #: Instead of ``where``: the one who has this userName, whatever the case.
    user_name: str | None = None
    #: Instead of ``where`` too, for those whom no source asserts; made where there may be any.
    local: Callable[[], Bounds] | None = None

    def standing(self, moves: int) -> ListQuery:
        """The query without its place where that no longer has the number ``start_index``."""
        moved = self.after is not None and self.if_moves not in (None, moves)
        return replace(self, after=None) if moved else self


@dataclass(frozen=True, slots=True)
class Sought:
    """How many fit in all, the page, and the last one's place where more follow.

    ``moves``: a number that goes on where anybody comes into the list or leaves it; None where it is
    filtered or ordered, so that whoever stays in it may move as well.
    """

    total: int
    rows: Sequence[Row[Any]]
    end: Position | None = None
    moves: int | None = None


Place: TypeAlias = tuple[ColumnElement[Any], ColumnElement[Any]]


def sought(
    conn: Connection,
    org_id: OrgId,
    source_id: SourceId,
    what: Listed,
    query: ListQuery,
    found: Select[Any],
    place: Place,
) -> Sought:
    """The rows of ``found`` that are the query's page.

    What no index finds is looked for once: few that fit are counted, ordered and read by their ids.
    """
    if query.where is None:
        total, moves = _all(conn, org_id, source_id, what)
        query = query.standing(moves)
        total = total if query.total is None else query.total
        ordered = query.sort is not None  # whose order changes without anybody's coming or going
        return Sought(total, *page_of(conn, found, query, total, place), None if ordered else moves)
    fitting = found.where(query.where)
    given = nested_ids(conn, org_id, source_id, query.nested)
    if query.total is None:
        first = _one_page(conn, fitting, given, query, place) if len(query.any_of) == 1 else None
        if first is not None:
            return Sought(len(first), first)
        total, few = _few(conn, [found.where(each) for each in query.any_of] or [fitting], given, place[1])
        fitting = fitting if few is None else found.where(among(conn, place[1], few))
        query = replace(query, total=total)
    total = query.total or 0
    return Sought(total, *page_of(conn, fitting, query, total, place, given))


def _one_page(
    conn: Connection, fitting: Select[Any], given: Mapping[str, Any], query: ListQuery, place: Place
) -> Sequence[Row[Any]] | None:
    """All that fit, in one statement, where they are a page without an order of its own; else None."""
    if query.sort is not None or query.after is not None or query.start_index > 1 or query.count > _PAGE:
        return None
    placed = fitting.add_columns(place[0].label("made_at"), place[1].label("row_id"))
    rows = conn.execute(placed.limit(query.count + 1), given).all()
    return None if len(rows) > query.count else sorted(rows, key=_BY_PLACE)


def _few(
    conn: Connection, every: Sequence[Select[Any]], given: Mapping[str, Any], row_id: ColumnElement[Any]
) -> tuple[int, Sequence[str] | None]:
    """How many fit any of these, and their ids; None where they are too many to be sorted."""
    ids = [each.with_only_columns(row_id.label("id"), maintain_column_froms=True) for each in every]
    fitting = (ids[0] if len(ids) == 1 else union(*ids)).subquery()
    counted = select(fitting.c.id, func.count().over()).limit(_FEW + 1)
    rows = conn.execute(counted, given).all()
    total = rows[0][1] if rows else 0
    return total, None if len(rows) > _FEW else [row[0] for row in rows]


def _all(conn: Connection, org_id: OrgId, source_id: SourceId, what: Listed) -> tuple[int, int]:
    """How many there are without a filter, and how many came or went so far: the source's counters."""
    counters = select(sources.c[f"{what}_count"], sources.c[f"{what}_moves"])
    row = conn.execute(counters.where(sources.c.org_id == org_id, sources.c.id == source_id)).first()
    return (row[0], row[1]) if row is not None else (0, 0)


def page_of(
    conn: Connection,
    found: Select[Any],
    query: ListQuery,
    total: int,
    place: Place,
    given: Mapping[str, Any] | None = None,
) -> tuple[Sequence[Row[Any]], Position | None]:
    """The page's rows, and the last one's place where more follow."""
    if query.count <= 0 or not total:
        return [], None
    few = query.where is not None and total <= _FEW
    skip = query.start_index - 1 if query.after is None else 0
    return keyset.page(
        conn, found, query.sort, place, query.after, skip, query.count, given, sorted_after=few
    )
