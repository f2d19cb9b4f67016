"""Groups: what they give, who is in them, how they nest, are renamed and go."""

from __future__ import annotations

import asyncio

import pytest

from scimd.config import Organization
from scimd.core.errors import InvalidValue, NotFound, NotUnique, Protected
from scimd.core.people import GroupId
from scimd.db import tables as t
from scimd.org.declared import declared_organizations
from scimd.org.generation import bump
from scimd.org.grants import bindings
from scimd.org.groups import groups, scim_groups
from scimd.org.reading import reads
from scimd.org.settling.unsettled import settle_marked
from scimd.org.sources import sources
from scimd.org.tx import DoorSettings, Tx
from scimd.org.users import admin_reads
from tests.org.house import GROUP_VIEW, group, house, user
from tests.org.looks import member_ids, projects_of


async def test_pushed_group_is_a_project_of_its_name_and_replaces_the_default(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        assert await projects_of(acme, ann) == {"General"}
        group_id = await acme.group("Sales", ann)
        assert await projects_of(acme, ann) == {"Sales"}
        await acme.members(group_id, remove=[ann])
        assert await projects_of(acme, ann) == {"General"}


async def test_group_of_a_whole_directory_gives_only_what_rules_name(database_url: str) -> None:
    async with house(database_url) as acme:
        rules = [
            {
                "number": 1,
                "pattern": "ENG-*",
                "project": "Team {name}",
                "project_role": "owner",
                "team": "Eng",
            },
            {"number": 2, "group": "g-1", "role": "manager", "licence": "Pro"},
        ]
        hr = await acme.source("hr", kind="connector", connector="ldap", config={"rule": rules})
        sync = acme.as_sync(hr)
        (made,) = await acme.push(user("ann"), ctx=sync)
        await acme.push_groups(group("Sales", "x-ann", external_id="g-0"), ctx=sync)
        assert await projects_of(acme, made.person_id or "") == {"General"}
        await acme.push_groups(group("eng-core", "x-ann", external_id="g-2"), ctx=sync)
        assert await projects_of(acme, made.person_id or "") == {"Team eng-core"}
        await acme.push_groups(group("Audit", "x-ann", external_id="g-1"), ctx=sync)
        row = await acme.person(made.person_id or "")
        assert (row.primary_role, row.team_id is not None) == ("manager", True)
        # A manager may not hold projects: they rest.
        assert await projects_of(acme, made.person_id or "") == set()


async def test_name_that_collides_asks_and_gives_nothing_until_answered(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        group_id = await acme.group("general", ann)
        (item,) = await acme.rows(t.decisions)
        assert item.kind == "group_name"
        assert await acme.rows(t.group_effects) == []
        await acme.run(lambda tx: bindings.give_project(tx, group_id, item.facts["project_id"]))
        (grant,) = [g for g in await acme.rows(t.grants) if g.until is None]
        assert (grant.origin, grant.group_id) == ("group", group_id)


async def test_rename_follows_and_names_may_swap(database_url: str) -> None:
    async with house(database_url) as acme:
        hr = await acme.source("hr", kind="connector", connector="file")
        sync = acme.as_sync(hr)
        await acme.push(user("ann"), ctx=sync)
        await acme.push_groups(
            group("Red", "x-ann", external_id="g1"), group("Blue", external_id="g2"), ctx=sync
        )
        before = {row.name: row.id for row in await acme.rows(t.projects)}
        await acme.push_groups(
            group("Blue", "x-ann", external_id="g1"), group("Red", external_id="g2"), ctx=sync
        )
        after = {row.name: row.id for row in await acme.rows(t.projects)}
        assert (after["Blue"], after["Red"]) == (before["Red"], before["Blue"])
        await acme.push_groups(group("General", external_id="g2"), ctx=sync)
        assert {row.name for row in await acme.rows(t.projects)} == {"General", "Red", "Blue"}
        assert [row.kind for row in await acme.rows(t.decisions)] == ["group_name"]


async def test_deleted_groups_project_stays_orphaned_and_is_taken_up_again(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        group_id = await acme.group("Sales", ann)
        await scim_groups.delete_group(acme.door, acme.as_scim(), group_id)
        assert await projects_of(acme, ann) == {"General"}
        (project,) = await acme.rows(t.projects, name="Sales")
        assert project.orphaned
        with pytest.raises(NotFound):
            await acme.members(group_id, add=[ann])
        await acme.group("Sales", ann)
        (project,) = await acme.rows(t.projects, name="Sales")
        assert not project.orphaned
        assert await projects_of(acme, ann) == {"Sales"}


async def test_two_groups_of_a_scim_source_cannot_share_a_name(database_url: str) -> None:
    async with house(database_url) as acme:
        await acme.group("Sales")
        with pytest.raises(NotUnique):
            await acme.group("SALES")
        with pytest.raises(InvalidValue):
            await acme.group(" ")
        calls = (scim_groups.create_group(acme.door, acme.as_scim(), group("Ops")) for _ in range(8))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(each, NotUnique) for each in results) == 7
        (source,) = await acme.rows(t.sources)
        assert source.group_count == 2


async def test_large_group_is_settled_later_and_comes_to_the_same(database_url: str) -> None:
    async with house(database_url, settings=DoorSettings(settle_at_once=5)) as acme:
        made = []
        for n in range(4):
            made += await acme.push(*(user(f"p{n}{m}") for m in range(5)))
        ids = [each.person_id or "" for each in made]
        group_id = await acme.group("Sales", *ids)
        assert len(await acme.rows(t.unsettled)) == 20
        assert await projects_of(acme, ids[0]) == {"General"}
        assert await settle_marked(acme.door, acme.org_id, budget_s=10) == 20
        assert await projects_of(acme, ids[0]) == {"Sales"}
        await acme.run(lambda tx: groups.drop_groups(tx, [group_id]))
        assert {row.turn for row in await acme.rows(t.unsettled)} == {0}
        await settle_marked(acme.door, acme.org_id, budget_s=10)
        assert await projects_of(acme, ids[0]) == {"General"}
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_new_rules_bind_the_groups_anew(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        await acme.group("Sales", ann)

        def rules(tx: object) -> None:
            generation = bump(tx)  # type: ignore[arg-type]
            rule = {"number": 1, "pattern": "sales", "project": "Field"}
            sources.write_rules(tx, acme.scim, [rule], generation)  # type: ignore[arg-type]
            bindings.rebind(tx, acme.scim)  # type: ignore[arg-type]

        await acme.run(rules)
        assert await projects_of(acme, ann) == {"Field"}


async def test_a_group_that_gives_what_no_rule_says_is_found(database_url: str) -> None:
    async with house(database_url) as acme:
        rules = [{"number": 1, "pattern": "audit", "role": "manager", "project": "{name}", "team": "Field"}]
        hr = await acme.source("hr", kind="connector", connector="ldap", config={"rule": rules})
        group_id = await acme.group("Audit", ctx=acme.as_sync(hr))
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []
        role = t.group_effects.c.kind == "role"
        await acme.execute(t.group_effects.update().where(role).values(target="auditor"))
        (found,) = await admin_reads.check_standing(acme.door, acme.org_id)
        assert str(found) == (
            "what group Audit gives by rules is stored as "
            "['rule 1: project', 'rule 1: role auditor', 'rule 1: team'], and follows as "
            "['rule 1: project', 'rule 1: role manager', 'rule 1: team']"
        )
        await acme.execute(t.group_effects.delete().where(t.group_effects.c.group_id == group_id))
        assert len(await admin_reads.check_standing(acme.door, acme.org_id)) == 1


async def test_another_sources_group_is_not_there(database_url: str) -> None:
    async with house(database_url) as acme:
        group_id = await acme.group("Sales")
        other = acme.as_scim(await acme.source("entra"))
        assert await reads.scim_group(acme.door, other, group_id, GROUP_VIEW) is None
        with pytest.raises(NotFound):
            await acme.members(GroupId(group_id), add=["x"], ctx=other)
        await acme.run(lambda tx: groups.drop_groups(tx, [group_id]), other)
        assert await reads.scim_group(acme.door, acme.as_scim(), group_id, GROUP_VIEW) is not None
        ann = (await acme.create("ann")).person_id
        theirs = await acme.group("Theirs", ann, ctx=other)
        shown = await acme.shown_members(theirs, other)
        assert shown == [], "a person whom the source does not assert is nobody to it"


async def test_last_admins_are_kept_though_too_many_are_concerned_to_settle_at_once(
    database_url: str,
) -> None:
    """V10 at a group of any size: the call is refused, and no job is stuck on it."""
    few = DoorSettings(settle_at_once=3)
    rules = [{"number": 1, "pattern": "*", "role": "account-admin", "may_give_account_admin": True}]
    async with house(database_url, settings=few) as acme:
        idp = await acme.source("idp", ceiling="account-admin", config={"rule": rules})

        def without_rules(tx: Tx) -> None:
            sources.write_rules(tx, idp, [], bump(tx))
            bindings.rebind(tx, idp)

        ctx = acme.as_scim(idp)
        people = [(await acme.create(f"p{n}", ctx)).person_id for n in range(5)]
        group_id = await acme.group("Everybody", *people, ctx=ctx)
        await settle_marked(acme.door, acme.org_id, budget_s=5)
        assert (await acme.person(people[4])).roles == ["account-admin"]

        with pytest.raises(Protected):
            await scim_groups.delete_group(acme.door, ctx, group_id)
        with pytest.raises(Protected):
            await acme.members(group_id, remove=people, ctx=ctx)
        with pytest.raises(Protected):
            await acme.run(without_rules, ctx)
        await acme.members(group_id, remove=people[1:], ctx=ctx)
        await settle_marked(acme.door, acme.org_id, budget_s=5)
        assert [(await acme.person(each)).roles[0] for each in people] == ["account-admin", *["user"] * 4]


async def test_group_that_is_renamed_gives_what_its_new_name_gives(database_url: str) -> None:
    """Renaming into a rule or out of one leaves no stale role (lesson 8)."""
    async with house(database_url) as acme:
        rules = [
            {"number": 1, "pattern": "leads-*", "role": "manager"},
            {"number": 2, "pattern": "audit-*", "team": "Audit"},
        ]
        idp = await acme.source("idp", config={"rule": rules})
        ctx = acme.as_scim(idp)
        ann = (await acme.create("ann", ctx)).person_id
        group_id = await acme.group("leads-north", ann, ctx=ctx)
        assert (await acme.person(ann)).primary_role == "manager"

        await acme.push_groups(group("audit-north", ann, group_id=group_id), ctx=ctx)
        row = await acme.person(ann)
        assert (row.roles, row.team_id is None) == (["user"], False)
        await acme.push_groups(group("friends of coffee", ann, group_id=group_id), ctx=ctx)
        assert (await acme.person(ann)).roles == ["user"]
        assert await projects_of(acme, ann) == {"friends of coffee"}
        await acme.push_groups(group("leads-south", ann, group_id=group_id), ctx=ctx)
        assert (await acme.person(ann)).primary_role == "manager"
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_a_project_that_a_rule_made_of_a_groups_name_follows_it(database_url: str) -> None:
    """P7: a pattern may choose, but what it made is the group's."""
    async with house(database_url) as acme:
        rules = [
            {"number": 1, "pattern": "app-*", "project": "{name}", "project_role": "viewer"},
            {"number": 2, "pattern": "web-*", "project": "{name}"},
        ]
        hr = await acme.source("hr", kind="connector", connector="ldap", config={"rule": rules})
        sync = acme.as_sync(hr)
        ann, bob = [each.person_id or "" for each in await acme.push(user("ann"), user("bob"), ctx=sync)]
        named = group("app-one", "x-ann", external_id="g-1"), group("app-two", "x-bob", external_id="g-2")
        _, second = await acme.push_groups(*named, ctx=sync)
        made = {row.name: row.id for row in await acme.rows(t.projects)}

        swapped = group("app-two", "x-ann", external_id="g-1"), group("app-one", "x-bob", external_id="g-2")
        await acme.push_groups(*swapped, ctx=sync)
        assert (await projects_of(acme, ann), await projects_of(acme, bob)) == ({"app-two"}, {"app-one"})
        await acme.push_groups(group("web-two", "x-ann", external_id="g-1"), ctx=sync)
        assert await projects_of(acme, ann) == {"web-two"}
        now = {row.name: row.id for row in await acme.rows(t.projects)}
        assert now == {"General": made["General"], "web-two": made["app-one"], "app-one": made["app-two"]}
        assert await acme.rows(t.decisions) == []

        assert second.group_id is not None
        gone = second.group_id
        await acme.run(lambda tx: groups.drop_groups(tx, [gone]), ctx=sync)
        (left,) = [row for row in await acme.rows(t.projects) if row.orphaned]
        assert left.name == "app-one"
        await acme.push_groups(group("app-one", "x-bob", external_id="g-3"), ctx=sync)
        (again,) = await acme.rows(t.projects, id=left.id)
        assert (await projects_of(acme, bob), again.orphaned) == ({"app-one"}, False)
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_group_whose_name_collided_is_a_project_once_it_is_called_otherwise(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        group_id = await acme.group("General", ann)
        await acme.push_groups(group("Ops Berlin", ann, group_id=group_id))
        assert await projects_of(acme, ann) == {"Ops Berlin"}
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_a_rule_may_give_a_project_that_is_there_already(database_url: str) -> None:
    async with house(database_url) as acme:
        hr = await acme.source("hr")
        await acme.group("sales", ctx=acme.as_scim(hr))
        idp = await acme.source("idp", config={"rule": [{"number": 1, "pattern": "*", "project": "{name}"}]})
        ctx = acme.as_scim(idp)
        ann = (await acme.create("ann", ctx)).person_id
        group_id = await acme.group("Sales", ann, ctx=ctx)
        assert await projects_of(acme, ann) == {"sales"}
        await acme.push_groups(group("Selling", ann, group_id=group_id), ctx=ctx)
        assert await projects_of(acme, ann) == {"Selling"}  # the other one is the other group's, and stays
        assert len(await acme.rows(t.projects, name="sales")) == 1


async def test_group_whose_external_id_changes_gives_what_the_rules_of_the_new_one_give(
    database_url: str,
) -> None:
    async with house(database_url) as acme:
        idp = await acme.source("idp", config={"rule": [{"number": 1, "group": "g-1", "role": "manager"}]})
        ctx = acme.as_scim(idp)
        ann = (await acme.create("ann", ctx)).person_id
        (made,) = await acme.push_groups(group("Leads", ann, external_id="g-1"), ctx=ctx)
        assert (await acme.person(ann)).primary_role == "manager"
        await acme.push_groups(group("Leads", ann, external_id="g-2", group_id=made.group_id), ctx=ctx)
        assert (await acme.person(ann)).primary_role == "user"


async def test_external_id_that_is_anothers_id_takes_no_membership_of_theirs(database_url: str) -> None:
    """Lesson 1: what a client calls itself selects nobody by our id, in groups neither."""
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        inner = await acme.group("Inner")
        outer = await acme.group("Outer", ann)
        mallory = (await acme.create("mallory", external_id=ann)).person_id
        other = (await acme.create("other", external_id=inner)).person_id
        group_id = await acme.group("Leads", ann, inner)
        assert await member_ids(acme, group_id) == {ann, inner}
        await acme.members(outer, remove=[ann])
        assert await member_ids(acme, outer) == set()
        assert await projects_of(acme, mallory) == await projects_of(acme, other) == {"General"}


def _declared(pattern: str, **limits: int) -> Organization:
    source = {
        "name": "idp",
        "connector": "scim",
        "state": "active",
        "invite": "never",
        "groups": {"default": "none"},
        "rule": [{"number": 1, "pattern": pattern, "project": "Work"}],
        "limits": limits,
    }
    return Organization.model_validate({"name": "acme", "default_project": "none", "source": [source]})


async def test_rule_whose_loss_takes_too_many_out_is_held_until_the_limits_allow_it(
    database_url: str,
) -> None:
    """A line that is missing in the file, and `serve` started again."""
    async with house(database_url, default_project=None) as acme:
        await declared_organizations.declare(acme.door, [_declared("All")])
        idp = await sources.get_source(acme.door, acme.org_id, "idp")
        ctx = acme.as_scim(idp.id)
        people = [(await acme.create(f"p{n}", ctx)).person_id for n in range(12)]
        await acme.group("All", *people, ctx=ctx)

        (held,) = await declared_organizations.declare(acme.door, [_declared("Nobody")])
        assert held.outcome == "held"
        assert "12 of 12 people of the source idp" in held.held["idp"]
        await settle_marked(acme.door, acme.org_id, budget_s=5)
        assert {(await acme.person(each)).status for each in people} == {"active"}
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []

        wide = {"removals_count": 50, "removals_most": 50, "removals_half_from": 50}
        (done,) = await declared_organizations.declare(acme.door, [_declared("Nobody", **wide)])
        assert done.outcome == "updated"
        await settle_marked(acme.door, acme.org_id, budget_s=5)
        assert {(await acme.person(each)).status for each in people} == {"pending"}
