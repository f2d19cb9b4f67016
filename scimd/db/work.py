"""Bodies on their way: bounded queues, and the threads that run what waits in them."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

from sqlalchemy import URL, Connection

from scimd.core.errors import DatabaseUnavailable, Overloaded, Refusal
from scimd.db.faults import OUTCOME_UNKNOWN

NO_THREAD = (
    "The system lets scimd start no more threads; nothing was changed. Allow more (ulimit -u, systemd's "
    "TasksMax=)."
)
STOPPING = "scimd is stopping; nothing was changed. Send the request again later."


@dataclass(frozen=True, slots=True)
class Tuning:
    """The figures of the door. The defaults are those that the speed goals were measured with."""

    writer_queue: int = 1024  # bodies that may wait; one more is refused
    writer_batch_ms: int = 20  # SQLite: no further body is begun in a transaction of this age
    reader_threads: int = 4  # SQLite
    # SQLite: pages that the connection for glances keeps, and the writer.
    cache_kib: int = 6144
    write_cache_kib: int = 6144
    on_loop: bool = False  # SQLite: short bodies write on the event loop's thread; see engine.OnLoop
    pool_size: int = 8  # PostgreSQL: connections, each with its thread
    timeout_s: float = 10.0  # from the call to the answer, unless the call says otherwise
    busy_timeout_s: float = 5.0  # SQLite: wait for another process's write
    lost_race_retries: int = 3
    connect_timeout_s: int = 2  # PostgreSQL; libpq takes no less than 2
    silence_s: float = 1.0  # PostgreSQL: after so long without an answer, ask whether it is there


class NoGlance(Exception):
    """A glance did not work at once; a reader may do it."""


@dataclass(slots=True, eq=False)
class Job:
    """One body, its future, and what became of it."""

    body: Callable[[Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    timeout_s: float
    writing: bool
    short: bool = False
    deadline: float = 0.0  # on time.monotonic
    result: Any = None
    error: BaseException | None = None
    after: Callable[[Job], None] | None = None  # called on the loop once the thread is done with it
    timer: asyncio.TimerHandle | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _socket: int | None = None  # of the connection that runs it
    _committing: bool = False
    _given_up: bool = False

    @classmethod
    def of(
        cls, body: Callable[[Connection], Any], timeout_s: float, *, writing: bool, short: bool = False
    ) -> Job:
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + timeout_s
        return cls(body, loop, loop.create_future(), timeout_s, writing, short, deadline)

    @property
    def late(self) -> bool:
        return time.monotonic() >= self.deadline

    @property
    def unwanted(self) -> bool:
        """Whether nobody waits any more: cancelled, or answered already."""
        return self.future.done()

    def run(self, conn: Connection) -> Any:
        """Call the body. What would end a thread, or cannot travel in a future, comes as RuntimeError."""
        try:
            return self.body(conn)
        except StopIteration as exc:
            raise RuntimeError("a body raised StopIteration") from exc
        except Exception:
            raise
        except BaseException as exc:
            raise RuntimeError(f"a body raised {type(exc).__name__}: {exc}") from exc

    def holds(self, fileno: int | None) -> None:
        """Say which socket the body talks through (None: no longer), so that giving up can cut it."""
        with self._lock:
            self._socket = fileno

    def has_answer(self) -> bool:
        """Whether what the server said lies there, and the thread has not come to read it yet."""
        with self._lock:
            if self._socket is None:
                return False
            look = select.poll()
            look.register(self._socket, select.POLLIN)
            return any(found & select.POLLIN for _, found in look.poll(0))

    def may_commit(self) -> bool:
        """False if the call was answered with a failure meanwhile: what was told must stay true."""
        with self._lock:
            self._committing = not self._given_up
            return self._committing

    @property
    def committing(self) -> bool:
        return self._committing

    def begins_anew(self) -> None:
        self._committing = False

    def give_up(self) -> None:
        """Answer now that the database does not, and free the thread that waits for it.

        Called on the loop. Shutting the socket down wakes the thread with the end of the stream; the
        descriptor stays the driver's to close.
        """
        with self._lock:
            self._given_up = True
            why = OUTCOME_UNKNOWN if self._committing and self.writing else None
            if self._socket is not None:
                cut(self._socket)
        if not self.future.done():
            self.future.set_exception(DatabaseUnavailable(why=why))


def cut(fileno: int) -> None:
    """End both ways of a socket: whoever waits for it wakes. The descriptor stays its owner's to close."""
    try:
        held = socket.socket(fileno=fileno)
    except OSError:  # closed in this moment: what we wanted
        return
    try:
        held.shutdown(socket.SHUT_RDWR)
    except OSError:  # not connected any more: what we wanted
        return
    finally:
        held.detach()


