"""Prepared statements on a psycopg connection, pipelined: several in one message, and one wait for all.

On PostgreSQL a statement costs little, but waiting for its answer does: a round trip, and with other
threads about, Python's lock. So BEGIN travels with the first statement of a transaction, a write whose
answer nobody needs with the next one that is waited for, and COMMIT with the last. Each statement is
parsed once per connection.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from scimd.db.faults import Refused

Row: TypeAlias = tuple[Any, ...]

_BINARY = 1
_SYNC, _ABORTED = ExecStatus.PIPELINE_SYNC, ExecStatus.PIPELINE_ABORTED
FINE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)
_LOST = "the connection was lost"


class Query:
    """A statement as the server takes it, with ``$1``; known to it by the digest of its text."""

    __slots__ = ("formats", "name", "sql", "text")

    def __init__(self, sql: str, binary: Sequence[bool]) -> None:
        """``binary``: which parameters are bytes. All others travel as text, of which the server knows
        the type by their place in the statement."""
        self.text: Final = sql
        self.sql: Final = sql.encode()
        self.name: Final = blake2b(self.sql, digest_size=12).hexdigest().encode()
        self.formats: Final = [PyFormat.BINARY if each else PyFormat.TEXT for each in binary]


BEGIN_SNAPSHOT: Final = Query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ())
COMMIT: Final = Query("COMMIT", ())
_ROLLBACK: Final = Query("ROLLBACK", ())


class PostRefused(Exception):
    """A write that nobody waited for was refused, so that the error comes too late for the body.

    The body is run again from the start with each write waited for, and meets it in its place.
    """


class Kind(Enum):
    PREPARE = "prepare"
    POST = "post"
    WANTED = "wanted"
    AHEAD = "ahead"
    CONTROL = "control"
    SYNC = "sync"


_Sent: TypeAlias = tuple[Kind, Query | None]


class Speech:
    """One connection's side of the protocol: encodes and sends, and decodes what was answered.

    It does not wait: :class:`Wire` waits in a thread, and ``glance`` on the event loop.
    """

    def __init__(self, connection: psycopg.BaseConnection[Any]) -> None:
        self.pgconn: Final[PGconn] = connection.pgconn
        self.sent: Final[deque[_Sent]] = deque()
        self._adapt = Transformer(connection)
        self._known: set[bytes] = set()  # statements that were sent to be parsed

    def say(self, query: Query, values: Sequence[Any], kind: Kind) -> None:
        """Put a statement into the buffer. Raises the driver's error for values that it cannot send."""
        params = self._adapt.dump_sequence(values, query.formats)
        formats = self._adapt.formats
        self._speak()
        if query.name not in self._known:
            self.pgconn.send_prepare(query.name, query.sql)
            self.sent.append((Kind.PREPARE, query))
            self._known.add(query.name)
        self.pgconn.send_query_prepared(query.name, params, formats, _BINARY)
        self.sent.append((kind, query))

    def sync(self) -> None:
        """End a stretch within which the first error stops all that follows, and send what waits."""
        self.pgconn.pipeline_sync()
        self.sent.append((Kind.SYNC, None))

    def _speak(self) -> None:
        if not self.pgconn.pipeline_status:
            self.pgconn.enter_pipeline_mode()

    def answer(self) -> PGresult | None:
        """What the server answered next; None: more has to be read first."""
        pgconn = self.pgconn
        for _ in range(2):  # between two answers libpq gives one None
            if pgconn.is_busy():
                return None
            if (result := pgconn.get_result()) is not None:
                return result
        raise psycopg.OperationalError(_LOST)

    def forget(self, query: Query) -> None:
        self._known.discard(query.name)

    def rows(self, result: PGresult) -> list[Row]:
        self._adapt.set_pgresult(result)
        return self._adapt.load_rows(0, result.ntuples, tuple)


class _Ahead:
    """Something that will be asked, and was sent with others already."""

    __slots__ = ("query", "result", "values")

    def __init__(self, query: Query, values: Sequence[Any]) -> None:
        self.query = query
        self.values = values
        self.result: PGresult | None = None


