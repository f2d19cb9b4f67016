"""Seats: never overbooked, given in the fair order, owed to whoever waits longest (V1, V2)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import update

from scimd.core.errors import SeatLimitReached
from scimd.core.people import PersonId
from scimd.core.seats import Policy, Waiter
from scimd.db import tables as t
from scimd.org.grants import promotion, seats
from scimd.org.organizations import organizations
from scimd.org.tx import DoorSettings, Tx
from scimd.org.users import admin_reads, people
from tests.org.house import House, house, user
from tests.support.patience import AT_MOST_S


async def used(acme: House) -> int:
    (pool,) = await acme.rows(t.seat_pools)
    held = sum(row.has_seat for row in await acme.rows(t.people))
    assert pool.used == held
    return held


async def waiting(acme: House) -> list[str]:
    names = {row.id: row.local_user_name for row in await acme.rows(t.people)}
    rows = sorted(await acme.rows(t.waiting), key=lambda row: (row.since, row.place, row.person_id))
    return [names[row.person_id] for row in rows]


async def creates(acme: House, count: int) -> list[Any]:
    return await asyncio.gather(*(acme.create(f"p{n}") for n in range(count)), return_exceptions=True)


@pytest.mark.parametrize("to_spare", [1000, 0])  # under the pool's lock, and without it down to the last seat
async def test_64_parallel_creates_on_10_seats_under_hold(
    database_url: str, to_spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "_TO_SPARE", to_spare)
    async with house(database_url, seats_=10) as acme:
        results = await creates(acme, 64)
        assert [each for each in results if isinstance(each, BaseException)] == []
        assert await used(acme) == 10
        assert len(await waiting(acme)) == 54
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_64_parallel_creates_on_10_seats_under_reject(database_url: str) -> None:
    async with house(database_url, seats_=10, seats_on_scim="reject") as acme:
        results = await creates(acme, 64)
        refused = [each for each in results if isinstance(each, SeatLimitReached)]
        assert (len(refused), len(results) - len(refused)) == (54, 10)
        assert await used(acme) == 10
        assert len(await acme.rows(t.people)) == 10
        assert str(refused[0]).startswith("Seat limit reached: 10 of 10 used (10 active, 0 invited). p")
        assert "was not created" in str(refused[0])


async def test_64_parallel_creates_on_10_seats_under_allow(database_url: str) -> None:
    async with house(database_url, seats_=10, seats_on_scim="allow") as acme:
        results = await creates(acme, 64)
        assert [each for each in results if isinstance(each, BaseException)] == []
        assert await used(acme) == 64


async def _meanwhile(acme: House, happens: Callable[[], Awaitable[object]]) -> None:
    """Create Ann; when all of it is done but for the COMMIT, something else happens first."""
    done, go = threading.Event(), threading.Event()

    def then(tx: Tx, value: object) -> object:
        done.set()
        assert go.wait(AT_MOST_S)
        return value

    ann = acme.door.run(acme.as_scim(), lambda tx: people.record_users(tx, [user("ann")]), then=then)
    making = asyncio.create_task(ann)
    try:
        assert await asyncio.to_thread(done.wait, AT_MOST_S)
        await happens()
    finally:
        go.set()
        await making


async def test_where_seats_are_plenty_nobody_waits_for_anothers_transaction(postgres_url: str) -> None:
    async with house(postgres_url) as acme:
        await _meanwhile(acme, lambda: acme.create("bob"))
        assert await used(acme) == 2


@pytest.mark.parametrize(
    ("limit", "policy", "plenty"),
    [
        (None, "hold", True),
        (None, "allow", True),
        (1001, "hold", True),
        (1000, "hold", False),
        (5000, "allow", False),  # the trigger refuses nobody there: somebody has to count, and to tell
    ],
)
async def test_seats_are_plenty_where_nobody_has_to_count(
    database_url: str, limit: int | None, policy: Policy, plenty: bool
) -> None:
    async with house(database_url, seats_=limit, seats_on_scim=policy) as acme:
        assert await acme.door.run(acme.as_scim(), lambda tx: seats._plenty(tx, 1)) is plenty


async def test_a_limit_set_before_the_seat_is_taken_holds(postgres_url: str) -> None:
    async with house(postgres_url) as acme:
        await _meanwhile(acme, lambda: acme.execute(update(t.seat_pools).values(seat_limit=0)))
        assert await used(acme) == 0
        assert await waiting(acme) == ["ann"]
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_freed_seat_goes_to_the_longest_waiting_at_once(database_url: str) -> None:
    async with house(database_url, seats_=2) as acme:
        made = {}
        for name in ("ann", "bob", "cid", "dan"):
            made[name] = (await acme.create(name)).person_id
            acme.clock.forward(minutes=1)
        assert await waiting(acme) == ["cid", "dan"]
        await acme.delete(made["ann"])
        assert (await acme.person(made["cid"])).status == "active"
        assert await waiting(acme) == ["dan"]


async def test_newcomer_does_not_pass_who_waits(database_url: str) -> None:
    async with house(database_url, seats_=1) as acme:
        ann = (await acme.create("ann")).person_id
        bob = (await acme.create("bob")).person_id
        # A seat is free, and Bob has not had it yet.
        await acme.execute(update(t.seat_pools).values(seat_limit=2))
        acme.clock.forward(minutes=1)
        acme.door._promote = None
        cid = (await acme.create("cid")).person_id
        assert not (await acme.person(cid)).has_seat
        assert await seats.promote(acme.door, acme.org_id) == 1
        assert (await acme.person(bob)).has_seat
        assert (await acme.person(ann)).has_seat
        assert await waiting(acme) == ["cid"]


async def test_deactivation_and_update_without_a_new_seat_are_never_refused(database_url: str) -> None:
    async with house(database_url, seats_=1, seats_on_scim="reject") as acme:
        ann = (await acme.create("ann")).person_id
        await acme.execute(update(t.seat_pools).values(seat_limit=0))
        await acme.change(ann, title="Boss")
        assert (await acme.person(ann)).has_seat, "a lowered limit evicts nobody"
        await acme.change(ann, active=False)
        with pytest.raises(SeatLimitReached) as refusal:
            await acme.change(ann, active=True)
        assert "was not updated" in str(refusal.value)
        assert (await acme.person(ann)).status == "inactive"


async def test_seat_wanted_through_a_group_waits_even_under_reject(database_url: str) -> None:
    async with house(database_url, seats_=0, seats_on_scim="reject", default_project=None) as acme:
        ann = (await acme.create("ann")).person_id
        assert (await acme.person(ann)).causes == ["no_project"]
        await acme.group("Sales", ann)
        assert (await acme.person(ann)).causes == ["waiting_for_seat"]
        assert await waiting(acme) == ["ann"]


async def test_newcomers_of_one_sync_take_seats_in_the_order_of_their_places(database_url: str) -> None:
    async with house(database_url, seats_=2) as acme:
        hr = await acme.source("hr", kind="connector", connector="ldap")
        many = [user(name, place=place) for name, place in (("cid", "3"), ("ann", "1"), ("bob", "2"))]
        await acme.push(*many, ctx=acme.as_sync(hr))
        assert await waiting(acme) == ["cid"]


async def test_removal_and_addition_in_one_call_meet(database_url: str) -> None:
    async with house(database_url, seats_=1) as acme:
        hr = await acme.source("hr", kind="connector", connector="ldap")
        sync = acme.as_sync(hr)
        (ann,) = await acme.push(user("ann"), ctx=sync)

        def body(tx: Any) -> None:
            people.drop_users(tx, [people.DropUser(PersonId(ann.person_id or ""))])
            people.record_users(tx, [user("bob")])

        await acme.run(body, sync)
        assert {row.local_user_name: row.has_seat for row in await acme.rows(t.people)} == {
            "ann": False,
            "bob": True,
        }


async def test_raised_limit_promotes_all_who_fit(database_url: str) -> None:
    async with house(database_url, seats_=0) as acme:
        await acme.push(*(user(f"p{n}") for n in range(5)))
        await organizations.set_seats(acme.door, acme.as_admin(), None)
        await seats.promote(acme.door, acme.org_id)
        assert await used(acme) == 5
        assert await waiting(acme) == []


async def test_a_portion_of_a_promotion_reads_no_more_of_the_queue_than_it_settles(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 seats at once: each portion read all who would get one, twice, while it held the writer."""
    read: list[int] = []
    look = seats._longest_waiting

    def counted(*args: Any) -> list[Waiter]:
        found = look(*args)
        read.append(len(found))
        return found

    async with house(database_url, seats_=0, settings=DoorSettings(settle_at_once=3)) as acme:
        for n in range(9):
            await acme.create(f"p{n}")
        await acme.execute(update(t.seat_pools).values(seat_limit=8))
        monkeypatch.setattr(seats, "_longest_waiting", counted)
        assert await seats.promote(acme.door, acme.org_id) == 8
        assert max(read) == 3
        assert len(await waiting(acme)) == 1


