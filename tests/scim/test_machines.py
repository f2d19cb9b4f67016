"""Users and groups by any sequence of requests, against simple models (V4-V8, V16, V17, V19)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.scim.machines import Groups, Machine, Server, Users


@pytest.fixture
def server(database_url: str) -> Iterator[Server]:
    running = Server(database_url)
    try:
        yield running
    finally:
        running.close()


def played(machine: type[Machine], server: Server, examples: int, steps: int) -> None:
    class Bound(machine):  # type: ignore[misc, valid-type]
        pass

    Bound.server = server
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("machine", [Users, Groups])
def test_any_sequence_of_requests_leaves_what_the_model_says(machine: type[Machine], server: Server) -> None:
    played(machine, server, examples=12, steps=40)


@pytest.mark.long
@pytest.mark.parametrize("machine", [Users, Groups])
def test_ten_thousand_requests_leave_what_the_model_says(machine: type[Machine], server: Server) -> None:
    played(machine, server, examples=200, steps=60)
