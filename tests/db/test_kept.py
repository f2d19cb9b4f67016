"""What is kept is true: whoever commits, from wherever, ends it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from scimd.db.engine import Database
from scimd.db.kept import Kept, kept


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    made = tmp_path / "kept.db"
    with sqlite3.connect(made) as raw:
        raw.execute("CREATE TABLE t (n INTEGER)")
    return made


def _keep(conn: Connection) -> list[Any]:
    known = kept(conn)
    before = list(known.values)
    known.put("seen", True, 10)
    return before


async def test_values_are_kept_until_anybody_commits(path: Path) -> None:
    db = Database.open(f"sqlite:///{path}")
    try:
        assert await db.glance(_keep) == []
        assert await db.glance(_keep) == ["seen"]
        await db.write(lambda conn: conn.exec_driver_sql("INSERT INTO t VALUES (1)"))
        assert await db.glance(_keep) == [], "the process's own writer"
        assert await db.glance(_keep) == ["seen"]
        with sqlite3.connect(path) as other:
            other.execute("INSERT INTO t VALUES (2)")
        assert await db.glance(_keep) == [], "another process"
    finally:
        await db.aclose()


async def test_a_writer_keeps_nothing(path: Path) -> None:
    db = Database.open(f"sqlite:///{path}")
    try:
        assert await db.write(_keep) == []
        assert await db.write(_keep) == []
    finally:
        await db.aclose()


def test_what_is_kept_is_bounded() -> None:
    small = Kept(at_most=100)
    for n in range(11):
        small.put(n, n, 10)
    assert list(small.values) == [10]
