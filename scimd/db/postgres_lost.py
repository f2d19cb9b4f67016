"""Which connections are lost though PostgreSQL answers: it waits for us, and we for it.

A proxy or a fail-over may leave old connections open that pass nothing on, while new ones work. What the
server says of its own processes tells these from a statement that takes long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import psycopg
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from scimd.db.work import Tuning, connect_args

OWN_PROCESS = "SELECT pg_backend_pid()"
#: An answer may just be on its way.
_WAITS_FOR_US = """
SELECT pid, state LIKE 'idle%%' AND clock_timestamp() - state_change > interval '0.5 s'
FROM pg_stat_activity WHERE pid = ANY(%s)
"""


def own_process(connection: Any, said: int) -> int | None:
    """The server's process behind the connection, as it ``said``; None behind a pooler, which makes up a
    number and has many processes."""
    return said if connection.info.backend_pid == said else None


def can_tell(url: URL) -> bool:
    """Whether another connection leads to the same server."""
    return "," not in (url.host or "") and "host" not in url.query


async def lost(url: URL, tuning: Tuning, processes: Collection[int]) -> set[int]:
    """Those of them that wait for us, or are no more. None where that cannot be found out in time."""
    dialect = PGDialect_psycopg(dbapi=psycopg)  # type: ignore[no-untyped-call]
    _, options = dialect.create_connect_args(url)  # type: ignore[no-untyped-call]
    options |= connect_args(url, tuning)
    try:
        async with asyncio.timeout(tuning.silence_s * 0.8):
            connection = await psycopg.AsyncConnection.connect(**options, autocommit=True)
            try:
                answer = await connection.execute(_WAITS_FOR_US, (list(processes),))
                there = dict(await answer.fetchall())
            finally:
                await connection.close()
    except (psycopg.Error, OSError, TimeoutError):
        return set()
    return {process for process in processes if there.get(process, True)}
