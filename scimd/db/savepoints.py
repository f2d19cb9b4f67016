"""A savepoint within a body's transaction, to which it goes back when what it did is not to stay.

On PostgreSQL past the driver, which would have the server forget all prepared statements of the connection at
a ROLLBACK, also to a savepoint: those that ``wire`` counts on, too.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from scimd.db.prepared import wire_of

_SET: Final = "SAVEPOINT body_so_far"
_BACK: Final = ("ROLLBACK TO SAVEPOINT body_so_far", "RELEASE SAVEPOINT body_so_far")


def set_savepoint(conn: Connection) -> None:
    """Of one transaction one at a time."""
    _say(conn, _SET)


def go_back(conn: Connection) -> None:
    """Undo all since the savepoint, which is then set no more."""
    for statement in _BACK:
        _say(conn, statement)


def _say(conn: Connection, statement: str) -> None:
    if conn.dialect.name != "postgresql":
        conn.exec_driver_sql(statement)
        return
    from scimd.db.wire import Query  # with the driver

    wire_of(conn).count(Query(statement, ()), ())
