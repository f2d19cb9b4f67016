"""A small table for the tests of the door, which knows nothing of scimd's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
)

from scimd.db.engine import Database, Tuning, is_sqlite, parse, sqlite_path
from scimd.db.sqlite_file import make
from tests.support.patience import AT_MOST_S, PATIENT, eventually

metadata = MetaData()
items = Table(
    "items",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("n", Integer, CheckConstraint("n >= 0", name="not_negative"), server_default="0"),
    UniqueConstraint("name", name="uq_items_name"),
)


def make_file(url: str) -> None:
    """Make SQLite's file, which nothing but a migration does."""
    if is_sqlite(parse(url)):
        make(sqlite_path(parse(url)))


@asynccontextmanager
async def opened(url: str, tuning: Tuning | None = None) -> AsyncIterator[Database]:
    """A database with the table in it."""
    make_file(url)
    database = Database.open(url, tuning or PATIENT)
    try:
        await database.write(metadata.create_all)
        yield database
    finally:
        await database.aclose()


class Busy:
    """A body that keeps the thread that runs it until ``free`` is set."""

    def __init__(self) -> None:
        self._begun = threading.Event()
        self.free = threading.Event()

    def __call__(self, conn: Connection) -> None:
        self._begun.set()
        self.free.wait(AT_MOST_S)

    async def begin(self, database: Database) -> asyncio.Task[None]:
        """Write, and give the task once the body runs."""
        task = asyncio.create_task(database.write(self))
        await eventually(self._begun.is_set)
        self._begun.clear()
        return task


def add(number: int) -> Callable[[Connection], int]:
    def body(conn: Connection) -> int:
        conn.execute(insert(items), {"id": number, "name": f"item {number}"})
        return number

    return body


def count(conn: Connection) -> int:
    return conn.execute(select(func.count()).select_from(items)).scalar_one()


def names(conn: Connection) -> list[str]:
    return list(conn.execute(select(items.c.name).order_by(items.c.id)).scalars())
