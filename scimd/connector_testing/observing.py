"""What a connector does beside its answers: pauses of the loop, logs, I/O, what it leaves behind."""
# ruff: noqa: S101  (a suite asserts, and this one does without pytest)

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
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


def audited(call: Callable[[], object], timeout_s: float) -> tuple[tuple[str, str], ...]:
    """Give the audit events of a call's I/O: each one's name, and its first argument as text.

    The call is made in a forked copy of this process. Python has no way to take an audit hook out
    again: here it would run, as Python code, in whatever the process does later, and in the middle
    of what the interpreter believes that nothing interrupts (``sys.settrace`` of a new thread).
    """
    forking = multiprocessing.get_context("fork")
    ours, theirs = forking.Pipe(duplex=False)
    copy = forking.Process(target=_send_events, args=(call, theirs), daemon=True)
    with ours:
        with warnings.catch_warnings():
            # Newer Pythons warn where other threads run. Reading settings should ask nothing of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            copy.start()
        theirs.close()
        try:
            if not ours.poll(timeout_s):
                raise AssertionError(f"the call did not end within {timeout_s} s")
            events: tuple[tuple[str, str], ...] = ours.recv()
        except EOFError:
            raise AssertionError("the call failed in the copy, which has printed its traceback") from None
        finally:
            copy.kill()
            copy.join()
    return events


def _send_events(call: Callable[[], object], to: Connection) -> None:
    call()  # the first call may still import modules
    events: list[tuple[str, str]] = []

    def note(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(_IO_EVENTS):
            events.append((event, str(args[0]) if args else ""))

    sys.addaudithook(note)
    call()
    to.send(tuple(events))


@contextlib.contextmanager
def nothing_left(patience_s: float) -> Iterator[None]:
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
