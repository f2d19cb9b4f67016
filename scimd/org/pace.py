"""How much of a long piece of work goes into one transaction."""

from __future__ import annotations

from scimd.org.tx import Door

_AT_FIRST = 50


class Pace:
    """As many as take ``hold_s``, at most ``most``: what one transaction holds, others wait for.

    On SQLite that is the whole database, on PostgreSQL the rows; ``factor`` is how much longer a
    transaction may take there.
    """

    def __init__(self, door: Door, most: int, *, hold_s: float, factor: float = 4.0) -> None:
        self._most = most
        self._hold_s = hold_s if door.db.dialect == "sqlite" else hold_s * factor
        self.size = min(most, _AT_FIRST)

    def took(self, number: int, seconds: float) -> None:
        """A batch of ``number`` took so long: the next one is to take as long as it may."""
        fits = int(number * self._hold_s / max(seconds, 1e-6))
        self.size = max(1, self.size // 2, min(fits, self.size * 2, self._most))

    def failed(self) -> None:
        """One of them is bad: look for it in smaller batches."""
        self.size = max(1, self.size // 4)
