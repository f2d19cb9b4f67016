"""Carrying a run's batches through the door, one after the other, until none is left.

A batch that a refusal or a fault stops is tried again change by change, so that one bad entry fails
alone. A database that does not answer is waited for a while; then the run stays where it is, and the
next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import stamina

from scimd import log
from scimd.core.errors import DatabaseUnavailable, LeaseLost, NotAllowedNow, Overloaded, Refusal
from scimd.org import applying, leases, runs
from scimd.org.leases import Lease
from scimd.org.runs import RunRecord, State
from scimd.org.tx import Context, Door, Tx

logger = log.get(__name__)

_WAIT_FOR_DATABASE_S = 60.0
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
    done = 0
    try:
        while True:
            batch = await _step(door, ctx, run, lease)
            if batch.settled == 0:
                break
            done += batch.settled
            report(Progress("applying", done, done + batch.left))
    except NotAllowedNow as exc:
        return await door.run(ctx, lambda tx: _stopped(tx, run, str(exc)))
    return await door.run(ctx, lambda tx: _finished(tx, run, lease))


async def _step(door: Door, ctx: Context, run: RunRecord, lease: Lease) -> applying.Batch:
    """One batch; where it fails as a whole, its first change alone."""
    try:
        return await _patiently(door, ctx, lambda tx: applying.apply_batch(tx, run.id, lease))
    except _NOT_THE_CHANGES_FAULT:
        raise
    except Exception as exc:
        _log(exc, run)
    try:
        return await _patiently(door, ctx, lambda tx: applying.apply_batch(tx, run.id, lease, size=1))
    except _NOT_THE_CHANGES_FAULT:
        raise
    except Exception as exc:
        _log(exc, run)
        why = str(exc) if isinstance(exc, Refusal) else f"an unforeseen fault: {type(exc).__name__}"
        await _patiently(door, ctx, lambda tx: applying.skip(tx, run.id, lease, why))
        return applying.Batch(1, 0)


def _log(exc: Exception, run: RunRecord) -> None:
    if isinstance(exc, Refusal):
        logger.info("batch_refused", run_id=run.id, code=exc.code)
    else:
        logger.error("batch_failed", run_id=run.id, exc_info=exc)


async def _patiently(door: Door, ctx: Context, body: Callable[[Tx], Any]) -> Any:
    async for attempt in stamina.retry_context(
        on=(DatabaseUnavailable, Overloaded), attempts=None, timeout=_WAIT_FOR_DATABASE_S, wait_max=5.0
    ):
        with attempt:
            return await door.run(ctx, body)
    raise AssertionError("retry_context returns or raises")


def _finished(tx: Tx, run: RunRecord, lease: Lease) -> RunRecord:
    leases.hold(tx, lease)
    record = runs.finish(tx, run.id, "done")
    state: State = "done"
    if record.counts.get("held"):
        state = "held"
    elif any(record.counts.get(name) for name in ("failed", "waiting", "skipped")):
        state = "partial"
    return record if state == "done" else runs.finish(tx, run.id, state)


def _stopped(tx: Tx, run: RunRecord, why: str) -> RunRecord:
    runs.set_state(tx, run.id, "applying", error=why, error_kind="stopped")
    return runs.finish(tx, run.id, "partial")
