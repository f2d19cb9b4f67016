"""SQLite's write-ahead log, looked after beside those who write."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from scimd.db.faults import FileGone
from scimd.db.sqlite_file import LOG_BYTES, File

_CARRY_ROWS = 8192
#: A system that is short of memory puts out of it what nobody touched for some seconds.
_PAUSE_S = 5.0
#: More than one call writes: others will follow, and go through the log.
_BURST_ROWS = 64
#: What Linux reads ahead at most when it is told of a part that will be wanted.
_PART_BYTES = 2 << 20


class Carrier:
    """Carries the write-ahead log over into the file, in a thread of its own, beside those who write.

    Left to COMMIT, which does it once the log is twice as long, whoever's turn it is would wait for 32 MB to
    be written and synced. Where much comes after a pause, it has the log read into memory for what follows.
    """

    def __init__(self, file: File, busy_timeout_s: float) -> None:
        self._file = file
        self._busy_timeout_s = busy_timeout_s
        self._carried = 0
        self._followed = 0
        self._followed_at = time.monotonic()
        self._burst_from: int | None = None
        self._thread: threading.Thread | None = None

    def follow(self, written: int) -> None:
        """After a COMMIT. ``written``: rows so far, of this connection; each is about one page of the log."""
        now = time.monotonic()
        self._carried, self._followed = min(self._carried, written), min(self._followed, written)
        if now - self._followed_at > _PAUSE_S:
            self._burst_from = self._followed
        self._followed, self._followed_at = written, now
        if self._thread is not None and self._thread.is_alive():
            return
        if written - self._carried > _CARRY_ROWS:
            self._carried = written
            self._begin(self._carry)
        elif self._burst_from is not None and written - self._burst_from > _BURST_ROWS:
            self._burst_from = None
            self._begin(self._recall)

    def _begin(self, task: Callable[[], None]) -> None:
        thread = threading.Thread(target=task, name="carrier", daemon=True)
        with suppress(RuntimeError):  # the system has no thread for us: COMMIT does it once it has to
            thread.start()
            self._thread = thread

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _carry(self) -> None:
        try:
            raw = self._file.open(self._busy_timeout_s, query_only=False)
            try:
                raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            finally:
                self._file.closes(raw)
                raw.close()
        except (sqlite3.Error, FileGone):  # a full disk, say: COMMIT meets it too, and says so
            return

    def _recall(self) -> None:
        """Have the system read the log into memory, where it put parts of it out. Takes some milliseconds.

        A frame of the log begins and ends within pages of the file. Whoever writes over a page that is not
        in memory waits until it was read; so would COMMIT, for each of its pages, once through the log.
        """
        if sys.platform != "linux":
            return
        with suppress(OSError):  # whoever writes meets it too, and says so
            log = os.open(self._file.log_path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                for start in range(0, LOG_BYTES, _PART_BYTES):
                    os.posix_fadvise(log, start, _PART_BYTES, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(log)
