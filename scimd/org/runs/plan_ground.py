"""What of the organization a plan rests on, beside the people of its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from scimd.core.people import OrgId, PersonId, SourceId
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.core.sync.seat_figures import Seats
from scimd.db.among import among
from scimd.db.tables import assertions, grants, rules, run_changes, runs, seat_pools, sources, waiting
from scimd.org import lately
from scimd.org.organizations import admins
from scimd.org.runs.runs import PLAN_LASTS

#: Removals are counted over this long.
_WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Ground:
    seats: Seats
    rules_version: int
    removed_before: int
    #: Account Admins who can sign in now.
    admins: frozenset[PersonId]
    #: All who have that role, those among them who are Pending or Inactive: none of them would be new.
    holders: frozenset[PersonId]


def ground(conn: Connection, org_id: OrgId, source_id: SourceId, now: datetime) -> Ground:
    holders = conn.execute(
        select(grants.c.person_id).where(
            grants.c.org_id == org_id,
            grants.c.kind == "role",
            grants.c.target == ACCOUNT_ADMIN,
            grants.c.until.is_(None),
        )
    ).scalars()
    return Ground(
        seats=seats(conn, org_id),
        rules_version=rules_version(conn, org_id, source_id),
        removed_before=_removed(conn, org_id, source_id, now),
        admins=frozenset(PersonId(each) for each in conn.execute(admins.ids(org_id)).scalars()),
        holders=frozenset(map(PersonId, holders)),
    )


def seats(conn: Connection, org_id: OrgId) -> Seats:
    """The organization's pool, and how many wait."""
    pool = conn.execute(select(seat_pools).where(seat_pools.c.org_id == org_id)).first()
    query = select(func.count()).select_from(waiting).where(waiting.c.org_id == org_id)
    return Seats(pool.seat_limit, pool.used, conn.execute(query).scalar_one()) if pool else Seats(None, 0)


def rules_version(conn: Connection, org_id: OrgId, source_id: SourceId) -> int:
    """The generation at which the source's rules last changed: the organization's own counts tokens too."""
    row = conn.execute(
        select(func.max(rules.c.since_generation), func.max(rules.c.until_generation)).where(
            rules.c.org_id == org_id, rules.c.source_id == source_id
        )
    ).one()
    return max((number for number in row if number is not None), default=0)


def _removed(conn: Connection, org_id: OrgId, source_id: SourceId, now: datetime) -> int:
    """People whom runs removed lately, leaving out what an admin approved."""
    return conn.execute(
        select(func.count(func.distinct(run_changes.c.target_id)))
        .select_from(run_changes)
        .join(runs, (runs.c.org_id == run_changes.c.org_id) & (runs.c.id == run_changes.c.run_id))
        .where(
            runs.c.org_id == org_id,
            runs.c.source_id == source_id,
            runs.c.started_at >= now - _WINDOW - PLAN_LASTS,
            runs.c.approved_at.is_(None),
            run_changes.c.removal,
            run_changes.c.kind == "user",
            run_changes.c.outcome == "applied",
            lately.happened(run_changes.c.applied_at, now, _WINDOW),
        )
    ).scalar_one()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The first other source that has somebody, and whether it comes before the one that plans."""

    name: str
    active: bool
    first: bool


def elsewhere(
    conn: Connection, org_id: OrgId, source_id: SourceId, person_ids: Sequence[PersonId]
) -> dict[PersonId, Elsewhere]:
    """Which of these people another source asserts too; as in ``core.standing``, none in shadow counts."""
    column, source = assertions.c, sources.c
    own = select(source.priority).where(source.org_id == org_id, source.id == source_id).scalar_subquery()
    query = (
        select(column.person_id, column.active, source.name, (source.priority < own).label("first"))
        .join(sources, (source.org_id == column.org_id) & (source.id == column.source_id))
        .where(
            column.org_id == org_id,
            column.state == "live",
            column.source_id != source_id,
            func.coalesce(source.paused_from, source.state) != "shadow",
            source.ended_at.is_(None),
            among(conn, column.person_id, person_ids),
        )
        .order_by(source.priority, column.active)
    )
    found: dict[PersonId, Elsewhere] = {}
    for row in conn.execute(query):
        found.setdefault(PersonId(row.person_id), Elsewhere(row.name, row.active, bool(row.first)))
    return found
