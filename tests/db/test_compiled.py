"""What statements leave in memory, and with the server, is bounded by how long they are."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, or_, select, text

from tests.db.schema import items, opened

pytestmark = pytest.mark.usefixtures("compiled_by_each")
_LONG = 800
_SHORT = 3


def _asked(terms: int, different: int) -> Any:
    """A statement of so many terms, whose text no other number gives."""
    return select(items.c.id).where(
        or_(*(items.c.name == "x" if different >> n & 1 else items.c.name != "x" for n in range(terms)))
    )


def _texts(conn: Connection) -> list[int]:
    return [len(each.string) for each in conn.get_execution_options()["compiled_cache"].values()]


async def test_a_statement_that_is_asked_again_is_compiled_once_and_a_long_one_is_not_kept(
    database_url: str,
) -> None:
    def ask(conn: Connection) -> tuple[list[int], list[int]]:
        for _ in range(2):
            conn.execute(_asked(_SHORT, 1)).all()
        short = _texts(conn)
        for n in range(20):
            conn.execute(_asked(_LONG, n)).all()
        return short, _texts(conn)

    async with opened(database_url) as database:
        short, after = await database.read(ask)
    assert len(short) == 1
    assert after == short


async def test_many_statements_are_kept_up_to_a_size(database_url: str) -> None:
    def ask(conn: Connection) -> list[int]:
        for n in range(1, 300):
            conn.execute(_asked(100, n)).all()
        return _texts(conn)

    async with opened(database_url) as database:
        kept = await database.read(ask)
    assert len(kept) > 10
    assert sum(kept) <= 250_000


async def test_the_server_keeps_no_plan_of_a_long_statement(database_url: str) -> None:
    def ask(conn: Connection) -> Any:
        for _ in range(8):
            conn.execute(_asked(_LONG, 5)).all()
            conn.execute(_asked(_SHORT, 5)).all()
        return conn.execute(text("SELECT max(length(statement)) FROM pg_prepared_statements")).scalar()

    async with opened(database_url) as database:
        if database.dialect == "postgresql":
            assert 0 < await database.read(ask) < 1000
