"""Projects by hand: make, rename, archive, bring back; and who takes part, by whose word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select, update

from scimd.core.errors import NotAllowedNow, NotFound, NotUnique, OwnedBySource
from scimd.core.events import Event, EventKind
from scimd.core.people import UNSET, OrgId, PersonId, ProjectId, Unset, fold
from scimd.core.standing import Status
from scimd.core.words import counted, proper_name
from scimd.db.locks import lock_row
from scimd.db.tables import grants, groups, organizations, people, pools, projects, sources
from scimd.org import permissions
from scimd.org.generation import bump
from scimd.org.grants import catalogue_reads, pool_limits
from scimd.org.grants import projects as project_rows
from scimd.org.settling import unsettled
from scimd.org.tx import Context, Door, Tx
from scimd.org.windows import Slice, Window, brief, cut

_p, _g = projects.c, grants.c


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """``people``: how many take part now, of those who are listed. ``group``, ``source``: whose name it
    follows, if any's.

    ``limit`` None: any number may take part. ``waiting``: how many would, if there were no limit.
    """

    id: ProjectId
    name: str
    people: int
    limit: int | None
    waiting: int
    group: str | None
    source: str | None
    orphaned: bool
    is_default: bool
    archived_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One grant of one person: who takes part, as what, and where that comes from.

    ``waiting``: dormant, until fewer than the project's limit take part.
    """

    person_id: PersonId
    display_name: str
    status: str
    project_role: str | None
    origin: str  # manual | group | default
    by: str  # the admin, or the group's name
    source: str | None
    rule: int | None
    dormant: bool
    waiting: bool
    since: datetime


# ------------------------------------------------------------------------------ changing


async def create(door: Door, ctx: Context, name: str, limit: int | None = None) -> ProjectId:
    """Make a project; ``limit`` people at most take part. Raises Forbidden, InvalidValue, NotUnique."""
    permissions.require(ctx, "projects.manage")
    name = proper_name(name, "name")

    def body(tx: Tx) -> ProjectId:
        _must_be_free(tx, name)
        made = project_rows.make(tx, name)
        pool_limits.write(tx, "project", made, limit)
        return made

    return await door.run(ctx, body)


async def rename(
    door: Door,
    ctx: Context,
    project_id: ProjectId,
    name: str,
    check: Callable[[catalogue_reads.ProjectRecord], None] | None = None,
) -> None:
    """As ``change``, of the name alone."""
    await change(door, ctx, project_id, name=name, check=check)


async def change(
    door: Door,
    ctx: Context,
    project_id: ProjectId,
    *,
    name: str | Unset = UNSET,
    limit: int | Unset | None = UNSET,
    check: Callable[[catalogue_reads.ProjectRecord], None] | None = None,
) -> None:
    """Give it another name, or another limit of people who take part (None: none); UNSET stays.

    Raises Forbidden, NotFound, InvalidValue, OwnedBySource for the name where it bears that of a living
    group, NotUnique, NotAllowedNow where it is archived, and what ``check`` raises of the project as it is.
    """
    permissions.require(ctx, "projects.manage")
    wanted = name if isinstance(name, Unset) else proper_name(name, "name")

    def body(tx: Tx) -> None:
        lock_row(tx.conn, projects, org_id=tx.org_id, id=project_id)
        was = _living(tx, project_id)
        if check is not None:
            check(catalogue_reads.find_project(tx.conn, tx.org_id, project_id))
        if not isinstance(wanted, Unset):
            _rename(tx, was, wanted)
        if not isinstance(limit, Unset):
            pool_limits.write(tx, "project", project_id, limit)

    await door.run(ctx, body)


def _rename(tx: Tx, was: ProjectRecord, name: str) -> None:
    if was.source is not None and not was.orphaned:
        raise OwnedBySource(f"The name of the project {was.name!r}", was.source)
    if was.name != name:
        _must_be_free(tx, name, but=was.id)
        _write(tx, was.id, name=name, name_key=fold(name))
        tx.record(Event(EventKind.PROJECT_RENAMED, "project", was.id, {"name": was.name}, {"name": name}))


