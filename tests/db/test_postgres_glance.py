"""Glances on PostgreSQL: many on one connection, none of which another one's trouble reaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Float, Integer, Text, bindparam, cast, func, select

from scimd.core.errors import DatabaseUnavailable
from scimd.db.engine import Database, Tuning
from scimd.db.postgres import Watched
from scimd.db.postgres_glance import Glance
from scimd.db.prepared import Prepared, ahead
from tests.db.schema import add, items, opened
from tests.db.test_postgres_faults import Hole, Reception, kill_all
from tests.support.patience import AT_MOST_S, PATIENT, Stopwatch, eventually, once_more

_ONE = Prepared(select(items.c.id, items.c.name).where(items.c.id == bindparam("id")))
_LETTER = Prepared(select(func.chr(bindparam("code", type_=Integer), type_=Text).label("letter")))
_SLEEP = Prepared(select(func.pg_sleep(cast(bindparam("s", type_=Float), Float)).label("slept")))
_STATE = Prepared(
    select(
        func.current_setting("transaction_isolation").label("level"), func.txid_current_snapshot().label("at")
    ).where(items.c.id == bindparam("id"))
)


def named(number: int) -> Any:
    return lambda conn: _ONE.first(conn, {"id": number})


def eye(database: Database) -> Glance:
    doors = database._doors
    assert isinstance(doors, Watched)
    return doors.eye


async def until_open(database: Database) -> None:
    """Glances are a thread's work until the connections stand."""
    async with asyncio.timeout(AT_MOST_S):
        while len(eye(database)._snapshots) < 4:
            await database.glance(named(0), one=True)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watched(url: str, tuning: Tuning | None = None) -> AsyncIterator[Database]:
    """A database with ten items, whose glances go by the loop: a thread that reads is a failure."""
    async with opened(url, tuning or PATIENT) as database:
        for number in range(10):
            await database.write(add(number))
        await until_open(database)
        yield database


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(self: Database, body: object, **_: object) -> None:
        raise AssertionError("a thread was asked")

    monkeypatch.setattr(Database, "read", never)


async def test_many_at_once_get_each_its_own_answer(postgres_url: str) -> None:
    async with watched(postgres_url) as database:
        asked = [n % 12 for n in range(400)]
        rows = await asyncio.gather(*(database.glance(named(n), one=n % 3 > 0) for n in asked))
        assert [row and row.id for row in rows] == [n if n < 10 else None for n in asked]


async def test_an_error_of_one_leaves_its_neighbours_alone(postgres_url: str) -> None:
    async with watched(postgres_url) as database:
        glances = [database.glance(named(n), one=True) for n in range(10)]
        bad = database.glance(lambda conn: _LETTER.first(conn, {"code": 0}), one=True)
        results = await asyncio.gather(*glances[:5], bad, *glances[5:], return_exceptions=True)
        assert "null character not permitted" in str(results.pop(5))
        assert [row.id for row in results] == list(range(10))  # type: ignore[union-attr]
        assert (await database.glance(lambda conn: _LETTER.first(conn, {"code": 65}), one=True)).letter == "A"


async def test_whoever_gives_up_takes_nobody_elses_answer(postgres_url: str) -> None:
    async with watched(postgres_url) as database:
        for one in (True, False):
            gone = [asyncio.create_task(database.glance(named(n), one=one)) for n in range(8)]
            await asyncio.sleep(0)
            for task in gone[::2]:
                task.cancel()
            kept = await asyncio.gather(*gone, return_exceptions=True)
            assert [getattr(row, "id", None) for row in kept] == [None, 1, None, 3, None, 5, None, 7]
            rows = await asyncio.gather(*(database.glance(named(n), one=one) for n in range(10)))
            assert [row.id for row in rows] == list(range(10))


async def test_several_statements_see_one_snapshot(postgres_url: str) -> None:
    async with watched(postgres_url) as database:
        written = asyncio.Event()

        def body(conn: Connection) -> list[Any]:
            states = [_STATE.first(conn, {"id": 1})]
            if not written.is_set():  # it is run again for each answer
                with psycopg.connect(postgres_url, autocommit=True) as other:
                    other.execute("UPDATE items SET name = name || ', later'")
                written.set()
            return [*states, _STATE.first(conn, {"id": 2}), _ONE.first(conn, {"id": 2})]

        first, second, row = await database.glance(body)
        assert first == second
        assert first.level == "repeatable read"
        assert row.name == "item 2"


async def test_what_is_asked_ahead_is_asked_once(postgres_url: str) -> None:
    runs: list[int] = []

    def body(conn: Connection) -> list[Any]:
        runs.append(1)
        ahead(conn, (_ONE, {"id": 1}), (_ONE, {"id": 2}))
        return [_ONE.first(conn, {"id": n}).id for n in (2, 1, 3)]

    async with watched(postgres_url) as database:
        assert await database.glance(body) == [2, 1, 3]
        assert len(runs) == 3
        assert await database.read(body) == [2, 1, 3]