class Wire:
    """A thread's way to send: ``rows`` and ``count`` wait for the answer, ``post`` does not."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._speech = Speech(connection)
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)
        self._owed: Sequence[tuple[Query, Sequence[str]]] = ()
        self._ahead: list[_Ahead] = []
        self._unread: deque[_Ahead] = deque()
        #: Off: each write is waited for, and its error comes in its place.
        self.posting = True
        #: Since when the answer is waited for, on time.monotonic; 0: it is not.
        self.waiting_since = 0.0
        #: When the server last answered, on time.monotonic.
        self.answered_at = 0.0

    # ------------------------------------------------------------------ statements

    def rows(self, query: Query, values: Sequence[Any]) -> list[Row]:
        return self._speech.rows(self._foreseen(query, values) or self._asked(query, values))

    def ahead(self, asked: Sequence[tuple[Query, Sequence[Any]]]) -> None:
        """Send several questions at once; when they are asked, with equal values, the answers are here.

        A write in between makes them void: what it changed may be among the answers.
        """
        self._open()
        for query, values in asked:
            self._speech.say(query, values, Kind.AHEAD)
            foreseen = _Ahead(query, values)
            self._ahead.append(foreseen)
            self._unread.append(foreseen)

    def _foreseen(self, query: Query, values: Sequence[Any]) -> PGresult | None:
        for foreseen in self._ahead:
            if foreseen.query is query and foreseen.values == values:
                if foreseen.result is None:
                    self._exchange()
                self._ahead.remove(foreseen)
                return foreseen.result
        return None

    def count(self, query: Query, values: Sequence[Any]) -> int:
        self._ahead.clear()
        return self._asked(query, values).command_tuples or 0

    def post(self, query: Query, values: Sequence[Any]) -> None:
        """Send a write with whatever is waited for next."""
        self._ahead.clear()
        if not self.posting:
            self._asked(query, values)
            return
        self._open()
        self._speech.say(query, values, Kind.POST)

    def _asked(self, query: Query, values: Sequence[Any]) -> PGresult:
        self._open()
        self._speech.say(query, values, Kind.WANTED)
        result = self._exchange()
        assert result is not None  # noqa: S101 - for the type checker: it was asked for
        return result

    # ------------------------------------------------------------------ transactions

    def begin(self, *first: tuple[Query, Sequence[str]]) -> None:
        """Begin with the next statement, by these."""
        self._ahead.clear()
        self._owed = first

    @property
    def sound(self) -> bool:
        """Whether the transaction stands, as far as the server has said: errors of what was posted are
        still to come."""
        unsaid = bool(self._owed or self._speech.sent)
        return unsaid or self._speech.pgconn.transaction_status == TransactionStatus.INTRANS

    def commit(self, *, wait: bool) -> None:
        """COMMIT, together with what was not sent yet. Without ``wait`` the answer is read later."""
        if self._owed:  # nothing happened in it
            self._owed = ()
            return
        self._speech.say(COMMIT, (), Kind.CONTROL)
        if wait:
            self._exchange()
        else:
            self._speech.sync()

    def settle(self) -> None:
        """Send all that waits and take the answers: the connection is the driver's own again."""
        if self._owed or self._speech.sent:
            self._open()
            self._exchange()
        if self._speech.pgconn.pipeline_status:
            raise psycopg.OperationalError(_LOST)

    def rollback(self) -> None:
        """End the transaction. What was not sent is forgotten, what was sent is of no interest."""
        self._owed = ()
        if self._speech.sent:
            with suppress(Refused, PostRefused):
                self._exchange()
        if self._speech.pgconn.transaction_status != TransactionStatus.IDLE:
            # Not the driver's own: it would have the server forget all prepared statements, ours too.
            self._speech.say(_ROLLBACK, (), Kind.CONTROL)
            self._exchange()

    def _open(self) -> None:
        if self._owed:
            first, self._owed = self._owed, ()
            for query, values in first:
                self._speech.say(query, values, Kind.CONTROL)

    # ------------------------------------------------------------------ waiting

    def _exchange(self) -> PGresult | None:
        """Send what waits, and take all answers; gives that of the statement that is waited for."""
        speech = self._speech
        speech.sync()
        wanted: PGresult | None = None
        refused: tuple[Kind, Query | None, PGresult] | None = None
        self.waiting_since = time.monotonic()
        try:
            self._send()
            while speech.sent:
                result = self._read()
                kind, query = speech.sent.popleft()
                status = result.status
                if kind is Kind.AHEAD:
                    self._unread.popleft().result = result
                if status not in FINE and kind is not Kind.SYNC:
                    if kind is Kind.PREPARE and query is not None:
                        speech.forget(query)
                    if status != _ABORTED and refused is None:
                        refused = kind, query, result
                elif kind is Kind.WANTED:
                    wanted = result
        except psycopg.OperationalError:
            # The reason that the server gave, if any, says more than that it hung up then.
            speech.sent.clear()
            self._unread.clear()
            if refused is None:
                raise
        finally:
            self.waiting_since = 0.0
        with suppress(psycopg.OperationalError):  # answered whole, and lost since: the next one will see
            speech.pgconn.exit_pipeline_mode()
        if refused is not None:
            self._raise(*refused)
        return wanted

    def _raise(self, kind: Kind, query: Query | None, result: PGresult) -> None:
        error = error_from_result(result, encoding="utf-8")
        if kind is Kind.POST and not isinstance(error, psycopg.OperationalError):
            raise PostRefused from error
        raise Refused("" if query is None else query.text, error) from error

    def _send(self) -> None:
        pgconn = self._speech.pgconn
        while pgconn.flush():
            self._poll.modify(pgconn.socket, select.POLLIN | select.POLLOUT)
            try:
                self._poll.poll()
            finally:
                self._poll.modify(pgconn.socket, select.POLLIN)
            pgconn.consume_input()

    def _read(self) -> PGresult:
        while (result := self._speech.answer()) is None:
            self._poll.poll()
            self._speech.pgconn.consume_input()
        self.answered_at = time.monotonic()
        return result
