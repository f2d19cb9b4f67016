"""Giving slots of projects and licences that are limited: a step of settling, under the pools' locks.

After people and before seats (docs/decisions/0035). Who holds a slot, and who waits for one, is a row;
the pool's count is written in the same transaction, and the database refuses it above the limit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, select, update

from scimd.core import pools as rules
from scimd.core import seats
from scimd.core.errors import PoolLimitReached
from scimd.core.people import OrgId, PersonId
from scimd.core.seats import Claim, Policy, Pool, Waiter
from scimd.core.standing import Facts, Standing, Thing
from scimd.db.among import among, one_of
from scimd.db.engine import LostRace
from scimd.db.prepared import Locking, Prepared
from scimd.db.tables import grants, pools, slots
from scimd.org.grants import pool_limits
from scimd.org.settling.facts import Loaded
from scimd.org.tx import Actor, Context, Door, Tx

_p, _s, _g = pools.c, slots.c, grants.c
_LOCKED = Locking(
    select(_p.kind, _p.target, _p.pool_limit, _p.used)
    .where(_p.org_id == bindparam("org_id"), one_of(_p.target))
    .order_by(_p.kind, _p.target)
)
_USED = Prepared(
    update(pools)
    .where(
        _p.org_id == bindparam("_org_id"), _p.kind == bindparam("_kind"), _p.target == bindparam("_target")
    )
    .values(used=bindparam("_used"))
)
_of_one = (
    (_s.org_id == bindparam("_org_id"))
    & (_s.kind == bindparam("_kind"))
    & (_s.target == bindparam("_target"))
    & (_s.person_id == bindparam("_person_id"))
)
_INSERT, _FORGET = Prepared(slots.insert()), Prepared(slots.delete().where(_of_one))
_TAKE = Prepared(update(slots).where(_of_one).values(held=True, since=bindparam("_now")))
_QUEUE = Prepared(
    select(_s.person_id, _s.since)
    .where(
        _s.org_id == bindparam("org_id"),
        _s.kind == bindparam("kind"),
        _s.target == bindparam("target"),
        _s.held.is_(False),
    )
    .order_by(_s.since, _s.place, _s.person_id)
    .limit(bindparam("most", type_=Integer))
)


# ------------------------------------------------------------------------------ giving


@dataclass(slots=True)
class Settling:
    """People who are settled: as they are stored, and their facts and what follows from them by now.

    ``names``: how a refusal calls them.
    """

    loaded: Loaded
    facts: dict[PersonId, Facts]
    decided: dict[PersonId, Standing]
    names: Mapping[PersonId, str]


def allot(tx: Tx, people: Settling) -> None:
    """Give what is limited to those whose turn it is, and decide anew about them.

    Raises PoolLimitReached where a hand is to be refused rather than somebody left waiting.
    """
    if not tx.book.rules.limited:
        return
    _forget(tx, people)
    default: Thing = ("project", tx.book.rules.default_project or "")
    things = _moving(people, default)
    if things:
        tx.order_matters()
        found = _lock(tx, things)
        # Whoever is given another project leaves the default one, which therefore comes last.
        for thing in sorted(things, key=lambda each: (each == default, each)):
            _give(tx, thing, found[thing], people)
    _write(tx, people)


def _moving(people: Settling, default: Thing) -> set[Thing]:
    """What somebody wants and has not, or has and does not want; and what may move with it."""
    moving: set[Thing] = set()
    concerned: set[Thing] = set()
    for person_id, standing in people.decided.items():
        held = people.facts[person_id].slots
        moving |= standing.slots ^ held
        concerned |= standing.slots | held
    return moving | ({default} & concerned) if moving else moving


def _lock(tx: Tx, things: Collection[Thing]) -> Mapping[Thing, Pool]:
    targets = sorted(target for _, target in things)
    rows = _LOCKED.all(tx.beside, {"org_id": tx.org_id, "keys": targets})
    found = {(row.kind, row.target): Pool(row.pool_limit, row.used) for row in rows}
    if not found.keys() >= set(things):
        raise LostRace  # a limit was lifted since the book was read
    return found


def _give(tx: Tx, thing: Thing, pool: Pool, people: Settling) -> None:
    facts, decided = people.facts, people.decided
    freed = [each for each, known in facts.items() if thing in known.slots - decided[each].slots]
    wishing = {each for each, known in facts.items() if thing in decided[each].slots - known.slots}
    claims = [
        Claim(each, external_id=tx.places.get(each, ""), policy=_policy(tx, thing, each, people))
        for each in wishing
    ]
    queue = _longest_waiting(tx, thing, seats.free_seats(pool, len(freed)))
    allotment = seats.give(pool, len(freed), claims, queue)
    if allotment.refused:
        raise _refusal(tx, thing, pool, allotment.refused[0], people)
    promoted = wishing.intersection(allotment.promoted)
    tx.seats_owed = tx.seats_owed or len(promoted) < len(allotment.promoted)
    gained = promoted.union(allotment.seated)
    _count(tx, thing, pool, len(gained) - len(freed))
    for each in freed:
        facts[each] = replace(facts[each], slots=facts[each].slots - {thing})
    for each in gained:
        facts[each] = replace(facts[each], slots=facts[each].slots | {thing})
        decided[each] = tx.book.standing(facts[each])


def _policy(tx: Tx, thing: Thing, person_id: PersonId, people: Settling) -> Policy:
    """A hand that gives is told that there is none left; what a source or a rule gives waits."""
    asked = tx.seat_policy == "reject" and person_id in tx.refuse_without_seat
    if not asked or thing in people.loaded.waits.get(person_id, ()):
        return "hold"
    given = {(grant.kind, grant.target) for grant in people.facts[person_id].grants}
    fallen_back = {
        (grant.kind, grant.target)
        for grant in people.decided[person_id].grants
        if grant.origin.kind == "default"
    }
    return "reject" if thing in given | fallen_back else "hold"


def _refusal(tx: Tx, thing: Thing, pool: Pool, person_id: PersonId, people: Settling) -> PoolLimitReached:
    name = pool_limits.name_of(tx, thing)
    verb = "updated" if people.loaded.rows[person_id].rules_version else "created"
    return rules.refusal(pool, thing, name, people.names[person_id], verb)


def _longest_waiting(tx: Tx, thing: Thing, free: int | None) -> list[Waiter]:
    if not free:
        return []
    rows = _QUEUE.all(tx.beside, {"org_id": tx.org_id, "kind": thing[0], "target": thing[1], "most": free})
    return [Waiter(PersonId(row.person_id), row.since) for row in rows]


def _count(tx: Tx, thing: Thing, pool: Pool, more: int) -> None:
    if more:
        kind, target = thing
        _USED.post(
            tx.beside, {"_org_id": tx.org_id, "_kind": kind, "_target": target, "_used": pool.used + more}
        )


# ------------------------------------------------------------------------------ rows


def _forget(tx: Tx, people: Settling) -> None:
    """Those who want it no longer wait no longer, and take nobody's turn."""
    _FORGET.many(
        tx.beside,
        [
            _key(tx, thing, person_id)
            for person_id, waits in people.loaded.waits.items()
            for thing in waits - people.decided[person_id].slots
        ],
    )


