"""SQLite when things go wrong around it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from scimd.core.errors import DatabaseUnavailable, Overloaded, StorageFull
from scimd.db import sqlite_log
from scimd.db.engine import Database, Tuning
from scimd.db.faults import TOO_MANY_FILES
from tests.db.schema import Busy, add, count, items, names, opened
from tests.support.patience import AT_MOST_S, PATIENT

_WRITER = """
import asyncio, sys
from tests.db.schema import Busy, add, opened
async def main():
    async with opened(sys.argv[1]) as database:
        async def write(n):
            while True:
                await database.write(add(n)); print(n, flush=True); n += 8
        await asyncio.gather(*(write(n) for n in range(8)))
asyncio.run(main())
"""


@pytest.mark.parametrize("round_", range(3))
async def test_every_answered_write_survives_a_kill(url: str, round_: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    answered = [int(process.stdout.readline()) for _ in range(300 + 111 * round_)]
    process.send_signal(signal.SIGKILL)
    answered += [int(line) for line in process.communicate()[0].splitlines(keepends=True) if line[-1] == "\n"]
    async with opened(url) as database:
        there = {int(name.split()[1]) for name in await database.read(names)}
        assert await database.read(lambda conn: conn.execute(text("PRAGMA quick_check")).scalar()) == "ok"
    assert set(answered) <= there


async def test_another_process_with_the_write_lock_makes_writers_wait(url: str, file: Path) -> None:
    async with opened(url) as database:
        other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.5, other.execute, ("COMMIT",))
        release.start()
        assert await database.write(add(1)) == 1
        release.join()
        other.close()


async def test_a_lock_held_for_long_is_a_refusal_for_all_who_wait_and_reads_go_on(
    url: str, file: Path
) -> None:
    async with (
        opened(url, Tuning(busy_timeout_s=0.5, timeout_s=AT_MOST_S)) as database,
        opened(url, PATIENT) as patient,
    ):
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(patient.write(add(7)))
        answers = await asyncio.gather(*(database.write(add(n)) for n in range(5)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Overloaded] * 5
        assert await patient.read(count) == await database.read(count) == 0
        assert not waiting.done()
        other.execute("ROLLBACK")
        other.close()
        assert await waiting == 7
        assert await database.write(add(1)) == 1


async def test_a_full_disk_is_a_refusal_and_passes_when_there_is_room(url: str) -> None:
    def limit(pages: int) -> object:
        return lambda conn: conn.execute(text(f"PRAGMA max_page_count={pages}")).all()

    def big(conn: Connection) -> None:
        conn.execute(items.insert(), {"id": 500, "name": "x" * 2_000_000})

    async with opened(url) as database:
        await database.write(limit(100))  # type: ignore[arg-type]
        answers = await asyncio.gather(
            *(database.write(body) for body in (add(1), big, add(2))), return_exceptions=True
        )
        assert answers[0] == 1
        assert isinstance(answers[1], StorageFull)
        assert answers[2] == 2
        await database.write(limit(100_000))  # type: ignore[arg-type]
        await database.write(big)
        assert await database.read(count) == 3


async def test_neighbours_of_a_body_that_rolls_back_everything_are_run_again(url: str) -> None:
    """What FULL, IOERR or NOMEM do: the transaction is gone over the savepoints' heads."""
    runs: list[int] = []

    def counted(number: int) -> object:
        def body(conn: Connection) -> int:
            runs.append(number)
            return add(number)(conn)

        return body

    def rolls_back(conn: Connection) -> None:
        raw = conn.connection.driver_connection
        assert raw is not None
        raw.execute("ROLLBACK")

    busy = Busy()
    async with opened(url) as database:
        first = await busy.begin(database)
        bodies = [counted(1), rolls_back, counted(2)]
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(database.write(body))  # type: ignore[arg-type]
            for body in bodies
        ]
        await asyncio.sleep(0.05)
        busy.free.set()
        answers = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert (answers[1], answers[3]) == (1, 2)
        assert isinstance(answers[2], RuntimeError)
        assert await database.read(names) == ["item 1", "item 2"]
    assert sorted(runs) == [1, 1, 2]


@pytest.mark.parametrize("writes_first", [True, False])
async def test_a_body_that_fails_takes_its_own_writes_along_and_nobody_elses(
    url: str, writes_first: bool
) -> None:
    """Bodies run without savepoints: one that fails late has its neighbours run a second time."""
    runs: list[int] = []

    def counted(number: int) -> object:
        def body(conn: Connection) -> int:
            runs.append(number)
            return add(number)(conn)

        return body

    def fails(conn: Connection) -> None:
        if writes_first:
            add(99)(conn)
        raise ValueError("late")

    busy = Busy()
    async with opened(url) as database:
        for _ in range(2):  # the second batch after a spoilt one runs in savepoints
            first = await busy.begin(database)
            numbers = (len(runs) + 1, len(runs) + 2)
            bodies = [counted(numbers[0]), fails, counted(numbers[1])]
            tasks: list[asyncio.Task[object]] = [
                asyncio.create_task(database.write(body))  # type: ignore[arg-type]
                for body in bodies
            ]
            await asyncio.sleep(0.05)
            busy.free.set()
            answers = await asyncio.gather(first, *tasks, return_exceptions=True)
            busy.free.clear()
            assert isinstance(answers[2], ValueError)
        assert await database.read(count) == 4
        assert "item 99" not in await database.read(names)
    # What had not begun yet runs once.
    assert len(runs) == (5 if writes_first else 4)


