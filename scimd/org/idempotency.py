"""Writes that happen once, however often they are sent (``Idempotency-Key``).

A key belongs to an organization and to a person in their sessions, or to one API token. Its row is made in
the transaction of the write itself: either both are there or neither. The answer is added afterwards. So a
repetition finds

- no row: nothing has happened; it is carried out.
- a row with an answer: it gets the same answer, byte for byte.
- a row without one: the first is still at work (RequestInProgress), or its process died between the
  commit and the answer (AnswerLost). It is not carried out again.

A request that was refused before it wrote anything leaves no row. Answers are sealed: some hold a
secret that is shown once. After a day the row is void, and a job removes it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, select, update

from scimd.core.errors import AnswerLost, KeyReused, RequestInProgress
from scimd.core.people import OrgId
from scimd.db.locks import insert_ignore
from scimd.db.tables import idempotency_keys as table
from scimd.org import lately
from scimd.org.tokens.sealing import NotSealedHere, seal, unseal
from scimd.org.tx import Door, Tx

LASTS = timedelta(hours=24)
#: No request takes so long: one without an answer after it will not get one.
_WORKS_FOR = timedelta(minutes=2)
_PURPOSE = "idempotency"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first one got: status, media type, further headers, body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Once:
    """One request under a key. ``attempt`` tells this sending of it from others."""

    org_id: OrgId
    actor: str
    key: str
    digest: bytes
    attempt: str

    def claim(self, tx: Tx) -> None:
        """Take the key in the write's own transaction. Whoever comes at the same time waits for its end.

        Raises KeyReused, RequestInProgress, AnswerLost.
        """
        mine = {"org_id": self.org_id, "actor_id": self.actor, "key": self.key}
        tx.conn.execute(delete(table).where(_is(self), table.c.until <= tx.now))
        made = tx.conn.execute(
            insert_ignore(tx.conn, table).values(
                **mine, digest=self.digest, attempt=self.attempt, at=tx.now, until=tx.now + LASTS
            )
        )
        if made.rowcount == 1:
            return
        row = tx.conn.execute(select(table).where(_is(self))).one()
        if row.attempt != self.attempt:  # else: a later transaction of this very request
            _check(self, row, tx.now)
            raise RequestInProgress


def _is(once: Once) -> Any:
    return (table.c.org_id == once.org_id) & (table.c.actor_id == once.actor) & (table.c.key == once.key)


def _check(once: Once, row: Row[Any], now: datetime) -> None:
    if bytes(row.digest) != once.digest:
        raise KeyReused(once.key)
    if row.status is None and not lately.is_within(row.at, now, _WORKS_FOR):
        raise AnswerLost(once.key)


def digest_of(method: str, path: str, body: bytes) -> bytes:
    """What makes two requests the same."""
    return hashlib.sha256(orjson.dumps([method, path]) + body).digest()


async def answered(door: Door, once: Once) -> Answer | None:
    """The answer that a request under this key has got; None where it was never carried out.

    Raises KeyReused for another request under the key, RequestInProgress, AnswerLost.
    """
    now = door.clock()

    def body(conn: Connection) -> Answer | None:
        row = conn.execute(select(table).where(_is(once), table.c.until > now)).first()
        if row is None:
            return None
        _check(once, row, now)
        if row.status is None:
            raise RequestInProgress
        try:
            plain = unseal(door.keys, _PURPOSE, bytes(row.answer), _owner(once))
        except NotSealedHere as exc:
            raise AnswerLost(once.key) from exc
        head, _, rest = plain.partition(b"\n")
        return Answer(row.status, orjson.loads(head), rest)

    return await door.read(body)


async def keep(door: Door, once: Once, answer: Answer) -> None:
    """Keep the answer with the key. Where the request wrote nothing there is no key, and nothing is kept."""
    plain = orjson.dumps(answer.headers) + b"\n" + answer.body
    sealed = seal(door.keys, _PURPOSE, plain, _owner(once))
    statement = (
        update(table)
        .where(_is(once), table.c.attempt == once.attempt)
        .values(status=answer.status, answer=sealed)
    )
    await door.db.write(lambda conn: conn.execute(statement))


def _owner(once: Once) -> str:
    return f"{once.org_id} {once.actor} {once.key}"


async def forget(door: Door) -> int:
    """Remove what is void, over all organizations. A job; gives how many rows."""
    statement = delete(table).where(table.c.until <= door.clock())
    return await door.db.write(lambda conn: conn.execute(statement).rowcount)
