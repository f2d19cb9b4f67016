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
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final, TypeVar, cast

import orjson
import psycopg
from sqlalchemy import URL, Connection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from scimd.core.errors import DatabaseUnavailable, Overloaded
from scimd.db.postgres_line import Line, Question
from scimd.db.postgres_lost import own_process
from scimd.db.wire import Query, Row
from scimd.db.work import NoGlance, Tuning, connect_args

T = TypeVar("T")

_SNAPSHOTS = 4  # connections for glances of several statements
_PAUSE_S = 0.5  # before connecting again, where that failed


class _Unanswered(Exception):
    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = questions


class _Recall:
    """Stands for the connection while a body runs: gives the answers that are here."""

    info: Final[dict[str, Any]] = {}  # nothing is kept on it
    dialect: Final = PGDialect_psycopg(dbapi=psycopg)  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        self.answers: list[tuple[Question, list[Row]]] = []

    @property
    def connection(self) -> _Recall:
        return self

    dbapi_connection = wire = connection

    def rows(self, query: Query, values: Sequence[Any]) -> list[Row]:
        found = self._found(query, values)
        if found is None:
            raise _Unanswered([(query, values)])
        return list(found)  # the body may change its list, and is run again from the start

    def ahead(self, asked: Sequence[Question]) -> None:
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

    def __init__(
        self,
        url: URL,
        tuning: Tuning,
        answers: Callable[[], Awaitable[bool]],
        lost: Callable[[Collection[int]], Awaitable[set[int]]],
    ) -> None:
        """``answers``: asks the server, on a connection of its own, whether it is there; ``lost``: which
        of its processes wait for us."""
        self._url = url
        self._tuning = tuning
        self._answers = answers
        self._find_lost = lost
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
        for line in self._lines:
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
        process = own_process(connection)
        return Line(connection, process, self._tuning, self._suspect, self._lost, shared=shared)

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

    @property
    def _lines(self) -> tuple[Line, ...]:
        return (*self._snapshots, *((self._shared,) if self._shared else ()))

    def answered_since(self, moment: float) -> bool:
        """Whether the server answered anything since this moment of time.monotonic."""
        return any(line.answered_at >= moment for line in self._lines)

    async def _ask_whether_there(self) -> None:
        lines = self._lines
        if await self._answers():
            lost = await self._find_lost({line.process for line in lines if line.process and line.silent})
            # Of those that nobody asks at present none is known to be better: they are opened anew.
            lines = tuple(line for line in lines if lost and (line.process in lost or not line.asks))
        for line in lines:
            line.lose(DatabaseUnavailable())

    def _suspect(self) -> None:
        """A line has heard nothing for long."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.get_running_loop().create_task(self._ask_whether_there())


async def _answered(
    body: Callable[[Connection], T], ask: Callable[[Sequence[Question]], Awaitable[list[list[Row]]]]
) -> T:
    recall = _Recall()
    while True:
        try:
            return body(cast(Connection, recall))
        except _Unanswered as asked:
            questions = asked.questions
        recall.answers += zip(questions, await ask(questions), strict=True)
