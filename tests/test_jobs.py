"""The jobs, on both databases: the clock starts what is due, replicas do not double, stopping drains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest
import structlog
from apscheduler.schedulers import base as scheduling
from sqlalchemy import update

from scimd import jobs as jobs_module
from scimd.config import Config
from scimd.connector_api import Unreachable
from scimd.core.errors import DatabaseUnavailable, StorageFull
from scimd.core.people import SourceId
from scimd.db import tables
from scimd.db.tables import leases, notifications, people, published, unsettled
from scimd.jobs import Jobs
from scimd.org import new_tables
from scimd.org.runs import runs
from scimd.org.sources import source_ends, source_upkeep, sources
from scimd.outbox.mail import HandOver
from scimd.sync import registry, schedule
from tests.support.patience import AT_MOST_S, eventually
from tests.support.statistics import known, left_alone
from tests.sync.world import Point, World, world


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_found", lambda: {"scripted": Point()})
    for name in ("_SOURCES_S", "_RELAY_S", "_SETTLE_S", "_PROMOTE_S", "_EXPIRE_S", "_PUBLISH_S", "_END_S"):
        monkeypatch.setattr(jobs_module, name, 0.2)


class NoMailer:
    sender = "scimd@localhost"
    longest_s = 60.0

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send(self, message: Any, hand_over: HandOver) -> None:
        await hand_over()
        self.sent.append(message)

    async def rest(self) -> None:
        return None


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[World]:
    async with world(database_url, invite="never") as found:
        yield found


def made(acme: World) -> Jobs:
    return Jobs(acme.door, Config(), NoMailer())  # type: ignore[arg-type]


@asynccontextmanager
async def working(acme: World) -> AsyncIterator[Jobs]:
    """A worker's jobs, which are stopped at the end."""
    jobs = made(acme)
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()


async def _all_done(acme: World, count: int) -> bool:
    found = await runs.list_runs(acme.door, acme.org_id)
    return len(found) == count and all(run.state in ("done", "failed") for run in found)


async def test_due_source_is_run_once_by_two_replicas_and_again_when_due_again(acme: World) -> None:
    acme.script.fill(10)
    replicas = [made(acme), made(acme)]
    for jobs in replicas:
        await jobs.start()
    try:
        await eventually(lambda: _all_done(acme, 1))
        await asyncio.sleep(1)
        (run,) = await runs.list_runs(acme.door, acme.org_id)
        assert (run.state, run.trigger, run.counts["created"]) == ("done", "schedule", 10)
        acme.clock.forward(minutes=16)
        await eventually(lambda: _all_done(acme, 2))
    finally:
        for jobs in replicas:
            await jobs.stop()
    assert sum(jobs.failures.total() for jobs in replicas) == 0


async def test_source_that_another_replica_has_run_since_it_was_seen_to_be_due_is_left_alone(
    acme: World,
) -> None:
    acme.script.fill(3)
    due = await source_upkeep.due_sources(acme.door, schedule.following)
    for jobs in (made(acme), made(acme)):
        for org_id, source_id in due:
            await jobs._sync(org_id, source_id)()
    assert await _all_done(acme, 1)
    acme.clock.forward(minutes=16)
    await made(acme)._sync(*due[0])()
    assert await _all_done(acme, 2)


async def test_failing_source_is_not_tried_in_a_hot_loop(acme: World) -> None:
    acme.script.fault = Unreachable("down")
    async with working(acme):
        await eventually(lambda: _all_done(acme, 1))
        await asyncio.sleep(1.5)
        assert len(await runs.list_runs(acme.door, acme.org_id)) == 1


async def test_only_the_leader_does_the_rest_and_another_takes_over_when_it_stops(acme: World) -> None:
    acme.script.fill(3)
    first, second = made(acme), made(acme)
    await first.start()
    await second.start()
    try:
        rows = await acme.door.read(
            lambda conn: conn.execute(leases.select().where(leases.c.name == "jobs")).all()
        )
        assert [row.fence for row in rows] == [1]
        await eventually(lambda: _any(acme, published))
    finally:
        await first.stop()
    await second._try_to_lead()
    rows = await acme.door.read(
        lambda conn: conn.execute(leases.select().where(leases.c.name == "jobs")).all()
    )
    assert [row.fence for row in rows] == [2]
    await second.stop()


async def _any(acme: World, table: Any) -> bool:
    return await acme.count(table) > 0


