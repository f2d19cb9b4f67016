"""SQLite's file: made once, opened as scimd wants it, and looked after while it is in use."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TypeAlias

from scimd.db.faults import FILE_GONE, IS_DIRECTORY, LOG_GONE, NOT_SEEN, FileGone, is_busy

STATEMENTS = 512
#: Whoever carries all of the log over leaves so much of it, to be written over.
LOG_BYTES = 64 << 20
_LOOK_EVERY_S = 1.0
#: Device and inode; None: nothing is there.
_Identity: TypeAlias = tuple[int, int] | None


class File:
    """A database's file and its write-ahead log: while scimd runs, those that it opened.

    SQLite goes on writing into a file that was deleted or replaced under it, without a word, and all of
    that is lost. So after each COMMIT the two are looked at, before anybody is told of it; those who read
    look now and then. What was moved away may be moved back.

    What is opened while the files can only be read stays so, and so may what is opened beside it: the
    connections of a process share what they hold of the log. These are ``makeshift``, and whoever has one
    closes it after use.

    No code in a scimd process opens the database file by itself, not even to read it: closing it again takes
    SQLite's POSIX locks away from the whole process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: _Identity = None  # since it was first opened
        self.log_path = ""  # known once it was opened
        self._log: _Identity = None  # while it is open: who is the last to close it removes the log
        self._open = 0
        self.makeshift: set[sqlite3.Connection] = set()
        self._lock = threading.Lock()
        self._look_at = 0.0  # on time.monotonic

    def open(
        self, busy_timeout_s: float, *, query_only: bool, statements: int = STATEMENTS
    ) -> sqlite3.Connection:
        """Another connection. Raises sqlite3.Error; FileGone where it would be one to another file."""
        self.look()
        makeshift = self._opens_makeshift()  # asked twice: it may be otherwise meanwhile
        raw = connect(self._path, busy_timeout_s, query_only=query_only, statements=statements)
        with self._lock:
            self._open += 1
            if makeshift or self._opens_makeshift():
                self.makeshift.add(raw)
        try:
            self._remember()
            self.look()
        except BaseException:
            self.closes(raw)
            raw.close()
            raise
        return raw

    def _remember(self) -> None:
        with self._lock:
            if self._file is None:
                # SQLite has the log beside what a symbolic link stands for.
                self.log_path = f"{os.path.realpath(self._path)}-wal"
                self._file = _identity(str(self._path))

    def closes(self, raw: sqlite3.Connection) -> None:
        """Say that this connection is about to be closed."""
        with self._lock:
            self._open -= 1
            self.makeshift.discard(raw)
            if self._open == 0:
                self._log = None

    def _opens_makeshift(self) -> bool:
        there = os.path.realpath(self._path)
        paths = (there, f"{there}-wal", f"{there}-shm")
        return bool(self.makeshift) or any(
            os.access(path, os.F_OK) and not os.access(path, os.W_OK) for path in paths
        )

    def look(self) -> None:
        """Raises FileGone. Costs some microseconds."""
        self._look_at = 0.0
        if self._file is not None and _identity(str(self._path)) != self._file:
            raise FileGone(str(self._path), FILE_GONE)
        if not self._has_its_log():
            raise FileGone(self.log_path, LOG_GONE)
        self._look_at = time.monotonic() + _LOOK_EVERY_S

    def _has_its_log(self) -> bool:
        with self._lock:
            if not self._open:
                return True
            found = _identity(self.log_path)
            if self._log is None:
                self._log = found
            return self._log == found

    def look_now_and_then(self, now: float) -> None:
        """As ``look``, where the last one was some time ago, or found something wrong."""
        if now >= self._look_at:
            self.look()


def _identity(path: str) -> _Identity:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise FileGone(str(exc), NOT_SEEN) from exc
    return found.st_dev, found.st_ino


def make(path: Path) -> None:
    """Make a new file, readable by its owner only; SQLite gives its companions the same mode."""
    try:
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError:  # it is there; or it cannot be made, and SQLite says so with its own code
        return


def connect(
    path: Path, busy_timeout_s: float, *, query_only: bool, statements: int = STATEMENTS
) -> sqlite3.Connection:
    """The file as scimd wants it, which must be there. ``statements``: so many stay prepared."""
    if os.path.isdir(path):  # False, too, where it cannot be looked at: SQLite says so with its own code
        raise FileGone(str(path), IS_DIRECTORY)
    raw = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=statements,
    )
    try:
        _prepare(raw, query_only=query_only, busy_timeout_s=busy_timeout_s)
    except BaseException:
        raw.close()
        raise
    return raw


def _prepare(raw: sqlite3.Connection, *, query_only: bool, busy_timeout_s: float) -> None:
    patience = time.monotonic() + busy_timeout_s
    while raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        # Going to WAL does not wait for other openers as statements do.
        try:
            raw.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as exc:
            if not is_busy(exc) or time.monotonic() > patience:
                raise
            time.sleep(0.01)
    # From its first look on a connection holds the file, and with it the log: see File.
    raw.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute("PRAGMA foreign_keys=ON")
    raw.execute("PRAGMA temp_store=MEMORY")
    if query_only:
        raw.execute("PRAGMA query_only=ON")
    else:
        raw.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
        # Changes of people touch much the same pages: carried over every 1,000 pages (the default), each
        # would be written and synced again and again. See Carrier.
        raw.execute("PRAGMA wal_autocheckpoint=16384")
