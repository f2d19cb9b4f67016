"""What PostgreSQL knows of its tables, where its own daemon does not come and look."""

from __future__ import annotations

import psycopg
from sqlalchemy import Connection, text

_ROWS = text("SELECT reltuples FROM pg_class WHERE oid = 'assertions'::regclass")


def known(conn: Connection) -> float:
    """How many entries there are, as far as it was looked; -1 where it was not."""
    return float(conn.execute(_ROWS).scalar_one())


def left_alone(url: str) -> None:
    """The server's own daemon does not come.

    By a connection of its own: after an ALTER the driver has the server forget all that was prepared.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE assertions SET (autovacuum_enabled = false)")
