"""Ends a server when the test run that started it ends, however it ends."""

from __future__ import annotations

import socket
import subprocess
from types import TracebackType
from typing import Self


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
        self._shell.communicate(f"{word}\n".encode(), timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._shell.poll() is None:
            self.release()


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago; whoever uses it must be ready to try another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