async def test_marked_people_are_settled(acme: World) -> None:
    acme.script.fill(3)
    await acme.sync()

    def mark(conn: Any) -> None:
        for row in conn.execute(people.select().where(people.c.org_id == acme.org_id)).all():
            conn.execute(
                unsettled.insert().values(
                    org_id=acme.org_id, person_id=row.id, turn=0, marked_at=acme.clock()
                )
            )

    await acme.door.db.write(mark)
    async with working(acme):
        await eventually(lambda: _none(acme, unsettled))


async def test_the_end_of_a_large_source_is_gone_on_with(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_ends, "IN_THE_CALL", 1)
    monkeypatch.setattr(source_ends, "_AT_ONCE", 1)
    acme.script.fill(3)
    await acme.sync()
    source = (await acme.source()).id
    by_hand = update(tables.sources).where(tables.sources.c.id == source).values(declared_in="database")
    await acme.door.db.write(lambda conn: conn.execute(by_hand) and None)
    await source_ends.end(acme.door, acme.as_admin(), source, "remove", sure=True)
    assert await source_ends.left(acme.door, acme.org_id, source) == 2
    async with working(acme):
        await eventually(lambda: _is_ended(acme, source))


async def _is_ended(acme: World, source: SourceId) -> bool:
    return await source_ends.left(acme.door, acme.org_id, source) is None


async def _none(acme: World, table: Any) -> bool:
    return await acme.count(table) == 0


