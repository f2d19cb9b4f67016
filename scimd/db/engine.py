"""The door to the database: ``await write(body)``, ``await read(body)``.

A body is a plain function over a SQLAlchemy Core connection. It runs in a thread, inside one
transaction that it neither begins nor ends, and it may be run again from the start: it must not do
anything outside the database, and must not keep results open after it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sqlalchemy import URL, Connection, NullPool, create_engine, make_url, select, text
from sqlalchemy.exc import ArgumentError

from scimd.core.errors import DatabaseUnavailable, StorageFull
from scimd.db import faults, prepared, sqlite, work
from scimd.db.clock import Clock
from scimd.db.sqlite_file import File
from scimd.db.tables import organizations
from scimd.db.trouble import Trouble
from scimd.db.work import Crew, Job

if TYPE_CHECKING:
    from scimd.db.postgres import Watched

T = TypeVar("T")

Tuning = work.Tuning
LostRace = faults.LostRace
KnowsMore = faults.KnowsMore
MoreToLock = faults.MoreToLock
is_unique_violation = faults.is_unique_violation
is_check_or_trigger = faults.is_check_or_trigger
violates = faults.violates

_DEFAULTS = Tuning()
_ONE = text("SELECT 1 FROM (SELECT count(*) AS n FROM sqlite_master) AS s")
_ONE_POSTGRESQL = select(organizations.c.id).limit(1)


class Database:
    """One database, of either kind. Made by ``open``; opened in earnest by the first body.

    Besides what a body raises itself, ``write`` and ``read`` raise ``Overloaded`` (not begun, or
    overtaken too often), ``DatabaseUnavailable`` and ``StorageFull``; after each of them nothing was
    changed, but for a connection lost during COMMIT, which the refusal says.
    """

    def __init__(self, doors: SqliteDoors | Watched, tuning: Tuning) -> None:
        self._doors = doors
        self.tuning = tuning
        self._clock = None if isinstance(doors, SqliteDoors) else Clock(self._aside)
        self._trouble = {True: Trouble("writing"), False: Trouble("reading")}

    @classmethod
    def open(cls, url: str, tuning: Tuning = _DEFAULTS) -> Database:
        """A database by its url: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``postgresql://…``.

        Does no I/O. Raises ValueError with a sentence for what is neither.
        """
        parsed = parse(url)
        if is_sqlite(parsed):
            return cls(SqliteDoors(parsed, tuning), tuning)
        from scimd.db.postgres import Watched  # with the driver, which SQLite has no use for

        return cls(Watched(parsed, tuning), tuning)

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        return self._doors.dialect

    async def write(
        self, body: Callable[[Connection], T], *, timeout_s: float | None = None, short: bool = False
    ) -> T:
        """Run the body in one transaction, and give its value back once that is durable.

        ``short``: it is done in some milliseconds, whatever it is about; see ``Tuning.on_loop``.
        """
        return await self._run(Job.of(body, self._limit(timeout_s), writing=True, short=short))  # type: ignore[no-any-return]

    async def read(self, body: Callable[[Connection], T], *, timeout_s: float | None = None) -> T:
        """Run the body on one snapshot of what was committed. It never waits for a writer."""
        return await self._run(Job.of(body, self._limit(timeout_s), writing=False))  # type: ignore[no-any-return]

    async def _run(self, job: Job) -> Any:
        try:
            found = await self._doors.run(job)
        except (DatabaseUnavailable, StorageFull) as exc:
            self._trouble[job.writing].met(exc)
            raise
        self._trouble[job.writing].over()
        return found

    async def give_way(self) -> None:
        """Between the batches of long work: on SQLite, let another process write."""
        if self.dialect == "sqlite":
            await asyncio.sleep(sqlite.GIVE_WAY_S)

    async def glance(self, body: Callable[[Connection], T], *, one: bool = False) -> T:
        """Read a few rows by their keys, with prepared statements: a body of some 10 µs each.

        As ``read``, but on the event loop: on SQLite at once, on PostgreSQL with others on a connection
        that needs no thread. ``one``: the body is a single statement, which is its own snapshot.
        """
        try:
            if isinstance(self._doors, SqliteDoors):
                return self._doors.eye.run(body, one=one)
            return await self._doors.eye.run(body, one=one)
        except work.NoGlance:
            return await self.read(body)

    def now(self) -> datetime:
        """The present time, by the database's clock as far as it is known; see ``db.clock``. Costs no I/O."""
        return datetime.now(UTC) if self._clock is None else self._clock.now()

    async def look_at_clock(self) -> None:
        """Learn how far the database's clock is from this process's. One that is away is not waited for."""
        if self._clock is not None:
            await self._clock.look()

    async def _aside(self, body: Callable[[Connection], T], timeout_s: float) -> T:
        """As ``read``, but what goes wrong is nobody's trouble."""
        found: T = await self._doors.run(Job.of(body, timeout_s, writing=False))
        return found

    async def ping(self) -> None:
        """Make sure that the database answers and is one; raises as ``read`` does."""
        await self.read(_ping)

    async def aclose(self) -> None:
        """Finish what is queued, refuse what is new, close the connections."""
        if self._clock is not None:
            await self._clock.aclose()
        await self._doors.aclose()

    def _limit(self, timeout_s: float | None) -> float:
        return self.tuning.timeout_s if timeout_s is None else timeout_s


