"""What goes wrong outside: nobody is removed, the run says why, the next one comes later (V9, F10-F12)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import update

from scimd.connector_api import (
    BadEntry,
    ConnectorError,
    CredentialsRefused,
    DirectoryGroup,
    DirectoryUser,
    End,
    Incomplete,
    RateLimited,
    Unreachable,
)
from scimd.core.errors import Busy, NotAllowedNow, StateMoved
from scimd.db.tables import events, group_members
from scimd.db.tables import groups as groups_table
from scimd.db.tables import sources as sources_table
from scimd.org import leases
from scimd.org.runs import plan_batches, run_changes, runs
from scimd.org.sources import source_states, sources
from scimd.org.tx import Tx
from scimd.org.users.people import Asserted, AssertUser
from scimd.sync import run as sync_run
from scimd.sync import waiting
from tests.support.patience import AT_MOST_S, eventually
from tests.sync.world import Person, Script, World, world


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[World]:
    """Thirty people and two groups, synced."""
    async with world(database_url) as found:
        found.script.fill(30)
        found.script.groups = {
            "g1": ("Engineering", [f"x{n:04}" for n in range(20)]),
            "g2": ("Few", ["x0001"]),
        }
        assert (await found.sync()).state == "done"
        yield found


def _fail(fault: Exception, page: int = 2) -> Callable[[Script], None]:
    def change(script: Script) -> None:
        script.fault, script.fault_at_page, script.page = fault, page, 10

    return change


def _no_end(script: Script) -> None:
    script.end = None


def _changes_only(script: Script) -> None:
    script.end = End(full=False)


@pytest.mark.parametrize(
    ("change", "kind", "part"),
    [
        (_fail(CredentialsRefused("the password is wrong"), 0), "credentials_refused", "password"),
        (_fail(Unreachable("no route to ldap.example")), "unreachable", "no route"),
        (_fail(Incomplete("the connection was cut in mid-page")), "incomplete", "mid-page"),
        (_fail(ConnectorError("HTML instead of JSON")), "failed", "HTML"),
        (_fail(ZeroDivisionError("secret=hunter2")), "failed", "ZeroDivisionError"),
        (_no_end, "incomplete", "cut off"),
        (_changes_only, "incomplete", "changes only"),
    ],
    ids=["refused", "unreachable", "cut", "html", "bug", "no-end", "not-full"],
)
async def test_failed_read_changes_nobody_and_says_why(
    acme: World, change: Callable[[Script], None], kind: str, part: str
) -> None:
    before = await acme.state()
    del acme.script.people["x0003"]
    acme.script.fill(1, first=50)
    change(acme.script)
    run = await acme.sync()
    assert (run.state, run.error_kind) == ("failed", kind)
    assert part in (run.error or "")
    assert "hunter2" not in (run.error or "")
    assert await acme.state() == before
    source = await acme.source()
    assert source.failures == 1
    assert source.next_run_at is not None
    assert timedelta(minutes=1) <= source.next_run_at - acme.clock() <= timedelta(minutes=2)
    assert acme.script.closed == 2


async def test_directory_that_answers_again_is_synced_and_the_failures_forgotten(acme: World) -> None:
    acme.script.fault = Unreachable("down")
    assert [(await acme.sync()).state for _ in range(2)] == ["failed", "failed"]
    acme.script.fault = None
    acme.script.fill(1, first=50)
    assert (await acme.sync()).counts["created"] == 1
    source = await acme.source()
    assert (source.failures, source.quarantined_since) == (0, None)
    assert source.next_run_at == acme.clock() + timedelta(minutes=15)


async def test_pause_that_the_directory_asks_for_is_kept(acme: World) -> None:
    acme.script.fault = RateLimited("too many requests", 7200)
    await acme.sync()
    assert (await acme.source()).next_run_at == acme.clock() + timedelta(hours=2)


async def test_failures_in_a_row_are_one_event(acme: World) -> None:
    acme.script.fault = Unreachable("down")
    for _ in range(3):
        await acme.sync()
    assert sum(row.kind == "run.failed" for row in await acme.rows(events)) == 1


async def test_slow_directory_is_given_up_at_the_deadline(database_url: str) -> None:
    async with world(database_url, timeout="0.3s") as acme:
        acme.script.fill(10)
        acme.script.pause_s = 10 * AT_MOST_S
        run = await acme.sync()
        assert (run.state, run.error_kind) == ("failed", "unreachable")
        assert "0.3 s" in (run.error or "")
        assert acme.script.closed == 1


async def test_directory_that_does_not_close_holds_nothing_up(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it gave was whole. The run, and its lease, do not wait for the rest."""
    monkeypatch.setattr(waiting, "CLOSING_S", 0.05)
    acme.script.fill(1, first=50)
    acme.script.closing = asyncio.Event().wait
    async with asyncio.timeout(AT_MOST_S):
        assert (await acme.sync()).counts["created"] == 1


