"""The engine on both databases: what one run does, and what the next one has left to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import select, update

from scimd.core.errors import NotAllowedNow
from scimd.core.people import PersonId
from scimd.db.tables import assertions, decisions, groups, projects
from scimd.org import new_tables
from scimd.org.decisions import moot
from scimd.org.declared import declared_organizations
from scimd.org.groups.groups import change_members
from scimd.org.runs import run_changes
from scimd.org.runs.runs import RunRecord
from scimd.org.runs.sync_reads import live_users
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource
from scimd.org.users.people import AssertUser, record_users
from scimd.sync import run as sync_run
from tests.support.statistics import known, left_alone
from tests.sync.world import Person, World, source_config, world


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[World]:
    async with world(database_url) as found:
        yield found


async def test_first_sync_brings_people_and_groups_and_the_second_changes_nothing(acme: World) -> None:
    acme.script.fill(30)
    acme.script.groups = {"g1": ("Engineering", ["CN=user0001", "x0002"]), "g2": ("All", ["g1", "x0003"])}
    run = await acme.sync()
    assert (run.state, run.counts["created"], run.counts["groups_created"]) == ("done", 30, 2)
    assert len(await acme.active()) == 30
    assert {row.name for row in await acme.rows(projects)} == {"General", "Engineering", "All"}
    before, written = await acme.state(), await acme.written()
    second = await acme.sync()
    assert (second.state, second.changes, second.counts["unchanged"]) == ("done", 0, 30)
    assert await acme.changes(second) == []
    assert await acme.state() == before
    assert await acme.written() == written


async def test_a_first_sync_sees_to_it_that_postgresql_knows_what_it_fills(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else may be there to do it, and its own daemon comes after a minute."""
    monkeypatch.setattr(new_tables, "EVERY_S", 0.0)
    async with world(postgres_url, invite="never") as acme:
        left_alone(postgres_url)
        acme.script.fill(400)
        assert (await acme.sync()).state == "done"
        assert await acme.door.db.read(known) > 0


