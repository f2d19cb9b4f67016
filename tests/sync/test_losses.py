"""What groups lose is weighed by who is in them, whatever the read says of the groups in them."""

from __future__ import annotations

import pytest

from scimd.connector_api import BadEntry
from scimd.core.people import PersonId
from scimd.core.sync.found import PersonFound
from scimd.core.sync.policy import Situation
from scimd.org.runs.sync_reads import KnownUser
from scimd.sync.losses import Crowd, emptied, losses
from tests.sync.world import World, world


def _some(first: int, last: int) -> list[str]:
    return [f"x{n:04}" for n in range(first, last)]


def _crowd(known: str, *, inactive: str = "", gone: str = "", elsewhere: str = "") -> Crowd:
    """People of one letter each."""
    live = {
        one: KnownUser(PersonId(one), one, one, one not in inactive, "live", None, 1, b"", None)
        for one in known + inactive + gone + elsewhere
    }
    found = [
        PersonFound(Situation.GONE, one, one, "", elsewhere=one in elsewhere) for one in gone + elsewhere
    ]
    return Crowd(live, found)


async def _synced(acme: World, groups: dict[str, tuple[str, list[str]]]) -> None:
    acme.script.fill(40)
    acme.script.groups = groups
    assert (await acme.sync()).state == "done"


async def _members(acme: World) -> int:
    return len([row for row in (await acme.state())[1] if row[3]])


# ------------------------------------------------------------------------------ the arithmetic


def test_group_above_one_that_empties_loses_what_it_holds() -> None:
    before = {"parent": ["child"], "child": ["a", "b"], "other": ["a"]}
    after: dict[str, list[str]] = {"parent": [], "child": [], "other": ["a"]}
    assert list(losses(before, after, ["parent", "child"], _crowd("ab"))) == [
        ("child", 2, 2),
        ("parent", 2, 2),
    ]


def test_group_that_stays_as_it_is_loses_with_the_groups_in_it() -> None:
    before = {"all": ["one", "two"], "one": ["a", "b"], "two": ["c"]}
    after: dict[str, list[str]] = {"all": ["one", "two"], "one": [], "two": []}
    assert list(losses(before, after, ["one", "two"], _crowd("abc"))) == [
        ("all", 3, 3), ("one", 2, 2), ("two", 1, 1),
    ]  # fmt: skip


def test_whoever_stays_by_another_way_is_not_lost() -> None:
    before = {"all": ["one"], "one": ["a", "b"]}
    assert list(losses(before, {"all": ["b"], "one": ["a", "b"]}, ["all"], _crowd("ab"))) == [("all", 2, 1)]
    assert list(losses(before, {"all": ["a", "b"], "one": ["a", "b"]}, ["all"], _crowd("ab"))) == []


def test_group_that_is_gone_loses_all_and_circles_end() -> None:
    before = {"one": ["two", "a"], "two": ["one", "b"]}
    after = {"one": ["two", "a"]}
    assert list(losses(before, after, ["two"], _crowd("ab"))) == [("one", 2, 1), ("two", 2, 2)]


def test_names_of_nobody_and_people_without_access_weigh_nothing() -> None:
    before = {"one": ["a", "b", "CN=Nobody", "i"]}
    assert list(losses(before, {"one": ["CN=Nobody"]}, ["one"], _crowd("ab", inactive="i"))) == [
        ("one", 2, 2)
    ]


def test_whoever_leaves_where_another_source_has_them_is_lost_though_they_are_listed() -> None:
    groups = {"all": ["one"], "one": ["a", "b", "c"], "two": ["a"]}
    crowd = _crowd("a", gone="b", elsewhere="c")
    assert list(losses(groups, groups, [], crowd)) == [("all", 3, 1), ("one", 3, 1)]


def test_groups_are_emptied_where_none_keeps_anybody_though_they_are_there() -> None:
    before: dict[str, list[str]] = {"one": ["a"], "two": ["b"], "void": []}
    empty: dict[str, list[str]] = {"one": [], "two": [], "void": []}
    assert emptied(before, empty, _crowd("ac", gone="b")) == 2
    assert emptied(before, {**empty, "void": ["c"]}, _crowd("abc")) == 0
    assert emptied(before, {**empty, "void": ["two", "CN=Nobody", "b"]}, _crowd("a", gone="b")) == 2
    assert emptied(before, empty, _crowd("", gone="ab")) == 0


# ------------------------------------------------------------------------------ in a run


async def test_group_and_the_one_above_it_are_held_together(database_url: str) -> None:
    async with world(database_url) as acme:
        await _synced(acme, {"p": ("Parent", ["c"]), "c": ("Child", _some(0, 20)), "o": ("Other", ["x0030"])})
        acme.script.groups |= {"p": ("Parent", []), "c": ("Child", [])}
        held = await acme.sync()
        assert await acme.said(held) == {"Parent": ("members", "staged"), "Child": ("members", "staged")}
        assert held.trips == (
            "the group Child would lose 20 of 20 members; the limit is 50 %",
            "the group Parent would lose 20 of 20 members; the limit is 50 %",
        )
        await acme.approve(held)
        assert (await acme.sync()).changes == 0


