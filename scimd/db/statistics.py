"""What PostgreSQL's planner has to know of a table before it can tell a good index from a bad one."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, text

#: Of a few pages every plan is quick.
_FEW_BYTES = 64 * 1024
_NEVER_LOOKED_AT = text(
    "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' "
    "AND reltuples < 0 AND pg_relation_size(oid) > :few ORDER BY relname"
)


def look_at_new_tables(conn: Connection, tried: Collection[str] = ()) -> list[str]:
    """Have PostgreSQL ANALYZE each table that has grown and was never looked at; gives their names.

    Its own daemon comes once a minute, and until then all that is known of a table is its size: of several
    indexes that begin with the organization any may be taken, and each look-up of a first sync reads all
    there is. From then on the daemon's turns are enough. ``tried``: tables to leave alone; a role that does
    not own them is told so in the server's log, each time that it asks.
    """
    names = [str(name) for name in conn.execute(_NEVER_LOOKED_AT, {"few": _FEW_BYTES}).scalars()]
    names = [name for name in names if name not in tried]
    for name in names:
        conn.execute(text(f'ANALYZE "{name}"'))
    return names
