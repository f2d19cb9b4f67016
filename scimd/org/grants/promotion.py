"""Promotion: whatever is free goes to those who wait for it, before any newcomer has it."""

from __future__ import annotations

from sqlalchemy import Connection, update

from scimd.core.people import OrgId
from scimd.db.tables import slots, waiting
from scimd.org import lately
from scimd.org.grants import pools, seats
from scimd.org.tx import Door


async def promote(door: Door, org_id: OrgId) -> int:
    """Give free seats, and what else is limited and free, to those who wait longest; gives to how many.

    Follows at once on the transaction that freed something, and runs as a job besides.
    """
    return await seats.promote(door, org_id) + await pools.promote(door, org_id)


async def bring_forward(door: Door) -> None:
    """Have those who began to wait while the clock was ahead wait since now. A job.

    Else whoever comes before that time, a year away perhaps, would pass them.
    """
    now = door.clock()

    def body(conn: Connection) -> None:
        for table, waits in ((waiting, ()), (slots, (slots.c.held.is_(False),))):
            conn.execute(update(table).where(lately.is_ahead(table.c.since, now), *waits).values(since=now))

    await door.db.write(body)