async def test_failing_job_is_logged_once_counted_each_time_and_its_end_logged(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = True

    async def relay(*_: Any) -> None:
        if broken:
            raise RuntimeError("boom")

    monkeypatch.setattr(jobs_module.relay, "run_once", relay)
    with structlog.testing.capture_logs() as said:
        async with working(acme) as jobs:
            await eventually(lambda: _at_least(jobs, "relay", 3))
            broken = False
            await eventually(lambda: _said(said, "job_recovered"))
    assert [line["event"] for line in said if line.get("job") == "relay"] == ["job_failed", "job_recovered"]


async def test_a_start_while_the_database_is_away_is_made_up_for(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, away = jobs_module.leases.take, True

    def taken(*args: Any) -> Any:
        if away:
            raise DatabaseUnavailable()
        return take(*args)

    monkeypatch.setattr(jobs_module.leases, "take", taken)
    monkeypatch.setattr(jobs_module, "LEASE_S", 0.6)
    async with working(acme) as jobs:
        assert not jobs.failures["settle"]
        assert jobs.failures["lead"]
        away = False
        await eventually(lambda: _leads(jobs))


async def _leads(jobs: Jobs) -> bool:
    return jobs._lease is not None


async def _at_least(jobs: Jobs, name: str, count: int) -> bool:
    return jobs.failures[name] >= count


async def _said(said: Any, event: str) -> bool:
    return any(line["event"] == event for line in said)


async def test_worker_starts_though_nothing_can_be_written_or_read(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any, **__: Any) -> None:
        raise StorageFull

    jobs = made(acme)
    with monkeypatch.context() as patch:
        patch.setattr(acme.door, "run", refused)
        patch.setattr(acme.door, "read", refused)
        await jobs.start()
    assert jobs.failures["lead"] == jobs.failures["sources"] == 1
    await jobs.stop()


async def test_approved_plan_that_takes_long_or_fails_keeps_no_other_waiting(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [(acme.org_id, name, "ann") for name in ("slow", "broken", "fine")]
    begun: list[str] = []

    async def approved(_: Any) -> list[Any]:
        return plans

    async def apply(_: Any, __: Any, run_id: str) -> None:
        begun.append(run_id)
        if run_id == "slow":
            await asyncio.Event().wait()
        if run_id == "broken":
            raise RuntimeError("boom")

    monkeypatch.setattr(jobs_module.approvals, "approved", approved)
    monkeypatch.setattr(jobs_module, "apply_run", apply)
    jobs = made(acme)
    for _ in range(3):
        await jobs._apply_approved()
        await asyncio.sleep(0.01)
    await jobs._apply_approved()
    assert begun[:3] == ["slow", "broken", "fine"]
    assert begun.count("broken") == 1  # left alone for a while
    assert jobs.failures == {"plan:broken": 1}
    for task in list(jobs._tasks.values()):
        task.cancel()
        await asyncio.wait({task})


async def test_stopping_ends_a_run_and_the_next_start_does_the_work(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_DRAIN_S", 0.2)
    acme.script.fill(10)
    acme.script.pause_s = 10 * AT_MOST_S
    jobs = made(acme)
    await jobs.start()
    await eventually(lambda: _any_run(acme))
    await asyncio.wait_for(jobs.stop(), AT_MOST_S)
    acme.script.pause_s = 0
    async with working(acme):
        await eventually(lambda: _newest_is(acme, "done"))
    assert len(await acme.active()) == 10


async def _any_run(acme: World) -> bool:
    return bool(await runs.list_runs(acme.door, acme.org_id))


async def _newest_is(acme: World, state: str) -> bool:
    found = await runs.list_runs(acme.door, acme.org_id)
    return any(run.state == state for run in found)


async def test_source_without_a_schedule_is_run_by_hand_only(database_url: str) -> None:
    async with world(database_url, schedule=None) as acme:
        acme.script.fill(1)
        jobs = made(acme)
        await jobs.start()
        await asyncio.sleep(1)
        await jobs.stop()
        assert await runs.list_runs(acme.door, acme.org_id) == []
        assert (await sources.get_source(acme.door, acme.org_id, "hr")).next_run_at is None


async def test_source_is_not_silent_before_the_looks_at_what_is_due_have_come(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_SOURCES_S", 5.0)
    async with world(database_url, schedule="1s") as acme:
        await acme.sync()
        jobs = made(acme)
        for seconds, silent in ((11, False), (1, True)):
            acme.clock.forward(seconds=seconds)
            await jobs._notify()
            assert await _any(acme, notifications) is silent


async def test_new_tables_are_looked_at(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_tables, "EVERY_S", 0.1)
    async with world(postgres_url, invite="never") as acme:
        left_alone(postgres_url)
        acme.script.fill(200)
        async with working(acme):

            async def is_known() -> bool:
                return await acme.door.read(known) > 0

            await eventually(is_known)


class MachineClock(datetime):
    """The clock that APScheduler goes by, to be set."""

    ahead = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.ahead


async def test_turns_come_as_ever_though_the_machine_s_clock_is_set(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    async def relay(*_: Any) -> None:
        nonlocal turns
        turns += 1

    async def more() -> bool:
        return turns > seen + 2

    monkeypatch.setattr(jobs_module.relay, "run_once", relay)
    monkeypatch.setattr(jobs_module, "_WATCH_S", 0.1)
    monkeypatch.setattr(scheduling, "datetime", MachineClock)
    monkeypatch.setattr(jobs_module, "_wall", lambda: MachineClock.now(jobs_module.UTC))
    monkeypatch.setattr(MachineClock, "ahead", timedelta(0))
    with structlog.testing.capture_logs() as said:
        async with working(acme):
            for ahead in (timedelta(days=20_000), timedelta(days=-1)):
                MachineClock.ahead = ahead
                seen = turns
                await eventually(more)
    by = [line["by_s"] for line in said if line["event"] == "clock_set"]
    assert [round(seconds / 86_400) for seconds in by] == [20_000, -20_001]


async def test_leader_whose_lease_ran_out_by_a_clock_that_was_set_leads_on(acme: World) -> None:
    async with working(acme) as jobs:
        past = (
            update(leases)
            .where(leases.c.name == "jobs")
            .values(until=datetime(2020, 1, 1, tzinfo=jobs_module.UTC))
        )
        await acme.door.db.write(lambda conn: conn.execute(past) and None)
        await jobs._try_to_lead()
        assert jobs._lease is not None
        assert jobs._lease.fence == 2


async def test_daily_job_is_done_soon_after_a_start_by_who_leads_and_once(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Any] = []

    async def forget(*_: Any) -> None:
        done.append(None)
        if len(done) == 1:
            raise RuntimeError("the database is away")

    monkeypatch.setattr(jobs_module.idempotency, "forget", forget)
    monkeypatch.setattr(jobs_module, "_SELDOM_S", 0.2)
    first, second = made(acme), made(acme)
    await first.start()
    await second.start()
    try:
        await eventually(lambda: len(done) == 2)
        await asyncio.sleep(1)
        assert len(done) == 2, "again after the failure, then not before a day is over"
    finally:
        await first.stop()
    await second._try_to_lead()
    try:
        await eventually(lambda: len(done) == 3)
    finally:
        await second.stop()