async def test_cancelled_run_leaves_the_source_free_and_the_next_one_works(acme: World) -> None:
    before = len(await runs.list_runs(acme.door, acme.org_id))

    async def begun() -> bool:
        return len(await runs.list_runs(acme.door, acme.org_id)) > before

    acme.script.pause_s = 10 * AT_MOST_S
    task = asyncio.create_task(acme.sync())
    await eventually(begun)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    acme.script.pause_s = 0
    assert (await acme.sync()).state == "done"
    cut_off = (await runs.list_runs(acme.door, acme.org_id))[1]
    assert (cut_off.state, cut_off.error_kind) == ("failed", "interrupted")


async def test_empty_result_removes_nobody(acme: World) -> None:
    before = await acme.state()
    acme.script.people, acme.script.groups = {}, {}
    run = await acme.sync()
    assert (run.state, run.error_kind) == ("failed", "empty")
    assert run.error is not None
    assert "gave nobody" in run.error
    assert await acme.state() == before


async def test_half_of_the_people_missing_removes_nobody_and_takes_nobody_out_of_groups(acme: World) -> None:
    for n in range(15):
        del acme.script.people[f"x{n:04}"]
    acme.script.fill(1, first=50)
    run = await acme.sync()
    assert (run.state, run.counts["held"], run.counts["created"]) == ("held", 15, 1)
    assert len(await acme.active()) == 31


async def test_half_by_references_keeps_memberships_while_removals_are_held(acme: World) -> None:
    acme.script.groups["g1"] = ("Engineering", [f"CN=user{n:04}" for n in range(20)])
    assert (await acme.sync()).changes == 0
    before = (await acme.state())[1]
    for n in range(15):
        del acme.script.people[f"x{n:04}"]
    run = await acme.sync()
    assert run.state == "held"
    assert (await acme.state())[1] == before


async def test_held_plan_is_applied_when_an_admin_approves(acme: World) -> None:
    for n in range(10):
        del acme.script.people[f"x{n:04}"]
    held = await acme.sync()
    assert (held.state, len(await acme.active())) == ("held", 30)
    assert (await acme.source()).quarantined_since is not None
    done = await acme.approve(held)
    assert (done.state, done.counts["deactivated"], len(await acme.active())) == ("done", 10, 20)
    assert (await acme.source()).quarantined_since is None
    assert (await acme.sync()).state == "done"
    assert len(await acme.active()) == 20


async def test_approval_spares_those_who_are_back(acme: World) -> None:
    taken = {key: acme.script.people.pop(key) for key in [f"x{n:04}" for n in range(10)]}
    held = await acme.sync()
    acme.script.people |= taken
    acme.script.people["x0001"].more["title"] = "Dr"
    await acme.sync()
    again = await runs.get_run(acme.door, acme.org_id, held.id)
    assert again.state == "expired"
    with pytest.raises(NotAllowedNow):
        await acme.approve(held)
    assert len(await acme.active()) == 30


async def test_approval_is_refused_after_a_day_and_when_the_mapping_moved(acme: World) -> None:
    for n in range(10):
        del acme.script.people[f"x{n:04}"]
    held = await acme.sync()
    acme.clock.forward(hours=25)
    with pytest.raises(StateMoved) as caught:
        await acme.approve(held)
    tried = f"The plan {held.id} is older than 24 hours. Make a new plan: nothing was applied."
    assert caught.value.detail == tried
    assert (await runs.get_run(acme.door, acme.org_id, held.id)).state == "refused"
    assert len(await acme.active()) == 30


