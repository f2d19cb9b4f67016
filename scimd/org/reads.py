"""What a token sees: its source's living assertions and groups, and local people whom it could link.

All else is not there. A plain read is a row and a join of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Integer, Row, Select, and_, bindparam, case, func, select, tuple_
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import NotFound
from scimd.core.people import OrgId, PersonId, SourceId
from scimd.core.resource import GroupRef, MemberRef, StoredGroup, StoredUser
from scimd.db.among import among
from scimd.db.prepared import Prepared
from scimd.db.tables import assertions, group_members, groups, people, sources
from scimd.org import keyset, linkable, merged
from scimd.org.admin_reads import Difference, PersonPage, PersonRow, check_standing, list_people, show_person
from scimd.org.group_nesting import memberships
from scimd.org.keyset import Position, Sort
from scimd.org.rulebook import RuleBook
from scimd.org.sync_reads import (
    KnownGroup,
    KnownUser,
    group_member_keys,
    identified,
    known_groups,
    known_users,
    live_groups,
    live_users,
)
from scimd.org.tx import Context, Door, Tx

__all__ = [
    "Difference",
    "KnownGroup",
    "KnownUser",
    "ListQuery",
    "ListedGroups",
    "ListedUsers",
    "PersonPage",
    "PersonRow",
    "check_standing",
    "group_member_keys",
    "identified",
    "known_groups",
    "known_users",
    "list_people",
    "live_groups",
    "live_users",
    "scim_group",
    "scim_groups",
    "scim_user",
    "scim_users",
    "show_person",
]


@dataclass(frozen=True, slots=True)
class ListQuery:
    """``where`` and ``sort`` speak of the columns of ``assertions`` or ``groups``.

    ``after``: the end of the page before, from which to go on; with ``if_total`` only while as many
    fit as then, else by ``start_index``. ``total``: how many fit, where the caller knows.
    """

    where: ColumnElement[bool] | None = None
    sort: Sort | None = None
    start_index: int = 1
    count: int = 100
    after: Position | None = None
    if_total: int | None = None
    total: int | None = None
    #: Instead of ``where``: the one who has this userName, folded.
    user_name_key: str | None = None
    #: Instead of ``where`` too: how it reads in memory, for those whom no source asserts.
    matches: Callable[[StoredUser], bool] | None = None
    with_groups: bool = True
    with_members: bool = True


@dataclass(frozen=True, slots=True)
class ListedUsers:
    """``end``: the place of the last one, where more follow."""

    total: int
    resources: list[StoredUser]
    end: Position | None = None


@dataclass(frozen=True, slots=True)
class ListedGroups:
    """``end``: the place of the last one, where more follow."""

    total: int
    resources: list[StoredGroup]
    end: Position | None = None


def source_of(ctx: Context) -> SourceId:
    """Raises NotFound where the call comes from no source."""
    if ctx.source_id is None:
        raise NotFound("source")
    return ctx.source_id


# ------------------------------------------------------------------------------ users

_a, _p = assertions.c, people.c
_USER = (_a.person_id, _a.document, _a.version, _a.created_at, _a.changed_at, _p.rest, _p.extension)
_JOIN = assertions.join(people, and_(_p.org_id == _a.org_id, _p.id == _a.person_id))


def _users(org_id: Any, source_id: Any) -> Select[Any]:
    query: Select[Any] = select(*_USER).select_from(_JOIN)
    return query.where(
        _a.org_id == org_id, _a.source_id == source_id, _a.state == "live", _p.deleted_at.is_(None)
    )


_ONE = Prepared(_users(bindparam("org_id"), bindparam("source_id")).where(_a.person_id == bindparam("id")))


def _user(row: Row[Any], group_refs: tuple[GroupRef, ...]) -> StoredUser:
    return StoredUser(
        person_id=row.person_id,
        document=bytes(row.document),
        version=row.version,
        rest=row.rest,
        created_at=row.created_at,
        changed_at=row.changed_at,
        groups=group_refs,
        extension=None if row.extension is None else bytes(row.extension),
    )


def load_user(
    conn: Connection, org_id: OrgId, source_id: SourceId, person_id: str, *, with_groups: bool = True
) -> StoredUser | None:
    row = _ONE.first(conn, {"org_id": org_id, "source_id": source_id, "id": person_id})
    if row is None:
        return None
    refs = group_refs(conn, org_id, source_id, [PersonId(person_id)]) if with_groups else {}
    return _user(row, refs.get(PersonId(person_id), ()))


def must_load_user(tx: Tx, person_id: PersonId) -> StoredUser:
    """The user as this transaction left them."""
    found = load_user(tx.conn, tx.org_id, source_of(tx.ctx), person_id)
    if found is None:
        raise NotFound("user", person_id)
    return found


def group_refs(
    conn: Connection, org_id: OrgId, source_id: SourceId, person_ids: Collection[PersonId]
) -> dict[PersonId, tuple[GroupRef, ...]]:
    """The source's groups in which each is, the direct ones first."""
    return {
        person_id: tuple(GroupRef(fact.group_id, fact.group_name, not fact.path) for fact in facts)
        for person_id, facts in memberships(conn, org_id, person_ids, source_id, with_effects=False).items()
    }


