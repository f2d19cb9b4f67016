"""Purge: what is stored of people who were deleted 30 days ago goes; the audit of it stays.

Closed grants and status spans stay as well, under an id that nobody else ever gets: they say who had
what when, and no longer whose name that was.
"""

from __future__ import annotations

from sqlalchemy import Table, delete, select

from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId
from scimd.db.among import among
from scimd.db.locks import lock_rows
from scimd.db.tables import (
    api_tokens,
    assertions,
    credentials,
    deliveries,
    gates,
    group_members,
    invitations,
    links,
    login_attempts,
    merged_people,
    people,
    pictures,
    recovery_codes,
    second_factors,
    sessions,
    unsettled,
    waiting,
)
from scimd.org.gates import RESTORABLE_FOR
from scimd.org.tx import Actor, Context, Door, Tx

_AT_ONCE = 100
_OF_A_PERSON: tuple[Table, ...] = (
    api_tokens,
    assertions,
    credentials,
    deliveries,
    gates,
    group_members,
    invitations,
    links,
    login_attempts,
    merged_people,
    pictures,
    recovery_codes,
    second_factors,
    sessions,
    unsettled,
    waiting,
)


async def purge_due(door: Door, org_id: OrgId) -> int:
    """Purge whoever was deleted 30 days ago, in portions; gives how many. A job."""
    ctx = Context(org_id, Actor("job", "purge", "purge"), "job", "purge")
    total = 0
    while done := await door.run(ctx, _portion):
        total += done
    return total


def _portion(tx: Tx) -> int:
    query = select(people.c.id).where(
        people.c.org_id == tx.org_id, people.c.deleted_at <= tx.now - RESTORABLE_FOR
    )
    rows = lock_rows(tx.conn, query.order_by(people.c.deleted_at, people.c.id).limit(_AT_ONCE))
    ids = [PersonId(row.id) for row in rows]
    if ids:
        for table in _OF_A_PERSON:
            mine = (table.c.org_id == tx.org_id) & among(tx.conn, table.c.person_id, ids)
            tx.conn.execute(delete(table).where(mine))
        mine = (people.c.org_id == tx.org_id) & among(tx.conn, people.c.id, ids)
        tx.conn.execute(delete(people).where(mine))
        for person_id in ids:
            tx.record(Event(EventKind.PERSON_PURGED, "person", person_id))
    return len(ids)
