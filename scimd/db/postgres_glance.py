"""Glances on PostgreSQL: reads by key, asked and answered on the event loop, without a thread.

Statements of many callers share one connection: what is asked in one turn of the loop leaves in one
message. A glance of several statements has a connection to itself for as long, and a snapshot on it.

A body is a plain function and cannot wait, so it is run up to the first statement without an answer,
and again from the start when the answer is there. It does little besides asking; two or three such runs
cost a fraction of one hand-over to a thread. Whatever goes wrong is for a reader's thread to do, as
on SQLite; only silence is told at once, since a thread would wait as long again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

import orjson
import psycopg
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import URL, Connection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from scimd.core.errors import DatabaseUnavailable, Overloaded
from scimd.db.wire import BEGIN_SNAPSHOT, COMMIT, FINE, Kind, Query, Row, Speech
from scimd.db.work import NoGlance, Tuning, connect_args

T = TypeVar("T")

_SNAPSHOTS = 4  # connections for glances of several statements
_PAUSE_S = 0.5  # before connecting again, where that failed


_Question: TypeAlias = tuple[Query, Sequence[Any]]


class _Unanswered(Exception):
    def __init__(self, questions: Sequence[_Question]) -> None:
        self.questions = questions


class _Recall:
    """Stands for the connection while a body runs: gives the answers that are here."""

    dialect: Final = PGDialect_psycopg(dbapi=psycopg)  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        self.answers: list[tuple[_Question, list[Row]]] = []

    @property
    def connection(self) -> _Recall:
        return self

    dbapi_connection = wire = connection

    def rows(self, query: Query, values: Sequence[Any]) -> list[Row]:
        found = self._found(query, values)
        if found is None:
            raise _Unanswered([(query, values)])
        return found

    def ahead(self, asked: Sequence[_Question]) -> None:
        if any(self._found(*question) is None for question in asked):
            raise _Unanswered(asked)

    def _found(self, query: Query, values: Sequence[Any]) -> list[Row] | None:
        for (asked, its_values), rows in self.answers:
            if asked is query and its_values == values:
                return rows
        return None

    def count(self, query: Query, values: Sequence[Any]) -> int:
        raise RuntimeError("a glance only reads")

    post = count

    def execute(self, *_: object) -> Any:
        """A statement that is not prepared: for a reader's thread."""
        raise NoGlance


