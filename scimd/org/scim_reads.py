"""Users as SCIM reads them: a row each, memberships included, spliced as bytes while the body runs.

Reads by key run on the event loop's own thread (``Database.glance``), as do pages that begin where one
ended; what they cost is written in docs/decisions/0031. What a source sees is said in ``reads``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Integer, Row, Select, and_, bindparam, func, literal_column, select, tuple_
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import NotFound
from scimd.core.people import GroupId, OrgId, SourceId
from scimd.core.resource import (
    GroupRef,
    Resources,
    Shown,
    StoredUser,
    UserRow,
    View,
    created_in,
    etag,
    groups_part,
    id_in,
    projected,
    render_user,
    splice_users,
    version_in,
)
from scimd.db.among import one_of
from scimd.db.kept import Kept, kept
from scimd.db.prepared import Prepared
from scimd.db.tables import assertions, group_members, people, sources, unsettled
from scimd.org import keyset, linkable, merged
from scimd.org.group_nesting import through
from scimd.org.keyset import Position, Sort
from scimd.org.rulebook import RuleBook
from scimd.org.tx import Context, Door

T = TypeVar("T")

#: Larger pages, and those far from where one ended, are for a reader's thread.
_AT_A_GLANCE = 200
#: So many memberships a person are looked through to find those of a page's.
_MEMBERSHIPS = 20
#: So many are sorted at once rather than looked for in their order.
_FEW = 1000


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
    with_members: bool = True


@dataclass(frozen=True, slots=True)
class ListedUsers:
    """``end``: the place of the last one, where more follow. ``before``: of the one before the first,
    where the page was counted out and somebody is before it.
    """

    total: int
    resources: Resources
    end: Position | None = None
    before: Position | None = None


def source_of(ctx: Context) -> SourceId:
    """Raises NotFound where the call comes from no source."""
    if ctx.source_id is None:
        raise NotFound("source")
    return ctx.source_id


# ------------------------------------------------------------------------------ statements

_a, _p, _m = assertions.c, people.c, group_members.c
#: With what the groups are known by, a ``UserRow``. What else is asked for stands behind it.
_ROW = (_a.document, _a.meta, _a.person_rest)
_WIDTH = len(_ROW) + 1
#: The order of a list ends so: it is total, and stable.
PLACE = (_a.created_at, _a.person_id)
#: Not a parameter: the indexes of those who are live are found by it.
LIVE: ColumnElement[str] = literal_column("'live'")


def _users(org_id: Any, source_id: Any, *more: ColumnElement[Any]) -> Select[Any]:
    """The source's users. Who is asserted is there: only who is asserted by nobody has a tombstone."""
    query: Select[Any] = select(*_ROW, *more)
    return query.where(_a.org_id == org_id, _a.source_id == source_id, _a.state == LIVE)


def _of_source(*more: ColumnElement[Any]) -> Select[Any]:
    return _users(bindparam("org_id"), bindparam("source_id"), *more)


def _page_of_all(*more: ColumnElement[Any]) -> Prepared:
    """A page by its number: passed over in the index alone, then looked up by key."""
    keys = (
        select(_a.org_id, _a.source_id, _a.person_id)
        .where(_a.org_id == bindparam("org_id"), _a.source_id == bindparam("source_id"), _a.state == "live")
        .order_by(_a.created_at, _a.person_id)
        .limit(bindparam("count", type_=Integer))
        .offset(bindparam("skip", type_=Integer))
        .subquery()
    )
    same = (_a.org_id == keys.c.org_id, _a.source_id == keys.c.source_id, _a.person_id == keys.c.person_id)
    query: Select[Any] = select(*_ROW, *more).select_from(assertions.join(keys, and_(*same)))
    return Prepared(query.order_by(_a.created_at, _a.person_id))


def _page_behind(*more: ColumnElement[Any]) -> Prepared:
    """A page that goes on behind a place."""
    place = tuple_(_a.created_at, _a.person_id)
    behind = tuple_(bindparam("made", type_=_a.created_at.type), bindparam("id", type_=_a.person_id.type))
    query = _of_source(*more).where(place > behind).order_by(_a.created_at, _a.person_id)
    return Prepared(query.limit(bindparam("count", type_=Integer)))


