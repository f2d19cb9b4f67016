"""How long a connection may be silent, and how many a process holds.

aiohttp ends a connection ``IDLE_S`` after its last answer, whatever arrives of the next head meanwhile.
A first head has to be complete sooner. Where a process holds as many connections as it may, those make
room that have not asked yet, then those that have been idle for longest; where all are busy, whoever
comes is told so. So files remain for the database.
"""

from __future__ import annotations

import asyncio
import math
import resource

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from scimd import log
from scimd.http import broken

logger = log.get(__name__)

#: Longer than proxies keep a connection to a server by default (60 s): they are to end it, not we.
IDLE_S = 75.0
HEAD_S = 15.0
_AT_MOST = 2000
_TOLD_EVERY_S = 60.0
#: So long somebody who was turned away may take to read it.
_GOODBYE_S = 1.0
_RETRY_AFTER_S = 5


class Room:
    """Watches over a server's connections from now on. Belongs to one event loop."""

    def __init__(self, server: web.Server, at_most: int | None = None, head_s: float = HEAD_S) -> None:
        self._at_most = at_most or room_for()
        self._head_s = head_s
        self._loop = asyncio.get_running_loop()
        self._inside: dict[RequestHandler, asyncio.Transport] = {}
        #: Whose first head is due when, in that order.
        self._new: dict[RequestHandler, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = -math.inf
        self._closed = self._refused = 0
        made, lost = server.connection_made, server.connection_lost

        def connection_made(handler: RequestHandler, transport: asyncio.Transport) -> None:
            made(handler, transport)
            self._enter(handler, transport)

        def connection_lost(handler: RequestHandler, exc: BaseException | None = None) -> None:
            self._leave(handler)
            lost(handler, exc)

        server.connection_made = connection_made  # type: ignore[method-assign]
        server.connection_lost = connection_lost  # type: ignore[method-assign]

    def _enter(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        if len(self._inside) >= self._at_most and not self._make_room():
            self._turn_away(handler, transport)
        self._inside[handler] = transport
        due = self._new[handler] = self._loop.time() + self._head_s
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._look)

    def _leave(self, handler: RequestHandler) -> None:
        self._inside.pop(handler, None)
        self._new.pop(handler, None)

    def _look(self) -> None:
        """End those who have asked nothing in their time; look again when the next one's is over."""
        self._timer = None
        now = self._loop.time()
        for handler, due in tuple(self._new.items()):
            if due > now:
                self._timer = self._loop.call_at(due, self._look)
                return
            del self._new[handler]
            if not _has_asked(handler):
                handler.force_close()

    def _make_room(self) -> bool:
        idle = [each for each in self._inside if _is_idle(each)]
        if not idle:
            return False
        longest = min(idle, key=lambda each: (_has_asked(each), each._next_keepalive_close_time))
        self._leave(longest)
        longest.force_close()
        self._closed += 1
        self._tell()
        return True

    def _turn_away(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        self._refused += 1
        self._tell()
        handler.close()  # what it asks is not read any more
        if len(self._inside) > self._at_most * 5 // 4:  # even saying so takes files
            self._loop.call_soon(transport.abort)  # aiohttp is still about to begin with it
            return
        transport.write(_FULL)
        transport.write_eof()
        self._loop.call_later(_GOODBYE_S, handler.force_close)

    def _tell(self) -> None:
        now = self._loop.time()
        if now - self._told_at < _TOLD_EVERY_S:
            return
        self._told_at = now
        logger.warning(
            "connections_full", at_most=self._at_most, idle_closed=self._closed, refused=self._refused
        )
        self._closed = self._refused = 0


def room_for() -> int:
    """Half of the files that this process may open (``ulimit -n``), and 2,000 at most."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _AT_MOST if files == resource.RLIM_INFINITY else max(1, min(files // 2, _AT_MOST))


def _has_asked(handler: RequestHandler) -> bool:
    return handler._request_count > 0


def _is_idle(handler: RequestHandler) -> bool:
    """It waits for a head, of which a part may be here."""
    waiter = handler._waiter
    return not _has_asked(handler) or (waiter is not None and not waiter.done())


def _full() -> bytes:
    """Before any path is known, as in ``broken``: with the form of a SCIM error."""
    body = broken.body_of(503, "scimd holds as many connections as it may. Send the request again later.")
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        f"Content-Type: {broken.MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Retry-After: {_RETRY_AFTER_S}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


_FULL = _full()
