"""A run of a source, from the lease to the report.

``plan_source`` makes a dry plan, ``preview_source`` one by settings that are not in force, which is only
shown; ``sync_source`` plans and applies under the limits; ``apply_run`` applies a plan that waits: a dry one,
or a held one, which that approves. Whatever goes wrong while
reading fails the run with a sentence, changes nobody, and lets the next run come later.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, replace

from scimd import log
from scimd.config import Source
from scimd.core.errors import Busy, LeaseLost, NotAllowedNow, Refusal, StateMoved
from scimd.core.people import RunId
from scimd.core.sync.plan import Plan
from scimd.org import leases, permissions
from scimd.org.declared import declared_sources
from scimd.org.ids import uuid7
from scimd.org.leases import LEASE_S, Lease
from scimd.org.rulebook import BesideBooks
from scimd.org.runs import plan_batches, run_changes, runs
from scimd.org.runs.run_changes import ChangeRecord
from scimd.org.runs.runs import RunRecord, State, Trigger
from scimd.org.sources import source_upkeep, sources
from scimd.org.sources.source_upkeep import After
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Actor, Context, Door, Tx
from scimd.sync import planning, schedule
from scimd.sync.apply import Progress, Report, apply_all
from scimd.sync.planning import CannotPlan, Planned, Refreshed

logger = log.get(__name__)

_SAVED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Started:
    """By whom a run was started, and how."""

    trigger: Trigger = "cli"
    by: str = "scimd"


def _silent(_: Progress) -> None:
    return None


async def plan_source(
    door: Door, source: SourceRecord, *, started: Started | None = None, report: Report = _silent
) -> RunRecord:
    """Make a dry plan and store it; it can be applied for 24 hours. Raises Busy."""
    return await _run(door, source, started or Started(), report, dry=True)


async def preview_source(
    door: Door,
    source: SourceRecord,
    wanted: Source,
    *,
    started: Started | None = None,
    report: Report = _silent,
) -> tuple[RunRecord, list[ChangeRecord]]:
    """What the next run would do if the source were read as ``wanted``, which is not in force; with the rules
    that are.

    Nothing is kept of it: neither the plan nor that the directory cannot be read so. Raises what
    ``plan_source`` raises, and CannotPlan.
    """
    ctx = context(door, source)
    async with held(door, ctx, lease_name(source), f"The source {source.name}"):
        known = await sources.get_source(door, source.org_id, source.id)
        source = declared_sources.as_declared(known, wanted)
        _must_be_readable(source)
        full = schedule.full_is_due(source.last_full_at, door.clock())
        beside = copy(door)
        beside.books = BesideBooks(door.books, source.id, source.config)
        planned = await planning.make(beside, ctx, source, report, full=full)
    plan, by = planned.plan, (started or Started()).by
    state = _state(plan, dry=True)
    run = runs.unsaved(source, plan, state, door.clock(), by, planned.rules_version, full=full)
    return run, run_changes.unsaved(plan.changes)


async def sync_source(
    door: Door, source: SourceRecord, *, started: Started | None = None, report: Report = _silent
) -> RunRecord:
    """Plan and apply. A run that was cut off by the death of its process is finished first.

    The record says how it ended: *done*, *partial*, *held*, or *failed* with the reason. Raises Busy
    while another process runs this source, or where it has just done what was due; NotAllowedNow where it is
    paused.
    """
    return await _run(door, source, started or Started(), report, dry=False)


async def apply_run(door: Door, by: Context, run_id: str, *, report: Report = _silent) -> RunRecord:
    """Apply a plan that waits, on behalf of whoever approves it.

    Needs the permission ``plans.approve``. Raises NotAllowedNow where nothing waits, or the source left the
    config file or is paused, Busy, and StateMoved where what the plan rests on moved.
    """
    permissions.require(by, "plans.approve")
    run = await runs.get_run(door, by.org_id, run_id)
    source = await sources.get_source(door, by.org_id, run.source_id)
    if run.approved_at is None:  # else it moved since that word, and the plan is over
        sources.must_be_in_the_file(source)
    by, ctx = replace(by, correlation_id=run.id), context(door, source, run.id)
    with log.about(run.id):
        async with held(door, ctx, lease_name(source), f"The source {source.name}") as lease:
            try:
                run = await door.run(by, lambda tx: plan_batches.let_go(tx, run.id, lease))
            except StateMoved as exc:
                why = str(exc)
                await door.run(by, lambda tx: runs.set_state(tx, run.id, "refused", error=why))
                raise
            run = await apply_all(door, ctx, run, lease, report)
            await _close(door, ctx, source, run, alarm=None)
            return run


def context(door: Door, source: SourceRecord, run_id: RunId | None = None) -> Context:
    """The source speaks for itself. What a run does is so under the run's id, whoever resumed it."""
    correlation_id = run_id or uuid7(door.clock(), secrets.token_bytes(10))
    actor = Actor("source", source.id, source.name)
    return Context(source.org_id, actor, "sync", correlation_id, source.id)