def _write(tx: Tx, people: Settling) -> None:
    gone: list[dict[str, Any]] = []
    taken: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    for person_id, standing in people.decided.items():
        had, has = people.loaded.facts[person_id].slots, people.facts[person_id].slots
        waited: frozenset[Thing] = people.loaded.waits.get(person_id, frozenset())
        gone += [_key(tx, thing, person_id) for thing in (had | waited) - standing.slots]
        taken += [_key(tx, thing, person_id) | {"_now": tx.now} for thing in waited & has]
        new += [_row(tx, thing, person_id, thing in has) for thing in standing.slots - had - waited]
    _FORGET.many(tx.beside, gone)
    _TAKE.many(tx.beside, taken)
    _INSERT.many(tx.beside, new)


def hand_over(tx: Tx, from_id: PersonId, to_id: PersonId) -> None:
    """The one has what the other has: nobody who waits has a turn before whoever has it already."""
    mine = (_s.org_id == tx.org_id) & _s.held
    theirs = slots.alias()
    held_there = select(theirs.c.target).where(
        theirs.c.org_id == tx.org_id, theirs.c.person_id == to_id, theirs.c.held
    )
    targets = tx.conn.execute(
        select(_s.target).where(mine, _s.person_id == from_id, _s.target.not_in(held_there))
    )
    moving = among(tx.conn, _s.target, list(targets.scalars()))
    tx.conn.execute(slots.delete().where(_s.org_id == tx.org_id, _s.person_id == to_id, ~_s.held, moving))
    tx.conn.execute(update(slots).where(mine, _s.person_id == from_id, moving).values(person_id=to_id))


