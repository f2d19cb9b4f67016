"""One place says what the two databases say differently."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, UniqueConstraint, insert, select, update
from sqlalchemy.exc import IntegrityError

from scimd.db.engine import violates
from scimd.db.locks import insert_ignore, lock_rows, now_of_database, upsert
from tests.db.schema import add, items, names, opened

#: SQLite's clock knows milliseconds.
_ROUNDED = timedelta(milliseconds=1)


async def test_locked_rows_are_read_and_changed_by_one_at_a_time(database_url: str) -> None:
    def raise_it(conn: Connection) -> int:
        row = lock_rows(conn, select(items.c.n).where(items.c.id == 1))[0]
        conn.execute(update(items).where(items.c.id == 1).values(n=row.n + 1))
        return int(row.n)

    async with opened(database_url) as database:
        await database.write(add(1))
        assert sorted(await asyncio.gather(*(database.write(raise_it) for _ in range(40)))) == list(range(40))


async def test_the_databases_clock_is_in_utc_and_moves_inside_a_transaction(database_url: str) -> None:
    def twice(conn: Connection) -> list[datetime]:
        moments = [now_of_database(conn)]
        while len(moments) < 2 or moments[-1] == moments[0]:
            moments.append(now_of_database(conn))
        return [moments[0], moments[-1]]

    async with opened(database_url) as database:
        before = datetime.now(UTC)
        first, last = await database.read(twice)
    assert first < last
    assert first.tzinfo is UTC
    assert before - _ROUNDED < first < datetime.now(UTC) + _ROUNDED


async def test_insert_ignore_leaves_what_is_there(database_url: str) -> None:
    def body(conn: Connection) -> None:
        rows = [{"id": 1, "name": "other"}, {"id": 2, "name": "two"}, {"id": 3, "name": "item 1"}]
        conn.execute(insert_ignore(conn, items), rows)

    async with opened(database_url) as database:
        await database.write(add(1))
        await database.write(body)
        assert await database.read(names) == ["item 1", "two"]


async def test_upsert_updates_the_named_columns_where_it_may(database_url: str) -> None:
    def body(conn: Connection) -> None:
        rows = [{"id": n, "name": f"new {n}", "n": 9} for n in (1, 2, 3)]
        statement = upsert(conn, items, key=["id"], update=["n"], where=items.c.id != 2)
        conn.execute(statement, rows)

    def rows(conn: Connection) -> list[tuple[int, str, int]]:
        return [(row.id, row.name, row.n) for row in conn.execute(select(items).order_by(items.c.id))]

    async with opened(database_url) as database:
        await asyncio.gather(database.write(add(1)), database.write(add(2)))
        await database.write(body)
        assert await database.read(rows) == [(1, "item 1", 9), (2, "item 2", 0), (3, "new 3", 9)]


async def test_a_violation_is_recognized_by_its_constraint_on_either(database_url: str) -> None:
    def same_name(conn: Connection) -> None:
        conn.execute(insert(items), {"id": 2, "name": "item 1"})

    unique = next(c for c in items.constraints if isinstance(c, UniqueConstraint))
    async with opened(database_url) as database:
        await database.write(add(1))
        with pytest.raises(IntegrityError) as by_name:
            await database.write(
                lambda conn: conn.execute(insert(items), {"id": 2, "name": "item 1"}).rowcount
            )
        with pytest.raises(IntegrityError) as by_key:
            await database.write(add(1))
    assert violates(by_name.value, unique)
    assert not violates(by_key.value, unique)
