"""Databases of PostgreSQL as their admins make them: others' tables, encodings, settings, rights."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import Connection, make_url, text

from scimd.core.errors import DatabaseUnavailable
from scimd.db import migrate
from scimd.db.faults import LACKS_RIGHTS, NO_SCHEMA, NO_TABLES, OTHER_SESSION, READ_ONLY, postgres_refusal
from tests.db.schema import opened
from tests.support.postgres import PostgresServer

_THERE = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """What the last of them gives, if anything."""
    with psycopg.connect(url, autocommit=True) as conn:
        for statement in statements:
            found = conn.execute(statement)
        return found.fetchall() if found.description else []


def alter(url: str, setting: str) -> None:
    run(url, f'ALTER DATABASE "{make_url(url).database}" {setting}')


@pytest.fixture
def bare_url(postgres_server: PostgresServer) -> str:
    return postgres_server.create_database()


@pytest.mark.parametrize("version", ["a1b2c3d4e5f6", "0002", None])
def test_another_programs_tables_are_left_as_they_are(bare_url: str, version: str | None) -> None:
    if version is None:
        run(bare_url, "CREATE TABLE people (id int)")
    else:
        run(
            bare_url,
            "CREATE TABLE alembic_version (version_num varchar(32))",
            f"INSERT INTO alembic_version VALUES ('{version}')",
            "CREATE TABLE organizations (id int)",
        )
    before = run(bare_url, _THERE)
    with pytest.raises(migrate.NotOurs, match="another program's"):
        migrate.upgrade(bare_url)
    assert migrate.check(bare_url) == "foreign"
    assert run(bare_url, _THERE) == before


def test_tables_of_other_names_stand_in_nobodys_way(bare_url: str) -> None:
    run(bare_url, "CREATE TABLE songs (title text)")
    migrate.upgrade(bare_url)
    assert migrate.check(bare_url) == "current"


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_an_encoding_that_cannot_hold_every_name_is_refused(bare_url: str, encoding: str) -> None:
    url = make_url(bare_url).set(database=f"of_{encoding.lower()}").render_as_string()
    run(bare_url, f"CREATE DATABASE of_{encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    for look in (migrate.check, migrate.upgrade):
        with pytest.raises(migrate.NotUnicode, match=f"encoding {encoding}.*ENCODING 'UTF8'"):
            look(url)


async def test_times_and_names_come_back_whatever_the_database_has_set(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    alter(postgres_url, "SET datestyle = 'German, DMY'")
    alter(postgres_url, "SET client_encoding = 'LATIN1'")

    def body(conn: Connection) -> tuple[object, ...]:
        query = text("SELECT :name AS name, timestamptz '2026-02-03T04:05:06Z' AS at")
        row = conn.execute(query, {"name": "漢字"}).one()
        return row.name, row.at.isoformat()[:10]

    async with opened(postgres_url) as database:
        assert await database.read(body) == ("漢字", "2026-02-03")


async def test_nothing_is_compiled_whatever_the_database_has_set(postgres_url: str) -> None:
    """A filter of 20 terms takes 4 s to compile and 0.1 to run."""
    alter(postgres_url, "SET jit = on")

    def body(conn: Connection) -> object:
        return conn.execute(text("SELECT current_setting('jit')")).scalar_one()

    async with opened(postgres_url) as database:
        assert await database.read(body) == "off"


def test_what_a_role_may_not_do_is_said_before_and_when_it_is_tried(bare_url: str) -> None:
    run(bare_url, "DROP ROLE IF EXISTS tenant", "CREATE ROLE tenant LOGIN")
    run(bare_url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    tenant = make_url(bare_url).set(username="tenant").render_as_string()
    for tried in (migrate.prove_writable, migrate.upgrade):
        with pytest.raises(DatabaseUnavailable) as refusal:
            tried(tenant)
        assert refusal.value.detail == LACKS_RIGHTS
    run(bare_url, "GRANT USAGE, CREATE ON SCHEMA public TO tenant")
    migrate.prove_writable(tenant)
    migrate.upgrade(tenant)
    run(
        bare_url,
        f"REASSIGN OWNED BY tenant TO {make_url(bare_url).username}",
        "REVOKE ALL ON organizations FROM tenant",
    )
    for tried in (migrate.prove_writable, migrate.check):
        with pytest.raises(DatabaseUnavailable) as refusal:
            tried(tenant)
        assert refusal.value.detail == LACKS_RIGHTS
    run(bare_url, "DROP OWNED BY tenant", "DROP ROLE tenant")


@pytest.mark.parametrize("setting", ["SET default_transaction_read_only = on", "SET search_path = nowhere"])
def test_a_database_that_cannot_be_written_is_told_before(bare_url: str, setting: str) -> None:
    alter(bare_url, setting)
    for tried in (migrate.prove_writable, migrate.upgrade):
        with pytest.raises(DatabaseUnavailable) as refusal:
            tried(bare_url)
        assert refusal.value.detail == (READ_ONLY if "read_only" in setting else NO_SCHEMA)


async def test_tables_that_may_not_be_read_or_are_gone_are_no_defect(postgres_url: str) -> None:
    async with opened(postgres_url) as database:
        await database.ping()
        run(postgres_url, "ALTER TABLE organizations RENAME TO elsewhere")
        with pytest.raises(DatabaseUnavailable) as refusal:
            await database.ping()
        assert refusal.value.detail == NO_TABLES


def test_a_pooler_that_keeps_no_sessions_is_named() -> None:
    refusal = postgres_refusal(psycopg.errors.DuplicatePreparedStatement(), writing=True)
    assert refusal is not None
    assert refusal.detail == OTHER_SESSION


async def test_no_statement_runs_in_the_place_of_another_connections(postgres_url: str) -> None:
    """Where a pooler hands on the server's sessions, with what was prepared in them."""

    def prepared(conn: Connection) -> set[str]:
        for _ in range(10):
            conn.execute(text("SELECT :n + 1"), {"n": 1})
        return set(conn.execute(text("SELECT name FROM pg_prepared_statements WHERE NOT from_sql")).scalars())

    async with opened(postgres_url) as one, opened(postgres_url) as other:
        ours, theirs = await one.write(prepared), await other.write(prepared)
    drivers = {name for name in ours if name.startswith("_pg3_")}
    assert drivers
    assert not drivers & theirs
