"""The audit: events written with what caused them, chained in one order.

An event never changes. The chain is over all of its row but the values and their salt, of which the row
has the digest: so the values of an erased person can go, and what is left says "erased" rather than
"changed". The order among transactions is made afterwards, by one publisher at a time per organization,
since of two transactions the one that began later may commit first.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Table,
    bindparam,
    func,
    literal,
    literal_column,
    select,
    tuple_,
)

from scimd.core.events import Event
from scimd.core.people import OrgId
from scimd.db.among import among
from scimd.db.locks import insert_ignore, upsert
from scimd.db.prepared import Locking, Prepared
from scimd.db.tables import events, leases, organizations, published, walks
from scimd.db.types import Ready, utc_text
from scimd.org.ids import first_id, in_order, uuid7_head, uuid7_of
from scimd.org.tx import Actor, Context, Door, Tx

_BATCH = 1000
_PAUSE_S = 0.05
_LEASE = "publisher"
#: No transaction lasts so long; older events than this before the newest published one are the sweep's.
LATECOMERS = timedelta(hours=1)
#: Nearly all of them are committed by then; the others wait for a look at the whole hour.
RECENT = timedelta(seconds=30)
#: So many events are looked at in one statement.
_LOOKED = 10_000
#: So many events are looked at in one part of the sweep.
_SWEPT = 10_000
#: What the first entry of a chain is hashed over.
START = bytes(32)
_SWEEP = "audit"
#: The sweep's place is of no organization.
_EVERYBODY = OrgId("")
#: Organization and id of the last event that was looked at.
_Place: TypeAlias = tuple[str, str]
_BEGINNING: _Place = ("", "")
_EVENTS = Prepared(events.insert())
_CHAIN = Prepared(published.insert())


def write_events(tx: Tx) -> None:
    """Write the events that the transaction owes. Their ids sort by time, call, and as they were recorded."""
    if not tx.events:
        return
    org_id, now, salts = tx.org_id, tx.now, tx.chance.bytes
    rand = int.from_bytes(salts(5), "big")
    head = uuid7_head(now)
    rows = []
    for number, (ctx, event) in enumerate(_by_call(tx)):
        event_id = uuid7_of(head, (in_order(now, number) | rand).to_bytes(10, "big"))
        body = _canonical({"before": event.before, "after": event.after, "note": event.note})
        salt = salts(16)
        actor = ctx.actor
        rows.append(
            {
                "org_id": org_id,
                "id": event_id,
                "at": now,
                "actor_kind": actor.kind,
                "actor_id": actor.id,
                "actor_name": actor.name,
                "door": ctx.door,
                "kind": str(event.kind),
                "target_kind": event.target_kind,
                "target_id": event.target_id,
                "correlation_id": ctx.correlation_id,
                "audience": event.kind.audience,
                "digest": hashlib.sha256(salt + body).digest(),
                "salt": salt,
                "body": Ready(body.decode()),
            }
        )
    _EVENTS.many(tx.conn, rows)


def _by_call(tx: Tx) -> list[tuple[Context, Event]]:
    """Each with the call from which it follows; those of the first call that shares the transaction first."""
    told = [(tx.whose(event), event) for event in tx.events]
    if len(tx.calls) > 1:
        place = {id(ctx): n for n, ctx in enumerate(tx.calls)}
        told.sort(key=lambda each: place[id(each[0])])
    return told


def _canonical(body: Mapping[str, Any]) -> bytes:
    """JSON with its keys sorted and no white space: the digest is of these very bytes."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def digest(salt: bytes, body: Mapping[str, Any]) -> bytes:
    """SHA-256 over the salt and the values as canonical JSON."""
    return hashlib.sha256(salt + _canonical(body)).digest()


# ------------------------------------------------------------------------------ the chain


def link(previous: bytes, event: Row[Any]) -> bytes:
    """The chain's next hash: over the one before and the event's row, its values as their digest."""
    parts = [
        event.id,
        utc_text(event.at),
        event.actor_kind,
        event.actor_id,
        event.actor_name,
        event.door,
        event.kind,
        event.target_kind,
        event.target_id,
        event.correlation_id,
        event.audience,
        bytes(event.digest).hex(),
    ]
    return hashlib.sha256(previous + orjson.dumps(parts)).digest()


def _job(org_id: OrgId) -> Context:
    return Context(org_id, Actor("job", "publisher", "publisher"), "job", "publisher")


@dataclass(slots=True)
class _Batch:
    """What comes next in the chain, after the entry ``after``; ``begin_at``: the event to look at then."""

    after: int
    rows: list[dict[str, Any]]
    begin_at: str | None = None