def answer(jobs: Iterable[Job]) -> None:
    """Resolve the futures on their loops; one wake-up for each other loop than the one that runs here."""
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, its_jobs in by_loop.items():
        if loop is here:
            _resolve(its_jobs)
        elif not loop.is_closed():  # else nobody is left who could be told
            loop.call_soon_threadsafe(_resolve, its_jobs)


def _resolve(jobs: list[Job]) -> None:
    for job in jobs:
        if job.after is not None:
            job.after(job)
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)


class Inbox:
    """A bounded queue of jobs that can be closed: what is in it is finished, nothing new gets in."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def put(self, job: Job) -> None:
        with self._lock:
            if self._closed:
                raise DatabaseUnavailable(why=STOPPING)
            if self._jobs.qsize() >= self._limit:
                raise Overloaded()
            self._jobs.put(job)

    def close(self, readers: int) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in range(readers):
                    self._jobs.put(None)

    def next(self) -> Job | None:
        """The next job, waiting for it. None: closed, and everything is done."""
        return self._jobs.get()

    def waiting(self) -> Job | None:
        """A job that waits already, or None."""
        try:
            job = self._jobs.get_nowait()
        except Empty:
            return None
        if job is None:
            self._jobs.put(None)  # the end is for next() to see; it is the last entry anyway
        return job


class Turn:
    """The right to take from the inbox: one thread of a crew has it at a time.

    Threads that run short bodies side by side spend their time handing Python's lock to and fro
    (measured: 12,900 reads a second with one, 2,600 with four). So a hand keeps its turn while it
    runs, and passes it on as soon as it sees that the body takes long, or waits for a network.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._mine = False

    def wait(self) -> None:
        if not self._mine:
            self._lock.acquire()
            self._mine = True

    def pass_on(self) -> None:
        if self._mine:
            self._mine = False
            self._lock.release()


class Hand(Protocol):
    """What a thread works with: a connection of its own."""

    def take(self, job: Job, inbox: Inbox, turn: Turn) -> None:
        """Run the job, and others that wait if that helps; answer all of them. Raises nothing."""

    def close(self) -> None: ...


class Crew:
    """Threads over one inbox. They start with the first job, and end when the crew is closed.

    Daemon threads: a process that ends without closing loses only what nobody was told of.
    """

    def __init__(self, name: str, size: int, limit: int, hand: Callable[[], Hand]) -> None:
        self._name = name
        self._size = size
        self._inbox = Inbox(limit)
        self._hand = hand
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    @property
    def closed(self) -> bool:
        return self._inbox.closed

    def submit(self, job: Job) -> None:
        if len(self._threads) < self._size and not self.closed:
            self._start()
        self._inbox.put(job)

    async def aclose(self) -> None:
        self._inbox.close(self._size)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _start(self) -> None:
        """Raises DatabaseUnavailable where the system has no thread for us; the next job tries again.

        Where it has some, these do it all meanwhile.
        """
        with self._lock:
            while len(self._threads) < self._size:
                name = f"{self._name}-{len(self._threads)}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as exc:
                    if self._threads:
                        return
                    raise DatabaseUnavailable(why=NO_THREAD) from exc
                self._threads.append(thread)

    def _run(self) -> None:
        hand, turn = self._hand(), Turn(self._turn)
        try:
            while (job := self._next(turn)) is not None:
                if job.unwanted or job.late:
                    job.error = Overloaded()
                    answer((job,))
                else:
                    hand.take(job, self._inbox, turn)
                del job  # a result is not kept alive until the next one comes
        finally:
            turn.pass_on()
            hand.close()

    def _next(self, turn: Turn) -> Job | None:
        turn.wait()
        return self._inbox.next()


#: The first word on each connection that is answered in text: how times are written, which a role or database
#: may have otherwise; and that nothing is compiled, which takes seconds for a client's long filter and gains
#: nothing where a page is read. No parameters of the connection's start, of which a pooler takes only a few.
SPEAK: Final = "SET datestyle TO ISO; SET jit TO off"


def connect_args(url: URL, tuning: Tuning) -> dict[str, Any]:
    """libpq's parameters that keep a dead peer from holding a thread, where the url's own come first; and
    the encoding, whatever the environment or the role has."""
    ours: dict[str, Any] = {
        "connect_timeout": tuning.connect_timeout_s,
        "application_name": "scimd",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 5000,  # milliseconds
    }
    return {name: value for name, value in ours.items() if name not in url.query} | {
        "client_encoding": "utf8"
    }


def told(exc: BaseException, refusal: Refusal | None) -> BaseException:
    """The refusal, caused by the error; or the error itself where no refusal fits."""
    if refusal is None:
        return exc
    refusal.__cause__ = exc
    return refusal
