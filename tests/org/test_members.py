"""Members of groups: who is one, by which name, and what a change of them costs."""

from __future__ import annotations

import asyncio

import pytest

from scimd.core.errors import InvalidValue
from scimd.core.events import EventKind
from scimd.core.people import GroupId, PersonId
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.db import tables as t
from scimd.db.engine import Tuning
from scimd.org.groups import groups, scim_groups
from scimd.org.groups.groups import AssertGroup
from scimd.org.groups.scim_groups import GroupChange
from scimd.org.settling.unsettled import JOINERS, LEAVERS, settle_marked
from scimd.org.tx import DoorSettings, Tx
from scimd.org.users import admin_reads
from tests.org.house import group, house, user
from tests.org.looks import member_ids, projects_of

pytestmark = pytest.mark.usefixtures("by_ones")


async def test_member_pushed_before_its_user_resolves_when_it_appears(database_url: str) -> None:
    async with house(database_url) as acme:
        group_id = await acme.group("Sales", "x-ann", "nobody")
        parent = await acme.group("All", "g-later")
        assert await member_ids(acme, group_id) == set()
        ann = await acme.create("ann")
        assert await member_ids(acme, group_id) == {ann.person_id}
        assert [ref.display for ref in ann.groups] == ["Sales"]
        assert await projects_of(acme, ann.person_id) == {"Sales"}
        (child,) = await acme.push_groups(group("Later", ann.person_id, external_id="g-later"))
        assert await member_ids(acme, parent) == {child.group_id}
        assert await projects_of(acme, ann.person_id) == {"Sales", "Later", "All"}


