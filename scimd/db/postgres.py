"""PostgreSQL: threads with a connection each, and an eye on whether the server still answers."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple, Self

import orjson
import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from scimd.core.errors import DatabaseUnavailable, Overloaded
from scimd.db.compiled import LONGEST, bounded
from scimd.db.faults import OUTCOME_UNKNOWN, KnowsMore, Refused, connection_lost, is_race, postgres_refusal
from scimd.db.postgres_glance import Glance
from scimd.db.postgres_lost import can_tell, own_process
from scimd.db.postgres_lost import lost as find_lost
from scimd.db.wire import BEGIN_SNAPSHOT, PostRefused, Query, Wire
from scimd.db.work import SPEAK, Crew, Inbox, Job, Tuning, Turn, answer, connect_args

# A server or pooler answers this with one byte before any authentication (protocol: SSLRequest).
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_PROBES = 3
_ROUNDED_S = 0.01  # off the limit that the server is given, in milliseconds
_GRACE_S = 2.0  # beyond the time limit, which the server enforces itself

_BEGIN_WRITE = Query("BEGIN ISOLATION LEVEL READ COMMITTED", ())
_LIMITS = Query(
    "SELECT set_config('statement_timeout', $1, true), "
    "set_config('idle_in_transaction_session_timeout', $2, true)",
    (False, False),
)
#: What writes looks by keys, for which one plan is as good as another made anew each time.
_WRITE_LIMITS = Query(
    f"{_LIMITS.text}, set_config('plan_cache_mode', 'force_generic_plan', true)", (False, False)
)


class _Cursor(psycopg.Cursor[Any]):
    """Has the server keep no plan of a statement that is as long as a client's filter makes one."""

    def execute(self, query: Any, params: Any = None, *, prepare: bool | None = None, **options: Any) -> Self:
        if isinstance(query, str) and len(query) > LONGEST:
            prepare = False
        return super().execute(query, params, prepare=prepare, **options)


class Wired(psycopg.Connection[Any]):
    """The driver's connection with a wire, which is settled before the driver speaks itself."""

    wire: Wire
    writing = True  # in the present transaction

    def cursor(self, *args: Any, **options: Any) -> Any:
        self._by_wire(self.wire.settle)
        return super().cursor(*args, **options)

    def wait(self, *args: Any, **options: Any) -> Any:
        wire = getattr(self, "wire", None)
        if wire is None:  # it is being opened, which has a limit of its own
            return super().wait(*args, **options)
        wire.waiting_since = time.monotonic()
        try:
            return super().wait(*args, **options)
        finally:
            wire.waiting_since = 0.0

    def commit(self) -> None:
        try:
            self._by_wire(lambda: self.wire.commit(wait=self.writing))
        except (psycopg.Error, PostRefused):
            # What was posted with it was refused: the transaction is there, and has failed.
            if self.pgconn.transaction_status == TransactionStatus.INERROR:
                self.rollback()
            raise

    def rollback(self) -> None:
        self._by_wire(self.wire.rollback)

    def _by_wire(self, say: Callable[[], None]) -> None:
        try:
            say()
        except Refused as exc:
            raise exc.error from None


