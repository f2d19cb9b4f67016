"""What was read, kept until anybody commits: SQLite proves at each use that nobody has.

``PRAGMA data_version`` changes with every commit by another connection, of this process or of any
other (https://sqlite.org/pragma.html#pragma_data_version), and a connection that only reads makes no
commits of its own. So what such a connection has read is true as long as the number is the same. It
is asked for once in each body, on the body's own snapshot.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from sqlalchemy import Connection

_KEY: Final = "scimd_kept"
_AT_MOST: Final = 4 << 20


class Kept:
    """Values by key. Together they hold ``at_most`` bytes, by their own word; then all are dropped."""

    __slots__ = ("_at_most", "_size", "_version", "values")

    def __init__(self, at_most: int = _AT_MOST) -> None:
        self.values: dict[Hashable, Any] = {}
        self._at_most = at_most
        self._size = 0
        self._version: int | None = None

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep a value of about ``size`` bytes."""
        if self._size + size > self._at_most:
            self.values.clear()
            self._size = 0
        self.values[key] = value
        self._size += size

    def as_of(self, version: int) -> None:
        """Drop everything, unless it was read from this very version of the data."""
        if version != self._version:
            self.values.clear()
            self._version, self._size = version, 0


def keep_on(conn: Connection) -> None:
    """Let bodies keep values on this connection, which must only ever read."""
    conn.execution_options(**{_KEY: (Kept(), conn.connection.dbapi_connection)})


def kept(conn: Connection) -> Kept:
    """What is kept on this connection and still true; empty where nothing can be kept.

    That is so for writers, whose own changes no number tells, and on PostgreSQL.
    """
    # The options are at hand, where ``conn.info`` asks the pool.
    held: tuple[Kept, Any] | None = (
        conn.get_execution_options().get(_KEY) if conn.dialect.name == "sqlite" else None
    )
    if held is None:
        return Kept()
    found, driver = held
    found.as_of(driver.execute("PRAGMA data_version").fetchone()[0])
    return found
