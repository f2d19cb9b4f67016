"""What a source has said so far, as a sync compares it with what its directory says now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Select, select
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import Refusal
from scimd.core.people import Document, GroupId, Keys, OrgId, PersonId, SourceId
from scimd.core.standing import AssertionState
from scimd.core.sync.match import Match
from scimd.core.sync.values import Value, values_of
from scimd.db.among import among
from scimd.db.tables import assertions, group_members, groups
from scimd.org.identities import candidates
from scimd.org.identities.decided import judged
from scimd.org.reading.scim_reads import source_of
from scimd.org.tx import Context, Door
from scimd.org.users.incoming import AssertUser, prepare


@dataclass(frozen=True, slots=True)
class KnownUser:
    """One assertion. ``document`` is empty where the read leaves it out."""

    person_id: PersonId
    external_id: str | None
    user_name: str
    active: bool
    state: AssertionState
    digest: bytes | None
    version: int
    document: bytes
    entry_name: str | None

    @property
    def key(self) -> str:
        """Where the next page goes on."""
        return self.person_id


@dataclass(frozen=True, slots=True)
class KnownGroup:
    group_id: GroupId
    external_id: str | None
    display_name: str
    digest: bytes | None
    version: int
    entry_name: str | None

    @property
    def key(self) -> str:
        """Where the next page goes on."""
        return self.group_id


# ------------------------------------------------------------------------------ users

_a = assertions.c
_LIGHT: tuple[ColumnElement[Any], ...] = (
    _a.person_id, _a.external_id, _a.user_name, _a.active, _a.state, _a.digest, _a.version, _a.entry_name,
)  # fmt: skip


def _users(ctx: Context, *columns: ColumnElement[Any]) -> Select[Any]:
    return select(*columns).where(_a.org_id == ctx.org_id, _a.source_id == source_of(ctx), _a.state == "live")


def _user(row: Row[Any], document: bytes = b"") -> KnownUser:
    return KnownUser(
        PersonId(row.person_id),
        row.external_id,
        row.user_name,
        row.active,
        row.state,
        None if row.digest is None else bytes(row.digest),
        row.version,
        document,
        row.entry_name,
    )


async def known_users(door: Door, ctx: Context, external_ids: Sequence[str]) -> dict[str, KnownUser]:
    """The living assertions with these external ids, with their documents."""

    def body(conn: Connection) -> dict[str, KnownUser]:
        query = _users(ctx, *_LIGHT, _a.document).where(among(conn, _a.external_id, external_ids))
        return {row.external_id: _user(row, bytes(row.document)) for row in conn.execute(query)}

    return await door.read(body)


async def live_users(door: Door, ctx: Context, after: str | None, limit: int) -> list[KnownUser]:
    """A page of all living assertions by person id, without documents; ``after``: the last one's key."""
    query = _users(ctx, *_LIGHT).order_by(_a.person_id).limit(limit)
    if after is not None:
        query = query.where(_a.person_id > after)
    return await door.read(lambda conn: [_user(row) for row in conn.execute(query)])


async def address_holders(door: Door, ctx: Context, keys: Collection[str]) -> dict[str, set[PersonId]]:
    """Whom the source asserts under these sign-in addresses, by key; several may carry one."""
    found: dict[str, set[PersonId]] = defaultdict(set)

    def body(conn: Connection) -> None:
        query = _users(ctx, _a.person_id, _a.sign_in_key).where(among(conn, _a.sign_in_key, keys))
        for row in conn.execute(query):
            found[row.sign_in_key].add(PersonId(row.person_id))

    if keys:
        await door.read(body)
    return found


async def value_holders(
    door: Door, ctx: Context, named: Collection[Value], *, at_once: int = 2000
) -> dict[Value, set[PersonId]]:
    """Whom the source asserts with each of these values. Costs all that it asserts, a page at a time."""
    found: dict[Value, set[PersonId]] = {value: set() for value in named}
    after: str | None = ""
    while after is not None:
        query = _users(ctx, _a.person_id, _a.folded).where(_a.person_id > after)
        query = query.order_by(_a.person_id).limit(at_once)
        after = await door.read(partial(_hold_values, query=query, found=found))
    return found


