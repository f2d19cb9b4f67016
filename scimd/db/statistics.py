"""What PostgreSQL's planner has to know of a table before it can tell a good index from a bad one."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, text

#: Of a few pages every plan is quick.
_FEW_BYTES = 64 * 1024
_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' "
)
_NOTHING_KNOWN = text(_TABLES + "AND reltuples <= 0 AND pg_relation_size(oid) > :few ORDER BY relname")
_NO_ROW_SEEN = text(_TABLES + "AND reltuples = 0 AND relname = ANY(:names)")


def look_at_new_tables(conn: Connection, tried: Collection[str] = ()) -> dict[str, bool]:
    """Have PostgreSQL ANALYZE each table that has grown and of which it knows nothing; gives these, and of
    each whether that is done with: not where no row was to be seen, as whoever fills it has not committed.

    Its own daemon comes once a minute, and until then all that is known of a table is its size: of several
    indexes that begin with the organization any may be taken, and each look-up of a first sync reads all
    there is. From then on the daemon's turns are enough. ``tried``: tables to leave alone; a role that does
    not own them is told so in the server's log, each time that it asks.
    """
    names = [str(name) for name in conn.execute(_NOTHING_KNOWN, {"few": _FEW_BYTES}).scalars()]
    names = [name for name in names if name not in tried]
    for name in names:
        conn.execute(text(f'ANALYZE "{name}"'))
    unseen = set(conn.execute(_NO_ROW_SEEN, {"names": names}).scalars()) if names else set()
    return {name: name not in unseen for name in names}
