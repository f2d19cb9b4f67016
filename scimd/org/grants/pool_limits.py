"""Limits of projects and licences: set, changed and lifted, and the columns that show them.

Giving what is limited stands in ``org.grants.pools``.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, Table, func, literal, select, update

from scimd.core.errors import InvalidValue
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId
from scimd.core.standing import Thing
from scimd.db.locks import lock_rows
from scimd.db.tables import grants, licences, pools, projects, slots
from scimd.org.generation import bump
from scimd.org.settling import unsettled
from scimd.org.tx import Tx

Kind = Literal["project", "licence"]
LIMIT_AT_MOST = 2**31 - 1
_p, _s, _g = pools.c, slots.c, grants.c


def write(tx: Tx, kind: Kind, target: str, limit: int | None) -> None:
    """Let at most so many people have it; None lifts the limit. The same limit again changes nothing.

    A limit below what is used takes it from nobody: it is only given to nobody else. Those who wait
    are let in as far as a higher one reaches. Whoever calls has asked who may. Raises InvalidValue.
    """
    if limit is not None and not 0 <= limit <= LIMIT_AT_MOST:
        raise InvalidValue("limit", f"must be a whole number from 0 to {LIMIT_AT_MOST}, or null for none")
    name = name_of(tx, (kind, target))
    was = _limit(tx, (kind, target))
    if limit == was:
        return
    if limit is None:
        drop(tx, (kind, target))
    elif was is None:
        _begin(tx, (kind, target), limit)
    else:
        tx.conn.execute(update(pools).where(_this(pools, tx.org_id, (kind, target))).values(pool_limit=limit))
        tx.seats_owed = tx.seats_owed or limit > was
    before, after = {"name": name, "limit": was}, {"name": name, "limit": limit}
    tx.record(Event(EventKind(f"{kind}.limit_changed"), kind, target, before, after))


def name_of(tx: Tx, thing: Thing) -> str:
    """What the project or licence is called."""
    table = projects if thing[0] == "project" else licences
    query = select(table.c.name).where(table.c.org_id == tx.org_id, table.c.id == thing[1])
    return str(tx.conn.execute(query).scalar_one())


def _limit(tx: Tx, thing: Thing) -> int | None:
    rows = lock_rows(tx.conn, select(pools).where(_this(pools, tx.org_id, thing)))
    return rows[0].pool_limit if rows else None


def _begin(tx: Tx, thing: Thing, limit: int) -> None:
    """Whoever has it holds a slot, whether or not there are so many."""
    kind, target = thing
    key = (literal(tx.org_id, _s.org_id.type), literal(kind, _s.kind.type), literal(target, _s.target.type))
    holders = (
        select(*key, _g.person_id, literal(True), literal(tx.now, _s.since.type), literal("", _s.place.type))
        .distinct()
        .where(
            _g.org_id == tx.org_id,
            _g.kind == kind,
            _g.target == target,
            _g.until.is_(None),
            _g.dormant.is_(False),
        )
    )
    names = ["org_id", "kind", "target", "person_id", "held", "since", "place"]
    # Otherwise SQLAlchemy reads no rowcount of an INSERT on PostgreSQL and says -1.
    insert = slots.insert().from_select(names, holders).execution_options(preserve_rowcount=True)
    used = tx.conn.execute(insert).rowcount
    row = {"org_id": tx.org_id, "kind": kind, "target": target, "pool_limit": limit, "used": used}
    tx.conn.execute(pools.insert().values(row))
    _settle(tx, thing)


def drop(tx: Tx, thing: Thing) -> None:
    """No limit any more: whoever waited has it."""
    for table in (slots, pools):
        tx.conn.execute(table.delete().where(_this(table, tx.org_id, thing)))
    _settle(tx, thing)


def _settle(tx: Tx, thing: Thing) -> None:
    """What is limited is wanted by fewer than what is not, and waited for."""
    bump(tx)
    unsettled.mark_holders(tx, *thing)


def _this(table: Table, org_id: OrgId, thing: Thing) -> ColumnElement[bool]:
    return (table.c.org_id == org_id) & (table.c.kind == thing[0]) & (table.c.target == thing[1])


# ------------------------------------------------------------------------------ figures


def limit_of(kind: Kind, table: Table) -> ColumnElement[Any]:
    """The limit of each row of ``projects`` or ``licences``, as a column of a query on it."""
    mine = (_p.org_id == table.c.org_id) & (_p.kind == kind) & (_p.target == table.c.id)
    found: ColumnElement[Any] = select(_p.pool_limit).where(mine).correlate(table).scalar_subquery()
    return found


def waiting_for(kind: Kind, table: Table) -> ColumnElement[int]:
    """How many people wait for each."""
    mine = (_s.org_id == table.c.org_id) & (_s.kind == kind) & (_s.target == table.c.id) & _s.held.is_(False)
    return select(func.count()).select_from(slots).where(mine).correlate(table).scalar_subquery()


def is_waiting(kind: Kind, grant: Any) -> ColumnElement[bool]:
    """Whether the person of each row of ``grants`` waits for what the grant gives."""
    mine = (_s.org_id == grant.org_id) & (_s.kind == kind) & (_s.target == grant.target)
    return select(slots).where(mine, _s.person_id == grant.person_id, _s.held.is_(False)).exists()


def waiters(org_id: OrgId, target: str) -> Select[Any]:
    """The ids of those who wait for this project or licence."""
    return select(_s.person_id).where(_s.org_id == org_id, _s.target == target, _s.held.is_(False))
