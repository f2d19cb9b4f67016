"""Calls of one kind that wait at the same moment share a transaction; each is answered as if alone.

A body for one person is mostly what a body for sixteen needs once: statements, locks, the seat pool's
row, COMMIT. So those who come while the writer is busy are recorded and settled as one. What cannot be
told apart is not done together: a refusal of the whole, an event of which nobody can say from whose
call it follows (``NotTogether``). Then nothing is left of it, and each call is run alone.

Calls of one request, which follow each other, may share a transaction too (``in_turn``), where it leaves what
they leave one after the other: all of them succeed, and nothing in it depends on which came first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeAlias, TypeGuard, TypeVar, cast

from scimd import log
from scimd.core.errors import DatabaseUnavailable, Overloaded, Refusal, StorageFull
from scimd.core.events import EventKind
from scimd.core.travelling import travels
from scimd.db.faults import is_busy
from scimd.org.lines import AT_ONCE, Line, Waiter
from scimd.org.tx import Context, Door, NotTogether, Tx

logger = log.get(__name__)

#: Where calls could not be done together, the next ones will not be either: as when all seats are taken.
_WARY_S = 1.0
#: Batches of a line that are done at the same time: while one waits for PostgreSQL, which it does a few
#: times, the other goes on. SQLite's follow each other in any case.
_HANDS = {"sqlite": 1, "postgresql": 2}
#: What may come of calls of one request that share a transaction: of these each person has their own, whoever
#: came before. Whoever becomes an Account Admin is not among them: so the last one is kept in order, too.
_EACH_THEIR_OWN = frozenset(
    {
        EventKind.PERSON_CREATED,
        EventKind.PERSON_UPDATED,
        EventKind.PERSON_STATUS_CHANGED,
        EventKind.PERSON_DELETED,
        EventKind.GRANT_GIVEN,
        EventKind.GRANT_TAKEN,
        EventKind.GRANT_DORMANT,
        EventKind.GRANT_WOKEN,
        EventKind.SEAT_TAKEN,
        EventKind.SEAT_FREED,
        EventKind.INVITATION_CREATED,
        EventKind.INVITATION_CANCELLED,
        EventKind.GROUP_MEMBERS_CHANGED,
        EventKind.SESSION_ENDED,
    }
)
W = TypeVar("W")
R = TypeVar("R")
#: What became of one call. An exception is raised to its caller; nothing was written for it.
Outcome: TypeAlias = R | Exception


@travels
@dataclass(frozen=True, slots=True)
class InTurn(Generic[W]):
    """The wishes of calls of one request, in order, in the place of one: see ``Kind.in_turn``."""

    calls: Sequence[tuple[Context, W]]


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
        return cast("R", await self.join(door, ctx, wish, claims, weight))

    async def in_turn(
        self, door: Door, calls: Sequence[tuple[Context, W]], weight: int
    ) -> Sequence[R] | None:
        """Do calls of one request, no two of which have a claim in common, in one transaction.

        It leaves what they leave one after the other. None: nothing was done, and they have to be done so.
        Each has a context of its own. Raises DatabaseUnavailable, after which it may be done, and Overloaded
        where whoever tries again would only wait as long.
        """
        wish = InTurn([(replace(ctx, in_turn=True), each) for ctx, each in calls])
        if door.elsewhere is not None:
            return cast(
                "Sequence[R] | None", await door.elsewhere.join(self.name, calls[0][0], wish, (), weight)
            )
        return await self._in_turn(door, wish, weight)

    async def _in_turn(self, door: Door, wish: InTurn[W], weight: int) -> Sequence[R] | None:
        try:
            return cast("Sequence[R]", await self._once(door, wish.calls, weight))
        except DatabaseUnavailable:  # what may have been committed must not be done again
            raise
        except (NotTogether, Refusal) as exc:
            if _was_locked_out(exc):
                raise
        except Exception as exc:
            self._was_vain(wish.calls, exc)
        return None

    def join(
        self, door: Door, ctx: Context, wish: W | InTurn[W], claims: Sequence[str], weight: int
    ) -> asyncio.Future[Any]:
        """Have it done in this process. Raises Overloaded; the future raises what became of it."""
        if isinstance(wish, InTurn):
            return asyncio.ensure_future(self._in_turn(door, wish, weight))
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
            self._was_vain([each.wish for each in batch], exc)
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

        return await door.run(calls[0][0], body, then=self._then, short=weight <= AT_ONCE)

    def _then(self, tx: Tx, outcomes: list[Outcome[R]]) -> list[Outcome[R]]:
        told = self.then(tx, outcomes)
        if len(tx.calls) > 1:
            refused = any(isinstance(each, Exception) for each in told)
            # A promotion follows each call by which somebody else's turn has come.
            if refused or tx.seats_owed or any(event.kind not in _EACH_THEIR_OWN for event in tx.events):
                tx.order_matters()
        return told

    def _was_vain(self, calls: Sequence[tuple[Context, W]], exc: Exception) -> None:
        logger.warning(
            "calls_not_together",
            kind=self.name,
            calls=len(calls),
            error=type(exc).__name__,
            correlation_id=calls[0][0].correlation_id,
        )


def _was_locked_out(outcome: object) -> TypeGuard[Exception]:
    """Whether another process had SQLite's lock for as long as anybody waits for it."""
    return isinstance(outcome, Overloaded) and outcome.__cause__ is not None and is_busy(outcome.__cause__)


def _given(outcomes: Sequence[Outcome[R]]) -> R:
    (outcome,) = outcomes
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
