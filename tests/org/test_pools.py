"""Licence pools (K5), project quotas (P6): never overbooked (V1), in the fair order, evicting nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from scimd.core.errors import PoolLimitReached, Refusal
from scimd.core.people import InvitationId, LicenceId, PersonId, ProjectId, RoleName
from scimd.core.roles import MANAGER, MEMBER, USER, OrgRole
from scimd.db import tables as t
from scimd.org.grants import assignments, custom_roles, named, pools, project_upkeep, promotion
from scimd.org.identities import linking, merging, moving
from scimd.org.invitations import invitation_changes, inviting
from scimd.org.invitations.inviting import Wish
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.settling.unsettled import settle_marked
from scimd.org.tx import Actor
from scimd.org.users import admin_reads, gates, importing, local_people
from scimd.org.users.local_people import NewPerson
from scimd.org.users.user_reads import UserFilter, list_users
from scimd.org.windows import Window
from tests.org.house import House, house, user

RULES = [
    {"number": 1, "pattern": "apollo", "project": "Apollo"},
    {"number": 2, "pattern": "pro", "licence": "Pro"},
]


async def with_limits(acme: House, limit: int | None) -> tuple[ProjectId, LicenceId]:
    """The project Apollo and the licence Pro, with this limit each; groups of their names give them."""
    apollo = await project_upkeep.create(acme.door, acme.as_admin(), "Apollo", limit)
    pro = await named.create(acme.door, acme.as_admin(), "licence", "Pro", limit)
    acme.scim = await acme.source("entra", config={"rule": RULES})
    return apollo, LicenceId(pro.id)


async def held(acme: House, target: str) -> list[str]:
    """Who has it, by name; the pool's count and the live grants are the same."""
    names = {row.id: row.local_user_name for row in await acme.rows(t.people)}
    rows = await acme.rows(t.slots, target=target)
    have = sorted(names[row.person_id] for row in rows if row.held)
    (pool,) = await acme.rows(t.pools, target=target)
    assert pool.used == len(have)
    live = {
        row.person_id
        for row in await acme.rows(t.grants, target=target, until=None)
        if row.until is None and not row.dormant
    }
    assert sorted(names[each] for each in live) == have
    return have


async def waits(acme: House, target: str) -> list[str]:
    names = {row.id: row.local_user_name for row in await acme.rows(t.people)}
    rows = [row for row in await acme.rows(t.slots, target=target) if not row.held]
    return [names[row.person_id] for row in sorted(rows, key=lambda r: (r.since, r.place, r.person_id))]


async def sound(acme: House) -> None:
    while await settle_marked(acme.door, acme.org_id, budget_s=30):
        pass
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def some(acme: House, *names: str) -> list[str]:
    """People who came one after the other."""
    made: list[str] = []
    for name in names:
        made.append((await acme.create(name)).person_id)
        acme.clock.forward(minutes=1)
    return made


# ------------------------------------------------------------------------------ by hand


async def test_64_by_hand_at_once_take_the_10_that_there_are(database_url: str) -> None:
    """K5, P6: each hand that comes too late is told the figures."""
    async with house(database_url) as acme:
        apollo, pro = await with_limits(acme, 10)
        asserted = await acme.push(*(user(f"p{n}") for n in range(64)))
        ids = [PersonId(each.person_id or "") for each in asserted]
        ctx = acme.as_admin()
        found = await asyncio.gather(
            *(assignments.set_project(acme.door, ctx, each, apollo) for each in ids),
            *(assignments.give_licence(acme.door, ctx, each, pro) for each in ids),
            return_exceptions=True,
        )
        refused = [each for each in found if each is not None]
        assert len(refused) == 108
        assert all(isinstance(each, PoolLimitReached) for each in refused)
        assert "Limit of the project 'Apollo' reached: 10 of 10 used. p" in str(refused[0])
        assert "Limit of the licence 'Pro' reached: 10 of 10 used. p" in str(refused[-1])
        assert len(await held(acme, apollo)) == len(await held(acme, pro)) == 10
        assert await waits(acme, apollo) == []
        await sound(acme)


async def test_64_invitations_at_once_into_a_project_of_10(database_url: str) -> None:
    """P6: whoever is invited holds a place, and who is refused is not there."""
    async with house(database_url) as acme:
        apollo = await project_upkeep.create(acme.door, acme.as_admin(), "Apollo", 10)
        wish = Wish(projects={apollo: "member"})  # type: ignore[dict-item]
        rows = await asyncio.gather(
            *(inviting.invite(acme.door, acme.as_admin(), [f"p{n}@home.example"], wish) for n in range(64))
        )
        refused = [row.refusal for (row,) in rows if row.refusal]
        assert {each.code for each in refused} == {"pool_limit_reached"}
        assert len(refused) == 54
        assert len(await held(acme, apollo)) == 10 == len(await acme.rows(t.people))
        await sound(acme)


