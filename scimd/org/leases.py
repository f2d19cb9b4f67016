"""Leases: one runner at a time for each job, over any number of processes, fenced.

A lease is a row: who holds it, until when, and a *fencing number* that each taking raises. Time is
the database's, the one clock that all processes share. Whoever was stopped longer than the lease
lasts finds out at the next write: ``hold`` stands in every transaction of the work, proves that the
lease is still ours, prolongs it, and locks its row until the commit, so that nobody can take over
in the middle of a batch.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, update
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import LeaseLost
from scimd.core.people import OrgId
from scimd.db.locks import insert_ignore, lock_rows, now_of_database
from scimd.db.tables import leases
from scimd.org.tx import Door, Tx

#: Long enough for the slowest batch, short enough to wait for when a process died.
LEASE_S = 30.0
#: No lease lasts so long from now on: one that does was taken while the database's clock was ahead. Twice as
#: long as a lease, since clocks are put back by little all the time.
_TOO_LONG = timedelta(seconds=2 * LEASE_S)


@dataclass(frozen=True, slots=True)
class Lease:
    org_id: OrgId
    name: str
    holder: str
    fence: int
    until: datetime


def called(door: Door) -> str:
    """How this process is called as a holder: for people, but for the end of it."""
    return f"{socket.gethostname()}/{os.getpid()}/{door.holder}"


async def let_go(door: Door, holder: str) -> int:
    """Let go of all that a process held that has died, by its ``Door.holder``: nobody need wait for that.

    What it had begun to write while it died is committed or undone before. Gives how many leases it held.
    """

    def body(conn: Connection) -> int:
        now, held = now_of_database(conn), leases.c.holder.endswith(f"/{holder}")
        return conn.execute(update(leases).where(held, leases.c.until > now).values(until=now)).rowcount

    return await door.db.write(body)


def take(tx: Tx, name: str, holder: str, *, for_s: float = LEASE_S) -> Lease | None:
    """Take a lease that is free or has run out; None while somebody holds it.

    One that would last longer than leases do is taken as well: the clock was ahead when it was made, and
    whoever still works under it is fenced. ``holder``: as it is ``called``; what counts is the fencing
    number.
    """
    now = now_of_database(tx.conn)
    tx.conn.execute(
        insert_ignore(tx.conn, leases).values(org_id=tx.org_id, name=name, holder="", fence=0, until=now)
    )
    until = now + timedelta(seconds=for_s)
    taken = tx.conn.execute(
        update(leases)
        .where(_of(tx.org_id, name), (leases.c.until <= now) | (leases.c.until > now + _TOO_LONG))
        .values(holder=holder, fence=leases.c.fence + 1, until=until)
        .returning(leases.c.fence)
    ).scalar_one_or_none()
    return None if taken is None else Lease(tx.org_id, name, holder, taken, until)


def hold(tx: Tx, lease: Lease, *, for_s: float = LEASE_S) -> Lease:
    """Prove that the lease is ours, and prolong it. Raises LeaseLost, and then nothing is written."""
    lock_rows(tx.conn, leases.select().where(_of(lease.org_id, lease.name)))
    # Asked once the row is ours: waiting for it may have taken as long as the lease had left.
    now = now_of_database(tx.conn)
    until = now + timedelta(seconds=for_s)
    held = tx.conn.execute(
        update(leases)
        .where(_of(lease.org_id, lease.name), leases.c.fence == lease.fence, leases.c.until > now)
        .values(until=until)
    ).rowcount
    if held != 1:
        raise LeaseLost(lease.name)
    return replace(lease, until=until)


def release(tx: Tx, lease: Lease) -> None:
    """Let go, so that the next one need not wait. A lease that was lost is left alone."""
    tx.conn.execute(
        update(leases)
        .where(_of(lease.org_id, lease.name), leases.c.fence == lease.fence)
        .values(until=now_of_database(tx.conn))
    )


def _of(org_id: OrgId, name: str) -> ColumnElement[bool]:
    return (leases.c.org_id == org_id) & (leases.c.name == name)