def lease_name(source: SourceRecord) -> str:
    return f"source:{source.id}"


# ------------------------------------------------------------------------------ the lease


@asynccontextmanager
async def held(door: Door, ctx: Context, name: str, what: str) -> AsyncIterator[Lease]:
    """Hold a lease for as long as the block runs, however long that is.

    Raises Busy where somebody else holds it, LeaseLost out of the block when it was taken over.
    """
    holder = leases.called(door)
    lease = await door.run(ctx, lambda tx: leases.take(tx, name, holder))
    if lease is None:
        raise Busy(what)
    try:
        async with asyncio.timeout(None) as scope:
            keeper = asyncio.create_task(_keep(door, ctx, lease, scope))
            try:
                yield lease
            finally:
                keeper.cancel()
                await asyncio.wait([keeper])
    except TimeoutError:
        if scope.expired():
            raise LeaseLost(name) from None
        raise
    finally:
        # Best effort: whoever cannot say goodbye is waited for until the lease runs out.
        with contextlib.suppress(Refusal):
            await door.run(ctx, lambda tx: leases.release(tx, lease))


async def _keep(door: Door, ctx: Context, lease: Lease, scope: asyncio.Timeout) -> None:
    """Prolong the lease while the read goes on; end the block when it is lost."""
    while True:
        await asyncio.sleep(LEASE_S / 3)
        try:
            await door.run(ctx, lambda tx: leases.hold(tx, lease))
        except LeaseLost:
            scope.reschedule(asyncio.get_running_loop().time())
            return
        except Refusal as exc:
            # The database is away; each batch proves the lease for itself before it writes.
            logger.warning("lease_not_prolonged", lease=lease.name, code=exc.code)


# ------------------------------------------------------------------------------ one run


async def _run(door: Door, source: SourceRecord, started: Started, report: Report, *, dry: bool) -> RunRecord:
    ctx = context(door, source)
    async with held(door, ctx, lease_name(source), f"The source {source.name}") as lease:
        # As it is now: another replica may have run it, or an admin paused it, a moment ago.
        source = await sources.get_source(door, source.org_id, source.id)
        _must_be_readable(source)
        if started.trigger == "schedule" and not source.is_due(door.clock()):
            raise Busy(f"The source {source.name}")
        if not dry:
            await _finish_what_was_cut_off(door, source, lease, report)
        full = schedule.full_is_due(source.last_full_at, door.clock())
        run_id = await door.run(ctx, lambda tx: _begun(tx, source, lease, started, full=full))
        with log.about(run_id):
            return await _begun_run(door, source, run_id, lease, report, full=full, dry=dry)


async def _begun_run(
    door: Door, source: SourceRecord, run_id: RunId, lease: Lease, report: Report, *, full: bool, dry: bool
) -> RunRecord:
    ctx = context(door, source, run_id)
    logger.info("run_started", run_id=run_id, source=source.name, dry=dry)
    try:
        planned = await planning.make(door, ctx, source, report, full=full)
    except CannotPlan as exc:
        return await _failed(door, ctx, source, run_id, exc)
    except Refusal:
        raise
    except Exception as exc:
        logger.error("planning_failed", run_id=run_id, source=source.name, exc_info=exc)
        unforeseen = CannotPlan("internal", f"an unforeseen fault: {type(exc).__name__}; the log has more")
        return await _failed(door, ctx, source, run_id, unforeseen)
    run = await _saved(door, ctx, run_id, planned, lease, dry=dry)
    refreshed, alarm = planned.refreshed, planned.alarm
    del planned  # from here on the plan is read from the database: memory is free for applying
    if not dry:
        run = await _applied(door, ctx, run, refreshed, lease, report)
        await _close(door, ctx, source, run, alarm=alarm)
    logger.info("run_ended", run_id=run_id, source=source.name, state=run.state, **run.counts)
    return run


def _must_be_readable(source: SourceRecord) -> None:
    sources.must_not_be_paused(source)
    if source.kind == "scim":
        raise NotAllowedNow(
            f"The source {source.name} is pushed to by its identity provider; there is nothing to read."
        )
    sources.must_be_in_the_file(source)


