"""A connection in the thread that it lives in, bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self, TypeVar

from connectors.ldap.config import LdapConfig
from connectors.ldap.wire import Connection
from connectors.own_thread import OwnThread
from scimd.connector_api import ConnectorError, Deadline, Incomplete, Log, Unreachable

T = TypeVar("T")
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
        self._is_closed = False
        self._is_waiting = False
        self.connection = Connection(config, deadline)

    async def __aenter__(self) -> Self:
        if self._deadline.passed:
            raise Unreachable(f"{self._config.url}: the time allowed was over")
        self._thread = OwnThread("ldap-read", self.connection.close)
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
        future = self._thread.begin(work)
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
        self._thread.end()
        if self._is_waiting:
            self.connection.cut()
        try:
            async with asyncio.timeout(_CLOSING_S):
                await self._thread.ended.wait()
        except TimeoutError:  # a name server that does not answer: nothing to cut yet
            self._log.warning("ldap_thread_left_behind", url=self._config.url)
