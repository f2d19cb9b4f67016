"""What the tables' own kinds of columns promise, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    NullPool,
    Table,
    create_engine,
    insert,
    update,
)
from sqlalchemy.exc import IntegrityError

from scimd.db.engine import parse
from scimd.db.tables import columns

metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("n", Integer, primary_key=True),
    columns.key("key", null=True),
    columns.key("state"),
    columns.one_where("is_live", "state = 'live'"),
    Index("uq_things_key", "key", "is_live", unique=True),
)


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    engine = create_engine(parse(database_url), poolclass=NullPool)
    with engine.begin() as opened:
        metadata.create_all(opened)
        yield opened
    engine.dispose()


def _add(conn: Connection, n: int, key: str | None, state: str) -> bool:
    try:
        with conn.begin_nested():
            conn.execute(insert(things).values(n=n, key=key, state=state))
    except IntegrityError:
        return False
    return True


def test_only_rows_of_the_condition_are_unique(conn: Connection) -> None:
    assert _add(conn, 1, "a", "live")
    assert not _add(conn, 2, "a", "live")
    assert _add(conn, 3, "b", "live")
    assert _add(conn, 4, "a", "gone")
    assert _add(conn, 5, "a", "gone")
    assert _add(conn, 6, None, "live")
    assert _add(conn, 7, None, "live")


def test_the_condition_follows_the_row(conn: Connection) -> None:
    assert _add(conn, 1, "a", "live")
    assert _add(conn, 2, "a", "gone")
    with pytest.raises(IntegrityError), conn.begin_nested():
        conn.execute(update(things).where(things.c.n == 2).values(state="live"))
    conn.execute(update(things).where(things.c.n == 1).values(state="gone"))
    conn.execute(update(things).where(things.c.n == 2).values(state="live"))
    assert not _add(conn, 3, "a", "live")
