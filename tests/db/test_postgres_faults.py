"""PostgreSQL when things go wrong around it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy import Connection, make_url, select, text, update

from scimd.core.errors import DatabaseUnavailable, Overloaded
from scimd.db import migrate
from scimd.db.engine import Tuning
from scimd.db.faults import READ_ONLY, SILENT
from scimd.db.postgres_lost import lost, own_process
from scimd.db.wire import Wire
from tests.db.schema import add, count, items, names, opened
from tests.support.guard import free_port
from tests.support.patience import AT_MOST_S, PATIENT, Stopwatch, eventually, once_more

_KILL = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


#: Three times as long as scimd's own: a server that lives answers in time on a machine that is busy, too.
_SILENCE_S = 3.0


def sleeps(url: str) -> bool:
    """Whether somebody is in pg_sleep."""
    with psycopg.connect(url, autocommit=True) as conn:
        return bool(conn.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchone())


def kill_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(_KILL)


async def test_idle_connections_that_were_ended_are_not_noticed(postgres_url: str) -> None:
    async with opened(postgres_url) as database:
        await asyncio.gather(*(database.write(add(n)) for n in range(20)))
        for start in (100, 200):
            kill_all(postgres_url)
            await asyncio.gather(*(database.write(add(start + n)) for n in range(20)))
        assert await database.read(count) == 60


async def test_under_load_ended_connections_cost_no_answered_write(postgres_url: str) -> None:
    answered: list[int] = []
    refused: list[BaseException] = []

    async with opened(postgres_url) as database:

        async def write(first: int) -> None:
            for n in range(first, first + 150):
                try:
                    answered.append(await database.write(add(n)))
                except DatabaseUnavailable as exc:
                    refused.append(exc)

        async def kill() -> None:
            for _ in range(6):
                await asyncio.sleep(0.05)
                await asyncio.to_thread(kill_all, postgres_url)

        await asyncio.gather(kill(), *(write(first * 1000) for first in range(8)))
        there = {int(name.split()[1]) for name in await database.read(names)}
    assert set(answered) <= there
    assert len(answered) + len(refused) == 8 * 150


async def test_a_body_interrupted_by_the_loss_of_its_connection_is_run_once_more(postgres_url: str) -> None:
    runs: list[int] = []

    def body(conn: Connection) -> int:
        runs.append(1)
        add(1)(conn)
        if len(runs) == 1:
            kill_all(postgres_url)
        return count(conn)

    async with opened(postgres_url) as database:
        assert await database.write(body) == 1
    assert len(runs) == 2


async def test_a_connection_lost_in_commit_is_told_as_unknown_and_not_run_again(postgres_url: str) -> None:
    runs: list[int] = []
    slow_commit = """
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON items
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()"""

    def body(conn: Connection) -> None:
        runs.append(1)
        add(1)(conn)

    async with opened(postgres_url) as database:
        with psycopg.connect(postgres_url, autocommit=True) as conn:
            conn.execute(slow_commit)
        writing = asyncio.create_task(database.write(body))
        await eventually(lambda: sleeps(postgres_url))
        await asyncio.to_thread(kill_all, postgres_url)
        with pytest.raises(DatabaseUnavailable, match="may have been made or not"):
            await writing
        assert await database.read(count) == 0
    assert runs == [1]


async def test_two_that_deadlock_both_succeed(postgres_url: str) -> None:
    meet = threading.Barrier(2)
    runs: list[int] = []

    def crosswise(first: int, second: int) -> object:
        def body(conn: Connection) -> None:
            runs.append(first)
            conn.execute(update(items).where(items.c.id == first).values(n=items.c.n + 1))
            with contextlib.suppress(threading.BrokenBarrierError):
                meet.wait(AT_MOST_S if len(runs) <= 2 else 0)
            conn.execute(update(items).where(items.c.id == second).values(n=items.c.n + 1))

        return body

    async with opened(postgres_url) as database:
        await asyncio.gather(database.write(add(1)), database.write(add(2)))
        bodies = [crosswise(1, 2), crosswise(2, 1)]
        await asyncio.gather(*(database.write(body) for body in bodies))  # type: ignore[arg-type]
        rows = await database.read(lambda conn: conn.execute(select(items.c.n)).scalars().all())
    assert list(rows) == [2, 2]
    assert len(runs) >= 3


async def test_conflicts_without_end_are_a_refusal(postgres_url: str) -> None:
    def body(conn: Connection) -> None:
        conn.execute(text("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$"))

    async with opened(postgres_url) as database:
        with pytest.raises(Overloaded):
            await database.write(body)
        assert await database.write(add(1)) == 1


async def test_a_lock_that_is_not_given_ends_at_the_time_limit(postgres_url: str) -> None:
    async with opened(postgres_url) as database:
        await database.write(add(1))
        with psycopg.connect(postgres_url) as other:
            other.execute("UPDATE items SET n = 5")
            with pytest.raises(DatabaseUnavailable, match="time limit"):
                await database.write(
                    lambda conn: conn.execute(update(items).values(n=6)).rowcount, timeout_s=0.4
                )
            other.rollback()
        assert await database.write(lambda conn: conn.execute(update(items).values(n=7)).rowcount) == 1


async def test_a_statement_that_somebody_cancels_is_called_so_and_logged(postgres_url: str) -> None:
    def cancel() -> None:
        with psycopg.connect(postgres_url, autocommit=True) as conn:
            conn.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")

    async with opened(postgres_url) as database:
        sleeping = asyncio.create_task(
            database.write(lambda conn: conn.execute(text("SELECT pg_sleep(600)")).all())
        )
        await eventually(lambda: sleeps(postgres_url))
        with structlog.testing.capture_logs() as lines:
            await asyncio.to_thread(cancel)
            with pytest.raises(DatabaseUnavailable, match="cancelled"):
                await sleeping
            assert await database.write(add(1)) == 1
    assert [line["event"] for line in lines] == ["database_unavailable", "database_recovered"]
    assert lines[0]["cause"].startswith("QueryCanceled: ")


async def test_a_server_that_is_not_there_is_a_refusal_at_once() -> None:
    async with asyncio.timeout(AT_MOST_S / 2):  # which is before anybody's time is over
        with pytest.raises(DatabaseUnavailable):
            async with opened(f"postgresql://scimd:hush@127.0.0.1:{free_port()}/scimd"):
                pass


class Hole:
    """A proxy to the server that can stop passing anything on, without closing anything.

    Healed, it serves new connections; those from before stay silent for ever.
    """

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.flows = asyncio.Event()
        self.flows.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def heal(self) -> None:
        self.flows = asyncio.Event()
        self.flows.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Gives the url of the same database through it."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield self._url.set(port=port).render_as_string(hide_password=False)
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._url.port)
        for pair in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass(*pair, self.flows))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        try:
            while data := await reader.read(65536):
                await flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()


class Reception(Hole):
    """While ``busy`` it lets in whoever comes, and passes on nothing that they say then: a pooler, say, that
    has no connection to the server for them.
    """

    busy = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.busy:
            await super()._accept(reader, writer)
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._url.port)
        flows = asyncio.Event()
        flows.set()
        for way in (self._pass(reader, back, flows), self._let_in(there, writer, flows)):
            self._tasks.add(asyncio.create_task(way))

    async def _let_in(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        try:
            while data := await reader.read(65536):
                if data.endswith(b"Z\x00\x00\x00\x05I"):  # ready for a query
                    flows.clear()
                writer.write(data)
        finally:
            writer.close()


async def test_a_command_that_is_let_in_and_never_answered_says_so(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reception = Reception(postgres_url)
    reception.busy = True
    monkeypatch.setattr(migrate, "_FIRST_ANSWER_S", 0.5)
    async with reception.open() as url:
        for command in (migrate.check, migrate.prove_writable, migrate.upgrade):
            with pytest.raises(DatabaseUnavailable) as refusal:
                await asyncio.wait_for(asyncio.to_thread(command, url), AT_MOST_S)
            assert refusal.value.detail == SILENT


async def test_whoever_is_let_in_and_never_answered_leaves_no_thread_stuck(postgres_url: str) -> None:
    reception = Reception(postgres_url)
    async with reception.open() as url, opened(url, Tuning(pool_size=2, timeout_s=1)) as database:
        await asyncio.to_thread(kill_all, postgres_url)
        reception.busy = True
        for attempt in range(2):  # a thread's first connection, and later ones
            writing = [database.write(add(10 * attempt + n)) for n in range(2)]
            answers = await asyncio.gather(*writing, return_exceptions=True)
            assert {type(answer) for answer in answers} == {DatabaseUnavailable}
        reception.busy = False
        await _until_it_answers(database.ping)
        assert await database.write(add(100), timeout_s=AT_MOST_S) == 100
        assert await database.read(names, timeout_s=AT_MOST_S) == ["item 100"]


async def test_a_process_that_is_not_found_or_not_idle_is_not_lost(postgres_url: str) -> None:
    """A pooler's number, or that of another server behind a balancer."""
    with (
        psycopg.connect(postgres_url, autocommit=True) as ended,
        psycopg.connect(postgres_url, autocommit=True) as waits,
    ):
        there, gone = own_process(waits), own_process(ended)
        assert there
        assert gone
        ended.close()

        async def waits_for_us() -> bool:
            return await lost(make_url(postgres_url), PATIENT, {there, gone, 2**31 - 1}) == {there}

        await eventually(waits_for_us)
        with ThreadPoolExecutor(1) as threads:
            busy = threads.submit(waits.execute, "SELECT pg_sleep(600)")
            await eventually(lambda: sleeps(postgres_url))
            assert await lost(make_url(postgres_url), PATIENT, {there, gone}) == set()
            waits.cancel()
            assert isinstance(await asyncio.to_thread(busy.exception), psycopg.errors.QueryCanceled)


