"""A time limit that costs nothing where nothing is waited for.

``asyncio.timeout`` sets and cancels a timer of the event loop. Reads that are answered on the loop's own
thread never wait, so they need none: no other work of the loop can run before they are done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Within(Generic[T]):
    """Await a coroutine, from the moment when it first waits for at most ``limit_s`` more.

    Raises TimeoutError then, as ``asyncio.timeout`` does.
    """

    __slots__ = ("_limit_s", "_work")

    def __init__(self, limit_s: float, work: Coroutine[Any, Any, T]) -> None:
        self._limit_s = limit_s
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            waits_for = self._work.send(None)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        return (yield from self._timed(waits_for).__await__())

    async def _timed(self, waits_for: Any) -> T:
        async with asyncio.timeout(self._limit_s):
            return await _Begun(self._work, waits_for)


class _Begun(Generic[T]):
    """The rest of a coroutine that has run up to what it first waits for."""

    __slots__ = ("_waits_for", "_work")

    def __init__(self, work: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        work, waits_for = self._work, self._waits_for
        while True:
            try:
                sent = yield waits_for
            except BaseException as exc:  # a cancellation is the coroutine's to answer
                step = partial(work.throw, exc)
            else:
                step = partial(work.send, sent)
            try:
                waits_for = step()
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
