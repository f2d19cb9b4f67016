"""A look into the database beside the program, on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import sqlite3

import psycopg

from tests.support.patience import AT_MOST_S


def count(database: str, table: str) -> int:
    """How many rows a table has."""
    query = f"SELECT count(*) FROM {table}"
    if not database.startswith("sqlite"):
        with psycopg.connect(database) as connection:
            row = connection.execute(query.encode()).fetchone()
            assert row is not None
            return int(row[0])
    with contextlib.closing(sqlite3.connect(database.removeprefix("sqlite:///"), timeout=AT_MOST_S)) as file:
        return int(file.execute(query).fetchone()[0])


def let_leases_run_out(database: str) -> None:
    """What half a minute does when the holder is dead."""
    _change(database, "UPDATE leases SET until = (SELECT min(created_at) FROM organizations)")


def let_mails_be_due(database: str) -> None:
    """What a minute or two do for mails that were put off."""
    _change(database, "UPDATE deliveries SET due_at = (SELECT min(created_at) FROM organizations)")


def _change(database: str, statement: str) -> None:
    if not database.startswith("sqlite"):
        with psycopg.connect(database) as connection:
            connection.execute(statement.encode())
        return
    with contextlib.closing(sqlite3.connect(database.removeprefix("sqlite:///"), timeout=AT_MOST_S)) as file:
        file.execute(statement)
        file.commit()