async def test_a_black_hole_is_answered_within_two_seconds_and_leaves_no_thread_stuck(
    postgres_url: str,
) -> None:
    hole = Hole(postgres_url)
    async with hole.open() as url, opened(url, Tuning(pool_size=3, timeout_s=10 * AT_MOST_S)) as database:
        await asyncio.gather(*(database.write(add(n)) for n in range(10)))
        hole.flows.clear()
        took: list[float] = []
        while once_more(took, 2.2):
            watch = Stopwatch()
            answers = await asyncio.gather(
                *(database.write(add(100 + 10 * len(took) + n)) for n in range(8)), return_exceptions=True
            )
            assert {type(answer) for answer in answers} == {DatabaseUnavailable}
            took.append(watch.seconds())
        hole.heal()
        await _until_it_answers(database.ping)
        await asyncio.gather(*(database.write(add(1000 + n)) for n in range(8)))
        assert await database.read(count) == 18


async def test_a_black_hole_frees_the_threads_of_callers_that_have_gone(postgres_url: str) -> None:
    hole = Hole(postgres_url)
    async with hole.open() as url, opened(url, Tuning(pool_size=2, timeout_s=10 * AT_MOST_S)) as database:
        hole.flows.clear()
        gone = [asyncio.create_task(database.write(add(n))) for n in range(2)]
        await asyncio.sleep(0.2)
        for task in gone:
            task.cancel()
        await asyncio.sleep(2)
        hole.heal()
        await _until_it_answers(database.ping)