async def test_replace_with_unknown_ids_keeps_them_and_wipes_nobody_else(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        group_id = await acme.group("Sales", ann)
        change = GroupChange(replace=(ann, "who-is-this"))
        await scim_groups.change_group(acme.door, acme.as_scim(), group_id, change)
        assert await member_ids(acme, group_id) == {ann}
        assert len(await acme.rows(t.group_members)) == 2


async def test_replace_tells_apart_ids_external_ids_groups_and_names_of_nobody(database_url: str) -> None:
    async with house(database_url) as acme:
        ann, bob, cid, dan = [(await acme.create(name)).person_id for name in ("ann", "bob", "cid", "dan")]
        inner = await acme.group("Inner")
        group_id = await acme.group("Sales", ann, "x-bob", inner, "who-is-this")
        change = GroupChange(replace=(ann, "x-ann", "x-bob", dan, "x-cid", "x-dan", "and-this"))
        await scim_groups.change_group(acme.door, acme.as_scim(), group_id, change)
        assert await member_ids(acme, group_id) == {ann, bob, cid, dan}
        (event,) = await acme.rows(t.events, kind=EventKind.GROUP_MEMBERS_CHANGED)
        told = event.body["after"]
        assert (told["added"], told["removed"]) == (3, 2)
        assert (sorted(told["came"]), told["went"]) == (sorted([cid, dan]), [inner])
        await scim_groups.change_group(acme.door, acme.as_scim(), group_id, change)
        assert await acme.rows(t.events, kind=EventKind.GROUP_MEMBERS_CHANGED) == [event]
        assert {row.member_key: row.person_id for row in await acme.rows(t.group_members)} == {
            **{each: each for each in (ann, bob, cid, dan)},
            "and-this": None,
        }


async def test_a_group_renamed_and_replaced_marks_all_whom_either_concerns(database_url: str) -> None:
    async with house(database_url, settings=DoorSettings(settle_at_once=1)) as acme:
        ann, bob, cid = [(await acme.create(name)).person_id for name in ("ann", "bob", "cid")]
        group_id = await acme.group("Sales", ann, bob)
        await settle_marked(acme.door, acme.org_id, budget_s=60)
        acme.clock.forward(seconds=1)
        change = GroupChange(
            document=lambda document: {**document, "displayName": "Sold"}, replace=(bob, cid)
        )
        await scim_groups.change_group(acme.door, acme.as_scim(), group_id, change)
        marks = {row.person_id: row.turn for row in await acme.rows(t.unsettled)}
        assert marks == {ann: LEAVERS, bob: LEAVERS, cid: JOINERS}


async def test_a_name_of_a_member_that_no_index_takes_stops_nobody_else(database_url: str) -> None:
    long = "".join(map(chr, range(0x4E00, 0x4E00 + 4_000)))
    async with house(database_url) as acme:
        ann, bob = [(await acme.create(name)).person_id for name in ("ann", "bob")]
        group_id = await acme.group("Sales", ann, long)
        assert await member_ids(acme, group_id) == {ann}
        await acme.members(group_id, add=[bob, long], remove=[ann])
        assert await member_ids(acme, group_id) == {bob}
        for document in ({"displayName": long}, {"displayName": "Crew", "externalId": long}):
            (refused,) = await acme.push_groups(AssertGroup(document, document.get("externalId")))
            assert isinstance(refused.refusal, InvalidValue)


async def test_many_nested_groups_are_renamed_at_once(database_url: str) -> None:
    """Each asks for its parents' locks: one try learns of all of them."""
    async with house(database_url, tuning=Tuning()) as acme:
        children = [await acme.group(f"K{n}") for n in range(8)]
        for n in range(8):
            await acme.group(f"All {n}", children[n])
        before = {row.id: row.version for row in await acme.rows(t.groups)}
        done = await acme.push_groups(
            *(
                AssertGroup({"displayName": f"New {n}"}, None, group_id=each)
                for n, each in enumerate(children)
            )
        )
        assert [each.outcome for each in done] == ["updated"] * 8
        assert all(row.version == before[row.id] + 1 for row in await acme.rows(t.groups))


async def test_two_names_of_one_member_are_one_member(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        group_id = await acme.group("Sales", ann, "x-ann")
        assert len(await acme.rows(t.group_members)) == 1
        assert not await acme.members(group_id, add=["x-ann"])
        assert await acme.members(group_id, remove=["x-ann"])


async def test_version_rises_by_real_changes_only(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = await acme.create("ann")
        group_id = await acme.group("Sales")

        async def version() -> int:
            return (await acme.rows(t.groups, id=group_id))[0].version

        assert await version() == 1
        await acme.members(group_id, add=[ann.person_id])
        await acme.members(group_id, add=[ann.person_id], remove=["nobody"])
        assert await version() == 2
        assert (await acme.person(ann.person_id)).rest == ann.rest + 1
        same = GroupChange(document=lambda document: dict(document))
        await scim_groups.change_group(acme.door, acme.as_scim(), group_id, same)
        assert await version() == 2
        renamed = GroupChange(document=lambda document: {**document, "displayName": "Sellers"})
        stored = await scim_groups.change_group(acme.door, acme.as_scim(), group_id, renamed)
        assert stored.version == 3
        found = await acme.seen(ann.person_id)
        assert found is not None
        assert found["groups"][0]["display"] == "Sellers"
        assert found["meta"]["version"] == f'W/"{ann.version}-{ann.rest + 2}"'


async def test_64_parallel_member_adds_are_all_there(database_url: str) -> None:
    async with house(database_url) as acme:
        asserted = await acme.push(*(user(f"p{n}") for n in range(64)))
        group_id = await acme.group("Sales")
        await asyncio.gather(*(acme.members(group_id, add=[each.person_id or ""]) for each in asserted))
        assert len(await member_ids(acme, group_id)) == 64
        assert (await acme.rows(t.groups, id=group_id))[0].version == 65


async def test_nested_groups_count_transitively_and_cycles_are_cut(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        made = [await acme.group("G0", ann)]
        for n in range(1, 12):
            made.append(await acme.group(f"G{n}", made[-1]))
        # Ten groups upward count, the eleventh does not.
        assert await projects_of(acme, ann) == {f"G{n}" for n in range(10)}
        await acme.members(made[0], add=[made[3]])
        assert await projects_of(acme, ann) == {f"G{n}" for n in range(10)}
        page = await admin_reads.show_person(acme.door, acme.org_id, ann)
        paths = {fact.group_name: fact.path for fact in page.facts.memberships}
        assert (paths["G0"], paths["G2"]) == ((), ("G0", "G1"))
        refs = (await acme.seen(ann))["groups"]  # type: ignore[index]
        assert {ref["display"] for ref in refs if ref["type"] == "direct"} == {"G0"}
        await acme.members(made[2], remove=[made[1]])
        assert await projects_of(acme, ann) == {"G0", "G1"}


async def test_deleted_person_leaves_groups_and_is_in_them_again_on_return(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        group_id = await acme.group("Sales", ann)
        before = (await acme.rows(t.groups, id=group_id))[0].version
        await acme.delete(ann)
        assert await member_ids(acme, group_id) == set()
        assert (await acme.rows(t.groups, id=group_id))[0].version == before + 1
        again = await acme.create("ann")
        assert again.person_id == ann
        assert await member_ids(acme, group_id) == {ann}
        assert await projects_of(acme, ann) == {"Sales"}


async def test_a_replace_by_names_of_nobody_keeps_the_members_until_one_appears(database_url: str) -> None:
    async with house(database_url) as acme:
        ann, bob, cid = [(await acme.create(name)).person_id for name in ("ann", "bob", "cid")]
        inner = await acme.group("Inner", cid)
        group_id = await acme.group("Sales", ann, bob, inner, "long-gone")
        change = GroupChange(replace=("x-dan", "x-eve"))

        async def push() -> int:
            stored = await scim_groups.change_group(acme.door, acme.as_scim(), group_id, change)
            return stored.version

        before = await push()
        assert await push() == before
        assert await member_ids(acme, group_id) == {ann, bob, inner}
        (event,) = await acme.rows(t.events, kind=EventKind.GROUP_MEMBERS_CHANGED)
        assert event.body["after"] == {"added": 2, "removed": 1, "kept": 3, "came": [], "went": []}
        acme.clock.forward(seconds=1)
        # Named by the source after all, bob is no leftover; nor is who comes now.
        fay = (await acme.create("fay")).person_id
        await scim_groups.change_group(acme.door, acme.as_scim(), group_id, GroupChange(add=(bob, fay)))
        dan = (await acme.create("dan")).person_id
        assert await member_ids(acme, group_id) == {bob, dan, fay}
        assert [await projects_of(acme, each) for each in (ann, bob, cid, dan)] == [
            {"General"},
            {"Sales"},
            {"Inner"},
            {"Sales"},
        ]
        eve = (await acme.create("eve")).person_id
        assert await member_ids(acme, group_id) == {bob, dan, eve, fay}
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_who_came_at_the_same_moment_is_none_of_those_who_were_kept(database_url: str) -> None:
    async with house(database_url) as acme:
        ann, bob = [(await acme.create(name)).person_id for name in ("ann", "bob")]
        group_id = await acme.group("Sales", ann)

        def push(tx: Tx) -> None:
            groups.change_members(tx, group_id, (), (), replace=("x-cid",))
            groups.change_members(tx, group_id, (bob,), ())

        await acme.run(push)
        cid = (await acme.create("cid")).person_id
        assert await member_ids(acme, group_id) == {bob, cid}


async def test_who_appears_without_having_been_named_lets_nobody_go(database_url: str) -> None:
    async with house(database_url) as acme:
        ann, bob = [(await acme.create(name)).person_id for name in ("ann", "bob")]
        group_id = await acme.group("Sales", ann, bob)
        await acme.run(lambda tx: groups.change_members(tx, group_id, (), (), replace=("x-eve", "x-cid")))
        await acme.run(lambda tx: groups.change_members(tx, group_id, ("x-zoe",), ("x-eve",)))
        zoe = (await acme.create("zoe")).person_id
        assert await member_ids(acme, group_id) == {ann, bob, zoe}
        cid = (await acme.create("cid")).person_id
        assert await member_ids(acme, group_id) == {cid, zoe}


async def test_whoever_appears_is_not_refused_for_the_last_admin_who_was_kept(database_url: str) -> None:
    async with house(database_url) as acme:
        rule = {"number": 1, "group": "bosses", "role": ACCOUNT_ADMIN, "may_give_account_admin": True}
        ctx = acme.as_scim(await acme.source("idp", config={"rule": [rule]}))
        boss = PersonId((await acme.create("boss", ctx)).person_id)
        (made,) = await acme.push_groups(group("Bosses", boss, external_id="bosses"), ctx=ctx)
        group_id = GroupId(made.group_id)
        assert ACCOUNT_ADMIN in (await acme.person(boss)).roles
        change = GroupChange(replace=("x-new",))
        await scim_groups.change_group(acme.door, ctx, group_id, change)
        new = (await acme.create("new", ctx)).person_id
        shown = await acme.shown_members(group_id, ctx)
        assert {each["value"] for each in shown} == {boss, new}
        assert ACCOUNT_ADMIN in (await acme.person(boss)).roles


async def test_a_list_that_names_somebody_ends_what_was_kept(database_url: str) -> None:
    async with house(database_url) as acme:
        ann, bob = [(await acme.create(name)).person_id for name in ("ann", "bob")]
        group_id = await acme.group("Sales", ann)
        for replace, members in (
            (("x-cid",), {ann}),
            ((ann, bob, "x-cid"), {ann, bob}),
            (("x-cid", "x-dan"), {ann, bob}),
            ((), set()),
        ):
            acme.clock.forward(seconds=1)
            await scim_groups.change_group(acme.door, acme.as_scim(), group_id, GroupChange(replace=replace))
            assert await member_ids(acme, group_id) == members
        await scim_groups.change_group(acme.door, acme.as_scim(), group_id, GroupChange(add=(ann, "x-cid")))
        cid = (await acme.create("cid")).person_id
        assert await member_ids(acme, group_id) == {ann, cid}
