"""Which connections are lost though PostgreSQL answers: it waits for us, and we for it.

A proxy or a fail-over may leave old connections open that pass nothing on, while new ones work. What the
server says of its own processes tells these from a statement that takes long.

A connection's process is the number that was said as it was opened. A pooler makes one up, and behind a
balancer it may be another server that is asked: so a process that is not found says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import psycopg
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from scimd.db.work import Tuning, connect_args

#: An answer may just be on its way.
_WAIT_FOR_US = """
SELECT pid FROM pg_stat_activity
WHERE pid = ANY(%s) AND datname = current_database() AND usename = session_user
AND state LIKE 'idle%%' AND clock_timestamp() - state_change > interval '0.5 s'
"""


def own_process(connection: psycopg.BaseConnection[Any]) -> int | None:
    """The process behind the connection, by what was said at its start; None where nothing was."""
    return connection.info.backend_pid or None


def can_tell(url: URL) -> bool:
    """Whether another connection leads to the same server."""
    return "," not in (url.host or "") and "host" not in url.query


async def lost(url: URL, tuning: Tuning, processes: Collection[int]) -> set[int]:
    """Those of them that wait for us; none of them where that cannot be found out in time."""
    dialect = PGDialect_psycopg(dbapi=psycopg)  # type: ignore[no-untyped-call]
    _, options = dialect.create_connect_args(url)  # type: ignore[no-untyped-call]
    options |= connect_args(url, tuning)
    try:
        async with asyncio.timeout(tuning.silence_s * 0.8):
            connection = await psycopg.AsyncConnection.connect(**options, autocommit=True)
            try:
                answer = await connection.execute(_WAIT_FOR_US, (list(processes),))
                return {process async for (process,) in answer}
            finally:
                await connection.close()
    except (psycopg.Error, OSError, TimeoutError):
        return set()