class Hand:
    """A thread's connection: opened when first used, kept, and opened anew once after it was lost."""

    def __init__(self, url: URL, tuning: Tuning, number: int, cut_offs: Callable[[], int]) -> None:
        """``cut_offs``: how often the server was found silent so far."""
        self._tuning = tuning
        self._number = number
        self._cut_offs = cut_offs
        self._opened_after = 0
        # Transactions are begun and ended here, so that BEGIN and its limits travel in one message.
        self._engine = bounded(
            create_engine(
                url,
                poolclass=NullPool,
                isolation_level="AUTOCOMMIT",
                connect_args=connect_args(url, tuning),
                json_deserializer=orjson.loads,
                hide_parameters=True,  # an error is logged: what was typed stays out of it
            )
        )
        event.listen(self._engine, "do_connect", self._wired)
        self._conn: Connection | None = None
        self._raw: Any = None  # the Wired connection
        self._process: int | None = None  # of the server, where it can be told
        self._job: Job | None = None

    def close(self) -> None:
        conn, self._conn, self._raw = self._conn, None, None
        if conn is not None:
            conn.invalidate()
            conn.close()

    def take(self, job: Job, inbox: Inbox, turn: Turn) -> None:
        turn.pass_on()
        self._job = job
        try:
            job.result = self._until_done(job)
        except Exception as exc:
            job.error = exc
        self._job = None
        answer((job,))

    def _until_done(self, job: Job) -> Any:
        """Run the body; again from the start where that helps: a lost race, a stale connection."""
        races, fresh, posting = self._tuning.lost_race_retries, 1, True
        while True:
            job.begins_anew()
            conn = self._connected(job)
            self._raw.wire.posting = posting and job.writing
            try:
                return self._transaction(conn, job)
            except PostRefused:
                posting = False
            except Exception as exc:
                if self._lost(exc, job):
                    self.close()
                    refusal = postgres_refusal(exc, writing=job.writing)  # the server said why: not committed
                    if job.writing and job.committing and refusal is None:
                        raise DatabaseUnavailable(why=OUTCOME_UNKNOWN) from exc
                    if not fresh or job.unwanted or job.late:
                        raise (refusal or DatabaseUnavailable()) from exc
                    fresh -= 1
                    continue
                if conn.in_transaction() or self._raw.pgconn.transaction_status != TransactionStatus.IDLE:
                    self.close()  # it did not come out clean: no body after this one may meet that
                if not is_race(exc):
                    late = time.monotonic() > job.deadline - _ROUNDED_S
                    refusal = postgres_refusal(exc, writing=job.writing, late=late)
                    if refusal is None:
                        raise
                    raise refusal from exc
                if job.late or not (races or isinstance(exc, KnowsMore)):
                    raise Overloaded() from exc
                if isinstance(exc, KnowsMore):
                    continue
                races -= 1
                # Two who met once should not meet again in step: each connection has its own pause.
                time.sleep(0.001 * (1 + self._number) * (self._tuning.lost_race_retries - races))

    def _transaction(self, conn: Connection, job: Job) -> Any:
        job.holds(self._raw.fileno())
        try:
            # As a context manager it refuses statements after a body's own commit or rollback.
            with conn.begin():  # its exit commits, or rolls back
                self._begin(job)
                result = job.run(conn)
                self._must_be_sound()
                if not job.may_commit():
                    raise DatabaseUnavailable()
            return result
        finally:
            job.holds(None)

    def _begin(self, job: Job) -> None:
        """BEGIN with its limits; they travel with the first statement."""
        limit_ms = max(1, int((job.deadline - time.monotonic()) * 1000))
        begin = _BEGIN_WRITE if job.writing else BEGIN_SNAPSHOT
        self._raw.writing = job.writing
        limits = _WRITE_LIMITS if job.writing else _LIMITS
        self._raw.wire.begin((begin, ()), (limits, (str(limit_ms), str(limit_ms + 1000))))

    def _must_be_sound(self) -> None:
        # COMMIT after a failed statement would roll back, and the server calls that a success.
        if not self._raw.wire.sound:
            raise RuntimeError("the transaction ended inside a body: it committed, or hid an error")

    def _connected(self, job: Job) -> Connection:
        if self._opened_after != self._cut_offs():
            self.close()  # a connection from before a silence may stay silent for ever
        if self._conn is None:
            self._opened_after = self._cut_offs()
            try:
                self._conn = self._engine.connect()
            except DBAPIError as exc:
                raise DatabaseUnavailable() from exc
            finally:
                job.holds(None)
            self._raw = self._conn.connection.driver_connection
            self._process = own_process(self._raw)
        return self._conn

    def _wired(self, dialect: Any, record: Any, args: list[Any], options: dict[str, Any]) -> Wired:
        connection = Wired.connect(*args, **options)
        connection.wire = Wire(connection)
        connection.cursor_factory = _Cursor
        # The driver counts what it prepares, on each connection from 0 on: where a pooler keeps no sessions,
        # another connection's statement would run in its place. So each begins somewhere else.
        connection._prepared._prepared_idx = secrets.randbits(62)
        if self._job is not None:  # what follows, SQLAlchemy's own first questions too, has no limit
            self._job.holds(connection.fileno())
        connection.autocommit = True
        connection.execute(SPEAK)
        return connection

    @property
    def waits(self) -> Wait | None:
        """Whose answer it waits for, of which of the server's processes, and since when."""
        job, raw, process = self._job, self._raw, self._process
        since = 0.0 if raw is None else raw.wire.waiting_since
        return Wait(job, process, since) if job is not None and process is not None and since else None

    @property
    def answered_at(self) -> float:
        """When the server last answered, on time.monotonic."""
        raw = self._raw
        return 0.0 if raw is None else raw.wire.answered_at

    def _lost(self, exc: Exception, job: Job) -> bool:
        return bool(self._raw.closed) or connection_lost(exc, writing=job.writing)


