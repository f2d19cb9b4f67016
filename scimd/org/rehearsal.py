"""Rehearse a call of the door: all of it happens, and is rolled back before its transaction ends.

What it would do is told by the entries that the audit would have, so that a preview cannot come out
otherwise than the call itself. It holds the writer for as long as the call would: for a few people.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from scimd.core.events import Event
from scimd.db.savepoints import go_back, set_savepoint
from scimd.org.tx import Context, Door, Tx

T = TypeVar("T")


class _Rehearsal(Door):
    """A door through which nothing comes."""

    def __init__(self, door: Door) -> None:
        super().__init__(
            door.db,
            door.keys,
            door.settings,
            settle=door._settle,
            write_events=door._write_events,
            clock=door.clock,
        )
        self.books = door.books
        self.events: list[Event] = []

    async def run(
        self,
        ctx: Context,
        body: Callable[[Tx], T],
        *,
        then: Callable[[Tx, T], T] | None = None,
        timeout_s: float | None = None,
        short: bool = False,
    ) -> T:
        def staged(tx: Tx) -> T:
            set_savepoint(tx.conn)
            return body(tx)

        def rolled_back(tx: Tx, value: T) -> T:
            told = value if then is None else then(tx, value)
            self.events = list(tx.events)
            tx.events.clear()
            # Not by an error: SQLite runs again what fails after it wrote, and others with it.
            go_back(tx.conn)
            return told

        # An Idempotency-Key is for what is done.
        return await super().run(
            replace(ctx, once=None), staged, then=rolled_back, timeout_s=timeout_s, short=short
        )

    async def _follow_up(self, tx: Tx) -> None:
        """Nothing came of it."""


async def rehearse(door: Door, work: Callable[[Door], Awaitable[T]]) -> tuple[T, tuple[Event, ...]]:
    """What the call would give, and the events that it would record. Raises what it would raise.

    ``work`` makes one call of the door that it is given.
    """
    stage = _Rehearsal(door)
    value = await work(stage)
    return value, tuple(stage.events)
