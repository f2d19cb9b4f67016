"""Calls of one kind that wait at the same moment share a transaction; each is answered as if alone.

A body for one person is mostly what a body for sixteen needs once: statements, locks, the seat pool's
row, COMMIT. So those who come while the writer is busy are recorded and settled as one. What cannot be
told apart is not done together: a refusal of the whole, an event of which nobody can say from whose
call it follows (``NotTogether``). Then nothing is left of it, and each call is run alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, TypeGuard, TypeVar, cast

from scimd import log
from scimd.core.errors import DatabaseUnavailable, Overloaded, Refusal, StorageFull
from scimd.db.faults import is_busy
from scimd.org.lines import AT_ONCE, Line, Waiter
from scimd.org.tx import Context, Door, NotTogether, Tx

logger = log.get(__name__)

#: Where calls could not be done together, the next ones will not be either: as when all seats are taken.
_WARY_S = 1.0
#: Batches of a line that are done at the same time: while one waits for PostgreSQL, which it does a few
#: times, the other goes on. SQLite's follow each other in any case.
_HANDS = {"sqlite": 1, "postgresql": 2}
W = TypeVar("W")
R = TypeVar("R")
#: What became of one call. An exception is raised to its caller; nothing was written for it.
Outcome: TypeAlias = R | Exception


@dataclass(frozen=True, slots=True)
class Kind(Generic[W, R]):
    """Calls that can be done together: of many wishes, an outcome each, in order.

    ``body`` says whom the nth wish concerns (``tx.concerns``), and ``then`` sees what settling made of it.
    Wishes and outcomes may travel to another process and back: they are values that ``pickle`` takes.
    """

    #: All there are; another process names them.
    known: ClassVar[dict[str, Kind[Any, Any]]] = {}

    name: str
    body: Callable[[Tx, Sequence[W]], list[Outcome[R]]]
    then: Callable[[Tx, list[Outcome[R]]], list[Outcome[R]]]

    def __post_init__(self) -> None:
        self.known[self.name] = self

    async def run(self, door: Door, ctx: Context, wish: W, claims: Sequence[str], weight: int = 1) -> R:
        """Do it, together with others of the same actor. Raises what became of it.

        ``claims``: what no other call of the same transaction may be about.
        """
        if ctx.once is not None:  # it takes its key in a transaction of its own
            return _given(await self._once(door, [(ctx, wish)], weight))
        if door.elsewhere is not None:
            return cast("R", await door.elsewhere.join(self.name, ctx, wish, claims, weight))
        return await self.join(door, ctx, wish, claims, weight)

    def join(
        self, door: Door, ctx: Context, wish: W, claims: Sequence[str], weight: int
    ) -> asyncio.Future[R]:
        """Have it done in this process. Raises Overloaded; the future raises what became of it."""
        key = (self.name, ctx.org_id, ctx.source_id, ctx.actor.id, ctx.door)
        line = cast("Line[tuple[Context, W], R] | None", door.lines.get(key))
        if line is None:
            line = door.lines[key] = self._line(door, lambda: door.lines.pop(key, None))
        return line.join((ctx, wish), claims, weight)

    def _line(self, door: Door, gone: Callable[[], Any]) -> Line[tuple[Context, W], R]:
        wary_until = 0.0

        async def do(batch: Sequence[Waiter[tuple[Context, W], R]]) -> Exception | None:
            nonlocal wary_until
            told: list[Outcome[R]] | None = None
            if len(batch) > 1 and time.monotonic() >= wary_until:
                told = await self._together(door, batch)
                if told is None:
                    wary_until = time.monotonic() + _WARY_S
            if told is None:
                told = await asyncio.gather(*(self._alone(door, each) for each in batch))
            return next(filter(_was_locked_out, told), None)

        tuning = door.db.tuning
        return Line(do, gone, tuning.writer_queue, tuning.timeout_s, _HANDS[door.db.dialect])

    async def _together(
        self, door: Door, batch: Sequence[Waiter[tuple[Context, W], R]]
    ) -> list[Outcome[R]] | None:
        """What became of each. None: nothing was done, and each has to be tried alone."""
        try:
            weight = sum(each.weight for each in batch)
            done = await self._once(door, [each.wish for each in batch], weight)
        except (Overloaded, DatabaseUnavailable, StorageFull) as exc:
            # Nobody would fare better alone; and what may have been committed must not be done again.
            done = [exc for _ in batch]
        except (NotTogether, Refusal):  # whose it is shows when each is run alone
            return None
        except Exception as exc:
            logger.warning(
                "calls_not_together",
                kind=self.name,
                calls=len(batch),
                error=type(exc).__name__,
                correlation_id=batch[0].wish[0].correlation_id,
            )
            return None
        for waiter, outcome in zip(batch, done, strict=True):
            waiter.tell(outcome)
        return done

    async def _alone(self, door: Door, waiter: Waiter[tuple[Context, W], R]) -> Outcome[R]:
        try:
            (outcome,) = await self._once(door, [waiter.wish], waiter.weight)
        except Exception as exc:
            outcome = exc
        waiter.tell(outcome)
        return outcome

    async def _once(self, door: Door, calls: Sequence[tuple[Context, W]], weight: int) -> list[Outcome[R]]:
        def body(tx: Tx) -> list[Outcome[R]]:
            tx.calls = [ctx for ctx, _ in calls]
            return self.body(tx, [wish for _, wish in calls])

        return await door.run(calls[0][0], body, then=self.then, short=weight <= AT_ONCE)


def _was_locked_out(outcome: object) -> TypeGuard[Exception]:
    """Whether another process had SQLite's lock for as long as anybody waits for it."""
    return isinstance(outcome, Overloaded) and outcome.__cause__ is not None and is_busy(outcome.__cause__)


def _given(outcomes: Sequence[Outcome[R]]) -> R:
    (outcome,) = outcomes
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
