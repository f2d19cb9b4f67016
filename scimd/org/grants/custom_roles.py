"""Roles of an organization's own: named sets of permissions beside the built-in ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, get_args

from sqlalchemy import Select, select, update

from scimd import config
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique, OwnAccount
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, RoleName
from scimd.core.roles import BUILT_IN, OrgRole, Permission
from scimd.core.words import counted, proper_name
from scimd.db.locks import lock_row
from scimd.db.tables import grants, roles, rules, sources
from scimd.org import permissions
from scimd.org.generation import bump
from scimd.org.grants import catalogue_reads, named
from scimd.org.settling import unsettled
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand

PERMISSIONS: tuple[str, ...] = get_args(Permission)


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """``people``: how many hold it now, live or dormant; nobody who was deleted."""

    name: RoleName
    label: str
    permissions: tuple[str, ...]
    may_hold_projects: bool
    built_in: bool
    people: int


async def list_roles(door: Door, org_id: OrgId) -> list[RoleRecord]:
    """All roles of the organization, by name."""
    query = _query(org_id).order_by(roles.c.name)
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


def _query(org_id: OrgId) -> Select[Any]:
    held = catalogue_reads.holders(catalogue_reads.HOW_MANY, "role", roles.c.org_id, roles.c.name)
    return select(roles, held.scalar_subquery().label("people")).where(roles.c.org_id == org_id)


async def get(door: Door, org_id: OrgId, name: RoleName) -> RoleRecord:
    """Raises NotFound."""
    for role in await list_roles(door, org_id):
        if role.name == name:
            return role
    raise NotFound("role", name)


def _record(row: Any) -> RoleRecord:
    return RoleRecord(
        RoleName(row.name),
        row.label,
        tuple(sorted(row.permissions)),
        row.may_hold_projects,
        row.built_in,
        row.people,
    )


async def create(door: Door, ctx: Context, role: OrgRole) -> None:
    """Make a role. Raises Forbidden for a permission that the caller lacks, InvalidValue, NotUnique."""
    permissions.require(ctx, "organization.manage")
    if not re.fullmatch(config.SLUG, role.name):
        raise InvalidValue("name", f"{role.name!r} is not made of small letters, digits and dashes")

    def body(tx: Tx) -> None:
        _check(tx, role)
        if role.name in tx.book.rules.roles:
            raise NotUnique("name", role.name)
        tx.conn.execute(
            roles.insert().values(org_id=tx.org_id, name=role.name, built_in=False, **_columns(role))
        )
        bump(tx)
        tx.record(Event(EventKind.ROLE_CREATED, "role", role.name, after=_columns(role)))

    await door.run(ctx, body)


async def change(
    door: Door, ctx: Context, role: OrgRole, check: Callable[[RoleRecord], None] | None = None
) -> None:
    """Change label, permissions or whether it may hold projects; it counts at everybody's next request.

    Raises NotFound, NotAllowedNow for a built-in role, Forbidden for a permission that the caller
    lacks, whether it is given or taken, OwnAccount for one that they would lose themselves; and what
    ``check`` raises of the role as it is.
    """
    permissions.require(ctx, "organization.manage")

    def body(tx: Tx) -> None:
        lock_row(tx.conn, roles, org_id=tx.org_id, name=role.name)
        was = _own(tx, role.name)
        if check is not None:
            (row,) = tx.conn.execute(_query(tx.org_id).where(roles.c.name == role.name))
            check(_record(row))
        by_hand.must_hold(tx.ctx, was)
        _check(tx, role)
        if was == role:
            return
        _keeps_ones_own(tx, was, role)
        _write(tx, role)
        bump(tx)
        # Their projects may fall dormant or wake, and another role may be their primary one.
        unsettled.mark_holders(tx, "role", role.name)
        tx.record(Event(EventKind.ROLE_CHANGED, "role", role.name, _columns(was), _columns(role)))

    await door.run(ctx, body)


async def delete(door: Door, ctx: Context, name: RoleName) -> None:
    """Delete a role that nobody holds, no rule gives and no source has as its ceiling.

    Raises NotFound, NotAllowedNow.
    """
    permissions.require(ctx, "organization.manage")

    def body(tx: Tx) -> None:
        lock_row(tx.conn, roles, goes=True, org_id=tx.org_id, name=name)
        was = _own(tx, name)
        by_hand.must_hold(tx.ctx, was)
        (row,) = tx.conn.execute(_query(tx.org_id).where(roles.c.name == name))
        if row.people:
            holding = counted(row.people, "person holds", "people hold")
            who = named.names_of_holders(tx, "role", name)
            raise NotAllowedNow(f"{holding} the role {name}: {who}. Give them another one first.")
        for rule in _rules_that_give(tx, name):
            raise NotAllowedNow(f"Rule {rule.number} gives the role {name}. Change the rule first.")
        for source in _sources_with_the_ceiling(tx, name):
            raise NotAllowedNow(
                f"The role {name} is the ceiling of the source {source}. Give that another one first."
            )
        named.take_from_the_unlisted(tx, "role", name)
        tx.conn.execute(roles.delete().where(roles.c.org_id == tx.org_id, roles.c.name == name))
        bump(tx)
        tx.record(Event(EventKind.ROLE_DELETED, "role", name, before=_columns(was)))

    await door.run(ctx, body)


def _keeps_ones_own(tx: Tx, was: OrgRole, role: OrgRole) -> None:
    """Raise OwnAccount where the caller has a permission by this role alone, and the change takes it."""
    lost = set(was.permissions - role.permissions)
    if tx.ctx.actor.kind != "person" or not lost:
        return
    column = grants.c
    mine = (column.org_id == tx.org_id) & (column.person_id == tx.ctx.actor.id) & column.until.is_(None)
    held = set(tx.conn.execute(select(column.target).where(mine, column.kind == "role")).scalars())
    for name in held - {role.name}:
        lost -= tx.book.rules.roles[RoleName(name)].permissions
    if lost and role.name in held:
        raise OwnAccount("demote")


def _check(tx: Tx, role: OrgRole) -> None:
    proper_name(role.label, "label")
    unknown = sorted(role.permissions - set(PERMISSIONS))
    if unknown:
        raise InvalidValue("permissions", f"there is no {unknown[0]!r}; there are {', '.join(PERMISSIONS)}")
    by_hand.must_hold(tx.ctx, role)


def _own(tx: Tx, name: RoleName) -> OrgRole:
    found = tx.book.rules.roles.get(name)
    if found is None:
        raise NotFound("role", name)
    if name in BUILT_IN:
        raise NotAllowedNow(f"The role {name} is built in. Make one of your own beside it.")
    return found


def _write(tx: Tx, role: OrgRole) -> None:
    mine = (roles.c.org_id == tx.org_id) & (roles.c.name == role.name)
    tx.conn.execute(update(roles).where(mine).values(**_columns(role)))


def _columns(role: OrgRole) -> dict[str, Any]:
    return {
        "label": role.label.strip(),
        "permissions": sorted(role.permissions),
        "may_hold_projects": role.may_hold_projects,
    }


def _rules_that_give(tx: Tx, name: RoleName) -> Collection[Any]:
    query = select(rules.c.number, rules.c.body).where(
        rules.c.org_id == tx.org_id, rules.c.until_generation.is_(None)
    )
    return [row for row in tx.conn.execute(query) if row.body.get("role") == name]


def _sources_with_the_ceiling(tx: Tx, name: RoleName) -> Collection[str]:
    column = sources.c
    query = select(column.name).where(
        column.org_id == tx.org_id, column.ceiling == name, column.ended_at.is_(None)
    )
    return tx.conn.execute(query.order_by(column.name)).scalars().all()
