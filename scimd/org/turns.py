"""The calls of one request, which follow each other, and leave what they leave one after the other.

They are begun beside each other, and each waits at the door for its turn. Those at the front that fit
together share a transaction (``Kind.in_turn``); else the first is done alone, and those behind it wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from scimd.core.errors import DatabaseUnavailable, Overloaded
from scimd.org.lines import AT_ONCE
from scimd.org.together import Kind
from scimd.org.tx import Context, Door, Tx

#: Where calls cannot share transactions again and again, so many are done before it is tried with more.
_MOST_CALM = 64
_ALONE: Final = object()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Call:
    kind: Kind[Any, Any]
    ctx: Context
    wish: Any
    claims: frozenset[str]
    weight: int


class Turn:
    """The place of one call, which is done by its ``door``. The first thing that it wants there waits."""

    def __init__(self, door: Door) -> None:
        loop = asyncio.get_running_loop()
        self.door: Door = _InTurn(door, self)
        #: Done once it waits; ``call`` is what may be shared.
        self.waits: asyncio.Future[None] = loop.create_future()
        self.call: _Call | None = None
        self._beyond = door
        self._given: asyncio.Future[Any] = loop.create_future()

    async def join(self, kind: str, ctx: Context, wish: Any, claims: Sequence[str], weight: int) -> Any:
        """As ``Door.elsewhere``."""
        known = Kind.known[kind]
        if not self.waits.done():
            self.call = _Call(known, ctx, wish, frozenset(claims), weight)
            outcome = await self._wait()
            if outcome is not _ALONE:
                return outcome
        return await known.run(self._beyond, ctx, wish, claims, weight)

    async def comes(self) -> None:
        """Wait for the turn, once."""
        if not self.waits.done():
            await self._wait()

    async def _wait(self) -> Any:
        self.waits.set_result(None)
        return await self._given

    def alone(self) -> None:
        """It may go on, as if it had just come."""
        self._give(_ALONE)

    def shared(self, outcome: Any) -> None:
        """It was done with others. An exception is raised to it."""
        self._give(outcome)

    def _give(self, outcome: Any) -> None:
        if isinstance(outcome, BaseException):
            self._given.set_exception(outcome)
        else:
            self._given.set_result(outcome)


class _InTurn(Door):
    """The door as one call of a request finds it."""

    def __init__(self, door: Door, turn: Turn) -> None:
        vars(self).update(vars(door))
        self.elsewhere = turn
        self._turn = turn

    async def run(
        self,
        ctx: Context,
        body: Callable[[Tx], T],
        *,
        then: Callable[[Tx, T], T] | None = None,
        timeout_s: float | None = None,
        short: bool = False,
    ) -> T:
        await self._turn.comes()
        return await super().run(ctx, body, then=then, timeout_s=timeout_s, short=short)


class Turns:
    """The calls of one request. Fewer share a transaction after some that could not, and more again later."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._most = AT_ONCE
        # So many have to be done until more may share, and are since it was last decided.
        self._calm = 1
        self._done = 0

    async def let(self, begun: Sequence[tuple[Turn, asyncio.Task[Any]]]) -> int:
        """Let the first one do what it waits for, with as many behind it as can share that; gives how many.

        A task that has ended is such a one: it wanted nothing.
        """
        front = await self._fitting(begun)
        many = await self._share(front) if len(front) > 1 else 0
        if many == 0:
            begun[0][0].alone()
        self._go_on(many or 1)
        return many or 1

    async def _fitting(self, begun: Sequence[tuple[Turn, asyncio.Task[Any]]]) -> list[tuple[Turn, _Call]]:
        """Those at the front whose calls are of one kind, are about different things, and little work."""
        front: list[tuple[Turn, _Call]] = []
        claimed: set[str] = set()
        weight = 0
        for turn, task in begun[: self._most]:
            if not (turn.waits.done() or task.done()):
                await asyncio.wait((turn.waits, task), return_when=asyncio.FIRST_COMPLETED)
            call = turn.call
            if call is None or (front and call.kind is not front[0][1].kind):
                break
            weight += call.weight
            if weight > AT_ONCE or not claimed.isdisjoint(call.claims):
                break
            claimed |= call.claims
            front.append((turn, call))
        return front

    async def _share(self, front: Sequence[tuple[Turn, _Call]]) -> int:
        """Do them in one transaction; gives of how many it is known now what became of them."""
        kind = front[0][1].kind
        wishes = [(call.ctx, call.wish) for _, call in front]
        try:
            done = await kind.in_turn(self._door, wishes, sum(call.weight for _, call in front))
        except DatabaseUnavailable as exc:
            done = [exc] * len(front)
        except Overloaded as exc:
            done = [exc]
        if done is None:
            self._most = max(1, len(front) // 2)
            self._calm = min(2 * self._calm, _MOST_CALM)
            self._done = 0
            return 0
        for (turn, _), outcome in zip(front, done, strict=False):
            turn.shared(outcome)
        self._calm = max(1, self._calm // 2)
        return len(done)

    def _go_on(self, many: int) -> None:
        self._done += many
        if self._done >= self._calm:
            self._most = min(2 * self._most, AT_ONCE)
            self._done = 0
