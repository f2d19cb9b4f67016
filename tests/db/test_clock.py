"""What time it is (F16): by the database's clock, whatever those of the machines say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import structlog
from sqlalchemy import Connection

from scimd import opening
from scimd.config import Config
from scimd.core.errors import DatabaseUnavailable
from scimd.db import engine
from scimd.db.clock import Clock, Measured
from scimd.db.engine import Database
from scimd.org.sources.sources import NewSource, create
from scimd.org.tokens import tokens
from scimd.org.tx import Door
from tests.org.acme import house
from tests.support.patience import PATIENT, eventually

MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Machine:
    """A machine whose clock is off, and a database whose clock is right."""

    def __init__(self, off: timedelta = timedelta(0)) -> None:
        self.seconds, self.off, self.took, self.asked = 0.0, off, timedelta(0), 0
        self.away = False
        self.clock = Clock(self._read, wall=self.wall, steady=lambda: self.seconds)

    @property
    def right(self) -> datetime:
        return MORNING + timedelta(seconds=self.seconds)

    def wall(self) -> datetime:
        return self.right + self.off

    async def _read(self, body: Callable[[Connection], Any], timeout_s: float) -> Measured:
        if self.away:
            raise DatabaseUnavailable
        self.asked += 1
        return self.wall(), self.right + self.took / 2, self.wall() + self.took


@pytest.mark.parametrize("off", [-1.5 * HOUR, 1.5 * HOUR, timedelta(seconds=-5)])
async def test_the_difference_is_learnt_and_taken_off(off: timedelta) -> None:
    machine = Machine(off)
    await machine.clock.look()
    assert machine.clock.now() == machine.right
    machine.seconds += 3600
    assert machine.clock.now() == machine.right


async def test_what_the_way_of_an_answer_may_be_is_let_be() -> None:
    machine = Machine(timedelta(milliseconds=20))
    await machine.clock.look()
    assert machine.clock.now() == machine.wall()
    slow = Machine(-HOUR)
    slow.took = timedelta(seconds=3)
    await slow.clock.look()
    assert slow.clock.now() == slow.wall()


async def test_a_clock_that_is_put_back_takes_nothing_back() -> None:
    machine = Machine()
    await machine.clock.look()
    machine.seconds += 5
    machine.off = -HOUR
    assert machine.clock.now() == machine.right
    await machine.clock.look()
    assert machine.clock.now() == machine.right
    machine.off = timedelta(0)  # and ahead again: until the next look it counts as it is
    assert machine.clock.now() == machine.right + HOUR
    await machine.clock.look()
    assert machine.clock.now() == machine.right


async def test_it_is_asked_now_and_then_beside_whoever_wants_to_know() -> None:
    machine = Machine()
    await machine.clock.look()
    for _ in range(100):
        machine.clock.now()
    await asyncio.sleep(0)
    assert machine.asked == 1
    machine.seconds += 10
    machine.off = HOUR
    for _ in range(100):
        machine.clock.now()
    await eventually(lambda: machine.asked == 2)
    assert machine.clock.now() == machine.right
    await machine.clock.aclose()


async def test_a_database_that_is_away_changes_nothing_and_a_difference_is_said_once() -> None:
    machine = Machine(-HOUR)
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            await machine.clock.look()
        machine.away = True
        await machine.clock.look()
        assert machine.clock.now() == machine.right
        machine.away, machine.off = False, timedelta(0)
        await machine.clock.look()
    assert [(line["event"], line["database_ahead_s"]) for line in said] == [
        ("clock_differs", 3600.0),
        ("clock_agrees", 0.0),
    ]


@asynccontextmanager
async def replica(url: str, of: Door) -> AsyncIterator[Door]:
    """Another process on the same database, with this machine's clock."""
    db = Database.open(url, PATIENT)
    try:
        await db.look_at_clock()
        yield Door(db, of.keys, of.settings, settle=of._settle, write_events=of._write_events, clock=db.now)
    finally:
        await db.aclose()


@pytest.mark.parametrize("off", [-1.5 * HOUR, 1.5 * HOUR])
async def test_replicas_with_clocks_that_differ_agree_on_what_has_expired(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    async with house(postgres_url) as acme, replica(postgres_url, acme.door) as right:
        monkeypatch.setattr(engine, "Clock", partial(Clock, wall=lambda: datetime.now(UTC) + off))
        async with replica(postgres_url, acme.door) as wrong:
            assert abs(wrong.clock() - right.clock()) < timedelta(minutes=5)
            source = await create(right, acme.ctx, NewSource("okta", state="active"))
            for made, used in ((right, wrong), (wrong, right)):
                until = made.clock() + HOUR
                token = await tokens.create(made, acme.ctx, source.id, "t", expires_at=until)
                assert await tokens.authenticate(used, token.token) is not None


async def test_what_a_process_opens_goes_by_it(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "k" * 48)
    monkeypatch.setattr(engine, "Clock", partial(Clock, wall=lambda: datetime.now(UTC) - HOUR))
    config = Config.model_validate({"database": {"url": postgres_url}, "secrets": {"key": ["env:KEY"]}})
    async with opening.opened(config) as door:
        assert abs(door.clock() - datetime.now(UTC)) < timedelta(minutes=5)


async def test_sqlite_goes_by_the_machine(url: str) -> None:
    db = Database.open(url, PATIENT)
    before = datetime.now(UTC)
    await db.look_at_clock()
    assert before <= db.now() <= datetime.now(UTC)
    await db.aclose()
