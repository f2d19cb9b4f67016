"""Whatever comes by whichever door, in any order: V1, V4, V6-V8, V10-V13, V16, V17 hold after each step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from scimd.org.authentication import passwords
from scimd.org.tx import DoorSettings
from scimd.sync import registry
from tests.doors.base import Running
from tests.doors.machine import Doors
from tests.sync.world import Point


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_found", lambda: {"scripted": Point()})
    # What a password costs is no matter here.
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(params=[200, 2], ids=["settled", "marked"])
def running(database_url: str, request: pytest.FixtureRequest) -> Iterator[Running]:
    found = Running(database_url, DoorSettings(settle_at_once=request.param))
    try:
        yield found
    finally:
        found.close()


def played(running: Running, examples: int, steps: int, *, always_the_same: bool = False) -> None:
    class Bound(Doors):
        pass

    Bound.running = running
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=always_the_same,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_history_by_every_door_keeps_what_is_promised(running: Running) -> None:
    played(running, examples=4, steps=50, always_the_same=True)


@pytest.mark.long
def test_a_long_history_by_every_door_keeps_what_is_promised(running: Running) -> None:
    played(running, examples=150, steps=80)
