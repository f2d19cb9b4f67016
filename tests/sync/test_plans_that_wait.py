"""Plans that are applied later than they were made: what moved meanwhile is left out, item by item (V14)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from scimd import config
from scimd.core.errors import NotAllowedNow, StateMoved
from scimd.db.tables import assertions, decisions, grants, groups, projects
from scimd.org.declared import declared_organizations
from scimd.org.runs import approvals, runs
from scimd.org.runs.runs import RunRecord
from scimd.org.sources import source_ends, source_states, source_upkeep
from scimd.sync.schedule import following, latest
from tests.sync.world import Person, World, source_config, world


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[World]:
    """Twenty people, of whom two are in a group, synced."""
    async with world(database_url) as found:
        found.script.fill(20)
        found.script.groups = {"g1": ("Engineering", ["x0001", "x0002"]), "g2": ("Few", ["x0005"])}
        assert (await found.sync()).state == "done"
        yield found


async def _members(acme: World, group: str = "g1") -> set[str]:
    return {row[3] for row in (await acme.state())[1] if row[0] == group and row[2] == "live"}


async def test_group_that_another_plan_changed_is_left_out_and_mended_by_the_next_sync(acme: World) -> None:
    acme.script.groups["g1"] = ("Engineering", ["x0001", "x0002", "x0003"])
    first = await acme.plan()
    acme.script.groups["g1"] = ("Engineering", ["x0001"])
    second = await acme.plan()
    assert (await acme.approve(first)).state == "done"
    done = await acme.approve(second)
    assert done.state == "partial"
    assert await acme.said(done) == {"Engineering": ("members", "skipped")}
    assert await _members(acme) == {"x0001", "x0002", "x0003"}
    # Nothing was noted of what was not applied, so the next run looks again.
    again = await acme.sync()
    assert await acme.said(again) == {"Engineering": ("members", "applied")}
    assert await _members(acme) == {"x0001"}
    assert (await acme.sync()).changes == 0


async def test_group_that_changed_since_is_not_deleted(acme: World) -> None:
    acme.script.groups["g1"] = ("Research", ["x0001", "x0002"])
    first = await acme.plan()
    del acme.script.groups["g1"]
    second = await acme.plan()
    await acme.approve(first)
    (change,) = await acme.changes(await acme.approve(second))
    assert (change.outcome, change.detail) == ("skipped", "the group changed since the plan was made")
    assert await _members(acme) == {"x0001", "x0002"}


async def test_group_that_is_gone_meanwhile_is_left_out(acme: World) -> None:
    kept = acme.script.groups.pop("g1")
    away = await acme.plan()
    acme.script.groups["g1"] = (kept[0], [*kept[1], "x0003"])
    back = await acme.plan()
    assert (await acme.approve(away)).state == "done"
    done = await acme.approve(back)
    (change,) = await acme.changes(done)
    assert (change.outcome, change.detail) == ("skipped", "gone already")
    await acme.sync()
    assert await _members(acme) == {"x0001", "x0002", "x0003"}


async def test_people_who_leave_in_the_same_plan_move_no_group_of_theirs(acme: World) -> None:
    """Their rows are hidden when they go; the group's change takes them away."""
    del acme.script.people["x0002"]
    acme.script.groups = {"g1": ("Engineering", ["x0001", "x0003"]), "g2": ("Few", ["x0005"])}
    plan = await acme.plan()
    done = await acme.approve(plan)
    assert done.state == "done", await acme.said(done)
    assert await _members(acme) == {"x0001", "x0003"}
    assert len([row for row in await acme.rows(groups) if row.state == "live"]) == 2
    assert (await acme.sync()).changes == 0


async def test_run_that_was_cut_off_goes_on_but_removes_nobody_who_may_be_back(acme: World) -> None:
    back = acme.script.people.pop("x0003")
    del acme.script.people["x0004"]
    acme.script.people["x0005"].more["title"] = "Dr"
    await acme.cut_off()
    acme.script.people["x0003"] = back
    run = await acme.sync()
    assert await acme.said(run) == {"user0004": ("deactivate", "applied")}
    old = (await runs.list_runs(acme.door, acme.org_id))[1]
    assert await acme.said(old) == {
        "user0003": ("deactivate", "skipped"),
        "user0004": ("deactivate", "skipped"),
        "user0005": ("update", "applied"),
    }


@pytest.mark.parametrize("ahead_h", [0, 1])
async def test_run_that_was_cut_off_is_not_gone_on_with_after_a_newer_one(acme: World, ahead_h: int) -> None:
    """What it would do to a group rests on members whom the newer one took away."""
    three = ("Engineering", ["x0001", "x0002", "x0003"])
    acme.script.groups["g1"] = three
    acme.clock.forward(hours=ahead_h)
    await acme.cut_off()
    acme.clock.forward(hours=-ahead_h)
    acme.script.groups["g1"] = ("Engineering", ["x0001"])
    await acme.approve(await acme.plan())
    acme.script.groups["g1"] = three
    assert (await acme.sync()).counts["groups_members_changed"] == 1
    assert await _members(acme) == {"x0001", "x0002", "x0003"}


