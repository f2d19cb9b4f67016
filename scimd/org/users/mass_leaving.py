"""The alarm over SCIM deactivations: they are never refused or delayed, but many at once are told of.

Counted in the source's row by the hour that begins with the first, against the limits that would hold
a connector's removals. All of them can be restored.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from scimd import log
from scimd.core.events import Event, EventKind
from scimd.core.people import SourceId
from scimd.core.sync.limits import Figures, Limits, Trip, TripKind, check
from scimd.db.tables import sources
from scimd.org import lately
from scimd.org.sources.sources import find
from scimd.org.tx import Tx

logger = log.get(__name__)
WITHIN = timedelta(hours=1)


def watch(tx: Tx) -> None:
    """Count who left in this transaction; record an alarm where their number passes the limits."""
    for source_id, n in sorted(tx.departures.items()):
        if n:
            _watch_one(tx, source_id, n)


def _watch_one(tx: Tx, source_id: SourceId, n: int) -> None:
    column = sources.c
    mine = (column.org_id == tx.org_id) & (column.id == source_id)
    row = tx.conn.execute(select(sources).where(mine)).one()
    limits = Limits(**find(tx.conn, tx.org_id, source_id).declared().limits.model_dump())
    same = row.leaving_since is not None and lately.is_within(row.leaving_since, tx.now, WITHIN)
    before = row.leaving_count if same else 0
    # Those who are deleted here are counted out already.
    of = row.leaving_of if same else row.user_count - tx.counts[source_id, "user"]
    since = row.leaving_since if same else tx.now
    tx.conn.execute(
        update(sources).where(mine).values(leaving_since=since, leaving_count=before + n, leaving_of=of)
    )
    trip = _trip(limits, of, before + n)
    if trip is not None and _trip(limits, of, before) is None:
        after = {"people": of, "left": before + n, "limit": trip.limit, "source": row.name}
        note = f"{before + n} of {of} people left within an hour. Nothing was held; all can be restored."
        tx.record(Event(EventKind.SOURCE_ALARM, "source", source_id, None, after, note))
        logger.warning("source_alarm", org=tx.org_id, source=row.name, left=before + n, people=of)


def _trip(limits: Limits, of: int, left: int) -> Trip | None:
    trips = check(Figures(linked=of, seen=of, removals=left), limits)
    return next((trip for trip in trips if trip.kind is not TripKind.EVERYONE), None)