async def publish(door: Door, org_id: OrgId, *, within: timedelta = LATECOMERS) -> int:
    """Append the organization's new events to its chain; gives how many. A job.

    ``within``: how far before the newest published event to look for others, leaving out those of the future,
    which were written while the clock was ahead. What was published there is passed over once in each call,
    and in portions: an hour of a first sync is many. Whatever is committed behind a batch meanwhile is the
    next call's. They are looked for and chained on a snapshot, and only written under the lock: on SQLite
    whoever else writes waits for the writing alone, and has a turn between two batches.
    """
    ctx = _job(org_id)
    total, first = 0, ""
    while True:
        now = door.clock()
        batch = await door.read(lambda conn, now=now, first=first: _next(conn, org_id, now, within, first))  # type: ignore[misc]
        appended = bool(batch.rows) and await door.run(ctx, lambda tx, batch=batch: _append(tx, batch))  # type: ignore[misc]
        if appended:
            total += len(batch.rows)
        if batch.begin_at is None:
            return total
        if appended or not batch.rows:
            first = batch.begin_at
        await asyncio.sleep(_PAUSE_S)


_TIP = Prepared(
    select(published.c.seq, published.c.chain)
    .where(published.c.org_id == bindparam("org_id"))
    .order_by(published.c.seq.desc())
    .limit(literal_column("1"))
)
#: Not the chain's last: that one may be of long ago, where the sweep chained it.
_NEWEST = Prepared(
    select(published.c.event_id)
    .where(published.c.org_id == bindparam("org_id"), published.c.event_id < bindparam("future"))
    .order_by(published.c.event_id.desc())
    .limit(literal_column("1"))
)


_CHAINED = [column for column in events.c if column.key not in ("salt", "body")]


def unpublished(org_id: ColumnElement[str]) -> Select[Any]:
    """A select of the events that are in no chain yet."""
    done = select(published.c.seq).where(
        published.c.org_id == events.c.org_id, published.c.event_id == events.c.id
    )
    return select(*_CHAINED).where(events.c.org_id == org_id, ~done.exists())


_OF_HERE = (events.c.org_id == bindparam("org_id"), events.c.id >= bindparam("first"))
_looked_at = (
    select(*_CHAINED)
    .where(*_OF_HERE)
    .order_by(events.c.id)
    .limit(bindparam("looked", type_=Integer))
    .subquery()
)
#: Asked for of one event after the other: of a NOT EXISTS PostgreSQL makes a join that reads the whole chain.
_its_seq = (
    select(published.c.seq)
    .where(published.c.org_id == _looked_at.c.org_id, published.c.event_id == _looked_at.c.id)
    .scalar_subquery()
)
_NEXT = Prepared(
    select(_looked_at)
    .where(_its_seq.is_(None))
    .order_by(_looked_at.c.id)
    .limit(bindparam("most", type_=Integer))
)
_BEHIND = Prepared(
    select(events.c.id)
    .where(*_OF_HERE)
    .order_by(events.c.id)
    .offset(bindparam("looked", type_=Integer))
    .limit(literal_column("1"))
)


def _how_many(table: Table, ids: ColumnElement[str]) -> ColumnElement[int]:
    here = (table.c.org_id == bindparam("org_id"), ids >= bindparam("first"), ids < bindparam("behind"))
    return select(func.count()).select_from(table).where(*here).scalar_subquery()


#: As many events as entries: what is chained was an event before, and none is ever taken away.
_ALL_CHAINED = Prepared(
    select((_how_many(events, events.c.id) == _how_many(published, published.c.event_id)).label("all"))
)


def _next(conn: Connection, org_id: OrgId, now: datetime, within: timedelta, first: str) -> _Batch:
    """``first``: the event to begin at; empty: the first one ``within`` that time."""
    tip = _TIP.first(conn, {"org_id": org_id})
    if not first:
        future = first_id(now + timedelta(microseconds=1))
        newest = _NEWEST.first(conn, {"org_id": org_id, "future": future})
        first = first_id(_written(newest.event_id) - within) if newest else ""
    here = {"org_id": org_id, "first": first, "looked": _LOOKED}
    behind = _BEHIND.first(conn, here)
    if behind and _ALL_CHAINED.first(conn, {**here, "behind": behind.id}).all:
        return _Batch(tip.seq if tip else 0, [], behind.id)
    batch = _after(tip, org_id, _NEXT.all(conn, {**here, "most": _BATCH}))
    if len(batch.rows) == _BATCH:
        batch.begin_at = batch.rows[-1]["event_id"]
    elif behind:
        batch.begin_at = behind.id
    return batch


def _written(event_id: str) -> datetime:
    """When, to the millisecond, by the id alone (RFC 9562 §5.7)."""
    return datetime.fromtimestamp(int(event_id[:8] + event_id[9:13], 16) / 1000, UTC)


