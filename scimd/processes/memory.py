"""What keeps several processes of one program small."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable

#: Each thread would have an arena of its own, and give little of it back: what one frees no other takes.
_ARENAS = 1
_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1  # malloc.h
#: More than an answer of a hundred people, which would be asked of the system anew each time.
_LARGE = 1 << 20
#: Takes half a millisecond when there is much to give back, and a tenth of it when there is not.
_GIVES_BACK_EVERY_S = 2.0


def spare() -> None:
    """Let threads share an arena: of Python's, one works at a time. Only glibc has these switches.

    What is large goes back to the system when it is given up. Left to itself, glibc takes a body of 5 MB
    for a sign that such are usual, and keeps them all from then on.
    """
    if (mallopt := _of_glibc("mallopt")) is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE)


@contextlib.asynccontextmanager
async def gives_back() -> AsyncIterator[None]:
    """Meanwhile, give back to the system every few seconds what nobody uses.

    Left to itself, glibc gives back what lies above all that is in use, and keeps what lies between: some
    5 MB of each process that has had much to answer.
    """
    trim = _of_glibc("malloc_trim")

    async def now_and_then() -> None:
        while trim is not None:
            await asyncio.sleep(_GIVES_BACK_EVERY_S)
            trim(0)

    task = asyncio.create_task(now_and_then())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of its; None where another library allocates."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def load(names: Iterable[str]) -> None:
    """Load these modules, where they are installed: what is loaded before a fork is in memory once."""
    for name in names:
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)


def aside(work: Callable[[], object]) -> None:
    """Do it in a process of its own, which takes with it what it loaded. Nobody is told if it fails."""
    if not hasattr(os, "fork"):
        return
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    os.waitpid(pid, 0)
