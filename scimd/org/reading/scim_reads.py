"""Users as SCIM reads them: a row each, memberships included, spliced as bytes while the body runs.

Reads by key run on the event loop's own thread (``Database.glance``), as do pages that begin where one
ended; what they cost is written in docs/decisions/0031. What a source sees is said in ``reads``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Integer, Row, Select, and_, bindparam, func, literal_column, select, tuple_
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import NotFound
from scimd.core.people import GroupId, OrgId, SourceId, address_key, fold
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
from scimd.db.prepared import Prepared, ahead
from scimd.db.tables import assertions, group_members, people, sources, unsettled
from scimd.org.groups.group_nesting import through
from scimd.org.identities import linkable, merged
from scimd.org.reading.keyset import Position
from scimd.org.reading.list_query import ListQuery, sought
from scimd.org.rulebook import RuleBook
from scimd.org.tx import Context, Door

T = TypeVar("T")

#: Larger pages, and those far from where one ended, are for a reader's thread.
_AT_A_GLANCE = 200
#: So many memberships a person are looked through to find those of a page's.
_MEMBERSHIPS = 20


@dataclass(frozen=True, slots=True)
class ListedUsers:
    """``end``: the place of the last one, where more follow. ``before``: of the one before the first,
    where the page was counted out and somebody is before it. ``moves``: as of ``Sought``.
    """

    total: int
    resources: Resources
    end: Position | None = None
    before: Position | None = None
    moves: int | None = None


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
_ANY_MARKED_BETWEEN = Prepared(
    select(unsettled.c.person_id)
    .where(
        unsettled.c.org_id == bindparam("org_id"),
        unsettled.c.person_id.between(bindparam("first"), bindparam("last")),
    )
    .limit(literal_column("1"))
)
_USER_COUNT = Prepared(
    select(sources.c.user_count, sources.c.user_moves, _MARKED.label("marked")).where(
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
    _counted: tuple[int, int, bool] | None = None

    @property
    def counted(self) -> tuple[int, int, bool]:
        """How many users the source has, how many came and went so far, and whether anybody is marked."""
        if self._counted is None:
            rows = _USER_COUNT.raw(self.conn, self.of_source)
            self._counted = (rows[0][0], rows[0][1], bool(rows[0][2])) if rows else (0, 0, False)
        return self._counted

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

    def _as_members_say(self, users: Sequence[UserRow]) -> Sequence[UserRow]:
        ids = [id_in(meta).decode() for _, meta, _, _ in users]
        among_them = {"org_id": self.org_id, "first": min(ids), "last": max(ids)}
        if not _ANY_MARKED_BETWEEN.raw(self.conn, among_them):
            return users
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
        row = linkable.one(conn, door.books.seen(conn, ctx.org_id), person_id)
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
    near = query.after is not None or query.start_index <= _AT_A_GLANCE
    plain = query.where is None and query.sort is None and near and query.count <= _AT_A_GLANCE

    def looked_up(conn: Connection) -> ListedUsers:
        return _looked_up(_Reading(conn, ctx.org_id, source_id, view), door, query)

    def asked(conn: Connection) -> _Reading:
        reading = _Reading(conn, ctx.org_id, source_id, view)
        if plain:
            page = _page_asked(reading, query, behind=query.after is not None)
            ahead(conn, door.books.asked_of(ctx.org_id), (_USER_COUNT, reading.of_source), page)
        return reading

    def body(conn: Connection) -> ListedUsers:
        reading = asked(conn)
        return _listed(reading, _book(door, reading), query)

    def at_a_glance(conn: Connection) -> ListedUsers | None:
        """None where many local people would have to be looked at."""
        reading = asked(conn)
        book = _book(door, reading)
        if book.verified_domains and not linkable.are_few(conn, book, _AT_A_GLANCE):
            return None
        return _listed(reading, book, query)

    if query.user_name is not None:
        return await door.db.glance(looked_up, one=True)
    if plain and view.projection.plain:
        found = await door.glance(at_a_glance)
        if found is not None:
            return found
    return await door.read(body)


def _listed(reading: _Reading, book: RuleBook, query: ListQuery) -> ListedUsers:
    if query.after is not None and query.if_moves is not None:
        query = query.standing(reading.counted[1])
    return _with_local(reading, book, query) if book.verified_domains else _asserted(reading, query)


def _book(door: Door, reading: _Reading) -> RuleBook:
    """What the organization decided; its generation is asked for where nothing proves that it stands."""
    key = ("book", reading.org_id)
    book: RuleBook | None = reading.known.values.get(key)
    if book is None:
        book = door.books.seen(reading.conn, reading.org_id)
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
    wanted = query.user_name or ""
    named = {**reading.of_source, "key": fold(wanted)}
    ahead(reading.conn, (_NAMED, named), door.books.asked_of(reading.org_id))
    rows = _NAMED.raw(reading.conn, named)
    shown = [reading.one(row) for row in rows]
    book = _book(door, reading)
    if book.verified_domains:
        local = linkable.by_address(reading.conn, book, address_key(wanted))
        if local is not None:
            shown.append(reading.local(linkable.as_user(local)))
    page = shown[: query.count] if query.start_index == 1 and query.count > 0 else []
    return ListedUsers(len(shown), Resources.of(page))


#: The key of a position that is among the local people; nothing else in a list has a boolean for one.
_LOCAL = True


def _with_local(reading: _Reading, book: RuleBook, query: ListQuery) -> ListedUsers:
    local = linkable.Local(reading.conn, book, query.local() if query.local is not None else None)
    count = _counted(reading, local, query)
    if not count:
        return _asserted(reading, query)
    among_local = query.after is not None and query.after.key is _LOCAL
    known = None if query.total is None else query.total - count
    asked = replace(query, count=0, after=None) if among_local else query
    asserted = _asserted(reading, replace(asked, total=known))
    total = asserted.total + count
    if asserted.end is not None or not query.count:
        return replace(asserted, total=total)
    room = query.count - asserted.resources.count
    if among_local and query.after is not None:
        rest = local.page((query.after.created_at, query.after.id), 0, room + 1)
    else:
        passed = 0 if query.after else max(0, query.start_index - 1 - asserted.total)
        rest = local.page(None, passed, room + 1)
    shown, end = rest[:room], None
    if len(rest) > room:
        # Where none of them is on the page, the next one begins with the first.
        last = shown[-1] if shown else None
        end = Position(_LOCAL, last.created_at, last.id) if last else _before(rest[0])
    page = asserted.resources + Resources.of([reading.local(linkable.as_user(each)) for each in shown])
    # A place among them is found by no number: they come and go without the source.
    return ListedUsers(total, page, end, asserted.before, None if end is not None else asserted.moves)


def _counted(reading: _Reading, local: linkable.Local, query: ListQuery) -> int:
    """How many there are; of a list without a filter kept, as long as nobody commits."""
    if query.where is not None:
        return local.count()
    key = ("local", reading.org_id)
    count: int | None = reading.known.values.get(key)
    if count is None:
        count = local.count()
        reading.known.put(key, count, 100)
    return count


def _before(first: Row[Any]) -> Position:
    """The place in front of somebody: ids are greater than the empty one."""
    return Position(_LOCAL, first.created_at, "")


def _plain_page(reading: _Reading, query: ListQuery) -> ListedUsers:
    """A page of everybody, in the order in which they came."""
    total, moves, marked = reading.counted
    if query.total is not None:
        total = query.total
    rows: Any = []
    before = None
    if total:
        behind = query.after is not None
        statement, asked = _page_asked(reading, query, behind=behind)
        rows = statement.raw(reading.conn, asked)
        if not behind and query.start_index > 1:
            before, rows = _place_of(rows[0]) if rows else None, rows[1:]
    end = None
    if len(rows) > query.count:
        rows = rows[: query.count]  # not shortened: a body may be run again over the same answers
        end = _place_of(rows[-1])
    return ListedUsers(total, reading.page(rows, marked=marked), end, before, moves)


def _page_asked(reading: _Reading, query: ListQuery, *, behind: bool) -> tuple[Prepared, Mapping[str, Any]]:
    """The statement of a page of everybody, and its parameters; ``behind``: from where one ended."""
    full = not reading.view.projection.plain
    page = {**reading.of_source, "count": query.count + 1}
    if behind and query.after is not None:
        return _NEXT[full], page | {"made": query.after.created_at, "id": query.after.id}
    if query.start_index == 1:
        return _PAGE[full], page | {"skip": 0}
    # From the one before on, so that the same page is found by key the next time.
    return _PAGE[full], page | {"skip": query.start_index - 2, "count": query.count + 2}


def _place_of(row: Any) -> Position:
    return Position(None, created_in(row[1]), id_in(row[1]).decode())


def _sought(reading: _Reading, query: ListQuery) -> ListedUsers:
    """By a filter or in an order, which are built for this one query."""
    more = _LISTED[not reading.view.projection.plain]
    found = _users(reading.org_id, reading.source_id, *more)
    page = sought(reading.conn, reading.org_id, reading.source_id, "user", query, found, PLACE)
    marked = bool(page.rows) and bool(_ANY_MARKED.raw(reading.conn, {"org_id": reading.org_id})[0][0])
    shown = [tuple(row[: len(_ROW) + len(more)]) for row in page.rows]
    return ListedUsers(page.total, reading.page(shown, marked=marked), page.end, None, page.moves)
