"""A thread of one's own for a library that blocks, and the bridge from the event loop to it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class OwnThread:
    """Does jobs one by one until told to end, then ``at_end``, and sets ``ended``.

    A daemon: a name server or a share that does not answer must not keep the process from ending, nor
    take a thread from those that the loop has for everybody.
    """

    def __init__(self, name: str, at_end: Callable[[], None]) -> None:
        self.ended = asyncio.Event()
        self._at_end = at_end
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=self._live, name=name, daemon=True).start()

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have it done when the jobs before it are. Whoever waits for it may stop waiting at any time."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((work, future))
        return future

    def end(self) -> None:
        """Let it end after the job that it is doing; allowed twice."""
        self._jobs.put(None)

    def _live(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                work, future = job
                try:
                    result = work()
                except Exception as exc:  # whoever waits gets it, whatever it is
                    self._tell(_fail, future, exc)
                else:
                    self._tell(_succeed, future, result)
        finally:
            self._at_end()
            self._tell(self.ended.set)

    def _tell(self, call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call, *args)


def _succeed(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], exc: Exception) -> None:
    if not future.done():
        future.set_exception(exc)
