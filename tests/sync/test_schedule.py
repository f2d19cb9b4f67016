from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.sync.schedule import WrongSchedule, after_failure, following, full_is_due, in_quarantine, latest

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("15m", NOON + timedelta(minutes=15)),
        ("1.5h", NOON + timedelta(minutes=90)),
        ("0 3 * * *", datetime(2025, 6, 2, 3, 0, tzinfo=UTC)),
        ("0 12 * * *", NOON + timedelta(days=1)),
        ("*/5 * * * *", NOON + timedelta(minutes=5)),
    ],
)
def test_next_run_follows_interval_or_cron_line(schedule: str, expected: datetime) -> None:
    assert following(schedule, NOON) == expected


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", "7"), ("7", "7"), ("sun", "7"), ("SUN", "7"), ("1", "1"), ("6", "6"), ("1-5", "12345"),
        ("mon-fri", "12345"), ("5-7", "567"), ("sat-sun", "67"), ("sun-tue", "127"), ("0,3", "37"),
        ("1,fri", "15"), ("*/2", "2467"), ("1-5/2", "135"), ("0-7", "1234567"), ("*", "1234567"),
    ],
)  # fmt: skip
def test_weekdays_of_a_cron_line_are_those_of_crontab(field: str, days: str) -> None:
    """``days`` by ISO: 1 is Monday."""
    found, at = set(), NOON
    for _ in range(7):
        at = following(f"0 3 * * {field}", at)
        found.add(str(at.isoweekday()))
    assert "".join(sorted(found)) == days


@pytest.mark.parametrize(
    "schedule",
    [
        "", "soon", "15", "61 * * * *", "* * *", "0 0 31 2 *",
        "0 3 * * 8", "0 3 * * 5-1", "0 3 * * 1-", "0 3 * * day", "0 3 * * */0", "0 3 * * 1,",
        "0s", "0.5s", "99999999w", "9" * 400 + "w",
    ],
)  # fmt: skip
def test_wrong_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(WrongSchedule):
        following(schedule, NOON)


def test_failing_source_backs_off_to_an_hour() -> None:
    pauses = [after_failure("6h", NOON, failures, 0.0) for failures in (1, 2, 3, 6, 7, 99)]
    assert [pause - NOON for pause in pauses if pause] == [
        timedelta(minutes=n) for n in (1, 2, 4, 32, 60, 60)
    ]


def test_failing_source_is_not_tried_later_than_its_schedule_nor_within_a_minute() -> None:
    assert after_failure("15m", NOON, 9, 1.0) == NOON + timedelta(minutes=15)
    assert after_failure("5s", NOON, 1, 0.0) == NOON + timedelta(minutes=1)


def test_directory_that_asks_for_a_pause_gets_it() -> None:
    assert after_failure("15m", NOON, 1, 0.0, not_before_s=3600) == NOON + timedelta(hours=1)
    assert after_failure("15m", NOON, 1, 0.0, not_before_s=1e15) == NOON + timedelta(days=1)


@given(st.integers(1, 10_000), st.floats(0, 1), st.sampled_from(["1s", "10m", "1d", "*/2 * * * *"]))
def test_failing_source_is_tried_at_most_once_a_minute(failures: int, chance: float, schedule: str) -> None:
    again = after_failure(schedule, NOON, failures, chance)
    assert again is not None
    assert timedelta(minutes=1) <= again - NOON <= timedelta(minutes=72)


@pytest.mark.parametrize(("age_h", "hours"), [(0, 1), (0.9, 1), (1, 6), (6.9, 6), (7, 24), (700, 24)])
def test_quarantine_slows_down(age_h: float, hours: int) -> None:
    assert in_quarantine("15m", NOON, NOON - timedelta(hours=age_h)) == NOON + timedelta(hours=hours)


def test_source_without_schedule_has_no_next_run() -> None:
    assert after_failure(None, NOON, 1, 0.5) is None
    assert in_quarantine(None, NOON, NOON) is None


@pytest.mark.parametrize("schedule", ["1m", "15m", "7d", "0 3 * * *", "0 0 1 * *"])
def test_no_run_is_planned_for_later_than_the_latest(schedule: str) -> None:
    for minutes in range(0, 120, 7):
        now = NOON + timedelta(minutes=minutes)
        assert following(schedule, NOON) <= latest(schedule, now, troubled=False)
        for failures in range(1, 12):
            assert after_failure(schedule, NOON, failures, 1) <= latest(schedule, now, troubled=True)
        assert in_quarantine(schedule, NOON, NOON - timedelta(days=9)) <= latest(schedule, now, troubled=True)


@pytest.mark.parametrize(("days", "due"), [(None, True), (-7, True), (-6, False), (0, False), (1, True)])
def test_everything_is_compared_once_a_week_though_the_clock_was_ahead_the_last_time(
    days: int | None, due: bool
) -> None:
    assert full_is_due(None if days is None else NOON + timedelta(days=days), NOON) is due
