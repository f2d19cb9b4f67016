"""What a run came to, counted when it ends: seats that are used, people who wait, invitations."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from scimd.core.events import EventKind
from scimd.core.people import OrgId, RunId
from scimd.db.tables import events, run_changes, seat_pools, waiting


def mails(conn: Connection, org_id: OrgId, run_id: RunId) -> int:
    """How many invitations the run made: what it applies is recorded under its id."""
    column = events.c
    query = select(func.count()).where(
        column.org_id == org_id,
        column.correlation_id == run_id,
        column.kind == EventKind.INVITATION_CREATED,
    )
    return int(conn.execute(query).scalar_one())


def seats(
    conn: Connection, org_id: OrgId, run_id: RunId, planned: Mapping[str, int | None], *, held: bool
) -> dict[str, int | None]:
    """The plan's figures, the present ones for those it foresaw; of a ``held`` run: as it is held."""
    pool = seat_pools.c
    used = conn.execute(select(pool.used).where(pool.org_id == org_id)).scalar()
    if not planned or used is None:
        return dict(planned)
    suffix = "_if_held" if held else ""
    told = {f"after{suffix}": int(used), f"waiting{suffix}": _waiting(conn, org_id, run_id)}
    return {**planned, **told}


def _waiting(conn: Connection, org_id: OrgId, run_id: RunId) -> int:
    """How many of those whom the run changed wait for a seat."""
    column = run_changes.c
    query = (
        select(func.count(func.distinct(waiting.c.person_id)))
        .select_from(waiting)
        .join(run_changes, (column.org_id == waiting.c.org_id) & (column.target_id == waiting.c.person_id))
        .where(
            column.org_id == org_id,
            column.run_id == run_id,
            column.kind == "user",
            column.outcome == "applied",
        )
    )
    return int(conn.execute(query).scalar_one())
