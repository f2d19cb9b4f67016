"""How much of a long piece of work goes into one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable

from scimd.org.tx import Context, Door, Tx

_AT_FIRST = 50


class Pace:
    """As many as take ``hold_s``, at most ``most``: what one transaction holds, others wait for.

    On SQLite that is the whole database, on PostgreSQL the rows; ``factor`` is how much longer a
    transaction may take there.
    """

    def __init__(self, door: Door, most: int, *, hold_s: float, factor: float = 4.0) -> None:
        self._door, self._most = door, most
        self._hold_s = hold_s if door.db.dialect == "sqlite" else hold_s * factor
        self.size = min(most, _AT_FIRST)

    async def run(self, ctx: Context, body: Callable[[Tx], int]) -> int:
        """Run a batch, which gives its number; the next one is to take as long as it may.

        Its commit does not count: that takes as long for a small batch.
        """
        began_at = took_s = 0.0

        def timed(tx: Tx) -> int:
            nonlocal began_at
            began_at = time.monotonic()
            return body(tx)

        def then(tx: Tx, number: int) -> int:
            nonlocal took_s
            took_s = time.monotonic() - began_at
            return number

        number = await self._door.run(ctx, timed, then=then)
        if number:
            self._took(number, took_s)
        return number

    def _took(self, number: int, seconds: float) -> None:
        fits = int(number * self._hold_s / max(seconds, 1e-6))
        self.size = max(1, self.size // 2, min(fits, self.size * 2, self._most))

    def failed(self) -> None:
        """One of them is bad: look for it in smaller batches."""
        self.size = max(1, self.size // 4)
