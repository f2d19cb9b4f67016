"""Token buckets: how often somebody may do something, in bursts, in this process.

The key is what is stored of the caller, never what a request says of itself. Buckets live in memory:
with N processes a caller has N times as much. A row per request would cost more than the request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

_KEPT = 10_000


class Buckets:
    """A bucket per key: ``burst`` at once, and ``rate`` a second after that.

    At most 10,000 are kept. The one that was asked for longest ago goes first; by then it is full in
    all but an attack, and a full one is the same as none.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: dict[Hashable, tuple[float, float]] = {}  # what is left, as of when

    def take(self, key: Hashable) -> float:
        """Take one. Zero: there was one. Else the seconds until there is; a refusal takes nothing."""
        now = self._clock()
        left, at = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        allowed = left >= 1
        if len(self._left) >= _KEPT:
            del self._left[next(iter(self._left))]
        self._left[key] = (left - 1 if allowed else left, now)
        return 0.0 if allowed else (1 - left) / self._rate
