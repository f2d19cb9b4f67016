"""An organization's seats, as a plan would leave them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seats:
    """The organization's pool as it is; ``limit`` None: no limit. ``waiting``: who comes before newcomers."""

    limit: int | None
    used: int
    waiting: int = 0

    def owed(self, freed: int) -> int:
        """How many go to those who wait already, where so many become free."""
        if self.limit is None:
            return self.waiting
        return min(self.waiting, max(0, self.limit - self.used + freed))

    def left(self, freed: int) -> int | None:
        """How many are left for newcomers; None: as many as want one."""
        if self.limit is None:
            return None
        return max(0, self.limit - self.used + freed - self.owed(freed))

    def told(self, wanted: int, freed: int, freed_if_held: int) -> dict[str, int | None]:
        """As far as it can be told before applying; ``*_if_held``: without the removals."""
        told: dict[str, int | None] = {
            "limit": self.limit, "before": self.used, "freed": freed, "wanted": wanted,
        }  # fmt: skip
        for given_back, suffix in ((freed, ""), (freed_if_held, "_if_held")):
            left = self.left(given_back)
            fits = wanted if left is None else min(wanted, left)
            told[f"after{suffix}"] = self.used - given_back + self.owed(given_back) + fits
            told[f"waiting{suffix}"] = wanted - fits
        return told