async def test_reactivation_passes_the_same_gate(database_url: str) -> None:
    async with house(database_url) as acme:
        apollo, _ = await with_limits(acme, 1)
        ann, bob = map(PersonId, await some(acme, "ann", "bob"))
        ctx = acme.as_admin()
        await assignments.set_project(acme.door, ctx, ann, apollo)
        await gates.deactivate(acme.door, ctx, ann)
        assert await held(acme, apollo) == []
        await assignments.set_project(acme.door, ctx, bob, apollo)
        with pytest.raises(PoolLimitReached):
            await gates.reactivate(acme.door, ctx, ann)
        assert (await acme.person(ann)).status == "inactive"
        await project_upkeep.change(acme.door, ctx, apollo, limit=2)
        await gates.reactivate(acme.door, ctx, ann)
        assert await held(acme, apollo) == ["ann", "bob"]
        await sound(acme)


async def test_change_by_hand_of_somebody_who_waits_is_not_refused(database_url: str) -> None:
    async with house(database_url) as acme:
        apollo, pro = await with_limits(acme, 0)
        (ann,) = map(PersonId, await some(acme, "ann"))
        await acme.group("apollo", ann)
        assert await waits(acme, apollo) == ["ann"]
        other = await project_upkeep.create(acme.door, acme.as_admin(), "Gemini")
        await assignments.set_project(acme.door, acme.as_admin(), ann, other)
        with pytest.raises(PoolLimitReached):
            await assignments.give_licence(acme.door, acme.as_admin(), ann, pro)
        assert await waits(acme, pro) == []


# ------------------------------------------------------------------------------ by a directory


async def test_64_pushed_at_once_of_whom_10_have_it_and_54_wait(database_url: str) -> None:
    """K5, P6: nobody is refused by SCIM; the grant waits, and the person is in the default project."""
    async with house(database_url, seats_on_scim="reject") as acme:
        apollo, pro = await with_limits(acme, 10)
        groups = [await acme.group("apollo"), await acme.group("pro")]

        async def push(n: int) -> None:
            made = await acme.create(f"p{n}")
            for each in groups:
                await acme.members(each, [made.person_id])

        await asyncio.gather(*(push(n) for n in range(64)))
        for thing in (apollo, pro):
            assert (len(await held(acme, thing)), len(await waits(acme, thing))) == (10, 54)
        assert {row.status for row in await acme.rows(t.people)} == {"active"}
        await sound(acme)


async def test_what_is_freed_goes_to_the_longest_waiting_at_once(database_url: str) -> None:
    async with house(database_url) as acme:
        apollo, _ = await with_limits(acme, 1)
        group = await acme.group("apollo")
        made = {}
        for name in ("ann", "bob", "cid"):
            made[name] = (await acme.create(name)).person_id
            await acme.members(group, [made[name]])
            acme.clock.forward(minutes=1)
        assert (await held(acme, apollo), await waits(acme, apollo)) == (["ann"], ["bob", "cid"])
        page = await admin_reads.show_person(acme.door, acme.org_id, made["bob"])
        (why,) = [each for each in page.standing.reasons if each.about == f"project:{apollo}"]
        assert (why.verdict, why.why) == ("waits", "the limit is reached, and others came first")
        general = [row.target for row in await acme.rows(t.grants, person_id=made["bob"], origin="default")]
        assert len(general) == 1
        await acme.members(group, [], [made["ann"]])
        assert (await held(acme, apollo), await waits(acme, apollo)) == (["bob"], ["cid"])
        parts = await project_upkeep.members(acme.door, acme.org_id, apollo)
        assert {each.display_name: (each.dormant, each.waiting) for each in parts} == {
            "Bob": (False, False),
            "Cid": (True, True),
        }
        only = UserFilter(waiting_for=apollo)
        (row,) = (await list_users(acme.door, acme.org_id, only, Window())).rows
        assert row.display_name == "Cid"
        given = await acme.rows(t.grants, person_id=made["bob"], origin="default")
        assert [row.until is None for row in given] == [False]
        await acme.change(made["bob"], active=False)
        assert (await held(acme, apollo), await waits(acme, apollo)) == (["cid"], [])
        await acme.change(made["bob"], active=True)
        assert await waits(acme, apollo) == ["bob"]
        await sound(acme)


