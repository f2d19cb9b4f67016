"""SQLite's short writes on the event loop's own thread, in a process that answers nobody."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from scimd.core.errors import DatabaseUnavailable, Overloaded
from scimd.db.engine import LostRace
from tests.db.schema import Busy, add, count, names, opened
from tests.support.patience import PATIENT, eventually

ON_LOOP = replace(PATIENT, on_loop=True)


def where(conn: Connection) -> str:
    return threading.current_thread().name


def adding(number: int) -> Callable[[Connection], str]:
    def body(conn: Connection) -> str:
        add(number)(conn)
        return where(conn)

    return body


async def test_short_bodies_run_here_and_others_in_the_writers_thread(url: str) -> None:
    async with opened(url, ON_LOOP) as database:
        here = threading.current_thread().name
        assert await database.write(adding(1), short=True) == here
        assert await database.write(adding(2)) == "writer-0"
        assert await database.write(adding(3), short=True) == here
        assert await database.read(names) == ["item 1", "item 2", "item 3"]
    async with opened(url, PATIENT) as database:
        assert await database.write(where, short=True) == "writer-0"


async def test_who_comes_after_a_long_one_waits_behind_it_and_the_loop_goes_on(url: str) -> None:
    busy = Busy()
    async with opened(url, ON_LOOP) as database:
        long = await busy.begin(database)
        short = asyncio.create_task(database.write(adding(1), short=True))
        assert await database.read(count) == 0
        assert not short.done()
        busy.free.set()
        await long
        assert await short == "writer-0"
        assert await database.write(adding(2), short=True) == threading.current_thread().name


async def test_while_another_process_writes_the_loop_goes_on(url: str, file: Path) -> None:
    async with opened(url, ON_LOOP) as database:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        short = asyncio.create_task(database.write(adding(1), short=True))
        assert await database.read(count) == 0
        assert not short.done()
        other.execute("COMMIT")
        other.close()
        assert await short == "writer-0"
        assert await database.write(adding(2), short=True) == threading.current_thread().name


async def test_a_body_that_fails_here_leaves_nothing_and_its_neighbours_alone(url: str) -> None:
    def fails(conn: Connection) -> None:
        add(100)(conn)
        raise ZeroDivisionError

    async with opened(url, ON_LOOP) as database:
        bodies = [fails if n % 3 == 0 else add(n) for n in range(12)]
        answers = await asyncio.gather(
            *(database.write(body, short=True) for body in bodies), return_exceptions=True
        )
        assert [type(a) for a in answers[::3]] == [ZeroDivisionError] * 4
        assert await database.read(names) == [f"item {n}" for n in range(12) if n % 3]


async def test_a_lost_race_is_run_again_here(url: str) -> None:
    attempts: list[int] = []

    def body(conn: Connection) -> int:
        attempts.append(1)
        add(1)(conn)
        if len(attempts) < 3:
            raise LostRace
        return len(attempts)

    async with opened(url, ON_LOOP) as database:
        assert await database.write(body, short=True) == 3
        assert await database.read(count) == 1


async def test_a_body_whose_time_has_passed_is_not_begun_here(url: str) -> None:
    async with opened(url, ON_LOOP) as database:
        with pytest.raises(Overloaded):
            await database.write(add(1), short=True, timeout_s=-1.0)
        assert await database.read(count) == 0


async def test_closed_it_writes_nothing_more_and_finishes_what_waits(url: str) -> None:
    busy = Busy()
    async with opened(url, ON_LOOP) as database:
        long = await busy.begin(database)
        short = asyncio.create_task(database.write(add(1), short=True))
        await asyncio.sleep(0)
        closing = asyncio.create_task(database.aclose())
        await eventually(lambda: database._doors._writer.closed)  # type: ignore[union-attr]
        with pytest.raises(DatabaseUnavailable):
            await database.write(add(2), short=True)
        busy.free.set()
        await asyncio.gather(long, closing)
        assert await short == 1
    async with opened(url) as database:
        assert await database.read(names) == ["item 1"]
