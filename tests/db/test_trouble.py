"""A database that cannot be used: callers are told so, and the log is told why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog
from structlog.typing import EventDict

from scimd.core.errors import DatabaseUnavailable, StorageFull
from scimd.db import trouble
from scimd.db.engine import Database
from scimd.db.faults import TOO_SLOW
from scimd.db.sqlite_file import make
from scimd.db.trouble import Trouble
from scimd.db.work import STOPPING
from tests.support.guard import free_port
from tests.support.patience import PATIENT


def _said(lines: list[EventDict]) -> list[str]:
    return [line["event"] for line in lines]


async def test_why_and_once_however_many_meet_it_and_again_when_it_is_over(tmp_path: Path) -> None:
    folder = tmp_path / "volume"
    database = Database.open(f"sqlite:///{folder / 'scimd.db'}", PATIENT)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable):
                await database.ping()
        folder.mkdir()
        make(folder / "scimd.db")
        await asyncio.gather(database.ping(), database.ping())
    await database.aclose()
    first, second = lines
    assert (first["event"], first["log_level"], first["code"]) == (
        "database_unavailable",
        "error",
        "database_unavailable",
    )
    assert "OperationalError: unable to open database file" in first["cause"]
    assert (second["event"], second["log_level"]) == ("database_recovered", "info")


async def test_what_lasts_is_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "SAY_AGAIN_S", 0.0)
    database = Database.open(f"sqlite:///{tmp_path / 'volume' / 'scimd.db'}", PATIENT)
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await database.ping()
    await database.aclose()
    assert _said(lines) == ["database_unavailable"] * 2


async def test_it_is_postgresqls_own_word_and_no_password() -> None:
    port = free_port()
    database = Database.open(f"postgresql://scimd:tulips@127.0.0.1:{port}/scimd", PATIENT)
    with structlog.testing.capture_logs() as lines, pytest.raises(DatabaseUnavailable):
        await database.ping()
    await database.aclose()
    [line] = lines
    assert f"port {port} failed: Connection refused" in line["cause"]
    assert "tulips" not in str(line)


async def test_reading_does_not_end_the_trouble_of_who_writes() -> None:
    writing, reading = Trouble("writing"), Trouble("reading")
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            writing.met(StorageFull())
            reading.over()
        writing.over()
    assert [(line["event"], line["doing"]) for line in lines] == [
        ("database_unavailable", "writing"),
        ("database_recovered", "writing"),
    ]


async def test_a_statement_that_takes_too_long_is_no_trouble() -> None:
    with structlog.testing.capture_logs() as lines:
        Trouble("reading").met(DatabaseUnavailable(why=TOO_SLOW))
    assert lines == []


async def test_the_end_of_scimd_is_no_trouble(tmp_path: Path) -> None:
    make(tmp_path / "scimd.db")
    database = Database.open(f"sqlite:///{tmp_path / 'scimd.db'}", PATIENT)
    await database.ping()
    await database.aclose()
    with structlog.testing.capture_logs() as lines, pytest.raises(DatabaseUnavailable) as refused:
        await database.ping()
    assert refused.value.detail == STOPPING
    assert lines == []