_in = select(func.aggregate_strings(_m.group_id, ",")).where(
    _m.org_id == _a.org_id, _m.person_id == _a.person_id
)
_GROUPS = _in.correlate(assertions).scalar_subquery().label("groups")
_EXTENSION = (
    select(_p.extension)
    .where(_p.org_id == _a.org_id, _p.id == _a.person_id)
    .correlate(assertions)
    .scalar_subquery()
    .label("extension")
)
# One person: the groups are those of this moment, and scimd's extension stands in the row.
_ONE = Prepared(_of_source(_GROUPS, _EXTENSION).where(_a.person_id == bindparam("id")))
_NAMED = Prepared(_of_source(_GROUPS, _EXTENSION).where(_a.user_name_key == bindparam("key")))
# Pages, without scimd's extension and with it.
_LISTED = ((_a.in_groups,), (_a.in_groups, _EXTENSION))
_PAGE = tuple(_page_of_all(*more) for more in _LISTED)
_NEXT = tuple(_page_behind(*more) for more in _LISTED)
# Of a page's people, in one walk along the index: they were mostly made one after the other.
_OF_NEIGHBOURS = Prepared(
    select(_m.person_id, _m.group_id)
    .where(_m.org_id == bindparam("org_id"), _m.person_id.between(bindparam("first"), bindparam("last")))
    .limit(bindparam("at_most", type_=Integer))
)
_OF_SOME = Prepared(
    select(_m.person_id, _m.group_id).where(_m.org_id == bindparam("org_id"), one_of(_m.person_id))
)
_MARKED = select(unsettled.c.person_id).where(unsettled.c.org_id == bindparam("org_id")).exists()
_ANY_MARKED = Prepared(select(_MARKED.label("marked")))
_USER_COUNT = Prepared(
    select(sources.c.user_count, _MARKED.label("marked")).where(
        sources.c.org_id == bindparam("org_id"), sources.c.id == bindparam("source_id")
    )
)


# ------------------------------------------------------------------------------ reading


@dataclass(slots=True)
class _Reading:
    """One body's work: whose users, how they are shown."""

    conn: Connection
    org_id: OrgId
    source_id: SourceId
    view: View
    _known: Kept | None = None

    @property
    def known(self) -> Kept:
        """What is kept, proven once. Outside of a transaction not before the rows were read: what they
        say must not be newer than what stands beside them.
        """
        if self._known is None:
            self._known = kept(self.conn)
        return self._known

    @property
    def of_source(self) -> dict[str, Any]:
        return {"org_id": self.org_id, "source_id": self.source_id}

    @property
    def with_groups(self) -> bool:
        return self.view.projection.wants("groups")

    def one(self, row: Any) -> bytes:
        """The resource of one; scimd's extension stands in the last column."""
        user = row[:_WIDTH]
        whole = b"".join(splice_users((user,), self._parts_of((user,)), self.view.base_url).pieces)
        return projected(whole, self.view.projection, row[-1])

    def local(self, user: StoredUser) -> bytes:
        """The resource of somebody whom no source asserts."""
        return render_user(user, self.view.base_url, self.view.projection)

    def page(self, rows: Sequence[Any], *, marked: bool) -> Resources:
        """The resources of many. ``marked``: the rows may not say yet in which groups somebody is.

        They are parsed again only where the projection asks for something; then the extension is in
        the last column.
        """
        base_url, projection = self.view.base_url, self.view.projection
        users = rows if projection.plain else [row[:_WIDTH] for row in rows]
        if marked and rows and self.with_groups:
            users = self._as_members_say(users)
        parts = self._parts_of(users)
        if projection.plain:
            return splice_users(users, parts, base_url)
        whole = (b"".join(splice_users((user,), parts, base_url).pieces) for user in users)
        return Resources.of(
            [projected(each, projection, row[-1]) for each, row in zip(whole, rows, strict=True)]
        )

    def _parts_of(self, users: Sequence[UserRow]) -> Mapping[str | None, bytes]:
        held = {user[-1] for user in users}
        return self._group_parts(held) if self.with_groups else dict.fromkeys(held, b"")

    def _as_members_say(self, users: Sequence[UserRow]) -> list[UserRow]:
        ids = [id_in(meta).decode() for _, meta, _, _ in users]
        groups = self._groups_of(ids)
        return [(*user[:-1], groups.get(each)) for user, each in zip(users, ids, strict=True)]

    def _groups_of(self, ids: Sequence[str]) -> dict[str, str]:
        """By person, the groups in which they are directly, with commas between."""
        at_most = _MEMBERSHIPS * len(ids)
        between = {"org_id": self.org_id, "first": min(ids), "last": max(ids), "at_most": at_most}
        found = _OF_NEIGHBOURS.raw(self.conn, between)
        if len(found) == at_most:  # others stand between them, or they are in very many groups
            found = _OF_SOME.raw(self.conn, {"org_id": self.org_id, "keys": ids})
        groups: dict[str, str] = {}
        for person_id, group_id in found:
            held = groups.get(person_id)
            groups[person_id] = group_id if held is None else f"{held},{group_id}"
        return groups

    def _group_parts(self, wanted: Collection[str | None]) -> dict[str | None, bytes]:
        """By the ids of the direct groups, what a resource says of all: many people share their groups."""
        found: dict[str | None, bytes] = {None: b""}
        if (len(wanted) <= 1 and None in wanted) or not wanted:
            return found
        known = self.known
        place = (self.source_id, self.view.base_url)
        missing: dict[str, list[GroupId]] = {}
        for ids in wanted:
            if ids is None:
                continue
            part: bytes | None = known.values.get((place, ids))
            if part is None:
                missing[ids] = [GroupId(each) for each in set(ids.split(","))]
            else:
                found[ids] = part
        if not missing:
            return found
        facts = through(self.conn, self.org_id, missing, self.source_id, with_effects=False)
        for ids in missing:
            refs = [GroupRef(each.group_id, each.group_name, not each.path) for each in facts.get(ids, ())]
            found[ids] = groups_part(refs, self.view.base_url)
            known.put((place, ids), found[ids], len(ids) + len(found[ids]))
        return found


