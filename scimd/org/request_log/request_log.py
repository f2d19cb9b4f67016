"""The request log of SCIM: what came, what was answered and why, read by admins and exported for replay.

Entries are written behind (docs/request-log.md): many in one transaction, which PostgreSQL need not
wait for. What a crash loses is the last second of this log and nothing else. No audit event goes with
an entry; what a request changed has its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, cast

from sqlalchemy import Connection, Row, Select, Table, bindparam, delete, func, select, text, update
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import InvalidValue, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, SourceId, TokenId
from scimd.db.among import among
from scimd.db.prepared import Prepared
from scimd.db.tables import access_tokens, oauth_clients, scim_requests, sources, tokens
from scimd.org import permissions
from scimd.org.generation import bump
from scimd.org.ids import first_id, in_order, uuid7
from scimd.org.request_log import request_people
from scimd.org.request_log.request_entries import Speaker
from scimd.org.request_log.request_people import Sought
from scimd.org.tokens.tokens import locked
from scimd.org.tx import Context, Door, Tx
from scimd.org.windows import narrowed

Only = Literal["errors", "writes"]

#: Longer, and somebody forgot it.
TRACE_AT_MOST = timedelta(days=7)
_PORTION = 500
_READS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One entry. Values in ``path``, ``query``, ``detail`` and the bodies (JSON texts) are pseudonyms.

    ``omitted`` names the bodies that were too large to keep. ``dropped``: so many entries before this
    one were lost, because more came than memory had room for.
    """

    org_id: OrgId
    id: str
    at: datetime
    token_id: TokenId | None
    token_name: str
    source_id: SourceId | None
    source_name: str
    profile: str
    scopes: Sequence[str]
    correlation_id: str
    method: str
    pattern: str
    path: str
    query: str | None
    status: int
    scim_type: str | None
    detail: str | None
    duration_us: int
    headers: Mapping[str, str]
    transforms: Sequence[Mapping[str, str]]
    ignored: Sequence[Mapping[str, str]]
    resource_kind: str | None
    resource_id: str | None
    request: str | None
    response: str | None
    omitted: Sequence[str]
    bytes: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries; None: whatever. ``status`` 4 or 5 means all of 4xx or 5xx. ``only`` writes: no reads."""

    source_id: SourceId | None = None
    token_id: TokenId | None = None
    status: int | None = None
    method: str | None = None
    correlation_id: str | None = None
    resource_id: str | None = None
    person: Sought | None = None
    since: datetime | None = None
    until: datetime | None = None
    only: Only | None = None


@dataclass(frozen=True, slots=True)
class RequestPage:
    """``older`` is the id to go on behind, None at the end."""

    requests: list[RequestRecord]
    older: str | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the log of one organization may hold; see ``config.Scim``."""

    log_for: timedelta
    rows: int
    bytes: int


# ------------------------------------------------------------------------------ writing

_INSERT = Prepared(scim_requests.insert())


#: The random bits in an id, which all entries of one transaction share; see ``tx.in_order``.
NUMBER_BITS = 40
_WRITTEN = Prepared(
    select(scim_requests.c.id).where(
        scim_requests.c.org_id == bindparam("org_id"), scim_requests.c.id == bindparam("id")
    )
)


async def record(
    door: Door,
    entries: Sequence[tuple[OrgId, Mapping[str, Any], int]],
    number: int,
    *,
    unsure: bool = False,
) -> None:
    """Write entries in the order in which they came: organization, columns, how many were dropped before.

    ``number``: a random one of their own. ``unsure``: they may be written already, under this number.
    """
    rows = [
        {**columns, "org_id": org_id, "id": _id_at(columns["at"], place, number), "dropped": dropped}
        for place, (org_id, columns, dropped) in enumerate(entries)
    ]

    def body(conn: Connection) -> None:
        if unsure and _WRITTEN.first(conn, rows[0]) is not None:
            return
        if conn.dialect.name == "postgresql":
            # Nobody was told that it is kept: this transaction need not wait for the disk.
            conn.execute(text("SET LOCAL synchronous_commit TO off"))
        _INSERT.many(conn, rows)

    await door.db.write(body)


