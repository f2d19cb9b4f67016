"""When something changed last: never before the time that it had, though the clock has been put back since.

Clients read on from there (``lastModified gt …``), and nothing changes before it was made.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import bindparam, case
from sqlalchemy.sql import ColumnElement

from scimd.db.types import UtcDateTime

_NEXT = timedelta(microseconds=1)


def not_before(former: datetime, now: datetime) -> datetime:
    """Of a row that is at hand."""
    return max(former, now)


def after(former: datetime | None, now: datetime) -> datetime:
    """When what follows that happens: of two, the later one is the one with the later time."""
    return now if former is None else not_before(former + _NEXT, now)


def not_before_stored(
    column: ColumnElement[datetime], now: datetime | None = None
) -> ColumnElement[datetime]:
    """Of rows that are not: what to set the column to. ``now`` None: it comes as the parameter ``_now``."""
    moment = bindparam("_now" if now is None else None, now, UtcDateTime, required=now is None)
    return case((column > moment, column), else_=moment)
