"""Carrying a run's batches through the door, one after the other, until none is left.

A batch that a refusal or a fault stops is tried again in smaller ones, so that one bad entry fails
alone. A database that does not answer is waited for a while; then the run stays where it is, and the
next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import stamina

from scimd import log
from scimd.core.errors import DatabaseUnavailable, LeaseLost, NotAllowedNow, Overloaded, Refusal
from scimd.core.people import OrgId
from scimd.org import leases
from scimd.org.leases import Lease
from scimd.org.new_tables import NewTables
from scimd.org.pace import Pace
from scimd.org.runs import plan_batches, runs
from scimd.org.runs.runs import RunRecord, State
from scimd.org.settling.unsettled import settle_marked
from scimd.org.tx import Context, Door, Tx

logger = log.get(__name__)
T = TypeVar("T")

_WAIT_FOR_DATABASE_S = 60.0
#: So long SQLite's other writers may have to wait for one batch.
_HOLD_S = 0.05
_NOT_THE_CHANGES_FAULT = (LeaseLost, NotAllowedNow, DatabaseUnavailable, Overloaded)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: ``reading`` (entries so far, total unknown) or ``applying`` (changes)."""

    stage: str
    done: int
    total: int | None = None


Report = Callable[[Progress], None]


async def apply_all(door: Door, ctx: Context, run: RunRecord, lease: Lease, report: Report) -> RunRecord:
    """Apply what a run has left, and finish it as done, partial or held.

    Raises LeaseLost when another process took over; DatabaseUnavailable or Overloaded when the
    database stayed away; the run can be gone on with. A source that was paused or ended meanwhile
    ends the run as partial.
    """
    done, total = 0, await door.read(lambda conn: plan_batches.left(conn, run))
    pace = Pace(door, plan_batches.BATCH, hold_s=_HOLD_S)
    tables = NewTables(door)
    try:
        while True:
            try:
                settled = await _batch(ctx, run, lease, pace)
            except _NOT_THE_CHANGES_FAULT:
                raise
            except Exception as exc:
                _log(exc, run, pace.size)
                if pace.size == 1:
                    await _skip(door, ctx, run, lease, exc)
                    done += 1
                pace.failed()
                continue
            if settled == 0:
                break
            done += settled
            report(Progress("applying", done, total))
            await door.db.give_way()
            await tables.look_now_and_then()
    except NotAllowedNow as exc:
        why = str(exc)
        return await door.run(ctx, lambda tx: _stopped(tx, run, why))
    await _settle_all(door, run.org_id)
    return await door.run(ctx, lambda tx: _finished(tx, run, lease))


async def _settle_all(door: Door, org_id: OrgId) -> None:
    """What batches put off (a large group) is settled before the run counts as done."""
    while await settle_marked(door, org_id, budget_s=5.0):
        pass


async def _batch(ctx: Context, run: RunRecord, lease: Lease, pace: Pace) -> int:
    return await _patiently(
        lambda: pace.run(ctx, lambda tx: plan_batches.apply_batch(tx, run.id, lease, size=pace.size))
    )


async def _skip(door: Door, ctx: Context, run: RunRecord, lease: Lease, exc: Exception) -> None:
    why = str(exc) if isinstance(exc, Refusal) else f"an unforeseen fault: {type(exc).__name__}"
    await _patiently(lambda: door.run(ctx, lambda tx: plan_batches.skip(tx, run.id, lease, why)))


def _log(exc: Exception, run: RunRecord, size: int) -> None:
    if isinstance(exc, Refusal):
        logger.info("batch_refused", run_id=run.id, size=size, code=exc.code)
    elif size == 1:
        logger.error("change_failed", run_id=run.id, exc_info=exc)


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    async for attempt in stamina.retry_context(
        on=(DatabaseUnavailable, Overloaded), attempts=None, timeout=_WAIT_FOR_DATABASE_S, wait_max=5.0
    ):
        with attempt:
            return await work()
    raise AssertionError("retry_context returns or raises")


def _finished(tx: Tx, run: RunRecord, lease: Lease) -> RunRecord:
    leases.hold(tx, lease)
    return runs.finish(tx, run.id, _outcome)


def _outcome(summary: Mapping[str, int]) -> State:
    if summary.get("held"):
        return "held"
    return "partial" if any(summary.get(name) for name in ("failed", "waiting", "skipped")) else "done"


def _stopped(tx: Tx, run: RunRecord, why: str) -> RunRecord:
    runs.set_state(tx, run.id, "applying", error=why, error_kind="stopped")
    return runs.finish(tx, run.id, "partial")
