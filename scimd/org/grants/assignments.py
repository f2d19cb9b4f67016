"""What a hand gives to people and takes from them: roles, projects, teams, licences.

A source takes only what it gave, and so does a hand: what a rule gives is refused with the source's
name, for it would come back at the next look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from sqlalchemy import Row, select

from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, OwnedBySource
from scimd.core.people import LicenceId, PersonId, ProjectId, RoleName, TeamId
from scimd.core.roles import MEMBER, USER, EffectKind, OrgRole
from scimd.core.standing import CauseKind, kinds_of
from scimd.db.engine import LostRace
from scimd.db.tables import grants, licences, people, projects, teams
from scimd.org import permissions
from scimd.org.grants import manual_grants
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand

# ------------------------------------------------------------------------------ roles


async def set_role(door: Door, ctx: Context, person_id: PersonId, role: RoleName) -> None:
    """Make this the person's role by hand, in place of all others that a hand gave.

    A role that is given by hand is the primary one. Raises InvalidValue for a role that does not
    exist, Forbidden where the caller lacks one of its permissions, OwnedBySource where a rule gives
    a role that would stay, OwnAccount, Protected for the last Account Admin, and NotAllowedNow where
    the role needs a project and they would be without any.
    """

    def body(tx: Tx) -> None:
        _role_to_give(tx, role)
        held = _by_hand(tx, person_id, "role")
        if role == USER:
            _no_rule_gives(tx, person_id, "role", apart_from=USER)
        if held or role != USER:
            manual_grants.end(tx, held)
            _give(tx, person_id, "role", role)

    await _change_roles(door, ctx, person_id, body)


async def add_role(door: Door, ctx: Context, person_id: PersonId, role: RoleName) -> None:
    """Add a role to the set; one that is there already by hand changes nothing. Raises as ``set_role``."""

    def body(tx: Tx) -> None:
        _role_to_give(tx, role)
        if not _by_hand(tx, person_id, "role", role):
            _give(tx, person_id, "role", role)

    await _change_roles(door, ctx, person_id, body)


async def remove_role(door: Door, ctx: Context, person_id: PersonId, role: RoleName) -> None:
    """Take away a role that a hand gave. Raises NotFound, OwnedBySource, and as ``set_role``."""
    await _change_roles(door, ctx, person_id, lambda tx: _take_back(tx, person_id, "role", role))


async def _change_roles(door: Door, ctx: Context, person_id: PersonId, change: Callable[[Tx], None]) -> None:
    """Nobody is left without the project that they need (P3), unless they were before."""
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> bool:
        lacked = CauseKind.NO_PROJECT in kinds_of(by_hand.person(tx, person_id).causes)
        by_hand.not_oneself(tx, person_id, "change the roles of")
        by_hand.makes_no_operator(tx.conn, tx.ctx)
        by_hand.wants_seat(tx, person_id)
        change(tx)
        return lacked

    def then(tx: Tx, lacked: bool) -> bool:
        if not lacked:
            needs_project(tx, person_id)
        return lacked

    await door.run(ctx, body, then=then)


def _role_to_give(tx: Tx, role: RoleName) -> OrgRole:
    found = tx.book.rules.roles.get(role)
    if found is None:
        known = ", ".join(sorted(tx.book.rules.roles))
        raise InvalidValue("role", f"there is no role {role!r} here; there are {known}")
    by_hand.must_hold(tx.ctx, found)
    if not manual_grants.is_there(tx, "role", role):
        raise LostRace  # deleted since the book was read
    return found


# ------------------------------------------------------------------------------ projects


async def set_project(
    door: Door, ctx: Context, person_id: PersonId, project_id: ProjectId, role: RoleName = MEMBER
) -> None:
    """Let the person take part in the project, in this project role by hand.

    A stronger role that a group gives still wins. Raises NotFound, InvalidValue, and PoolLimitReached
    where as many take part as may.
    """
    permissions.require(ctx, "projects.manage")

    def body(tx: Tx) -> None:
        by_hand.person(tx, person_id)
        _must_be_open(tx, project_id)
        _known_project_role(tx, role, "role")
        by_hand.wants_seat(tx, person_id)
        held = _by_hand(tx, person_id, "project", project_id)
        if [row.project_role for row in held] != [role]:
            manual_grants.end(tx, held)
            _give(tx, person_id, "project", project_id, role)

    await door.run(ctx, body)


async def remove_project(door: Door, ctx: Context, person_id: PersonId, project_id: ProjectId) -> None:
    """Take the person out of a project into which a hand put them.

    Raises NotFound, OwnedBySource where a group gives it, and NotAllowedNow where it is the last one
    of somebody whose role needs one (P3).
    """
    permissions.require(ctx, "projects.manage")

    def body(tx: Tx) -> None:
        row = by_hand.person(tx, person_id)
        _take_back(tx, person_id, "project", project_id)
        _keeps_a_project(tx, row)

    await door.run(ctx, body)


def _known_project_role(tx: Tx, role: RoleName, field: str = "projects") -> None:
    """Raises InvalidValue for the ``field`` that names it."""
    if role not in tx.book.rules.project_ranks:
        known = ", ".join(tx.book.rules.project_ranks)
        raise InvalidValue(field, f"there is no project role {role!r}; there are {known}")


def _keeps_a_project(tx: Tx, row: Row[Any]) -> None:
    role = tx.book.rules.roles.get(RoleName(row.primary_role))
    if role is None or not role.may_hold_projects:
        return
    query = select(grants.c.id).where(_open(tx, PersonId(row.id), "project"), grants.c.origin != "default")
    if tx.conn.execute(query).first() is None:
        raise NotAllowedNow(
            f"{row.display_name} has the role {role.label}, which takes part in at least one project. "
            "Add another project first."
        )


# ------------------------------------------------------------------------------ team, licences


async def set_team(door: Door, ctx: Context, person_id: PersonId, team_id: TeamId | None) -> None:
    """Put the person into this team by hand; None takes away what a hand gave, and rules decide."""
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> None:
        by_hand.person(tx, person_id)
        held = _by_hand(tx, person_id, "team")
        if team_id is not None:
            _must_exist(tx, "team", team_id)
        if [row.target for row in held] == ([team_id] if team_id else []):
            return
        manual_grants.end(tx, held)
        if team_id is not None:
            _give(tx, person_id, "team", team_id)

    await door.run(ctx, body)


async def give_licence(door: Door, ctx: Context, person_id: PersonId, licence_id: LicenceId) -> None:
    """Give a licence by hand; one that is there by hand already changes nothing.

    Raises NotFound, and PoolLimitReached where as many have it as may.
    """
    permissions.require(ctx, "seats.manage")

    def body(tx: Tx) -> None:
        by_hand.person(tx, person_id)
        _must_exist(tx, "licence", licence_id)
        by_hand.wants_seat(tx, person_id)
        if not _by_hand(tx, person_id, "licence", licence_id):
            _give(tx, person_id, "licence", licence_id)

    await door.run(ctx, body)


async def take_licence(door: Door, ctx: Context, person_id: PersonId, licence_id: LicenceId) -> None:
    """Take back a licence that a hand gave. Raises NotFound, OwnedBySource."""
    permissions.require(ctx, "seats.manage")

    def body(tx: Tx) -> None:
        by_hand.person(tx, person_id)
        _take_back(tx, person_id, "licence", licence_id)

    await door.run(ctx, body)


# ------------------------------------------------------------------------------ somebody new


def assign_new(
    tx: Tx,
    person_id: PersonId,
    role: RoleName,
    wanted: Mapping[ProjectId, RoleName] | None,
    team_id: TeamId | None,
) -> None:
    """What somebody whom a hand adds begins with. Raises InvalidValue, NotFound, Forbidden."""
    if role != USER:
        _role_to_give(tx, role)
        _give(tx, person_id, "role", role)
    for project_id, project_role in (wanted or {}).items():
        _must_be_open(tx, project_id)
        _known_project_role(tx, project_role)
        _give(tx, person_id, "project", project_id, project_role)
    if team_id is not None:
        _must_exist(tx, "team", team_id)
        _give(tx, person_id, "team", team_id)


def assign_more(
    tx: Tx,
    person_id: PersonId,
    role: RoleName,
    wanted: Mapping[ProjectId, RoleName] | None,
    team_id: TeamId | None,
) -> None:
    """What somebody who is invited again shall have, beside what they had by hand."""
    if role == USER or _by_hand(tx, person_id, "role", role):
        role = USER
    held = {row.target for row in _by_hand(tx, person_id, "project")}
    more = {key: value for key, value in (wanted or {}).items() if key not in held}
    teams_held = _by_hand(tx, person_id, "team")
    if team_id is not None and [row.target for row in teams_held] != [team_id]:
        manual_grants.end(tx, teams_held)
    elif teams_held:
        team_id = None
    assign_new(tx, person_id, role, more, team_id)


def assign_instead(
    tx: Tx, person_id: PersonId, role: RoleName | None, wanted: Mapping[ProjectId, RoleName] | None
) -> None:
    """Role and projects of an invitation that is edited, in place of those by hand; None stays."""
    if role is not None:
        manual_grants.end(tx, _by_hand(tx, person_id, "role"))
    if wanted is not None:
        manual_grants.end(tx, _by_hand(tx, person_id, "project"))
    assign_new(tx, person_id, role or USER, wanted, None)


def needs_project(tx: Tx, person_id: PersonId) -> None:
    """Raise NotAllowedNow for somebody who was settled without the project that their role needs (P3)."""
    query = select(people.c.causes, people.c.display_name)
    row = tx.conn.execute(query.where(people.c.org_id == tx.org_id, people.c.id == person_id)).one()
    if CauseKind.NO_PROJECT in kinds_of(row.causes):
        raise lacks_project(row.display_name)


def lacks_project(name: str) -> NotAllowedNow:
    return NotAllowedNow(f"{name} takes part in at least one project. Give them one.")


# ------------------------------------------------------------------------------ grants


def _open(tx: Tx, person_id: PersonId, kind: EffectKind) -> Any:
    column = grants.c
    return (
        (column.org_id == tx.org_id)
        & (column.person_id == person_id)
        & (column.kind == kind)
        & column.until.is_(None)
    )


def _by_hand(tx: Tx, person_id: PersonId, kind: EffectKind, target: str | None = None) -> list[Row[Any]]:
    query = select(grants).where(_open(tx, person_id, kind), grants.c.origin == "manual")
    if target is not None:
        query = query.where(grants.c.target == target)
    return list(tx.conn.execute(query))


def _give(
    tx: Tx, person_id: PersonId, kind: EffectKind, target: str, project_role: RoleName | None = None
) -> None:
    manual_grants.give(tx, person_id, kind, target, tx.ctx.actor.name, project_role)


def _take_back(tx: Tx, person_id: PersonId, kind: EffectKind, target: str) -> None:
    held = _by_hand(tx, person_id, kind, target)
    if not held:
        _no_rule_gives(tx, person_id, kind, target)
        raise NotFound(kind, target, _has_none(tx, person_id, kind, target))
    manual_grants.end(tx, held)


def _has_none(tx: Tx, person_id: PersonId, kind: EffectKind, target: str) -> str:
    """Why it cannot be taken, in a sentence: no hand gave it. Empty where there is no such thing."""
    name = _name_of(tx, kind, target)
    if name is None:
        return ""
    mine = (people.c.org_id == tx.org_id) & (people.c.id == person_id)
    who = tx.conn.execute(select(people.c.display_name).where(mine)).scalar_one()
    if kind != "project":
        return f"{who} does not have the {kind} {name!r}."
    by_default = select(grants.c.id).where(_open(tx, person_id, kind), grants.c.target == target)
    if tx.conn.execute(by_default).first() is not None:
        return f"{who} takes part in {name!r} only by default, while nothing else gives them a project."
    return f"{who} does not take part in {name!r}."


def _name_of(tx: Tx, kind: EffectKind, target: str) -> str | None:
    """What a hand calls it; None where it is not there."""
    if kind == "role":
        role = tx.book.rules.roles.get(RoleName(target))
        return None if role is None else role.label
    table = {"project": projects, "team": teams, "licence": licences}[kind]
    name: str | None = tx.conn.execute(
        select(table.c.name).where(table.c.org_id == tx.org_id, table.c.id == target)
    ).scalar()
    return name


def _no_rule_gives(
    tx: Tx, person_id: PersonId, kind: EffectKind, target: str | None = None, apart_from: str = ""
) -> None:
    """Raise OwnedBySource where a source's rule gives it."""
    query = select(grants.c.target, grants.c.source_id).where(
        _open(tx, person_id, kind), grants.c.origin == "group", grants.c.target != apart_from
    )
    if target is not None:
        query = query.where(grants.c.target == target)
    row = tx.conn.execute(query).first()
    if row is not None:
        name = _name_of(tx, kind, row.target) or row.target
        raise OwnedBySource(f"The {kind} {name!r}", by_hand.source_name(tx, row.source_id))


def _must_exist(tx: Tx, kind: Literal["team", "licence"], target: str) -> None:
    if not manual_grants.is_there(tx, kind, target):
        raise NotFound(kind, target)


def _must_be_open(tx: Tx, project_id: ProjectId) -> None:
    """Raises NotFound for a project that is not there, or archived; none is ever deleted."""
    query = select(projects.c.id).where(
        projects.c.org_id == tx.org_id, projects.c.id == project_id, projects.c.archived_at.is_(None)
    )
    if tx.conn.execute(query).first() is None:
        raise NotFound("project", project_id)