def _ping(conn: Connection) -> None:
    conn.execute(_ONE_POSTGRESQL if conn.dialect.name == "postgresql" else _ONE)


class SqliteDoors:
    """The writer's crew of one, and the readers'."""

    dialect: Literal["sqlite"] = "sqlite"

    def __init__(self, url: URL, tuning: Tuning) -> None:
        file = File(sqlite_path(url))
        self.eye = sqlite.Glance(file, tuning)
        writer = sqlite.Writer(file, tuning)
        crew = Crew("writer", 1, tuning.writer_queue, lambda: writer)
        self._writer = OnLoop(crew, writer) if tuning.on_loop else crew
        self._readers = Crew(
            "reader", tuning.reader_threads, tuning.writer_queue, lambda: sqlite.Reader(file, tuning)
        )

    async def run(self, job: Job) -> Any:
        (self._writer if job.writing else self._readers).submit(job)
        return await job.future

    async def aclose(self) -> None:
        await self._writer.aclose()
        await self._readers.aclose()
        self.eye.close()


class OnLoop:
    """A writer on the event loop's own thread, for a process that does little but write.

    Two threads hand Python's lock to and fro at every statement, and each handing over wakes somebody up.
    What is not short, or would have to wait for another process, is the crew's, and whatever comes before
    the crew is done: nobody overtakes for long, and the loop waits for no other process, but where a batch
    that one of its bodies spoilt has to begin again. Both have the one writer, in turn.
    """

    def __init__(self, crew: Crew, writer: sqlite.Writer) -> None:
        self._crew = crew
        self._writer = writer
        self._nobody = work.Inbox(0)
        self._handed_over = 0

    @property
    def closed(self) -> bool:
        return self._crew.closed

    def submit(self, job: Job) -> None:
        here = job.short and self._handed_over == 0 and not self.closed
        if here and self._writer.take_at_once(job, self._nobody):
            return
        self._crew.submit(job)
        self._handed_over += 1
        job.after = self._done

    def _done(self, job: Job) -> None:
        self._handed_over -= 1

    async def aclose(self) -> None:
        await self._crew.aclose()
        self._writer.close()


def render_ahead(url: str) -> None:
    """Render the statements that are built at import, before their first use. Opens no database.

    Whatever is forked off afterwards has them in memory that it shares. On PostgreSQL nothing is done.
    """
    if is_sqlite(parse(url)):
        with create_engine("sqlite://", poolclass=NullPool).connect() as conn:
            prepared.render(conn)


# ------------------------------------------------------------------------------ urls


def parse(url: str) -> URL:
    """The url with its driver; ValueError with a sentence, and without the password, otherwise."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(
            "The database url cannot be read. Write sqlite:///scimd.db or postgresql://…"
        ) from None
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite":
            sqlite_path(parsed)
            return parsed.set(drivername="sqlite+pysqlite")
        case "postgresql" | "postgresql+psycopg":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise ValueError(
                f"scimd works with SQLite and PostgreSQL, not with {other!r}. "
                "Write sqlite:///scimd.db or postgresql://…"
            )


def is_sqlite(url: URL) -> bool:
    return url.drivername.startswith("sqlite")


def sqlite_path(url: URL) -> Path:
    name = url.database or ""
    if name in {"", ":memory:"} or name.startswith("file:"):
        raise ValueError(
            "SQLite needs a file: several threads and processes share the database, and memory cannot be "
            "shared. Write sqlite:///scimd.db"
        )
    if url.query or url.host:
        raise ValueError("A SQLite url is a path alone, without host and options. Write sqlite:///scimd.db")
    return Path(name)
