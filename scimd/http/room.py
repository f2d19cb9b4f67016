"""How long a connection may be silent, and how many a process holds.

aiohttp ends a connection ``IDLE_S`` after its last answer, whatever arrives of the next head meanwhile.
A first head has to be complete sooner. Of an answer that waits to be taken some has to be taken within
``STALLED_S``, and all of it within ``TAKEN_S``. Where a process holds as many connections as it may, those
make room that take nothing of their answers, then those that have not asked yet, then those that have been
idle for longest, then those that take their answers slowly; where all are busy, whoever comes is told so.
So files remain for the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import resource
import struct
import sys
import termios
from dataclasses import dataclass

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from scimd import log
from scimd.http import broken
from scimd.http.half_closed import is_waiting

logger = log.get(__name__)

#: Longer than proxies keep a connection to a server by default (60 s): they are to end it, not we.
IDLE_S = 75.0
HEAD_S = 15.0
STALLED_S = 60.0
TAKEN_S = 900.0
#: Where there is no room, so long is enough for having taken nothing; or for not having taken all.
_STALLED_IN_THE_WAY_S, _SLOW_IN_THE_WAY_S = 5.0, 60.0
_LOOK_EVERY_S = 2.0
_AT_MOST = 2000
_TOLD_EVERY_S = 60.0
#: So long somebody who was turned away may take to read it.
_GOODBYE_S = 1.0
_RETRY_AFTER_S = 5


@dataclass(slots=True)
class _Untaken:
    """What of its answers a client has still to take, as it was when that was last another number."""

    left: int
    since: float
    moved: float


class Room:
    """Watches over a server's connections from now on. Belongs to one event loop."""

    def __init__(
        self,
        server: web.Server,
        at_most: int | None = None,
        head_s: float = HEAD_S,
        stalled_s: float = STALLED_S,
        taken_s: float = TAKEN_S,
    ) -> None:
        self._at_most = at_most or room_for()
        self._head_s = head_s
        self._stalled_s, self._taken_s = stalled_s, taken_s
        self._loop = asyncio.get_running_loop()
        self._inside: dict[RequestHandler, asyncio.Transport] = {}
        #: Whose first head is due when, in that order.
        self._new: dict[RequestHandler, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        #: Whose answers wait, as was seen at the last look.
        self._untaken: dict[RequestHandler, _Untaken] = {}
        self._watch: asyncio.TimerHandle | None = None
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
        if self._watch is None:
            self._watch = self._loop.call_later(_LOOK_EVERY_S, self._look_at_writing)

    def _leave(self, handler: RequestHandler) -> None:
        self._inside.pop(handler, None)
        self._new.pop(handler, None)
        self._untaken.pop(handler, None)

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

    def _look_at_writing(self) -> None:
        """End those who take nothing of what waits for them, or too little.

        Also where the connection was closed meanwhile: it lasts until all is written. That all answers are
        looked at from here, now and then, costs the writing of them nothing.
        """
        self._watch = None
        now = self._loop.time()
        for handler, transport in tuple(self._inside.items()):
            left = _left(transport)
            untaken = self._untaken.get(handler)
            if not left:
                self._untaken.pop(handler, None)
            elif untaken is None:
                self._untaken[handler] = _Untaken(left, now, now)
            elif now - untaken.since >= self._taken_s:
                transport.abort()
            elif left != untaken.left:
                untaken.left, untaken.moved = left, now
            elif now - untaken.moved >= self._stalled_s:
                transport.abort()
        if self._inside:
            self._watch = self._loop.call_later(_LOOK_EVERY_S, self._look_at_writing)

    def _in_the_way(self) -> RequestHandler | None:
        """Who is to make room, if anybody is."""
        now = self._loop.time()
        # Whoever has taken all since the last look may have asked for something else, which is being done.
        untaken = {each: found for each, found in self._untaken.items() if _left(self._inside[each])}
        stalled = {
            each: found.moved for each, found in untaken.items() if now - found.moved >= _STALLED_IN_THE_WAY_S
        }
        if stalled:
            return min(stalled, key=stalled.__getitem__)
        idle = [each for each in self._inside if is_waiting(each)]
        if idle:
            return min(idle, key=lambda each: (_has_asked(each), each._next_keepalive_close_time))
        slow = {
            each: found.since for each, found in untaken.items() if now - found.since >= _SLOW_IN_THE_WAY_S
        }
        return min(slow, key=slow.__getitem__) if slow else None

    def _make_room(self) -> bool:
        found = self._in_the_way()
        if found is None:
            return False
        transport = self._inside[found]
        self._leave(found)
        if _left(transport):  # nobody waits for that
            transport.abort()
        else:
            found.force_close()
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
        logger.warning("connections_full", at_most=self._at_most, closed=self._closed, refused=self._refused)
        self._closed = self._refused = 0


def room_for() -> int:
    """Half of the files that this process may open (``ulimit -n``), and 2,000 at most."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _AT_MOST if files == resource.RLIM_INFINITY else max(1, min(files // 2, _AT_MOST))


def _has_asked(handler: RequestHandler) -> bool:
    return handler._request_count > 0


def _left(transport: asyncio.Transport) -> int:
    """Bytes that wait to be written and, where any do, those that the client has not acknowledged.

    What is written is with the system, which has room for megabytes; from a slow reader it wants to hear
    nothing for minutes, while there is progress.
    """
    left = transport.get_write_buffer_size()
    if left and sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # it is closed, or no socket
            file = transport.get_extra_info("socket").fileno()
            left += int(struct.unpack("i", fcntl.ioctl(file, termios.TIOCOUTQ, bytes(4)))[0])
    return left


def _full() -> bytes:
    """Before any path is known, as in ``broken``: with the form of a SCIM error."""
    body = broken.body_of(503, "scimd has reached its limit of connections. Send the request again later.")
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        f"Content-Type: {broken.MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Retry-After: {_RETRY_AFTER_S}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


_FULL = _full()
