"""What a connector does beside its answers: pauses of the loop, logs, I/O, what it leaves behind."""
# ruff: noqa: S101  (a suite asserts, and this one does without pytest)

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Heart:
    """Measures how long the event loop stood still, at worst."""

    longest_pause_s = 0.0

    async def beat(self, every_s: float = 0.005) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(every_s)
            now = time.monotonic()
            self.longest_pause_s = max(self.longest_pause_s, now - last - every_s)
            last = now


class Collecting(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=0)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


_IO_EVENTS = ("open", "os.", "socket.", "subprocess.", "urllib.", "sqlite3.")
_auditing: dict[int, list[tuple[str, Any]]] = {}
_hooked: list[bool] = []


def _note(event: str, args: tuple[Any, ...]) -> None:
    seen = _auditing.get(threading.get_ident())
    if seen is not None and event.startswith(_IO_EVENTS):
        seen.append((event, args[0] if args else None))


@contextlib.contextmanager
def audited() -> Iterator[list[tuple[str, Any]]]:
    """Collect this thread's I/O by Python's audit events; the hook itself can never be taken out."""
    if not _hooked:
        sys.addaudithook(_note)
        _hooked.append(True)
    events = _auditing[threading.get_ident()] = []
    try:
        yield events
    finally:
        del _auditing[threading.get_ident()]


@contextlib.contextmanager
def nothing_left(patience_s: float = 3.0) -> Iterator[None]:
    """Assert that threads and open files are afterwards what they were; tasks end with their loop."""
    before = _running()
    yield
    until = time.monotonic() + patience_s
    while (left := _running() - before) and time.monotonic() < until:
        time.sleep(0.02)
    assert not left, f"still there after the read was given up: {sorted(left)}"


def _running() -> set[str]:
    threads = {f"thread {thread.name} {thread.ident}" for thread in threading.enumerate()}
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        return threads
    files = set()
    for descriptor in descriptors.iterdir():
        with contextlib.suppress(OSError):
            files.add(f"file {descriptor.name} {os.readlink(descriptor)}")
    return threads | files