async def test_small_removals_add_up_over_a_day(acme: World) -> None:
    for n in range(5):
        del acme.script.people[f"x{n:04}"]
    assert (await acme.sync()).state == "done"
    del acme.script.people["x0005"]
    held = await acme.sync()
    assert held.state == "held"
    assert held.trips[0].startswith("6 of 30 people")
    acme.clock.forward(hours=30)
    # In quarantine nobody is removed yet; the clean run ends it, and the next one removes.
    assert (await acme.sync()).counts["skipped"] == 1
    assert (await acme.sync()).counts["deactivated"] == 1


async def test_one_bad_entry_fails_alone_and_is_not_taken_for_gone(acme: World) -> None:
    del acme.script.people["x0003"]
    acme.script.bad = [BadEntry("x0003", "cn=user0003", "the line is broken")]
    acme.script.fill(1, first=50)
    run = await acme.sync()
    assert (run.state, run.counts["failed"], run.counts["created"]) == ("partial", 1, 1)
    (bad,) = await run_changes.list_changes(acme.door, acme.org_id, run.id, outcome="failed")
    assert (bad.external_id, bad.reason) == ("x0003", "the line is broken")
    assert "user0003" in await acme.active()


async def test_member_whose_entry_failed_stays_in_the_group(acme: World) -> None:
    acme.script.groups["g1"] = ("Engineering", [f"CN=user{n:04}" for n in range(20)])
    await acme.sync()
    before = (await acme.state())[1]
    saved = acme.script.people.pop("x0003")
    acme.script.bad = [BadEntry("x0003", "cn=user0003", "the line is broken")]
    await acme.sync()
    assert {row for row in before if row[3] == "x0003"} <= set((await acme.state())[1])
    acme.script.people["x0003"], acme.script.bad = saved, []
    await acme.sync()
    assert sorted((await acme.state())[1]) == sorted(before)
    assert (await acme.sync()).changes == 0


async def test_bad_entry_without_an_id_lets_nobody_be_taken_for_gone_in_this_run(acme: World) -> None:
    del acme.script.people["x0003"]
    # An entry that was read and says so is no guess.
    acme.script.people["x0004"].more["active"] = False
    acme.script.bad = [BadEntry(None, "line 7", "no id")]
    run = await acme.sync()
    assert (run.state, run.counts["skipped"], run.counts["deactivated"]) == ("partial", 1, 1)
    assert (await acme.active()).isdisjoint({"user0004"})
    assert "user0003" in await acme.active()
    acme.script.bad = []
    assert (await acme.sync()).counts["deactivated"] == 1


async def test_removals_of_a_read_with_an_entry_without_an_id_cannot_be_approved(acme: World) -> None:
    """However many they are: any of them may be the one that has no name here."""
    for n in range(10):
        del acme.script.people[f"x{n:04}"]
    acme.script.people["new"] = Person("user0003", "new@acme.example")
    acme.script.bad = [BadEntry(None, f"line {n}", "no id") for n in range(10)]
    run = await acme.sync()
    assert (run.state, run.counts["held"], run.counts["deactivated"]) == ("partial", 0, 0)
    with pytest.raises(NotAllowedNow):
        await acme.approve(run)
    assert len(await acme.active()) == 30


async def test_read_in_which_no_entry_has_an_id_fails(acme: World) -> None:
    acme.script.people = {}
    acme.script.bad = [BadEntry(None, f"line {n}", "one column too many") for n in range(30)]
    run = await acme.sync()
    assert (run.state, run.error_kind) == ("failed", "unnamed")
    assert "no entry of a person could be named: one column too many" in (run.error or "")
    assert len(await acme.active()) == 30


async def test_ids_that_all_change_are_held(acme: World) -> None:
    acme.script.people = {f"y{key}": one for key, one in acme.script.people.items()}
    acme.script.groups = {}
    run = await acme.sync()
    assert run.state == "held"
    assert len(await acme.active()) == 30
    assert "user0003" in await acme.active()


