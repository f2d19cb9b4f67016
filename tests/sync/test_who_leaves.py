"""Whose access ends when a source lists somebody no more, and what counts as a removal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from scimd.db.tables import people
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource
from scimd.org.users.people import AssertUser, record_users
from scimd.sync import run as sync_run
from scimd.sync.report import what
from tests.sync.world import MAPPING, World, world


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[World]:
    """Twenty people, synced."""
    async with world(database_url, invite="never", join=["mail"]) as found:
        found.script.fill(20)
        assert (await found.sync()).state == "done"
        yield found


async def _listed_elsewhere(acme: World, numbers: range, *, priority: int, active: bool = True) -> None:
    """Another source has these people too."""
    config = {"join": ["mail"]}
    new = NewSource("okta", state="active", invite="never", priority=priority, config=config)
    okta = await sources.create(acme.door, acme.as_admin(), new)
    ctx = replace(sync_run.context(acme.door, okta), door="scim")
    for n in numbers:
        mail = f"user{n:04}@acme.example"
        document = {
            "userName": f"okta{n}", "active": active, "emails": [{"value": mail, "primary": True}],
        }  # fmt: skip
        wish = AssertUser(document, f"okta-{n}")
        (done,) = await acme.door.run(ctx, lambda tx, wish=wish: record_users(tx, [wish]))
        assert done.outcome == "linked"


async def _status(acme: World) -> dict[str, int]:
    rows = await acme.rows(people)
    return {status: sum(row.status == status for row in rows) for status in {row.status for row in rows}}


def _leave(acme: World, numbers: range) -> None:
    for n in numbers:
        del acme.script.people[f"x{n:04}"]


async def test_whoever_another_source_has_is_dropped_and_the_report_says_what_they_lose(acme: World) -> None:
    acme.script.groups = {"g": ("Vpn", ["x0001", "x0009"]), "h": ("Eng", ["x0001"])}
    await acme.sync()
    await _listed_elsewhere(acme, range(8), priority=50)
    _leave(acme, range(5))
    run = await acme.sync()
    assert (run.state, run.trips, run.counts["deactivated"], run.counts["dropped"]) == ("done", (), 0, 5)
    change = (await acme.changes(run))[1]
    assert (what(change), change.removal) == ("dropped", True)
    assert change.reason == "no longer in the directory; okta has them too"
    assert change.old == {"active": True, "displayName": "user0001", "groups": ["Eng", "Vpn"]}
    assert change.new == {"active": False, "displayName": "okta1", "groups": None}
    assert await _status(acme) == {"active": 20}
    # The sixth within 24 hours, as of those whom nobody else has.
    _leave(acme, range(5, 6))
    held = await acme.sync()
    said = "6 of 20 people would be removed within 24 hours (another source has 1 of them)"
    assert held.trips == (f"{said}; the limit is 5 (5, or 10 %)",)


async def test_a_cut_read_takes_nothing_from_people_whom_another_source_has(acme: World) -> None:
    acme.script.groups = {"g": ("Vpn", [f"x{n:04}" for n in range(20)])}
    await acme.sync()
    await _listed_elsewhere(acme, range(20), priority=50)
    before = await acme.state()
    _leave(acme, range(4, 20))
    held = await acme.sync()
    assert (held.state, held.counts["held"]) == ("held", 16)
    assert "16 of 20 people would be removed within 24 hours (another source has 16" in held.trips[0]
    assert held.trips[-1] == "the group Vpn would lose 16 of 20 members; the limit is 50 %"
    assert await acme.state() == before
    assert (await acme.approve(held)).counts["dropped"] == 16
    assert await _status(acme) == {"active": 20}


async def test_mass_of_inactive_people_in_a_lower_source_is_held(acme: World) -> None:
    acme.script.groups = {"g": ("Vpn", [f"x{n:04}" for n in range(20)])}
    await acme.sync()
    await _listed_elsewhere(acme, range(20), priority=0)
    for n in range(1, 20):
        acme.script.people[f"x{n:04}"].more["active"] = False
    held = await acme.sync()
    assert (held.state, held.counts["held"]) == ("held", 19)
    assert held.trips[-1] == "the group Vpn would lose 19 of 20 members; the limit is 50 %"


async def test_group_that_loses_people_by_another_source_holds_them_and_lets_others_leave(
    database_url: str,
) -> None:
    limits = {"removals_count": 10}
    async with world(database_url, invite="never", join=["mail"], limits=limits) as acme:
        acme.script.fill(20)
        acme.script.groups = {"g": ("Leads", [f"x{n:04}" for n in range(10)])}
        await acme.sync()
        await _listed_elsewhere(acme, range(6), priority=50)
        _leave(acme, range(6))
        _leave(acme, range(19, 20))
        held = await acme.sync()
        assert held.trips == ("the group Leads would lose 6 of 10 members; the limit is 50 %",)
        assert (held.counts["held"], held.counts["deactivated"]) == (6, 1)


async def test_value_is_lost_by_whom_another_source_has(database_url: str) -> None:
    mapping = {"user": {**MAPPING, "entitlements": "entry.?badge.orValue([]).map(v, {'value': v})"}}
    rule = {"number": 1, "entitlement": "Gold", "project": "Vault"}
    more = {"mapping": mapping, "rule": [rule], "limits": {"removals_count": 10}}
    async with world(database_url, invite="never", join=["mail"], **more) as acme:
        acme.script.fill(20)
        for n in range(10):
            acme.script.people[f"x{n:04}"].more["badge"] = "gold"
        await acme.sync()
        await _listed_elsewhere(acme, range(6), priority=50)
        _leave(acme, range(6))
        held = await acme.sync()
        assert held.trips == ("the entitlement gold would lose 6 of 10 members; the limit is 50 %",)
        assert held.counts["held"] == 6


async def test_whoever_the_deciding_source_calls_inactive_has_nothing_to_lose(acme: World) -> None:
    await _listed_elsewhere(acme, range(8), priority=0, active=False)
    _leave(acme, range(8))
    run = await acme.sync()
    assert (run.state, run.trips, run.counts["dropped"]) == ("done", (), 8)


@pytest.mark.parametrize(("priority", "word", "active"), [(0, "updated", 20), (50, "deactivated", 19)])
async def test_inactive_ends_access_where_no_source_comes_before(
    acme: World, priority: int, word: str, active: int
) -> None:
    await _listed_elsewhere(acme, range(1), priority=priority)
    acme.script.people["x0000"].more["active"] = False
    (change,) = await acme.changes(await acme.sync())
    assert (what(change), change.removal) == (word, True)
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