async def scim_user(
    door: Door, ctx: Context, person_id: str, *, with_groups: bool = True
) -> StoredUser | None:
    """One user by id; also a local person whom this source could link now, with the local profile."""
    source_id = source_of(ctx)

    def body(conn: Connection) -> StoredUser | None:
        found = load_user(conn, ctx.org_id, source_id, person_id, with_groups=with_groups)
        if found is not None:
            return found
        row = linkable.one(conn, door.books.of(conn, ctx.org_id), person_id)
        if row is not None:
            return linkable.as_user(row)
        kept = merged.into(conn, ctx.org_id, person_id)
        return load_user(conn, ctx.org_id, source_id, kept, with_groups=with_groups) if kept else None

    return await door.glance(body)


async def scim_users(door: Door, ctx: Context, query: ListQuery) -> ListedUsers:
    """A page of the source's users and how many fit in all. Order ends in (created, id): it is stable.

    Behind them, whatever the order, stand the local people whom the source could link now.
    """
    source_id = source_of(ctx)

    def body(conn: Connection) -> ListedUsers:
        book = door.books.of(conn, ctx.org_id)
        if query.user_name_key is not None:
            return _looked_up(conn, book, source_id, query)
        if not book.verified_domains:
            return _asserted(conn, ctx, source_id, query)
        return _with_local(conn, ctx, book, query)

    return await (door.glance(body) if query.user_name_key is not None else door.read(body))


def _asserted(conn: Connection, ctx: Context, source_id: SourceId, query: ListQuery) -> ListedUsers:
    if query.where is None and query.sort is None and query.count > 0:
        return _plain_page(conn, ctx, source_id, query)
    found = _users(ctx.org_id, source_id)
    if query.where is not None:
        found = found.where(query.where)
    total = _total(conn, ctx, "user_count", query, found)
    rows, end = _page(conn, found, query, total, (_a.created_at, _a.person_id))
    return ListedUsers(total, _with_groups(conn, ctx.org_id, source_id, rows, query), end)


#: The key of a position that is among the local people; nothing else in a list has a boolean for one.
_LOCAL = True


def _with_local(conn: Connection, ctx: Context, book: RuleBook, query: ListQuery) -> ListedUsers:
    source_id = source_of(ctx)
    local = [linkable.as_user(row) for row in linkable.everybody(conn, book)]
    if query.matches is not None:
        local = [each for each in local if query.matches(each)]
    if not local:
        return _asserted(conn, ctx, source_id, query)
    among_local = query.after is not None and query.after.key is _LOCAL
    known = None if query.total is None else query.total - len(local)
    asked = replace(query, count=0, after=None) if among_local else query
    asserted = _asserted(conn, ctx, source_id, replace(asked, total=known, if_total=None))
    total = asserted.total + len(local)
    if query.after is not None and query.if_total not in (None, total):
        # Counted out by its number: what the place was behind may be gone.
        return _with_local(conn, ctx, book, replace(query, after=None, if_total=None))
    if among_local:
        at = (query.after.created_at, query.after.id) if query.after else None
        rest = [each for each in local if at is None or (each.created_at, each.person_id) > at]
    else:
        passed = 0 if query.after else max(0, query.start_index - 1 - asserted.total)
        rest = local[passed:]
    room = query.count - len(asserted.resources) if asserted.end is None else 0
    shown = rest[: max(room, 0)]
    end = asserted.end
    if end is None and len(rest) > len(shown) and query.count > 0:
        # Where none of them is on the page, the next one begins with the first.
        last = shown[-1] if shown else None
        end = Position(_LOCAL, last.created_at, last.person_id) if last else _before(rest[0])
    return ListedUsers(total, [*asserted.resources, *shown], end)


def _before(first: StoredUser) -> Position:
    """The place in front of somebody: ids are greater than the empty one."""
    return Position(_LOCAL, first.created_at, "")