def _key(tx: Tx, thing: Thing, person_id: PersonId) -> dict[str, Any]:
    return {"_org_id": tx.org_id, "_kind": thing[0], "_target": thing[1], "_person_id": person_id}


def _row(tx: Tx, thing: Thing, person_id: PersonId, held: bool) -> dict[str, Any]:
    return {
        "org_id": tx.org_id,
        "kind": thing[0],
        "target": thing[1],
        "person_id": person_id,
        "held": held,
        "since": tx.now,
        "place": tx.places.get(person_id, ""),
    }


# ------------------------------------------------------------------------------ promotion


async def promote(door: Door, org_id: OrgId) -> int:
    """Settle those who wait longest for what is free; gives how many it settled."""
    ctx = Context(org_id, Actor("job", "pools", "pools"), "job", "pools")
    total, tried = 0, frozenset[PersonId]()
    while True:
        without = await door.read(partial(_without_slot, org_id=org_id, most=door.settings.settle_at_once))
        if without is None:
            return total
        turn = await door.run(ctx, partial(_settle_next, without=without))
        # The same people again: none of them could be helped, and those behind them have no turn.
        if not turn or turn == tried:
            return total
        total += len(turn)
        tried = turn


def _settle_next(tx: Tx, *, without: Sequence[PersonId]) -> frozenset[PersonId]:
    tx.promoting = True
    most = tx.settings.settle_at_once
    turn = list(without)
    query = select(_p.kind, _p.target, _p.pool_limit - _p.used).where(
        _p.org_id == tx.org_id, _p.used < _p.pool_limit
    )
    for kind, target, free in tx.conn.execute(query.order_by(_p.kind, _p.target)):
        turn += [each.person_id for each in _longest_waiting(tx, (kind, target), min(free, most))]
    found = frozenset(turn[:most])
    tx.touch(found)
    return found


def _without_slot(conn: Connection, *, org_id: OrgId, most: int) -> list[PersonId] | None:
    """Who was given something limited by a transaction that began before there was a limit.

    None where nothing is limited. By a reader: it looks at all who have what is, and no writer waits.
    """
    if conn.execute(select(_p.target).where(_p.org_id == org_id).limit(1)).first() is None:
        return None
    held = select(_s.person_id).where(
        _s.org_id == _g.org_id,
        _s.kind == _g.kind,
        _s.target == _g.target,
        _s.person_id == _g.person_id,
        _s.held,
    )
    query = (
        select(_g.person_id)
        .distinct()
        .join(pools, (_p.org_id == _g.org_id) & (_p.kind == _g.kind) & (_p.target == _g.target))
        .where(_g.org_id == org_id, _g.until.is_(None), _g.dormant.is_(False), ~held.exists())
        .limit(most)
    )
    return [PersonId(each) for each in conn.execute(query).scalars()]
