"""Tables that have just been filled are looked at, once, so that PostgreSQL takes the right index."""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import Connection, text

from scimd.db.statistics import look_at_new_tables
from scimd.db.tables import people
from scimd.org.new_tables import NewTables
from tests.org.house import house, user
from tests.support.statistics import known, left_alone


async def test_a_table_that_has_grown_is_looked_at_once(postgres_url: str) -> None:
    async with house(postgres_url) as acme:
        write, read = acme.door.db.write, acme.door.db.read
        left_alone(postgres_url)
        assert await write(look_at_new_tables) == {}
        await acme.push(*(user(f"p{n}") for n in range(200)))
        assert await read(known) == -1.0
        assert "assertions" not in await write(lambda conn: look_at_new_tables(conn, ["assertions"]))
        assert (await write(look_at_new_tables))["assertions"]
        assert await read(known) > 0
        assert await write(look_at_new_tables) == {}
        assert len(await acme.rows(people)) == 200


async def test_a_table_whose_rows_are_not_committed_yet_is_looked_at_until_they_are(
    postgres_url: str,
) -> None:
    """Who fills it holds its transaction for long: what is seen until then would count as an empty table."""

    def rows(conn: Connection) -> float:
        return float(
            conn.execute(text("SELECT reltuples FROM pg_class WHERE relname = 'filling'")).scalar_one()
        )

    async with house(postgres_url) as acme:
        looking = NewTables(acme.door)
        with psycopg.connect(postgres_url) as somebody:
            somebody.execute("CREATE TABLE filling (value text) WITH (autovacuum_enabled = false)")
            somebody.commit()
            somebody.execute("INSERT INTO filling SELECT repeat('x', 99) FROM generate_series(1, 1000)")
            await looking.look()
            assert await acme.door.db.read(rows) == 0
        await looking.look()
        assert await acme.door.db.read(rows) == 1000


async def test_an_emptied_table_is_not_looked_at_for_ever(postgres_url: str) -> None:
    async with house(postgres_url) as acme:
        looking = NewTables(acme.door)
        with psycopg.connect(postgres_url) as somebody:
            somebody.execute("CREATE TABLE emptied (value text) WITH (autovacuum_enabled = false)")
            somebody.execute("INSERT INTO emptied SELECT repeat('x', 99) FROM generate_series(1, 1000)")
            somebody.execute("DELETE FROM emptied")
        for _ in range(20):
            await looking.look()
        assert looking._tried["emptied"] == 10
        assert await acme.door.db.write(look_at_new_tables) == {"emptied": False}


async def test_then_who_is_new_is_looked_up_by_a_key_and_not_among_all(postgres_url: str) -> None:
    """Of the indexes that begin with organization and source, the one that goes on with the key."""
    query = text(
        "EXPLAIN (FORMAT JSON) SELECT 1 FROM assertions WHERE org_id = :org AND source_id = :source "
        "AND user_name_key = ANY (ARRAY['a', 'b', 'c', 'd'])"
    )
    async with house(postgres_url) as acme:
        await acme.push(*(user(f"p{n}") for n in range(1000)))
        await acme.door.db.write(look_at_new_tables)
        of = {"org": acme.org_id, "source": acme.scim}
        plan: Any = await acme.door.db.read(lambda conn: conn.execute(query, of).scalar_one())
        assert "uq_assertions_user_name_key" in repr(plan)
