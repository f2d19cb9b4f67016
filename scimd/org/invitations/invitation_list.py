"""The list of invitations, as admins see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from scimd.core.errors import NotFound
from scimd.core.invitations import Invitation, InvitationStatus
from scimd.core.people import InvitationId, OrgId, PersonId, SourceId, fold
from scimd.db.among import among, unindexed
from scimd.db.tables import NEWEST_LAST, deliveries, invitations, people
from scimd.org.identities import merged
from scimd.org.tx import Door
from scimd.org.users import user_reads
from scimd.org.users.user_reads import InProject, UserRow
from scimd.org.windows import Slice, Window, cut


def invitation_of(row: Any) -> Invitation:
    return Invitation(
        id=InvitationId(row.id),
        org_id=OrgId(row.org_id),
        person_id=PersonId(row.person_id),
        expires_at=row.expires_at,
        status=InvitationStatus(row.status),
        generation=row.generation,
    )


@dataclass(frozen=True, slots=True)
class InvitationRecord:
    """``status`` by the clock. ``delivery``: what became of the newest mail, ``why`` it was refused.

    ``role``, ``team``, ``projects``: what the person has by now.
    """

    id: InvitationId
    person_id: PersonId
    display_name: str
    address: str
    status: str
    staged: bool
    generation: int
    role: str
    team: str | None
    projects: tuple[InProject, ...]
    message: str | None
    invited_by: str
    source_id: SourceId | None
    created_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    delivery: str | None
    why: str | None


def _listed() -> Select[Any]:
    newest = (
        # Or SQLite, for the greatest of them, would walk through all that the organization ever owed.
        select(func.max(unindexed(deliveries.c.id)))
        .where(
            deliveries.c.org_id == invitations.c.org_id,
            deliveries.c.person_id == invitations.c.person_id,
            deliveries.c.invitation_id == invitations.c.id,
        )
        .correlate(invitations)
        .scalar_subquery()
    )
    return (
        select(invitations, people.c.display_name, deliveries.c.state, deliveries.c.last_error)
        .join(people, (people.c.org_id == invitations.c.org_id) & (people.c.id == invitations.c.person_id))
        .outerjoin(deliveries, (deliveries.c.org_id == invitations.c.org_id) & (deliveries.c.id == newest))
    )


def _records(conn: Connection, org_id: OrgId, rows: Sequence[Any], now: datetime) -> list[InvitationRecord]:
    users = user_reads.by_id(conn, org_id, sorted({row.person_id for row in rows}))
    return [_record(row, users[row.person_id], now) for row in rows]


def _record(row: Any, user: UserRow, now: datetime) -> InvitationRecord:
    status = invitation_of(row).status_at(now) if not row.staged else InvitationStatus(row.status)
    return InvitationRecord(
        id=InvitationId(row.id),
        person_id=PersonId(row.person_id),
        display_name=row.display_name,
        address=row.address,
        status=status.value,
        staged=row.staged,
        generation=row.generation,
        role=user.primary_role,
        team=user.team.name if user.team else None,
        projects=user.projects,
        message=row.message,
        invited_by=row.invited_by,
        source_id=SourceId(row.source_id) if row.source_id else None,
        created_at=row.created_at,
        expires_at=row.expires_at,
        sent_at=row.sent_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        delivery=row.state,
        why=row.last_error,
    )


async def window(
    door: Door,
    org_id: OrgId,
    part: Window,
    *,
    status: str | None = None,
    q: str | None = None,
    person: str | None = None,
) -> Slice[InvitationRecord]:
    """Invitations without hidden ones, by the time at which they were made, ``address`` or ``expires``.

    ``status`` by the clock: one whose time is over is expired, also before the job has said so.
    """
    now, i = door.clock(), invitations.c
    query = _listed().where(i.org_id == org_id, i.hidden_at.is_(None))
    over = (i.status == "pending") & ~i.staged & (i.expires_at <= now)
    if status == "expired":
        query = query.where((i.status == "expired") | over)
    elif status is not None:
        query = query.where(i.status == status, ~over)
    if q and q.strip():
        # The address of an invitation stays, though its person's be another by now.
        address = func.lower(i.address).contains(fold(q.strip()), autoescape=True)
        query = query.where(address | user_reads.goes_by(q))
    sorts = {"address": i.address, "expires": i.expires_at}

    def body(conn: Connection) -> Slice[InvitationRecord]:
        whose = None if person is None else merged.who(conn, org_id, person)
        found = cut(conn, query if whose is None else query.where(i.person_id == whose), part, sorts, i.id)
        return found.with_rows(_records(conn, org_id, found.rows, now))

    return await door.read(body)


async def get(door: Door, org_id: OrgId, invitation_id: str) -> InvitationRecord:
    """Raises NotFound."""
    query = _listed().where(invitations.c.org_id == org_id, invitations.c.id == invitation_id)
    query, now = query.where(invitations.c.hidden_at.is_(None)), door.clock()

    def body(conn: Connection) -> InvitationRecord:
        row = conn.execute(query).first()
        if row is None:
            raise NotFound("invitation", invitation_id)
        return _records(conn, org_id, [row], now)[0]

    return await door.read(body)


def one(
    conn: Connection, org_id: OrgId, invitation_id: InvitationId, now: datetime | None = None
) -> InvitationRecord:
    """``now`` None: its status as it is stored."""
    query = _listed().where(invitations.c.org_id == org_id, invitations.c.id == invitation_id)
    row = conn.execute(query).one()
    return _records(conn, org_id, [row], now or row.created_at)[0]


async def newest_of(door: Door, org_id: OrgId, person_ids: Sequence[PersonId]) -> dict[str, str]:
    """The id of each person's newest invitation, by the person's: the open one, where one is."""
    i = invitations.c
    query = select(i.person_id, i.id).where(i.org_id == org_id).order_by(*NEWEST_LAST)

    def body(conn: Connection) -> dict[str, str]:
        rows = conn.execute(query.where(among(conn, i.person_id, person_ids)))
        return {row.person_id: row.id for row in rows}

    return await door.read(body)
