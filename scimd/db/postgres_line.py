"""A connection to PostgreSQL on the event loop, which many callers share or one has to itself."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import psycopg
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

from scimd.core.errors import DatabaseUnavailable
from scimd.db.wire import BEGIN_SNAPSHOT, COMMIT, FINE, Kind, Query, Row, Speech
from scimd.db.work import NoGlance, Tuning

Question: TypeAlias = tuple[Query, Sequence[Any]]


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
        process: int | None,
        tuning: Tuning,
        when_silent: Callable[[], None],
        when_lost: Callable[[Line, Exception], None],
        *,
        shared: bool,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.lost = False
        self.process = process  # of the server, where it can be told
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
        #: When the server last answered, on time.monotonic.
        self.answered_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.loop.add_reader(self._fileno, self._readable)

    # ------------------------------------------------------------------ asking

    async def ask(self, questions: Sequence[Question]) -> list[list[Row]]:
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
        self.answered_at = self._heard_at
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

    @property
    def asks(self) -> bool:
        return bool(self._asked)

    @property
    def silent(self) -> bool:
        """Whether an answer is waited for, and nothing was heard for long."""
        return self.asks and time.monotonic() - self._heard_at >= self._tuning.silence_s

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
