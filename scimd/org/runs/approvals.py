"""An admin's word on a held plan. The worker applies it; the process that answers HTTP never does."""

from __future__ import annotations

from sqlalchemy import select, update

from scimd.core.errors import NotAllowedNow, StateMoved
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, RunId
from scimd.db.tables import runs as table
from scimd.db.tables import sources as sources_table
from scimd.org import permissions
from scimd.org.runs import runs
from scimd.org.runs.runs import RunRecord
from scimd.org.sources import sources
from scimd.org.tx import Context, Door, Tx


async def approve(door: Door, ctx: Context, run_id: str) -> None:
    """Let a held plan go; the worker applies it within seconds.

    Raises Forbidden without ``plans.approve``, NotFound, NotAllowedNow for a run that is not held, or whose
    source left the config file or is paused, StateMoved for a plan that is older than 24 hours.
    """
    permissions.require(ctx, "plans.approve")

    def body(tx: Tx) -> None:
        run = runs.find(tx.conn, tx.org_id, run_id)
        if run.state != "held":
            raise NotAllowedNow(f"The run is {run.state}; there is nothing to approve.")
        if run.approved_at is not None:
            return  # said already; the worker is on its way
        if run.is_too_old(tx.now):
            raise StateMoved("The plan is older than 24 hours")
        source = sources.find(tx.conn, tx.org_id, run.source_id)
        sources.must_be_in_the_file(source)
        sources.must_not_be_paused(source)
        write(tx, run)

    await door.run(ctx, body)


async def reject(door: Door, ctx: Context, run_id: str) -> None:
    """Refuse a held plan: what it staged is not done, and the next run makes a new one.

    Raises Forbidden without ``plans.approve``, NotFound, NotAllowedNow for a run that is not held, or
    that somebody has approved.
    """
    permissions.require(ctx, "plans.approve")

    def body(tx: Tx) -> None:
        run = runs.find(tx.conn, tx.org_id, run_id)
        mine = (table.c.org_id == tx.org_id) & (table.c.id == run.id)
        waits = (table.c.state == "held") & table.c.approved_at.is_(None)
        refused = update(table).where(mine, waits).values(state="refused", finished_at=tx.now)
        if tx.conn.execute(refused).rowcount != 1:
            said = "approved" if run.state == "held" else run.state
            raise NotAllowedNow(f"The run is {said}; there is nothing to reject.")
        tx.record(Event(EventKind.PLAN_REJECTED, "run", run.id, after={"source": run.source_name}))

    await door.run(ctx, body)


def write(tx: Tx, run: RunRecord) -> None:
    """Put the word of ``tx.ctx.actor`` on the plan, and tell the audit."""
    tx.conn.execute(
        update(table)
        .where(table.c.org_id == tx.org_id, table.c.id == run.id)
        .values(approved_by=tx.ctx.actor.name, approved_at=tx.now)
    )
    tx.record(Event(EventKind.PLAN_APPROVED, "run", run.id, after={"source": run.source_name}))


async def approved(door: Door) -> list[tuple[OrgId, RunId, str]]:
    """Held plans that an admin has approved, over all organizations: organization, run, and by whom.

    Those of a source that was paused since wait until it is resumed.
    """
    source = sources_table.c
    query = (
        select(table.c.org_id, table.c.id, table.c.approved_by)
        .join(sources_table, (source.org_id == table.c.org_id) & (source.id == table.c.source_id))
        .where(table.c.state == "held", table.c.approved_at.is_not(None), source.state != "paused")
    )
    rows = await door.read(lambda conn: conn.execute(query).all())
    return [(OrgId(row.org_id), RunId(row.id), row.approved_by) for row in rows]
