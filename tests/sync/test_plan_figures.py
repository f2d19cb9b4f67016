"""What a plan counts: mails of those who come, people whom a group loses, people who become admins."""

from __future__ import annotations

import pytest

from scimd.sync import registry
from tests.sync.world import MAPPING, Person, Point, world


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_found", lambda: {"scripted": Point()})


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
