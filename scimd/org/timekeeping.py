"""What the scheduler asks of the door: the facts that time brings, and the order of the audit.

Each function goes through the organizations that have something to do, finds them by one statement,
and does its work in transactions of its own; called twice, or by two processes, it does no harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select, delete, select

from scimd import log
from scimd.core.errors import Refusal
from scimd.core.people import OrgId
from scimd.db import tables
from scimd.db.tables import (
    NOT_IN_YET,
    decisions,
    invitations,
    login_attempts,
    organizations,
    people,
    pools,
    seat_pools,
    waiting,
)
from scimd.org.audit import audit
from scimd.org.decisions import moot
from scimd.org.grants import promotion
from scimd.org.invitations import invitation_changes
from scimd.org.settling import arrivals, unsettled
from scimd.org.tx import Door
from scimd.org.users import gates, local_people, purging
from scimd.org.users.gates import RESTORABLE_FOR

logger = log.get(__name__)
ATTEMPTS_KEPT = timedelta(days=90)


class Troubles:
    """Which jobs fail, for which organization (None: for all): said once, counted each time, its end said."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self._failing: set[tuple[str, OrgId | None]] = set()

    def met(self, job: str, exc: Exception, org_id: OrgId | None = None) -> None:
        self.failures[job] += 1
        if (job, org_id) not in self._failing:
            self._failing.add((job, org_id))
            foreseen = org_id is not None and isinstance(exc, Refusal)
            said: dict[str, Any] = {"why": str(exc)} if foreseen else {"exc_info": exc}
            logger.error("job_failed", job=job, **said, **({} if org_id is None else {"org": org_id}))

    def over(self, job: str, org_id: OrgId | None = None) -> None:
        if (job, org_id) in self._failing:
            self._failing.discard((job, org_id))
            logger.info("job_recovered", job=job, **({} if org_id is None else {"org": org_id}))


async def expire_all(door: Door, troubles: Troubles | None = None) -> int:
    """Write down which invitations have expired."""
    query = (
        select(invitations.c.org_id)
        .where(
            invitations.c.status == "pending",
            ~invitations.c.staged,
            invitations.c.expires_at <= door.clock(),
        )
        .distinct()
    )
    return await each(door, troubles, _of(query), invitation_changes.expire_due)


async def expire_welcomes(door: Door, troubles: Troubles | None = None) -> int:
    """Write down whose link to a first password has expired."""
    query = select(people.c.org_id).where(NOT_IN_YET)
    return await each(door, troubles, _of(query), local_people.expire_welcomes)


async def end_expired_accounts(door: Door, troubles: Troubles | None = None) -> int:
    """Deactivate service accounts that have expired."""
    query = select(people.c.org_id).where(gates.expired(door.clock()))
    return await each(door, troubles, _of(query), gates.end_expired)


async def lapse_approvals(door: Door, troubles: Troubles | None = None) -> int:
    """Write down whose approval has lapsed."""
    query = select(organizations.c.id).where(organizations.c.approval_required)
    return await each(door, troubles, _of(query), arrivals.lapse_due)


async def close_moot_questions(door: Door, troubles: Troubles | None = None) -> int:
    """Close questions to decide that no longer stand."""
    query = select(decisions.c.org_id).where(decisions.c.state == "open").distinct()
    return await each(door, troubles, _of(query), moot.close_due)


async def purge_all(door: Door, troubles: Troubles | None = None) -> int:
    """Purge whoever was deleted 30 days ago."""
    due = people.c.deleted_at <= door.clock() - RESTORABLE_FOR
    return await each(door, troubles, _of(select(people.c.org_id).where(due)), purging.purge_due)


async def settle_all(door: Door, troubles: Troubles | None = None, *, budget_s: float) -> int:
    """Settle the people who are marked, in each organization for so long at most."""

    async def settle(door: Door, org_id: OrgId) -> int:
        return await unsettled.settle_marked(door, org_id, budget_s=budget_s)

    return await each(door, troubles, _of(select(tables.unsettled.c.org_id)), settle)


async def promote_all(door: Door, troubles: Troubles | None = None) -> int:
    """Give what is free to those who wait for it."""
    pool = seat_pools.c
    free = pool.seat_limit.is_(None) | (pool.used < pool.seat_limit)
    seats = select(pool.org_id).where(free, select(waiting).where(waiting.c.org_id == pool.org_id).exists())
    # Also where nobody waits: somebody may have what was not limited when it was given.
    return await each(door, troubles, _of(seats.union(select(pools.c.org_id))), promotion.promote)


async def publish_all(
    door: Door, troubles: Troubles | None = None, *, within: timedelta = audit.LATECOMERS
) -> int:
    """Append new events, no older than that, to the chains."""
    since = door.clock() - within

    async def publish(door: Door, org_id: OrgId) -> int:
        return await audit.publish(door, org_id, within=within)

    return await each(door, troubles, lambda conn: audit.organizations_with_new(conn, since), publish)


async def each(
    door: Door,
    troubles: Troubles | None,
    find: Callable[[Connection], list[OrgId]],
    work: Callable[[Door, OrgId], Awaitable[int]],
) -> int:
    """Do the work of each organization; the trouble of one does not keep the others waiting.

    Without ``troubles`` it is raised.
    """
    total = 0
    for org_id in await door.read(find):
        try:
            total += await work(door, org_id)
        except Exception as exc:
            if troubles is None:
                raise
            troubles.met(work.__name__, exc, org_id)
        else:
            if troubles is not None:
                troubles.over(work.__name__, org_id)
    return total


def _of(query: Select[str] | CompoundSelect[str]) -> Callable[[Connection], list[OrgId]]:
    return lambda conn: list(map(OrgId, dict.fromkeys(conn.execute(query).scalars())))


async def forget_attempts(door: Door) -> int:
    """Delete sign-in attempts older than 90 days."""
    before = door.clock() - ATTEMPTS_KEPT
    return await door.db.write(lambda conn: _forget(conn, before))


def _forget(conn: Connection, before: datetime) -> int:
    return conn.execute(delete(login_attempts).where(login_attempts.c.at < before)).rowcount