async def test_a_commit_that_fails_fails_the_guilty_body_alone(url: str) -> None:
    """A deferred reference is looked at by COMMIT, which then refuses the whole batch."""

    def tables(conn: Connection) -> None:
        conn.execute(
            text("CREATE TABLE kids (p INTEGER REFERENCES items (id) DEFERRABLE INITIALLY DEFERRED)")
        )

    busy = Busy()
    async with opened(url) as database:
        await database.write(tables)
        first = await busy.begin(database)
        orphan = asyncio.create_task(
            database.write(lambda conn: conn.execute(text("INSERT INTO kids VALUES (99)")).rowcount)
        )
        good = asyncio.create_task(database.write(add(1)))
        await asyncio.sleep(0.05)
        busy.free.set()
        await first
        assert await good == 1
        with pytest.raises(sqlite3.IntegrityError):
            await orphan
        assert await database.read(count) == 1


async def test_a_file_that_is_no_database_is_named_so(url: str, file: Path) -> None:
    file.write_bytes(b"dear editor, " * 1000)
    with pytest.raises(DatabaseUnavailable, match="no SQLite database"):
        async with opened(url):
            pass
    assert file.read_bytes() == b"dear editor, " * 1000


async def test_a_truncated_file_is_named_so(url: str, file: Path) -> None:
    async with opened(url) as database:
        for n in range(0, 2000, 100):
            await asyncio.gather(*(database.write(add(n + k)) for k in range(100)))
    with file.open("r+b") as handle:
        handle.truncate(file.stat().st_size // 2)
    with pytest.raises(DatabaseUnavailable, match="damaged"):
        async with opened(url) as database:
            await database.read(names)


async def test_a_directory_that_is_not_there_is_named_so(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="directory"):
        async with opened(f"sqlite:///{tmp_path}/none/scimd.db"):
            pass


async def test_the_file_is_its_owners_alone(url: str, file: Path) -> None:
    umask = os.umask(0)
    try:
        async with opened(url) as database:
            await database.write(add(1))
            modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
    finally:
        os.umask(umask)
    assert modes == {"scimd.db": 0o600, "scimd.db-wal": 0o600, "scimd.db-shm": 0o600}


async def test_every_connection_is_as_durable_and_as_strict_as_promised(url: str) -> None:
    def settings(conn: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "query_only")
        return [conn.execute(text(f"PRAGMA {name}")).scalar() for name in names]

    async with opened(url) as database:
        assert await database.write(settings) == ["wal", 2, 1, 0]
        assert await database.read(settings) == ["wal", 2, 1, 1]


async def test_two_processes_write_without_an_error(url: str) -> None:
    code = (
        "import asyncio, sys\nfrom tests.db.schema import add, opened\n"
        "async def main():\n"
        "    async with opened(sys.argv[1]) as database:\n"
        "        first = int(sys.argv[2])\n"
        "        await asyncio.gather(*(database.write(add(first + n)) for n in range(300)))\n"
        "asyncio.run(main())\n"
    )
    async with opened(url) as database:
        processes = [
            subprocess.Popen([sys.executable, "-c", code, url, str(k)], stderr=subprocess.PIPE, text=True)
            for k in (10_000, 20_000)
        ]
        for n in range(300):
            await database.write(add(n))
        for process in processes:
            errors = (await asyncio.to_thread(process.communicate))[1]
            assert process.returncode == 0, errors
        assert await database.read(count) == 900


class NoThreads:
    """The system starts no more threads than ``left``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int = 0) -> None:
        self.left = left
        self._start = threading.Thread.start
        monkeypatch.setattr(threading.Thread, "start", lambda thread: self._started(thread))

    def _started(self, thread: threading.Thread) -> None:
        if self.left == 0:
            raise RuntimeError("can't start new thread")
        self.left -= 1
        self._start(thread)


async def test_what_no_thread_can_be_started_for_is_refused_and_the_next_call_tries_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(url):
        pass
    database = Database.open(url, PATIENT)
    system = NoThreads(monkeypatch)
    for refused in (database.write(add(1)), database.read(count)):
        with pytest.raises(DatabaseUnavailable, match="no more threads"):
            await refused
    system.left = 2
    assert await database.write(add(2)) == 2
    assert await database.read(names) == ["item 2"], "what was refused is not done later on"
    assert await asyncio.gather(*(database.read(count) for _ in range(9))) == [1] * 9
    system.left = 100
    await database.read(count)
    assert len(database._doors._readers._threads) == PATIENT.reader_threads  # type: ignore[union-attr]
    await database.aclose()


async def test_whoever_writes_is_answered_though_no_thread_can_carry_the_log(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(url) as database:
        await database.write(add(1))
        monkeypatch.setattr(sqlite_log, "_CARRY_ROWS", 0)
        system = NoThreads(monkeypatch)
        assert [await database.write(add(number)) for number in (2, 3)] == [2, 3]
        system.left = 100


async def test_too_many_open_files_are_called_so(url: str) -> None:
    async with opened(url):
        pass
    database = Database.open(url, PATIENT)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/dev/fd")))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(highest)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 2, limits[1]))
        with pytest.raises(DatabaseUnavailable) as refused:
            await database.write(add(1))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for each in held:
            os.close(each)
    assert refused.value.detail == TOO_MANY_FILES
    await database.ping()
    await database.aclose()
