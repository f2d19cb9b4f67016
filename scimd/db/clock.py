"""The time by the database's clock, which several machines share, without asking it each time.

On PostgreSQL this process's clock is compared with the server's: when the database is opened, and then beside
the requests, at most every ten seconds while anybody asks for the time. On SQLite both are the machine's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection

from scimd import log
from scimd.core.errors import DatabaseUnavailable, Overloaded, StorageFull
from scimd.db.locks import now_of_database

logger = log.get(__name__)
_EVERY_S: Final = 10.0
#: An answer that took longer says too little.
_AT_MOST_S: Final = 1.0
#: Clocks that are kept by NTP differ by less; what is measured of that is mostly the way of the answer.
_LET_BE: Final = timedelta(milliseconds=50)
#: A difference from which on somebody should look after the clocks.
_WORTH_SAYING: Final = timedelta(seconds=5)

#: The body's moments before and after, and the database's between them.
Measured: TypeAlias = tuple[datetime, datetime, datetime]
Read: TypeAlias = Callable[[Callable[[Connection], Any], float], Awaitable[Measured]]


def _wall() -> datetime:
    return datetime.now(UTC)


class Correction:
    """What has to be added to this machine's clock."""

    def __init__(self, wall: Callable[[], datetime], steady: Callable[[], float]) -> None:
        self._wall, self._steady = wall, steady
        self.offset = timedelta(0)
        #: The earliest that it can be: where the machine's clock is put back, this goes on.
        self._from: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        moment = self._wall()
        if self._from is not None:
            began, since = self._from
            moment = max(moment, began + timedelta(seconds=self._steady() - since))
        return moment + self.offset

    def learn(self, before: datetime, theirs: datetime, after: datetime) -> None:
        """``theirs`` was the time at the database at some moment between the other two, of this machine."""
        took = after - before
        if not timedelta(0) <= took <= timedelta(seconds=_AT_MOST_S):
            return
        found = theirs - (before + took / 2)
        if abs(found - self.offset) > took / 2 + _LET_BE:
            self.offset = found
        self._from = after, self._steady()


class Clock:
    """Of one process and one PostgreSQL."""

    def __init__(
        self,
        read: Read,
        *,
        wall: Callable[[], datetime] = _wall,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """``read``: runs a body on the database, within so many seconds."""
        self._read, self._wall, self._steady = read, wall, steady
        self._correction = Correction(wall, steady)
        self._due = steady()
        self._looking: asyncio.Task[None] | None = None
        self._said = False

    def now(self) -> datetime:
        if self._steady() >= self._due:
            self._look_soon()
        return self._correction.now()

    def _look_soon(self) -> None:
        """On the loop of whoever asks; a thread's body has asked before it began."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._due = self._steady() + _EVERY_S
        self._looking = loop.create_task(self.look())

    async def look(self) -> None:
        """Compare the clocks now. Where the database is away, what was found before goes on."""
        self._due = self._steady() + _EVERY_S
        try:
            self._correction.learn(*await self._read(self._measured, 2 * _AT_MOST_S))
        except (DatabaseUnavailable, Overloaded, StorageFull):
            return
        offset = self._correction.offset
        if (abs(offset) >= _WORTH_SAYING) != self._said:
            self._said = not self._said
            event = "clock_differs" if self._said else "clock_agrees"
            logger.warning(event, database_ahead_s=round(offset.total_seconds(), 1))

    def _measured(self, conn: Connection) -> Measured:
        """Asked twice, since the first answer may wait for what goes before it."""
        asked = []
        for _ in range(2):
            before = self._wall()
            theirs = now_of_database(conn)
            asked.append((before, theirs, self._wall()))
        return min(asked, key=lambda one: abs(one[2] - one[0]))

    async def aclose(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