def _id_at(moment: datetime, place: int, number: int) -> str:
    """An id that sorts as entries came: by microsecond, then by place. A replay goes in this order."""
    return uuid7(moment, (in_order(moment, place) | number).to_bytes(10, "big"))


async def speakers_of(door: Door, hashes: Iterable[bytes]) -> dict[bytes, Speaker]:
    """Whose tokens these are, also expired, revoked and paused ones: their refusals concern an admin.

    An access token is its client's; it is forgotten a day after its end.
    """
    wanted = list(hashes)
    rows = await door.read(
        lambda conn: [*conn.execute(_TOKENS, {"hashes": wanted}), *conn.execute(_FETCHED, {"hashes": wanted})]
    )
    return {
        row.hash: Speaker(
            OrgId(row.org_id),
            TokenId(row.id),
            row.name,
            SourceId(row.source_id),
            row.source_name,
            row.profile,
            tuple(row.scopes),
        )
        for row in rows
    }


def _of_source(credential: Table) -> ColumnElement[bool]:
    return (sources.c.org_id == credential.c.org_id) & (sources.c.id == credential.c.source_id)


_SOURCE_NAME = sources.c.name.label("source_name")
_TOKENS = (
    select(tokens, _SOURCE_NAME)
    .join(sources, _of_source(tokens))
    .where(tokens.c.hash.in_(bindparam("hashes", expanding=True)))
)
_CLIENT, _ACCESS = oauth_clients.c, access_tokens.c
_FETCHED = (
    select(
        _CLIENT.org_id,
        _CLIENT.id,
        _CLIENT.name,
        _CLIENT.source_id,
        _CLIENT.profile,
        _ACCESS.hash,
        _ACCESS.scopes,
        _SOURCE_NAME,
    )
    .join(access_tokens, (_CLIENT.org_id == _ACCESS.org_id) & (_CLIENT.id == _ACCESS.client_id))
    .join(sources, _of_source(oauth_clients))
    .where(_ACCESS.hash.in_(bindparam("hashes", expanding=True)))
)


async def trace(door: Door, ctx: Context, token_id: TokenId, lasting: timedelta | None) -> datetime | None:
    """Have a token's successful reads logged for a while; None ends it. Gives until when.

    Raises NotFound, and InvalidValue for a time that is none, or longer than a week.
    """
    permissions.require(ctx, "sources.manage")
    if lasting is not None and not timedelta(0) < lasting <= TRACE_AT_MOST:
        raise InvalidValue("for", "must be more than nothing, and at most 7d")

    def body(tx: Tx) -> datetime | None:
        mine = (tokens.c.org_id == tx.org_id) & (tokens.c.id == token_id)
        row = locked(tx, tokens, token_id)
        until = None if lasting is None else tx.now + lasting
        if until != row.trace_until:
            tx.conn.execute(update(tokens).where(mine).values(trace_until=until))
            bump(tx)
            before, after = ({"trace_until": _iso(each)} for each in (row.trace_until, until))
            tx.record(Event(EventKind.TOKEN_TRACED, "token", token_id, before=before, after=after))
        return until

    return await door.run(ctx, body)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


# ------------------------------------------------------------------------------ reading


