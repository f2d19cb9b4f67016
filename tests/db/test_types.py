"""Column types mean the same on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, Text, insert, select, text
from sqlalchemy.exc import StatementError

from scimd.db.engine import Database
from scimd.db.types import Bytes, Id, Json, KeyText, UtcDateTime, utc_text

metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", KeyText, index=True),
    Column("at", UtcDateTime),
    Column("doc", Json),
    Column("raw", Bytes),
    Column("note", Text),
)


async def _written(url: str, rows: list[dict[str, Any]], then: Any) -> Any:
    database = Database.open(url)

    def body(conn: Connection) -> Any:
        metadata.create_all(conn)
        conn.execute(insert(things), rows)
        return then(conn)

    try:
        return await database.write(body)
    finally:
        await database.aclose()


async def test_a_moment_comes_back_in_utc_to_the_microsecond(database_url: str) -> None:
    summer = timezone(timedelta(hours=5, minutes=45))
    moments = [
        datetime(2025, 1, 31, 9, 0, 0, 1, UTC),
        datetime(2025, 1, 31, 9, 0, tzinfo=summer),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    ]
    rows = [{"id": str(n), "at": moment} for n, moment in enumerate(moments)]

    def then(conn: Connection) -> Any:
        return conn.execute(select(things.c.at).order_by(things.c.id)).scalars().all()

    found = await _written(database_url, rows, then)
    assert found == moments
    assert {moment.tzinfo for moment in found} == {UTC}


async def test_moments_sort_and_compare_as_moments(database_url: str) -> None:
    base = datetime(2025, 6, 1, 12, tzinfo=UTC)
    steps = [timedelta(0), timedelta(microseconds=1), timedelta(seconds=1), timedelta(days=-1)]
    rows = [{"id": str(n), "at": base + step} for n, step in enumerate(steps)]

    def then(conn: Connection) -> Any:
        ordered = conn.execute(select(things.c.id).order_by(things.c.at)).scalars().all()
        after = conn.execute(select(things.c.id).where(things.c.at > base).order_by(things.c.id)).scalars()
        return ordered, after.all()

    assert await _written(database_url, rows, then) == (["3", "0", "1", "2"], ["1", "2"])


async def test_a_moment_without_a_zone_is_refused(database_url: str) -> None:
    naive = datetime(2025, 1, 1)  # noqa: DTZ001 - what is refused
    with pytest.raises(StatementError, match="time zone"):
        await _written(database_url, [{"id": "1", "at": naive}], lambda conn: None)


def test_the_text_of_a_moment_is_of_one_width() -> None:
    assert utc_text(datetime(2025, 1, 31, 9, tzinfo=UTC)) == "2025-01-31T09:00:00.000000Z"
    assert len(utc_text(datetime(9, 1, 1, tzinfo=UTC))) == 27


async def test_a_document_comes_back_as_it_was_sent(database_url: str) -> None:
    documents: list[Any] = [
        {"name": {"formatted": "Žofie 𝔄 \u200d"}, "n": [1, 2.5, None, True], "%s :p": "%(x)s"},
        [],
        {},
        None,
        ["a'b", '"'],
    ]
    rows = [{"id": str(n), "doc": document} for n, document in enumerate(documents)]

    def then(conn: Connection) -> Any:
        missing = conn.execute(select(things.c.id).where(things.c.doc.is_(None))).scalars().all()
        return conn.execute(select(things.c.doc).order_by(things.c.id)).scalars().all(), missing

    assert await _written(database_url, rows, then) == (documents, ["3"])


async def test_many_documents_can_be_inserted_and_given_back_at_once(database_url: str) -> None:
    rows = [{"id": f"{n:03}", "doc": {"n": n}, "raw": bytes([n])} for n in range(100)]
    database = Database.open(database_url)

    def body(conn: Connection) -> Any:
        metadata.create_all(conn)
        back = insert(things).returning(things.c.doc, things.c.raw, sort_by_parameter_order=True)
        return [tuple(row) for row in conn.execute(back, rows)]

    try:
        assert await database.write(body) == [({"n": n}, bytes([n])) for n in range(100)]
    finally:
        await database.aclose()


async def test_keys_sort_by_code_point(database_url: str) -> None:
    keys = ["b", "a", "B", "_", "é", "ß", "a b", "ab", "Ä", "\U0001f600", "\uffff"]
    rows = [{"id": str(n), "key": key} for n, key in enumerate(keys)]

    def then(conn: Connection) -> Any:
        ordered = conn.execute(select(things.c.key).order_by(things.c.key)).scalars().all()
        above = conn.execute(select(things.c.key).where(things.c.key > "a").order_by(things.c.key))
        return ordered, above.scalars().all()

    ordered, above = await _written(database_url, rows, then)
    assert ordered == sorted(keys)
    assert above == [key for key in sorted(keys) if key > "a"]


async def test_keys_and_ids_have_the_collation_of_code_points_on_postgresql(postgres_url: str) -> None:
    def then(conn: Connection) -> Any:
        query = (
            "SELECT column_name FROM information_schema.columns "
            "WHERE collation_name = 'C' AND table_name = 'things'"
        )
        return set(conn.execute(text(query)).scalars())

    assert await _written(postgres_url, [{"id": "1"}], then) == {"id", "key"}
