"""Giving seats: the last step of settling, under the lock of the pool unless they are plenty."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, Select, bindparam, func, select, update
from sqlalchemy.exc import IntegrityError

from scimd import log
from scimd.core import seats
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId
from scimd.core.seats import Claim, Policy, Pool, PoolSeen, Waiter
from scimd.core.standing import Status
from scimd.db.among import among, one_of
from scimd.db.engine import LostRace, is_check_or_trigger
from scimd.db.locks import insert_ignore
from scimd.db.prepared import Locking, Prepared
from scimd.db.tables import people, seat_pools, waiting
from scimd.org.tx import Actor, Context, Door, Tx

logger = log.get(__name__)
_AT_ONCE = 200
#: More than are given at the same moment elsewhere.
_TO_SPARE = 1000
_pool: Select[Any] = select(seat_pools.c.seat_limit, seat_pools.c.used, seat_pools.c.allow_overage).where(
    seat_pools.c.org_id == bindparam("org_id")
)
_POOL, _LOCKED_POOL = Prepared(_pool), Locking(_pool)
_SEEN = Prepared(
    _pool.add_columns(
        select(waiting.c.person_id)
        .where(waiting.c.org_id == bindparam("org_id"))
        .exists()
        .label("waited_for")
    )
)
_USED = Prepared(
    update(seat_pools).where(seat_pools.c.org_id == bindparam("_org_id")).values(used=bindparam("_used"))
)
_TAKEN = Prepared(
    update(seat_pools)
    .where(seat_pools.c.org_id == bindparam("_org_id"))
    .values(used=seat_pools.c.used + bindparam("_n"))
)
_FORGET = Prepared(
    waiting.delete().where(waiting.c.org_id == bindparam("org_id"), one_of(waiting.c.person_id))
)
_QUEUE = Prepared(
    select(waiting.c.person_id, waiting.c.since)
    .where(waiting.c.org_id == bindparam("org_id"))
    .order_by(waiting.c.since, waiting.c.place, waiting.c.person_id)
    .limit(bindparam("most", type_=Integer))
)


@dataclass(frozen=True, slots=True)
class Seats:
    """Who of the settled people gets a seat now, and who starts to wait."""

    seated: frozenset[PersonId] = frozenset()
    waiting: frozenset[PersonId] = frozenset()


def allot(
    tx: Tx, wanting: Mapping[PersonId, str], freed: Collection[PersonId], content: Collection[PersonId]
) -> Seats:
    """Give seats to those of ``wanting`` (each with how a refusal would call them) whose turn it is.

    ``freed`` gave theirs back; ``content`` wait no longer, whether or not they did. Raises
    SeatLimitReached where somebody is to be refused rather than left waiting.
    """
    if not (wanting or freed):
        _forget(tx, content)
        return Seats()
    if not freed and _plenty(tx, len(wanting)):
        tx.seats_taken += len(wanting)
        _forget(tx, {*content, *wanting})
        return Seats(frozenset(wanting))
    pool = _lock(tx)
    _forget(tx, content)
    queue = _queue_for(tx, pool, len(freed), wanting)
    if (wanting and (queue or not seats.fits(pool, len(wanting), 0))) or (content and (wanting or freed)):
        tx.order_matters()
    if not queue and seats.fits(pool, len(wanting), len(freed)):
        _write(tx, pool, pool.used - len(freed) + len(wanting))
        _forget(tx, wanting)
        return Seats(frozenset(wanting))
    allotment = seats.give(pool, len(freed), _claims(tx, wanting), queue)
    if allotment.refused:
        _refuse(tx, pool, allotment.refused[0], wanting)
    promoted = [person_id for person_id in allotment.promoted if person_id in wanting]
    tx.seats_owed = tx.seats_owed or len(promoted) < len(allotment.promoted)
    seated = frozenset(promoted) | frozenset(allotment.seated)
    used = pool.used - len(freed) + len(seated)
    _write(tx, pool, used)
    if pool.limit is not None and used > max(pool.limit, pool.used):
        # The policy "allow": nobody is refused, and somebody should know.
        after = {"used": used, "limit": pool.limit}
        tx.record(Event(EventKind.SEATS_OVER_LIMIT, "organization", tx.org_id, {"used": pool.used}, after))
        logger.warning("seats_over_limit", org=tx.org_id, used=used, limit=pool.limit)
    queued = {waiter.person_id for waiter in queue}
    new = [person_id for person_id in allotment.waiting if person_id not in queued]
    _queue(tx, new)
    _forget(tx, seated)
    return Seats(seated, frozenset(new))


# ------------------------------------------------------------------------------ plenty of seats


def asked_of_pool(tx: Tx) -> tuple[Prepared, Mapping[str, Any]]:
    """What ``look`` asks; see ``prepared.ahead``."""
    return _SEEN, {"org_id": tx.org_id}


def look(tx: Tx) -> None:
    """See early, and without the lock, how many seats there are."""
    row = _SEEN.first(tx.beside, {"org_id": tx.org_id})
    pool = Pool(row.seat_limit, row.used, row.allow_overage) if row else None
    tx.pool_seen = PoolSeen(pool, bool(row.waited_for)) if pool else None


def _plenty(tx: Tx, wanted: int) -> bool:
    """Whether so many are free that nobody's turn has to be found, and none is refused.

    Then the pool is not locked while all the rest is written: where several processes create people at
    once, each would wait for the others' transactions. They are taken at the end, and the row's own
    trigger sees to it that there were enough.
    """
    if tx.pool_seen is None:
        look(tx)
    seen = tx.pool_seen
    if seen is None or seen.waited_for:
        return False
    pool = seen.pool
    if pool.allow_overage and pool.limit is not None:
        return False  # there the trigger would let more through, and nobody would be told
    free = seats.free_seats(pool)
    return free is None or wanted + _TO_SPARE <= free


def write_taken(tx: Tx) -> None:
    """Add to the pool's count those who took a seat where there were plenty.

    Raises LostRace where others took the last ones meanwhile; the next try does it under the lock.
    """
    if not tx.seats_taken:
        return
    try:
        _TAKEN.post(tx.beside, {"_org_id": tx.org_id, "_n": tx.seats_taken})
    except IntegrityError as exc:
        if is_check_or_trigger(exc, "seats_never_overbooked"):
            raise LostRace from exc
        raise


# ------------------------------------------------------------------------------ under the lock


def _lock(tx: Tx) -> Pool:
    (row,) = _LOCKED_POOL.all(tx.beside, {"org_id": tx.org_id})
    return Pool(row.seat_limit, row.used, row.allow_overage)


def _longest_waiting(tx: Tx, pool: Pool, freed: int, at_most: int | None = None) -> list[Waiter]:
    """As many as there may be seats for. Without a limit nobody has a turn before anybody."""
    free = seats.free_seats(pool, freed)
    if free == 0:
        return []
    most = _AT_ONCE if free is None else free
    most = most if at_most is None else min(most, at_most)
    rows = _QUEUE.all(tx.beside, {"org_id": tx.org_id, "most": most})
    return [Waiter(PersonId(row.person_id), row.since) for row in rows]


def _queue_for(tx: Tx, pool: Pool, freed: int, wanting: Collection[PersonId]) -> list[Waiter]:
    """Those before whom nobody of ``wanting`` has a turn.

    While 20,000 are promoted in portions, each is of the very first: all others are not read again each time.
    """
    if tx.promoting:
        first = _longest_waiting(tx, pool, freed, len(wanting))
        if {waiter.person_id for waiter in first} >= set(wanting):
            return first
    return _longest_waiting(tx, pool, freed)


def _claims(tx: Tx, wanting: Collection[PersonId]) -> list[Claim]:
    policy = tx.seat_policy or (tx.book.seats_on_scim if tx.ctx.door == "scim" else "hold")
    return [
        Claim(person_id, external_id=tx.places.get(person_id, ""), policy=_policy(tx, person_id, policy))
        for person_id in wanting
    ]


def _policy(tx: Tx, person_id: PersonId, policy: Policy) -> Policy:
    """Only the person whom the call is about is refused; who is concerned by the way waits."""
    return "hold" if policy == "reject" and person_id not in tx.refuse_without_seat else policy


def _refuse(tx: Tx, pool: Pool, person_id: PersonId, wanting: Mapping[PersonId, str]) -> None:
    column = people.c
    invited = tx.conn.execute(
        select(func.count()).where(
            column.org_id == tx.org_id, column.has_seat, column.status == str(Status.PENDING)
        )
    ).scalar_one()
    settled = select(column.rules_version).where(column.org_id == tx.org_id, column.id == person_id)
    verb = "updated" if tx.conn.execute(settled).scalar_one() else "created"
    raise seats.refusal(pool, invited, wanting[person_id], verb, tx.book.get_more_seats_url)


def _write(tx: Tx, pool: Pool, used: int) -> None:
    if used != pool.used:
        _USED.post(tx.beside, {"_org_id": tx.org_id, "_used": used})


def _queue(tx: Tx, person_ids: Sequence[PersonId]) -> None:
    if person_ids:
        rows = [
            {
                "org_id": tx.org_id,
                "person_id": person_id,
                "since": tx.now,
                "place": tx.places.get(person_id, ""),
            }
            for person_id in person_ids
        ]
        tx.beside.execute(insert_ignore(tx.beside, waiting), rows)


def _forget(tx: Tx, person_ids: Collection[PersonId]) -> None:
    """These wait no longer. Somebody new never did."""
    known = [person_id for person_id in person_ids if person_id not in tx.created]
    if known:
        _FORGET.post(tx.beside, {"org_id": tx.org_id, "keys": known})


# ------------------------------------------------------------------------------ promotion


async def promote(door: Door, org_id: OrgId) -> int:
    """Give free seats to those who wait longest; gives how many took one."""
    ctx = Context(org_id, Actor("job", "seats", "seats"), "job", "seats")
    total, taken, tried = 0, 0, frozenset[PersonId]()

    def body(tx: Tx) -> frozenset[PersonId]:
        tx.promoting = True
        turn = _whose_turn(tx)
        tx.touch(turn)
        return frozenset(turn)

    def then(tx: Tx, turn: frozenset[PersonId]) -> frozenset[PersonId]:
        nonlocal taken
        taken = _seated(tx, turn)
        return turn

    while True:
        taken = 0
        turn = await door.run(ctx, body, then=then)
        total += taken
        # The same people again: none of them could be helped, and those behind them have no turn.
        if not turn or turn == tried:
            return total
        tried = turn


def _whose_turn(tx: Tx) -> list[PersonId]:
    row = _POOL.first(tx.conn, {"org_id": tx.org_id})
    if row is None:
        return []
    pool, most = Pool(row.seat_limit, row.used, row.allow_overage), tx.settings.settle_at_once
    return [waiter.person_id for waiter in _longest_waiting(tx, pool, 0, most)]


def _seated(tx: Tx, person_ids: Collection[PersonId]) -> int:
    column = people.c
    return int(
        tx.conn.execute(
            select(func.count()).where(
                column.org_id == tx.org_id, among(tx.conn, column.id, list(person_ids)), column.has_seat
            )
        ).scalar_one()
    )
