"""Whose access ends when a source lists somebody no more, and what counts as a removal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from scimd.db.tables import people
from scimd.org import sources
from scimd.org.people import AssertUser, record_users
from scimd.org.sources import NewSource
from scimd.sync import run as sync_run
from scimd.sync.report import what
from tests.sync.world import World, world


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[World]:
    """Twenty people, synced."""
    async with world(database_url, invite="never", join=["mail"]) as found:
        found.script.fill(20)
        assert (await found.sync()).state == "done"
        yield found


async def _listed_elsewhere(acme: World, numbers: range, *, priority: int) -> None:
    """Another source has these people too."""
    config = {"join": ["mail"]}
    new = NewSource("okta", state="active", invite="never", priority=priority, config=config)
    okta = await sources.create(acme.door, acme.as_admin(), new)
    ctx = replace(sync_run.context(acme.door, okta), door="scim")
    for n in numbers:
        mail = f"user{n:04}@acme.example"
        wish = AssertUser({"userName": f"okta{n}", "emails": [{"value": mail, "primary": True}]}, f"okta-{n}")
        (done,) = await acme.door.run(ctx, lambda tx, wish=wish: record_users(tx, [wish]))
        assert done.outcome == "linked"


async def _status(acme: World) -> dict[str, int]:
    rows = await acme.rows(people)
    return {status: sum(row.status == status for row in rows) for status in {row.status for row in rows}}


async def test_whoever_another_source_has_is_dropped_and_counts_as_no_removal(acme: World) -> None:
    await _listed_elsewhere(acme, range(8), priority=50)
    for n in range(8):
        del acme.script.people[f"x{n:04}"]
    run = await acme.sync()
    assert (run.state, run.trips, run.counts["deactivated"], run.counts["dropped"]) == ("done", (), 0, 8)
    change = (await acme.changes(run))[0]
    assert (what(change), change.removal) == ("dropped", False)
    assert change.reason == "no longer in the directory; okta has them too"
    assert await _status(acme) == {"active": 20}


@pytest.mark.parametrize(("priority", "word", "active"), [(0, "updated", 20), (50, "deactivated", 19)])
async def test_inactive_is_a_removal_where_no_source_comes_before(
    acme: World, priority: int, word: str, active: int
) -> None:
    await _listed_elsewhere(acme, range(1), priority=priority)
    acme.script.people["x0000"].more["active"] = False
    (change,) = await acme.changes(await acme.sync())
    assert (what(change), change.removal) == (word, word == "deactivated")
    assert (await _status(acme))["active"] == active


async def test_last_active_people_of_a_directory_that_keeps_the_inactive_are_held(acme: World) -> None:
    for start in (0, 5, 10):
        for n in range(start, start + 5):
            acme.script.people[f"x{n:04}"].more["active"] = False
        await acme.approve(await acme.plan())
    for n in range(15, 20):
        acme.script.people[f"x{n:04}"].more["active"] = False
    held = await acme.sync()
    assert held.state == "held"
    assert held.trips[0] == "all 5 people of the source would be removed"
    assert await _status(acme) == {"active": 5, "inactive": 15}


async def test_entries_that_were_inactive_may_go_as_they_are_no_removals(acme: World) -> None:
    for n in range(8):
        acme.script.people[f"x{n:04}"].more["active"] = False
    assert (await acme.approve(await acme.plan())).counts["deactivated"] == 8
    for n in range(8):
        del acme.script.people[f"x{n:04}"]
    run = await acme.sync()
    assert (run.state, run.counts["dropped"], run.counts["deactivated"]) == ("done", 8, 0)
    assert (await acme.changes(run))[0].reason == "no longer in the directory; inactive already"
    assert (await acme.sync()).changes == 0


async def test_people_who_would_all_be_active_again_are_held_and_nobody_else(acme: World) -> None:
    """A column of another name, or an attribute that may not be read any more, says so of everybody."""
    for n in range(8):
        acme.script.people[f"x{n:04}"].more["active"] = False
    await acme.approve(await acme.plan())
    for one in acme.script.people.values():
        one.more.pop("active", None)
    del acme.script.people["x0019"]
    acme.script.fill(1, first=30)
    held = await acme.sync()
    assert held.state == "held"
    assert held.trips == ("8 of 20 people would be active again; the limit is 5 (5, or 10 %)",)
    assert (held.counts["held"], held.counts["created"], held.counts["deactivated"]) == (8, 1, 1)
    assert (await acme.approve(held)).counts["updated"] == 8
    assert (await acme.sync()).changes == 0
