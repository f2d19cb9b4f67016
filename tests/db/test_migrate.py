"""The schema that migrations make is the one in ``db/tables``, whatever happens on the way."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, inspect, make_url, text

from scimd.core.errors import DatabaseUnavailable
from scimd.db import migrate
from scimd.db.engine import parse
from scimd.db.tables import metadata
from tests.support.patience import AT_MOST_S, until


@contextmanager
def looking(url: str) -> Iterator[Connection]:
    engine = create_engine(parse(url), poolclass=NullPool)
    with engine.begin() as conn:
        yield conn
    engine.dispose()


def schema(conn: Connection) -> dict[str, Any]:
    """Everything that a comparison by alembic would pass over, too: checks, defaults, triggers."""
    look = inspect(conn)
    tables = [name for name in look.get_table_names() if name != "alembic_version"]
    if conn.dialect.name == "sqlite":
        triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    else:
        triggers = (
            "SELECT tgname, pg_get_triggerdef(t.oid), prosrc FROM pg_trigger t "
            "JOIN pg_proc p ON p.oid = tgfoid WHERE NOT tgisinternal ORDER BY tgname"
        )
    return {
        "triggers": [tuple(" ".join(part.split()) for part in row) for row in conn.execute(text(triggers))],
        "columns": {
            name: sorted(
                (
                    c["name"],
                    str(c["type"]),
                    c["nullable"],
                    str(c["default"]).strip("()"),
                    str(c.get("computed")),
                )
                for c in look.get_columns(name)
            )
            for name in tables
        },
        "checks": {
            name: sorted((c["name"], c["sqltext"]) for c in look.get_check_constraints(name))
            for name in tables
        },
        "keys": {name: look.get_pk_constraint(name)["constrained_columns"] for name in tables},
        "uniques": {name: sorted(str(u) for u in look.get_unique_constraints(name)) for name in tables},
        "indexes": {name: sorted(map(_told, look.get_indexes(name))) for name in tables},
    }


def _told(index: Any) -> str:
    options = {key: str(value) for key, value in index.pop("dialect_options", {}).items()}
    return f"{index} {options}"


def test_migrations_and_tables_agree(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    with looking(empty_database_url) as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": migrate.compares})
        assert compare_metadata(context, metadata) == []
        migrated = schema(conn)
        metadata.drop_all(conn)
        if conn.dialect.name == "postgresql":
            conn.execute(text("DROP FUNCTION seats_never_overbooked"))
            conn.execute(text("DROP FUNCTION pools_never_overbooked"))
        metadata.create_all(conn)
        assert migrated == schema(conn)


def test_migrations_and_tables_tell_sqlite_the_same(tmp_path: Path) -> None:
    told = text("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, idx")
    url = f"sqlite:///{tmp_path / 'scimd.db'}"
    migrate.upgrade(url)
    with looking(url) as conn:
        migrated = conn.execute(told).all()
        metadata.drop_all(conn)
        metadata.create_all(conn)
        assert migrated == conn.execute(told).all() != []
        indexes = {row[0] for row in conn.execute(text("SELECT name FROM sqlite_master"))}
        assert {row.idx for row in migrated} <= indexes


def test_an_upgrade_is_made_once(empty_database_url: str) -> None:
    assert migrate.check(empty_database_url) == "empty"
    migrate.upgrade(empty_database_url)
    assert migrate.check(empty_database_url) == "current"
    assert migrate.current(empty_database_url) == migrate.head()
    migrate.upgrade(empty_database_url)
    assert migrate.check(empty_database_url) == "current"


def test_a_newer_schema_is_refused_with_a_sentence(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    with looking(empty_database_url) as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrate.check(empty_database_url) == "ahead"
    with pytest.raises(migrate.SchemaTooNew, match="has the schema 9999"):
        migrate.upgrade(empty_database_url)


def test_a_schema_that_lacks_something_is_refused_by_what_it_lacks(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    with looking(empty_database_url) as conn:
        conn.execute(text("DROP TABLE notifications"))
        conn.execute(text("ALTER TABLE sources DROP COLUMN paused_by_quarantine"))
        before = schema(conn)
    for refuse in (migrate.check, migrate.upgrade):
        with pytest.raises(
            migrate.SchemaIncomplete,
            match=r"lacks the table notifications, the column sources\.paused_by_quarantine: .* name another",
        ):
            refuse(empty_database_url)
    with looking(empty_database_url) as conn:
        assert schema(conn) == before


def test_what_others_keep_in_the_database_is_not_looked_at(tmp_path: Path) -> None:
    """Such as a table of a module that only their program loads."""
    url = f"sqlite:///{tmp_path / 'scimd.db'}"
    migrate.upgrade(url)
    with closing(sqlite3.connect(tmp_path / "scimd.db")) as raw:
        raw.execute("PRAGMA writable_schema = ON")
        theirs = ("table", "places", "places", 0, "CREATE VIRTUAL TABLE places USING no_such_module(at)")
        raw.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", theirs)
        raw.commit()
    assert migrate.check(url) == "current"


def test_a_counter_of_32_bits_is_refused(empty_postgres_url: str) -> None:
    """Versions go on by millions: it would be full after some hundred changes of one person."""
    migrate.upgrade(empty_postgres_url)
    with looking(empty_postgres_url) as conn:
        conn.execute(text("ALTER TABLE assertions ALTER COLUMN version TYPE integer"))
    with pytest.raises(
        migrate.SchemaIncomplete, match=r"lacks the column assertions\.version of 64 bits: a build"
    ):
        migrate.upgrade(empty_postgres_url)


def test_an_older_schema_is_behind_and_brought_up(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.upgrade(empty_database_url)
    _with_next(tmp_path, monkeypatch, "op.get_bind().exec_driver_sql('CREATE TABLE later (id integer)')")
    assert migrate.check(empty_database_url) == "behind"
    migrate.upgrade(empty_database_url)
    assert migrate.check(empty_database_url) == "current"
    with looking(empty_database_url) as conn:
        assert inspect(conn).has_table("later")


def test_a_failed_migration_leaves_the_schema_as_it_was(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_next(tmp_path, monkeypatch, "raise ZeroDivisionError")
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(empty_database_url)
    assert migrate.check(empty_database_url) == "empty"
    with looking(empty_database_url) as conn:
        assert inspect(conn).get_table_names() == []


def test_what_stands_in_the_way_of_a_migration_is_named(empty_database_url: str) -> None:
    """Which is no table, by which another program's database is known."""
    if empty_database_url.startswith("sqlite"):
        migrate.make(migrate.sqlite_path(parse(empty_database_url)))
    with looking(empty_database_url) as conn:
        conn.execute(text("CREATE VIEW people AS SELECT 1 AS id"))
    with pytest.raises(migrate.NotMigrated, match=r"nothing was changed. .* already exists\. Mend that"):
        migrate.upgrade(empty_database_url)
    with looking(empty_database_url) as conn:
        assert inspect(conn).get_table_names() == []