def _begun(tx: Tx, source: SourceRecord, lease: Lease, started: Started, *, full: bool) -> RunId:
    leases.hold(tx, lease)
    return runs.begin(tx, source.id, started.trigger, started.by, source.config_version, full=full)


async def _finish_what_was_cut_off(door: Door, source: SourceRecord, lease: Lease, report: Report) -> None:
    run = await door.read(lambda conn: runs.unfinished(conn, source.org_id, source.id))
    if run is None:
        return
    run_id, ctx = run.id, context(door, source, run.id)
    with log.about(run_id):
        ended = await door.run(ctx, lambda tx: plan_batches.let_stand(tx, run_id, lease))
        if ended is not None:
            logger.info("run_given_up", run_id=run_id, source=source.name, why=ended.error)
            return
        logger.info("run_resumed", run_id=run_id, source=source.name, place=run.place)
        await apply_all(door, ctx, run, lease, report)


async def _saved(
    door: Door, ctx: Context, run_id: RunId, planned: Planned, lease: Lease, *, dry: bool
) -> RunRecord:
    """Write the plan, a part at a time; only the last part makes it one that can be applied."""
    plan = planned.plan
    for first in range(0, len(plan.changes), _SAVED_AT_ONCE):
        part = plan.changes[first : first + _SAVED_AT_ONCE]

        def body(tx: Tx, first: int = first, part: tuple[object, ...] = part) -> None:
            leases.hold(tx, lease)
            run_changes.add(tx, run_id, first + 1, part)  # type: ignore[arg-type]

        await door.run(ctx, body)

    def close(tx: Tx) -> RunRecord:
        leases.hold(tx, lease)
        runs.planned(tx, run_id, plan, _state(plan, dry=dry), planned.rules_version)
        return runs.find(tx.conn, tx.org_id, run_id)

    return await door.run(ctx, close)


def _state(plan: Plan, *, dry: bool) -> State:
    if plan.held and not any(change.outcome == "planned" for change in plan.changes):
        return "held"
    return "planned" if dry else "applying"


async def _applied(
    door: Door, ctx: Context, run: RunRecord, seen: Refreshed, lease: Lease, report: Report
) -> RunRecord:
    if run.state == "applying":
        run = await apply_all(door, ctx, run, lease, report)
    for first in range(0, len(seen), _SAVED_AT_ONCE):
        part = seen[first : first + _SAVED_AT_ONCE]
        await door.run(ctx, lambda tx, part=part: source_upkeep.refresh_digests(tx, run.source_id, part))  # type: ignore[misc]
    return run


# ------------------------------------------------------------------------------ what follows for the source


async def _failed(
    door: Door, ctx: Context, source: SourceRecord, run_id: RunId, exc: CannotPlan
) -> RunRecord:
    now, failures = door.clock(), source.failures + 1
    refused_twice = exc.kind == "credentials_refused" and source.failures > 0
    quarantined = source.quarantined_since or (now if refused_twice else None)
    wanted = source.declared().schedule
    if quarantined is not None:
        again = schedule.in_quarantine(wanted, now, quarantined)
    else:
        chance = random.random()  # noqa: S311 - spreads retries, guards nothing
        again = schedule.after_failure(wanted, now, failures, chance, not_before_s=exc.retry_after_s)
    after = After(
        failures=failures,
        next_run_at=again,
        quarantined_since=quarantined,
        quarantine_cause=str(exc) if quarantined else None,
    )
    # A source that fails is said once, and its recovery once.
    level = logger.warning if source.failures == 0 else logger.debug
    level("run_failed", run_id=run_id, source=source.name, kind=exc.kind, why=str(exc))
    return await door.run(
        ctx, lambda tx: source_upkeep.run_failed(tx, source, run_id, exc.kind, str(exc), after)
    )


async def _close(
    door: Door, ctx: Context, source: SourceRecord, run: RunRecord, *, alarm: str | None
) -> None:
    now = door.clock()
    wanted = source.declared().schedule
    quarantined = (source.quarantined_since or now) if alarm else None
    if quarantined is not None:
        again = schedule.in_quarantine(wanted, now, quarantined)
    else:
        again = schedule.following(wanted, now) if wanted else None
    after = After(failures=0, next_run_at=again, quarantined_since=quarantined, quarantine_cause=alarm)
    if source.failures:
        logger.info("source_recovered", source=source.name)
    await door.run(ctx, lambda tx: source_upkeep.run_closed(tx, source, run, after))
