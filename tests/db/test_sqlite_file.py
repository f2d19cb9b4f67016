"""SQLite's file, and what happens to it while scimd runs."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from scimd.core.errors import DatabaseUnavailable
from scimd.db import migrate, sqlite, sqlite_log
from scimd.db.engine import Database, Tuning
from scimd.db.faults import CANNOT_OPEN, FILE_GONE, IS_DIRECTORY, LOG_GONE, NOT_SEEN, FileGone
from scimd.db.sqlite_file import File
from scimd.db.sqlite_log import Carrier
from tests.db.schema import add, count, names, opened
from tests.support.patience import PATIENT
from tests.support.requirement import require

ON_LOOP = replace(PATIENT, on_loop=True)


def _delete(file: Path) -> None:
    file.unlink()


def _replace(file: Path) -> None:
    with closing(sqlite3.connect(file)) as raw:
        raw.execute(f"VACUUM INTO '{file}.new'")
    os.replace(f"{file}.new", file)


def _make_anew(file: Path) -> None:
    file.unlink()
    file.touch()


async def _refused(database: Database, number: int) -> str:
    with pytest.raises(DatabaseUnavailable) as refused:
        await database.write(add(number), short=True)
    return refused.value.detail


@pytest.mark.parametrize("tuning", [PATIENT, ON_LOOP], ids=["thread", "loop"])
@pytest.mark.parametrize("lose", [_delete, _replace, _make_anew])
async def test_nothing_is_acknowledged_once_the_file_is_another(
    url: str, file: Path, tuning: Tuning, lose: Callable[[Path], None]
) -> None:
    async with opened(url, tuning) as database:
        await database.write(add(1), short=True)
        lose(file)
        with structlog.testing.capture_logs() as lines:
            assert [await _refused(database, number) for number in (2, 3)] == [FILE_GONE] * 2
    assert [line["event"] for line in lines] == ["database_unavailable"]
    assert lines[0]["cause"] == f"FileGone: {file}"
    assert file.exists() is (lose is not _delete)


async def test_who_reads_is_told_so_too_and_soon(url: str, file: Path) -> None:
    async with opened(url) as database:
        assert await database.read(count) == 0
        assert await database.glance(count) == 0
        file.unlink()
        told: list[str] = []

        async def is_told() -> bool:
            for read in (database.glance, database.read):
                try:
                    await read(count)
                except DatabaseUnavailable as exc:
                    told.append(exc.detail)
            return len(told) > 1

        while not await is_told():
            pass
        assert set(told) == {FILE_GONE}
        with pytest.raises(DatabaseUnavailable, match="deleted"):
            await database.ping()


async def test_what_was_moved_away_is_gone_on_with_once_it_is_back(url: str, file: Path) -> None:
    async with opened(url) as database:
        await database.write(add(1))
        elsewhere = file.rename(file.with_name("elsewhere"))
        await _refused(database, 2)
        assert await _refused(database, 3) == FILE_GONE
        elsewhere.rename(file)
        assert await database.write(add(4)) == 4
        assert {"item 1", "item 4"} <= set(await database.read(names)) <= {"item 1", "item 2", "item 4"}


@pytest.mark.parametrize("tuning", [PATIENT, ON_LOOP], ids=["thread", "loop"])
async def test_without_its_log_nothing_is_acknowledged_and_what_was_is_kept_at_the_end(
    url: str, file: Path, tuning: Tuning
) -> None:
    async with opened(url, tuning) as database:
        await database.write(add(1), short=True)
        Path(f"{file}-wal").unlink()
        assert [await _refused(database, number) for number in (2, 3)] == [LOG_GONE] * 2
    async with opened(url, tuning) as database:
        assert "item 1" in await database.read(names)
        assert await database.write(add(4), short=True) == 4


async def test_others_who_come_and_go_leave_the_log_where_it_is(url: str) -> None:
    code = (
        "import asyncio, sys\nfrom tests.db.schema import add, opened\n"
        "async def main():\n"
        "    async with opened(sys.argv[1]) as database:\n"
        "        await database.write(add(10))\n"
        "asyncio.run(main())\n"
    )
    async with opened(url) as database:
        subprocess.run([sys.executable, "-c", code, url], check=True)
        assert await database.write(add(1)) == 1
        assert await database.read(count) == 2


async def test_a_log_that_went_with_the_last_connection_is_no_loss(url: str) -> None:
    async with opened(url) as database:
        doors = database._doors
        await database.glance(count)
        doors.eye.close()  # type: ignore[union-attr]
        doors._writer._hand().close()  # type: ignore[union-attr]
        assert await database.write(add(1)) == 1
        assert await database.glance(count) == 1


@pytest.mark.parametrize("fails", ["keep_on", "_STEPS"])
async def test_a_connection_that_fails_as_it_is_opened_is_counted_no_more(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    migrate.upgrade(url)
    held = File(file)
    handle = sqlite.Handle(held, 0.1, 64, query_only=True)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, fails, None)
        for _ in range(2):
            with pytest.raises(TypeError):
                handle.connection()
            assert held._open == 0
            assert not Path(f"{file}-wal").exists()  # the last to close removes it
    handle.connection()
    assert held._open == 1
    handle.close()
    assert held._open == 0


async def test_a_connection_to_what_cannot_be_looked_at_is_counted_no_more(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.upgrade(url)
    held = File(file)
    with monkeypatch.context() as patch:
        _cannot_be_looked_at(patch, file, errno.EIO)
        with pytest.raises(FileGone):
            held.open(0.1, query_only=True)
    assert held._open == 0
    raw = held.open(0.1, query_only=True)
    held.closes(raw)
    raw.close()


@pytest.mark.parametrize("beside", ["", "-wal"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
async def test_what_cannot_be_looked_at_is_not_called_deleted(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch, beside: str, number: int
) -> None:
    async with opened(url) as database:
        await database.write(add(1))
        with monkeypatch.context() as patch, structlog.testing.capture_logs() as lines:
            _cannot_be_looked_at(patch, Path(f"{file}{beside}"), number)
            assert [await _refused(database, number) for number in (2, 3)] == [NOT_SEEN] * 2
        assert lines[0]["cause"] == f"FileGone: [Errno {number}] {os.strerror(number)}: '{file}{beside}'"
        assert await database.write(add(4)) == 4


def _cannot_be_looked_at(patch: pytest.MonkeyPatch, path: Path, number: int) -> None:
    stat = os.stat

    def refuses(looked_at: Any, **options: Any) -> os.stat_result:
        if looked_at == str(path):
            raise OSError(number, os.strerror(number), looked_at)
        return stat(looked_at, **options)

    patch.setattr(os, "stat", refuses)


async def test_a_file_below_what_is_no_directory_is_called_gone(file: Path) -> None:
    folder = file.parent / "folder"
    folder.mkdir()
    async with opened(f"sqlite:///{folder}/scimd.db") as database:
        await database.write(add(1))
        folder.rename(file.parent / "elsewhere")
        folder.touch()
        assert await _refused(database, 2) == FILE_GONE


async def test_a_link_to_the_file_is_as_good(url: str, file: Path) -> None:
    link = file.with_name("link.db")
    link.symlink_to(file)
    async with opened(f"sqlite:///{link}") as database:
        assert await database.write(add(1)) == 1
        Path(f"{file}-wal").unlink()
        assert await _refused(database, 2) == LOG_GONE


async def test_nobody_but_a_migration_makes_the_file(url: str, file: Path) -> None:
    database = Database.open(url, PATIENT)
    assert await _refused(database, 1) == CANNOT_OPEN
    for read in (database.ping(), database.glance(count)):
        with pytest.raises(DatabaseUnavailable):
            await read
    await database.aclose()
    assert not file.exists()
    migrate.upgrade(url)
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_log_whose_file_is_gone_is_left_alone(url: str, file: Path) -> None:
    migrate.upgrade(url)
    database = Database.open(url, PATIENT)
    await database.ping()
    file.unlink()
    await database.aclose()
    log = Path(f"{file}-wal")
    left = log.read_bytes()
    for ask in (migrate.check, migrate.upgrade, migrate.is_in_use):
        with pytest.raises(DatabaseUnavailable, match="deleted or moved") as refused:
            ask(url)
        assert str(log) in refused.value.detail
    assert log.read_bytes() == left
    assert not file.exists()


async def test_a_directory_is_called_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}"
    for ask in (migrate.check, migrate.upgrade):
        with pytest.raises(DatabaseUnavailable) as refused:
            ask(url)
        assert refused.value.detail == IS_DIRECTORY
    database = Database.open(url, PATIENT)
    assert await _refused(database, 1) == IS_DIRECTORY
    await database.aclose()


async def test_the_log_is_read_into_memory_where_much_comes_after_a_pause_and_only_then(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(sys.platform == "linux", "only Linux is told what will be wanted")
    asked: list[tuple[str, int, int]] = []
    told = os.posix_fadvise

    def recorded(fd: int, start: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED
        asked.append((os.readlink(f"/proc/self/fd/{fd}"), start, length))
        told(fd, start, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", recorded)
    async with opened(url) as database:
        await database.write(add(1))
        monkeypatch.setattr(sqlite_log, "_BURST_ROWS", 2)
        for number in range(2, 6):
            await database.write(add(number))  # much, and no pause
        monkeypatch.setattr(sqlite_log, "_PAUSE_S", 0.0)
        for number in range(6, 10):
            await database.write(add(number))  # one at a time, each after a pause
        assert asked == []
        monkeypatch.setattr(sqlite_log, "_PAUSE_S", 5.0)
        await database.write(add(10))
        assert asked == []
        carrier = database._doors._writer._hand()._carrier  # type: ignore[union-attr]
        for number in (11, 12):  # the second is one of those that it was done for
            await database.write(add(number))
            carrier.close()
        assert {name for name, _, _ in asked} == {f"{file}-wal"}
        assert [start for _, start, _ in asked] == [at << 20 for at in range(0, 64, 2)]
        assert sum(length for _, _, length in asked) == 64 << 20


def test_log_is_carried_over_also_after_the_connection_was_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are counted by connection."""
    carried: list[int] = []
    carrier = Carrier(File(str(tmp_path / "scimd.db")), 1.0)
    for written in (10_000, 20_000, 5, 9_000):
        monkeypatch.setattr(carrier, "_carry", partial(carried.append, written))
        carrier.follow(written)
        carrier.close()
    assert carried == [10_000, 20_000, 9_000]