class Wait(NamedTuple):
    job: Job
    process: int
    since: float


class Watched:
    """The crew, and who waits for it.

    A server that is cut off without a word (a dropped route, a hung proxy) answers nothing, and TCP
    notices late or never. So whoever has waited a second has the server asked, on a connection of
    its own, whether it is there; if not, and nobody else was answered meanwhile, all who wait are
    answered and their sockets are shut. If it is, it may itself wait for those whose connections were
    lost (``postgres_lost``): they are answered so, and older connections are used no more.
    """

    dialect: Literal["postgresql"] = "postgresql"

    def __init__(self, url: URL, tuning: Tuning) -> None:
        self._tuning = tuning
        self._address = (url.host, url.port or 5432) if url.host and not url.host.startswith("/") else None
        self._url = url
        self._cut_offs = 0
        self._hands: list[Hand] = []
        numbers = itertools.count()
        self._crew = Crew(
            "postgres",
            tuning.pool_size,
            tuning.writer_queue,
            lambda: self._hand(next(numbers)),
        )
        self._outstanding: set[Job] = set()
        self._probe: asyncio.Task[None] | None = None
        self.eye = Glance(url, tuning, self._answers, self._lost)

    def _hand(self, number: int) -> Hand:
        hand = Hand(self._url, self._tuning, number, lambda: self._cut_offs)
        self._hands.append(hand)
        return hand

    async def run(self, job: Job) -> Any:
        job.after = self._forget
        self._crew.submit(job)
        self._outstanding.add(job)
        self._watch(job)
        return await job.future

    def _forget(self, job: Job) -> None:
        self._outstanding.discard(job)
        if job.timer is not None:
            job.timer.cancel()

    async def aclose(self) -> None:
        await self.eye.aclose()
        await self._crew.aclose()
        if self._probe is not None:
            await asyncio.wait((self._probe,))

    def _watch(self, job: Job) -> None:
        """Look again later, also when the caller has gone: it is the thread that must not be stuck."""
        job.timer = job.loop.call_later(self._tuning.silence_s, self._suspect, job)

    def _suspect(self, job: Job) -> None:
        if time.monotonic() >= job.deadline + _GRACE_S:
            job.give_up()
        elif self._address is not None and (self._probe is None or self._probe.done()):
            self._probe = job.loop.create_task(self._ask())
        self._watch(job)

    async def _ask(self) -> None:
        if await self._answers():
            await self._give_up_lost()
            return
        for job in tuple(self._outstanding):
            job.give_up()

    async def _give_up_lost(self) -> None:
        before = time.monotonic() - self._tuning.silence_s * 0.8  # a thread begins later than its caller
        waits = [(hand, wait) for hand in self._hands if (wait := hand.waits) and wait.since <= before]
        lost = await self._lost({wait.process for _, wait in waits})
        for hand, wait in waits:
            if wait.process in lost and hand.waits == wait and not wait.job.has_answer():
                wait.job.give_up()

    async def _lost(self, processes: Collection[int]) -> set[int]:
        """Those of the server's processes whose connections are lost; older ones are used no more."""
        if not processes or not can_tell(self._url):
            return set()
        lost = await find_lost(self._url, self._tuning, processes)
        self._cut_offs += bool(lost)
        return lost

    async def _answers(self) -> bool:
        if self._address is None:  # a socket of this machine is not cut off
            return True
        limit_s = self._tuning.silence_s * 0.8
        for _ in range(_PROBES):
            began = time.monotonic()
            if await self._says_something(self._address, limit_s) or self._answered_since(began):
                return True
            # Where this process stood still meanwhile, the answer may lie there unread: ask again.
            if time.monotonic() - began < 1.2 * limit_s:
                break
        self._cut_offs += 1
        return False

    def _answered_since(self, moment: float) -> bool:
        """Whether anybody was answered: a server that is busy may take no new connection for a while."""
        return any(hand.answered_at >= moment for hand in self._hands) or self.eye.answered_since(moment)

    async def _says_something(self, address: tuple[str, int], within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                reader, writer = await asyncio.open_connection(*address)
                try:
                    writer.write(_SSL_REQUEST)
                    return len(await reader.read(1)) == 1
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return False
