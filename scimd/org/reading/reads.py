"""What a token sees: its source's living assertions and groups, and local people whom it could link.

All else is not there. A plain read is a row and a join of bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import NotFound
from scimd.core.people import OrgId, PersonId, SourceId
from scimd.core.resource import (
    GroupRef,
    Resources,
    Shown,
    StoredGroup,
    StoredUser,
    View,
    etag,
    render_group,
)
from scimd.db.among import JsonString, unindexed
from scimd.db.prepared import Prepared, ahead
from scimd.db.tables import assertions, group_members, groups, people
from scimd.org.groups.group_nesting import memberships
from scimd.org.reading.keyset import Position
from scimd.org.reading.list_query import ListQuery, sought
from scimd.org.reading.scim_reads import (
    LIVE,
    ListedUsers,
    scim_user,
    scim_users,
    source_of,
)
from scimd.org.tx import Context, Door, Tx

__all__ = [
    "ListQuery",
    "ListedGroups",
    "ListedUsers",
    "scim_group",
    "scim_groups",
    "scim_user",
    "scim_users",
    "source_of",
]


@dataclass(frozen=True, slots=True)
class ListedGroups:
    """``end``: the place of the last one, where more follow. ``moves``: as of ``Sought``."""

    total: int
    resources: Resources
    end: Position | None = None
    moves: int | None = None


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


def _group(row: Row[Any]) -> StoredGroup:
    return StoredGroup(row.id, bytes(row.document), row.version, row.created_at, row.changed_at)


def load_group(conn: Connection, org_id: OrgId, source_id: SourceId, group_id: str) -> StoredGroup | None:
    row = _ONE_GROUP.first(conn, {"org_id": org_id, "source_id": source_id, "id": group_id})
    return None if row is None else _group(row)


def must_load_group(tx: Tx, group_id: str | None) -> StoredGroup:
    """The group as this transaction left it."""
    found = load_group(tx.conn, tx.org_id, source_of(tx.ctx), group_id or "")
    if found is None:
        raise NotFound("group", group_id or "")
    return found


def _member(row_id: ColumnElement[str], kind: str, name: ColumnElement[str]) -> ColumnElement[str]:
    """A member as JSON; ``name`` is JSON, empty where there is none to show. Ids hold nothing to escape."""
    located = bindparam(kind, type_=Text)
    head = literal('{"value":"') + row_id + literal('","$ref":"') + located + row_id
    return head + literal(f'","type":"{kind}"') + name + literal("}")


def _display(name: ColumnElement[str]) -> ColumnElement[str]:
    return literal(',"display":') + JsonString(name)


def _joined(members: Select[Any]) -> ColumnElement[Any]:
    """What the rows of a select in order have in their one column, with commas between."""
    rows = members.subquery()
    return select(func.aggregate_strings(rows.c.member, ",")).scalar_subquery()


_in_group = (_m.org_id == bindparam("org_id")) & (_m.group_id == bindparam("group_id"))
#: The name is the owner's; a source that does not own the person has but its user name, which is not shown.
_named = (_p.owner_source_id == bindparam("source_id")) & (_p.display_name != _a.user_name)
_PEOPLE_IN = (
    select(_member(_m.person_id, "User", case((_named, _display(_p.display_name)), else_="")).label("member"))
    .join(assertions, (_a.org_id == _m.org_id) & (_a.person_id == _m.person_id))
    .join(people, (_p.org_id == _m.org_id) & (_p.id == _m.person_id))
    .where(
        _in_group,
        # A person's key is their id. Said because an index without the keys holds all that is asked for
        # besides, and SQLite would walk through the organization in it.
        _m.member_key == _m.person_id,
        # So that it is looked for in the index that has all that is asked for.
        unindexed(_a.source_id) == bindparam("source_id"),
        _a.state == literal_column("'live'"),
        _p.deleted_at.is_(None),
    )
    .order_by(_m.member_key)
)
_GROUPS_IN = (
    select(_member(_m.child_id, "Group", _display(_g.display_name)).label("member"))
    .join(groups, (_g.org_id == _m.org_id) & (_g.id == _m.child_id))
    .where(_in_group, _m.child_id.is_not(None), _g.state == literal_column("'live'"))
    .order_by(_m.child_id)
)
_MEMBERS = Prepared(
    select(*(_joined(rows).label(name) for name, rows in (("users", _PEOPLE_IN), ("groups", _GROUPS_IN))))
)


def members_of(
    conn: Connection, org_id: OrgId, source_id: SourceId, group_ids: Collection[str], base_url: str
) -> Mapping[str, str]:
    """The members that are known and there, as JSON with commas between: people first, each by their id.

    There may be 100,000. The database renders them without Python's lock, which others wait for.
    ``base_url`` holds nothing that JSON would escape.
    """
    of_source = {"org_id": org_id, "source_id": source_id}
    of_source |= {"User": f"{base_url}/Users/", "Group": f"{base_url}/Groups/"}
    asked = {each: {**of_source, "group_id": each} for each in group_ids}
    ahead(conn, *((_MEMBERS, of_group) for of_group in asked.values()))
    found = {}
    for group_id, of_group in asked.items():
        (both,) = _MEMBERS.raw(conn, of_group)
        found[group_id] = ",".join(filter(None, both))
    return found


def _shown(
    conn: Connection, org_id: OrgId, source_id: SourceId, many: Sequence[StoredGroup], view: View
) -> list[bytes]:
    """Groups as JSON; of their members only what the projection wants."""
    members: Mapping[str, str] = {}
    if view.projection.wants("members"):
        ids = [each.group_id for each in many]
        members = members_of(conn, org_id, source_id, ids, view.base_url)
    return [render_group(each, view.base_url, view.projection, members.get(each.group_id)) for each in many]


async def scim_group(door: Door, ctx: Context, group_id: str, view: View) -> Shown | None:
    """One group by its id; without members where they are not wanted, at the cost of a user."""
    source_id = source_of(ctx)

    def body(conn: Connection) -> Shown | None:
        stored = load_group(conn, ctx.org_id, source_id, group_id)
        if stored is None:
            return None
        (shown,) = _shown(conn, ctx.org_id, source_id, [stored], view)
        return Shown(etag(stored.version), shown, group_id)

    return await (door.read(body) if view.projection.wants("members") else door.glance(body))


async def scim_groups(door: Door, ctx: Context, query: ListQuery, view: View) -> ListedGroups:
    """A page of the source's groups and how many fit in all. Order ends in (created, id): it is stable."""
    source_id = source_of(ctx)

    def body(conn: Connection) -> ListedGroups:
        found = _groups(ctx.org_id, source_id)
        page = sought(conn, ctx.org_id, source_id, "group", query, found, (_g.created_at, _g.id))
        shown = _shown(conn, ctx.org_id, source_id, [_group(row) for row in page.rows], view)
        return ListedGroups(page.total, Resources.of(shown), page.end, page.moves)

    return await door.read(body)
