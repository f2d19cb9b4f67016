"""What answering processes want written, done together in one: ``org.together`` across processes.

SQLite has one writer at a time, and a transaction of sixteen calls costs little more than one of four. So
those who answer hand their calls to the first process, over a socket of the two. Messages are a length
and a pickle, of all that was said in one turn of the event loop; both ends are scimd's own processes.
"""

from __future__ import annotations

import asyncio
import itertools
import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias, cast

from scimd import log
from scimd.core.errors import DatabaseUnavailable, Refusal
from scimd.org.together import Kind
from scimd.org.tx import Context, Door
from scimd.scim.errors import ScimError

logger = log.get(__name__)

_LENGTH = 4
_GONE = (
    "The process that writes has ended. Whether the change was made is not known: read it again, then "
    "repeat the request if it is missing."
)
#: Number, kind, on whose behalf, wish, claims, weight; see ``Kind.join``.
Call: TypeAlias = tuple[int, str, Context, Any, Sequence[str], int]
#: Number, whether it is to be raised, what became of it.
Outcome: TypeAlias = tuple[int, bool, Any]


class _End(asyncio.Protocol, ABC):
    """One end of the socket."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._read = bytearray()
        self._said: list[Any] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        read, at = self._read, 0
        read += data
        while len(read) - at >= _LENGTH:
            end = at + _LENGTH + int.from_bytes(read[at : at + _LENGTH])
            if len(read) < end:
                break
            self.heard(pickle.loads(bytes(read[at + _LENGTH : end])))  # noqa: S301 - from our own process
            at = end
        del read[:at]

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    @abstractmethod
    def heard(self, message: list[Any]) -> None:
        """What the other end said in one turn of its loop."""

    def say(self, what: Any) -> None:
        if not self._said:
            self._loop.call_soon(self._send)
        self._said.append(what)

    def _send(self) -> None:
        said, self._said = self._said, []
        if self._transport is None:  # nobody is there who could be told
            return
        try:
            message = pickle.dumps(said, protocol=5)
        except Exception:
            message = pickle.dumps([each for each in said if self._travels(each)], protocol=5)
        self._transport.write(len(message).to_bytes(_LENGTH) + message)

    def _travels(self, what: Any) -> bool:
        """Whether it can be written down; whoever waits for it is told otherwise."""
        try:
            pickle.dumps(what, protocol=5)
        except Exception as exc:
            self.unsaid(what, exc)
            return False
        return True

    @abstractmethod
    def unsaid(self, what: Any, exc: Exception) -> None:
        """What was to be said cannot be written down."""


class Elsewhere(_End):
    """The end of one who answers: ``Door.elsewhere``."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    def join(
        self, kind: str, ctx: Context, wish: Any, claims: Sequence[str], weight: int
    ) -> asyncio.Future[Any]:
        if self._transport is None:
            raise DatabaseUnavailable()
        number, future = next(self._numbers), self._loop.create_future()
        self._waiting[number] = future
        self.say((number, kind, ctx, wish, claims, weight))
        return future

    def heard(self, message: list[Outcome]) -> None:
        for number, raised, outcome in message:
            future = self._waiting.pop(number)
            if future.done():  # nobody waits any more
                continue
            if raised:
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def unsaid(self, what: Call, exc: Exception) -> None:
        future = self._waiting.pop(what[0])
        if not future.done():
            future.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(DatabaseUnavailable(why=_GONE))
        self._waiting.clear()


class Desk(_End):
    """The end of the one who writes."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self._door = door

    def heard(self, message: list[Call]) -> None:
        for number, kind, ctx, wish, claims, weight in message:
            try:
                done = Kind.known[kind].join(self._door, ctx, wish, claims, weight)
            except Refusal as refusal:
                self.say((number, True, refusal))
            else:
                done.add_done_callback(partial(self._tell, number, ctx.correlation_id))

    def _tell(self, number: int, correlation_id: str, done: asyncio.Future[Any]) -> None:
        exc = done.exception()
        if exc is None:
            self.say((number, False, done.result()))
        else:
            self.say((number, True, _portable(exc, correlation_id)))

    def unsaid(self, what: Outcome, exc: Exception) -> None:
        number, _, outcome = what
        self.say((number, True, RuntimeError(f"{type(outcome).__name__}: {type(exc).__name__}")))


def _portable(exc: BaseException, correlation_id: str) -> BaseException:
    """What is foreseen travels; what nobody foresaw is logged here, where its traceback is."""
    if isinstance(exc, Refusal | ScimError):
        return exc
    logger.error("call_failed", correlation_id=correlation_id, exc_info=exc)
    return RuntimeError(f"{type(exc).__name__} in the process that writes; its log has the rest")
