"""Pools: projects and licences that only a limited number of people may have.

- A *thing* is a project with a quota, or a licence with a limit.
- A *slot* is one of its number. Who holds a slot is a fact that settling writes, as it does for seats.
- A slot is *wanted* by whoever the thing would be given to, and who is Active, or Pending with nothing
  against them but that they have to accept, wait for a seat, or have no project yet.

Slots are given in the fair order of seats (``core.seats``): who waits longest, then newcomers by source
priority, rule number, external id. Nobody is evicted: a pool above its limit only shrinks.
"""

from __future__ import annotations

from scimd.core.errors import PoolLimitReached
from scimd.core.facts import Facts, Rules, Thing
from scimd.core.seats import Pool

WAITS = "the limit is reached, and others came first"


class Slots:
    """Which limited things a person wants, and of which of them they hold a slot.

    ``barred`` says why they may not want any at present, or is empty.
    """

    __slots__ = ("_held", "_limited", "barred", "wanted")

    def __init__(self, facts: Facts, rules: Rules, barred: str) -> None:
        self._held, self._limited, self.barred = facts.slots, rules.limited, barred
        self.wanted: set[Thing] = set()

    def without(self, thing: Thing) -> bool:
        """Whether the thing is limited and the person has no slot of it. Notes that they want one."""
        if thing not in self._limited:
            return False
        if self.barred:
            return True
        self.wanted.add(thing)
        return thing not in self._held

    @property
    def why(self) -> str:
        """Why something stays without effect for want of a slot."""
        return f"none of a limited number while {self.barred}" if self.barred else WAITS


def refusal(pool: Pool, thing: Thing, name: str, who: str, verb: str) -> PoolLimitReached:
    """The refusal with its figures. Only a pool with a limit refuses anybody."""
    if pool.limit is None:
        raise ValueError("a pool without a limit refuses nobody")
    return PoolLimitReached(kind=thing[0], name=name, limit=pool.limit, used=pool.used, who=who, verb=verb)
