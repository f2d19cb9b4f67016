"""U18: a partner approves; settings; seats by day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from scimd.core.errors import Forbidden, InvalidValue, NotAllowedNow, NotFound
from scimd.core.people import ProjectId
from scimd.db.tables import events, people
from scimd.org.grants import project_upkeep, seat_history
from scimd.org.organizations import organizations, partners, settings
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.settling.unsettled import settle_marked
from scimd.org.tx import Actor, Context
from scimd.org.users import admin_reads, local_people
from scimd.org.users.local_people import NewPerson
from tests.org.house import House, house

OPERATOR = Actor("operator", "", "root")


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


def as_operator(acme: House) -> Context:
    return Context(acme.org_id, OPERATOR, "cli", "c9")


async def partner(acme: House, slug: str = "reseller") -> Context:
    made = await partners.create(acme.door, slug, None, OPERATOR)
    actor = Actor("person", "p1", "pat@reseller.example")
    return Context(made.id, actor, "web", "c8", permissions=frozenset({"partner.approve"}))


async def requiring_approval(acme: House) -> None:
    await settings.change(acme.door, acme.as_admin(), settings.Change(approval_required=True))
    await settle_marked(acme.door, acme.org_id, budget_s=10)


async def test_a_partner_sees_who_waits_and_lets_them_queue_for_a_seat(acme: House) -> None:
    await acme.create("old")
    await requiring_approval(acme)
    await acme.create("ann")
    pat = await partner(acme)
    assert await partners.queue(acme.door, pat.org_id) == []
    await partners.assign(acme.door, as_operator(acme), "reseller")
    (waiting,) = await partners.queue(acme.door, pat.org_id)
    assert (waiting.organization, waiting.address, waiting.source) == ("acme", "ann@acme.example", "okta")
    await partners.approve(acme.door, pat, "acme", waiting.person_id)
    row = await acme.person(waiting.person_id)
    assert (row.status, row.has_seat) == ("active", True)
    approvals = [r for r in await acme.rows(events) if r.kind == "person.approved"]
    assert [r.actor_name for r in approvals] == ["pat@reseller.example"]
    assert await partners.queue(acme.door, pat.org_id) == []
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_an_organization_does_not_let_people_in_past_its_partner(acme: House) -> None:
    """Off and on again would approve whoever is added in between, and the partner saw none of them."""
    bob = replace(acme.as_admin(), door="api")
    off, on = (settings.Change(approval_required=wanted) for wanted in (False, True))
    await settings.change(acme.door, bob, on)
    await settings.change(acme.door, bob, off)  # nobody is passed
    await settings.change(acme.door, bob, on)
    await partner(acme)
    await partners.assign(acme.door, as_operator(acme), "reseller")
    for ctx in (bob, replace(bob, door="web")):
        with pytest.raises(Forbidden, match="operator"):
            await settings.change(acme.door, ctx, off)
    await settings.change(acme.door, bob, settings.Change(display_name="Acme", approval_required=True))
    assert (await organizations.by_slug(acme.door, "acme")).approval_required
    by_page = replace(bob, actor=Actor("operator", "o1", "op"))
    for ctx in (as_operator(acme), by_page):
        await settings.change(acme.door, ctx, off)
        await settings.change(acme.door, ctx, on)
    await partners.unassign(acme.door, as_operator(acme), "reseller")
    await settings.change(acme.door, bob, off)


async def test_a_partner_approves_nobody_whose_queue_it_does_not_see(acme: House) -> None:
    """X1."""
    await requiring_approval(acme)
    ann = await acme.create("ann")
    pat = await partner(acme)
    for slug in ("acme", "nowhere"):
        with pytest.raises(NotFound):
            await partners.approve(acme.door, pat, slug, ann.person_id)  # type: ignore[arg-type]
    await partners.assign(acme.door, as_operator(acme), "reseller")
    await partners.unassign(acme.door, as_operator(acme), "reseller")
    with pytest.raises(NotFound):
        await partners.approve(acme.door, pat, "acme", ann.person_id)  # type: ignore[arg-type]
    assert (await acme.person(ann.person_id)).status == "pending"


async def test_approval_is_never_taken_from_an_identity_provider(acme: House) -> None:
    await requiring_approval(acme)
    ann = await acme.create("ann", approved=True, active=True)
    assert (await acme.person(ann.person_id)).approved is False
    await acme.change(ann.person_id, active=True)
    assert (await acme.person(ann.person_id)).causes == ["not_approved"]


async def test_only_an_operator_assigns_and_only_partners_are_assigned(acme: House) -> None:
    await partner(acme)
    with pytest.raises(Forbidden):
        await partners.assign(acme.door, acme.as_admin(), "reseller")
    await organizations.create(acme.door, NewOrganization("beta"), OPERATOR)
    with pytest.raises(NotAllowedNow, match="is not a partner"):
        await partners.assign(acme.door, as_operator(acme), "beta")


# ------------------------------------------------------------------------------ settings


async def test_a_new_default_project_takes_those_whom_nothing_else_gives_one(acme: House) -> None:
    ann = await local_people.add(acme.door, acme.as_admin(), NewPerson("ann@home.example"))
    lobby = await project_upkeep.create(acme.door, acme.as_admin(), "Lobby")
    await settings.change(acme.door, acme.as_admin(), settings.Change(default_project=lobby))
    await settle_marked(acme.door, acme.org_id, budget_s=10)
    person = (await admin_reads.show_person(acme.door, acme.org_id, ann)).person
    assert [each.name for each in person.projects] == ["Lobby"]
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_settings_that_are_wrong_change_nothing(acme: House) -> None:
    before = len(await acme.rows(events))
    with pytest.raises(NotFound):
        await settings.change(
            acme.door, acme.as_admin(), settings.Change(default_project=ProjectId("nowhere"))
        )
    with pytest.raises(InvalidValue):
        await settings.change(acme.door, acme.as_admin(), settings.Change(display_name=""))
    nobody = replace(acme.as_admin(), permissions=frozenset())
    with pytest.raises(Forbidden):
        await settings.change(acme.door, nobody, settings.Change(display_name="X"))
    await settings.change(acme.door, acme.as_admin(), settings.Change(display_name="acme"))
    assert len(await acme.rows(events)) == before


# ------------------------------------------------------------------------------ seats by day (K7)


async def test_the_most_of_each_day_is_kept(acme: House) -> None:
    ann = await local_people.add(acme.door, acme.as_admin(), NewPerson("ann@home.example"))
    await seat_history.note_all(acme.door)
    await acme.execute(people.update().where(people.c.id == ann).values(has_seat=False))
    await acme.execute(organizations.seat_pools.update().values(used=0))
    await seat_history.note_all(acme.door)
    acme.clock.forward(days=1)
    await seat_history.note_all(acme.door)
    found = await seat_history.history(acme.door, acme.org_id)
    assert [(str(day.day), day.used, day.limit) for day in found] == [
        ("2026-03-02", 1, None),
        ("2026-03-03", 0, None),
    ]
