"""Purge: what is stored of people who were deleted 30 days ago goes; of the audit the values alone.

What tells of them in rows that are not theirs is erased (``org.users.erasing``). Closed grants and status
spans stay, under an id that nobody else ever gets: they say who had what when, and no longer whose name that
was.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, delete, select

from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId
from scimd.db.among import among
from scimd.db.locks import lock_rows
from scimd.db.tables import grants, metadata, people, status_spans
from scimd.org.tx import Actor, Context, Door, Tx
from scimd.org.users import erasing
from scimd.org.users.gates import RESTORABLE_FOR

_AT_ONCE = 100
#: For so many all changes of runs are looked through once.
_ERASED_AT_ONCE = 1_000
#: Who had what when stays, under an id that nobody else ever gets; all else that is about one person goes.
_STAY = (grants, status_spans)
_OF_A_PERSON = [each for each in metadata.sorted_tables if "person_id" in each.c and each not in _STAY]


async def purge_due(door: Door, org_id: OrgId) -> int:
    """Purge whoever was deleted 30 days ago, in portions; gives how many. A job.

    What others' rows hold of them goes first, while it is known by what: whoever is cut off begins again.
    """
    ctx = Context(org_id, Actor("job", "purge", "purge"), "job", "purge")
    total = 0
    while ids := await door.read(partial(_due, org_id=org_id, now=door.clock())):
        await erasing.erase(door, ctx, ids)
        for at in range(0, len(ids), _AT_ONCE):
            total += await door.run(ctx, partial(_purge, ids=ids[at : at + _AT_ONCE]))
    return total


def _due(conn: Connection, *, org_id: OrgId, now: datetime) -> list[PersonId]:
    query = select(people.c.id).where(people.c.org_id == org_id, people.c.deleted_at <= now - RESTORABLE_FOR)
    ordered = query.order_by(people.c.deleted_at, people.c.id).limit(_ERASED_AT_ONCE)
    return [PersonId(each) for each in conn.execute(ordered).scalars()]


def _purge(tx: Tx, *, ids: Sequence[PersonId]) -> int:
    """Of those who were due: whoever came back meanwhile stays."""
    due = (people.c.deleted_at <= tx.now - RESTORABLE_FOR) & among(tx.conn, people.c.id, ids)
    rows = lock_rows(
        tx.conn, select(people.c.id).where(people.c.org_id == tx.org_id, due).order_by(people.c.id)
    )
    ids = [PersonId(row.id) for row in rows]
    for table in _OF_A_PERSON:
        mine = (table.c.org_id == tx.org_id) & among(tx.conn, table.c.person_id, ids)
        tx.conn.execute(delete(table).where(mine))
    mine = (people.c.org_id == tx.org_id) & among(tx.conn, people.c.id, ids)
    tx.conn.execute(delete(people).where(mine))
    for person_id in ids:
        tx.record(Event(EventKind.PERSON_PURGED, "person", person_id))
    return len(ids)
