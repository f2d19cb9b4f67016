"""A load client: some keep-alive connections, prebuilt requests, no HTTP library in between.

One thread, one selector: a connection sends its next request when the answer to its last is whole.
Reading an answer costs a search for two header fields, so that the client is never the slower one.
"""

from __future__ import annotations

import gc
import os
import re
import selectors
import socket
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_TICKS = os.sysconf("SC_CLK_TCK")


class Unexpected(RuntimeError):
    """A server gave an answer that is no success; nothing measured by it would mean anything."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where SCIM is answered on 127.0.0.1, and by which processes."""

    port: int
    path: str = ""
    token: str = "none"
    pids: tuple[int, ...] = ()

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """One whole request as bytes."""
        head = f"{method} {self.path}{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        head += f"Authorization: Bearer {self.token}\r\nAccept: application/scim+json\r\n"
        if body:
            head += f"Content-Type: application/scim+json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body


@dataclass(slots=True)
class Load:
    """What one load took. Latencies in seconds, CPU in seconds of all the server's processes."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.count * 1e6

    def quantile(self, of: float) -> float:
        """A latency in milliseconds; nearest rank."""
        ranked = sorted(self.latencies)
        return ranked[min(len(ranked) - 1, int(len(ranked) * of))] * 1e3

    @classmethod
    def median(cls, loads: list[Load]) -> Load:
        """The load of the middle rate."""
        return sorted(loads, key=lambda load: load.rate)[statistics.median_low(range(len(loads)))]


class _Connection:
    __slots__ = ("began", "buffer", "needed", "number", "port", "sock")

    def __init__(self, port: int) -> None:
        self.port = port
        self.buffer = bytearray()
        self.needed = 0  # bytes, as far as the head says
        self.began = 0.0
        self.number = 0
        self.sock = self._connected()

    def _connected(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def again(self) -> None:
        """A new connection, for a server that closes after each answer."""
        self.sock.close()
        self.sock = self._connected()

    def send(self, number: int, request: bytes) -> None:
        self.number = number
        self.buffer = bytearray()
        self.needed = 0
        self.began = time.perf_counter()
        self.sock.sendall(request)

    def whole(self) -> tuple[int, bytes, bool] | None:
        """Read what is there: status, body and whether the server closes, once the answer is whole."""
        piece = self.sock.recv(1 << 20)
        self.buffer += piece
        if len(self.buffer) < self.needed and piece:
            return None  # megabytes are not looked through again at each piece
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0 or len(self.buffer) < self.needed:
            if not piece:
                raise Unexpected("the server closed the connection without an answer")
            return None
        head, body = bytes(self.buffer[:end]), bytes(self.buffer[end + 4 :])
        status = int(head[9:12])
        closes = head.startswith(b"HTTP/1.0") or _CLOSE.search(head) is not None
        if match := _LENGTH.search(head):
            self.needed = end + 4 + int(match[1])
            done = len(self.buffer) >= self.needed
        elif _CHUNKED.search(head):
            done = body.endswith(b"0\r\n\r\n")
            body = b"".join(_chunks(body)) if done else body
        else:
            done = status in (204, 304) or not piece
        return (status, body, closes) if done else None


def _chunks(body: bytes) -> Iterator[bytes]:
    at = 0
    while size := int(body[at : (line := body.index(b"\r\n", at))].split(b";")[0], 16):
        yield body[line + 2 : line + 2 + size]
        at = line + 4 + size


class Client:
    """Loads one endpoint."""

    def __init__(self, endpoint: Endpoint, *, concurrency: int = 16) -> None:
        self.endpoint = endpoint
        self._connections = [_Connection(endpoint.port) for _ in range(concurrency)]
        self._selector = selectors.DefaultSelector()
        for connection in self._connections:
            self._selector.register(connection.sock, selectors.EVENT_READ, connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for connection in self._connections:
            connection.sock.close()

    def load(
        self,
        requests: Iterable[bytes],
        *,
        seconds: float = 60.0,
        keep: bool = False,
        while_true: Callable[[], bool] = lambda: True,
    ) -> Load:
        """Send requests until they end, ``seconds`` are over or ``while_true`` is not.

        ``keep`` gives back the bodies in the order of the requests. Raises Unexpected for any answer
        that is no 2xx.
        """
        result = Load()
        bodies: dict[int, bytes] = {}
        source = enumerate(requests)
        cpu = cpu_seconds(self.endpoint.pids)
        gc.collect()
        gc.disable()
        try:
            began = time.perf_counter()
            waiting = sum(1 for c in self._connections if self._next(c, source))
            while waiting:
                for key, _ in self._selector.select(120):
                    connection: _Connection = key.data
                    answer = connection.whole()
                    if answer is None:
                        continue
                    now = time.perf_counter()
                    result.latencies.append(now - connection.began)
                    status, body, closes = answer
                    if not 200 <= status < 300:
                        raise Unexpected(f"answered {status}: {body[:500].decode('utf-8', 'replace')}")
                    if keep:
                        bodies[connection.number] = body
                    if closes:
                        self._selector.unregister(connection.sock)
                        connection.again()
                        self._selector.register(connection.sock, selectors.EVENT_READ, connection)
                    more = now - began < seconds and while_true()
                    if not (more and self._next(connection, source)):
                        waiting -= 1
            result.seconds = time.perf_counter() - began
        finally:
            gc.enable()
        result.cpu_s = cpu_seconds(self.endpoint.pids) - cpu
        result.bodies = [bodies[number] for number in sorted(bodies)]
        return result

    @staticmethod
    def _next(connection: _Connection, source: Iterator[tuple[int, bytes]]) -> bool:
        for number, request in source:
            connection.send(number, request)
            return True
        return False


def _family(pids: tuple[int, ...]) -> list[int]:
    """The processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_bytes().rpartition(b") ")[2].split()[1])
        except OSError:  # ended meanwhile
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = list(pids)
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """User and system time of the processes and their descendants up to now."""
    total = 0
    for pid in _family(pids):
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def pss_mb(pids: tuple[int, ...]) -> float:
    """Proportional resident memory of the processes and their descendants."""
    total = 0
    for pid in _family(pids):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024
