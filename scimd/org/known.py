"""What a sync asks of the door before it plans: whom and what its source asserts, and who might fit.

All of ``ctx.source_id``; lists come page by page, in the order of ids.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, select

from scimd.core.people import Document, GroupId, PersonId, keys_of
from scimd.core.sync.match import Match, identify
from scimd.db.among import among
from scimd.db.tables import assertions, group_members, groups
from scimd.org import candidates
from scimd.org.candidates import Entry
from scimd.org.reads import source_of
from scimd.org.tx import Context, Door

_a, _g, _m = assertions.c, groups.c, group_members.c


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A living assertion. ``document`` is empty in lists. ``active`` is the source's own word."""

    person_id: PersonId
    external_id: str | None
    user_name: str
    active: bool
    version: int
    digest: bytes | None
    entry_name: str | None
    document: bytes = b""

    @property
    def key(self) -> str:
        return self.person_id


@dataclass(frozen=True, slots=True)
class KnownGroup:
    group_id: GroupId
    external_id: str | None
    display_name: str
    version: int
    digest: bytes | None
    entry_name: str | None

    @property
    def key(self) -> str:
        return self.group_id


_USER = (
    _a.person_id, _a.external_id, _a.user_name, _a.active, _a.version, _a.digest, _a.entry_name,
)  # fmt: skip


def _living_users(ctx: Context, *columns: Any) -> Select[Any]:
    return select(*columns).where(_a.org_id == ctx.org_id, _a.source_id == source_of(ctx), _a.state == "live")


def _user(row: Row[Any], document: bytes = b"") -> KnownUser:
    return KnownUser(
        PersonId(row.person_id), row.external_id, row.user_name, row.active, row.version,
        bytes(row.digest) if row.digest is not None else None, row.entry_name, document,
    )  # fmt: skip


async def known_users(door: Door, ctx: Context, external_ids: Collection[str]) -> dict[str, KnownUser]:
    """The living assertions of these external ids, with their documents."""

    def body(conn: Connection) -> dict[str, KnownUser]:
        query = _living_users(ctx, *_USER, _a.document).where(among(conn, _a.external_id, external_ids))
        return {row.external_id: _user(row, bytes(row.document)) for row in conn.execute(query)}

    return await door.read(body)


async def live_users(door: Door, ctx: Context, after: str | None, limit: int) -> list[KnownUser]:
    """A page of the living assertions; ``after`` is the last one's ``key``."""
    query = _living_users(ctx, *_USER).order_by(_a.person_id).limit(limit)
    if after is not None:
        query = query.where(_a.person_id > after)
    return await door.read(lambda conn: [_user(row) for row in conn.execute(query)])


async def live_groups(door: Door, ctx: Context, after: str | None, limit: int) -> list[KnownGroup]:
    """A page of the living groups; ``after`` is the last one's ``key``."""
    columns: tuple[Any, ...] = (
        _g.id, _g.external_id, _g.display_name, _g.version, _g.digest, _g.entry_name,
    )  # fmt: skip
    query: Select[Any] = (
        select(*columns)
        .where(_g.org_id == ctx.org_id, _g.source_id == source_of(ctx), _g.state == "live")
        .order_by(_g.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(_g.id > after)
    return await door.read(lambda conn: [_group(row) for row in conn.execute(query)])


def _group(row: Row[Any]) -> KnownGroup:
    digest = bytes(row.digest) if row.digest is not None else None
    return KnownGroup(GroupId(row.id), row.external_id, row.display_name, row.version, digest, row.entry_name)


async def group_member_keys(door: Door, ctx: Context, group_id: GroupId) -> set[str]:
    """The members by the source's own external ids; by the stored name where nobody answers to it yet."""
    person = and_(
        _a.org_id == _m.org_id,
        _a.source_id == _m.source_id,
        _a.person_id == _m.person_id,
        _a.state != "history",
    )
    child = and_(_g.org_id == _m.org_id, _g.id == _m.child_id)
    key = case(
        (_a.external_id.is_not(None), _a.external_id),
        (_g.external_id.is_not(None), _g.external_id),
        else_=_m.member_key,
    )
    query = (
        select(key)
        .select_from(group_members.outerjoin(assertions, person).outerjoin(groups, child))
        .where(_m.org_id == ctx.org_id, _m.group_id == group_id)
    )
    return await door.read(lambda conn: set(conn.execute(query).scalars()))


async def identified(door: Door, ctx: Context, documents: Sequence[Document]) -> list[Match]:
    """Whose these entries are by the rules of matching, in order; nothing is written or asked."""
    entries = [Entry(keys_of(document), candidates.employee_number_key(document)) for document in documents]
    now = door.clock()

    def body(conn: Connection) -> list[Match]:
        book = door.books.of(conn, ctx.org_id)
        source = book.source(ctx.source_id)
        found = candidates.near(conn, ctx.org_id, source.id, entries)
        gathered = candidates.gather(conn, book, source, entries, found)
        rules = candidates.match_rules(book, source, now)
        return [identify(entry.keys, each, rules) for entry, each in zip(entries, gathered, strict=True)]

    return await door.read(body)
