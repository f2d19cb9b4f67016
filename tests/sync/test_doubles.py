"""Several entries that are one person: which of them is meant cannot be told, and none of them counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scimd.connector_api import BadEntry, DirectoryGroup, DirectoryUser, End, Page
from scimd.core.people import PersonId
from scimd.db.tables import assertions, group_members, groups
from scimd.org.identities import linking
from scimd.org.runs import plan_batches
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource
from scimd.org.users.people import AssertUser, record_users
from scimd.sync import run as sync_run
from tests.sync.world import Person, World, world


@pytest.mark.parametrize("page", [100, 10])
async def test_double_is_named_and_none_of_its_entries_counts(database_url: str, page: int) -> None:
    async with world(database_url) as acme:
        acme.script.fill(30)
        await acme.sync()
        acme.script.page = page
        acme.script.people["x0003"].more["active"] = False
        acme.script.people["x0040"] = Person("new")
        acme.script.extra = [
            DirectoryUser(key, "cn=again", {"userName": "other"}) for key in ("x0003", "x0040")
        ]
        run = await acme.sync()
        assert (run.state, run.counts["failed"], run.counts["created"]) == ("partial", 2, 0)
        assert "user0003" in await acme.active()
        acme.script.extra = []
        assert (await acme.sync()).counts["deactivated"] == 1


async def test_entries_that_only_the_end_of_the_read_refuses_are_failed_ones_of_many(acme: World) -> None:
    acme.script.fill(30)
    await acme.sync()
    for n in range(25):
        acme.script.people[f"y{n:04}"] = Person(f"user{n:04}")
    del acme.script.people["x0029"]
    run = await acme.sync()
    assert (run.counts["failed"], run.counts["deactivated"]) == (25, 0)
    assert (await acme.source()).quarantine_cause == "25 of 54 entries failed"


@pytest.mark.parametrize("by", ["group first", "group last", "bad entry"])
async def test_the_id_of_a_person_is_no_groups_and_their_own_entry_counts(database_url: str, by: str) -> None:
    async with world(database_url) as acme:
        acme.script.fill(30)
        await acme.sync()
        acme.script.people["x0003"].more["active"] = False
        group = DirectoryGroup("x0003", "line 2", "Sales", ("x0004",))
        if by == "bad entry":
            acme.script.bad = [BadEntry("x0003", "line 2", "the id is a person's", "group")]
        elif by == "group first":
            acme.script.doubled_groups = [group]
        else:
            acme.script.end, acme.script.last = None, [Page(groups=(group,), end=End(full=True))]
        run = await acme.sync()
        assert (run.state, run.counts["failed"], run.counts["deactivated"]) == ("partial", 1, 1)
        assert "user0003" not in await acme.active()
        assert not await acme.count(groups)


@pytest.mark.parametrize("first", [True, False])
async def test_what_a_group_is_called_that_has_the_id_of_a_person_is_not_theirs(
    database_url: str, first: bool
) -> None:
    """Whoever lists the group lists nobody: the person would be in what the group is in."""
    async with world(database_url) as acme:
        acme.script.fill(5)
        acme.script.groups = {"p": ("Parent", ["cn=sales", "CN=user0001"])}
        sales = DirectoryGroup("x0003", "cn=sales", "Sales", ("x0004",), {}, ("cn=sales",))
        if first:
            acme.script.doubled_groups = [sales]
        else:
            acme.script.end, acme.script.last = None, [Page(groups=(sales,), end=End(full=True))]
        run = await acme.sync()
        assert (run.state, run.counts["created"], run.counts["failed"]) == ("partial", 5, 1)
        who = {row.person_id: row.external_id for row in await acme.rows(assertions)}
        assert [who[row.person_id] for row in await acme.rows(group_members) if row.person_id] == ["x0001"]
        changed = await acme.sync()
        assert (changed.counts["updated"], changed.counts.get("groups_members_changed", 0)) == (0, 0)


async def test_two_entries_that_fit_one_person_are_both_named_and_neither_is_linked(
    database_url: str,
) -> None:
    async with world(database_url, join=["mail"]) as acme:
        new = NewSource("okta", state="active", config={"join": ["mail"]})
        okta = await sources.create(acme.door, acme.as_admin(), new)
        ctx = replace(sync_run.context(acme.door, okta), door="scim")
        ada = AssertUser({"userName": "ada", "emails": [{"value": "ada@acme.example"}]}, "okta-1")
        await acme.door.run(ctx, lambda tx: record_users(tx, [ada]))
        acme.script.people = {key: Person(key, "ada@acme.example") for key in ("x1", "x2")}
        acme.script.people["x3"] = Person("bob", "bob@acme.example")
        for created in (1, 0):
            run = await acme.sync()
            assert (run.state, run.counts["failed"], run.counts["created"]) == ("partial", 2, created)
        change = (await acme.changes(run))[0]
        assert change.detail == (
            "2 entries of this source fit a person by a key that both sources carry; a person has one"
        )
        del acme.script.people["x2"]
        assert (await acme.sync()).counts["linked"] == 1


async def test_two_entries_that_an_admin_said_are_one_person_are_both_named(database_url: str) -> None:
    async with world(database_url) as acme:
        okta = await sources.create(acme.door, acme.as_admin(), NewSource("okta", state="active"))
        ctx = replace(sync_run.context(acme.door, okta), door="scim")
        said = AssertUser({"userName": "ada"}, "okta-1")
        (ada,) = await acme.door.run(ctx, lambda tx: record_users(tx, [said]))
        for entry in ("x1", "x2"):
            ada_id = PersonId(str(ada.person_id))
            assert not await linking.link(acme.door, acme.as_admin(), ada_id, "hr", entry)
        acme.script.people = {key: Person(key) for key in ("x1", "x2", "x3")}
        run = await acme.sync()
        assert (run.state, run.counts["failed"], run.counts["created"]) == ("partial", 2, 1)
        assert (await acme.changes(run))[-1].detail == (
            "2 entries of this source fit a person as an admin decided; a person has one"
        )
        del acme.script.people["x2"]
        plan = await acme.plan()
        (change,) = await acme.changes(plan)
        assert (change.action, change.situation, change.target_id) == ("link", "matches-unlinked", ada_id)
        assert change.reason == "fits a person as an admin decided"
        assert (await acme.sync()).counts["linked"] == 1


@pytest.mark.parametrize("active", [True, False])
async def test_an_inactive_person_whose_entry_is_there_is_no_other_entrys(acme: World, active: bool) -> None:
    acme.script.people["1"] = Person("ada", "ada@acme.example")
    await acme.sync()
    acme.script.people["1"].more["active"] = False
    acme.script.people["0"] = Person("ada", "ada@acme.example", {"active": active})
    for deactivated in (1, 0, 0):
        run = await acme.sync()
        assert (run.state, run.counts["failed"], run.changes) == ("partial", 1, deactivated)
    (change,) = await acme.changes(run)
    assert (change.external_id, change.detail) == (
        "0", "another entry of this source has the user name 'ada'; each needs its own",
    )  # fmt: skip
    del acme.script.people["1"]
    assert (await acme.sync()).state == "done"
    known = [row for row in await acme.rows(assertions) if row.user_name == "ada"]
    assert [(row.external_id, row.active) for row in known] == [("0", active)]


@pytest.mark.parametrize("gone", [True, False])
async def test_two_entries_under_the_name_of_one_who_is_gone_are_neither(acme: World, gone: bool) -> None:
    acme.script.people["1"] = Person("ada")
    await acme.sync()
    del acme.script.people["1"]
    if gone:
        await acme.sync()
        acme.script.people |= {key: Person("ada") for key in ("2", "3")}
        run = await acme.sync()
        assert [change.detail for change in await acme.changes(run)] == [
            "2 entries of this source fit a person by its user name; a person has one"
        ] * 2
        del acme.script.people["3"]
    else:
        acme.script.people["2"] = Person("ada")
    assert (await acme.sync()).state == "done"
    assert "ada" in await acme.active()


@pytest.mark.parametrize("batch", [200, 1])
async def test_whoever_takes_the_name_that_an_inactive_one_gives_up_is_somebody_new(
    acme: World, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_batches, "BATCH", batch)
    acme.script.people["1"] = Person("ada", more={"active": False})
    await acme.sync()
    acme.script.people["1"].user_name = "ada-old"
    acme.script.people["0"] = Person("ada")
    run = await acme.sync()
    assert (run.state, run.counts["created"], run.counts["updated"]) == ("done", 1, 1)
    named = {row.external_id: row.user_name for row in await acme.rows(assertions)}
    assert (named["0"], named["1"]) == ("ada", "ada-old")
    assert (await acme.sync()).changes == 0


@pytest.mark.parametrize("batch", [200, 1])
@pytest.mark.parametrize("other", ["0", "6"])
async def test_whoever_comes_back_by_their_own_id_leaves_their_name_to_somebody_new(
    acme: World, other: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_batches, "BATCH", batch)
    ada = await _gone(acme, "1", "ada")
    acme.script.people |= {"1": Person("ada-new"), other: Person("ada")}
    run = await acme.sync()
    assert (run.state, run.counts["created"], run.counts["updated"]) == ("done", 1, 1)
    known = {row.external_id: row for row in await acme.rows(assertions)}
    assert (known["1"].user_name, known["1"].person_id) == ("ada-new", ada)
    assert (known[other].user_name, known[other].state) == ("ada", "live")
    assert known[other].person_id != ada
    assert (await acme.sync()).changes == 0


@pytest.mark.parametrize("other", ["0", "6"])
async def test_whoever_comes_back_by_their_own_id_keeps_their_name(acme: World, other: str) -> None:
    ada = await _gone(acme, "1", "ada")
    acme.script.people |= {"1": Person("ada"), other: Person("ada")}
    for updated in (1, 0):
        run = await acme.sync()
        assert (run.state, run.counts["failed"], run.counts["updated"]) == ("partial", 1, updated)
        assert (await acme.changes(run))[-1].detail == (
            "another entry of this source has the user name 'ada'; each needs its own"
        )
        known = {row.external_id: row.person_id for row in await acme.rows(assertions)}
        assert known["1"] == ada
        assert other not in known


async def _gone(acme: World, external_id: str, user_name: str) -> str:
    """The id of somebody who was there, and is gone from the directory."""
    acme.script.people[external_id] = Person(user_name)
    await acme.sync()
    del acme.script.people[external_id]
    await acme.sync()
    (found,) = [row.person_id for row in await acme.rows(assertions) if row.external_id == external_id]
    return str(found)
