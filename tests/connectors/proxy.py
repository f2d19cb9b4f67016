"""A TCP proxy on loopback that spoils what the server says, in one chosen way."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from typing import Self


class SpoilingProxy:
    """Passes ``spoil_after`` bytes of answers on, then does what ``how`` says.

    ``cut`` resets both sides, ``silence`` says nothing any more, ``trickle`` gives a byte at a time.
    """

    def __init__(self, target: str, how: str, spoil_after: int, *, at: str = "127.0.0.1") -> None:
        host, _, port = target.rpartition("/")[2].partition(":")
        self._target = (host, int(port))
        self._how = how
        self._left = spoil_after
        self._stopping = threading.Event()
        self._spoilt = threading.Event()
        self._listener = socket.create_server((at, 0))
        self.address = f"{at}:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, name="proxy")]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def has_spoilt(self) -> bool:
        """Whether it has come to that."""
        return self._spoilt.is_set()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            client, _ = self._listener.accept()
            thread = threading.Thread(target=self._pass, args=(client,), name="proxy-line")
            self._threads.append(thread)
            thread.start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            while not self._stopping.is_set():
                for ready in select.select([client, server], [], [], 0.05)[0]:
                    with contextlib.suppress(ConnectionError):
                        if self._is_over(ready, client, server):
                            return

    def _is_over(self, ready: socket.socket, client: socket.socket, server: socket.socket) -> bool:
        data = ready.recv(65536)
        if not data:
            return True
        if ready is client:
            server.sendall(data)
            return False
        whole, spoilt = data[: self._left], data[self._left :]
        self._left -= len(whole)
        client.sendall(whole)
        return bool(spoilt) and self._spoil(client, spoilt)

    def _spoil(self, client: socket.socket, data: bytes) -> bool:
        self._spoilt.set()
        if self._how == "cut":
            return True
        if self._how == "silence":
            self._stopping.wait()
        for byte in data:
            if self._stopping.wait(0.05):
                break
            client.sendall(bytes([byte]))
        return self._stopping.is_set()
