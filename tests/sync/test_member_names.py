"""Groups name their members: whose name it is may change, and whoever has it now is the member."""

from __future__ import annotations

from itertools import permutations

import pytest

from scimd.connector_api import BadEntry, DirectoryGroup, DirectoryUser
from scimd.db.tables import assertions, events, grants, group_members, projects
from scimd.sync import schedule
from scimd.sync.collect import References
from tests.sync.world import MAPPING, Person, World, world


async def _in_projects(acme: World) -> dict[str, set[str]]:
    """Who is in which project by groups, by external id."""
    names = {row.id: row.name for row in await acme.rows(projects)}
    who = {row.person_id: row.external_id for row in await acme.rows(assertions) if row.state == "live"}
    found: dict[str, set[str]] = {name: set() for name in names.values()}
    for row in await acme.rows(grants):
        if row.kind == "project" and row.origin == "group" and row.until is None and not row.dormant:
            found[names[row.target]].add(who[row.person_id])
    return {name: people for name, people in found.items() if people}


async def _changes_nothing(acme: World) -> None:
    """Neither the next run nor one that compares everything."""
    assert (await acme.sync()).changes == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "full_is_due", lambda *_: True)
        run = await acme.sync()
    assert (run.state, run.changes, run.trips) == ("done", 0, ())


@pytest.mark.parametrize("at_once", [True, False])
async def test_whoever_comes_back_under_another_id_has_what_the_groups_give_that_id(
    acme: World, at_once: bool
) -> None:
    acme.script.people["17"] = Person("bob", "bob@acme.example")
    acme.script.groups = {"pay": ("Payroll", ["17", "x0000"]), "out": ("Outer", ["pay"])}
    acme.script.groups["new"] = ("Newcomers", ["99", "x0001"])
    await acme.sync()
    assert await _in_projects(acme) == {
        "Payroll": {"17", "x0000"}, "Outer": {"17", "x0000"}, "Newcomers": {"x0001"},
    }  # fmt: skip
    bob = acme.script.people.pop("17")
    if not at_once:
        await acme.sync()
    acme.script.people["99"] = bob
    run = await acme.sync()
    assert run.counts["updated"] == 1
    assert await _in_projects(acme) == {
        "Payroll": {"x0000"}, "Outer": {"x0000"}, "Newcomers": {"99", "x0001"},
    }  # fmt: skip
    await _changes_nothing(acme)
    acme.script.people["17"] = Person("bea", "bea@acme.example")
    await acme.sync()
    assert (await _in_projects(acme))["Outer"] == {"17", "x0000"}
    await _changes_nothing(acme)


async def test_group_that_names_both_ids_keeps_the_person(acme: World) -> None:
    acme.script.people["17"] = Person("bob")
    acme.script.groups = {"pay": ("Payroll", ["17", "x0000"])}
    await acme.sync()
    acme.script.people["99"] = acme.script.people.pop("17")
    acme.script.groups = {"pay": ("Payroll", ["17", "99", "x0000"])}
    await acme.sync()
    assert await _in_projects(acme) == {"Payroll": {"99", "x0000"}}
    assert sorted(row.member_key for row in await acme.rows(group_members) if not row.person_id) == ["17"]


async def test_nested_group_that_goes_with_its_listing_leaves_nothing_behind(acme: World) -> None:
    acme.script.groups = {"in": ("Inner", ["x0000"]), "out": ("Outer", ["in", "x0001"])}
    await acme.sync()
    del acme.script.groups["in"]
    acme.script.groups["out"] = ("Outer", ["x0001"])
    await acme.sync()
    assert await _in_projects(acme) == {"Outer": {"x0001"}}
    assert len([row for row in await acme.rows(group_members) if row.child_id or not row.person_id]) == 0
    await _changes_nothing(acme)


async def test_nested_groups_that_went_one_by_one_weigh_nothing(acme: World) -> None:
    acme.script.fill(60)
    acme.script.groups = {f"g{n}": (f"Team {n}", [f"x{n:04}"]) for n in range(40)}
    direct = [f"x{n:04}" for n in range(40, 50)]
    for n in range(13):
        acme.script.groups["all"] = ("All", [f"g{i}" for i in range(n, 12)] + direct)
        assert (await acme.sync()).state == "done"
        acme.script.groups.pop(f"g{n}")
    await acme.sync()
    await _changes_nothing(acme)


async def test_nested_group_that_comes_back_is_nested_again(acme: World) -> None:
    both = {"in": ("Inner", ["x0000"]), "out": ("Outer", ["in", "x0001"])}
    acme.script.groups = dict(both)
    await acme.sync()
    nested = {"Inner": {"x0000"}, "Outer": {"x0000", "x0001"}}
    assert await _in_projects(acme) == nested
    for _ in range(2):
        del acme.script.groups["in"]
        await acme.sync()
        assert await _in_projects(acme) == {"Outer": {"x0001"}}
        await _changes_nothing(acme)
        acme.script.groups = dict(both)
        await acme.sync()
        assert await _in_projects(acme) == nested
        await _changes_nothing(acme)


