"""What happened lately, and counts: within a window that ends now, whatever the clock has done since.

What lies ahead of now was written while the clock was ahead. It does not count before its time has come, and
so holds nobody longer than the window; whoever guesses gains one more window by it, once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.sql import ColumnElement

#: What the clocks of several processes may differ by, which all go by the database's.
_APART = timedelta(seconds=5)


def happened(column: ColumnElement[datetime], now: datetime, window: timedelta) -> ColumnElement[bool]:
    """Rows of which it did."""
    return (column > now - window) & (column <= now + _APART)


def is_ahead(column: ColumnElement[datetime], now: datetime) -> ColumnElement[bool]:
    """Rows that were written while the clock was ahead."""
    return column > now + _APART


def is_within(moment: datetime, now: datetime, window: timedelta) -> bool:
    """The same of one moment."""
    return now - window < moment <= now + _APART


def over_in_s(oldest: datetime, now: datetime, window: timedelta) -> float:
    """In how many seconds the oldest of what counts does no more: one at least, the window at most."""
    return max(1.0, (min(oldest, now) + window - now).total_seconds())