async def scim_user(door: Door, ctx: Context, person_id: str, view: View) -> Shown | None:
    """One user by id; also a local person whom this source could link now, with the local profile.

    The id of somebody who was merged is that of the person who was kept, too.
    """
    source_id = source_of(ctx)

    def known(conn: Connection, person_id: str = person_id) -> Shown | None:
        key = {"org_id": ctx.org_id, "source_id": source_id, "id": person_id}
        for row in _ONE.raw(conn, key):
            body = _Reading(conn, ctx.org_id, source_id, view).one(row)
            return Shown(etag(version_in(row[1]), row[2]), body, person_id)
        return None

    def local(conn: Connection) -> Shown | None:
        row = linkable.one(conn, door.books.of(conn, ctx.org_id), person_id)
        if row is None:
            kept_id = merged.into(conn, ctx.org_id, person_id)
            return None if kept_id is None else known(conn, kept_id)
        user = linkable.as_user(row)
        reading = _Reading(conn, ctx.org_id, source_id, view)
        return Shown(etag(user.version, user.rest), reading.local(user), person_id)

    # The row is one statement, and so a snapshot of its own; a group's name may be a newer one.
    return await door.db.glance(known, one=True) or await door.glance(local)


async def scim_users(door: Door, ctx: Context, query: ListQuery, view: View) -> ListedUsers:
    """A page of the source's users and how many fit in all. Order ends in (created, id): it is stable.

    Behind them, whatever the order, stand the local people whom the source could link now.
    """
    source_id = source_of(ctx)

    def body(conn: Connection) -> ListedUsers:
        reading = _Reading(conn, ctx.org_id, source_id, view)
        if query.user_name_key is not None:
            return _looked_up(reading, door, query)
        book = _book(door, reading)
        if not book.verified_domains:
            return _asserted(reading, query)
        return _with_local(reading, book, query)

    if query.user_name_key is not None:
        return await door.db.glance(body, one=True)
    near = query.after is not None or query.start_index <= _AT_A_GLANCE
    plain = query.where is None and query.sort is None and near and query.count <= _AT_A_GLANCE
    if plain and view.projection.plain:
        return await door.glance(body)
    return await door.read(body)


def _book(door: Door, reading: _Reading) -> RuleBook:
    """What the organization decided; its generation is asked for where nothing proves that it stands."""
    key = ("book", reading.org_id)
    book: RuleBook | None = reading.known.values.get(key)
    if book is None:
        book = door.books.of(reading.conn, reading.org_id)
        reading.known.put(key, book, 10_000)
    return book


def _asserted(reading: _Reading, query: ListQuery) -> ListedUsers:
    if query.where is None and query.sort is None and query.count > 0:
        return _plain_page(reading, query)
    return _sought(reading, query)


def _looked_up(reading: _Reading, door: Door, query: ListQuery) -> ListedUsers:
    """By userName, which one at most of a source has: what an IdP asks before it creates.

    Where nobody has it: a local person whose address it is and whom the source could link, so that the
    IdP updates them.
    """
    rows = _NAMED.raw(reading.conn, {**reading.of_source, "key": query.user_name_key})
    shown = [reading.one(row) for row in rows]
    book = _book(door, reading)
    if book.verified_domains:
        local = linkable.by_address(reading.conn, book, str(query.user_name_key))
        if local is not None:
            shown.append(reading.local(linkable.as_user(local)))
    page = shown[: query.count] if query.start_index == 1 and query.count > 0 else []
    return ListedUsers(len(shown), Resources.of(page))


#: The key of a position that is among the local people; nothing else in a list has a boolean for one.
_LOCAL = True


