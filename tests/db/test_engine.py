"""What both databases promise."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace

import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError

from scimd.core.errors import DatabaseUnavailable, Overloaded
from scimd.db.engine import Database, LostRace, is_check_or_trigger, is_unique_violation
from tests.db.schema import Busy, add, count, items, names, opened
from tests.support.patience import AT_MOST_S, PATIENT, eventually


async def test_what_was_answered_is_there_for_every_reader(database_url: str) -> None:
    async with opened(database_url) as database:
        assert await asyncio.gather(*(database.write(add(n)) for n in range(50))) == list(range(50))
        assert await database.read(count) == 50


async def test_a_failing_body_leaves_nothing_and_its_neighbours_alone(database_url: str) -> None:
    def fails(conn: Connection) -> None:
        add(100)(conn)
        raise ZeroDivisionError

    async with opened(database_url) as database:
        bodies = [fails if n % 3 == 0 else add(n) for n in range(12)]
        answers = await asyncio.gather(*(database.write(body) for body in bodies), return_exceptions=True)
        assert [type(a) for a in answers[::3]] == [ZeroDivisionError] * 4
        assert await database.read(names) == [f"item {n}" for n in range(12) if n % 3]


async def test_a_unique_violation_is_told_with_its_name_and_only_to_the_loser(database_url: str) -> None:
    async with opened(database_url) as database:
        answers = await asyncio.gather(*(database.write(add(7)) for _ in range(8)), return_exceptions=True)
        losers = [a for a in answers if isinstance(a, IntegrityError)]
        assert answers.count(7) == 1
        assert len(losers) == 7
        expected = "items.id" if database.dialect == "sqlite" else "items_pkey"
        assert {is_unique_violation(loser) for loser in losers} == {expected}


async def test_a_check_is_recognized_by_its_name(database_url: str) -> None:
    def negative(conn: Connection) -> None:
        conn.execute(insert(items), {"id": 1, "name": "a", "n": -1})

    async with opened(database_url) as database:
        with pytest.raises(IntegrityError) as caught:
            await database.write(negative)
    assert is_check_or_trigger(caught.value, "not_negative")
    assert not is_check_or_trigger(caught.value, "negative")
    assert is_unique_violation(caught.value) is None


async def test_a_lost_race_is_run_again_from_the_start(database_url: str) -> None:
    attempts: list[int] = []

    def body(conn: Connection) -> int:
        assert count(conn) == 0
        add(1)(conn)
        attempts.append(1)
        if len(attempts) < 4:
            raise LostRace
        return len(attempts)

    async with opened(database_url) as database:
        assert await database.write(body) == 4
        assert await database.read(count) == 1


async def test_a_race_lost_too_often_is_a_refusal(database_url: str) -> None:
    def body(conn: Connection) -> None:
        add(1)(conn)
        raise LostRace

    async with opened(database_url) as database:
        with pytest.raises(Overloaded):
            await database.write(body)
        assert await database.read(count) == 0


async def test_a_reader_cannot_write(database_url: str) -> None:
    async with opened(database_url) as database:
        with pytest.raises(DBAPIError):
            await database.read(add(1))
        assert await database.read(count) == 0
        assert await database.write(add(1)) == 1


async def test_a_reader_sees_one_snapshot_while_others_write(database_url: str) -> None:
    begun, written = threading.Event(), threading.Event()

    def twice(conn: Connection) -> tuple[int, int]:
        first = count(conn)
        begun.set()
        assert written.wait(AT_MOST_S)
        return first, count(conn)

    async with opened(database_url) as database:
        reading = asyncio.create_task(database.read(twice))
        await asyncio.to_thread(begun.wait, AT_MOST_S)
        await database.write(add(1))
        written.set()
        assert await reading == (0, 0)
        assert await database.read(count) == 1


async def test_a_body_that_ends_its_transaction_is_refused(database_url: str) -> None:
    def body(conn: Connection) -> None:
        add(1)(conn)
        conn.rollback()
        add(3)(conn)

    async with opened(database_url) as database:
        with pytest.raises((RuntimeError, InvalidRequestError)):
            await database.write(body)
        assert await database.write(add(2)) == 2
        assert await database.read(names) == ["item 2"]


async def test_a_body_that_hides_a_failed_statement_commits_nothing_unsaid(database_url: str) -> None:
    def body(conn: Connection) -> None:
        add(1)(conn)
        try:
            add(1)(conn)
        except IntegrityError:
            return

    async with opened(database_url) as database:
        if database.dialect == "postgresql":  # COMMIT would roll back there, and call it success
            with pytest.raises(RuntimeError):
                await database.write(body)
            assert await database.read(count) == 0
        else:
            await database.write(body)
            assert await database.read(count) == 1
        await database.write(add(5))


async def test_a_savepoint_inside_a_body_undoes_its_part_only(database_url: str) -> None:
    def body(conn: Connection) -> None:
        add(1)(conn)
        with contextlib.suppress(IntegrityError), conn.begin_nested():
            add(2)(conn)
            add(1)(conn)
        add(3)(conn)

    async with opened(database_url) as database:
        await database.write(body)
        assert await database.read(names) == ["item 1", "item 3"]


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt])
async def test_a_body_cannot_kill_its_thread(database_url: str, error: type[BaseException]) -> None:
    def body(conn: Connection) -> None:
        raise error

    async with opened(database_url, replace(PATIENT, pool_size=1)) as database:
        for _ in range(3):
            with pytest.raises(RuntimeError, match=error.__name__):
                await database.write(body)
        assert await database.write(add(1)) == 1


async def test_what_does_not_fit_into_the_queue_is_refused(database_url: str) -> None:
    async with opened(database_url, replace(PATIENT, writer_queue=2, pool_size=1)) as database:
        body = Busy()
        busy = await body.begin(database)
        queued = [asyncio.create_task(database.write(add(n))) for n in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await database.write(add(3))
        body.free.set()
        await asyncio.gather(busy, *queued)
        assert await database.read(names) == ["item 1", "item 2"]


async def test_a_body_whose_time_passed_before_it_began_is_dropped(database_url: str) -> None:
    async with opened(database_url, replace(PATIENT, pool_size=1)) as database:
        body = Busy()
        busy = await body.begin(database)
        late = asyncio.create_task(database.write(add(1), timeout_s=0.05))
        await asyncio.sleep(0.2)
        body.free.set()
        with pytest.raises(Overloaded):
            await late
        await busy
        assert await database.read(count) == 0


async def test_a_statement_over_the_time_limit_is_ended(database_url: str) -> None:
    forever = text("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT max(i) FROM r")

    async with opened(database_url) as database:
        for door in (database.read, database.write):
            with pytest.raises(DatabaseUnavailable, match="time limit"):
                await door(lambda conn: conn.execute(forever).all(), timeout_s=0.3)
        assert await database.write(add(1)) == 1


async def test_slow_readers_do_not_hold_up_quick_ones(database_url: str) -> None:
    slow = text(
        "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 999999) "
        "SELECT max(i) FROM r"
    )
    begun, enough = [], threading.Event()

    def slowly(conn: Connection) -> None:
        begun.append(conn)
        while not enough.is_set():
            conn.execute(slow).all()

    async with opened(database_url) as database:
        long = [asyncio.create_task(database.read(slowly)) for _ in range(3)]
        await eventually(lambda: len(begun) == 3)
        assert await database.read(count) == 0
        assert not any(task.done() for task in long)
        enough.set()
        await asyncio.gather(*long)


async def test_cancelling_the_caller_leaves_the_door_whole(database_url: str) -> None:
    async with opened(database_url, replace(PATIENT, pool_size=2)) as database:
        for n in range(200):
            task = asyncio.create_task(database.write(add(n)))
            await asyncio.sleep(0.0005 * (n % 4))
            task.cancel()
        assert await database.write(add(1000)) == 1000
        assert await database.read(names) == sorted(
            await database.read(names), key=lambda name: int(name.split()[1])
        )


async def test_closing_finishes_what_waits_and_refuses_what_is_new(database_url: str) -> None:
    async with opened(database_url) as database:
        waiting = [asyncio.create_task(database.write(add(n))) for n in range(100)]
        await asyncio.sleep(0)
        await database.aclose()
        with pytest.raises(DatabaseUnavailable, match="stopping"):
            await database.write(add(1000))
        assert sorted(await asyncio.gather(*waiting)) == list(range(100))


async def test_ping_answers(database_url: str) -> None:
    async with opened(database_url) as database:
        await database.ping()


async def test_no_update_is_lost_between_many_writers(database_url: str) -> None:
    def raise_it(conn: Connection) -> int:
        rows = select(items.c.n).where(items.c.id == 1).with_for_update()
        n: int = conn.execute(rows).scalar_one()
        conn.execute(update(items).where(items.c.id == 1).values(n=n + 1))
        return n

    async with opened(database_url) as database:
        await database.write(add(1))
        seen = await asyncio.gather(*(database.write(raise_it) for _ in range(100)))
        assert sorted(seen) == list(range(100))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://u:hush@h/d", "not with 'mysql'"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:///file:x?mode=memory", "needs a file"),
        ("sqlite:///x.db?mode=ro", "path alone"),
        ("hush", "cannot be read"),
    ],
)
def test_an_unusable_url_is_refused_with_a_sentence(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        Database.open(url)
    assert "hush" not in str(caught.value)