async def archive(door: Door, ctx: Context, project_id: ProjectId) -> None:
    """Archive: everybody's part in it goes dormant, the name is free. Twice changes nothing.

    Raises NotFound, NotAllowedNow for the default project, and for the only one of people who need one
    where the default project does not take them (P3).
    """
    permissions.require(ctx, "projects.manage")

    def body(tx: Tx) -> None:
        lock_row(tx.conn, projects, org_id=tx.org_id, id=project_id)
        was = _get(tx.conn, tx.org_id, project_id)
        if was.archived_at is not None:
            return
        if was.is_default:
            raise NotAllowedNow(f"{was.name!r} is the default project. Make another one the default first.")
        _leaves_nobody_without(tx, was)
        _write(tx, project_id, archived_at=tx.now)
        _settle_members(tx, project_id)
        tx.record(Event(EventKind.PROJECT_ARCHIVED, "project", project_id, before={"name": was.name}))

    await door.run(ctx, body)


def _leaves_nobody_without(tx: Tx, project: ProjectRecord) -> None:
    default = tx.book.rules.default_project
    query = select(pools.c.pool_limit - pools.c.used).where(
        pools.c.org_id == tx.org_id, pools.c.kind == "project", pools.c.target == default
    )
    free = tx.conn.execute(query).scalar() if default is not None else 0
    if free is None:
        return  # the default project takes any number
    other = grants.alias()
    elsewhere = select(other.c.id).where(
        other.c.org_id == _g.org_id,
        other.c.person_id == _g.person_id,
        other.c.kind == "project",
        other.c.target != project.id,
        other.c.until.is_(None),
        other.c.dormant.is_(False),
    )
    only = catalogue_reads.holders(catalogue_reads.HOW_MANY, "project", tx.org_id, project.id).where(
        ~_g.dormant, people.c.kind == "person", people.c.status != Status.INACTIVE, ~elsewhere.exists()
    )
    (left,) = tx.conn.execute(only).one()
    if left > max(0, free):
        raise NotAllowedNow(
            f"{project.name!r} is the only project of {counted(left, 'person', 'people')} who must have one. "
            "Add them to another project first."
        )


async def unarchive(door: Door, ctx: Context, project_id: ProjectId) -> None:
    """Bring an archived project back, with everybody's part in it. Raises NotFound, NotUnique."""
    permissions.require(ctx, "projects.manage")

    def body(tx: Tx) -> None:
        lock_row(tx.conn, projects, org_id=tx.org_id, id=project_id)
        was = _get(tx.conn, tx.org_id, project_id)
        if was.archived_at is None:
            return
        _must_be_free(tx, was.name)
        _write(tx, project_id, archived_at=None)
        _settle_members(tx, project_id)
        tx.record(Event(EventKind.PROJECT_RESTORED, "project", project_id, after={"name": was.name}))

    await door.run(ctx, body)


def _write(tx: Tx, project_id: ProjectId, **values: Any) -> None:
    tx.conn.execute(update(projects).where(_p.org_id == tx.org_id, _p.id == project_id).values(**values))


def _settle_members(tx: Tx, project_id: ProjectId) -> None:
    bump(tx)
    unsettled.mark_holders(tx, "project", project_id)


def _must_be_free(tx: Tx, name: str, but: str = "") -> None:
    query = select(_p.id).where(
        _p.org_id == tx.org_id, _p.name_key == fold(name), _p.archived_at.is_(None), _p.id != but
    )
    if tx.conn.execute(query).first() is not None:
        raise NotUnique("name", name)


def _living(tx: Tx, project_id: ProjectId) -> ProjectRecord:
    found = _get(tx.conn, tx.org_id, project_id)
    if found.archived_at is not None:
        raise NotAllowedNow(f"The project {found.name!r} is archived.")
    return found


# ------------------------------------------------------------------------------ reads


def _query(org_id: OrgId, people_of_it: ColumnElement[int]) -> Select[Any]:
    return (
        select(
            projects,
            people_of_it.label("people"),
            pool_limits.limit_of("project", projects).label("limit"),
            pool_limits.waiting_for("project", projects).label("waiting"),
            groups.c.display_name.label("group_name"),
            sources.c.name.label("source_name"),
            (organizations.c.default_project_id == _p.id).label("is_default"),
        )
        .join(organizations, organizations.c.id == _p.org_id)
        .outerjoin(groups, (groups.c.org_id == _p.org_id) & (groups.c.id == _p.made_by_group_id))
        .outerjoin(sources, (sources.c.org_id == _p.org_id) & (sources.c.id == groups.c.source_id))
        .where(_p.org_id == org_id)
    )