async def test_connections_that_were_ended_are_replaced_unnoticed(postgres_url: str) -> None:
    async with watched(postgres_url) as database:
        for _ in range(3):
            await asyncio.to_thread(kill_all, postgres_url)
            rows = await asyncio.gather(*(database.glance(named(n), one=n % 2 > 0) for n in range(10)))
            assert [row.id for row in rows] == list(range(10))
        await until_open(database)


async def test_a_connection_lost_under_load_costs_no_answer(postgres_url: str) -> None:
    async with watched(postgres_url) as database:

        async def look(one: bool) -> None:
            for n in range(200):
                assert (await database.glance(named(n % 10), one=one)).id == n % 10

        async def kill() -> None:
            for _ in range(4):
                await asyncio.sleep(0.05)
                await asyncio.to_thread(kill_all, postgres_url)

        results = await asyncio.gather(kill(), *(look(n % 2 > 0) for n in range(8)), return_exceptions=True)
        # Whom the loss met twice in a row is refused, and never told anything wrong.
        assert {type(each) for each in results} <= {type(None), DatabaseUnavailable}


async def test_a_black_hole_is_told_within_two_seconds_and_left_soon(postgres_url: str) -> None:
    hole = Hole(postgres_url)
    tuning = Tuning(timeout_s=10 * AT_MOST_S)
    async with hole.open() as url, watched(url, tuning) as database:
        took: list[float] = []
        while once_more(took, 2.2):
            hole.flows.clear()
            watch = Stopwatch()
            glances = (database.glance(named(n), one=n % 2 > 0) for n in range(10))
            answers = await asyncio.gather(*glances, return_exceptions=True)
            assert {type(answer) for answer in answers} == {DatabaseUnavailable}
            took.append(watch.seconds())
            hole.heal()
            await eventually(partial(_answers, database))
            await until_open(database)


async def test_lines_that_were_left_open_and_dead_are_told_within_two_seconds(postgres_url: str) -> None:
    hole = Hole(postgres_url)
    tuning = Tuning(timeout_s=10 * AT_MOST_S)
    async with hole.open() as url, watched(url, tuning) as database:
        took: list[float] = []
        while once_more(took, 2.2):
            hole.flows.clear()
            hole.heal()
            watch = Stopwatch()
            glances = (database.glance(named(n), one=n % 2 > 0) for n in range(10))
            answers = await asyncio.gather(*glances, return_exceptions=True)
            assert DatabaseUnavailable in {type(answer) for answer in answers}
            took.append(watch.seconds())
            await eventually(partial(_answers, database))
            await until_open(database)


async def test_lines_that_were_let_in_and_never_answered_are_opened_anew(postgres_url: str) -> None:
    reception = Reception(postgres_url)
    async with (
        reception.open() as url,
        watched(url, Tuning(timeout_s=2, silence_s=0.5)) as database,
    ):
        reception.busy = True
        lines = (*eye(database)._snapshots, eye(database)._shared)
        for line in lines:
            assert line is not None
            line.lose(DatabaseUnavailable())
        await eventually(partial(_is_refused, database))
        reception.busy = False
        await eventually(partial(_answers, database))
        await until_open(database)


async def _is_refused(database: Database) -> bool:
    return not await _answers(database)


async def _answers(database: Database) -> bool:
    try:
        return bool(await database.glance(named(1), one=True))
    except DatabaseUnavailable:
        return False


async def test_a_slow_answer_of_a_server_that_lives_is_waited_for(postgres_url: str) -> None:
    async with watched(postgres_url, Tuning(silence_s=2, timeout_s=AT_MOST_S)) as database:
        await database.glance(lambda conn: _SLEEP.first(conn, {"s": 4.4}), one=True)


async def test_a_glance_has_a_deadline(postgres_url: str) -> None:
    async with watched(postgres_url, Tuning(silence_s=0.5, timeout_s=2)) as database:
        for one in (True, False):
            with pytest.raises(DatabaseUnavailable):
                await database.glance(lambda conn: _SLEEP.first(conn, {"s": 600.0}), one=one)
        await eventually(partial(_answers, database))


async def test_a_statement_that_is_not_prepared_is_a_readers_work(postgres_url: str) -> None:
    async with watched(postgres_url) as database:
        assert len(await database.glance(lambda conn: conn.execute(select(items)).all())) == 10


async def test_a_body_runs_no_thread(postgres_url: str, request: pytest.FixtureRequest) -> None:
    async with watched(postgres_url) as database:
        request.getfixturevalue("no_threads")
        assert (await database.glance(named(3))).id == 3
        assert (await database.glance(named(4), one=True)).id == 4
