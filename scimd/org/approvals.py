"""Approving a held plan from the page: the decision is written here, the worker carries it out."""

from __future__ import annotations

from sqlalchemy import update

from scimd.core.errors import Busy, StateMoved
from scimd.core.people import RunId, SourceId
from scimd.db.tables import sources
from scimd.org import applying, guard, leases, runs
from scimd.org.runs import RunRecord
from scimd.org.tx import Context, Door, Tx


async def approve(door: Door, ctx: Context, run_id: str) -> RunRecord:
    """Turn a held run into one that is being applied, and make its source due now.

    The process that answers HTTP applies nothing: the next run of the source finishes this one first.
    Raises NotFound, Forbidden, NotAllowedNow, Busy, StateMoved (the plan is then *refused*).
    """
    guard.require(ctx, "plans.approve")
    run = await runs.get_run(door, ctx.org_id, run_id)
    try:
        return await door.run(ctx, lambda tx: _approve(tx, run))
    except StateMoved as exc:
        why = str(exc)
        await door.run(ctx, lambda tx: runs.set_state(tx, run.id, "refused", error=why, error_kind="moved"))
        raise


def _approve(tx: Tx, run: RunRecord) -> RunRecord:
    lease = leases.take(tx, f"source:{run.source_id}", f"approval by {tx.ctx.actor.id}")
    if lease is None:
        raise Busy(f"The source {run.source_name}")
    approved = applying.let_go(tx, RunId(run.id), lease, tx.ctx.actor.name)
    _make_due(tx, run.source_id)
    leases.release(tx, lease)
    return approved


def _make_due(tx: Tx, source_id: SourceId) -> None:
    tx.conn.execute(
        update(sources)
        .where(sources.c.org_id == tx.org_id, sources.c.id == source_id)
        .values(next_run_at=tx.now)
    )
