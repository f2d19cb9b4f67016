"""Roles and entitlements of a user as facts that rules map (C13)."""

from __future__ import annotations

from typing import Any

from scimd.config import Organization
from scimd.core.roles import MANAGER, USER
from scimd.db import tables as t
from scimd.org.declared import declared_organizations
from scimd.org.settling.unsettled import settle_marked
from scimd.org.users import admin_reads
from scimd.org.users.people import AssertUser
from tests.org.house import House, house, user
from tests.org.looks import projects_of

RULES = [
    {"number": 1, "scim_role": "Team-Lead", "role": "manager", "licence": "Pro"},
    {"number": 2, "entitlement": "apollo", "project": "Project {name}", "project_role": "owner"},
    {"number": 3, "pattern": "staff", "team": "Staff"},
]


async def grants_of(acme: House, person_id: str) -> set[tuple[str, str, str, bool]]:
    rows = await acme.rows(t.grants, person_id=person_id)
    return {(row.kind, row.origin, row.origin_by, row.dormant) for row in rows if row.until is None}


async def test_values_that_rules_name_give_roles_licences_and_projects(database_url: str) -> None:
    async with house(database_url) as acme:
        hr = await acme.source("hr", config={"rule": RULES})
        ctx = acme.as_scim(hr)
        ann = await acme.create("ann", ctx, entitlements=[{"value": "APOLLO"}, {"value": "unheard of"}])
        assert await projects_of(acme, ann.person_id) == {"Project apollo"}
        bob = await acme.create("bob", ctx, roles=[{"value": "team-lead", "primary": True}])
        row = await acme.person(bob.person_id)
        assert row.primary_role == MANAGER
        assert ("licence", "value", "role Team-Lead", False) in await grants_of(acme, bob.person_id)
        page = await admin_reads.show_person(acme.door, acme.org_id, bob.person_id)
        facts = [reason.fact for reason in page.standing.reasons if reason.about == "role:manager"]
        assert facts == ["role 'Team-Lead' of hr, rule 1"]
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_value_that_is_taken_away_takes_its_grants_with_it(database_url: str) -> None:
    async with house(database_url) as acme:
        hr = await acme.source("hr", config={"rule": RULES})
        ctx = acme.as_scim(hr)
        bob = await acme.create("bob", ctx, roles=[{"value": "team-lead"}])
        await acme.change(bob.person_id, ctx, roles=[])
        assert (await acme.person(bob.person_id)).primary_role == USER
        assert {kind for kind, *_ in await grants_of(acme, bob.person_id)} == {"project"}


async def test_values_rest_while_the_source_says_inactive_and_come_back(database_url: str) -> None:
    async with house(database_url) as acme:
        ctx = acme.as_scim(await acme.source("hr", config={"rule": RULES}))
        bob = await acme.create("bob", ctx, entitlements=[{"value": "apollo"}])
        await acme.change(bob.person_id, ctx, active=False)
        assert ("project", "value", "entitlement apollo", True) in await grants_of(acme, bob.person_id)
        assert await projects_of(acme, bob.person_id) == set()
        await acme.change(bob.person_id, ctx, active=True)
        assert await projects_of(acme, bob.person_id) == {"Project apollo"}


async def test_values_of_one_source_are_nothing_to_the_rules_of_another(database_url: str) -> None:
    async with house(database_url) as acme:
        await acme.source("hr", config={"rule": RULES})
        ann = await acme.create("ann", roles=[{"value": "team-lead"}])
        assert (await acme.person(ann.person_id)).primary_role == USER


async def test_rules_on_values_match_no_group_without_an_external_id(database_url: str) -> None:
    async with house(database_url) as acme:
        hr = await acme.source("hr", config={"rule": RULES})
        ctx = acme.as_scim(hr)
        ann = await acme.create("ann", ctx)
        await acme.group("Sales", ann.person_id, ctx=ctx)
        assert (await acme.person(ann.person_id)).primary_role == USER
        assert await projects_of(acme, ann.person_id) == {"Sales"}


async def test_rule_that_comes_later_finds_those_who_have_the_value(database_url: str) -> None:
    def declared(*rules: dict[str, Any]) -> list[Organization]:
        source = {"name": "hr", "connector": "scim", "state": "active", "invite": "never", "rule": rules}
        return [Organization.model_validate({"name": "acme", "source": [source]})]

    async with house(database_url) as acme:
        await declared_organizations.declare(acme.door, declared())
        (hr,) = [row.id for row in await acme.rows(t.sources, name="hr")]
        wish = AssertUser(user("bob", roles=[{"value": "team-lead"}]).document, "bob")
        (bob,) = await acme.push(wish, ctx=acme.as_scim(hr))
        await declared_organizations.declare(acme.door, declared(RULES[0]))
        await settle_marked(acme.door, acme.org_id, budget_s=5)
        assert (await acme.person(bob.person_id)).primary_role == MANAGER
        (gone,) = await declared_organizations.declare(acme.door, declared())
        assert gone.outcome == "updated"
        await settle_marked(acme.door, acme.org_id, budget_s=5)
        assert (await acme.person(bob.person_id)).primary_role == USER
        assert await acme.rows(t.value_effects) == []
