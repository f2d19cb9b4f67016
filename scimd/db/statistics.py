"""What PostgreSQL's planner has to know of a table before it can tell a good index from a bad one."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, text

#: Of a few pages every plan is quick.
_FEW_BYTES = 64 * 1024
_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' "
)
_LARGE = _TABLES + "AND pg_relation_size(oid) > :few AND pg_has_role(relowner, 'USAGE') "
_NOTHING_KNOWN = text(_LARGE + "AND reltuples <= 0 ORDER BY relname")
#: How many rows there are is counted as they are committed; what they are like is not.
_GROWN = text(
    _LARGE + "AND reltuples >= 0 AND pg_stat_get_live_tuples(oid) > 10 * reltuples ORDER BY relname"
)
_NO_ROW_SEEN = text(_TABLES + "AND reltuples = 0 AND relname = ANY(:names)")


def look_at_new_tables(conn: Connection, tried: Collection[str] = ()) -> dict[str, bool]:
    """Have PostgreSQL ANALYZE each table that has grown and of which it knows nothing, or only what it was
    like with a tenth of its rows; gives these, and of each whether that is done with: not where no row was to
    be seen, as whoever fills it has not committed.

    Its own daemon comes once a minute, and until then all that is known of a table is its size: of several
    indexes that begin with the organization any may be taken, and each look-up of a first sync reads all
    there is. A queue that was empty when the daemon came counts as a table of one row, however many have come
    since: each of 100,000 who were to be settled was looked for among all others. ``tried``: tables of which
    nothing is known, to leave alone. Those that belong to another role are that role's.
    """
    names = [str(name) for name in conn.execute(_NOTHING_KNOWN, {"few": _FEW_BYTES}).scalars()]
    grown = [str(name) for name in conn.execute(_GROWN, {"few": _FEW_BYTES}).scalars()]
    names = [name for name in names if name not in tried and name not in grown] + grown
    for name in names:
        conn.execute(text(f'ANALYZE "{name}"'))
    unseen = set(conn.execute(_NO_ROW_SEEN, {"names": names}).scalars()) if names else set()
    return {name: name not in unseen for name in names}
