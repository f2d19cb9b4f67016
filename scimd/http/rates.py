"""Token buckets: how often somebody may do something, in bursts.

The key is what is stored of the caller, never what a request says of itself. Buckets live in memory, of
this process or of all those that answer on this machine: a row per request would cost more than the
request.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator
from hashlib import blake2b
from typing import IO, Protocol

_KEPT = 10_000


class Rate(Protocol):
    def take(self, key: str) -> float:
        """Take one. Zero: there was one. Else the seconds until there is; a refusal takes nothing."""
        ...


class Buckets:
    """A bucket per key: ``burst`` at once, and ``rate`` a second after that; in this process.

    At most 10,000 are kept. The one that was asked for longest ago goes first; by then it is full in
    all but an attack, and a full one is the same as none.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: dict[Hashable, tuple[float, float]] = {}  # what is left, as of when

    def take(self, key: Hashable) -> float:
        """As ``Rate``."""
        now = self._clock()
        left, at = self._left.pop(key, (self._burst, now))
        wait, left = _taken(left, now - at, self._rate, self._burst)
        if len(self._left) >= _KEPT:
            del self._left[next(iter(self._left))]
        self._left[key] = (left, now)
        return wait


def _taken(left: float, seconds: float, rate: float, burst: float) -> tuple[float, float]:
    """How long to wait, and what is left."""
    left = min(burst, left + seconds * rate)
    return (0.0, left - 1) if left >= 1 else ((1 - left) / rate, left)


class SharedBuckets:
    """The same, shared by the processes that have the same ``file`` open (``shelf``).

    What they are ``of`` (16 characters at most) sets its keys apart from those of others on the same file.
    A key has one of eight places on it. Where all are taken, the one that was asked for longest ago goes.
    The clock is the machine's, which all its processes read alike.
    """

    _PLACE = struct.Struct("<8sdd")  # digest of the key, what is left, as of when
    _PLACES = 1 << 14
    _NEAR = 8

    def __init__(
        self,
        rate: float,
        burst: float,
        file: IO[bytes],
        clock: Callable[[], float] = time.monotonic,
        *,
        of: str = "",
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._file, self._of = file, of.encode()
        self._places = mmap.mmap(file.fileno(), self._PLACES * self._PLACE.size)

    @classmethod
    def shelf(cls) -> IO[bytes]:
        """A file for them, without a name.

        In memory, where the system can: no disk that is full, or full later on, has to have room for it.
        Elsewhere it takes its room now, since whoever wrote where there is none would be killed.
        """
        size = cls._PLACES * cls._PLACE.size
        if hasattr(os, "memfd_create"):
            file: IO[bytes] = os.fdopen(os.memfd_create("scimd-rates"), "r+b")
            file.truncate(size)
        else:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as somebody answers
            file.write(bytes(size))
            file.flush()
        return file

    def take(self, key: str) -> float:
        """As ``Rate``."""
        digest = blake2b(key.encode(), digest_size=8, person=self._of).digest()
        first = int.from_bytes(digest) % (self._PLACES // self._NEAR) * self._NEAR * self._PLACE.size
        with self._alone(first):
            now = self._clock()
            near = [
                (*self._PLACE.unpack_from(self._places, at), at)
                for at in range(first, first + self._NEAR * self._PLACE.size, self._PLACE.size)
            ]
            place = next((each for each in near if each[0] == digest), None)
            if place is None:
                place = (digest, self._burst, now, min(near, key=lambda each: each[2])[3])
            _, left, since, at = place
            wait, left = _taken(left, now - since, self._rate, self._burst)
            self._PLACE.pack_into(self._places, at, digest, left, now)
        return wait

    @contextlib.contextmanager
    def _alone(self, at: int) -> Iterator[None]:
        """No other process; within one, the event loop sees to it. The system frees it where one dies."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, self._PLACE.size, at)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, self._PLACE.size, at)


def counted(rate: float, burst: float, shelf: IO[bytes] | None, *, of: str) -> Rate:
    """Buckets of all those who have the shelf; without one, of this process."""
    return Buckets(rate, burst) if shelf is None else SharedBuckets(rate, burst, shelf, of=of)