async def test_name_that_somebody_else_keeps_fails_alone(acme: World) -> None:
    acme.script.people["x0050"] = Person("user0003", "fifty@acme.example")
    acme.script.fill(1, first=51)
    run = await acme.sync()
    assert (run.state, run.counts["created"], run.counts["failed"]) == ("partial", 1, 1)


async def test_many_failed_entries_put_the_source_into_quarantine_until_a_clean_run(acme: World) -> None:
    for n in range(20):
        acme.script.people[f"x{n:04}"].more["active"] = "perhaps"
    run = await acme.sync()
    assert run.state == "partial"
    source = await acme.source()
    assert source.quarantine_cause == "20 of 30 entries failed"
    assert source.next_run_at == acme.clock() + timedelta(hours=1)
    acme.script.fill(30)
    assert (await acme.sync()).state == "done"
    assert (await acme.source()).quarantined_since is None


async def test_credentials_refused_twice_is_quarantine(acme: World) -> None:
    acme.script.fault = CredentialsRefused("the password is wrong")
    await acme.sync()
    assert (await acme.source()).quarantined_since is None
    await acme.sync()
    source = await acme.source()
    assert source.quarantine_cause == "the password is wrong"
    assert source.next_run_at == acme.clock() + timedelta(hours=1)


async def test_failing_mapping_test_stops_the_run(database_url: str) -> None:
    tests = [{"entry": {"userName": "ada"}, "expect": {"title": "Dr"}}]
    async with world(database_url, mapping_test=tests) as acme:
        acme.script.fill(2)
        run = await acme.sync()
        assert (run.state, run.error_kind) == ("failed", "mapping_test")
        assert await acme.active() == set()


async def test_source_that_is_pushed_to_has_nothing_to_read(acme: World) -> None:
    new = sources.NewSource("okta", state="active")
    okta = await sources.create(acme.door, acme.as_admin(), new)
    for use in (sync_run.sync_source, sync_run.plan_source):
        with pytest.raises(NotAllowedNow, match="identity provider"):
            await use(acme.door, okta)
    assert await runs.list_runs(acme.door, acme.org_id, okta.id) == []


async def test_source_that_is_running_is_busy(acme: World) -> None:
    source = await acme.source()
    ctx = sync_run.context(acme.door, source)
    lease = await acme.door.run(ctx, lambda tx: leases.take(tx, sync_run.lease_name(source), "other"))
    assert lease is not None
    with pytest.raises(Busy):
        await acme.sync()
    await acme.door.run(ctx, lambda tx: leases.release(tx, lease))
    assert (await acme.sync()).state == "done"


