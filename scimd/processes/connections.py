"""Clients' connections: one process holds the port, and hands each connection to one who answers.

If all who answer accepted for themselves, one of them would have most of a burst, and a client that keeps
a few connections open all day would keep one processor busy. So the connection goes, as an open file
over a socket of the two, to whoever has the fewest.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from scimd import log

logger = log.get(__name__)

_BACKLOG = 128
#: At one turn of the loop.
_AT_ONCE = 64
#: How long nothing is accepted when the system has no more files, or nobody has room.
_REST_S = 0.5
#: So often those who answer are asked whether they still do; after so many questions in vain others come
#: before them, and after so many they hang.
_ASK_S = 2.0
_SLOW, _HANGS = 3, 30
_ONE = b"+"
_ASKED = b"?"
_HERE = b"!"
_READY = b"r"
_CLOSED = b"-"


@dataclass(slots=True, eq=False)
class Answerer:
    """Somebody who answers, as the process with the port sees them; ``sock``: to them."""

    sock: socket.socket
    ready: bool = False
    held: int = 0
    asked: int = 0  # since they last said something
    hangs: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, connection: socket.socket) -> bool:
        """Hand it over; False where they take none."""
        try:
            socket.send_fds(self.sock, (_ONE,), (connection.fileno(),))
        except OSError:  # gone, or busy with more than is sensible
            return False
        self.held += 1
        return True


class Port:
    """The port, and who answers behind it. ``host``: None is all addresses of the machine."""

    def __init__(self, host: str | None, port: int) -> None:
        self._listening = _bound(host, port)
        self.answerers: list[Answerer] = []
        self._loop = asyncio.get_running_loop()
        self._accepting = False
        self._resting: asyncio.TimerHandle | None = None
        self._asked_at = self._loop.time()
        self._asking = self._loop.call_later(_ASK_S, self._ask)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listening[0].getsockname()[:2]
        return host, port

    def join(self, sock: socket.socket) -> Answerer:
        """Somebody will answer, once they say that they are ready. Theirs is the other end of ``sock``."""
        sock.setblocking(False)
        answerer = Answerer(sock)
        self.answerers.append(answerer)
        self._loop.add_reader(sock, self._heard, answerer)
        return answerer

    def leave(self, answerer: Answerer) -> None:
        if answerer in self.answerers:
            self.answerers.remove(answerer)
            self._loop.remove_reader(answerer.sock)
            answerer.sock.close()
            self._look()

    def close(self) -> None:
        """No new connections; whoever waits in the system's queue is turned away."""
        self._asking.cancel()
        self._rest()
        for sock in self._listening:
            sock.close()
        self._listening = []
        for answerer in self.answerers:
            answerer.ready = False

    def _heard(self, answerer: Answerer) -> None:
        try:
            said = answerer.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:  # they ended; who started them sees it too
            self.leave(answerer)
            return
        answerer.asked = 0
        answerer.held -= said.count(_CLOSED)
        if _READY in said and self._listening:
            answerer.ready = True
            self._look()

    def _ask(self) -> None:
        """Ask all who answer. Where this comes late the machine, or all of us, stood still: nobody hangs."""
        now = self._loop.time()
        late, self._asked_at = now - self._asked_at > 2 * _ASK_S, now
        for each in self.answerers:
            if late or not each.ready:
                each.asked = 0
            elif each.asked >= _HANGS and not each.hangs.is_set():
                logger.error("answerer_hangs", for_s=_HANGS * _ASK_S)
                each.hangs.set()
            each.asked += 1
            with contextlib.suppress(OSError):
                each.sock.send(_ASKED)
        self._asking = self._loop.call_later(_ASK_S, self._ask)

    def _look(self) -> None:
        """Accept while there is somebody who answers: else clients wait in the system's queue."""
        wanted = any(each.ready for each in self.answerers)
        if wanted and not self._accepting:
            self._accepting = True
            for sock in self._listening:
                self._loop.add_reader(sock, self._accept, sock)
        elif self._accepting and not wanted:
            self._rest()

    def _rest(self, for_s: float | None = None) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._accepting:
            self._accepting = False
            for sock in self._listening:
                self._loop.remove_reader(sock)
        if for_s is not None:
            self._resting = self._loop.call_later(for_s, self._look)

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:  # no more files, or no memory
                logger.error("not_accepted", error=exc.strerror or str(exc), again_in_s=_REST_S)
                self._rest(_REST_S)
                return
            with connection:
                if not self._given(connection):
                    logger.error("connection_refused", why="nobody who answers takes it", again_in_s=_REST_S)
                    self._rest(_REST_S)
                    return

    def _given(self, connection: socket.socket) -> bool:
        """Whoever holds the fewest gets it, of those who say something."""
        return any(
            each.give(connection)
            for each in sorted(self.answerers, key=lambda answerer: (answerer.asked > _SLOW, answerer.held))
            if each.ready
        )


def _bound(host: str | None, port: int) -> list[socket.socket]:
    """Sockets that listen at all the addresses of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as stack:
        listening = []
        for family, kind, proto, _, address in dict.fromkeys(found):
            try:
                sock = stack.enter_context(socket.socket(family, kind, proto))
            except OSError:  # a kind of address that this system does not know
                continue
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
            sock.setblocking(False)
            listening.append(sock)
        stack.pop_all()
    return listening


class Taking:
    """The end of one who answers: ``sock`` is the other end of ``Answerer.sock``."""

    def __init__(self, sock: socket.socket, server: web.Server, ended: Callable[[], None]) -> None:
        self._sock = sock
        self._server = server
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._joining: set[asyncio.Task[Any]] = set()
        sock.setblocking(False)
        self._tell_of_ends(server)

    def begin(self) -> None:
        """Say that connections are taken from now on."""
        self._loop.add_reader(self._sock, self._take)
        self._say(_READY)

    def stop(self) -> None:
        """Take no more. Whoever hands connections over sees it."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def _tell_of_ends(self, server: web.Server) -> None:
        lost = server.connection_lost

        def connection_lost(*args: Any) -> None:
            lost(*args)
            self._say(_CLOSED)

        server.connection_lost = connection_lost  # type: ignore[assignment]

    def _say(self, what: bytes) -> None:
        # Where the other process is gone, or far behind, its count of us does not matter.
        with contextlib.suppress(OSError):
            self._sock.send(what)

    def _take(self) -> None:
        try:
            said, files, _, _ = socket.recv_fds(self._sock, _AT_ONCE, _AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            said, files = b"", []
        if _ASKED in said:
            self._say(_HERE)
        for file in files:
            task = self._loop.create_task(self._join(file))
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)
        if not said:
            self.stop()
            self._ended()

    async def _join(self, file: int) -> None:
        connection = socket.socket(fileno=file)
        try:
            connection.setblocking(False)
            await self._loop.connect_accepted_socket(self._server, connection)
        except OSError:  # the client went away again
            connection.close()
            self._say(_CLOSED)