class Glance:
    """The connections of one event loop, opened in the background once they are asked for."""

    def __init__(self, url: URL, tuning: Tuning, answers: Callable[[], Awaitable[bool]]) -> None:
        """``answers``: asks the server, on a connection of its own, whether it is there."""
        self._url = url
        self._tuning = tuning
        self._answers = answers
        self._shared: Line | None = None
        self._snapshots: set[Line] = set()
        self._free: list[Line] = []
        self._waiting: deque[asyncio.Future[Line]] = deque()
        self._opening: asyncio.Task[None] | None = None
        self._probe: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._closed = False

    async def run(self, body: Callable[[Connection], T], *, one: bool) -> T:
        """Raises NoGlance where a reader should try, and the refusals that ``Database.read`` raises."""
        shared = self._shared
        if shared is None or len(self._snapshots) < _SNAPSHOTS:
            self._open_soon()
        if shared is None or not self._snapshots or shared.loop is not asyncio.get_running_loop():
            raise NoGlance
        try:
            if one:
                return await _answered(body, shared.ask)
            line = await self._taken()
            try:
                line.begin()
                return await _answered(body, line.ask)
            finally:
                self._give_back(line)
        except psycopg.Error as exc:
            raise NoGlance from exc

    async def aclose(self) -> None:
        self._closed = True
        for task in (self._opening, self._probe):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        for line in (*self._snapshots, *((self._shared,) if self._shared else ())):
            line.lose(NoGlance())

    # ------------------------------------------------------------------ connections for snapshots

    async def _taken(self) -> Line:
        if self._free:
            return self._free.pop()
        if len(self._waiting) >= self._tuning.writer_queue:
            raise Overloaded
        waiting: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(self._tuning.timeout_s):
                return await waiting
        except TimeoutError:
            raise Overloaded from None
        finally:
            # Whoever is cancelled in the very moment of the gift passes it on.
            if waiting.done() and not waiting.cancelled() and not waiting.exception():
                self._regret(waiting)

    def _regret(self, waiting: asyncio.Future[Line]) -> None:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            self._give_back(waiting.result())

    def _give_back(self, line: Line) -> None:
        if not line.lost:
            line.end(send=all(waiting.done() for waiting in self._waiting))
        if not line.lost:  # ending may have found that it is
            self._offer(line)

    def _offer(self, line: Line) -> None:
        """To whoever has waited longest; COMMIT then leaves with the first statement there."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(line)
                return
        self._free.append(line)

    # ------------------------------------------------------------------ opening, losing

    def _open_soon(self) -> None:
        if self._closed or (self._opening is not None and not self._opening.done()):
            return
        if time.monotonic() >= self._not_before:
            self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        dialect = PGDialect_psycopg(dbapi=psycopg, json_deserializer=orjson.loads)  # type: ignore[no-untyped-call]
        _, options = dialect.create_connect_args(self._url)  # type: ignore[no-untyped-call]
        options |= connect_args(self._url, self._tuning)
        try:
            if self._shared is None:
                self._shared = await self._connected(options, shared=True)
            while len(self._snapshots) < _SNAPSHOTS:
                line = await self._connected(options, shared=False)
                self._snapshots.add(line)
                self._offer(line)
        except psycopg.Error:  # a reader's thread meets it too, and tells
            self._not_before = time.monotonic() + _PAUSE_S

    async def _connected(self, options: dict[str, Any], *, shared: bool) -> Line:
        connection = await psycopg.AsyncConnection.connect(**options, autocommit=True)
        return Line(connection, self._tuning, self._suspect, self._lost, shared=shared)

    def _lost(self, line: Line, why: Exception) -> None:
        if line is self._shared:
            self._shared = None
        self._snapshots.discard(line)
        if line in self._free:
            self._free.remove(line)
        if not self._snapshots:
            while self._waiting:
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_exception(why if isinstance(why, DatabaseUnavailable) else NoGlance())

    async def _ask_whether_there(self) -> None:
        if await self._answers():
            return
        for line in (*self._snapshots, *((self._shared,) if self._shared else ())):
            line.lose(DatabaseUnavailable())

    def _suspect(self) -> None:
        """A line has heard nothing for long."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.get_running_loop().create_task(self._ask_whether_there())


async def _answered(
    body: Callable[[Connection], T], ask: Callable[[Sequence[_Question]], Awaitable[list[list[Row]]]]
) -> T:
    recall = _Recall()
    while True:
        try:
            return body(cast(Connection, recall))
        except _Unanswered as asked:
            questions = asked.questions
        recall.answers += zip(questions, await ask(questions), strict=True)


class _Asked:
    __slots__ = ("future", "query", "values")

    def __init__(self, query: Query, values: Sequence[Any], future: asyncio.Future[list[Row]]) -> None:
        self.query = query
        self.values = values
        self.future = future


