"""How many seats were used, day by day: the most of each day, of what is looked at every five minutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from scimd.core.people import OrgId
from scimd.db.locks import upsert
from scimd.db.tables import seat_days, seat_pools, waiting
from scimd.org.tx import Door

KEPT = timedelta(days=3 * 366)


@dataclass(frozen=True, slots=True)
class SeatDay:
    """``used`` and ``waited_for``: the most of that day. ``limit`` None: none."""

    day: date
    used: int
    limit: int | None
    waited_for: int


async def note_all(door: Door) -> int:
    """Write down today's figures of every organization, and forget what is three years old. A job.

    Not through ``Door.run``: nothing of an organization changes, and nothing is to be audited.
    """
    now = door.clock()
    return await door.db.write(lambda conn: _note(conn, now.date()))


def _note(conn: Connection, today: date) -> int:
    queued = (
        select(func.count())
        .where(waiting.c.org_id == seat_pools.c.org_id)
        .correlate(seat_pools)
        .scalar_subquery()
    )
    pools = conn.execute(select(seat_pools, queued.label("queued"))).all()
    known = {row.org_id: row for row in conn.execute(select(seat_days).where(seat_days.c.day == str(today)))}
    rows = [_row(pool, known.get(pool.org_id), today) for pool in pools]
    if rows:
        statement = upsert(
            conn, seat_days, key=("org_id", "day"), update=("used", "seat_limit", "waited_for")
        )
        conn.execute(statement, rows)
    conn.execute(seat_days.delete().where(seat_days.c.day < str(today - KEPT)))
    return len(rows)


def _row(pool: Any, before: Any, today: date) -> dict[str, Any]:
    return {
        "org_id": pool.org_id,
        "day": str(today),
        "used": max(pool.used, before.used if before else 0),
        "seat_limit": pool.seat_limit,
        "waited_for": max(pool.queued, before.waited_for if before else 0),
    }


async def history(door: Door, org_id: OrgId, *, days: int = 90) -> list[SeatDay]:
    """The last days, the oldest first; days on which scimd did not run are left out."""
    since = (door.clock() - timedelta(days=days)).date()
    query = (
        select(seat_days)
        .where(seat_days.c.org_id == org_id, seat_days.c.day > str(since))
        .order_by(seat_days.c.day)
    )
    rows = await door.read(lambda conn: conn.execute(query).all())
    return [SeatDay(date.fromisoformat(row.day), row.used, row.seat_limit, row.waited_for) for row in rows]
