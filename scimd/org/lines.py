"""A line of those who wait for the same thing: while it is done for some, the next ones gather."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from scimd.core.errors import Overloaded

#: So many are taken at a time, by weight: some 10 ms of work.
AT_ONCE = 32
#: A request that is read in one turn of the loop arrives here in the next.
_QUIET = 2
W = TypeVar("W")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Waiter(Generic[W, R]):
    """One who waits. No two of one batch have a claim in common; ``weight``: how much work it is."""

    wish: W
    claims: frozenset[str]
    weight: int
    since: float  # of the loop's clock
    future: asyncio.Future[R]

    def tell(self, outcome: R | BaseException) -> None:
        if self.future.done():  # nobody waits any more
            return
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


@dataclass(slots=True)
class Line(Generic[W, R]):
    """``do`` is given each batch, tells every one of it, and raises nothing. ``gone``: nobody is left.

    What ``do`` gives, if anything, is told to all who wait by then: they would only wait as long again.

    Whoever arrives alone is taken at once; those who arrive in turns of the loop that follow each other are
    one batch. ``hands``: so many batches are done at the same time; no two are about the same. Whoever has
    waited for longer than ``patience_s`` when their turn comes is turned away.
    """

    do: Callable[[Sequence[Waiter[W, R]]], Awaitable[Exception | None]]
    gone: Callable[[], None]
    most: int
    patience_s: float
    hands: int = 1
    _waiting: deque[Waiter[W, R]] = field(default_factory=deque)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _gathering: bool = False
    _under_way: set[str] = field(default_factory=set)  # claims

    def join(self, wish: W, claims: Iterable[str], weight: int = 1) -> asyncio.Future[R]:
        """Stand in line. Raises Overloaded where ``most`` wait; the future, for whoever waited too long."""
        if len(self._waiting) >= self.most:
            raise Overloaded()
        loop = asyncio.get_running_loop()
        waiter: Waiter[W, R] = Waiter(wish, frozenset(claims), weight, loop.time(), loop.create_future())
        self._waiting.append(waiter)
        self._begin(loop)
        return waiter.future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have a hand gather who waits, where one is free and none does."""
        if not self._gathering and len(self._tasks) < self.hands:
            self._gathering = True
            self._tasks.add(loop.create_task(self._serve(loop)))

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._waiting:
                self._gathering = True
                try:
                    await self._gathered()
                finally:
                    self._gathering = False
                batch = self._next(loop.time())
                if batch:
                    if self._waiting:
                        self._begin(loop)  # with what was too much, or is about another
                    await self._do(batch)
                elif self._under_way:
                    return  # whoever does that goes on with those who wait for it
                if self._gathering:
                    return  # another hand is free, and has begun
        finally:
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            if not self._tasks:
                self.gone()

    async def _do(self, batch: Sequence[Waiter[W, R]]) -> None:
        claims = frozenset[str]().union(*(each.claims for each in batch))
        self._under_way |= claims
        try:
            in_vain = await self.do(batch)
        finally:
            self._under_way -= claims
        if in_vain is not None:
            while self._waiting:
                self._waiting.popleft().tell(in_vain)

    async def _gathered(self) -> None:
        """Turn after turn of the loop, while they bring somebody: a busy loop takes in few at each."""
        quiet = 0
        while quiet < _QUIET and len(self._waiting) < AT_ONCE:
            there = len(self._waiting)
            await asyncio.sleep(0)
            quiet = 0 if len(self._waiting) > there else quiet + 1

    def _next(self, now: float) -> list[Waiter[W, R]]:
        """As many from the front as fit together; who is about the same as one before waits behind it.

        Nobody, where all who wait are about what is under way.
        """
        batch: list[Waiter[W, R]] = []
        left: deque[Waiter[W, R]] = deque()
        claimed = set(self._under_way)
        weight = 0
        while self._waiting and (not batch or weight < AT_ONCE):
            waiter = self._waiting.popleft()
            if waiter.future.done():
                continue
            if now - waiter.since > self.patience_s:
                waiter.tell(Overloaded())
            elif claimed.isdisjoint(waiter.claims) and (not batch or weight + waiter.weight <= AT_ONCE):
                batch.append(waiter)
                weight += waiter.weight
                claimed |= waiter.claims
            else:
                left.append(waiter)
                claimed |= waiter.claims
        left.extend(self._waiting)
        self._waiting = left
        return batch
