"""Ends a server when the test run that started it ends, however it ends."""

from __future__ import annotations

import socket
import subprocess
from collections import deque
from types import TracebackType
from typing import Self

from tests.support.patience import AT_MOST_S


class Guard:
    """Runs ``script`` (sh, with ``args``), which must wait with ``read`` and then clean up.

    The shell holds the other end of a pipe that only this process has open, so ``read`` returns at
    :meth:`release`, and also when this process is killed outright: the kernel closes the pipe. It is
    in a session of its own, so that a Ctrl-C at the terminal does not reach it before us.
    """

    def __init__(self, script: str, *args: str) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", script, "guard", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self, word: str = "") -> None:
        """Say ``word`` to the script's ``read``, and wait until it has cleaned up."""
        self._shell.communicate(f"{word}\n".encode(), timeout=AT_MOST_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._shell.poll() is None:
            self.release()


#: So many ports stay taken, the newest: no test wants so many servers.
_AT_MOST = 100
_taken: deque[socket.socket] = deque()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at, and that the system gives to nobody else meanwhile.

    A socket stays bound to it. Whoever names that port, with SO_REUSEADDR as all servers do, may listen
    there, also again after a stop; a bind to port 0, of which other tests do hundreds while a server starts,
    never comes to it; and a client is refused. Another who names it may still have it.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    _taken.append(probe)
    if len(_taken) > _AT_MOST:
        _taken.popleft().close()
    port: int = probe.getsockname()[1]
    return port