def _hold_values(conn: Connection, *, query: Select[Any], found: dict[Value, set[PersonId]]) -> str | None:
    last: str | None = None
    for row in conn.execute(query):
        last = row.person_id
        for value in values_of(row.folded, found.keys()):
            found[value].add(PersonId(row.person_id))
    return last


async def identified(door: Door, ctx: Context, many: Sequence[Keys]) -> list[Match]:
    """Whose these entries are as things stand, by what admins answered too; in order."""

    def body(conn: Connection) -> list[Match]:
        book = door.books.of(conn, ctx.org_id)
        source = book.source(ctx.source_id)
        entries = [candidates.Entry(keys) for keys in many]
        found = candidates.near(conn, ctx.org_id, source.id, entries)
        gathered = candidates.gather(conn, book, source, entries, found)
        rules = candidates.match_rules(book, source, door.clock())
        return judged(conn, ctx.org_id, source, many, gathered, rules)

    return await door.read(body)


async def keys_or_refusals(door: Door, ctx: Context, many: Sequence[Document]) -> list[Keys | Refusal]:
    """The keys of each document; of one that cannot be stored, what recording it would say."""

    def body(conn: Connection) -> list[Keys | Refusal]:
        users = door.books.of(conn, ctx.org_id).source(ctx.source_id).users
        prepared = (prepare(AssertUser(each, each["externalId"]), users) for each in many)
        return [work.refusal or work.keys for work in prepared]

    return await door.read(body)


# ------------------------------------------------------------------------------ groups

_g, _m = groups.c, group_members.c


def _groups(ctx: Context) -> Select[Any]:
    return select(_g.id, _g.external_id, _g.display_name, _g.digest, _g.version, _g.entry_name).where(
        _g.org_id == ctx.org_id, _g.source_id == source_of(ctx), _g.state == "live"
    )


def _group(row: Row[Any]) -> KnownGroup:
    digest = None if row.digest is None else bytes(row.digest)
    return KnownGroup(GroupId(row.id), row.external_id, row.display_name, digest, row.version, row.entry_name)


async def live_groups(door: Door, ctx: Context, after: str | None, limit: int) -> list[KnownGroup]:
    """A page of all living groups by id; ``after``: the last one's key."""
    query = _groups(ctx).order_by(_g.id).limit(limit)
    if after is not None:
        query = query.where(_g.id > after)
    return await door.read(lambda conn: [_group(row) for row in conn.execute(query)])


async def group_member_keys(door: Door, ctx: Context, group_id: GroupId) -> list[str]:
    """See ``member_keys``."""
    source_id = source_of(ctx)
    return await door.read(lambda conn: member_keys(conn, ctx.org_id, source_id, group_id))


def member_keys(conn: Connection, org_id: OrgId, source_id: SourceId, group_id: GroupId) -> list[str]:
    """The external ids of the group's members, those not yet known among them; sorted.

    Hidden rows, of people whom the source asserts no more, are among them: a directory that lists them no
    longer has to be able to take them away, or they would come back with the person. Of a group that is
    gone only its name is left.
    """
    of_group = (_m.org_id == org_id) & (_m.group_id == group_id)
    users: Select[Any] = (
        select(_a.external_id, _a.person_id)
        .join(group_members, (_m.org_id == _a.org_id) & (_m.person_id == _a.person_id))
        .where(of_group, _a.source_id == source_id, _a.state != "history")
    )
    nested: Select[Any] = (
        select(_g.external_id, _g.id)
        .join(group_members, (_m.org_id == _g.org_id) & (_m.child_id == _g.id))
        .where(of_group)
    )
    unknown = select(_m.member_key).where(of_group, _m.person_id.is_(None), _m.child_id.is_(None))
    found = [key or own for key, own in (*conn.execute(users), *conn.execute(nested))]
    return sorted([*found, *conn.execute(unknown).scalars()])


def group_mark(display_name: str, keys: Iterable[str]) -> str:
    """What a group is called and whom it holds, in 32 characters: another mark, and the group moved.

    Its version says less: it moves with each member who leaves the source, whose row stays.
    """
    return blake2b(orjson.dumps((display_name, sorted(keys))), digest_size=16).hexdigest()