async def test_names_that_change_hands_wait_with_a_held_removal_and_are_approved_with_it(acme: World) -> None:
    people = acme.script.people
    people["x0000"].user_name, people["x0001"].user_name = "user0001", "user0000"
    people["x0001"].more["active"] = False
    people["x0003"].user_name = "user0010"  # of somebody who is gone
    for n in range(10, 16):
        del people[f"x{n:04}"]
    people["x0030"] = Person("user0003")
    held = await acme.sync()
    said = await acme.said(held)
    assert held.state == "held"
    assert {outcome for _, outcome in said.values()} == {"staged"}
    done = await acme.approve(held)
    assert done.state == "done", await acme.said(done)
    named = {row.external_id: row.user_name for row in await acme.rows(assertions) if row.state == "live"}
    assert (named["x0000"], named["x0001"], named["x0003"]) == ("user0001", "user0000", "user0010")
    assert named["x0030"] == "user0003"
    assert "user0000" not in await acme.active()
    assert (await acme.sync()).changes == 0


async def test_plan_that_was_made_while_the_clock_was_ahead_is_older_than_the_next_run(acme: World) -> None:
    acme.clock.forward(days=1)
    older = await acme.plan()
    acme.clock.forward(days=-1)
    await acme.sync()
    assert (await runs.get_run(acme.door, acme.org_id, older.id)).state == "expired"


async def test_run_that_was_planned_while_the_clock_was_ahead_does_not_wait(acme: World) -> None:
    async def due() -> bool:
        await source_upkeep.bring_forward(acme.door, latest)
        return bool(await source_upkeep.due_sources(acme.door, following))

    assert not await due()
    acme.clock.forward(hours=1)
    await acme.sync()
    acme.clock.forward(hours=-1)
    assert await due()
    await acme.sync()
    assert not await due()


async def test_groups_made_anew_under_their_names_keep_their_projects_when_they_are_approved(
    database_url: str,
) -> None:
    async with world(database_url, invite="never") as acme:
        acme.script.fill(20)
        teams = [(f"Team {n}", [f"x{n:04}", "x0019"]) for n in range(5)]
        acme.script.groups = {f"old{n}": team for n, team in enumerate(teams)}
        await acme.sync()

        async def given() -> set[tuple[str, str]]:
            rows = await acme.rows(grants)
            return {
                (row.person_id, row.target) for row in rows if row.kind == "project" and row.until is None
            }

        before = await given()
        acme.script.groups = {f"new{n}": team for n, team in enumerate(teams)}
        held = await acme.sync()
        assert (held.state, held.counts["held"], await given()) == ("held", 10, before)
        assert (await acme.approve(held)).state == "done"
        assert await given() == before
        assert not any(row.orphaned for row in await acme.rows(projects))
        assert await acme.count(decisions) == 0
        assert (await acme.sync()).changes == 0


def _file() -> list[config.Organization]:
    return [config.Organization(name="acme", source=[source_config()])]


async def _held(acme: World) -> RunRecord:
    for n in range(8, 20):
        del acme.script.people[f"x{n:04}"]
    held = await acme.sync()
    assert held.state == "held"
    return held


async def test_held_plan_of_a_source_that_left_the_file_is_approved_once_it_is_back(acme: World) -> None:
    held = await _held(acme)
    await declared_organizations.release(acme.door, [])
    for word in (approvals.approve(acme.door, acme.as_admin(), held.id), acme.approve(held)):
        with pytest.raises(NotAllowedNow, match=r"Put it back there.*or end it: scimd source end acme/hr"):
            await word
    assert await runs.get_run(acme.door, acme.org_id, held.id) == held
    await declared_organizations.declare(acme.door, _file())
    await approvals.approve(acme.door, acme.as_admin(), held.id)
    await declared_organizations.release(acme.door, [])
    with pytest.raises(StateMoved, match="hr is not in the config file any more"):
        await acme.approve(held)
    assert (await runs.get_run(acme.door, acme.org_id, held.id)).state == "refused"
    assert len(await acme.active()) == 20


async def test_plan_of_a_paused_source_waits_until_it_is_resumed(acme: World) -> None:
    held, planned = await _held(acme), await acme.plan()
    source, admin = await acme.source(), acme.as_admin()
    await source_states.pause(acme.door, admin, source.id)
    for word in (approvals.approve(acme.door, admin, held.id), acme.approve(held), acme.approve(planned)):
        with pytest.raises(NotAllowedNow, match=r"is paused\. Resume it first: .* acme/hr"):
            await word
    assert await runs.get_run(acme.door, acme.org_id, held.id) == held
    await source_states.resume(acme.door, admin, source.id)
    await approvals.approve(acme.door, admin, held.id)
    await source_states.pause(acme.door, admin, source.id)
    assert await approvals.approved(acme.door) == []
    with pytest.raises(NotAllowedNow):
        await acme.approve(held)
    await source_states.resume(acme.door, admin, source.id)
    assert [run_id for _, run_id, _ in await approvals.approved(acme.door)] == [held.id]
    assert (await acme.approve(held)).state == "done"


async def test_plans_that_wait_are_refused_when_their_source_is_ended(acme: World) -> None:
    held = await _held(acme)
    await declared_organizations.release(acme.door, [])
    source = await acme.source()
    await source_ends.end(acme.door, acme.as_admin(), source.id, "remove", sure=True)
    run = await runs.get_run(acme.door, acme.org_id, held.id)
    assert (run.state, run.error) == ("refused", "The source was ended.")
    with pytest.raises(NotAllowedNow, match="is refused; there is nothing to approve"):
        await approvals.approve(acme.door, acme.as_admin(), held.id)
