"""Tables that have just been filled, of which PostgreSQL has to learn what is in them (``db.statistics``)."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

from scimd import log
from scimd.core.errors import DatabaseUnavailable, Overloaded
from scimd.db import statistics
from scimd.org.tx import Door

logger = log.get(__name__)
#: So often somebody looks, who fills tables or who is there for it.
EVERY_S = 2.0
_AT_MOST_S = 5.0
#: Where no row was to be seen: as often as it takes somebody to commit, but an emptied table is no new one.
_TRIES = 10


class NewTables:
    """Has PostgreSQL look at tables that have just been filled, each until it has seen what is in it.

    For whoever fills many at a time: the worker every few seconds, and a sync beside its batches, which may
    be the first to write at all.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._tried: Counter[str] = Counter()
        self._not_before = 0.0  # on the monotonic clock

    async def look(self, timeout_s: float | None = None) -> None:
        if self._door.db.dialect == "postgresql":
            over = [name for name, times in self._tried.items() if times >= _TRIES]
            looked_at = partial(statistics.look_at_new_tables, tried=over)
            for name, done in (await self._door.db.write(looked_at, timeout_s=timeout_s)).items():
                self._tried[name] += _TRIES if done else 1

    async def look_now_and_then(self) -> None:
        """As ``look``, beside other work: at most every two seconds, and not for long; what fails is logged.

        Somebody else may hold a table's lock for long, as who builds an index does. Work goes on, slower.
        """
        if time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + EVERY_S
        try:
            await self.look(_AT_MOST_S)
        except (DatabaseUnavailable, Overloaded) as exc:
            logger.info("new_tables_not_looked_at", why=str(exc))
