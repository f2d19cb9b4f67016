"""What an organization's own people are told of by mail: topics, occurrences, how often.

*Occurrence*: one thing that one mail per recipient tells, known by its key for ever. *Subject*: what
it is about, such as one source's quarantine; a subject is written about once a day at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

from scimd.core.events import EventKind

Topic = Literal["held", "quarantine", "tokens", "seats", "silent", "failed", "alarms"]
TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)
#: In ``to``: whoever is an active Account Admin when it happens.
ACCOUNT_ADMINS: Final = "account-admins"

What = Literal[
    "held",
    "config_held",
    "quarantined",
    "quarantine_cause",
    "quarantine_weekly",
    "quarantine_paused",
    "quarantine_left",
    "token_expires",
    "seats_nearly_full",
    "seats_full",
    "seats_over_limit",
    "silent_source",
    "silent_push",
    "failed",
    "alarm",
]
TOPIC_OF: Final[Mapping[What, Topic]] = {
    "held": "held",
    "config_held": "held",
    "quarantined": "quarantine",
    "quarantine_cause": "quarantine",
    "quarantine_weekly": "quarantine",
    "quarantine_paused": "quarantine",
    "quarantine_left": "quarantine",
    "token_expires": "tokens",
    "seats_nearly_full": "seats",
    "seats_full": "seats",
    "seats_over_limit": "seats",
    "silent_source": "silent",
    "silent_push": "silent",
    "failed": "failed",
    "alarm": "alarms",
}
#: The events that are told of, in the order in which the database's index of them names their kinds.
OF_EVENT: Final[Mapping[str, What]] = {
    EventKind.CONFIG_HELD: "config_held",
    EventKind.RUN_HELD: "held",
    EventKind.SEATS_OVER_LIMIT: "seats_over_limit",
    EventKind.SOURCE_ALARM: "alarm",
    EventKind.SOURCE_QUARANTINED: "quarantined",
    EventKind.SOURCE_QUARANTINE_CAUSE: "quarantine_cause",
    EventKind.SOURCE_RECOVERED: "quarantine_left",
}

#: How many days before its end a credential is told of.
LEADS: Final = (1, 3, 14)
#: A subject is written about once within this.
ONCE_WITHIN: Final = timedelta(days=1)
WEEK: Final = timedelta(weeks=1)
#: A source that is in quarantine for so long is paused.
QUARANTINE_AT_MOST: Final = timedelta(days=28)
NEARLY_FULL: Final = 0.9


@dataclass(frozen=True, slots=True)
class Occurrence:
    """``told``: the figures and names that the mail says, JSON, and never a secret.

    ``lasting``: a state that holds until it does not, and may begin again; else it happens once.
    """

    key: str
    what: What
    subject: str
    told: Mapping[str, Any] = field(default_factory=dict)
    lasting: bool = False


def lead(expires_at: datetime, now: datetime) -> int | None:
    """The smallest of ``LEADS`` that the rest of its life fits in; None: it is not yet time."""
    rest = expires_at - now
    return next((days for days in LEADS if timedelta(0) < rest <= timedelta(days=days)), None)


def weeks(since: datetime, now: datetime) -> int:
    """Whole weeks in quarantine; none of one that began while the clock was ahead."""
    return max(0, (now - since) // WEEK)


def seats(used: int, limit: int | None) -> Literal["seats_nearly_full", "seats_full"] | None:
    """What there is to tell of a pool. Without a limit, or with none to give, nothing."""
    if not limit or used > limit:
        return None  # above the limit is an alarm of its own
    if used == limit:
        return "seats_full"
    return "seats_nearly_full" if used >= limit * NEARLY_FULL else None
