"""What PostgreSQL's planner has to know of a table before it can tell a good index from a bad one."""

from __future__ import annotations

from sqlalchemy import Connection, text

#: Of a few pages every plan is quick.
_FEW_BYTES = 64 * 1024
_NEVER_LOOKED_AT = text(
    "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' "
    "AND reltuples < 0 AND pg_relation_size(oid) > :few ORDER BY relname"
)


def look_at_new_tables(conn: Connection) -> list[str]:
    """Have PostgreSQL ANALYZE each table that has grown and was never looked at; gives their names.

    Its own daemon comes once a minute, and until then all that is known of a table is its size: of several
    indexes that begin with the organization any may be taken, and each look-up of a first sync reads all
    there is. From then on the daemon's turns are enough.
    """
    names = [str(name) for name in conn.execute(_NEVER_LOOKED_AT, {"few": _FEW_BYTES}).scalars()]
    for name in names:
        conn.execute(text(f'ANALYZE "{name}"'))
    return names
