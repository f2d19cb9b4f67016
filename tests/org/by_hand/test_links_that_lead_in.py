"""A link is mailed, or printed, to whom it leads in; else the hand is told what stands in the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from scimd.core.errors import InvalidValue, NotAllowedNow, TooManyRequests
from scimd.core.people import PersonId
from scimd.db.tables import deliveries, invitations
from scimd.org.authentication import sign_in
from scimd.org.invitations import inviting
from scimd.org.invitations.inviting import Wish
from scimd.org.organizations import organizations, partner_approvals, settings
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.tx import Actor
from scimd.org.users import admin_reads, first_admins, gates, local_people
from scimd.org.users.local_people import Edit
from tests.org.by_hand.local import active, added, clean
from tests.org.house import House

OPERATOR = Actor("operator", "", "root")


async def invited(acme: House) -> PersonId:
    (found,) = await inviting.invite(acme.door, acme.as_admin(), ["ann@home.example"], Wish())
    assert found.person_id
    return found.person_id


async def over(acme: House) -> PersonId:
    ann = await invited(acme)
    await acme.execute(invitations.update().values(status="declined"))
    await acme.run(lambda tx: tx.touch([ann]), acme.as_admin())
    return ann


async def unapproved(acme: House) -> PersonId:
    await settings.change(acme.door, acme.as_admin(), settings.Change(approval_required=True))
    return await added(acme)


async def deactivated(acme: House) -> PersonId:
    ann = await active(acme)
    await gates.deactivate(acme.door, acme.as_admin(), ann)
    return ann


async def disabled(acme: House) -> PersonId:
    ann = await active(acme)
    await gates.disable(acme.door, acme.as_admin(), ann)
    return ann


async def set_password_mails(acme: House) -> list[str]:
    return [row.address for row in await acme.rows(deliveries, template="set_password")]


Make = Callable[[House], Awaitable[PersonId]]


@pytest.mark.parametrize(
    ("make", "way_out"),
    [
        (invited, "Send the invitation again"),
        (over, "Invite them again"),
        (unapproved, "A partner has to approve them"),
        (deactivated, "Reactivate them"),
        (disabled, "Enable them"),
    ],
)
async def test_no_link_to_a_new_password_goes_to_whom_it_does_not_lead_in(
    acme: House, make: Make, way_out: str
) -> None:
    ann = await make(acme)
    before = await set_password_mails(acme)
    with pytest.raises(NotAllowedNow, match=way_out):
        await local_people.reset_password(acme.door, acme.as_admin(), [ann])
    assert await set_password_mails(acme) == before


async def test_whose_first_link_lapsed_is_sent_another_one_when_brought_back(acme: House) -> None:
    ann = await added(acme)
    acme.clock.forward(days=1)
    assert await local_people.expire_welcomes(acme.door, acme.org_id) == 1
    await gates.deactivate(acme.door, acme.as_admin(), ann)
    await gates.reactivate(acme.door, acme.as_admin(), ann)
    assert await set_password_mails(acme) == ["ann@home.example"] * 2
    assert (await acme.person(ann)).causes == ["invited"]
    await clean(acme)


async def test_who_was_added_is_told_to_have_another_link_and_no_invitation(acme: House) -> None:
    ann = await added(acme)
    (found,) = await inviting.invite(acme.door, acme.as_admin(), ["ann@home.example"], Wish())
    assert "was added already" in str(found.refusal)
    assert "password reset" in str(found.refusal)
    reasons = (await admin_reads.show_person(acme.door, acme.org_id, ann)).standing.reasons
    assert [row.fact for row in reasons if "set a password first" in row.why] == ["added directly"]


async def test_who_waits_for_approval_gets_no_mail_at_a_new_address_before(acme: House) -> None:
    ann = await unapproved(acme)
    await local_people.edit(acme.door, acme.as_admin(), ann, Edit(email="ann@new.example"))
    assert await acme.rows(deliveries) == []
    partner = replace(acme.as_admin(), permissions=frozenset({"partner.approve"}))
    await partner_approvals.approve(acme.door, partner, ann)
    assert await set_password_mails(acme) == ["ann@new.example"]


async def test_an_address_that_is_changed_back_and_forth_fills_no_mailbox(acme: House) -> None:
    """A19."""
    ann = await added(acme, "a0")
    for n in range(1, 10):
        await local_people.edit(acme.door, acme.as_admin(), ann, Edit(email=f"a{n % 2}@home.example"))
    with pytest.raises(TooManyRequests):
        await local_people.edit(acme.door, acme.as_admin(), ann, Edit(email="a0@home.example"))
    assert len(await set_password_mails(acme)) == 10


@pytest.mark.parametrize(
    ("edit", "shown"),
    [
        ({}, "new@home.example"),
        ({"display_name": None}, "new@home.example"),
        ({"display_name": "Ann Smith"}, "Ann Smith"),
    ],
)
async def test_who_has_no_name_is_shown_by_the_new_address(
    acme: House, edit: dict[str, Any], shown: str
) -> None:
    ann, bob = await added(acme), await added(acme, "bob", display_name="Bob")
    await local_people.edit(acme.door, acme.as_admin(), ann, Edit(email="new@home.example", **edit))
    await local_people.edit(acme.door, acme.as_admin(), bob, Edit(email="b@home.example"))
    assert (await acme.person(ann)).display_name == shown
    assert (await acme.person(bob)).display_name == "Bob"


# ------------------------------------------------------------------------------ admins by the host


async def admin(acme: House, email: str = "ann@home.example", org: str = "acme") -> str:
    return await first_admins.create_admin(acme.door, org, email, OPERATOR)


@pytest.mark.parametrize("make", [invited, over, added])
async def test_whom_the_host_makes_an_admin_has_accepted_by_that(acme: House, make: Make) -> None:
    ann = await make(acme)
    signed = await sign_in.by_link(acme.door, await admin(acme), ip="", user_agent="")
    assert (signed.person_id, (await acme.person(ann)).status) == (ann, "active")
    assert [row for row in await acme.rows(invitations) if row.status == "pending"] == []
    await clean(acme)


@pytest.mark.parametrize(
    ("make", "way_out"),
    [(unapproved, "A partner"), (deactivated, "Reactivate them"), (disabled, "Enable them")],
)
async def test_who_would_not_come_in_is_made_no_admin(acme: House, make: Make, way_out: str) -> None:
    ann = await make(acme)
    with pytest.raises(NotAllowedNow, match=way_out):
        await admin(acme)
    assert (await acme.person(ann)).roles == ["user"]


async def test_an_address_of_another_organizations_domain_is_made_an_operator_alone(acme: House) -> None:
    """X3."""
    await organizations.create(acme.door, NewOrganization("beta", domains=("beta.example",)), OPERATOR)
    with pytest.raises(InvalidValue, match=r"beta\.example belongs to another organization"):
        await admin(acme, "eve@beta.example")
    await organizations.ensure_system(acme.door)
    assert await admin(acme, "eve@beta.example", "system")
