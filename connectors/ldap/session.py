"""The thread that a connection lives in, and the bridge from the event loop to it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Self, TypeVar

from connectors.ldap.config import LdapConfig
from connectors.ldap.wire import Connection
from scimd.connector_api import ConnectorError, Deadline, Incomplete, Log, Unreachable

T = TypeVar("T")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]
_CLOSING_S = 3.0


class Session:
    """A bound connection for the length of one read, as an async context manager.

    Whoever waits may stop waiting at any time, by cancellation or deadline: the line is then cut, so
    that the thread comes back from libldap and ends.
    """

    def __init__(self, config: LdapConfig, log: Log, deadline: Deadline) -> None:
        self._config = config
        self._log = log
        self._deadline = deadline
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._is_closed = False
        self._is_waiting = False
        self.connection = Connection(config, deadline)

    async def __aenter__(self) -> Self:
        if self._deadline.passed:
            raise Unreachable(f"{self._config.url}: the time allowed was over")
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        # A daemon: a name server that does not answer must not keep the process from ending.
        threading.Thread(target=self._live, name="ldap-read", daemon=True).start()
        try:
            await self.run(self.connection.open, 2 * self._config.connect_timeout_s, late=Unreachable)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def run(
        self, work: Callable[[], T], limit_s: float, *, late: type[ConnectorError] = Incomplete
    ) -> T:
        """Have the thread do something; raises ``late`` when it takes longer than limit or deadline."""
        if self._is_closed:
            raise Incomplete(f"{self._config.url}: the source was closed while it was read")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((work, future))
        self._is_waiting = True
        try:
            async with asyncio.timeout(min(limit_s, self._deadline.remaining_s())):
                return await future
        except TimeoutError as exc:
            self.connection.cut()
            raise late(f"{self._config.url} did not answer in the time allowed") from exc
        except asyncio.CancelledError:
            self.connection.cut()
            raise
        finally:
            self._is_waiting = False

    async def aclose(self) -> None:
        """End the thread and the connection; allowed twice, and while a job runs, which then fails."""
        self._is_closed = True
        self._jobs.put(None)
        if self._is_waiting:
            self.connection.cut()
        try:
            async with asyncio.timeout(_CLOSING_S):
                await self._ended.wait()
        except TimeoutError:  # a name server that does not answer: nothing to cut yet
            self._log.warning("ldap_thread_left_behind", url=self._config.url)

    def _live(self) -> None:
        """Do the jobs one by one; runs in the thread."""
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
            self.connection.close()
            self._tell(self._ended.set)

    def _tell(self, call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call, *args)


def _succeed(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], exc: Exception) -> None:
    if not future.done():
        future.set_exception(exc)