def _with_groups(
    conn: Connection, org_id: OrgId, source_id: SourceId, rows: Sequence[Row[Any]], query: ListQuery
) -> list[StoredUser]:
    ids = [PersonId(row.person_id) for row in rows]
    refs = group_refs(conn, org_id, source_id, ids) if ids and query.with_groups else {}
    return [_user(row, refs.get(PersonId(row.person_id), ())) for row in rows]


_of_source = _users(bindparam("org_id"), bindparam("source_id"))
_NAMED = Prepared(_of_source.where(_a.user_name_key == bindparam("key")))


def _page_of_all() -> Prepared:
    """A page by its number: passed over in the index alone, then looked up by key.

    Who is asserted is there (only who is asserted by nobody has a tombstone), so that the people need
    not be looked at to count.
    """
    keys = (
        select(_a.org_id, _a.source_id, _a.person_id)
        .where(_a.org_id == bindparam("org_id"), _a.source_id == bindparam("source_id"), _a.state == "live")
        .order_by(_a.created_at, _a.person_id)
        .limit(bindparam("count", type_=Integer))
        .offset(bindparam("skip", type_=Integer))
        .subquery()
    )
    same = (_a.org_id == keys.c.org_id, _a.source_id == keys.c.source_id, _a.person_id == keys.c.person_id)
    query: Select[Any] = select(*_USER).select_from(_JOIN.join(keys, and_(*same)))
    return Prepared(query.where(_p.deleted_at.is_(None)).order_by(_a.created_at, _a.person_id))


_PAGE = _page_of_all()
_NEXT = Prepared(
    _of_source.where(
        tuple_(_a.created_at, _a.person_id)
        > tuple_(bindparam("made", type_=_a.created_at.type), bindparam("id", type_=_a.person_id.type))
    )
    .order_by(_a.created_at, _a.person_id)
    .limit(bindparam("count", type_=Integer))
)
_USER_COUNT = Prepared(
    select(sources.c.user_count).where(
        sources.c.org_id == bindparam("org_id"), sources.c.id == bindparam("source_id")
    )
)


def _looked_up(conn: Connection, book: RuleBook, source_id: SourceId, query: ListQuery) -> ListedUsers:
    """By userName, which one at most of a source has: what an IdP asks before it creates.

    Where nobody has it: a local person whose address it is and whom the source could link, so that the
    IdP updates them.
    """
    rows = _NAMED.all(conn, {"org_id": book.org_id, "source_id": source_id, "key": query.user_name_key})
    shown = query.start_index == 1 and query.count > 0
    local = linkable.by_address(conn, book, str(query.user_name_key)) if book.verified_domains else None
    if local is not None:
        found = [linkable.as_user(local)]
        asserted = _with_groups(conn, book.org_id, source_id, rows, query) if rows else []
        return ListedUsers(len(rows) + 1, [*asserted, *found][: query.count] if shown else [])
    return ListedUsers(len(rows), _with_groups(conn, book.org_id, source_id, rows if shown else [], query))


def _plain_page(conn: Connection, ctx: Context, source_id: SourceId, query: ListQuery) -> ListedUsers:
    """A page of everybody, in the order in which they came."""
    of_source = {"org_id": ctx.org_id, "source_id": source_id}
    count = _USER_COUNT.first(conn, of_source) if query.total is None else None
    total = query.total if query.total is not None else count.user_count if count else 0
    page = {**of_source, "count": query.count + 1}
    rows: Sequence[Row[Any]] = []
    if total and query.after is not None and query.if_total in (None, total):
        rows = _NEXT.all(conn, page | {"made": query.after.created_at, "id": query.after.id})
    elif total:
        rows = _PAGE.all(conn, page | {"skip": query.start_index - 1})
    shown = rows[: query.count]
    end = Position(None, shown[-1].created_at, shown[-1].person_id) if len(rows) > query.count else None
    return ListedUsers(total, _with_groups(conn, ctx.org_id, source_id, shown, query), end)


def _total(conn: Connection, ctx: Context, counter: str, query: ListQuery, found: Select[Any]) -> int:
    """Without a filter the counter; with one, counted."""
    if query.total is not None:
        return query.total
    if query.where is not None:
        return int(conn.execute(select(func.count()).select_from(found.subquery())).scalar_one())
    counted = select(sources.c[counter]).where(sources.c.org_id == ctx.org_id, sources.c.id == ctx.source_id)
    return int(conn.execute(counted).scalar() or 0)


def _page(
    conn: Connection,
    found: Select[Any],
    query: ListQuery,
    total: int,
    place: tuple[ColumnElement[Any], ColumnElement[Any]],
) -> tuple[Sequence[Row[Any]], Position | None]:
    if query.count <= 0 or not total:
        return [], None
    if query.after is not None and query.if_total in (None, total):
        return keyset.page(conn, found, query.sort, place, query.after, 0, query.count)
    return keyset.page(conn, found, query.sort, place, None, query.start_index - 1, query.count)