def _record(row: Row[Any]) -> ProjectRecord:
    return ProjectRecord(
        id=ProjectId(row.id),
        name=row.name,
        people=row.people,
        limit=row.limit,
        waiting=row.waiting,
        group=row.group_name,
        source=row.source_name,
        orphaned=row.orphaned,
        is_default=bool(row.is_default),
        archived_at=row.archived_at,
        created_at=row.created_at,
    )


def _get(conn: Connection, org_id: OrgId, project_id: str) -> ProjectRecord:
    query = _query(org_id, catalogue_reads.how_many("project", projects)).where(_p.id == project_id)
    row = conn.execute(query).first()
    if row is None:
        raise NotFound("project", project_id)
    return _record(row)


async def list_projects(door: Door, org_id: OrgId, *, archived: bool = False) -> list[ProjectRecord]:
    """Projects by name; ``archived``: those in place of the living."""
    there = _p.archived_at.is_not(None) if archived else _p.archived_at.is_(None)
    each = catalogue_reads.how_many_each("project", projects, org_id)
    query = _query(org_id, each).where(there).order_by(_p.name_key, _p.id)
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


async def by_name(door: Door, org_id: OrgId, name_or_id: str) -> ProjectRecord:
    """A living project by its name, whatever the case, or any by its id. Raises NotFound."""
    by_key = (_p.name_key == fold(name_or_id)) & _p.archived_at.is_(None)
    of_it = catalogue_reads.how_many("project", projects)
    query = _query(org_id, of_it).where(by_key | (_p.id == name_or_id))
    row = await door.read(lambda conn: conn.execute(query).first())
    if row is None:
        raise NotFound("project", name_or_id)
    return _record(row)


async def members(
    door: Door, org_id: OrgId, project_id: ProjectId, *, limit: int = 200, after: str | None = None
) -> list[MemberRecord]:
    """Who takes part, or would if it were not dormant: a row per grant, by the grant's id.

    ``after``: the ``person_id`` of the last row of the page before; a person's rows are never split.
    """
    people_page = catalogue_reads.holders(_g.person_id, "project", org_id, project_id).distinct()
    if after is not None:
        people_page = people_page.where(_g.person_id > after)
    ids = people_page.order_by(_g.person_id).limit(limit).subquery()
    query = _members(org_id, project_id).join(ids, ids.c.person_id == _g.person_id)
    query = query.order_by(_g.person_id, _g.id)
    return await door.read(lambda conn: [_member(row) for row in conn.execute(query)])


async def members_window(door: Door, org_id: OrgId, project_id: str, window: Window) -> Slice[MemberRecord]:
    """A row per grant, as they were given, or by ``name`` of the person. Raises NotFound."""
    query, sorts = _members(org_id, ProjectId(project_id)), {"name": brief(people.c.display_name)}

    def body(conn: Connection) -> Slice[MemberRecord]:
        _get(conn, org_id, project_id)
        return cut(conn, query, window, sorts, _g.id).map(_member)

    return await door.read(body)


def _members(org_id: OrgId, project_id: ProjectId) -> Select[Any]:
    return (
        select(
            grants,
            people.c.display_name,
            people.c.status,
            sources.c.name.label("source_name"),
            groups.c.display_name.label("group_name"),
            pool_limits.is_waiting("project", _g).label("waiting"),
        )
        .join(people, (people.c.org_id == _g.org_id) & (people.c.id == _g.person_id))
        .outerjoin(sources, (sources.c.org_id == _g.org_id) & (sources.c.id == _g.source_id))
        .outerjoin(groups, (groups.c.org_id == _g.org_id) & (groups.c.id == _g.group_id))
        .where(
            _g.org_id == org_id,
            _g.kind == "project",
            _g.target == project_id,
            _g.until.is_(None),
            catalogue_reads.LISTED,
        )
    )


def _member(row: Row[Any]) -> MemberRecord:
    return MemberRecord(
        person_id=PersonId(row.person_id),
        display_name=row.display_name,
        status=row.status,
        project_role=row.project_role,
        origin=row.origin,
        by=row.group_name or row.origin_by,
        source=row.source_name,
        rule=row.rule,
        dormant=row.dormant,
        waiting=bool(row.waiting),
        since=row.since,
    )
