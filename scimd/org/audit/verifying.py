"""The audit verified: the chain and every digest recomputed from what is stored, part by part."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection, Integer, Row, Text, bindparam, func, literal, select, type_coerce

from scimd.core.people import OrgId
from scimd.db.prepared import Prepared
from scimd.db.tables import events, published
from scimd.org.audit.audit import START, digest, link, unpublished
from scimd.org.tx import Door

_BATCH = 1000
#: So many entries are verified in one part.
_PART = 20_000
_FAULTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Verification:
    """``faults``: a sentence for each place where the audit is not what was written; of many the first
    ones, and how many more there are. ``next``: the number of the last entry that was looked at, where more
    may follow; what is not published yet is counted with the last part.
    """

    published: int
    unpublished: int
    erased: int
    faults: tuple[str, ...]
    next: int | None = None

    @property
    def ok(self) -> bool:
        return not self.faults


async def verify(
    door: Door, org_id: OrgId, progress: Callable[[int], None] = lambda looked_at: None
) -> Verification:
    """Recompute the chain and every digest from the first event on, part by part."""
    walk = _Verifying()
    while await _go_over(door, org_id, walk):
        progress(walk.count)
    return await _verified(door, org_id, walk)


async def verify_part(door: Door, org_id: OrgId, after: int) -> Verification:
    """The same for the entries that follow that number, as many as somebody waits for; 0: from the first."""
    walk = _Verifying(after, None if after else START)
    more = await _go_over(door, org_id, walk)
    found = await _verified(door, org_id, walk, counted=not more)
    return replace(found, next=walk.seq) if more else found


@dataclass(slots=True)
class _Verifying:
    """How far a verification has come. ``chain`` None: as it is stored for that entry."""

    seq: int = 0
    chain: bytes | None = START
    count: int = 0
    erased: int = 0
    faults: list[str] = field(default_factory=list)
    more: int = 0


async def _go_over(door: Door, org_id: OrgId, walk: _Verifying) -> bool:
    """Check the next part; whether more may follow. In batches, so that no reader is held for long."""
    for _ in range(_PART // _BATCH):
        found = await door.read(partial(_checked, org_id=org_id, seq=walk.seq, chain=walk.chain))
        walk.seq, walk.chain = found.seq, found.chain
        walk.count += found.count
        walk.erased += found.erased
        walk.faults += found.faults
        walk.more += len(walk.faults[_FAULTS_SHOWN:])
        del walk.faults[_FAULTS_SHOWN:]
        if found.count < _BATCH:
            return False
    return True


async def _verified(door: Door, org_id: OrgId, walk: _Verifying, *, counted: bool = True) -> Verification:
    faults, waiting = list(walk.faults), 0
    if walk.more:
        faults.append(f"{walk.more} more like these were found; the first {_FAULTS_SHOWN} are listed.")
    if counted:
        count = select(func.count()).select_from(unpublished(literal(org_id)).subquery())
        waiting = await door.read(lambda conn: int(conn.execute(count).scalar_one()))
    return Verification(walk.count, waiting, walk.erased, tuple(faults))


_STORED = Prepared(
    select(published.c.chain).where(
        published.c.org_id == bindparam("org_id"), published.c.seq == bindparam("seq", type_=Integer)
    )
)


def _checked(conn: Connection, *, org_id: OrgId, seq: int, chain: bytes | None) -> _Verifying:
    """The batch that follows an entry whose hash is this."""
    found = _Verifying(seq)
    if chain is None:
        before = _STORED.first(conn, {"org_id": org_id, "seq": seq})
        chain = bytes(before.chain) if before else START
        if before is None:
            found.faults.append(f"Entry {seq} is missing.")
    as_text = conn.dialect.name == "sqlite"
    for row in _page(conn, org_id, seq):
        chain = _check(row, found.seq + 1, chain, found.faults, as_text=as_text)
        found.seq = row.seq
        found.count += 1
        found.erased += row.id is not None and _is_erased(row)
    found.chain = chain
    return found


#: The values as they are stored: SQLite has the very text of which the digest is.
_STORED_EVENT = [type_coerce(each, Text).label("body") if each.key == "body" else each for each in events.c]


def _page(conn: Connection, org_id: OrgId, after: int) -> Sequence[Row[Any]]:
    return conn.execute(
        select(published.c.seq, published.c.chain, published.c.event_id, *_STORED_EVENT)
        .outerjoin(events, (events.c.org_id == published.c.org_id) & (events.c.id == published.c.event_id))
        .where(published.c.org_id == org_id, published.c.seq > after)
        .order_by(published.c.seq)
        .limit(_BATCH)
    ).all()


def _is_erased(row: Row[Any]) -> bool:
    """Both are gone: values without their salt are not what was written."""
    return row.salt is None and row.body is None


def _is_as_written(row: Row[Any], *, as_text: bool) -> bool:
    salt, wanted = bytes(row.salt or b""), bytes(row.digest)
    if not as_text or row.body is None:
        return digest(salt, row.body) == wanted
    if hashlib.sha256(salt + row.body.encode()).digest() == wanted:
        return True
    try:
        return digest(salt, orjson.loads(row.body)) == wanted
    except orjson.JSONDecodeError:
        return False


def _check(row: Row[Any], number: int, chain: bytes, faults: list[str], *, as_text: bool) -> bytes:
    """Check one entry against the hash before it; gives the stored hash, so that one fault is one line."""
    if row.seq != number:
        faults.append(f"Entry {number} is missing: after {number - 1} comes {row.seq}.")
    if row.id is None:
        faults.append(f"Entry {row.seq}: its event {row.event_id} is missing.")
    elif link(chain, row) != bytes(row.chain):
        faults.append(f"Entry {row.seq}: the event {row.event_id}, or the order before it, was changed.")
    elif not _is_erased(row) and not _is_as_written(row, as_text=as_text):
        faults.append(f"Entry {row.seq}: the values of the event {row.event_id} were changed.")
    return bytes(row.chain)