async def test_connections_that_were_left_open_and_dead_are_told_within_two_seconds(
    postgres_url: str,
) -> None:
    """As a proxy leaves them, and a fail-over: new ones work."""
    hole = Hole(postgres_url)
    async with hole.open() as url, opened(url, Tuning(pool_size=3, timeout_s=10 * AT_MOST_S)) as database:
        took: list[float] = []
        while once_more(took, 2.2):
            attempt = len(took)
            await asyncio.gather(*(database.write(add(100 * attempt + n)) for n in range(10)))
            hole.flows.clear()
            hole.heal()
            watch = Stopwatch()
            writing = [database.write(add(100 * attempt + 10 + n)) for n in range(3)]
            answers = await asyncio.gather(*writing, return_exceptions=True)
            assert DatabaseUnavailable in {type(answer) for answer in answers}
            took.append(watch.seconds())
            assert await database.write(add(100 * attempt + 50)) == 100 * attempt + 50


class Crowd(Hole):
    """While it is ``full``, whoever comes is left standing, as by a server that is too busy for them."""

    full = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.full:
            await super()._accept(reader, writer)
            return
        with contextlib.suppress(OSError), contextlib.closing(writer):
            await reader.read(-1)  # until they give up


async def test_a_server_too_busy_for_new_connections_is_there_while_it_answers_others(
    postgres_url: str,
) -> None:
    tuning = Tuning(pool_size=2, silence_s=_SILENCE_S, timeout_s=AT_MOST_S)
    sleep = text(f"SELECT pg_sleep({2.5 * _SILENCE_S})")
    crowd = Crowd(postgres_url)
    async with crowd.open() as url, opened(url, tuning) as database:
        await asyncio.gather(*(database.write(add(n)) for n in range(4)))
        crowd.full = True
        sleeping = asyncio.create_task(database.write(lambda conn: conn.execute(sleep).all()))
        n = 10
        while not sleeping.done():
            await database.write(add(n := n + 1))
        assert len(await sleeping) == 1


