"""Lists of what people are given, and of the groups that give it: projects, teams, licences, groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, func, literal, null, select

from scimd.core.errors import NotFound
from scimd.core.people import OrgId, fold
from scimd.db.tables import (
    UNLISTED,
    grants,
    group_members,
    groups,
    licences,
    people,
    projects,
    sources,
    teams,
)
from scimd.org.grants import pool_limits
from scimd.org.tx import Door
from scimd.org.windows import Slice, Window, cut, narrowed

_g = grants.c


@dataclass(frozen=True, slots=True)
class ThingRecord:
    """A team or a licence. ``people``: how many have it now. Nobody waits where there is no limit."""

    id: str
    name: str
    people: int
    created_at: datetime
    limit: int | None = None
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """``group_id``: the group that made it, and whose name it follows. ``orphaned``: it left it behind."""

    id: str
    name: str
    people: int
    limit: int | None
    waiting: int
    group_id: str | None
    orphaned: bool
    archived_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """``members``: direct ones, those not yet known among them."""

    id: str
    external_id: str | None
    display_name: str
    source_id: str
    source_name: str
    members: int
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A person, a nested group, or somebody whom the source has named and not yet described."""

    key: str
    kind: Literal["user", "group", "unknown"]
    id: str | None
    name: str | None
    since: datetime


#: Of people: those who are in lists of them, all but the UNLISTED.
LISTED = people.c.deleted_at.is_(None) & people.c.lapsed.is_(False)
HOW_MANY = func.count(_g.person_id.distinct())


def holders(what: ColumnElement[Any], kind: str, org_id: Any, target: Any) -> Select[Any]:
    """``what`` of those who have the thing now, live or dormant; nobody who is in no list of people."""
    return (
        select(what)
        .select_from(grants)
        .join(people, (people.c.org_id == _g.org_id) & (people.c.id == _g.person_id))
        .where(_g.org_id == org_id, _g.kind == kind, _g.target == target, _g.until.is_(None), LISTED)
    )


def how_many(kind: str, table: Any) -> ColumnElement[int]:
    """How many have a row of the table, dormant grants left out."""
    found = holders(HOW_MANY, kind, table.c.org_id, table.c.id).where(~_g.dormant)
    return found.correlate(table).scalar_subquery()


def how_many_each(kind: str, table: Any, org_id: OrgId) -> ColumnElement[int]:
    """The same of many rows, which may have 100,000 holders. Those who are in no list are few: they are found
    once and taken off, where each holder would be looked up among all people.
    """
    given = (_g.kind == kind, _g.until.is_(None), ~_g.dormant)
    unlisted = (
        select(_g.target, HOW_MANY.label("people"))
        .join_from(people, grants, (_g.org_id == people.c.org_id) & (_g.person_id == people.c.id))
        .where(people.c.org_id == org_id, UNLISTED, *given)
        .group_by(_g.target)
        .cte("unlisted")
        .prefix_with("MATERIALIZED")
    )
    everybody = select(HOW_MANY).where(_g.org_id == table.c.org_id, _g.target == table.c.id, *given)
    too_many = select(unlisted.c.people).where(unlisted.c.target == table.c.id)
    return everybody.correlate(table).scalar_subquery() - func.coalesce(
        too_many.correlate(table).scalar_subquery(), 0
    )


# ------------------------------------------------------------------------------ teams, licences

_TABLES = {"team": teams, "licence": licences}


async def list_things(
    door: Door, org_id: OrgId, kind: Literal["team", "licence"], window: Window, *, q: str | None = None
) -> Slice[ThingRecord]:
    """Sorts: ``name``, ``created``."""
    table = _TABLES[kind]
    query = _searched(_things(org_id, kind, how_many_each(kind, table, org_id)), table.c.name_key, q)
    return await door.read(
        lambda conn: cut(conn, query, window, {"name": table.c.name_key}, table.c.id).map(_thing)
    )


async def get_thing(
    door: Door, org_id: OrgId, kind: Literal["team", "licence"], thing_id: str
) -> ThingRecord:
    """Raises NotFound."""
    table = _TABLES[kind]
    query = _things(org_id, kind, how_many(kind, table)).where(table.c.id == thing_id)
    return _thing(await _one(door, query, kind, thing_id))


def _things(org_id: OrgId, kind: Literal["team", "licence"], people_of_it: ColumnElement[int]) -> Select[Any]:
    table = _TABLES[kind]
    query = select(table, people_of_it.label("people")).where(table.c.org_id == org_id)
    if kind == "team":
        return query.add_columns(null().label("limit"), literal(0).label("waiting"))
    return query.add_columns(
        pool_limits.limit_of(kind, table).label("limit"),
        pool_limits.waiting_for(kind, table).label("waiting"),
    )


def _thing(row: Row[Any]) -> ThingRecord:
    return ThingRecord(row.id, row.name, row.people, row.created_at, row.limit, row.waiting)


