"""A copied link leads in whom it was copied for, with the power that they had then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest

from scimd.core.errors import LinkInvalid
from scimd.core.invitations import PURPOSE
from scimd.core.links import Link, sign
from scimd.core.people import InvitationId, PersonId, RoleName
from scimd.core.roles import ACCOUNT_ADMIN, OrgRole
from scimd.db.tables import deliveries, invitations, people
from scimd.org.grants import assignments, custom_roles
from scimd.org.identities import linking
from scimd.org.invitations import invitation_changes, inviting
from scimd.org.invitations import invitations as invited
from scimd.org.invitations.inviting import Wish
from scimd.org.tx import DoorSettings
from tests.org.house import House, house

PASSWORD = "lattice umbrella forty gnomes"
GREETER = RoleName("greeter")
Gain: TypeAlias = Callable[[House, PersonId], Awaitable[None]]


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        greeter = OrgRole(GREETER, "Greeter", frozenset({"users.read"}), may_hold_projects=True)
        await custom_roles.create(found.door, found.as_admin(), greeter)
        yield found


async def invite(acme: House) -> PersonId:
    (found,) = await inviting.invite(acme.door, acme.as_admin(), ["ann@acme.example"], Wish(role=GREETER))
    assert found.person_id, found.refusal
    return found.person_id


async def copied(acme: House) -> str:
    (row,) = await acme.rows(invitations)
    return await invitation_changes.copy_link(acme.door, acme.as_admin(), InvitationId(row.id))


async def mailed(acme: House) -> str:
    (row,) = await acme.rows(invitations)
    link = Link(PURPOSE, row.org_id, row.id, row.generation, "mail")
    return sign(link, acme.door.keys.live(PURPOSE))


async def promoted(acme: House, ann: PersonId) -> None:
    await assignments.set_role(acme.door, acme.as_admin(), ann, ACCOUNT_ADMIN)


async def given_one_more(acme: House, ann: PersonId) -> None:
    await assignments.add_role(acme.door, acme.as_admin(), ann, ACCOUNT_ADMIN)


async def role_widened(acme: House, ann: PersonId) -> None:
    wider = OrgRole(GREETER, "Greeter", frozenset({"users.read", "users.manage"}), may_hold_projects=True)
    await custom_roles.change(acme.door, acme.as_admin(), wider)


async def linked(acme: House, ann: PersonId) -> None:
    entra = await acme.source("entra", invite="immediate")
    await linking.link(acme.door, acme.as_admin(), ann, "entra", "ann@acme.example")
    made = await acme.create("ann", acme.as_scim(entra))
    assert made.person_id == ann


@pytest.mark.parametrize("gain", [promoted, given_one_more, role_widened, linked])
async def test_a_copied_link_is_dead_once_its_person_came_to_more(acme: House, gain: Gain) -> None:
    ann = await invite(acme)
    link = await copied(acme)
    await gain(acme, ann)
    for use in (invited.look, invited.decline):
        with pytest.raises(LinkInvalid):
            await use(acme.door, link)
    with pytest.raises(LinkInvalid):
        await invited.accept(acme.door, link, password=PASSWORD)
    (row,) = await acme.rows(people, id=ann)
    assert not row.accepted


@pytest.mark.parametrize("gain", [promoted, given_one_more, role_widened, linked])
async def test_the_mailed_link_goes_on_working_and_no_second_mail_is_owed(acme: House, gain: Gain) -> None:
    ann = await invite(acme)
    link = await mailed(acme)
    await gain(acme, ann)
    assert len(await acme.rows(deliveries, template="invitation")) == 1
    await invited.accept(acme.door, link, password=PASSWORD)
    (row,) = await acme.rows(people, id=ann)
    assert row.accepted


async def test_a_link_that_is_copied_afterwards_leads_in(acme: House) -> None:
    ann = await invite(acme)
    old = await copied(acme)
    await promoted(acme, ann)
    new = await copied(acme)
    with pytest.raises(LinkInvalid):
        await invited.look(acme.door, old)
    await invited.accept(acme.door, new, password=PASSWORD)


async def test_what_gives_no_power_leaves_a_copied_link_as_it_is(acme: House) -> None:
    ann = await invite(acme)
    link = await copied(acme)
    await acme.grant(ann, "licence", "gold")
    await invited.accept(acme.door, link, password=PASSWORD)


async def test_power_that_is_still_to_be_settled_ends_a_copied_link_too(database_url: str) -> None:
    """A group gave it to so many that a job settles them: the acceptance would be what gives it."""
    async with house(database_url, settings=DoorSettings(settle_at_once=1)) as acme:
        rules = [{"number": 1, "pattern": "*", "role": "manager"}]
        entra = acme.as_scim(await acme.source("entra", invite="immediate", config={"rule": rules}))
        ann = (await acme.create("ann", entra)).person_id
        bob = (await acme.create("bob", entra)).person_id
        (row,) = await acme.rows(invitations, person_id=ann)
        link = await invitation_changes.copy_link(acme.door, acme.as_admin(), InvitationId(row.id))
        await acme.group("bosses", ann, bob, ctx=entra)
        (person,) = await acme.rows(people, id=ann)
        assert person.primary_role == "user"
        with pytest.raises(LinkInvalid):
            await invited.accept(acme.door, link, password=PASSWORD)