async def list_requests(
    door: Door, org_id: OrgId, wanted: Wanted = Wanted(), *, before: str | None = None, limit: int = 50
) -> RequestPage:
    """The newest entries, or those older than the one with the id ``before``."""
    query = _wanted(org_id, wanted).order_by(scim_requests.c.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(scim_requests.c.id < before)
    rows = await door.read(lambda conn: [_record(row) for row in conn.execute(query)])
    return RequestPage(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


async def count(door: Door, org_id: OrgId, wanted: Wanted = Wanted()) -> int:
    """How many entries are wanted."""
    query = select(func.count()).select_from(_wanted(org_id, wanted).subquery())
    return await door.read(lambda conn: int(conn.execute(query).scalar_one()))


async def get_request(door: Door, org_id: OrgId, request_id: str) -> RequestRecord:
    """By its id, or by its correlation id: the newest that has it. Raises NotFound."""
    which = (scim_requests.c.id == request_id) | (scim_requests.c.correlation_id == request_id)
    query = (
        select(scim_requests)
        .where(scim_requests.c.org_id == org_id, which)
        .order_by(scim_requests.c.id.desc())
        .limit(1)
    )
    row = await door.read(lambda conn: conn.execute(query).first())
    if row is None:
        raise NotFound("SCIM request", request_id)
    return _record(row)


async def every_request(door: Door, org_id: OrgId, wanted: Wanted = Wanted()) -> AsyncIterator[RequestRecord]:
    """All entries that are wanted, the oldest first, a portion in memory at a time."""
    after = ""
    while True:
        query = _wanted(org_id, wanted).where(scim_requests.c.id > after).order_by(scim_requests.c.id)
        rows = await _portion(door, query.limit(_PORTION))
        for row in rows:
            yield row
        if len(rows) < _PORTION:
            return
        after = rows[-1].id


async def _portion(door: Door, query: Select[Any]) -> list[RequestRecord]:
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


def _wanted(org_id: OrgId, wanted: Wanted) -> Select[Any]:
    of = scim_requests.c
    query = narrowed(
        select(scim_requests).where(of.org_id == org_id),
        (of.source_id, wanted.source_id),
        (of.token_id, wanted.token_id),
        (of.method, wanted.method and wanted.method.upper()),
        (of.correlation_id, wanted.correlation_id),
        (of.resource_id, wanted.resource_id),
    )
    if wanted.person is not None:
        query = query.where(request_people.concerns(wanted.person))
    if wanted.status is not None:
        first, last = (
            (wanted.status * 100, wanted.status * 100 + 99) if wanted.status < 10 else [wanted.status] * 2
        )
        query = query.where(of.status.between(first, last))
    # By the id, which is the order of the key.
    if wanted.since is not None:
        query = query.where(of.id >= first_id(wanted.since))
    if wanted.until is not None:
        query = query.where(of.id < first_id(wanted.until))
    if wanted.only == "errors":
        query = query.where(of.status >= 400)
    elif wanted.only == "writes":
        query = query.where(of.method.not_in(_READS), ~of.pattern.endswith("/.search"))
    return query


def _record(row: Row[Any]) -> RequestRecord:
    return RequestRecord(**cast(Mapping[str, Any], row._mapping))


# ------------------------------------------------------------------------------ pruning


async def prune_all(door: Door, bounds: Bounds) -> int:
    """Delete what is too old, and the oldest of what is too much; gives how many entries went."""
    before = first_id(door.clock() - bounds.log_for)
    of = scim_requests.c
    query = select(of.org_id, func.count(), func.sum(of.bytes), func.min(of.id)).group_by(of.org_id)
    found = await door.read(lambda conn: conn.execute(query).all())
    gone = 0
    for org_id, rows, size, oldest in found:
        if oldest < before or rows > bounds.rows or size > bounds.bytes:
            gone += await _prune(door, OrgId(org_id), before, rows - bounds.rows, size - bounds.bytes)
    return gone


async def _prune(door: Door, org_id: OrgId, before: str, rows: int, size: int) -> int:
    """In portions, each a transaction; ``rows`` and ``size`` are what is too much."""
    gone = 0
    while True:
        portion = await door.db.write(partial(_drop_oldest, org_id, before, rows, size))
        gone += len(portion)
        rows, size = rows - len(portion), size - sum(portion)
        if len(portion) < _PORTION:
            return gone
        await door.db.give_way()


def _drop_oldest(org_id: OrgId, before: str, rows: int, size: int, conn: Connection) -> list[int]:
    """One portion; the bytes of each entry that went."""
    of = scim_requests.c
    oldest = select(of.id, of.bytes).where(of.org_id == org_id).order_by(of.id).limit(_PORTION)
    ids: list[str] = []
    sizes: list[int] = []
    for row in conn.execute(oldest):
        if row.id >= before and len(sizes) >= rows and sum(sizes) >= size:
            break
        ids.append(row.id)
        sizes.append(row.bytes)
    if ids:
        # One by one: "all before this one" may be a third of the log, for all that PostgreSQL knows.
        conn.execute(delete(scim_requests).where(of.org_id == org_id, among(conn, of.id, ids)))
    return sizes
