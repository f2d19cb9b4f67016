"""What a plan counts: mails of those who come, people whom a group loses, people who become admins."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.connector_api import BadEntry, DirectoryUser
from scimd.db.tables import assertions, seat_pools
from scimd.db.tables import waiting as waiting_table
from scimd.org.users import gates
from tests.sync.world import MAPPING, Person, world


@pytest.mark.parametrize(("additions", "mails"), [(True, 3), (False, 0)])
async def test_newcomers_who_are_held_are_not_counted_among_the_mails(
    database_url: str, additions: bool, mails: int
) -> None:
    async with world(database_url, limits={"apply_additions": additions}) as acme:
        acme.script.fill(20)
        await acme.sync()
        for n in range(12):
            del acme.script.people[f"x{n:04}"]
        acme.script.fill(3, first=30)
        held = await acme.plan()
        assert held.trips
        assert held.mails == mails


async def test_nested_group_that_leaves_weighs_what_is_below_it(database_url: str) -> None:
    async with world(database_url) as acme:
        acme.script.fill(14)
        ten, two = [f"x{n:04}" for n in range(10)], ["x0010", "x0011"]
        acme.script.groups = {"g1": ("All", ["g2", "g3"]), "g2": ("Many", ten), "g3": ("Few", two)}
        assert (await acme.sync()).state == "done"
        acme.script.groups["g1"] = ("All", ["g3"])
        held = await acme.sync()
        assert held.state == "held"
        assert "the group All would lose 10 of 12 members" in held.trips[0]
        # Whoever stays by another way is not lost.
        acme.script.groups["g1"] = ("All", ["g3", *ten[:8]])
        assert not (await acme.plan()).trips


async def test_new_account_admins_by_a_value_are_held_like_those_by_a_group(database_url: str) -> None:
    rule = {"number": 1, "scim_role": "Boss", "role": "account-admin", "may_give_account_admin": True}
    mapping = {"user": {**MAPPING, "roles": "entry.?role"}}
    async with world(database_url, rule=[rule], ceiling="account-admin", mapping=mapping) as acme:
        acme.script.fill(5)
        assert (await acme.sync()).state == "done"
        acme.script.people["x0001"] = Person("user0001", "user0001@acme.example", {"role": "boss"})
        held = await acme.sync()
        assert held.state == "held"
        assert "1 person would become an Account Admin" in held.trips[0]


@pytest.mark.parametrize("comes_back_as", ["x0001", "x0099"])
async def test_an_account_admin_who_was_gone_is_a_new_one(database_url: str, comes_back_as: str) -> None:
    """Under the name of before there may be somebody else."""
    rule = {"number": 1, "scim_role": "Boss", "role": "account-admin", "may_give_account_admin": True}
    mapping = {"user": {**MAPPING, "roles": "entry.?role"}}
    async with world(database_url, rule=[rule], ceiling="account-admin", mapping=mapping) as acme:
        acme.script.fill(5)
        boss = Person("user0001", "user0001@acme.example", {"role": "boss"})
        acme.script.people["x0001"] = boss
        acme.script.people["x0002"] = Person("user0002", "user0002@acme.example", {"role": "boss"})
        assert (await acme.approve(await acme.sync())).state == "done"
        del acme.script.people["x0001"]
        assert (await acme.sync()).state == "done"
        acme.script.people[comes_back_as] = boss
        held = await acme.sync()
        assert held.state == "held"
        assert "1 person would become an Account Admin" in held.trips[0]


_ADMINS = {"number": 20, "group": "g1", "role": "account-admin", "may_give_account_admin": True}
_USERS = {"number": 10, "group": "g2", "role": "user"}


@pytest.mark.parametrize("how", ["pending", "disabled", "second-role"])
async def test_account_admin_who_cannot_sign_in_or_is_a_user_first_is_not_new_at_every_run(
    database_url: str, how: str
) -> None:
    invite = "immediate" if how == "pending" else "never"
    rules = [_ADMINS, _USERS] if how == "second-role" else [_ADMINS]
    async with world(database_url, rule=rules, ceiling="account-admin", invite=invite) as acme:
        acme.script.fill(12)
        everybody = [f"x{n:04}" for n in range(12)]
        acme.script.groups = {"g1": ("Admins", ["x0001", "x0002"]), "g2": ("All", everybody)}
        assert (await acme.approve(await acme.sync())).state == "done"
        if how == "disabled":
            ids = {row.user_name: row.person_id for row in await acme.rows(assertions)}
            await gates.disable(acme.door, acme.as_admin(), ids["user0002"])
        assert (await acme.sync()).trips == ()
        del acme.script.people["x0011"]
        assert (await acme.sync()).counts["deactivated"] == 1


async def test_last_account_admin_is_held_whatever_role_comes_first(database_url: str) -> None:
    async with world(database_url, rule=[_ADMINS, _USERS], ceiling="account-admin", invite="never") as acme:
        acme.script.fill(12)
        everybody = [f"x{n:04}" for n in range(12)]
        acme.script.groups = {"g1": ("Admins", ["x0001"]), "g2": ("All", everybody)}
        assert (await acme.approve(await acme.sync())).state == "done"
        del acme.script.people["x0001"]
        held = await acme.sync()
        assert held.state == "held"
        assert "no Account Admin who can sign in would be left" in held.trips


async def test_source_that_gives_no_role_yet_trips_over_no_admins(database_url: str) -> None:
    """A shadow's people are no Account Admins after any of its runs, and nothing is held."""
    async with world(database_url, rule=[_ADMINS], ceiling="account-admin", state="shadow") as acme:
        acme.script.fill(3)
        acme.script.groups = {"g1": ("Admins", ["x0001"])}
        assert (await acme.approve(await acme.sync())).state == "done"
        assert (await acme.sync()).trips == ()
        assert (await acme.source()).quarantined_since is None