def _with_local(reading: _Reading, book: RuleBook, query: ListQuery) -> ListedUsers:
    local = [linkable.as_user(row) for row in linkable.everybody(reading.conn, book)]
    if query.matches is not None:
        local = [each for each in local if query.matches(each)]
    if not local:
        return _asserted(reading, query)
    among_local = query.after is not None and query.after.key is _LOCAL
    known = None if query.total is None else query.total - len(local)
    asked = replace(query, count=0, after=None) if among_local else query
    asserted = _asserted(reading, replace(asked, total=known, if_total=None))
    total = asserted.total + len(local)
    if query.after is not None and query.if_total not in (None, total):
        # Counted out by its number: what the place was behind may be gone.
        return _with_local(reading, book, replace(query, after=None, if_total=None))
    if among_local:
        at = (query.after.created_at, query.after.id) if query.after else None
        rest = [each for each in local if at is None or (each.created_at, each.person_id) > at]
    else:
        passed = 0 if query.after else max(0, query.start_index - 1 - asserted.total)
        rest = local[passed:]
    room = query.count - asserted.resources.count if asserted.end is None else 0
    shown = rest[: max(room, 0)]
    end = asserted.end
    if end is None and len(rest) > len(shown) and query.count > 0:
        # Where none of them is on the page, the next one begins with the first.
        last = shown[-1] if shown else None
        end = Position(_LOCAL, last.created_at, last.person_id) if last else _before(rest[0])
    page = asserted.resources + Resources.of([reading.local(each) for each in shown])
    return ListedUsers(total, page, end, asserted.before)


def _before(first: StoredUser) -> Position:
    """The place in front of somebody: ids are greater than the empty one."""
    return Position(_LOCAL, first.created_at, "")


def _plain_page(reading: _Reading, query: ListQuery) -> ListedUsers:
    """A page of everybody, in the order in which they came."""
    counted = _USER_COUNT.raw(reading.conn, reading.of_source)
    total, marked = counted[0] if counted else (0, False)
    if query.total is not None:
        total = query.total
    full = not reading.view.projection.plain
    page = {**reading.of_source, "count": query.count + 1}
    rows: Any = []
    before = None
    if total and query.after is not None and query.if_total in (None, total):
        place = {"made": query.after.created_at, "id": query.after.id}
        rows = _NEXT[full].raw(reading.conn, page | place)
    elif total and query.start_index == 1:
        rows = _PAGE[full].raw(reading.conn, page | {"skip": 0})
    elif total:
        # From the one before on, so that the same page is found by key the next time.
        rows = _PAGE[full].raw(reading.conn, page | {"skip": query.start_index - 2, "count": query.count + 2})
        before, rows = _place_of(rows[0]) if rows else None, rows[1:]
    end = None
    if len(rows) > query.count:
        rows = rows[: query.count]  # not shortened: a body may be run again over the same answers
        end = _place_of(rows[-1])
    return ListedUsers(total, reading.page(rows, marked=bool(marked)), end, before)


def _place_of(row: Any) -> Position:
    return Position(None, created_in(row[1]), id_in(row[1]).decode())


def _sought(reading: _Reading, query: ListQuery) -> ListedUsers:
    """By a filter or in an order, which are built for this one query."""
    more = _LISTED[not reading.view.projection.plain]
    found = _users(reading.org_id, reading.source_id, *more)
    if query.where is not None:
        found = found.where(query.where)
    total = total_of(reading.conn, reading.org_id, reading.source_id, "user_count", query, found)
    rows, end = page_of(reading.conn, found, query, total, PLACE)
    marked = bool(rows) and bool(_ANY_MARKED.raw(reading.conn, {"org_id": reading.org_id})[0][0])
    shown = [tuple(row[: len(_ROW) + len(more)]) for row in rows]
    return ListedUsers(total, reading.page(shown, marked=marked), end)


# ------------------------------------------------------------------------------ lists of either kind


def total_of(
    conn: Connection, org_id: OrgId, source_id: SourceId, counter: str, query: ListQuery, found: Select[Any]
) -> int:
    """How many fit: without a filter the source's counter; with one, counted."""
    if query.total is not None:
        return query.total
    if query.where is not None:
        counting = found.with_only_columns(func.count(), maintain_column_froms=True)
        return int(conn.execute(counting).scalar_one())
    counted = select(sources.c[counter]).where(sources.c.org_id == org_id, sources.c.id == source_id)
    return int(conn.execute(counted).scalar() or 0)


def page_of(
    conn: Connection,
    found: Select[Any],
    query: ListQuery,
    total: int,
    place: tuple[ColumnElement[Any], ColumnElement[Any]],
) -> tuple[Sequence[Row[Any]], Position | None]:
    """The page's rows, and the last one's place where more follow."""
    if query.count <= 0 or not total:
        return [], None
    few = query.where is not None and total <= _FEW
    after, skip = query.after, 0
    if after is None or query.if_total not in (None, total):
        after, skip = None, query.start_index - 1
    return keyset.page(conn, found, query.sort, place, after, skip, query.count, sorted_after=few)