async def test_whoever_has_not_come_to_read_the_answer_is_not_lost(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that is busy: the server waits for us then."""
    read, stalls = Wire._read, iter([2 * _SILENCE_S])

    def late(wire: Wire) -> Any:
        if wire.waiting_since:
            time.sleep(next(stalls, 0))
        return read(wire)

    async with opened(postgres_url, Tuning(silence_s=_SILENCE_S, timeout_s=AT_MOST_S)) as database:
        assert await database.read(count) == 0
        monkeypatch.setattr(Wire, "_read", late)
        assert await database.write(add(1)) == 1
        assert not next(stalls, 0)
        assert await database.read(count) == 1


async def test_whoever_thinks_between_statements_is_not_lost(postgres_url: str) -> None:
    def body(conn: Connection) -> int:
        add(1)(conn)
        time.sleep(1.5 * _SILENCE_S)
        return add(2)(conn)

    async with opened(postgres_url, Tuning(silence_s=_SILENCE_S, timeout_s=AT_MOST_S)) as database:
        assert await database.write(body) == 2
        assert await database.read(count) == 2


async def test_a_server_that_became_read_only_is_a_refusal(postgres_url: str) -> None:
    async with opened(postgres_url) as database:
        with psycopg.connect(postgres_url, autocommit=True) as conn:
            conn.execute(
                "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || "
                "' SET default_transaction_read_only = on'; END $$"
            )
        kill_all(postgres_url)
        with pytest.raises(DatabaseUnavailable) as refusal:
            await database.write(add(1))
        assert refusal.value.detail == READ_ONLY
        assert await database.read(count) == 0


async def _until_it_answers(ping: Callable[[], Awaitable[None]]) -> None:
    async def answers() -> bool:
        with contextlib.suppress(DatabaseUnavailable, Overloaded):
            await ping()
            return True
        return False

    await eventually(answers, "it did not come back")


async def test_a_slow_query_of_a_server_that_lives_is_no_black_hole(postgres_url: str) -> None:
    async with opened(postgres_url, Tuning(silence_s=_SILENCE_S, timeout_s=AT_MOST_S)) as database:
        await database.read(lambda conn: conn.execute(text(f"SELECT pg_sleep({2.2 * _SILENCE_S})")).all())


async def test_a_probe_while_this_process_stood_still_says_nothing_of_the_server(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, stalls = asyncio.open_connection, iter([1.2 * _SILENCE_S])

    async def late(*address: Any) -> Any:
        time.sleep(next(stalls, 0))
        return await connect(*address)

    async with opened(postgres_url, Tuning(silence_s=_SILENCE_S, timeout_s=AT_MOST_S)) as database:
        monkeypatch.setattr(asyncio, "open_connection", late)
        await database.read(lambda conn: conn.execute(text(f"SELECT pg_sleep({3 * _SILENCE_S})")).all())


async def test_a_repeatable_read_never_waits_for_a_writer(postgres_url: str) -> None:
    async with opened(postgres_url) as database:
        await database.write(add(1))
        with psycopg.connect(postgres_url) as other:
            other.execute("UPDATE items SET n = 5")
            level = text("SHOW transaction_isolation")
            read = lambda conn: (count(conn), conn.execute(level).scalar())  # noqa: E731
            assert await database.read(read, timeout_s=AT_MOST_S) == (1, "repeatable read")


async def test_a_commit_is_durable_as_the_server_has_it(postgres_url: str) -> None:
    async with opened(postgres_url) as database:
        setting = await database.write(lambda conn: conn.execute(text("SHOW synchronous_commit")).scalar())
    assert setting == "on"