async def test_removal_and_addition_in_one_call_meet(database_url: str) -> None:
    async with house(database_url) as acme:
        apollo, _ = await with_limits(acme, 1)
        ann, bob = await some(acme, "ann", "bob")
        group = await acme.group("apollo", ann)
        await acme.members(group, [bob], [ann])
        assert (await held(acme, apollo), await waits(acme, apollo)) == (["bob"], [])


async def test_newcomers_of_one_sync_have_it_in_the_order_of_their_places(database_url: str) -> None:
    async with house(database_url, default_project=None) as acme:
        apollo = await project_upkeep.create(acme.door, acme.as_admin(), "Apollo", 2)
        rule = {"number": 1, "entitlement": "apollo", "project": "Apollo"}
        hr = await acme.source("hr", kind="connector", connector="ldap", config={"rule": [rule]})
        wants: Any = {"entitlements": [{"value": "apollo"}]}
        order = (("cid", "3"), ("ann", "1"), ("bob", "2"))
        many = [user(name, place=place, **wants) for name, place in order]
        await acme.push(*many, ctx=acme.as_sync(hr))
        assert (await held(acme, apollo), await waits(acme, apollo)) == (["ann", "bob"], ["cid"])
        (cid,) = [row for row in await acme.rows(t.people) if row.local_user_name == "cid"]
        assert (cid.status, cid.causes, cid.has_seat) == ("pending", ["no_project"], False)
        await project_upkeep.change(acme.door, acme.as_admin(), apollo, limit=3)
        assert (await acme.person(cid.id)).status == "active"
        await sound(acme)


async def test_who_may_not_come_in_takes_none(database_url: str) -> None:
    """K6 for pools: not approved, not invited any more."""
    async with house(database_url) as acme:
        apollo, _ = await with_limits(acme, 1)
        await acme.execute(update(t.organizations).values(approval_required=True, generation=99))
        ann, bob = await some(acme, "ann", "bob")
        await acme.group("apollo", ann, bob)
        assert (await held(acme, apollo), await waits(acme, apollo)) == ([], [])
        page = await admin_reads.show_person(acme.door, acme.org_id, ann)
        assert "none of a limited number while not_approved" in {each.why for each in page.standing.reasons}
        await sound(acme)


# ------------------------------------------------------------------------------ the other doors


async def _restore(acme: House, ann: PersonId, apollo: ProjectId) -> None:
    await gates.delete(acme.door, acme.as_admin(), ann)
    await _fill(acme, apollo)
    await gates.restore(acme.door, acme.as_admin(), ann)


async def _role(acme: House, ann: PersonId, apollo: ProjectId) -> None:
    """A Manager's projects are dormant, and come back with the role User (P4)."""
    await assignments.set_role(acme.door, acme.as_admin(), ann, MANAGER)
    await _fill(acme, apollo)
    await assignments.set_role(acme.door, acme.as_admin(), ann, USER)


async def _enable(acme: House, ann: PersonId, apollo: ProjectId) -> None:
    await gates.disable(acme.door, acme.as_admin(), ann)
    await _fill(acme, apollo)
    await gates.enable(acme.door, acme.as_admin(), ann)


async def _merge(acme: House, ann: PersonId, apollo: ProjectId) -> None:
    """The kept one is given what lay dormant at the other."""
    ctx = acme.as_admin()
    await gates.deactivate(acme.door, ctx, ann)
    (fay,) = await inviting.invite(acme.door, ctx, ["fay@home.example"], Wish(projects={apollo: MEMBER}))
    (invitation,) = await acme.rows(t.invitations, status="pending")
    await invitation_changes.withdraw(acme.door, ctx, InvitationId(invitation.id))
    await _fill(acme, apollo)
    await merging.merge(acme.door, ctx, await added(acme, "eve"), fay.person_id or ann)


async def _import(acme: House, ann: PersonId, apollo: ProjectId) -> None:
    """Of a plan that was made while there was a place; a later one refuses the row itself."""
    await gates.delete(acme.door, acme.as_admin(), ann)
    plan = await importing.plan(
        acme.door, acme.as_admin(), "email,projects\nzoe@home.example,Apollo\n", "add"
    )
    await _fill(acme, apollo)
    (row,) = await importing.apply(acme.door, acme.as_admin(), plan.sealed)
    if row.refusal:
        raise row.refusal