async def test_source_paused_in_mid_apply_stops_there(acme: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scimd.org.runs.plan_batches.BATCH", 10)
    acme.script.fill(60)
    ctx = acme.as_admin()
    source = await acme.source()
    paused: list[asyncio.Future[object]] = []

    def report(progress: sync_run.Progress) -> None:
        if progress.stage == "applying" and not paused:
            paused.append(asyncio.ensure_future(source_states.set_state(acme.door, ctx, source.id, "paused")))

    run = await acme.sync(report=report)
    await paused[0]
    assert run.state == "partial"
    assert "paused" in (run.error or "")
    assert 30 < len(await acme.active()) < 60


async def test_group_that_would_lose_most_stays_held_until_an_admin_looks(acme: World) -> None:
    acme.script.groups["g1"] = ("Engineering", ["x0001"])
    held = await acme.sync()
    assert (held.state, held.counts["held"]) == ("held", 1)
    assert "would lose 19 of 20 members" in held.trips[0]
    again = await acme.sync()
    assert (again.state, again.counts["held"]) == ("held", 1)
    done = await acme.approve(again)
    assert (done.state, done.counts["groups_members_changed"]) == ("done", 1)
    assert (await acme.sync()).changes == 0


async def test_change_that_raises_what_nobody_foresaw_fails_alone(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = plan_batches.record_users

    def poisoned(tx: Tx, many: Sequence[AssertUser]) -> list[Asserted]:
        if any(wish.document["userName"] == "user0043" for wish in many):
            raise RuntimeError("secret=hunter2")
        return original(tx, many)

    monkeypatch.setattr(plan_batches, "record_users", poisoned)
    acme.script.fill(60)
    run = await acme.sync()
    assert (run.state, run.counts["created"], run.counts["failed"]) == ("partial", 29, 1)
    (failed,) = await run_changes.list_changes(acme.door, acme.org_id, run.id, outcome="failed")
    assert (failed.name, failed.detail) == ("user0043", "an unforeseen fault: RuntimeError")
    monkeypatch.undo()
    assert (await acme.sync()).counts["created"] == 1


async def test_new_account_admins_wait_for_an_admins_eye(database_url: str) -> None:
    rules = [{"number": 1, "group": "g1", "role": "account-admin", "may_give_account_admin": True}]
    async with world(database_url, rule=rules, ceiling="account-admin", invite="never") as acme:
        acme.script.fill(5)
        acme.script.groups = {"g1": ("Admins", ["x0001"])}
        run = await acme.sync()
        assert run.state == "held"
        assert run.trips == ("1 person would become an Account Admin; the limit is 0",)
        said = await acme.said(run)
        assert (said["Admins"][1], said["user0001"][1], said["user0002"][1]) == (
            "staged",
            "staged",
            "applied",
        )
        assert (await acme.approve(run)).state == "done"
        assert (await acme.sync()).changes == 0


async def test_plan_that_was_cut_off_a_day_ago_is_not_gone_on_with(acme: World) -> None:
    """What it saw is long past: those whom it would remove may be back."""
    gone = acme.script.people.pop("x0003")
    await acme.cut_off()
    acme.script.people["x0003"] = gone
    acme.clock.forward(hours=25)
    before = await acme.written()
    run = await acme.sync()
    assert (run.state, run.counts["unchanged"]) == ("done", 30)
    old = (await runs.list_runs(acme.door, acme.org_id))[1]
    assert (old.state, old.counts["skipped"], old.counts["deactivated"]) == ("partial", 1, 0)
    assert "older than 24 hours" in (old.error or "")
    assert (await acme.written())["events"] == before["events"]


async def test_plan_that_was_cut_off_is_not_gone_on_with_under_another_mapping(acme: World) -> None:
    """A mapping that was mended after the crash must not be overtaken by the plan of the wrong one."""
    acme.script.people.pop("x0003")
    await acme.cut_off()

    def mend(tx: Tx) -> None:
        tx.conn.execute(update(sources_table).values(config_version=sources_table.c.config_version + 1))

    await acme.door.run(acme.as_admin(), mend)
    acme.script.fault, acme.script.fault_at_page = Unreachable("away"), 0
    await acme.sync()
    assert "user0003" in await acme.active()


async def test_two_groups_of_one_id_change_nothing_of_the_group(acme: World) -> None:
    acme.script.doubled_groups = [DirectoryGroup("g1", "cn=Other", "Other", ("x0001",))]
    run = await acme.sync()
    assert run.state == "partial"
    (change,) = await acme.changes(run)
    assert (change.external_id, change.outcome) == ("g1", "failed")
    assert "several groups have this external id" in (change.detail or "")
    engineering = next(row for row in await acme.rows(groups_table) if row.external_id == "g1")
    assert (engineering.display_name, engineering.state) == ("Engineering", "live")
    assert len([row for row in await acme.rows(group_members) if row.group_id == engineering.id]) == 20


async def test_run_in_which_most_entries_fail_removes_nobody(acme: World) -> None:
    """Quarantine begins with the run that finds the reason for it."""
    for n in range(15):
        acme.script.people[f"x{n:04}"].user_name = ""
    acme.script.people.pop("x0020")
    run = await acme.sync()
    assert (run.counts["failed"], run.counts["skipped"], run.counts["deactivated"]) == (15, 1, 0)
    assert len(await acme.active()) == 30


async def test_name_that_is_anothers_external_id_takes_no_membership_of_theirs(acme: World) -> None:
    entry = DirectoryUser("m1", "cn=mallory", {"userName": "mallory"}, ("x0001",))
    acme.script.extra.append(entry)
    run = await acme.sync()
    assert {change.name for change in await acme.changes(run)} == {"mallory"}
    assert len(await acme.rows(group_members)) == 21
