"""Partner approval by source, on return and by time (U18)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scimd.core.people import PersonId
from scimd.db.tables import events, sources
from scimd.org.organizations import partner_approvals, settings
from scimd.org.settling import arrivals, unsettled
from scimd.org.sources import source_states
from scimd.org.users import admin_reads, gates, local_people
from scimd.org.users.local_people import NewPerson
from tests.org.house import House, house, user


async def requiring(acme: House, auto: str, **more: Any) -> None:
    """An organization that requires approval, and a source that approves so far."""
    await settings.change(acme.door, acme.as_admin(), settings.Change(approval_required=True))
    config = {"auto_approve": auto, "join": ["employeeNumber"]}
    acme.scim = await acme.source("entra", config=config, **more)


async def by_a_partner(acme: House, person_id: str) -> None:
    ctx = replace(acme.as_admin(), permissions=frozenset({"partner.approve"}))
    await partner_approvals.approve(acme.door, ctx, PersonId(person_id))


async def approvals(acme: House) -> list[tuple[str, str]]:
    rows = await acme.rows(events)
    return [(row.kind, row.actor_name) for row in rows if row.kind.startswith("person.approv")]


@pytest.mark.parametrize(
    ("auto", "inside", "outside"),
    [("never", False, False), ("domains", True, False), ("always", True, True)],
)
async def test_who_arrives_by_a_source_counts_as_approved_as_far_as_it_is_trusted(
    database_url: str, auto: str, inside: bool, outside: bool
) -> None:
    async with house(database_url) as acme:
        await requiring(acme, auto)
        ann = await acme.create("ann")
        bob = await acme.create("bob", mail="bob@elsewhere.example")
        found = [await acme.person(each.person_id) for each in (ann, bob)]
        assert [row.approved for row in found] == [inside, outside]
        assert [row.causes == ["not_approved"] for row in found] == [not inside, not outside]
        assert len(await approvals(acme)) == inside + outside
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_what_the_identity_provider_sends_later_approves_nobody(database_url: str) -> None:
    async with house(database_url) as acme:
        await requiring(acme, "domains")
        bob = await acme.create("bob", mail="bob@elsewhere.example")
        await acme.change(bob.person_id, emails=[{"value": "bob@acme.example"}], approved=True)
        assert (await acme.person(bob.person_id)).causes == ["not_approved"]


async def test_source_in_shadow_approves_nobody_before_it_leaves_it(database_url: str) -> None:
    async with house(database_url) as acme:
        await requiring(acme, "domains", state="shadow")
        ann = await acme.create("ann")
        bob = await acme.create("bob", mail="bob@elsewhere.example")
        assert not (await acme.person(ann.person_id)).approved
        await source_states.set_state(acme.door, acme.as_admin(), acme.scim, "active")
        found = [await acme.person(each.person_id) for each in (ann, bob)]
        assert [row.approved for row in found] == [True, False]
        assert (await acme.rows(sources, name="entra"))[0].state == "active"


@pytest.mark.parametrize(("days", "approved"), [(29, True), (80, True), (91, False)])
async def test_approval_survives_90_days_inactive_with_the_same_external_id(
    database_url: str, days: int, approved: bool
) -> None:
    async with house(database_url) as acme:
        await requiring(acme, "never")
        hr = await acme.source("hr", kind="connector", connector="ldap")
        ctx = acme.as_sync(hr)
        (ann,) = await acme.push(user("ann"), ctx=ctx)
        person_id = str(ann.person_id)
        await by_a_partner(acme, person_id)
        await acme.drop(person_id, ctx=ctx)
        acme.clock.forward(days=days)
        assert await arrivals.lapse_due(acme.door, acme.org_id) == (not approved)
        assert (await acme.person(person_id)).approved is approved
        await acme.push(user("ann"), ctx=ctx)
        row = await acme.person(person_id)
        assert (row.approved, row.status) == (approved, "active" if approved else "pending")
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_somebody_of_that_name_with_another_external_id_is_approved_anew(database_url: str) -> None:
    async with house(database_url) as acme:
        await requiring(acme, "always")
        hr = await acme.source("hr", kind="connector", connector="ldap")
        ctx = acme.as_sync(hr)
        (ann,) = await acme.push(user("ann"), ctx=ctx)
        person_id = str(ann.person_id)
        await by_a_partner(acme, person_id)
        await acme.drop(person_id, ctx=ctx)
        (again,) = await acme.push(user("ann", external_id="x-another"), ctx=ctx)
        assert again.person_id == person_id
        assert (await acme.person(person_id)).causes == ["not_approved"]


async def test_approval_of_who_is_not_inactive_that_long_does_not_lapse(database_url: str) -> None:
    async with house(database_url) as acme:
        await requiring(acme, "always")
        ann, bob = await acme.create("ann"), await acme.create("bob")
        await acme.change(ann.person_id, active=False)
        acme.clock.forward(days=60)
        await acme.change(ann.person_id, active=True)
        await acme.change(ann.person_id, active=False)
        acme.clock.forward(days=60)
        assert await arrivals.lapse_due(acme.door, acme.org_id) == 0
        acme.clock.forward(days=31)
        assert await arrivals.lapse_due(acme.door, acme.org_id) == 1
        assert ("person.approval_lapsed", "approvals") in await approvals(acme)
        assert (await acme.person(ann.person_id)).causes == ["deprovisioned:entra", "not_approved"]
        assert (await acme.person(bob.person_id)).status == "active"
        # The entry stayed linked, so this is no return and no arrival: a partner is asked again.
        await acme.change(ann.person_id, active=True)
        assert (await acme.person(ann.person_id)).causes == ["not_approved"]
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_approval_lapses_by_the_clock_though_the_job_was_away(database_url: str) -> None:
    async with house(database_url) as acme:
        await requiring(acme, "never")
        ann, bob = await acme.create("ann"), await acme.create("bob")
        for each in (ann, bob):
            await by_a_partner(acme, str(each.person_id))
            await acme.change(each.person_id, active=False)
        acme.clock.forward(days=90, seconds=-1)
        await acme.change(ann.person_id, active=True)
        assert (await acme.person(ann.person_id)).status == "active"
        acme.clock.forward(seconds=2)
        await acme.change(bob.person_id, active=True)
        row = await acme.person(bob.person_id)
        assert (row.approved, row.status, row.causes) == (False, "pending", ["not_approved"])
        assert [kind for kind, _ in await approvals(acme)].count("person.approval_lapsed") == 1
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_who_is_approved_as_they_return_stays_so_however_long_they_were_away(database_url: str) -> None:
    async with house(database_url) as acme:
        await requiring(acme, "always")
        hr = await acme.source("hr", kind="connector", connector="ldap", config={"auto_approve": "always"})
        ctx = acme.as_sync(hr)
        (ann,) = await acme.push(user("ann"), ctx=ctx)
        await acme.drop(str(ann.person_id), ctx=ctx)
        acme.clock.forward(days=100)
        await acme.push(user("ann"), ctx=ctx)
        assert (await acme.person(str(ann.person_id))).status == "active"


@pytest.mark.parametrize("door", ["push", "sync"])
async def test_who_is_approved_while_inactive_for_long_stays_so_for_90_days_from_then(
    database_url: str, door: str
) -> None:
    """By a partner: no job takes it back at once, nor does their return, by an update or from a directory."""
    async with house(database_url) as acme:
        await requiring(acme, "never")
        hr = await acme.source("hr", kind="connector", connector="ldap")
        ctx = acme.as_scim() if door == "push" else acme.as_sync(hr)
        ann, bob = [str(each.person_id) for each in await acme.push(user("ann"), user("bob"), ctx=ctx)]
        await acme.drop(ann, bob, ctx=ctx)
        acme.clock.forward(days=100)
        await by_a_partner(acme, ann)
        await by_a_partner(acme, bob)
        acme.clock.forward(days=89)
        assert await arrivals.lapse_due(acme.door, acme.org_id) == 0
        await acme.push(user("ann"), ctx=ctx)
        assert (await acme.person(ann)).causes == []
        acme.clock.forward(days=1)
        assert await arrivals.lapse_due(acme.door, acme.org_id) == 1
        assert [(await acme.person(each)).approved for each in (ann, bob)] == [True, False]
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_of_whom_was_deleted_the_approval_is_forgotten_too(database_url: str) -> None:
    """V16: what is stored of them follows from the facts, also once approval is no longer asked for."""
    async with house(database_url) as acme:
        ctx = acme.as_admin()
        await settings.change(acme.door, ctx, settings.Change(approval_required=True))
        ann = await local_people.add(acme.door, ctx, NewPerson("ann@home.example"))
        await gates.delete(acme.door, ctx, ann)
        assert (await acme.person(ann)).causes == ["deleted:admin@acme.example", "not_approved"]
        await settings.change(acme.door, ctx, settings.Change(approval_required=False))
        await unsettled.settle_marked(acme.door, acme.org_id, budget_s=10)
        assert (await acme.person(ann)).causes == ["deleted:admin@acme.example"]
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []
