"""What a token sees: its source's living assertions and groups, and local people whom it could link.

All else is not there. A plain read is a row and a join of bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, case, literal_column, select

from scimd.core.errors import NotFound
from scimd.core.people import OrgId, PersonId, SourceId
from scimd.core.resource import GroupRef, MemberRef, StoredGroup, StoredUser
from scimd.db.among import one_of
from scimd.db.prepared import Listing, Prepared
from scimd.db.tables import assertions, group_members, groups, people
from scimd.org.admin_reads import Difference, PersonPage, PersonRow, check_standing, list_people, show_person
from scimd.org.group_nesting import memberships
from scimd.org.keyset import Position
from scimd.org.list_query import ListQuery, sought
from scimd.org.scim_reads import (
    LIVE,
    ListedUsers,
    scim_user,
    scim_users,
    source_of,
)
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
    "source_of",
]


@dataclass(frozen=True, slots=True)
class ListedGroups:
    """``end``: the place of the last one, where more follow."""

    total: int
    resources: list[StoredGroup]
    end: Position | None = None


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


def load_user(conn: Connection, org_id: OrgId, source_id: SourceId, person_id: PersonId) -> StoredUser | None:
    row = _ONE.first(conn, {"org_id": org_id, "source_id": source_id, "id": person_id})
    if row is None:
        return None
    return _user(row, group_refs(conn, org_id, source_id, [person_id]).get(person_id, ()))


def must_load_user(tx: Tx, person_id: PersonId) -> StoredUser:
    """The user as this transaction left them."""
    found = load_user(tx.conn, tx.org_id, source_of(tx.ctx), person_id)
    if found is None:
        raise NotFound("user", person_id)
    return found


def users_as_written(tx: Tx, person_ids: Collection[PersonId]) -> dict[PersonId, StoredUser]:
    """The same of several, without reading what this transaction wrote itself."""
    shown = {each: tx.shown[each] for each in person_ids if each in tx.shown}
    found = {each: must_load_user(tx, each) for each in person_ids if each not in shown}
    grouped = [each for each in shown if each not in tx.created or each in tx.regrouped]
    refs = group_refs(tx.conn, tx.org_id, source_of(tx.ctx), grouped) if grouped else {}
    return found | {
        each: replace(stored, groups=refs.get(each, ())) if each in refs else stored
        for each, stored in shown.items()
    }


def group_refs(
    conn: Connection, org_id: OrgId, source_id: SourceId, person_ids: Collection[PersonId]
) -> dict[PersonId, tuple[GroupRef, ...]]:
    """The source's groups in which each is, the direct ones first."""
    return {
        person_id: tuple(GroupRef(fact.group_id, fact.group_name, not fact.path) for fact in facts)
        for person_id, facts in memberships(conn, org_id, person_ids, source_id, with_effects=False).items()
    }


# ------------------------------------------------------------------------------ groups

_g, _m = groups.c, group_members.c


def _groups(org_id: Any, source_id: Any) -> Select[Any]:
    query: Select[Any] = select(_g.id, _g.document, _g.version, _g.created_at, _g.changed_at)
    return query.where(_g.org_id == org_id, _g.source_id == source_id, _g.state == LIVE)


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


#: The name is the owner's; a source that does not own the person is told its own word for them.
_shown = case((_p.owner_source_id == bindparam("source_id"), _p.display_name), else_=_a.user_name)
_MEMBERS = Listing(
    select(_m.group_id, _m.person_id, _a.user_name, _shown.label("shown"))
    .join(assertions, and_(_a.org_id == _m.org_id, _a.person_id == _m.person_id))
    .join(people, and_(_p.org_id == _m.org_id, _p.id == _m.person_id))
    .where(
        _m.org_id == bindparam("org_id"),
        one_of(_m.group_id),
        # A person's key is their id. Said because an index without the keys holds all that is asked for
        # besides, and SQLite would walk through the organization in it.
        _m.member_key == _m.person_id,
        _a.source_id == bindparam("source_id"),
        _a.state == literal_column("'live'"),
        _p.deleted_at.is_(None),
    )
)
_NESTED = Prepared(
    select(_m.group_id, _m.child_id, _g.display_name)
    .join(groups, and_(_g.org_id == _m.org_id, _g.id == _m.child_id))
    .where(
        _m.org_id == bindparam("org_id"),
        one_of(_m.group_id),
        _m.child_id.is_not(None),
        _g.state == literal_column("'live'"),
    )
    .order_by(_m.group_id, _m.child_id)
)


def member_refs(
    conn: Connection, org_id: OrgId, source_id: SourceId, group_ids: Collection[str]
) -> Mapping[str, tuple[MemberRef, ...]]:
    """The members that are known and there, people first, each once, in a fixed order."""
    of_source = {"org_id": org_id, "source_id": source_id, "keys": group_ids}
    found: dict[str, list[MemberRef]] = {group_id: [] for group_id in group_ids}
    users: Iterable[tuple[str, ...]] = zip(*_MEMBERS.columns(conn, of_source), strict=True)
    for group_id, person_id, user_name, shown in users:
        # A person without a name of their own is shown by their user name, which is none to display.
        found[group_id].append(MemberRef(person_id, "User", "" if shown == user_name else shown))
    for refs in found.values():  # they lie in this order, which nobody promises
        refs.sort(key=_BY_ID)
    for group_id, child_id, name in _NESTED.raw(conn, of_source):
        found[group_id].append(MemberRef(child_id, "Group", name))
    return {group_id: tuple(refs) for group_id, refs in found.items() if refs}


_BY_ID = attrgetter("id")


async def scim_group(
    door: Door, ctx: Context, group_id: str, *, with_members: bool = True
) -> StoredGroup | None:
    source_id = source_of(ctx)

    def body(conn: Connection) -> StoredGroup | None:
        return load_group(conn, ctx.org_id, source_id, group_id, with_members=with_members)

    return await (door.read(body) if with_members else door.glance(body))


async def scim_groups(door: Door, ctx: Context, query: ListQuery) -> ListedGroups:
    """A page of the source's groups and how many fit in all. Order ends in (created, id): it is stable."""
    source_id = source_of(ctx)

    def body(conn: Connection) -> ListedGroups:
        found = _groups(ctx.org_id, source_id)
        total, rows, end = sought(
            conn, ctx.org_id, source_id, "group_count", query, found, (_g.created_at, _g.id)
        )
        refs: Mapping[str, tuple[MemberRef, ...]] | None = None
        if query.with_members:
            refs = member_refs(conn, ctx.org_id, source_id, [row.id for row in rows]) if rows else {}
        shown = [_group(row, None if refs is None else refs.get(row.id, ())) for row in rows]
        return ListedGroups(total, shown, end)

    return await door.read(body)
