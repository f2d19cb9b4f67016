"""Settling that was put off: marks, and the job that works them off."""

from __future__ import annotations

import time
from collections.abc import Collection

from sqlalchemy import Integer, Select, bindparam, literal, select

from scimd.core.people import OrgId, PersonId
from scimd.core.roles import ACCOUNT_ADMIN, EffectKind
from scimd.db.among import among, one_of, rows_of
from scimd.db.locks import upsert
from scimd.db.prepared import Prepared
from scimd.db.tables import grants, unsettled
from scimd.org.pace import Pace
from scimd.org.tx import Actor, Context, Door, Tx

LEAVERS, JOINERS = 0, 1
#: So long one batch may keep SQLite's other writers waiting.
_HOLD_S = 0.01


def mark(tx: Tx, person_ids: Collection[PersonId]) -> None:
    """Mark people one by one known, leavers first; one statement per turn."""
    for turn, ids in ((LEAVERS, tx.leaving), (JOINERS, set(person_ids) - tx.leaving)):
        if ids:
            mark_all(tx, rows_of(tx.conn, sorted(ids)), turn)


def mark_all(tx: Tx, person_ids: Select[tuple[str]], turn: int) -> None:
    """Mark everybody whom the select gives, by one statement."""
    ids = person_ids.subquery()
    (column,) = ids.c
    rows = select(
        literal(tx.org_id, unsettled.c.org_id.type),
        column,
        literal(turn),
        literal(tx.now, unsettled.c.marked_at.type),
    ).where(literal(True))  # SQLite reads ON CONFLICT after a bare FROM as a join's ON
    names = ["org_id", "person_id", "turn", "marked_at"]
    # Not insert-or-leave: the job may be taking a mark that is there away, having read the facts
    # before this transaction's. Touching the row makes the two wait for each other. What this transaction
    # marked already needs no more: a group that is renamed and replaced is marked twice.
    statement = upsert(
        tx.conn,
        unsettled,
        key=["org_id", "person_id"],
        update=["marked_at"],
        where=unsettled.c.marked_at != tx.now,
    )
    tx.conn.execute(statement.from_select(names, rows))
    if turn == LEAVERS and (held := admins(tx)):
        query = select(unsettled.c.person_id).where(
            unsettled.c.org_id == tx.org_id,
            among(tx.conn, unsettled.c.person_id, held),
            unsettled.c.marked_at == tx.now,
        )
        tx.touch(PersonId(person_id) for person_id in tx.conn.execute(query).scalars())


def mark_holders(tx: Tx, kind: EffectKind, target: str) -> None:
    """Mark everybody who has this, dormant or not."""
    column = grants.c
    held = (column.org_id == tx.org_id) & (column.kind == kind) & (column.target == target)
    mark_all(tx, select(column.person_id).where(held, column.until.is_(None)).distinct(), LEAVERS)


def admins(tx: Tx) -> set[PersonId]:
    """Account Admins are settled at once, however many others wait: the call that would take the last
    one away is to be refused, not the job that finds out later."""
    column = grants.c
    query = select(column.person_id).where(
        column.org_id == tx.org_id,
        column.kind == "role",
        column.target == ACCOUNT_ADMIN,
        column.until.is_(None),
        column.dormant.is_(False),
    )
    return {PersonId(person_id) for person_id in tx.conn.execute(query).scalars()}


async def settle_marked(door: Door, org_id: OrgId, *, budget_s: float) -> int:
    """Settle marked people, leavers first, in small transactions until none is left or time is up."""
    ctx = Context(org_id, Actor("job", "settling", "settling"), "job", "settling")
    stop_at, total = time.monotonic() + budget_s, 0
    # A batch has to be settled at once, or it would only be marked again.
    pace = Pace(door, door.settings.settle_at_once, hold_s=_HOLD_S)
    while time.monotonic() < stop_at:
        wanted = pace.size
        count = await pace.run(ctx, lambda tx, wanted=wanted: _batch(tx, wanted))  # type: ignore[misc]
        total += count
        if count < wanted:
            break
        await door.db.give_way()
    return total


_u = unsettled.c
#: Whose turn it is.
NEXT = Prepared(
    select(_u.person_id)
    .where(_u.org_id == bindparam("org_id"))
    .order_by(_u.turn, _u.marked_at, _u.person_id)
    .limit(bindparam("most", type_=Integer))
)
_DONE = Prepared(unsettled.delete().where(_u.org_id == bindparam("org_id"), one_of(_u.person_id)))


def _batch(tx: Tx, size: int) -> int:
    ids = [PersonId(each) for each in NEXT.column(tx.conn, {"org_id": tx.org_id, "most": size})]
    if ids:
        tx.touch(ids)
        # Marks do not say what changed: their groups may have.
        tx.regrouped.update(ids)
        _DONE.post(tx.conn, {"org_id": tx.org_id, "keys": ids})
    return len(ids)
