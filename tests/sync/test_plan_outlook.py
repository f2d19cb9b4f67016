"""A plan's seats and mails are those that there are once it is applied, whoever it is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from scimd.core.events import EventKind
from scimd.db.tables import events, organizations, seat_pools
from scimd.db.tables import waiting as waiting_table
from scimd.org.runs.run_changes import ChangeRecord
from scimd.org.runs.runs import RunRecord
from scimd.org.sources.sources import NewSource, create
from scimd.org.users.people import AssertUser, record_users
from scimd.sync import run as sync_run
from tests.sync.world import Person, World, world

Figures = tuple[int | None, int | None, int]


def told(run: RunRecord) -> Figures:
    return run.seats["after"], run.seats["waiting"], run.mails


async def is_so(acme: World, already: int = 0) -> Figures:
    (pool,) = await acme.rows(seat_pools)
    made = sum(row.kind == EventKind.INVITATION_CREATED for row in await acme.rows(events))
    return pool.used, await acme.count(waiting_table), made - already


async def invited(acme: World) -> int:
    return (await is_so(acme))[2]


async def decide(acme: World, **what: Any) -> None:
    """What the organization decides anew, with its generation."""
    column = organizations.c
    change = update(organizations).where(column.id == acme.org_id)
    change = change.values(generation=column.generation + 1, **what)
    await acme.door.db.write(lambda conn: conn.execute(change))


async def okta_has(acme: World, *numbers: int) -> None:
    """Another source, which comes after, has these people under other names, and joins by their mail."""
    new = NewSource("okta", state="active", priority=90, config={"join": ["userName"]})
    okta = await create(acme.door, acme.as_admin(), new)
    ctx = replace(sync_run.context(acme.door, okta), door="scim")
    for n in numbers:
        other = [{"value": f"other{n}@acme.example", "primary": True}]
        document = {"userName": f"user{n:04}", "displayName": f"Other {n}", "emails": other}
        wish = AssertUser(document, f"okta-{n}")
        await acme.door.run(ctx, lambda tx, wish=wish: record_users(tx, [wish]))


async def _as_it_is(_: World) -> None:
    pass


async def _approval(acme: World) -> None:
    await decide(acme, approval_required=True)


async def _no_default_project(acme: World) -> None:
    await decide(acme, default_project_id=None)
    acme.script.groups = {"g1": ("Crew", ["x0001", "g2"]), "g2": ("Sub", ["x0003"])}


_CASES: dict[str, tuple[dict[str, Any], Callable[[World], Awaitable[None]], Figures]] = {
    "newcomers": ({}, _as_it_is, (3, 2, 3)),
    "without-mails": ({"invite": "never"}, _as_it_is, (3, 2, 0)),
    "staged": ({"state": "staged"}, _as_it_is, (3, 2, 3)),
    "shadow": ({"state": "shadow"}, _as_it_is, (0, 0, 0)),
    "approval": ({}, _approval, (0, 0, 0)),
    "approved-on-arrival": ({"auto_approve": "always"}, _approval, (3, 2, 3)),
    "no-project-but-by-groups": ({}, _no_default_project, (2, 0, 2)),
}


@pytest.mark.parametrize("case", _CASES)
async def test_plan_and_run_tell_what_there_is_then(database_url: str, case: str) -> None:
    config, prepare, expected = _CASES[case]
    async with world(database_url, seats_=3, **config) as acme:
        acme.script.fill(5)
        await prepare(acme)
        assert told(await acme.plan()) == expected
        assert told(await acme.sync()) == await is_so(acme) == expected


async def test_people_of_a_join_hold_their_seats_already(database_url: str) -> None:
    async with world(database_url, seats_=3, join=["userName"]) as acme:
        await okta_has(acme, 0, 1, 2)
        acme.script.fill(3)
        before = await invited(acme)
        planned, done = await acme.plan(), await acme.sync()
        # Each is invited at the other address.
        assert told(planned) == told(done) == await is_so(acme, before) == (3, 0, 3)


async def test_newcomer_with_the_address_of_somebody_who_left_is_not_counted(database_url: str) -> None:
    async with world(database_url) as acme:
        acme.script.fill(8)
        await acme.sync()
        del acme.script.people["x0007"]
        await acme.sync()
        acme.script.people["x0009"] = Person("user0009", "user0007@acme.example")
        before = await invited(acme)
        planned, done = await acme.plan(), await acme.sync()
        assert told(planned) == told(done) == await is_so(acme, before) == (7, 0, 0)


async def test_hand_over_and_return_tell_name_address_and_the_invitations(database_url: str) -> None:
    async with world(database_url, join=["userName"]) as acme:
        acme.script.fill(8)
        await acme.sync()
        await okta_has(acme, 0)
        gone = acme.script.people.pop("x0000")
        mine = {"active": False, "displayName": "user0000", "signInAddress": "user0000@acme.example"}
        okta = {"active": True, "displayName": "Other 0", "signInAddress": "other0@acme.example"}
        for old, new in (
            (mine | {"active": True}, okta | {"active": False}),
            (okta | {"active": False}, mine | {"active": True}),
        ):
            before = await invited(acme)
            planned, done = await acme.plan(), await acme.sync()
            assert told(planned) == told(done) == await is_so(acme, before) == (8, 0, 1)
            change: ChangeRecord = (await acme.changes(done))[0]
            assert (change.old, change.new) == (old, new)
            acme.script.people["x0000"] = gone


async def test_held_run_tells_what_there_is_and_what_approval_would_make_of_it(database_url: str) -> None:
    async with world(database_url) as acme:
        acme.script.fill(8)
        await acme.sync()
        for n in range(7):
            del acme.script.people[f"x{n:04}"]
        acme.script.fill(1, first=20)
        held = await acme.sync()
        assert (held.state, held.seats["after"], held.seats["after_if_held"]) == ("held", 2, 9)
        assert held.mails == 1
        done = await acme.approve(held)
        assert (done.seats["after"], done.mails) == ((await is_so(acme))[0], 1) == (2, 1)