async def test_a_table_that_cannot_be_looked_at_stops_no_sync(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody builds an index on it, say: people are written beside that, and ANALYZE would wait."""
    monkeypatch.setattr(new_tables, "EVERY_S", 0.0)
    monkeypatch.setattr(new_tables, "_AT_MOST_S", 0.2)
    async with world(postgres_url, invite="never") as acme:
        left_alone(postgres_url)
        with psycopg.connect(postgres_url) as somebody:
            somebody.execute("LOCK TABLE assertions IN SHARE UPDATE EXCLUSIVE MODE")
            acme.script.fill(400)
            assert (await acme.sync()).state == "done"
            assert await acme.door.db.read(known) < 0
        assert len(await acme.active()) == 400


async def test_report_names_exactly_what_changed_with_old_and_new(acme: World) -> None:
    acme.script.fill(40)
    acme.script.groups = {"g1": ("Engineering", [f"x{n:04}" for n in range(20)])}
    await acme.sync()
    acme.script.people["x0003"].more["title"] = "Dr"
    del acme.script.people["x0004"]
    acme.script.people["x0005"].more["active"] = False
    acme.script.fill(1, first=90)
    acme.script.groups["g1"] = ("Research", [f"x{n:04}" for n in range(20) if n != 4])
    run = await acme.sync()
    assert await acme.said(run) == {
        "user0003": ("update", "applied"),
        "user0004": ("deactivate", "applied"),
        "user0005": ("deactivate", "applied"),
        "user0090": ("create", "applied"),
        "Research": ("rename", "applied"),
    }
    by_name = {change.name: change for change in await acme.changes(run)}
    assert (by_name["user0003"].old, by_name["user0003"].new) == ({"title": None}, {"title": "Dr"})
    assert by_name["user0004"].reason == "no longer in the directory"
    assert by_name["Research"].old == {"displayName": "Engineering", "members": ["x0004"]}
    assert by_name["Research"].new == {"displayName": "Research"}
    assert (by_name["user0090"].new or {})["userName"] == "user0090"
    assert {row.name for row in await acme.rows(projects)} == {"General", "Research"}
    assert (await acme.sync()).changes == 0


async def test_two_people_swap_names_and_addresses_in_one_run(acme: World) -> None:
    acme.script.fill(10)
    await acme.sync()
    one, two, three = (acme.script.people[f"x000{n}"] for n in (1, 2, 3))
    acme.script.people["x0001"], acme.script.people["x0002"], acme.script.people["x0003"] = two, three, one
    run = await acme.sync()
    assert (run.state, run.counts["updated"]) == ("done", 3)
    names = {row[0]: (row[1], row[7]) for row in (await acme.state())[0]}
    assert names["x0001"] == ("user0002", "user0002@acme.example")
    assert names["x0003"] == ("user0001", "user0001@acme.example")
    assert (await acme.sync()).changes == 0


async def test_someone_who_comes_back_is_the_same_person(acme: World) -> None:
    acme.script.fill(20)
    await acme.sync()
    ids = {change.name: change.target_id for change in await acme.changes(await _without(acme, "x0007"))}
    acme.script.fill(1, first=7)
    run = await acme.sync()
    (change,) = await acme.changes(run)
    assert (change.situation, change.target_id) == ("returned", ids["user0007"])
    assert len(await acme.active()) == 20


async def _without(acme: World, external_id: str) -> RunRecord:
    del acme.script.people[external_id]
    return await acme.sync()


async def test_user_name_of_someone_who_left_goes_to_the_newcomer_in_the_same_run(acme: World) -> None:
    acme.script.fill(20)
    await acme.sync()
    acme.script.people["new"] = acme.script.people.pop("x0007")
    run = await acme.sync()
    assert run.state == "done", await acme.said(run)
    assert len(await acme.active()) == 20
    assert (await acme.sync()).changes == 0


async def test_plan_shows_what_a_sync_would_do_and_does_nothing(acme: World) -> None:
    acme.script.fill(5)
    before, written = await acme.state(), await acme.written()
    run = await acme.plan()
    assert (run.state, run.counts["created"], run.mails) == ("planned", 5, 5)
    assert await acme.state() == before
    assert await acme.written() == written
    done = await acme.approve(run)
    assert (done.state, len(await acme.active())) == ("done", 5)
    with pytest.raises(NotAllowedNow):
        await acme.approve(run)


async def test_seats_go_in_the_order_of_rules_and_the_rest_wait(database_url: str) -> None:
    rules = [{"number": 1, "group": "g1", "project": "First"}]
    async with world(database_url, seats_=3, rule=rules, invite="never") as acme:
        acme.script.fill(6)
        acme.script.groups = {"g1": ("Key people", ["x0004", "x0005"])}
        run = await acme.sync()
        assert run.seats["waiting"] == 3
        seated = {row[1] for row in (await acme.state())[0] if row[6]}
        assert seated == {"user0004", "user0005", "user0000"}


async def test_paused_source_is_not_run(database_url: str) -> None:
    async with world(database_url, state="paused") as acme:
        with pytest.raises(NotAllowedNow, match="paused"):
            await acme.sync()


async def test_source_that_left_the_file_is_read_no_more_until_it_is_back(acme: World) -> None:
    acme.script.fill(2)
    await declared_organizations.release(acme.door, [])
    for read in (acme.plan, acme.sync):
        with pytest.raises(NotAllowedNow, match="not in the config file any more; nothing reads it"):
            await read()
    run, _ = await sync_run.preview_source(acme.door, await acme.source(), source_config())
    assert run.counts["created"] == 2


async def test_out_of_scope_leaves_and_failed_entry_stays(database_url: str) -> None:
    mapping = {
        "user": {"userName": "entry.userName[0]", "title": "entry.?title[?0]", "active": "entry.?active[?0]"},
        "scope": "!has(entry.robot)",
    }
    async with world(database_url, mapping=mapping) as acme:
        acme.script.fill(20)
        await acme.sync()
        acme.script.people["x0001"].more["robot"] = "1"
        acme.script.people["x0002"].more["active"] = "perhaps"
        acme.script.people["x0099"] = Person("robot99", more={"robot": "1"})
        run = await acme.sync()
        assert run.state == "partial"
        said = {change.external_id: (change.action, change.outcome) for change in await acme.changes(run)}
        assert said == {"x0001": ("deactivate", "applied"), "x0002": ("fail", "failed")}
        assert "user0002" in await acme.active()
        assert run.situations["user.out-of-scope"] == 2


async def test_applying_a_dry_plan_leaves_out_whoever_moved_since(acme: World) -> None:
    acme.script.fill(20)
    await acme.sync()
    acme.script.people["x0001"].more["title"] = "Dr"
    acme.script.people["x0002"].more["title"] = "Dr"
    del acme.script.people["x0003"]
    plan = await acme.plan()
    ctx = sync_run.context(acme.door, await acme.source())
    (user,) = await live_users_named(acme, "user0001")
    wish = AssertUser({"userName": "user0001", "title": "Prof"}, "x0001", person_id=user)
    await acme.door.run(ctx, lambda tx: record_users(tx, [wish]))
    done = await acme.approve(plan)
    assert done.state == "partial"
    assert await acme.said(done) == {
        "user0001": ("update", "skipped"),
        "user0002": ("update", "applied"),
        "user0003": ("deactivate", "applied"),
    }


async def live_users_named(acme: World, name: str) -> list[PersonId]:
    ctx = sync_run.context(acme.door, await acme.source())
    return [user.person_id for user in await live_users(acme.door, ctx, None, 100) if user.user_name == name]


async def test_entry_that_collides_waits_for_a_decision_and_is_asked_once(acme: World) -> None:
    """The address belongs to somebody whom another source manages."""
    okta = await sources.create(acme.door, acme.as_admin(), NewSource("okta", state="active"))
    ctx = replace(sync_run.context(acme.door, okta), door="scim")
    theirs = AssertUser(
        {"userName": "ada", "emails": [{"value": "user0001@acme.example", "primary": True}]}, "okta-1"
    )
    await acme.door.run(ctx, lambda tx: record_users(tx, [theirs]))
    acme.script.fill(3)
    for _ in range(2):
        run = await acme.sync()
        assert run.state == "partial"
        (waits,) = await run_changes.list_changes(acme.door, acme.org_id, run.id, action="wait")
        assert (waits.external_id, waits.situation, waits.outcome) == ("x0001", "foreign", "waiting")
        assert waits.reason == "the address is held by somebody whom okta manages"
        assert run.counts["waiting"] == 1
    assert await acme.count(decisions) == 1
    acme.clock.forward(minutes=1)
    await acme.sync()
    assert await moot.close_due(acme.door, acme.org_id) == 0
    del acme.script.people["x0001"]
    assert await moot.close_due(acme.door, acme.org_id) == 0
    await acme.sync()
    assert await moot.close_due(acme.door, acme.org_id) == 1
    assert [row.state for row in await acme.rows(decisions)] == ["moot"]


async def test_group_that_is_gone_leaves_its_project_and_its_people(acme: World) -> None:
    acme.script.fill(5)
    acme.script.groups = {f"g{n}": (f"Group {n}", ["x0001"]) for n in range(5)}
    await acme.sync()
    del acme.script.groups["g3"]
    run = await acme.sync()
    assert await acme.said(run) == {"Group 3": ("delete", "applied")}
    assert {row.name: row.orphaned for row in await acme.rows(projects)}["Group 3"] is True
    assert (await acme.sync()).changes == 0


async def test_only_the_groups_that_are_wanted_are_read(database_url: str) -> None:
    async with world(database_url, groups={"default": "project", "only": ["eng-*"]}) as acme:
        acme.script.fill(2)
        acme.script.groups = {"g1": ("Eng-Core", ["x0001"]), "g2": ("Sales", ["x0001"])}
        run = await acme.sync()
        assert run.counts["groups_created"] == 1
        assert (await acme.sync()).changes == 0


async def test_member_that_appears_later_is_in_its_group_at_once(acme: World) -> None:
    acme.script.fill(2)
    acme.script.groups = {"g1": ("Engineering", ["x0001", "x0009"])}
    await acme.sync()
    acme.script.people["x0009"] = Person("late")
    run = await acme.sync()
    assert await acme.said(run) == {"late": ("create", "applied")}
    assert ("g1", "Engineering", "live", "x0009") in (await acme.state())[1]
    assert (await acme.sync()).changes == 0


async def test_member_who_left_and_returned_is_in_no_group_that_lists_them_no_more(acme: World) -> None:
    acme.script.fill(10)
    acme.script.groups = {"g1": ("Engineering", ["x0001", "x0002"])}
    await acme.sync()
    back = acme.script.people.pop("x0002")
    await acme.sync()
    acme.script.groups = {"g1": ("Engineering", ["x0001"])}
    await acme.sync()
    acme.script.people["x0002"] = back
    await acme.sync()
    assert [row[3] for row in (await acme.state())[1]] == ["x0001"]


async def test_once_a_week_each_entry_is_compared_whatever_its_digest_says(acme: World) -> None:
    """Something took a member away, and changed a title, behind the digests' back."""
    acme.script.fill(5)
    acme.script.groups = {"g1": ("Engineering", ["x0001", "x0002"])}
    await acme.sync()
    ctx = sync_run.context(acme.door, await acme.source())
    (group,) = await acme.rows(groups)
    await acme.door.run(ctx, lambda tx: change_members(tx, group.id, (), ["x0002"]))
    (user,) = await live_users_named(acme, "user0003")
    document = assertions.c.document
    await acme.door.run(
        ctx,
        lambda tx: tx.conn.execute(
            update(assertions)
            .where(assertions.c.person_id == user)
            .values(document=select(document).where(assertions.c.external_id == "x0004").scalar_subquery())
        ),
    )
    acme.clock.forward(days=6)
    run = await acme.sync()
    assert (run.changes, run.full) == (0, False)
    acme.clock.forward(days=1)
    run = await acme.sync()
    assert (run.full, run.counts["unchanged"]) == (True, 4)
    assert await acme.said(run) == {"Engineering": ("members", "applied"), "user0003": ("update", "applied")}
    run = await acme.sync()
    assert (run.changes, run.full) == (0, False)
    acme.clock.forward(days=7)
    before = await acme.written()
    run = await acme.sync()
    assert (run.changes, run.full, run.counts["unchanged"]) == (0, True, 5)
    assert await acme.written() == before
