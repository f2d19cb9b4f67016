"""A time limit that costs nothing where nothing is waited for, and next to nothing elsewhere.

``asyncio.timeout`` sets and cancels a timer of the event loop. Reads that are answered on the loop's own
thread never wait, so they need none: no other work of the loop can run before they are done. Those that
wait under the same limit are due in the order in which they began to, so one timer does for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Limit:
    """So many seconds for each that waits under it. Belongs to one event loop."""

    __slots__ = ("_due", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: In the order in which they are due.
        self._due: dict[Within[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, waiting: Within[Any]) -> None:
        loop = asyncio.get_running_loop()
        due = self._due[waiting] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._look, loop)

    def end(self, waiting: Within[Any]) -> None:
        self._due.pop(waiting, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End those who are due; look again when the next one is. Nobody waits: no timer."""
        self._timer = None
        now = loop.time()
        for waiting, due in tuple(self._due.items()):
            if due > now:
                self._timer = loop.call_at(due, self._look, loop)
                return
            del self._due[waiting]
            waiting.expire()


class Within(Generic[T]):
    """Await a coroutine, from the moment when it first waits for at most the limit's seconds more.

    Raises TimeoutError then, as ``asyncio.timeout`` does.
    """

    __slots__ = ("_cancelling", "_expired", "_limit", "_task", "_work")

    _task: asyncio.Task[Any]

    def __init__(self, limit: Limit, work: Coroutine[Any, Any, T]) -> None:
        self._limit = limit
        self._work = work
        self._expired = False
        self._cancelling = 0

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            waits_for = self._work.send(None)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        return (yield from self._rest(waits_for))

    def _rest(self, waits_for: Any) -> Generator[Any, Any, T]:
        """The coroutine from what it first waits for to its end."""
        work = self._work
        self._begin()
        try:
            while True:
                thrown = None
                try:
                    sent = yield waits_for
                except BaseException as exc:  # a cancellation is the coroutine's to answer
                    thrown = exc
                waits_for = work.send(sent) if thrown is None else work.throw(thrown)
        except StopIteration as done:
            self._ended()
            return done.value  # type: ignore[no-any-return]
        except BaseException as exc:
            if self._ended() and type(exc) is asyncio.CancelledError:
                raise TimeoutError from exc
            raise
        finally:
            thrown = None  # it knows this frame

    def _begin(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit is for a task")
        self._task, self._cancelling = task, task.cancelling()
        self._limit.begin(self)

    def expire(self) -> None:
        """The time is over."""
        self._expired = True
        self._task.cancel()

    def _ended(self) -> bool:
        """Whether it was the time that ended it, and nobody else."""
        self._limit.end(self)
        return self._expired and self._task.uncancel() <= self._cancelling