# ------------------------------------------------------------------------------ groups

_g, _m = groups.c, group_members.c


def _groups(org_id: Any, source_id: Any) -> Select[Any]:
    query: Select[Any] = select(_g.id, _g.document, _g.version, _g.created_at, _g.changed_at)
    return query.where(_g.org_id == org_id, _g.source_id == source_id, _g.state == "live")


_ONE_GROUP = Prepared(_groups(bindparam("org_id"), bindparam("source_id")).where(_g.id == bindparam("id")))


def _group(row: Row[Any], members: tuple[MemberRef, ...] | None) -> StoredGroup:
    return StoredGroup(row.id, bytes(row.document), row.version, row.created_at, row.changed_at, members)


def load_group(
    conn: Connection, org_id: OrgId, source_id: SourceId, group_id: str, *, with_members: bool
) -> StoredGroup | None:
    row = _ONE_GROUP.first(conn, {"org_id": org_id, "source_id": source_id, "id": group_id})
    if row is None:
        return None
    refs = member_refs(conn, org_id, source_id, [group_id]) if with_members else None
    return _group(row, None if refs is None else refs.get(group_id, ()))


def must_load_group(tx: Tx, group_id: str | None, *, with_members: bool = False) -> StoredGroup:
    """The group as this transaction left it."""
    source_id = source_of(tx.ctx)
    found = load_group(tx.conn, tx.org_id, source_id, group_id or "", with_members=with_members)
    if found is None:
        raise NotFound("group", group_id or "")
    return found


def member_refs(
    conn: Connection, org_id: OrgId, source_id: SourceId, group_ids: Collection[str]
) -> Mapping[str, tuple[MemberRef, ...]]:
    """The members that are known and there, people first, each once, in a fixed order."""
    found: dict[str, list[MemberRef]] = {}
    # The name is the owner's; a source that does not own the person is told its own word for them.
    shown = case((_p.owner_source_id == source_id, _p.display_name), else_=_a.user_name)
    users: Select[Any] = (
        select(_m.group_id, _m.person_id, _a.user_name, shown.label("shown"))
        .join(assertions, and_(_a.org_id == _m.org_id, _a.person_id == _m.person_id))
        .join(people, and_(_p.org_id == _m.org_id, _p.id == _m.person_id))
        .where(
            _m.org_id == org_id,
            among(conn, _m.group_id, group_ids),
            _a.source_id == source_id,
            _a.state == "live",
            _p.deleted_at.is_(None),
        )
        .order_by(_m.group_id, _m.person_id)
    )
    for row in conn.execute(users):
        # A person without a name of their own is shown by their user name, which is none to display.
        display = "" if row.shown == row.user_name else row.shown
        found.setdefault(row.group_id, []).append(MemberRef(row.person_id, "User", display))
    nested: Select[Any] = (
        select(_m.group_id, _m.child_id, _g.display_name)
        .join(groups, and_(_g.org_id == _m.org_id, _g.id == _m.child_id))
        .where(_m.org_id == org_id, among(conn, _m.group_id, group_ids), _g.state == "live")
        .order_by(_m.group_id, _m.child_id)
    )
    for row in conn.execute(nested):
        found.setdefault(row.group_id, []).append(MemberRef(row.child_id, "Group", row.display_name))
    return {group_id: tuple(refs) for group_id, refs in found.items()}


async def scim_group(
    door: Door, ctx: Context, group_id: str, *, with_members: bool = True
) -> StoredGroup | None:
    source_id = source_of(ctx)
    return await door.read(
        lambda conn: load_group(conn, ctx.org_id, source_id, group_id, with_members=with_members)
    )


async def scim_groups(door: Door, ctx: Context, query: ListQuery) -> ListedGroups:
    """A page of the source's groups and how many fit in all. Order ends in (created, id): it is stable."""
    source_id = source_of(ctx)

    def body(conn: Connection) -> ListedGroups:
        found = _groups(ctx.org_id, source_id)
        if query.where is not None:
            found = found.where(query.where)
        total = _total(conn, ctx, "group_count", query, found)
        rows, end = _page(conn, found, query, total, (_g.created_at, _g.id))
        refs: Mapping[str, tuple[MemberRef, ...]] | None = None
        if query.with_members:
            refs = member_refs(conn, ctx.org_id, source_id, [row.id for row in rows]) if rows else {}
        shown = [_group(row, None if refs is None else refs.get(row.id, ())) for row in rows]
        return ListedGroups(total, shown, end)

    return await door.read(body)