async def added(acme: House, name: str, *projects: ProjectId) -> PersonId:
    new = NewPerson(f"{name}@home.example", projects=dict.fromkeys(projects, MEMBER) or None)
    return await local_people.add(acme.door, acme.as_admin(), new)


async def _fill(acme: House, apollo: ProjectId) -> None:
    await added(acme, "bob", apollo)


@pytest.mark.parametrize("through", [_restore, _role, _enable, _merge, _import])
async def test_hand_that_brings_somebody_in_is_told_the_figures(database_url: str, through: Any) -> None:
    """P6 at every door: refused whole, and nothing is changed."""
    async with house(database_url) as acme:
        apollo = await project_upkeep.create(acme.door, acme.as_admin(), "Apollo", 1)
        ann = await added(acme, "ann", apollo)
        with pytest.raises(PoolLimitReached, match="1 of 1 used"):
            await through(acme, ann, apollo)
        (held_by,) = await held(acme, apollo)
        assert held_by in ("ann", "bob")
        await sound(acme)


async def test_move_into_an_organization_whose_default_project_is_full(database_url: str) -> None:
    async with house(database_url) as acme:
        operator = Actor("operator", "", "root")
        beta = await organizations.create(acme.door, NewOrganization("beta"), operator)
        there = replace(acme.as_admin(), org_id=beta.id, actor=operator)
        (general,) = await project_upkeep.list_projects(acme.door, beta.id)
        await project_upkeep.change(acme.door, there, general.id, limit=0)
        ann = await added(acme, "ann")
        with pytest.raises(PoolLimitReached, match="'General' reached: 0 of 0 used"):
            await moving.move(acme.door, replace(acme.as_admin(), actor=operator), ann, "beta")
        assert (await acme.person(ann)).deleted_at is None


async def test_what_a_role_or_a_link_wakes_for_many_waits(database_url: str) -> None:
    """Nobody is at hand to be told: the first have it, the others wait."""
    async with house(database_url) as acme:
        apollo = await project_upkeep.create(acme.door, acme.as_admin(), "Apollo", 2)
        ctx = acme.as_admin()
        clerk = OrgRole(RoleName("clerk"), "Clerk", frozenset(), may_hold_projects=False)
        await custom_roles.create(acme.door, ctx, clerk)
        for name in ("ann", "bob", "cid"):
            person_id = await added(acme, name)
            await assignments.set_role(acme.door, ctx, person_id, clerk.name)
            await assignments.set_project(acme.door, ctx, person_id, apollo)
        assert await held(acme, apollo) == []
        await custom_roles.change(acme.door, ctx, replace(clerk, may_hold_projects=True))
        await sound(acme)
        assert (len(await held(acme, apollo)), len(await waits(acme, apollo))) == (2, 1)
        acme.scim = await acme.source("entra", config={"rule": RULES})
        (dan,) = await some(acme, "dan")
        await acme.group("apollo", dan)
        eve = await added(acme, "eve")
        await linking.link(acme.door, ctx, eve, "entra", "x-dan")
        assert (await waits(acme, apollo))[1:] == ["eve"]
        await sound(acme)


# ------------------------------------------------------------------------------ limits


async def test_limit_below_use_takes_it_from_nobody(database_url: str) -> None:
    async with house(database_url) as acme:
        apollo, _ = await with_limits(acme, None)
        names = [f"p{n}" for n in range(4)]
        ids = await some(acme, *names)
        await acme.group("apollo", *ids[:3])
        ctx = acme.as_admin()
        await project_upkeep.change(acme.door, ctx, apollo, limit=2)
        await sound(acme)
        assert await held(acme, apollo) == names[:3]
        with pytest.raises(PoolLimitReached, match="3 of 2 used"):
            await assignments.set_project(acme.door, ctx, PersonId(ids[3]), apollo)
        await acme.change(ids[0], title="Boss")
        assert await held(acme, apollo) == names[:3]
        await acme.change(ids[0], active=False)
        await acme.change(ids[0], active=True)
        assert (await held(acme, apollo), await waits(acme, apollo)) == (names[1:3], names[:1])
        await project_upkeep.change(acme.door, ctx, apollo, limit=None)
        await sound(acme)
        assert await acme.rows(t.slots) == await acme.rows(t.pools, target=apollo) == []
        listed = await project_upkeep.list_projects(acme.door, acme.org_id)
        (found,) = [row for row in listed if row.id == apollo]
        assert (found.people, found.limit, found.waiting) == (3, None, 0)
        changed = await acme.rows(t.events, kind="project.limit_changed")
        assert len(changed) == 2