class Line:
    """A connection on the event loop. ``shared``: each statement stands for itself."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any],
        tuning: Tuning,
        when_silent: Callable[[], None],
        when_lost: Callable[[Line, Exception], None],
        *,
        shared: bool,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.lost = False
        self._connection = connection  # kept: it closes when it is forgotten
        self._speech = Speech(connection)
        self._pgconn = connection.pgconn
        self._fileno = connection.fileno()
        self._tuning = tuning
        self._when_silent = when_silent
        self._when_lost = when_lost
        self._shared = shared
        self._asked: deque[_Asked] = deque()
        self._refused: psycopg.Error | None = None  # the first in the present stretch
        self._send_due = False
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.loop.add_reader(self._fileno, self._readable)

    # ------------------------------------------------------------------ asking

    async def ask(self, questions: Sequence[_Question]) -> list[list[Row]]:
        """Their rows. Raises psycopg.Error, or DatabaseUnavailable where the server is silent."""
        if self.lost or len(self._asked) >= self._tuning.writer_queue:
            raise NoGlance
        asked = [_Asked(query, values, self.loop.create_future()) for query, values in questions]
        try:
            for each in asked:
                self._say(each)
        except psycopg.OperationalError as exc:
            self.lose(exc)
            raise
        if self._shared:
            self._send_soon()
        else:
            self._send()
        if len(asked) == 1:
            return [await asked[0].future]
        return await asyncio.gather(*(each.future for each in asked))

    def begin(self) -> None:
        """Begin a snapshot, with the statement that follows."""
        if self.lost:
            raise NoGlance
        try:
            self._speech.say(BEGIN_SNAPSHOT, (), Kind.CONTROL)
        except psycopg.Error as exc:
            self.lose(exc)
            raise

    def end(self, *, send: bool) -> None:
        try:
            self._speech.say(COMMIT, (), Kind.CONTROL)
        except psycopg.Error as exc:
            self.lose(exc)
            return
        if send:
            self._send()

    def _say(self, asked: _Asked) -> None:
        if not self._speech.sent:
            self._heard_at = time.monotonic()
        self._speech.say(asked.query, asked.values, Kind.WANTED)
        self._asked.append(asked)
        if self._timer is None:
            self._timer = self.loop.call_later(self._tuning.silence_s, self._look)

    def _send_soon(self) -> None:
        if not self._send_due:
            self._send_due = True
            self.loop.call_soon(self._send)

    def _send(self) -> None:
        self._send_due = False
        if self.lost:
            return
        try:
            self._speech.sync()
            self._flush()
        except psycopg.Error as exc:
            self.lose(exc)

    def _flush(self) -> bool:
        """Whether all has left; else the rest follows when the socket takes more."""
        left = not self._pgconn.flush()
        if self._pgconn.status == ConnStatus.BAD:
            # Sending met the end of the stream, and libpq closed the socket without a word. No event
            # will come of it, and its number may be another connection's in a moment.
            raise psycopg.OperationalError("the connection was lost")
        if not left:
            self.loop.add_writer(self._fileno, self._writable)
        return left

    def _writable(self) -> None:
        try:
            if self._flush():
                self.loop.remove_writer(self._fileno)
        except psycopg.Error as exc:
            self.lose(exc)

    # ------------------------------------------------------------------ hearing

    def _readable(self) -> None:
        self._heard_at = time.monotonic()
        speech = self._speech
        try:
            self._pgconn.consume_input()
            while speech.sent and (result := speech.answer()) is not None:
                self._take(result)
        except psycopg.Error as exc:
            self.lose(self._refused or exc)

    def _take(self, result: PGresult) -> None:
        kind, query = self._speech.sent.popleft()
        status = result.status
        if kind is Kind.SYNC:
            self._refused = None
            return
        if status in FINE:
            if kind is Kind.WANTED:
                self._tell(self._asked.popleft(), self._speech.rows(result))
            return
        aborted = status == ExecStatus.PIPELINE_ABORTED
        if not aborted:
            self._refused = psycopg.errors.error_from_result(result, encoding="utf-8")
        if kind is Kind.PREPARE and query is not None:
            self._speech.forget(query)
        if kind is Kind.WANTED:
            self._failed(self._asked.popleft(), again=aborted and self._shared)

    def _failed(self, asked: _Asked, *, again: bool) -> None:
        """``again``: it was a neighbour's fault; whose it was is not asked again."""
        if asked.future.done():
            return
        if again:
            try:
                self._say(asked)
            except psycopg.Error as exc:
                asked.future.set_exception(exc)
                raise
            self._send_soon()
        else:
            asked.future.set_exception(self._refused or psycopg.OperationalError("it was not run"))

    @staticmethod
    def _tell(asked: _Asked, rows: list[Row]) -> None:
        if not asked.future.done():  # else nobody waits any more
            asked.future.set_result(rows)

    # ------------------------------------------------------------------ silence, loss

    def _look(self) -> None:
        """While anything is unanswered: is the server there?"""
        self._timer = None
        if self.lost or not self._asked:
            return
        silent_s = time.monotonic() - self._heard_at
        if silent_s >= self._tuning.timeout_s:
            self.lose(DatabaseUnavailable())
            return
        if silent_s >= self._tuning.silence_s:
            self._when_silent()
        # At a quarter: whoever asked just after the last look is not to wait for two of them.
        self._timer = self.loop.call_later(self._tuning.silence_s / 4, self._look)

    def lose(self, why: Exception) -> None:
        """Close the connection, and tell all who wait."""
        if self.lost:
            return
        self.lost = True
        self.loop.remove_reader(self._fileno)
        self.loop.remove_writer(self._fileno)
        if self._timer is not None:
            self._timer.cancel()
        self._pgconn.finish()
        self._when_lost(self, why)
        for asked in self._asked:
            if not asked.future.done():
                asked.future.set_exception(why)
        self._asked.clear()
