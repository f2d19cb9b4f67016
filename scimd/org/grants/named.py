"""Teams and licences: things with a name that people are given, by rules or by hand.

A rule that names one which is not there makes it; a hand makes, renames and deletes it as well. What
anybody has, or a group's rule gives, is not deleted under them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Select, Table, select, union_all, update

from scimd.core.errors import NotAllowedNow, NotFound, NotUnique
from scimd.core.events import Event, EventKind
from scimd.core.people import UNSET, LicenceId, OrgId, TeamId, Unset, fold
from scimd.core.roles import EffectKind
from scimd.core.words import counted, proper_name
from scimd.db.locks import hold_row, lock_row
from scimd.db.tables import grants, group_effects, licences, people, teams, value_effects
from scimd.org import permissions
from scimd.org.grants import catalogue_reads, manual_grants, pool_limits
from scimd.org.tx import Context, Door, Tx

Kind = Literal["team", "licence"]
_NAMED = 3  # people in a refusal
_TABLES: dict[Kind, Table] = {"team": teams, "licence": licences}
_NEEDS: dict[Kind, str] = {"team": "users.manage", "licence": "seats.manage"}


@dataclass(frozen=True, slots=True)
class NamedRecord:
    """``people``: how many have it now, or would if it were not dormant; nobody who was deleted, or whose
    invitation is over.

    Of a licence: ``used`` have it now, of ``limit`` (None: no limit); ``waiting`` wait for one.
    """

    id: str
    name: str
    people: int
    created_at: datetime
    used: int = 0
    limit: int | None = None
    waiting: int = 0


# ------------------------------------------------------------------------------ by rules


def team_named(tx: Tx, name: str) -> TeamId:
    """The team of that name, made where there is none."""
    return TeamId(_named(tx, "team", name))


def licence_named(tx: Tx, name: str) -> LicenceId:
    """The licence of that name, made where there is none."""
    return LicenceId(_named(tx, "licence", name))


def _named(tx: Tx, kind: Kind, name: str) -> str:
    return hold_row(tx.conn, _called(tx, kind, name)) or _make(tx, kind, name)


def _find(tx: Tx, kind: Kind, name: str) -> str | None:
    found: str | None = tx.conn.execute(_called(tx, kind, name)).scalar()
    return found


def _called(tx: Tx, kind: Kind, name: str) -> Select[Any]:
    table = _TABLES[kind]
    return select(table.c.id).where(table.c.org_id == tx.org_id, table.c.name_key == fold(name))


def _make(tx: Tx, kind: Kind, name: str) -> str:
    new = tx.new_id()
    row = {"org_id": tx.org_id, "id": new, "name": name, "name_key": fold(name), "created_at": tx.now}
    tx.conn.execute(_TABLES[kind].insert().values(row))
    tx.record(Event(EventKind(f"{kind}.created"), kind, new, after={"name": name}))
    return new


# ------------------------------------------------------------------------------ by hand


async def create(door: Door, ctx: Context, kind: Kind, name: str, limit: int | None = None) -> NamedRecord:
    """Make one by hand; of a licence ``limit`` people at most have it.

    Raises Forbidden, InvalidValue, NotUnique.
    """
    permissions.require(ctx, _NEEDS[kind])
    name = proper_name(name, "name")

    def body(tx: Tx) -> NamedRecord:
        _must_be_free(tx, kind, name)
        made = _make(tx, kind, name)
        if kind == "licence":
            pool_limits.write(tx, kind, made, limit)
        return _get(tx.conn, tx.org_id, kind, made)

    return await door.run(ctx, body)


def _must_be_free(tx: Tx, kind: Kind, name: str, but: str = "") -> None:
    if _find(tx, kind, name) not in (None, but):
        raise NotUnique("name", name)


async def rename(
    door: Door,
    ctx: Context,
    kind: Kind,
    thing_id: str,
    name: str,
    check: Callable[[NamedRecord], None] | None = None,
) -> NamedRecord:
    """As ``change``, of the name alone."""
    return await change(door, ctx, kind, thing_id, name=name, check=check)


async def change(
    door: Door,
    ctx: Context,
    kind: Kind,
    thing_id: str,
    *,
    name: str | Unset = UNSET,
    limit: int | Unset | None = UNSET,
    check: Callable[[NamedRecord], None] | None = None,
) -> NamedRecord:
    """Give it another name, or a licence another limit (None: none); UNSET stays.

    Rules that name it make a new one of the old name. Raises as ``create``, NotFound, and what ``check``
    raises of the thing as it is.
    """
    permissions.require(ctx, _NEEDS[kind])
    wanted = name if isinstance(name, Unset) else proper_name(name, "name")

    def body(tx: Tx) -> NamedRecord:
        lock_row(tx.conn, _TABLES[kind], org_id=tx.org_id, id=thing_id)
        was = _get(tx.conn, tx.org_id, kind, thing_id)
        if check is not None:
            check(was)
        if not isinstance(wanted, Unset):
            _rename(tx, kind, was, wanted)
        if kind == "licence" and not isinstance(limit, Unset):
            pool_limits.write(tx, kind, thing_id, limit)
        return _get(tx.conn, tx.org_id, kind, thing_id)

    return await door.run(ctx, body)


def _rename(tx: Tx, kind: Kind, was: NamedRecord, name: str) -> None:
    _must_be_free(tx, kind, name, but=was.id)
    if was.name != name:
        tx.conn.execute(
            update(_TABLES[kind])
            .where(_TABLES[kind].c.org_id == tx.org_id, _TABLES[kind].c.id == was.id)
            .values(name=name, name_key=fold(name))
        )
        tx.record(Event(EventKind(f"{kind}.renamed"), kind, was.id, {"name": was.name}, {"name": name}))


async def delete(door: Door, ctx: Context, kind: Kind, thing_id: str) -> None:
    """Delete what nobody has. Raises NotAllowedNow with who has it, or which rule gives it."""
    permissions.require(ctx, _NEEDS[kind])

    def body(tx: Tx) -> None:
        lock_row(tx.conn, _TABLES[kind], goes=True, org_id=tx.org_id, id=thing_id)
        was = _get(tx.conn, tx.org_id, kind, thing_id)
        if was.people:
            having = counted(was.people, "person has", "people have")
            who = names_of_holders(tx, kind, thing_id)
            raise NotAllowedNow(f"{having} the {kind} {was.name!r}: {who}. Take it from them first.")
        by_rule = (
            select(given.c.rule).where(
                given.c.org_id == tx.org_id, given.c.kind == kind, given.c.target == thing_id
            )
            for given in (group_effects, value_effects)
        )
        rule = tx.conn.execute(union_all(*by_rule)).scalar()
        if rule is not None:
            raise NotAllowedNow(f"Rule {rule} gives the {kind} {was.name!r}. Change the rule first.")
        take_from_the_unlisted(tx, kind, thing_id)
        if was.limit is not None:
            pool_limits.drop(tx, (kind, thing_id))
        table = _TABLES[kind]
        tx.conn.execute(table.delete().where(table.c.org_id == tx.org_id, table.c.id == thing_id))
        tx.record(Event(EventKind(f"{kind}.deleted"), kind, thing_id, before={"name": was.name}))

    await door.run(ctx, body)


def names_of_holders(tx: Tx, kind: EffectKind, target: str) -> str:
    """Some of those who have it, also with whom it rests, who are in no list of it."""
    query = (
        catalogue_reads.holders(people.c.display_name, kind, tx.org_id, target)
        .distinct()
        .order_by(people.c.display_name)
        .limit(_NAMED + 1)
    )
    names = list(tx.conn.execute(query).scalars())
    return ", ".join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")


def take_from_the_unlisted(tx: Tx, kind: EffectKind, target: str) -> None:
    """What nobody has but who was deleted, or let their invitation lapse, goes: they come back without it."""
    theirs = select(grants).where(
        grants.c.org_id == tx.org_id,
        grants.c.kind == kind,
        grants.c.target == target,
        grants.c.until.is_(None),
    )
    manual_grants.end(tx, tx.conn.execute(theirs).all())


# ------------------------------------------------------------------------------ reads


def _query(org_id: OrgId, kind: Kind) -> Any:
    table = _TABLES[kind]
    held = catalogue_reads.holders(catalogue_reads.HOW_MANY, kind, table.c.org_id, table.c.id)
    query = select(
        table.c.id,
        table.c.name,
        table.c.created_at,
        held.scalar_subquery().label("people"),
        held.where(grants.c.dormant.is_(False)).scalar_subquery().label("used"),
    )
    if kind == "licence":
        query = query.add_columns(
            pool_limits.limit_of(kind, table).label("limit"),
            pool_limits.waiting_for(kind, table).label("waiting"),
        )
    return query.where(table.c.org_id == org_id)


def _record(row: Any) -> NamedRecord:
    found = NamedRecord(row.id, row.name, row.people, row.created_at, row.used)
    return replace(found, limit=row.limit, waiting=row.waiting) if hasattr(row, "limit") else found


def _get(conn: Connection, org_id: OrgId, kind: Kind, thing_id: str) -> NamedRecord:
    row = conn.execute(_query(org_id, kind).where(_TABLES[kind].c.id == thing_id)).first()
    if row is None:
        raise NotFound(kind, thing_id)
    return _record(row)


async def list_all(door: Door, org_id: OrgId, kind: Kind) -> list[NamedRecord]:
    """All of the organization, by name."""
    query = _query(org_id, kind).order_by(_TABLES[kind].c.name_key)
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


async def by_name(door: Door, org_id: OrgId, kind: Kind, name_or_id: str) -> NamedRecord:
    """One by its name, whatever the case, or its id. Raises NotFound."""
    table = _TABLES[kind]
    query = _query(org_id, kind).where((table.c.name_key == fold(name_or_id)) | (table.c.id == name_or_id))
    row = await door.read(lambda conn: conn.execute(query).first())
    if row is None:
        raise NotFound(kind, name_or_id)
    return _record(row)