async def test_default_project_with_a_limit_leaves_the_others_pending(database_url: str) -> None:
    async with house(database_url) as acme:
        apollo, _ = await with_limits(acme, 1)
        (general,) = [row.id for row in await acme.rows(t.projects) if row.name == "General"]
        await project_upkeep.change(acme.door, acme.as_admin(), general, limit=1)
        ann, bob, cid = await some(acme, "ann", "bob", "cid")
        assert (await held(acme, general), await waits(acme, general)) == (["ann"], ["bob", "cid"])
        assert (await acme.person(bob)).causes == ["no_project"]
        # Whoever is given another project leaves the default one, to whoever waits for it.
        group = await acme.group("apollo", ann)
        assert (await held(acme, apollo), await held(acme, general)) == (["ann"], ["bob"])
        await acme.members(group, [cid], [ann])
        assert (await held(acme, apollo), await held(acme, general)) == (["cid"], ["bob"])
        assert await waits(acme, general) == ["ann"]
        await sound(acme)


async def test_merging_hands_over_what_is_limited(database_url: str) -> None:
    async with house(database_url) as acme:
        apollo, _ = await with_limits(acme, 1)
        ann, bob, cid = await some(acme, "ann", "bob", "cid")
        hr = await acme.source("hr", kind="connector", connector="ldap")
        (other,) = await acme.push(user("annie"), ctx=acme.as_sync(hr))
        ctx = acme.as_admin()
        await assignments.set_project(acme.door, ctx, PersonId(other.person_id or ""), apollo)
        await acme.group("apollo", bob)
        await merging.merge(acme.door, ctx, PersonId(ann), PersonId(other.person_id or ""))
        assert (await held(acme, apollo), await waits(acme, apollo)) == (["ann"], ["bob"])
        assert (await acme.person(cid)).status == "active"
        await sound(acme)


async def test_given_by_a_call_that_began_before_there_was_a_limit(database_url: str) -> None:
    """Such a call knows of no limit. Within a minute the job finds what it gave, and the limit holds."""
    async with house(database_url) as acme:
        apollo, _ = await with_limits(acme, 1)
        ann, bob = await some(acme, "ann", "bob")
        await acme.group("apollo", ann, bob)
        (late,) = await waits(acme, apollo)
        await acme.execute(t.slots.delete().where(t.slots.c.held.is_(False)))
        await acme.execute(update(t.grants).where(t.grants.c.target == apollo).values(dormant=False))
        assert await pools.promote(acme.door, acme.org_id) == 1
        assert (len(await held(acme, apollo)), await waits(acme, apollo)) == (1, [late])
        await sound(acme)


async def test_nobody_passes_whoever_began_to_wait_while_the_clock_was_ahead(database_url: str) -> None:
    async with house(database_url) as acme:
        apollo, _ = await with_limits(acme, 1)
        ann, bob, cleo = await some(acme, "ann", "bob", "cleo")
        acme.clock.forward(hours=5)
        team = await acme.group("apollo", ann)
        await acme.members(team, add=[bob])
        await sound(acme)
        acme.clock.forward(hours=-5)
        await promotion.bring_forward(acme.door)
        acme.clock.forward(minutes=1)
        await acme.members(team, add=[cleo])
        await sound(acme)
        assert (await held(acme, apollo), await waits(acme, apollo)) == (["ann"], ["bob", "cleo"])


async def test_database_refuses_what_is_above_the_limit(database_url: str) -> None:
    """V1, whoever writes."""
    async with house(database_url) as acme:
        await with_limits(acme, 1)
        with pytest.raises(Exception, match="never_overbooked"):
            await acme.execute(update(t.pools).values(used=2))


async def test_where_nothing_is_limited_nobody_is_looked_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It follows on each seat that is freed."""

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("it was written")

    async with house(database_url) as acme:
        await some(acme, "ann")
        monkeypatch.setattr(pools, "_settle_next", never)
        assert await pools.promote(acme.door, acme.org_id) == 0


@pytest.mark.parametrize("limit", [-1, 2**31])
async def test_limit_is_a_count(database_url: str, limit: Any) -> None:
    async with house(database_url) as acme:
        with pytest.raises(Refusal, match="limit"):
            await project_upkeep.create(acme.door, acme.as_admin(), "Apollo", limit)
        assert [row.name for row in await acme.rows(t.projects)] == ["General"]
