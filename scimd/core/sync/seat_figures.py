"""An organization's seats, as a plan or another change of many people would leave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

#: They give theirs back; they wait for one and would no more; they want one, and neither hold one nor wait.
SeatMove: TypeAlias = Literal["freed", "waits no more", "wanted"]
Moves: TypeAlias = Mapping[SeatMove, int]


def seat_move(*, holds: bool, wanted: bool, wants: bool) -> SeatMove | None:
    """What becomes of one person's seat: whether they hold one, want one now, and would want one then."""
    if holds:
        return None if wants else "freed"
    if wanted:
        return None if wants else "waits no more"
    return "wanted" if wants else None


def moves(many: Iterable[SeatMove | None]) -> Counter[SeatMove]:
    """How often each."""
    return Counter(each for each in many if each is not None)


@dataclass(frozen=True, slots=True)
class Seats:
    """The organization's pool as it is; ``limit`` None: no limit. ``waiting``: who comes before newcomers."""

    limit: int | None
    used: int
    waiting: int = 0

    def _free(self, made: Moves) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used + made.get("freed", 0))

    def owed(self, made: Moves) -> int:
        """How many go to those who wait already, and still would, where so many become free."""
        waiting, free = self.waiting - made.get("waits no more", 0), self._free(made)
        return max(0, waiting if free is None else min(waiting, free))

    def left(self, made: Moves) -> int | None:
        """How many are left for newcomers; None: as many as want one."""
        free = self._free(made)
        return None if free is None else free - self.owed(made)

    def told(self, made: Moves) -> dict[str, int | None]:
        """As far as it can be told before applying. ``waiting``: of those who want one anew."""
        freed, wanted, left = made.get("freed", 0), made.get("wanted", 0), self.left(made)
        fits = wanted if left is None else min(wanted, left)
        return {
            "limit": self.limit,
            "before": self.used,
            "freed": freed,
            "wanted": wanted,
            "after": self.used - freed + self.owed(made) + fits,
            "waiting": wanted - fits,
        }