def _searched(query: Select[Any], key: ColumnElement[str], q: str | None) -> Select[Any]:
    return query.where(key.contains(fold(q.strip()), autoescape=True)) if q and q.strip() else query


async def _one(door: Door, query: Select[Any], kind: str, thing_id: str) -> Row[Any]:
    row = await door.read(lambda conn: conn.execute(query).first())
    if row is None:
        raise NotFound(kind, thing_id)
    return row


# ------------------------------------------------------------------------------ projects


def _projects(org_id: OrgId, people_of_it: ColumnElement[int]) -> Select[Any]:
    return select(
        projects,
        people_of_it.label("people"),
        pool_limits.limit_of("project", projects).label("limit"),
        pool_limits.waiting_for("project", projects).label("waiting"),
    ).where(projects.c.org_id == org_id)


async def list_projects(
    door: Door, org_id: OrgId, window: Window, *, q: str | None = None, archived: bool = False
) -> Slice[ProjectRecord]:
    """Sorts: ``name``, ``created``."""
    over = projects.c.archived_at
    query = _projects(org_id, how_many_each("project", projects, org_id))
    query = query.where(over.is_not(None) if archived else over.is_(None))
    query = _searched(query, projects.c.name_key, q)
    sorts = {"name": projects.c.name_key}
    return await door.read(lambda conn: cut(conn, query, window, sorts, projects.c.id).map(_project))


async def get_project(door: Door, org_id: OrgId, project_id: str) -> ProjectRecord:
    """Raises NotFound."""
    return await door.read(lambda conn: find_project(conn, org_id, project_id))


def find_project(conn: Connection, org_id: OrgId, project_id: str) -> ProjectRecord:
    """As ``get_project``, in a transaction."""
    query = _projects(org_id, how_many("project", projects)).where(projects.c.id == project_id)
    row = conn.execute(query).first()
    if row is None:
        raise NotFound("project", project_id)
    return _project(row)


def _project(row: Row[Any]) -> ProjectRecord:
    return ProjectRecord(
        row.id, row.name, row.people, row.limit, row.waiting, row.made_by_group_id, row.orphaned,
        row.archived_at, row.created_at,
    )  # fmt: skip


# ------------------------------------------------------------------------------ groups

_MEMBERS = (
    select(func.count())
    .where(group_members.c.org_id == groups.c.org_id, group_members.c.group_id == groups.c.id)
    .correlate(groups)
    .scalar_subquery()
)


def _groups(org_id: OrgId) -> Select[Any]:
    return (
        select(groups, sources.c.name.label("source_name"), _MEMBERS.label("members"))
        .join(sources, (sources.c.org_id == groups.c.org_id) & (sources.c.id == groups.c.source_id))
        .where(groups.c.org_id == org_id, groups.c.state == "live")
    )


async def list_groups(
    door: Door, org_id: OrgId, window: Window, *, q: str | None = None, source_id: str | None = None
) -> Slice[GroupRecord]:
    """Sorts: ``name``, ``created``."""
    query = _searched(_groups(org_id), groups.c.display_name_key, q)
    query = narrowed(query, (groups.c.source_id, source_id))
    sorts = {"name": groups.c.display_name_key}
    return await door.read(lambda conn: cut(conn, query, window, sorts, groups.c.id).map(_group))


async def get_group(door: Door, org_id: OrgId, group_id: str) -> GroupRecord:
    """Raises NotFound."""
    return _group(await _one(door, _groups(org_id).where(groups.c.id == group_id), "group", group_id))


def _group(row: Row[Any]) -> GroupRecord:
    return GroupRecord(
        row.id, row.external_id, row.display_name, row.source_id, row.source_name, row.members,
        row.created_at, row.changed_at,
    )  # fmt: skip


async def list_members(door: Door, org_id: OrgId, group_id: str, window: Window) -> Slice[MemberRecord]:
    """The direct members. Raises NotFound."""
    member, nested = group_members.c, groups.alias("nested")
    query = (
        select(group_members, people.c.display_name, nested.c.display_name.label("group_name"))
        .outerjoin(people, (people.c.org_id == member.org_id) & (people.c.id == member.person_id))
        .outerjoin(nested, (nested.c.org_id == member.org_id) & (nested.c.id == member.child_id))
        .where(member.org_id == org_id, member.group_id == group_id)
    )

    def body(conn: Connection) -> Slice[MemberRecord]:
        if conn.execute(_groups(org_id).where(groups.c.id == group_id)).first() is None:
            raise NotFound("group", group_id)
        return cut(conn, query, window, {}, member.member_key).map(_member)

    return await door.read(body)


def _member(row: Row[Any]) -> MemberRecord:
    kind: Literal["user", "group", "unknown"] = (
        "user" if row.person_id else "group" if row.child_id else "unknown"
    )
    name = row.display_name or row.group_name
    return MemberRecord(row.member_key, kind, row.person_id or row.child_id, name, row.since)
