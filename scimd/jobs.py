"""What runs by itself: how often, and under which lease. APScheduler is the clock, and no more.

Every replica has the clock; the database decides who does the work. Each source has a lease of its
own, so replicas share the sources between them. All other jobs belong to whoever holds the lease
*jobs*. A job never overlaps itself; a failure is logged once, counted each time, and its end logged.

How often is a matter of the monotonic clock. APScheduler plans by the machine's, which somebody may set:
see ``_Every`` and ``Jobs._mind_the_clock``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from scimd import log
from scimd.config import Config
from scimd.core.errors import Busy, LeaseLost, NotAllowedNow, NotFound, Refusal, StateMoved
from scimd.core.people import OrgId, RunId, SourceId
from scimd.org import idempotency, leases, new_tables
from scimd.org import timekeeping as time_jobs
from scimd.org.audit import audit
from scimd.org.grants import promotion, seat_history
from scimd.org.leases import LEASE_S, Lease
from scimd.org.mails import deliveries, notifications
from scimd.org.request_log import request_log
from scimd.org.runs import approvals, runs
from scimd.org.sources import source_ends, source_upkeep, sources
from scimd.org.tokens import oauth, rekeying
from scimd.org.tx import Actor, Context, Door, Tx
from scimd.outbox import relay
from scimd.outbox.mail import Mailer
from scimd.sync import schedule
from scimd.sync.run import Started, apply_run, sync_source

logger = log.get(__name__)

Work = Callable[[], Awaitable[object]]

_SOURCES_S = 5.0
_APPROVED_S = 2.0
_SOURCES_AT_ONCE = 4
_PLANS_AT_ONCE = 4
_RELAY_S = 2.0
_SETTLE_S = 1.0
_SETTLE_FOR_S = 5.0
_END_S = 2.0
_END_FOR_S = 5.0
_PROMOTE_S = 15.0
_EXPIRE_S = 30.0
_PUBLISH_S = 5.0
_PUBLISH_LATE_S = 60.0
_SWEEP_S = 60.0
_FORGET_S = 86_400.0
_FORGET_TOKENS_S = 3600.0
_PRUNE_S = 300.0
_PURGE_S = 3_600.0
_SEATS_S = 300.0
_MOOT_S = 300.0
_NOTIFY_S = 60.0
_REKEY_S = 60.0
_PLANS_S = 60.0
#: What is done less often is asked for this often: soon after a start, and after a turn without the lease.
_SELDOM_S = 60.0
#: So often the machine's clock is compared with the monotonic one; and what counts as its having been set.
_WATCH_S = 1.0
_SET = timedelta(seconds=2)
#: A source whose run could not even begin, or a plan that failed, is left alone for so long by this process.
_LEAVE_ALONE_S = 60.0
_DRAIN_S = 5.0
#: Leases that belong to no organization.
_NOBODY = OrgId("")


class _Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """So many seconds after the turn before.

    APScheduler's own interval counts one by one the turns that a clock set ahead has passed over.
    """

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        return now + self._interval


class Jobs:
    """The scheduler of one process. ``start`` and ``stop`` once each."""

    def __init__(self, door: Door, config: Config, mailer: Mailer) -> None:
        self._door, self._config, self._mailer = door, config, mailer
        self._clock = AsyncIOScheduler(timezone="UTC")
        self._watch: asyncio.Task[None] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._troubles = time_jobs.Troubles()
        self._lease: Lease | None = None
        self._leads_until = 0.0  # on the monotonic clock
        self._not_before: dict[SourceId | RunId, float] = {}
        self._new_tables = new_tables.NewTables(door)

    @property
    def failures(self) -> Mapping[str, int]:
        """By job since the start, for the metrics."""
        return self._troubles.failures

    async def start(self) -> None:
        """Also while the database is away: each turn tries again."""
        await self._watched("lead", self._try_to_lead)
        self._every(LEASE_S / 3, "lead", self._try_to_lead)
        self._every(_SOURCES_S, "sources", self._run_due_sources)
        self._every(_APPROVED_S, "approved_plans", self._if_leading(self._apply_approved))
        for seconds, name, work in (
            (_RELAY_S, "relay", self._relay),
            (_SETTLE_S, "settle", self._settle),
            (_END_S, "end_sources", self._end_sources),
            (_PROMOTE_S, "promote", self._promote),
            (_EXPIRE_S, "expire_invitations", self._expire),
            (_PUBLISH_S, "publish_audit", self._publish),
            (_PUBLISH_LATE_S, "publish_latecomers", self._publish_latecomers),
            (_SWEEP_S, "sweep_audit", self._sweep),
            (_FORGET_S, "forget", self._forget),
            (_FORGET_TOKENS_S, "forget_access_tokens", self._forget_tokens),
            (_PRUNE_S, "prune_request_log", self._prune),
            (_PURGE_S, "purge", self._purge),
            (_SEATS_S, "seat_history", self._note_seats),
            (_MOOT_S, "close_moot_questions", self._close_moot),
            (_NOTIFY_S, "notify", self._notify),
            (_REKEY_S, "rekey", self._rekey),
            (_PLANS_S, "plans_of_a_clock_ahead", self._plan_anew),
            (new_tables.EVERY_S, "look_at_new_tables", self._new_tables.look),
        ):
            seldom = seconds > _SELDOM_S
            self._every(
                min(seconds, _SELDOM_S),
                name,
                self._if_leading(self._once_in(seconds, work) if seldom else work),
            )
        self._clock.start()
        self._begin("rekey", self._if_leading(self._rekey))  # keys change with a start
        self._watch = asyncio.create_task(self._mind_the_clock(), name="clock")
        await self._watched("sources", self._run_due_sources)

    async def stop(self) -> None:
        """Start nothing new; let what runs end, then cancel it. A sync goes on from its last batch."""
        self._clock.shutdown(wait=False)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        running = list(self._tasks.values())
        if running:
            _, late = await asyncio.wait(running, timeout=_DRAIN_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        if self._lease is not None:
            lease = self._lease
            try:
                await self._door.run(self._nobody(), lambda tx: leases.release(tx, lease))
            except Refusal as exc:
                logger.warning("lease_not_released", code=exc.code)

    # -------------------------------------------------------------------------- machinery

    def _every(self, seconds: float, name: str, work: Work) -> None:
        """Have work done again and again; a turn is left out while the one before still runs."""

        async def begin() -> None:  # APScheduler runs plain functions in a thread, away from the loop
            self._begin(name, work)

        self._clock.add_job(
            begin,
            _Every(seconds),
            id=name,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )

    def _begin(self, name: str, work: Work) -> None:
        if name not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._watched(name, work), name=name)
            self._tasks[name] = task
            task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _watched(self, name: str, work: Work) -> None:
        try:
            await work()
        except Exception as exc:
            self._troubles.met(name, exc)
        else:
            self._troubles.over(name)

    def _once_in(self, seconds: float, work: Work) -> Work:
        """Leave out the turns before so many seconds are over, but for those that follow a failure."""
        not_before = 0.0

        async def now_and_then() -> None:
            nonlocal not_before
            asked = time.monotonic()
            if asked >= not_before:
                await work()
                not_before = asked + seconds - _SELDOM_S / 2  # turns come a little early or late

        return now_and_then

    async def _mind_the_clock(self) -> None:
        """Where the machine's clock is put back, take what is planned by it back as far: no turn waits."""
        before = _steady()
        while True:
            await asyncio.sleep(_WATCH_S)
            moved, before = _steady() - before, _steady()
            if abs(moved) < _SET:
                continue
            logger.warning("clock_set", by_s=round(moved.total_seconds(), 1))
            if moved < timedelta(0):
                for job in self._clock.get_jobs():
                    job.modify(next_run_time=job.next_run_time + moved)

    # -------------------------------------------------------------------------- who leads

    async def _try_to_lead(self) -> None:
        """Take or prolong the lease *jobs*."""
        asked = time.monotonic()
        ctx, lease = self._nobody(), self._lease
        try:
            if lease is not None:
                held = lease
                self._lease = await self._door.run(ctx, lambda tx: leases.hold(tx, held))
        except LeaseLost:
            self._lease = None
        # One that was lost may be free: no other took it, the clock was set ahead.
        if self._lease is None:
            holder = leases.called(self._door)
            self._lease = await self._door.run(ctx, lambda tx: _lead(tx, holder))
        # Counted from before the question, on this machine's clock: a process that was stopped for
        # longer finds itself out of office before it asks.
        self._leads_until = asked + LEASE_S if self._lease is not None else 0.0

    def _if_leading(self, work: Work) -> Work:
        async def guarded() -> None:
            if time.monotonic() < self._leads_until:
                await work()

        return guarded

    def _nobody(self) -> Context:
        return Context(_NOBODY, Actor("job", "jobs", "jobs"), "job", "jobs")

    # -------------------------------------------------------------------------- sources

    async def _run_due_sources(self) -> None:
        now = time.monotonic()
        for org_id, source_id in await source_upkeep.due_sources(self._door, schedule.following):
            running = sum(name.startswith("source:") for name in self._tasks)
            if running >= _SOURCES_AT_ONCE:
                return
            if now >= self._not_before.get(source_id, 0.0):
                self._begin(f"source:{source_id}", self._sync(org_id, source_id))

    def _sync(self, org_id: OrgId, source_id: SourceId) -> Callable[[], Coroutine[Any, Any, None]]:
        async def work() -> None:
            # Unless the run itself sets the next time, it is not tried again at once.
            self._not_before[source_id] = time.monotonic() + _LEAVE_ALONE_S
            try:
                source = await sources.get_source(self._door, org_id, source_id)
                if not source.is_scheduled:
                    return
                await sync_source(self._door, source, started=Started("schedule", "schedule"))
            except (Busy, NotFound):
                return  # another replica runs it, or it ended a moment ago
            except LeaseLost:
                logger.warning("source_taken_over", source_id=source_id)
                return
            self._not_before.pop(source_id, None)

        return work

    async def _apply_approved(self) -> None:
        now = time.monotonic()
        for org_id, run_id, by in await approvals.approved(self._door):
            running = sum(name.startswith("plan:") for name in self._tasks)
            if running < _PLANS_AT_ONCE and now >= self._not_before.get(run_id, 0.0):
                self._begin(f"plan:{run_id}", self._apply(org_id, run_id, by))

    def _apply(self, org_id: OrgId, run_id: RunId, by: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def work() -> None:
            self._not_before[run_id] = time.monotonic() + _LEAVE_ALONE_S
            ctx = Context(org_id, Actor("job", "approvals", by), "job", run_id)
            try:
                await apply_run(self._door, ctx, run_id)
            except (Busy, LeaseLost):
                pass  # its source is being read; the next turn comes
            except (StateMoved, NotAllowedNow) as exc:
                logger.info("approved_plan_not_applied", run_id=run_id, code=exc.code)
            self._not_before.pop(run_id, None)

        return work

    # -------------------------------------------------------------------------- the leader's jobs

    async def _relay(self) -> None:
        await relay.run_once(self._door, self._mailer, self._config.server.public_url)

    async def _settle(self) -> None:
        await time_jobs.settle_all(self._door, self._troubles, budget_s=_SETTLE_FOR_S)

    async def _end_sources(self) -> None:
        await source_ends.go_on_all(self._door, self._troubles, budget_s=_END_FOR_S)

    async def _promote(self) -> None:
        await time_jobs.promote_all(self._door, self._troubles)

    async def _expire(self) -> None:
        await time_jobs.expire_all(self._door, self._troubles)
        await time_jobs.expire_welcomes(self._door, self._troubles)
        await time_jobs.end_expired_accounts(self._door, self._troubles)
        await time_jobs.lapse_approvals(self._door, self._troubles)

    async def _publish(self) -> None:
        await time_jobs.publish_all(self._door, self._troubles, within=audit.RECENT)

    async def _publish_latecomers(self) -> None:
        await time_jobs.publish_all(self._door, self._troubles)

    async def _sweep(self) -> None:
        await audit.sweep(self._door)

    async def _forget(self) -> None:
        await time_jobs.forget_attempts(self._door)
        await idempotency.forget(self._door)
        await notifications.forget(self._door)
        await runs.forget(self._door)

    async def _forget_tokens(self) -> None:
        await oauth.forget_expired(self._door)

    async def _prune(self) -> None:
        scim = self._config.scim
        await request_log.prune_all(
            self._door, request_log.Bounds(scim.log_for, scim.log_rows, scim.log_bytes)
        )

    async def _purge(self) -> None:
        await time_jobs.purge_all(self._door, self._troubles)

    async def _close_moot(self) -> None:
        await time_jobs.close_moot_questions(self._door, self._troubles)

    async def _note_seats(self) -> None:
        await seat_history.note_all(self._door)

    async def _rekey(self) -> None:
        await rekeying.follow(self._door)

    async def _plan_anew(self) -> None:
        await source_upkeep.bring_forward(self._door, schedule.latest)
        await deliveries.bring_forward(self._door)
        await promotion.bring_forward(self._door)

    async def _notify(self) -> None:
        await source_upkeep.pause_long_quarantined(self._door, self._troubles)
        await notifications.notify_all(self._door, _read_by, self._troubles)


def _read_by(wanted: str, after: datetime) -> datetime:
    """When a source with this schedule is begun to be read at the latest: when somebody looks what is due."""
    return schedule.following(wanted, after) + timedelta(seconds=_SOURCES_S)


def _lead(tx: Tx, holder: str) -> Lease | None:
    lease = leases.take(tx, "jobs", holder)
    if lease is not None:
        deliveries.take_back(tx)
    return lease


def _steady() -> datetime:
    """When the monotonic clock began, by the machine's clock: it moves only with that."""
    return _wall() - timedelta(seconds=time.monotonic())


def _wall() -> datetime:
    return datetime.now(UTC)