async def test_mails_and_seats_of_a_plan_are_those_that_there_will_be(database_url: str) -> None:
    async with world(database_url, seats_=3) as acme:
        acme.script.fill(5)
        plan = await acme.plan()
        assert (plan.mails, plan.seats["waiting"]) == (3, 2)
        await acme.approve(plan)
        del acme.script.people["x0000"]
        acme.script.fill(2, first=10)
        plan = await acme.plan()
        # The seat that becomes free is one of those who wait already.
        assert (plan.mails, plan.seats["after"], plan.seats["waiting"]) == (0, 3, 2)


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"userName": "x" * 3000}, "userName: it is longer than 500 characters"),
        ({"userName": True}, "userName: it must be a string that is not empty"),
        ({"userName": "bob", "displayName": "x" * 20_000}, "displayName: it is longer than 10000 characters"),
    ],
)
async def test_entry_that_cannot_be_stored_fails_in_the_plan_as_in_the_run(
    database_url: str, attributes: dict[str, Any], why: str
) -> None:
    async with world(database_url) as acme:
        acme.script.fill(3)
        acme.script.extra = [DirectoryUser("odd", "line 4", attributes)]
        for run in (await acme.plan(), await acme.sync()):
            failed = [change for change in await acme.changes(run) if change.outcome == "failed"]
            assert [(change.external_id, change.detail) for change in failed] == [("odd", why)]
            assert run.counts["created"] == 3


@pytest.mark.parametrize(("invite", "used", "waiting"), [("immediate", 2, 0), ("never", 5, 5)])
async def test_a_plan_promises_no_seat_to_somebody_new_whom_no_invitation_reaches(
    database_url: str, invite: str, used: int, waiting: int
) -> None:
    async with world(database_url, seats_=5, invite=invite) as acme:
        acme.script.fill(2)
        acme.script.people |= {f"y{n}": Person(f"no-mail-{n}") for n in range(8)}
        planned = (await acme.plan()).seats
        await acme.sync()
        (pool,) = await acme.rows(seat_pools)
        assert (planned["after"], planned["waiting"]) == (used, waiting)
        assert (pool.used, await acme.count(waiting_table)) == (used, waiting)


@pytest.mark.parametrize("failed", ["g1", "g2"])
async def test_new_account_admins_through_a_group_that_failed_are_held(
    database_url: str, failed: str
) -> None:
    """What failed stays as it is, and gives what it gave: also to who is new in it, or it in what gives."""
    async with world(database_url, rule=[_ADMINS], ceiling="account-admin", invite="never") as acme:
        acme.script.fill(12)
        crew = ["x0005", "x0006"]
        groups = {"g1": ("Admins", ["x0001", "g3"]), "g2": ("Crew", crew), "g3": ("Sub", ["x0002"])}
        acme.script.groups = dict(groups)
        assert (await acme.approve(await acme.sync())).state == "done"
        bad = BadEntry(failed, f"cn={failed}", "it cannot be read", "group")
        acme.script.bad = [bad]
        del acme.script.groups[failed]
        assert (await acme.sync()).trips == ()
        grown = {"g1": ("g3", ("Sub", ["x0002", *crew])), "g2": ("g1", ("Admins", ["x0001", "g3", "g2"]))}
        external_id, group = grown[failed]
        acme.script.groups[external_id] = group
        held = await acme.sync()
        assert held.trips == ("2 people would become Account Admins; the limit is 0",)
        assert (await acme.said(held))[group[0]] == ("members", "staged")