async def test_who_waits_already_is_not_said_to_begin(database_url: str) -> None:
    async with house(database_url, seats_=0) as acme:
        ann = (await acme.create("ann")).person_id
        hr = await acme.source("hr", kind="connector", connector="ldap")
        await acme.push(user("ann"), ctx=acme.as_sync(hr))
        await acme.group("Sales", ann)
        assert await waiting(acme) == ["ann"]
        kinds = [row.kind for row in await acme.rows(t.events) if row.target_id == ann]
        assert "grant.given" in kinds
        assert kinds.count("seat.waiting") == 0  # how they came in says it


async def test_who_stops_wanting_stops_waiting(database_url: str) -> None:
    async with house(database_url, seats_=0) as acme:
        ann = (await acme.create("ann")).person_id
        assert await waiting(acme) == ["ann"]
        await acme.change(ann, active=False)
        assert await waiting(acme) == []


async def test_invited_person_holds_a_seat_and_counts_as_invited(database_url: str) -> None:
    async with house(database_url, seats_=1, seats_on_scim="reject") as acme:
        inviting = acme.as_scim(await acme.source("entra", invite="immediate"))
        ann = await acme.create("ann", ctx=inviting)
        row = await acme.person(ann.person_id)
        assert (row.status, row.causes, row.has_seat) == ("pending", ["invited"], True)
        assert len(await acme.rows(t.invitations)) == 1
        with pytest.raises(SeatLimitReached) as refusal:
            await acme.create("bob", ctx=inviting)
        assert (refusal.value.active, refusal.value.invited) == (0, 1)


async def test_nobody_passes_whoever_began_to_wait_while_the_clock_was_ahead(database_url: str) -> None:
    async with house(database_url, seats_=0) as acme:
        acme.clock.forward(hours=5)
        await acme.create("ann")
        acme.clock.forward(hours=-5)
        await promotion.bring_forward(acme.door)
        acme.clock.forward(minutes=1)
        await acme.create("bob")
        assert await waiting(acme) == ["ann", "bob"]
        await promotion.bring_forward(acme.door)
        assert await waiting(acme) == ["ann", "bob"]
