"""What the two databases say differently: row locks, the clock, insert-or-leave, upsert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Insert, Row, Select, Table, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ColumnElement

_CLOCK_SQLITE = text("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")
# Not now(): that is the start of the transaction, which may have waited long for a lock.
_CLOCK_POSTGRESQL = text("SELECT clock_timestamp()")


@lru_cache(maxsize=256)  # statements that are built once are keyed and rendered once, locked too
def _locking(rows: Select[Any]) -> Select[Any]:
    return rows.with_for_update()


def lock_rows(
    conn: Connection, rows: Select[Any], parameters: Mapping[str, Any] | None = None
) -> Sequence[Row[Any]]:
    """The selected rows, locked until the transaction ends, and read as they are now.

    On SQLite there is nothing to lock: a writing transaction has the database to itself. Give the
    select an ORDER BY: rows are locked in that order, and two callers with two orders deadlock.
    """
    if conn.dialect.name != "postgresql":
        return conn.execute(rows, parameters).all()
    # One that comes with parameters is built once; any other would only fill the cache.
    locking = rows.with_for_update() if parameters is None else _locking(rows)
    return conn.execute(locking, parameters).all()


def lock_row(conn: Connection, table: Table, *, goes: bool = False, **key: str) -> None:
    """Lock one row by its key, before it is read for a change, until the transaction ends.

    What was read before the lock may have been changed while the lock was waited for. Whoever holds the
    row (``hold_row``) goes on meanwhile, unless it ``goes``: then each waits for the other.
    """
    if conn.dialect.name == "postgresql":
        mine = [table.c[name] == value for name, value in key.items()]
        conn.execute(
            select(*[table.c[name] for name in key]).where(*mine).with_for_update(key_share=not goes)
        )


def hold_row(conn: Connection, key: Select[Any]) -> Any:
    """The selected key of a row, which nobody deletes until the transaction ends; None where there is none.

    Many may hold one row, and others change what is not its key.
    """
    if conn.dialect.name == "postgresql":
        key = key.with_for_update(read=True, key_share=True)
    return conn.execute(key).scalar()


def now_of_database(conn: Connection) -> datetime:
    """The database's own clock, in UTC: the one clock that all processes share (leases).

    To the microsecond on PostgreSQL, to the millisecond on SQLite.
    """
    if conn.dialect.name == "postgresql":
        moment: datetime = conn.execute(_CLOCK_POSTGRESQL).scalar_one()
        return moment.astimezone(UTC)
    return datetime.fromisoformat(conn.execute(_CLOCK_SQLITE).scalar_one()).replace(tzinfo=UTC)


def insert_ignore(conn: Connection, table: Table) -> Insert:
    """INSERT … ON CONFLICT DO NOTHING: rows that would break a unique key are left out.

    The result's ``rowcount`` says how many went in.

    Give it to ``conn.execute`` with the rows, as any insert. On PostgreSQL a conflict with a
    transaction that has not ended waits for its end.
    """
    if conn.dialect.name == "postgresql":
        # Otherwise SQLAlchemy reads no rowcount of an INSERT there and says -1.
        return postgresql.insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return sqlite.insert(table).on_conflict_do_nothing()


def upsert(
    conn: Connection,
    table: Table,
    *,
    key: Iterable[str],
    update: Iterable[str],
    where: ColumnElement[bool] | None = None,
) -> Insert:
    """INSERT, or where ``key`` is there already, UPDATE of the columns ``update`` to the new values.

    ``where`` (on the table's columns) says which rows may be updated; a row that it leaves out stays
    as it was and is not counted.
    """
    insert = postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)
    return insert.on_conflict_do_update(
        index_elements=list(key), set_={name: insert.excluded[name] for name in update}, where=where
    )
