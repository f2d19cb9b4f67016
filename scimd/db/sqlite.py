"""SQLite: one thread writes for all and commits in groups; a few others read snapshots."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from scimd.core.errors import Overloaded
from scimd.db.compiled import bounded
from scimd.db.faults import FileGone, LostRace, ends_the_batch, is_busy, spoils_the_handle, sqlite_refusal
from scimd.db.kept import keep_on
from scimd.db.sqlite_file import STATEMENTS, File
from scimd.db.sqlite_log import Carrier
from scimd.db.work import Inbox, Job, NoGlance, Tuning, Turn, answer, told

# The progress handler is asked every so many steps of SQLite's machine: some 0.2 ms of work.
_STEPS = 10_000
_ASK_AGAIN_S = 0.001
#: Long enough for a process that asks that often to get in.
GIVE_WAY_S = 0.003
_GLANCE_S = 0.01
_WARY_S = 1.0
#: A reader's are clients' filters above all, each of which takes up to 0.3 MB and may never come again.
_READERS_STATEMENTS = 64
#: What these ask for is seldom what the last one asked for, and the system has it in memory.
_READERS_CACHE_KIB = 256
T = TypeVar("T")


class Handle:
    """A connection to the file, opened when first used and anew after it was spoilt.

    The driver begins no transactions of its own (``isolation_level=None``); SQLAlchemy's begin says
    nothing to it. So BEGIN IMMEDIATE and the savepoints here are the only ones that SQLite sees.
    """

    def __init__(
        self,
        file: File,
        busy_timeout_s: float,
        cache_kib: int,
        *,
        query_only: bool,
        statements: int = STATEMENTS,
    ) -> None:
        self._file = file
        self._cache_kib = cache_kib
        self._statements = statements
        self._busy_timeout_s = busy_timeout_s
        self._query_only = query_only
        self._conn: Connection | None = None
        self._notion = ExitStack()  # SQLAlchemy's notion of the transaction: ended after SQLite's own
        self._engine = bounded(
            create_engine(
                "sqlite+pysqlite://",
                creator=self._open,
                poolclass=NullPool,
                hide_parameters=True,  # an error is logged: what was typed stays out of it
            )
        )
        self.raw: sqlite3.Connection | None = None
        self.deadline = 0.0
        self.when_long: Callable[[], None] | None = None  # told once a statement has taken some work

    def connection(self) -> Connection:
        if self._conn is None:
            try:
                self._conn = self._engine.connect()
                if self._query_only:
                    keep_on(self._conn)
            except BaseException:
                self.close()
                raise
        return self._conn

    def begin(self, how: str, *, wait: bool = True) -> Connection:
        """A connection inside a new transaction. Raises sqlite3.Error and FileGone with nothing begun."""
        conn = self.connection()
        self._file.look_now_and_then(time.monotonic())
        if how == "BEGIN":
            self.sql(how)
        else:
            self._wait_for_turn(how, self._busy_timeout_s if wait else 0.0)
        # As a context manager it refuses statements after a body's own commit or rollback.
        self._notion.enter_context(conn.begin())
        return conn

    def _wait_for_turn(self, how: str, patience_s: float) -> None:
        """Ask every millisecond, while another process writes.

        SQLite's own waiting sleeps longer each time, up to 100 ms: whoever waits for a process that
        writes batch after batch would miss the moments between them.
        """
        until = time.monotonic() + patience_s
        while True:
            try:
                self.sql(how)
                return
            except sqlite3.OperationalError as exc:
                if not is_busy(exc) or time.monotonic() >= until:
                    raise
            time.sleep(_ASK_AGAIN_S)

    def commit(self) -> None:
        """COMMIT; after a failure nothing is left of the transaction.

        Raises FileGone where it went into a file that is nobody's any more: no one may be told of it.
        """
        try:
            self.sql("COMMIT")
        except sqlite3.Error:
            self.rollback()
            raise
        self._notion.close()
        self._file.look()
        self.close_makeshift()

    def rollback(self) -> None:
        if self.inside:
            self.sql("ROLLBACK")
        self._notion.close()
        self.close_makeshift()

    def close_makeshift(self) -> None:
        """After use; see ``File``."""
        if self.raw in self._file.makeshift:
            self.close()

    @property
    def inside(self) -> bool:
        return self.raw is not None and self.raw.in_transaction

    @property
    def written(self) -> int:
        """How many rows were changed so far, through this connection."""
        return 0 if self.raw is None else self.raw.total_changes

    def sql(self, statement: str) -> None:
        assert self.raw is not None  # noqa: S101 - for the type checker; connection() came first
        self.raw.execute(statement)

    def close(self) -> None:
        conn, raw, self._conn, self.raw = self._conn, self.raw, None, None
        if raw is not None:
            self._file.closes(raw)
        if conn is not None:
            conn.invalidate()  # closes the file whatever state the transaction is in
            self._notion.pop_all()  # closing the connection ends it
            conn.close()
        elif raw is not None:
            raw.close()

    def _open(self) -> sqlite3.Connection:
        raw = self._file.open(self._busy_timeout_s, query_only=self._query_only, statements=self._statements)
        self.raw = raw
        raw.execute(f"PRAGMA cache_size={-self._cache_kib}")
        raw.set_progress_handler(self._too_late, _STEPS)
        if not self._query_only:
            raw.execute("PRAGMA busy_timeout=0")  # see _wait_for_turn
        return raw

    def _too_late(self) -> bool:
        if self.when_long is not None:
            self.when_long()
        return time.monotonic() > self.deadline > 0.0


class Writer:
    """The one hand that writes: bodies one after the other, one commit for all that waited.

    *Trusting*, it runs bodies without savepoints, for which SQLite would copy each page before it is
    changed, at a tenth of a body's cost. A body that fails having written nothing leaves nothing
    behind; one that fails later spoils the batch, which is rolled back and run again in savepoints.
    """

    def __init__(self, file: File, tuning: Tuning) -> None:
        self._tuning = tuning
        self._handle = Handle(file, tuning.busy_timeout_s, tuning.write_cache_kib, query_only=False)
        self._wary_until = 0.0  # on time.monotonic
        self._carrier = Carrier(file, tuning.busy_timeout_s)

    def close(self) -> None:
        self._carrier.close()
        self._handle.close()

    def take(self, job: Job, inbox: Inbox, turn: Turn) -> None:
        try:
            conn = self._handle.begin("BEGIN IMMEDIATE")
        except Exception as exc:
            self._fail_all_waiting(job, inbox, exc)
            return
        self._take(conn, job, inbox)

    def take_at_once(self, job: Job, inbox: Inbox) -> bool:
        """As ``take``; False, with nothing done, where it would have to wait, or cannot begin."""
        try:
            conn = self._handle.begin("BEGIN IMMEDIATE", wait=False)
        except Exception as exc:
            self._abandon(exc)
            return False
        self._take(conn, job, inbox)
        return True

    def _take(self, conn: Connection, job: Job, inbox: Inbox) -> None:
        begun: list[Job] = []
        try:
            self._run_what_waits(conn, job, inbox, begun)
            self._handle.commit()
        except _Spoilt as exc:
            self._abandon(exc)
            # Where one body fails late others will: as when all seats are taken.
            self._wary_until = time.monotonic() + _WARY_S
            self._again(begun)
        except FileGone as exc:
            self._fail(begun, exc)
        except Exception as exc:
            self._abandon(exc)
            self._one_by_one(begun)
        else:
            # Whoever is answered may have the next one taken by another thread.
            self._carrier.follow(self._handle.written)
            answer(begun)

    def _run_what_waits(self, conn: Connection, job: Job | None, inbox: Inbox, begun: list[Job]) -> None:
        """Run bodies for some milliseconds. Raises when the transaction as a whole is lost."""
        now = time.monotonic()
        stop_at = now + self._tuning.writer_batch_ms / 1000
        run = self._in_savepoint if now < self._wary_until else self._trusting
        while job is not None:
            begun.append(job)
            if job.late:
                job.error = Overloaded()
            elif not job.unwanted:
                run(conn, job)
            job = inbox.waiting() if time.monotonic() < stop_at else None

    def _again(self, jobs: list[Job]) -> None:
        """Run a batch again that one of its bodies spoilt."""
        try:
            conn = self._handle.begin("BEGIN IMMEDIATE")
        except Exception as exc:
            self._fail(jobs, exc)
            return
        try:
            for job in jobs:
                job.result, job.error = None, None
                if not job.unwanted:
                    self._in_savepoint(conn, job)
            self._handle.commit()
        except FileGone as exc:
            self._fail(jobs, exc)
        except Exception as exc:
            self._abandon(exc)
            self._one_by_one(jobs)
        else:
            answer(jobs)

    def _trusting(self, conn: Connection, job: Job) -> None:
        """Run the body without a savepoint. Raises _Spoilt when it fails with something written."""
        handle, races = self._handle, 0
        handle.deadline = job.deadline
        while True:
            written = handle.written
            try:
                job.result = job.run(conn)
                self._must_be_inside()
            except Exception as exc:
                if ends_the_batch(exc) or not handle.inside:
                    raise
                if handle.written != written:
                    raise _Spoilt from exc
                if isinstance(exc, LostRace) and races < self._tuning.lost_race_retries:
                    races += 1
                    continue
                job.error = _told(exc)
            handle.deadline = 0.0
            return

    def _in_savepoint(self, conn: Connection, job: Job) -> None:
        handle, races = self._handle, 0
        handle.deadline = job.deadline
        while True:
            handle.sql("SAVEPOINT body")
            try:
                result = job.run(conn)
                self._must_be_inside()
                handle.sql("RELEASE body")
            except Exception as exc:
                if ends_the_batch(exc) or not handle.inside:
                    raise
                handle.deadline = 0.0
                handle.sql("ROLLBACK TO body")
                handle.sql("RELEASE body")
                if isinstance(exc, LostRace) and races < self._tuning.lost_race_retries:
                    races += 1
                    handle.deadline = job.deadline
                    continue
                job.error = _told(exc)
            else:
                handle.deadline = 0.0
                job.result = result
            return

    def _one_by_one(self, jobs: list[Job]) -> None:
        """Run again what was in a lost batch, each in its own transaction: only the guilty one fails."""
        for place, job in enumerate(jobs):
            job.result, job.error = None, None
            if job.unwanted:
                continue
            try:
                conn = self._handle.begin("BEGIN IMMEDIATE")
            except Exception as exc:
                self._fail(jobs[place:], exc)
                return
            try:
                self._in_savepoint(conn, job)
                self._handle.commit()
            except Exception as exc:
                self._fail([job], exc)
            else:
                answer((job,))

    def _fail_all_waiting(self, job: Job, inbox: Inbox, exc: Exception) -> None:
        """The file cannot be written now: whoever waits behind would only wait as long again."""
        failed = [job]
        while (waiting := inbox.waiting()) is not None:
            failed.append(waiting)
        self._fail(failed, exc)

    def _fail(self, jobs: list[Job], exc: Exception) -> None:
        self._abandon(exc)
        for job in jobs:
            job.result, job.error = None, _told(exc)
        answer(jobs)

    def _abandon(self, exc: Exception) -> None:
        self._handle.deadline = 0.0
        try:
            if self._handle.raw is not None:
                self._handle.rollback()
        except (sqlite3.Error, SQLAlchemyError):
            self._handle.close()
            return
        if spoils_the_handle(exc):
            self._handle.close()

    def _must_be_inside(self) -> None:
        if not self._handle.inside:
            raise RuntimeError("the transaction ended inside a body: it committed, or hid an error")


class Reader:
    """A hand that reads: each body sees one snapshot and cannot write."""

    def __init__(self, file: File, tuning: Tuning) -> None:
        self._handle = Handle(
            file,
            tuning.busy_timeout_s,
            _READERS_CACHE_KIB,
            query_only=True,
            statements=_READERS_STATEMENTS,
        )

    def close(self) -> None:
        self._handle.close()

    def take(self, job: Job, inbox: Inbox, turn: Turn) -> None:
        handle = self._handle
        handle.when_long = turn.pass_on
        try:
            conn = handle.begin("BEGIN")
            handle.deadline = job.deadline
            job.result = job.run(conn)
        except Exception as exc:
            job.error = _told(exc, writing=False)
        self._end(job)
        answer((job,))

    def _end(self, job: Job) -> None:
        self._handle.deadline = 0.0
        try:
            if self._handle.raw is not None:
                self._handle.rollback()
            if job.error is not None and spoils_the_handle(job.error.__cause__ or job.error):
                self._handle.close()
        except (sqlite3.Error, SQLAlchemyError):  # what was read is good; the next body opens the file anew
            self._handle.close()


class Glance:
    """Reads of a few rows by their keys, on the caller's own thread: faster than handing them to another.

    They wait for nobody. Whatever goes wrong, or takes longer than the eye's blink, comes back as
    ``NoGlance``, and is for a reader to do.
    """

    def __init__(self, file: File, tuning: Tuning) -> None:
        self._file = file
        # Nearly all reads of SCIM are done here: what they look at stays at hand.
        self._handle = Handle(file, 0.0, tuning.cache_kib, query_only=True)

    def close(self) -> None:
        self._handle.close()

    def run(self, body: Callable[[Connection], T], *, one: bool) -> T:
        handle, now = self._handle, time.monotonic()
        try:
            self._file.look_now_and_then(now)
            conn = handle.connection()
            handle.deadline = now + _GLANCE_S
            if one:
                return body(conn)
            handle.sql("BEGIN")
            try:
                return body(conn)
            finally:
                handle.deadline = 0.0
                if conn.in_transaction():  # SQLAlchemy's notion of one, where the body made it begin
                    conn.rollback()
                if handle.inside:
                    handle.sql("ROLLBACK")
        except FileGone as exc:
            raise NoGlance from exc
        except (sqlite3.Error, SQLAlchemyError) as exc:
            handle.close()
            raise NoGlance from exc
        finally:
            handle.close_makeshift()


class _Spoilt(Exception):
    """A body failed after it had written, and without a savepoint to go back to."""


def _told(exc: Exception, *, writing: bool = True) -> BaseException:
    if isinstance(exc, LostRace):
        return told(exc, Overloaded())
    return told(exc, sqlite_refusal(exc, writing=writing))