def test_no_limit_and_no_isolation_of_a_role_is_in_the_way_of_who_waits_for_anothers_migration(
    empty_postgres_url: str,
) -> None:
    name = make_url(empty_postgres_url).database
    with looking(empty_postgres_url) as conn:
        for setting in (
            "statement_timeout = '300ms'",
            "lock_timeout = '300ms'",
            "idle_in_transaction_session_timeout = '300ms'",
            "default_transaction_isolation = 'serializable'",
        ):
            conn.execute(text(f'ALTER DATABASE "{name}" SET {setting}'))
    with ThreadPoolExecutor(2) as threads:
        with looking(empty_postgres_url) as conn:
            conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrate._LOCK})
            both = [threads.submit(migrate.upgrade, empty_postgres_url) for _ in range(2)]
            time.sleep(1)
        for each in both:
            each.result(AT_MOST_S)
    assert migrate.check(empty_postgres_url) == "current"


def test_a_killed_migration_has_not_happened_and_is_made_again(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "half-way"
    with monkeypatch.context() as patch:
        _with_next(tmp_path, patch, f"import time; open({str(flag)!r}, 'w').close(); time.sleep(600)")
        process = multiprocessing.get_context("fork").Process(
            target=migrate.upgrade, args=(empty_database_url,)
        )
        process.start()
        until(flag.exists)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        process.close()
    migrate.upgrade(empty_database_url)
    assert migrate.check(empty_database_url) == "current"


def test_processes_that_migrate_at_once_take_turns(empty_database_url: str) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=migrate.upgrade, args=(empty_database_url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(AT_MOST_S)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert migrate.check(empty_database_url) == "current"


def test_a_file_that_is_no_database_is_named_so(tmp_path: Path) -> None:
    file = tmp_path / "scimd.db"
    file.write_bytes(b"this is a letter to the editor\n" * 200)
    with pytest.raises(DatabaseUnavailable, match="no SQLite database"):
        migrate.upgrade(f"sqlite:///{file}")
    assert file.read_bytes().startswith(b"this is a letter")


def _with_next(folder: Path, patch: pytest.MonkeyPatch, statement: str) -> None:
    """Let a later version exist."""
    scripts = folder / "migrations"
    shutil.copytree(migrate._SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "0999_next.py").write_text(
        f"from alembic import op\nrevision = '0999'\ndown_revision = {migrate.head()!r}\n"
        f"def upgrade():\n    {statement}\n"
    )
    patch.setattr(migrate, "_SCRIPTS", scripts)


def test_server_that_is_not_there_is_said_in_words_without_the_password() -> None:
    with pytest.raises(DatabaseUnavailable) as refusal:
        migrate.check("postgresql://scimd:canary-of-the-url@127.0.0.1:1/scimd")
    assert "cannot be reached" in refusal.value.detail
    assert "127.0.0.1" in refusal.value.detail
    assert "canary" not in refusal.value.detail
    assert "\n" not in refusal.value.detail
