"""Seats: who gets one, who waits, who is refused.

- A *pool* is an organization's seats. Without a limit everybody fits.
- A *claim* is a newcomer's wish in the present change; a *waiter* is somebody whose wish was not met.
- The *fair order*: whoever waits longest, then newcomers by source priority, rule number, external id.

Nobody is evicted: a pool above its limit only shrinks as people leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from scimd.core.errors import SeatLimitReached
from scimd.core.people import PersonId

#: What happens to a newcomer without a free seat: waits, is refused, or gets one above the limit.
Policy = Literal["hold", "reject", "allow"]


@dataclass(frozen=True, slots=True)
class Pool:
    """``used`` is as stored, before the change. ``allow_overage``: growth above the limit is legal."""

    limit: int | None
    used: int
    allow_overage: bool = False


@dataclass(frozen=True, slots=True)
class PoolSeen:
    """A pool as it was a moment ago, without its lock, and whether anybody waited for a seat in it."""

    pool: Pool
    waited_for: bool


@dataclass(frozen=True, slots=True)
class Claim:
    person_id: PersonId
    priority: int = 0
    rule: int = 0
    external_id: str = ""
    policy: Policy = "hold"

    @property
    def turn(self) -> tuple[int, int, str, str]:
        return self.priority, self.rule, self.external_id, self.person_id


@dataclass(frozen=True, slots=True)
class Waiter:
    person_id: PersonId
    since: datetime

    @property
    def turn(self) -> tuple[datetime, str]:
        return self.since, self.person_id


@dataclass(frozen=True, slots=True)
class Allotment:
    """Who gets a seat, in order; which newcomers wait or are refused; ``used`` as to be written."""

    promoted: tuple[PersonId, ...]
    seated: tuple[PersonId, ...]
    waiting: tuple[PersonId, ...]
    refused: tuple[PersonId, ...]
    used: int


def free_seats(pool: Pool, freed: int = 0) -> int | None:
    """How many people fit, after ``freed`` seats were given back; None without a limit."""
    return None if pool.limit is None else max(0, pool.limit - pool.used + freed)


def fits(pool: Pool, wanted: int, freed: int = 0) -> bool:
    """Whether everybody who wants a seat gets one, where nobody waits: then no order has to be found."""
    free = free_seats(pool, freed)
    return free is None or wanted <= free


def give(pool: Pool, freed: int, claims: Sequence[Claim], waiting: Sequence[Waiter]) -> Allotment:
    """Give out what is free, in the fair order.

    ``freed`` seats come back in the same change. ``waiting`` holds at least as many of the longest
    waiting as seats may be free; their order, and that of the claims, carries no meaning. A claim of
    somebody who waits already keeps their older turn. Only ``allow``, in a pool with
    ``allow_overage``, takes a seat above the limit; it takes none from those who wait.
    """
    queue = [waiter.person_id for waiter in sorted(waiting, key=lambda w: w.turn)]
    free = free_seats(pool, freed)
    promoted = queue if free is None else queue[:free]
    left = None if free is None else free - len(promoted)
    seated: list[PersonId] = []
    held: list[PersonId] = []
    refused: list[PersonId] = []
    queued = frozenset(queue)
    for claim in sorted(claims, key=lambda c: c.turn):
        if claim.person_id in queued:
            continue
        if left is None or left > 0:
            seated.append(claim.person_id)
            left = None if left is None else left - 1
        elif claim.policy == "allow" and pool.allow_overage:
            seated.append(claim.person_id)
        else:
            (refused if claim.policy == "reject" else held).append(claim.person_id)
    used = pool.used - freed + len(promoted) + len(seated)
    return Allotment(tuple(promoted), tuple(seated), tuple(held), tuple(refused), used)


def refusal(
    pool: Pool, invited: int, who: str, verb: str = "created", get_more_url: str | None = None
) -> SeatLimitReached:
    """The refusal with its figures. ``invited`` of the used seats are held by people not yet Active.

    Only a pool with a limit refuses anybody.
    """
    if pool.limit is None:
        raise ValueError("a pool without a limit refuses nobody")
    return SeatLimitReached(
        limit=pool.limit,
        used=pool.used,
        active=pool.used - invited,
        invited=invited,
        who=who,
        verb=verb,
        get_more_url=get_more_url,
    )
