"""When a source runs next: by its interval or cron line, and less often while it fails."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from apscheduler.triggers.cron import CronTrigger

from scimd.org import lately

_INTERVAL = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_LONGEST_S = 10 * 366 * 86400
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(("[0-7]", *_DAYS[:7]))
_WEEKDAYS = re.compile(rf"(?:(?P<every>\*)|(?P<first>{_DAY})(?:-(?P<last>{_DAY}))?)(?:/(?P<step>\d+))?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: However often a source is wanted: a directory that fails is tried once a minute at most.
_AT_MOST = timedelta(minutes=1)
_BACK_OFF_UP_TO = timedelta(hours=1)
#: Spread, so that a hundred sources that failed together do not all come back together.
_JITTER = 0.2
#: So often each entry is compared with what is stored, whatever its digest says.
_FULL_EVERY = timedelta(weeks=1)
_QUARANTINE = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
#: What clocks of replicas may differ by.
_SKEW = timedelta(minutes=1)


def full_is_due(last: datetime | None, now: datetime) -> bool:
    return last is None or not lately.is_within(last, now, _FULL_EVERY)


class WrongSchedule(ValueError):
    """Neither an interval nor a cron line."""


def following(schedule: str, after: datetime) -> datetime:
    """The next time after ``after``. Raises WrongSchedule.

    A cron line is read in UTC, since a local hour may not exist, or exist twice; its weekdays are those
    of crontab(5).
    """
    interval = _INTERVAL.fullmatch(schedule.strip())
    if interval:
        seconds = float(interval[1]) * _UNITS[interval[2]]
        if not 1 <= seconds <= _LONGEST_S:
            raise WrongSchedule(f"{schedule!r}: an interval is at least a second, and at most ten years")
        return after + timedelta(seconds=seconds)
    try:
        *fields, weekdays = schedule.split()
        trigger = CronTrigger.from_crontab(" ".join([*fields, _weekdays(weekdays)]), timezone="UTC")
    except ValueError as exc:
        raise WrongSchedule(f'{schedule!r}: write an interval ("15m") or a cron line ("0 3 * * *")') from exc
    # The trigger gives a moment at or after its start; two runs of one minute are not wanted.
    found: datetime | None = trigger.get_next_fire_time(None, after + timedelta(microseconds=1))
    if found is None:
        raise WrongSchedule(f"{schedule!r}: there is no such time")
    return found


def _weekdays(field: str) -> str:
    """The last field of a cron line by names: crontab(5) counts from Sunday, APScheduler from Monday.

    Raises ValueError.
    """
    days: set[str] = set()
    for part in field.lower().split(","):
        found = _WEEKDAYS.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is no weekday")
        if found["every"]:
            first, last = 0, 6
        else:
            first, last = _number(found["first"]), _number(found["last"] or found["first"])
            last = 7 if last == 0 < first else last
            if last < first:
                raise ValueError(f"{part!r} ends before it begins")
        days.update(_DAYS[day] for day in range(first, last + 1, int(found["step"] or 1)))
    return ",".join(sorted(days))


def _number(day: str) -> int:
    return int(day) if day.isdigit() else _DAYS.index(day)


def after_failure(
    schedule: str | None, now: datetime, failures: int, chance: float, *, not_before_s: float = 0
) -> datetime | None:
    """The next try after ``failures`` in a row: a minute, two, four, … an hour at most.

    ``chance`` in 0 … 1 spreads it; ``not_before_s`` is what the directory itself asked for. Never
    sooner than a minute, nor later than the schedule would have it anyway, unless the directory asks; it
    is heeded for a day at most.
    """
    if schedule is None:
        return None
    pause = min(_AT_MOST * 2 ** min(max(failures - 1, 0), 10), _BACK_OFF_UP_TO) * (1 + _JITTER * chance)
    regular = max(following(schedule, now), now + _AT_MOST)
    asked = min(not_before_s, _QUARANTINE[-1].total_seconds())
    again: datetime = max(min(now + pause, regular), now + timedelta(seconds=asked))
    return again


def in_quarantine(schedule: str | None, now: datetime, since: datetime) -> datetime | None:
    """The next try in quarantine: 1 hour, 6 hours, then 24 hours after the last, by its age."""
    if schedule is None:
        return None
    age = now - since
    step = 0 if age < _QUARANTINE[0] else 1 if age < _QUARANTINE[0] + _QUARANTINE[1] else 2
    return max(now + _QUARANTINE[step], following(schedule, now))


def latest(schedule: str, now: datetime, *, troubled: bool) -> datetime:
    """No run is planned for later: one that is was planned while the clock was ahead.

    ``troubled``: the source fails or is in quarantine, and is tried less often than it is wanted.
    """
    regular = following(schedule, now + _SKEW)
    return max(regular, now + _QUARANTINE[-1] + _SKEW) if troubled else regular