@pytest.mark.parametrize("at_once", [True, False])
async def test_name_of_a_nested_group_that_goes_is_that_of_the_person_who_has_it(
    acme: World, at_once: bool
) -> None:
    acme.script.groups = {"1": ("Inner", ["x0000"]), "out": ("Outer", ["1", "x0001"])}
    await acme.sync()
    acme.script.people["1"] = Person("bob")
    if not at_once:
        await acme.sync()
        assert await _in_projects(acme) == {"Inner": {"x0000"}, "Outer": {"x0000", "x0001"}}
    del acme.script.groups["1"]
    assert (await acme.sync()).state == "done"
    assert await _in_projects(acme) == {"Outer": {"1", "x0001"}}
    (bob,) = [row.person_id for row in await acme.rows(assertions) if row.external_id == "1"]
    told = [row.body["after"] for row in await acme.rows(events) if row.kind == "group.members_changed"]
    assert [each["came"] for each in told] == ([] if at_once else [[bob]])
    await _changes_nothing(acme)


@pytest.mark.parametrize(
    ("scopes", "answers"),
    [
        ({"17": False, "99": True}, "99"),
        ({"17": False}, "17"),
        ({"17": False, "99": False}, "desk"),
        ({"17": True, "99": True}, "desk"),
        ({"17": True, "99": True, "5": False}, "desk"),
        ({"desk": False, "99": True}, "desk"),
        ({}, "desk"),
    ],
)
def test_a_name_is_whose_it_is_whatever_the_order(scopes: dict[str, bool], answers: str) -> None:
    group = DirectoryGroup("g", "line 1", "Group", ("desk",))
    entries = [DirectoryUser(key, "line", {}, ("desk",)) for key in scopes]
    for order in permutations([group, *entries]):
        references = References()
        for each in order:
            if isinstance(each, DirectoryUser):
                references.add(each, in_scope=scopes[each.external_id])
            else:
                found = references.entry(each)
        assert references.members(found) == (answers,)
        assert references.resolved("desk") == answers


@pytest.mark.parametrize("left_first", [True, False])
async def test_whoever_is_out_of_scope_takes_no_name_of_somebody_in_scope(
    database_url: str, left_first: bool
) -> None:
    mapping = {"user": MAPPING, "scope": "!has(entry.left)"}
    async with world(database_url, invite="never", mapping=mapping) as acme:
        acme.script.fill(12)
        both = {"17": Person("ada", more={"left": "yes"}), "99": Person("ada")}
        acme.script.people |= both if left_first else dict(reversed(both.items()))
        acme.script.groups = {"eng": ("Engineering", ["CN=ada", "CN=user0001"])}
        await acme.sync()
        assert await _in_projects(acme) == {"Engineering": {"99", "x0001"}}
        await _changes_nothing(acme)


async def test_nested_group_that_cannot_be_read_stays_in_the_groups_above_it(acme: World) -> None:
    inner = DirectoryGroup("in", "cn=inner", "Inner", ("x0000",), references=("CN=inner",))
    acme.script.groups = {"mid": ("Middle", ["CN=inner"]), "out": ("Outer", ["mid", "x0001"])}
    acme.script.doubled_groups = [inner]
    await acme.sync()
    nested = {"Inner": {"x0000"}, "Middle": {"x0000"}, "Outer": {"x0000", "x0001"}}
    assert await _in_projects(acme) == nested
    acme.script.doubled_groups, acme.script.bad = [], [BadEntry("in", "cn=inner", "no description")]
    for _ in range(2):
        run = await acme.sync()
        assert (run.state, run.trips, run.counts["failed"]) == ("partial", (), 1)
        assert await _in_projects(acme) == nested
    acme.script.groups["out"] = ("Outer", ["mid"])
    await acme.sync()
    assert await _in_projects(acme) == nested | {"Outer": {"x0000"}}
    acme.script.doubled_groups, acme.script.bad = [inner], []
    await acme.sync()
    assert await _in_projects(acme) == nested | {"Outer": {"x0000"}}
    assert len([row for row in await acme.rows(group_members) if row.child_id]) == 2
    await _changes_nothing(acme)
    acme.script.groups["mid"] = ("Middle", [])
    await acme.sync()
    assert await _in_projects(acme) == {"Inner": {"x0000"}}


@pytest.mark.parametrize("newcomer_first", [True, False])
@pytest.mark.parametrize("why", ["same user name", "cannot be mapped", "twice"])
async def test_entry_that_is_refused_takes_no_name_from_somebody_who_is_there(
    acme: World, newcomer_first: bool, why: str
) -> None:
    acme.script.people["17"] = Person("anna")
    acme.script.groups = {"px": ("Px", ["CN=anna"])}
    await acme.sync()
    second = DirectoryUser(
        "99", "ou=b", {} if why == "cannot be mapped" else {"userName": "anna"}, ("CN=anna",)
    )
    if why == "twice":
        acme.script.people["99"] = Person("bob")
        await acme.sync()
    acme.script.extra = [second]
    if newcomer_first:
        acme.script.extra_first = True
    for _ in range(2):
        run = await acme.sync()
        assert (run.state, run.counts["failed"], run.changes) == ("partial", 1, 0)
        assert await _in_projects(acme) == {"Px": {"17"}}
    acme.script.extra = []
    assert (await acme.sync()).state == "done"
    assert await _in_projects(acme) == {"Px": {"17"}}


async def test_entry_that_is_refused_takes_no_name_by_its_id(acme: World) -> None:
    acme.script.people["17"] = Person("anna")
    acme.script.groups = {"px": ("Px", ["CN=anna"])}
    await acme.sync()
    acme.script.extra = [DirectoryUser("CN=anna", "ou=b", {"userName": "anna"})]
    await acme.sync()
    assert await _in_projects(acme) == {"Px": {"17"}}