def _after(tip: Row[Any] | None, org_id: OrgId, found: Iterable[Any]) -> _Batch:
    """These events, as the chain's next entries."""
    seq, chain = (tip.seq, bytes(tip.chain)) if tip else (0, START)
    batch = _Batch(seq, [])
    for event in found:
        seq, chain = seq + 1, link(chain, event)
        batch.rows.append({"org_id": org_id, "seq": seq, "event_id": event.id, "chain": chain})
    return batch


def organizations_with_new(conn: Connection, since: datetime) -> list[OrgId]:
    """Those with events of that time or later: nearly always there is one of them to publish."""
    last = select(func.max(events.c.id)).where(events.c.org_id == organizations.c.id).scalar_subquery()
    fresh = select(organizations.c.id).where(last >= first_id(since))
    return [OrgId(found) for found in conn.execute(fresh).scalars()]


def _append(tx: Tx, batch: _Batch) -> bool:
    """Write the batch, unless another publisher was faster."""
    _become_publisher(tx)
    tip = _TIP.first(tx.conn, {"org_id": tx.org_id})
    if (tip.seq if tip else 0) != batch.after:
        return False
    _CHAIN.many(tx.conn, batch.rows)
    return True


_OFFICE = Prepared(lambda conn: insert_ignore(conn, leases))
_HELD = Locking(
    select(leases.c.name).where(leases.c.org_id == bindparam("org_id"), leases.c.name == bindparam("name"))
)


def _become_publisher(tx: Tx) -> None:
    """Hold the lease row until the transaction ends: whoever comes at the same time waits."""
    office = {"org_id": tx.org_id, "name": _LEASE}
    _OFFICE.many(tx.conn, [{**office, "holder": "", "until": tx.now}])
    _HELD.all(tx.conn, office)


# ------------------------------------------------------------------------------ what was left out


async def sweep(door: Door) -> int:
    """Go over the next part of all events, after the last again the first; gives how many it chained. A job.

    It chains what no chain has: what was written while the clock was behind by more than latecomers are
    looked for. The place is stored before: what cannot be chained now is the next walk's, and holds up
    nothing that comes after it.
    """
    before = first_id(door.clock() - LATECOMERS)
    place, following, left_out = await door.read(lambda conn: _part(conn, before))
    if following != place:
        await door.run(_job(_EVERYBODY), lambda tx: _go_on_after(tx, following))
    total = 0
    for org_id, ids in left_out.items():
        for at in range(0, len(ids), _BATCH):
            total += await _chain(door, org_id, ids[at : at + _BATCH])
    return total


def _go_on_after(tx: Tx, place: _Place) -> None:
    where = ("last_org_id", "last_id")
    row = {"org_id": _EVERYBODY, "name": _SWEEP, **dict(zip(where, place, strict=True))}
    tx.conn.execute(upsert(tx.conn, walks, key=("org_id", "name"), update=where), row)


def _place(conn: Connection) -> _Place:
    stored = select(walks.c.last_org_id, walks.c.last_id).where(
        walks.c.org_id == _EVERYBODY, walks.c.name == _SWEEP
    )
    found = conn.execute(stored).first()
    return (found.last_org_id, found.last_id) if found else _BEGINNING


def _part(conn: Connection, before: str) -> tuple[_Place, _Place, dict[OrgId, list[str]]]:
    """The place, the one after the next part, and what this holds that is older and in no chain."""
    place = _place(conn)
    key = tuple_(events.c.org_id, events.c.id)
    part = (
        select(events.c.org_id, events.c.id)
        .where(key > tuple_(*map(literal, place)))
        .order_by(events.c.org_id, events.c.id)
    )
    last = conn.execute(part.limit(1).offset(_SWEPT - 1)).first()
    seen = part.limit(_SWEPT).subquery()
    done = select(published.c.seq).where(
        published.c.org_id == seen.c.org_id, published.c.event_id == seen.c.id
    )
    left_out: dict[OrgId, list[str]] = {}
    query = select(seen).where(seen.c.id < before, ~done.exists()).order_by(seen.c.org_id, seen.c.id)
    for org_id, event_id in conn.execute(query):
        left_out.setdefault(OrgId(org_id), []).append(event_id)
    return place, _BEGINNING if last is None else (last.org_id, last.id), left_out


async def _chain(door: Door, org_id: OrgId, ids: Sequence[str]) -> int:
    """Append these to the organization's chain; 0 where another publisher was faster: the next walk's."""

    def look(conn: Connection) -> _Batch:
        found = conn.execute(
            unpublished(literal(org_id)).where(among(conn, events.c.id, ids)).order_by(events.c.id)
        ).all()
        return _after(_TIP.first(conn, {"org_id": org_id}), org_id, found)

    batch = await door.read(look)
    ctx = _job(org_id)
    appended = bool(batch.rows) and await door.run(ctx, lambda tx: _append(tx, batch))
    return len(batch.rows) if appended else 0
