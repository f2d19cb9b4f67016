"""What the scheduler asks of the door: the facts that time brings, and the order of the audit.

Each function goes through the organizations that have something to do, finds them by one statement,
and does its work in transactions of its own; called twice, or by two processes, it does no harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Select, delete, select

from scimd import log
from scimd.core.errors import Refusal
from scimd.core.people import OrgId
from scimd.db.tables import NOT_IN_YET, invitations, login_attempts, organizations, people
from scimd.org import arrivals, audit, gates, invitation_changes, local_people, purging
from scimd.org.gates import RESTORABLE_FOR
from scimd.org.tx import Door

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
            said = {"exc_info": exc} if org_id is None else {"org": org_id, "why": str(exc)}
            logger.error("job_failed", job=job, **said)

    def over(self, job: str, org_id: OrgId | None = None) -> None:
        if (job, org_id) in self._failing:
            self._failing.discard((job, org_id))
            logger.info("job_recovered", job=job, **({} if org_id is None else {"org": org_id}))


async def expire_all(door: Door, troubles: Troubles | None = None) -> int:
    """Write down which invitations have expired. Every minute."""
    query = (
        select(invitations.c.org_id)
        .where(
            invitations.c.status == "pending",
            ~invitations.c.staged,
            invitations.c.expires_at <= door.clock(),
        )
        .distinct()
    )
    return await _each(door, troubles, _of(query), invitation_changes.expire_due)


async def expire_welcomes(door: Door, troubles: Troubles | None = None) -> int:
    """Write down whose link to a first password has expired. Every minute."""
    query = select(people.c.org_id).where(NOT_IN_YET)
    return await _each(door, troubles, _of(query), local_people.expire_welcomes)


async def end_expired_accounts(door: Door, troubles: Troubles | None = None) -> int:
    """Deactivate service accounts that have expired. Every minute."""
    query = select(people.c.org_id).where(gates.expired(door.clock()))
    return await _each(door, troubles, _of(query), gates.end_expired)


async def lapse_approvals(door: Door, troubles: Troubles | None = None) -> int:
    """Write down whose approval has lapsed. Every minute."""
    query = select(organizations.c.id).where(organizations.c.approval_required)
    return await _each(door, troubles, _of(query), arrivals.lapse_due)


async def purge_all(door: Door, troubles: Troubles | None = None) -> int:
    """Purge whoever was deleted 30 days ago. Daily."""
    due = people.c.deleted_at <= door.clock() - RESTORABLE_FOR
    return await _each(door, troubles, _of(select(people.c.org_id).where(due)), purging.purge_due)


async def publish_all(
    door: Door, troubles: Troubles | None = None, *, within: timedelta = audit.LATECOMERS
) -> int:
    """Append new events, no older than that, to the chains. Every few seconds."""
    since = door.clock() - within

    async def publish(door: Door, org_id: OrgId) -> int:
        return await audit.publish(door, org_id, within=within)

    return await _each(door, troubles, lambda conn: audit.organizations_with_new(conn, since), publish)


async def _each(
    door: Door,
    troubles: Troubles | None,
    find: Callable[[Connection], list[OrgId]],
    work: Callable[[Door, OrgId], Awaitable[int]],
) -> int:
    """Do the work of each organization; the trouble of one does not keep the others waiting."""
    total, troubles = 0, troubles or Troubles()
    for org_id in await door.read(find):
        try:
            total += await work(door, org_id)
        except Refusal as exc:
            troubles.met(work.__name__, exc, org_id)
        else:
            troubles.over(work.__name__, org_id)
    return total


def _of(query: Select[str]) -> Callable[[Connection], list[OrgId]]:
    return lambda conn: list(map(OrgId, dict.fromkeys(conn.execute(query).scalars())))


async def forget_attempts(door: Door) -> int:
    """Delete sign-in attempts older than 90 days. Daily."""
    before = door.clock() - ATTEMPTS_KEPT
    return await door.db.write(lambda conn: _forget(conn, before))


def _forget(conn: Connection, before: datetime) -> int:
    return conn.execute(delete(login_attempts).where(login_attempts.c.at < before)).rowcount
