"""The list of people that admins search, filter, sort and export, and one of its lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, func, or_, select

from scimd.core.errors import NotFound
from scimd.core.people import OrgId, PersonId, address_key, fold
from scimd.core.roles import strongest
from scimd.db.among import among
from scimd.db.tables import (
    grants,
    licences,
    organizations,
    partner_queues,
    people,
    projects,
    sessions,
    sources,
    teams,
)
from scimd.org.grants import pool_limits
from scimd.org.identities import merged
from scimd.org.tx import Door
from scimd.org.windows import Slice, Window, brief, cut, narrowed

_p, _g = people.c, grants.c


@dataclass(frozen=True, slots=True)
class Named:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class InProject:
    id: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class UserRow:
    """One line. Projects and licences are those with effect now, by name."""

    id: PersonId
    kind: str
    display_name: str
    user_name: str
    email: str | None
    email_verified: bool
    status: str
    causes: tuple[str, ...]
    primary_role: str
    roles: tuple[str, ...]
    has_seat: bool
    approved: bool
    #: Who may approve people here, by name; the same for everybody.
    partners: tuple[str, ...]
    accepted: bool
    team: Named | None
    projects: tuple[InProject, ...]
    licences: tuple[Named, ...]
    source: Named | None
    created_at: datetime
    created_by: str
    changed_at: datetime
    #: Who answers for a service account.
    owner: str | None
    expires_at: datetime | None
    deleted_at: datetime | None
    last_login_at: datetime | None


@dataclass(frozen=True, slots=True)
class UserFilter:
    """What the list is narrowed to; None: not at all. ``deleted``: the tombstoned ones instead.

    ``waiting_for``: the id of a project or licence whose limit is reached. ``lapsed``: those instead who
    are here only by an invitation that is over, and otherwise left out.
    """

    q: str | None = None
    status: str | None = None
    role: str | None = None
    team: str | None = None
    project: str | None = None
    licence: str | None = None
    source: str | None = None
    local: bool | None = None
    kind: str | None = None
    has_seat: bool | None = None
    approved: bool | None = None
    deleted: bool = False
    lapsed: bool = False
    waiting_for: str | None = None


_LAST_LOGIN = (
    select(func.max(sessions.c.started_at))
    .where(sessions.c.org_id == _p.org_id, sessions.c.person_id == _p.id)
    .correlate(people)
    .scalar_subquery()
)
_TEAM = (
    select(teams.c.name_key)
    .where(teams.c.org_id == _p.org_id, teams.c.id == _p.team_id)
    .correlate(people)
    .scalar_subquery()
)
_SOURCE = (
    select(sources.c.name)
    .where(sources.c.org_id == _p.org_id, sources.c.id == _p.owner_source_id)
    .correlate(people)
    .scalar_subquery()
)
_SORTS: Mapping[str, ColumnElement[Any]] = {
    "user_name": _p.local_user_name,
    "display_name": brief(_p.display_name_key),
    "email": _p.sign_in_key,
    "status": _p.status,
    "role": _p.primary_role,
    "changed": _p.changed_at,
    "team": _TEAM,
    "source": _SOURCE,
    "last_login": _LAST_LOGIN,
}
#: What the list may be sorted by; ``created`` is the order of ids.
SORTS = ("created", *_SORTS)


async def list_users(door: Door, org_id: OrgId, only: UserFilter, window: Window) -> Slice[UserRow]:
    def body(conn: Connection) -> Slice[UserRow]:
        # Ids first: sorting 100,000 whole rows takes three times as long.
        found = cut(conn, _filtered(org_id, only), window, _SORTS, _p.id)
        ids = [row.id for row in found.rows]
        rows = {row.id: row for row in conn.execute(_whole(conn, org_id, ids))}
        return found.with_rows(_lines(conn, org_id, [rows[person_id] for person_id in ids]))

    return await door.read(body)


async def get_user(door: Door, org_id: OrgId, person_id: str) -> UserRow:
    """Also a tombstoned one; of one who was merged, the person who was kept. Raises NotFound."""
    return await door.read(lambda conn: find(conn, org_id, person_id))


def find(conn: Connection, org_id: OrgId, person_id: str) -> UserRow:
    """As ``get_user``, in a transaction."""
    kept = merged.into(conn, org_id, person_id)
    rows = conn.execute(_whole(conn, org_id, [kept or person_id])).all()
    if not rows:
        raise NotFound("user", person_id)
    return _lines(conn, org_id, rows)[0]


def by_id(conn: Connection, org_id: OrgId, ids: Sequence[str]) -> Mapping[str, UserRow]:
    """Those of them who are there, deleted or not."""
    return {line.id: line for line in _lines(conn, org_id, conn.execute(_whole(conn, org_id, ids)).all())}


def _whole(conn: Connection, org_id: OrgId, ids: Sequence[str]) -> Select[Any]:
    return select(people).where(_p.org_id == org_id, among(conn, _p.id, ids))


# ------------------------------------------------------------------------------ which


def _filtered(org_id: OrgId, only: UserFilter) -> Select[Any]:
    deleted = _p.deleted_at.is_not(None) if only.deleted else _p.deleted_at.is_(None)
    query = narrowed(
        select(_p.id).where(_p.org_id == org_id, deleted),
        (_p.status, only.status),
        (_p.team_id, only.team),
        (_p.owner_source_id, only.source),
        (_p.kind, only.kind),
        (_p.has_seat, only.has_seat),
        (_p.approved, only.approved),
    )
    if not only.deleted:
        query = query.where(_p.lapsed.is_(only.lapsed))
    if only.waiting_for is not None:
        query = query.where(_p.id.in_(pool_limits.waiters(org_id, only.waiting_for)))
    for kind, target in (("project", only.project), ("licence", only.licence)):
        if target is not None:
            query = query.where(_p.id.in_(_holders(org_id, kind, target)))
    if only.role is not None:
        query = query.where(or_(_p.primary_role == only.role, _p.id.in_(_holders(org_id, "role", only.role))))
    if only.local is not None:
        owner = _p.owner_source_id
        query = query.where(owner.is_(None) if only.local else owner.is_not(None))
    return query.where(goes_by(only.q)) if only.q and only.q.strip() else query


def _holders(org_id: OrgId, kind: str, target: str) -> Select[Any]:
    return select(_g.person_id).where(
        _g.org_id == org_id, _g.kind == kind, _g.target == target, _g.until.is_(None), ~_g.dormant
    )


def goes_by(text: str) -> ColumnElement[bool]:
    """Whether this is a part of a person's name, user name or address, whatever the case.

    Of the address as it was given, which is what is shown; a whole domain in either form (``domain_key``).
    """
    part = fold(text.strip())
    keys = (_p.local_user_name, _p.sign_in_key, _p.display_name_key, func.lower(_p.sign_in_address))
    found = or_(*(key.contains(part, autoescape=True) for key in keys))
    if part.isascii():
        return found
    return or_(found, _p.sign_in_key.contains(address_key(text.strip()), autoescape=True))


# ------------------------------------------------------------------------------ what is said of them


def _lines(conn: Connection, org_id: OrgId, rows: Sequence[Row[Any]]) -> list[UserRow]:
    ids = [row.id for row in rows]
    if not ids:
        return []
    held = _held(conn, org_id, ids)
    logins = _last_logins(conn, org_id, ids)
    names = {
        **_names(conn, org_id, teams, {row.team_id for row in rows if row.team_id}),
        **_names(conn, org_id, sources, {row.owner_source_id for row in rows if row.owner_source_id}),
    }
    partners = _partners(conn, org_id)
    return [_line(row, held[row.id], names, partners, logins.get(row.id)) for row in rows]


def _partners(conn: Connection, org_id: OrgId) -> tuple[str, ...]:
    query = (
        select(organizations.c.name)
        .join(partner_queues, partner_queues.c.org_id == organizations.c.id)
        .where(partner_queues.c.customer_id == org_id)
        .order_by(organizations.c.name)
    )
    return tuple(conn.execute(query).scalars())


def _line(
    row: Row[Any],
    held: Sequence[_Held],
    names: Mapping[str, str],
    partners: tuple[str, ...],
    last_login: datetime | None,
) -> UserRow:
    return UserRow(
        id=PersonId(row.id),
        kind=row.kind,
        display_name=row.display_name,
        user_name=row.local_user_name,
        email=row.sign_in_address,
        email_verified=row.address_verified_at is not None,
        status=row.status,
        causes=tuple(row.causes),
        primary_role=row.primary_role,
        roles=tuple(row.roles),
        has_seat=row.has_seat,
        approved=row.approved,
        partners=partners,
        accepted=row.accepted,
        team=_named(row.team_id, names),
        projects=_projects(held),
        licences=tuple(
            dict.fromkeys(Named(each.target, each.name) for each in held if each.kind == "licence")
        ),
        source=_named(row.owner_source_id, names),
        created_at=row.created_at,
        created_by=row.created_by,
        changed_at=row.changed_at,
        owner=owner_of(row),
        expires_at=row.expires_at,
        deleted_at=row.deleted_at,
        last_login_at=last_login,
    )


def owner_of(row: Row[Any]) -> str | None:
    """Who answers for a service account; of a person None."""
    return row.profile.get("owner") if row.kind == "service" else None


def _named(thing_id: str | None, names: Mapping[str, str]) -> Named | None:
    return Named(thing_id, names.get(thing_id, "")) if thing_id else None


def _projects(held: Sequence[_Held]) -> tuple[InProject, ...]:
    """Several grants of one project are one line."""
    mine = [each for each in held if each.kind == "project"]
    names = {each.target: each.name for each in mine}
    roles = strongest((each.target, each.project_role) for each in mine)
    return tuple(InProject(project, names[project], role) for project, role in roles.items())


class _Held(NamedTuple):
    kind: str
    target: str
    project_role: str | None
    name: str


def _held(conn: Connection, org_id: OrgId, ids: Sequence[str]) -> Mapping[str, list[_Held]]:
    """Live grants of projects and licences with their names, by person, in the order of names."""
    # By person, and only then by kind: a database that knew no better would pass over all grants of a kind.
    query = select(_g.person_id, _g.kind, _g.target, _g.project_role, _g.dormant).where(
        _g.org_id == org_id, among(conn, _g.person_id, ids), _g.until.is_(None)
    )
    rows = [row for row in conn.execute(query) if row.kind in _LISTED and not row.dormant]
    names: dict[str, str] = {}
    for kind, table in _LISTED.items():
        names |= _names(conn, org_id, table, {row.target for row in rows if row.kind == kind})
    found: dict[str, list[_Held]] = defaultdict(list)
    for row in rows:
        if row.target in names:
            found[row.person_id].append(_Held(row.kind, row.target, row.project_role, names[row.target]))
    for each in found.values():
        each.sort(key=lambda held: (fold(held.name), held.target))
    return found


_LISTED: Mapping[str, Table] = {"project": projects, "licence": licences}


def _last_logins(conn: Connection, org_id: OrgId, ids: Sequence[str]) -> Mapping[str, datetime]:
    query = (
        select(sessions.c.person_id, func.max(sessions.c.started_at).label("at"))
        .where(sessions.c.org_id == org_id, among(conn, sessions.c.person_id, ids))
        .group_by(sessions.c.person_id)
    )
    return {row.person_id: row.at for row in conn.execute(query)}


def _names(conn: Connection, org_id: OrgId, table: Any, ids: set[str]) -> dict[str, str]:
    if not ids:
        return {}
    query = select(table.c.id, table.c.name).where(table.c.org_id == org_id, among(conn, table.c.id, ids))
    return {row.id: row.name for row in conn.execute(query)}
