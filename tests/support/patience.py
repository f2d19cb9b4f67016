"""Time limits for tests that are about something else: none of them finds out how busy the machine is.

A test about a limit sets that limit itself, and waits for what follows by :func:`until`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from scimd.db.engine import Tuning

if TYPE_CHECKING:
    import pytest

T = TypeVar("T")

#: Whatever takes longer hangs.
AT_MOST_S = 120

#: So long the rest of a body that was answered early is read, and waited for at the end; aiohttp's is 10 s.
LINGERS_S = 2

PATIENT = Tuning(
    timeout_s=AT_MOST_S, busy_timeout_s=AT_MOST_S, connect_timeout_s=AT_MOST_S, silence_s=AT_MOST_S
)

_LIMITS = {
    "server": {"request_timeout": f"{AT_MOST_S}s"},
    "database": {"timeout": f"{AT_MOST_S}s"},
    "mail": {"timeout": f"{AT_MOST_S}s"},
}

#: For scimd in a process of its own: it goes over the file's keys.
ENVIRONMENT = {
    f"SCIMD_{section}__{key}".upper(): value
    for section, keys in _LIMITS.items()
    for key, value in keys.items()
}


def patient(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of a config, with the limits above where they name none."""
    return {name: {**_LIMITS.get(name, {}), **sections.get(name, {})} for name in {**_LIMITS, **sections}}


def until(done: Callable[[], T], what: str = "it did not come to that") -> T:
    """What ``done`` gives once that is true; AssertionError with ``what`` where it never comes to it."""
    end = time.monotonic() + AT_MOST_S
    while not (found := done()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


async def eventually(done: Callable[[], T | Awaitable[T]], what: str = "it did not come to that") -> T:
    """As :func:`until`, while the loop goes on; ``done`` may be a coroutine function."""
    end = time.monotonic() + AT_MOST_S
    while True:
        found = done()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


def so_much_later(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have this loop's clock so far ahead from now on: whatever was due meanwhile is late."""
    loop = asyncio.get_running_loop()
    before = loop.time
    patch.setattr(loop, "time", lambda: before() + seconds)


class Stopwatch:
    """Measures, from when it is made, what an idle machine would have taken.

    It stands still while threads of this process wait for a core (on Linux; elsewhere it goes on).
    """

    def __init__(self) -> None:
        self._waited = _waited_ns()
        self._began = time.monotonic()

    def seconds(self) -> float:
        waited = sum(max(0, ns - self._waited.get(thread, 0)) for thread, ns in _waited_ns().items())
        return time.monotonic() - self._began - waited / 1e9


def _waited_ns() -> dict[str, int]:
    """How long each thread of this process has been ready to run and has not run."""
    found = {}
    for file in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            found[file.parent.name] = int(file.read_text("ascii").split()[1])
    return found


async def promptly(ask: Callable[[], Awaitable[T]], within_s: float = 2) -> T:
    """What ``ask`` gives; AssertionError where it took too long three times over, by a :class:`Stopwatch`.

    Once may be the machine's doing. ``ask`` must come to the same each time.
    """
    for _ in range(3):
        watch = Stopwatch()
        found = await ask()
        if watch.seconds() <= within_s:
            return found
    raise AssertionError(f"it took more than {within_s} s, three times over")


def once_more(took: list[float], within_s: float, at_least: int = 3) -> bool:
    """Whether to do it again: so often, and until it was quick once; AssertionError where it never is."""
    assert sum(took) < AT_MOST_S, took
    return len(took) < at_least or min(took) > within_s