async def test_large_group_that_is_gone_is_held_as_one_that_is_emptied(database_url: str) -> None:
    async with world(database_url) as acme:
        small = {f"s{n}": (f"Small {n}", [f"x{n:04}"]) for n in range(4)}
        await _synced(acme, {"g": ("Staff", _some(0, 40)), **small})
        del acme.script.groups["g"]
        acme.script.groups["s1"] = ("Small 1", [])
        held = await acme.sync()
        assert await acme.said(held) == {"Staff": ("delete", "staged"), "Small 1": ("members", "staged")}
        assert held.trips == ("the group Staff would lose 40 of 40 members; the limit is 50 %",)


async def test_nested_group_that_is_gone_weighs_what_it_held(database_url: str) -> None:
    async with world(database_url) as acme:
        team = {f"t{n}": (f"Team {n}", _some(9 * n, 9 * n + 9)) for n in range(3)}
        await _synced(acme, {"g": ("Staff", [*team, "x0039"]), **team})
        acme.script.groups = {"g": ("Staff", ["x0039"])}
        held = await acme.sync()
        assert held.trips == ("the group Staff would lose 27 of 28 members; the limit is 50 %",)
        assert await _members(acme) == 28


async def test_small_groups_that_are_all_emptied_are_held(database_url: str) -> None:
    async with world(database_url) as acme:
        await _synced(acme, {f"g{n}": (f"Group {n}", _some(9 * n, 9 * n + 9)) for n in range(4)})
        acme.script.groups = {key: (name, []) for key, (name, _) in acme.script.groups.items()}
        held = await acme.sync()
        assert held.trips == ("no group would have a member any more, of 4 groups that have members",)
        assert await _members(acme) == 36


@pytest.mark.parametrize("left", [["CN=moved1", "CN=moved2"], ["x0001,x0002"]])
async def test_groups_that_keep_names_of_nobody_are_emptied(database_url: str, left: list[str]) -> None:
    """A part of the directory was renamed and groups name it as before; or the wrong separator."""
    async with world(database_url) as acme:
        await _synced(acme, {"g": ("Eng", _some(1, 5)), "h": ("Ops", _some(3, 8))})
        acme.script.groups = {"g": ("Eng", left), "h": ("Ops", left)}
        held = await acme.sync()
        assert held.trips == ("no group would have a member any more, of 2 groups that have members",)
        assert await acme.said(held) == {"Eng": ("members", "staged"), "Ops": ("members", "staged")}
        assert (await acme.approve(held)).state == "done"
        assert (await acme.sync()).trips == ()


async def test_groups_that_are_emptied_are_so_also_below_one_that_lists_them(database_url: str) -> None:
    async with world(database_url) as acme:
        await _synced(acme, {"g": ("Eng", _some(1, 5)), "h": ("Ops", ["x0006"]), "p": ("All", ["g", "h"])})
        acme.script.groups |= {"g": ("Eng", []), "h": ("Ops", [])}
        held = await acme.sync()
        assert held.trips == ("no group would have a member any more, of 2 groups that have members",)
        assert await _members(acme) == 5


async def test_only_member_of_the_only_group_leaves_it_by_leaving(database_url: str) -> None:
    async with world(database_url) as acme:
        await _synced(acme, {"g": ("Few", ["x0001"])})
        del acme.script.people["x0001"]
        acme.script.groups = {"g": ("Few", [])}
        assert (await acme.sync()).state == "done"


async def test_members_known_by_a_name_so_far_are_not_lost_when_they_appear(database_url: str) -> None:
    async with world(database_url) as acme:
        late = [f"CN=user{n:04}" for n in range(50, 62)]
        await _synced(acme, {"g": ("Late", late)})
        acme.script.fill(12, first=50)
        run = await acme.sync()
        assert (run.state, run.trips) == ("done", ())
        assert await _members(acme) == 12


@pytest.mark.parametrize("known", [True, False])
async def test_group_whose_second_entry_is_bad_stays_as_it_is(database_url: str, known: bool) -> None:
    """A connector that sees the double itself says so of the second; the first says half."""
    async with world(database_url) as acme:
        await _synced(acme, {"g": ("Four", _some(0, 4))} if known else {})
        acme.script.groups = {"g": ("Four", _some(0, 2))}
        acme.script.bad = [
            BadEntry("g", "line 2", "a second group with this id"),
            BadEntry("g", "line 3", ""),
        ]
        run = await acme.sync()
        assert run.state == "partial"
        assert [change.outcome for change in await acme.changes(run)] == ["failed"]
        assert await _members(acme) == (4 if known else 0)
        acme.script.bad = []
        await acme.sync()
        assert await _members(acme) == 2
