"""What keeps the database from being used, told to the log: callers are told only that it is away."""

from __future__ import annotations

import time

from scimd import log
from scimd.core.errors import DatabaseUnavailable, StorageFull
from scimd.db.faults import TOO_SLOW, driver_error, first_line
from scimd.db.work import STOPPING

logger = log.get(__name__)

#: Thousands of calls meet the same trouble: it is said no more often.
SAY_AGAIN_S = 10.0


class Trouble:
    """Says ``database_unavailable`` where it begins and now and then while it lasts; ``database_recovered``
    once a call succeeds again. One for those who write and one for those who read: of a full disk, and of a
    server that only follows another, one can read. A statement that takes too long is no trouble of the
    database's.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._silent_until = 0.0  # on time.monotonic
        self._said = False

    def met(self, refusal: DatabaseUnavailable | StorageFull) -> None:
        now = time.monotonic()
        if refusal.detail in (STOPPING, TOO_SLOW) or now < self._silent_until:
            return
        self._silent_until = now + SAY_AGAIN_S
        self._said = True
        logger.error(
            "database_unavailable",
            doing=self._doing,
            code=refusal.code,
            why=refusal.detail,
            cause=_cause(refusal),
        )

    def over(self) -> None:
        """A call succeeded."""
        if self._said:
            self._said = False
            logger.info("database_recovered", doing=self._doing)


def _cause(refusal: BaseException) -> str | None:
    cause = refusal.__cause__
    return None if cause is None else f"{type(driver_error(cause)).__name__}: {first_line(cause)}"
