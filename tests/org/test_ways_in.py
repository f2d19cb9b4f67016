"""Each way in leads in whom it was made for, at their address; who lost one for a time gets another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from scimd.core.errors import InvitationClosed, LinkInvalid, NotAllowedNow, TooManyRequests
from scimd.core.invitations import PURPOSE
from scimd.core.links import Link, sign
from scimd.core.people import InvitationId, PersonId, SourceId
from scimd.db.tables import deliveries, invitations, links, projects
from scimd.org.authentication import sign_in
from scimd.org.identities import linking
from scimd.org.invitations import invitation_changes, inviting
from scimd.org.invitations import invitations as invited
from scimd.org.invitations.inviting import Wish
from scimd.org.mails import deliveries as relay
from scimd.org.organizations import organizations, settings
from scimd.org.settling.unsettled import settle_marked
from scimd.org.sources import source_states
from scimd.org.tx import Door
from scimd.org.users import admin_reads, gates, local_people
from scimd.org.users.local_people import NewPerson
from tests.org.by_hand.local import set_password_token
from tests.org.house import House, house

PASSWORD = "lattice umbrella forty gnomes"


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url, seats_=20) as found:
        yield found


async def inviting_source(acme: House, name: str = "hr", **more: Any) -> SourceId:
    return await acme.source(name, invite="immediate", **more)


async def pushed(acme: House, source: SourceId, name: str = "ann", **more: Any) -> PersonId:
    return PersonId((await acme.create(name, ctx=acme.as_scim(source), **more)).person_id)


async def invite(acme: House, email: str = "ann@acme.example", **wish: Any) -> PersonId:
    (found,) = await inviting.invite(acme.door, acme.as_admin(), [email], Wish(**wish))
    if found.refusal:
        raise found.refusal
    assert found.person_id
    return found.person_id


async def newest(acme: House, person_id: PersonId) -> Any:
    return max(await acme.rows(invitations, person_id=person_id), key=lambda row: row.id)


def by_mail(acme: House, row: Any) -> str:
    link = Link(PURPOSE, row.org_id, row.id, row.generation, "mail")
    return sign(link, acme.door.keys.live(PURPOSE))


async def accept(acme: House, row: Any) -> invited.Accepted:
    return await invited.accept(acme.door, by_mail(acme, row), password=PASSWORD)


async def mailed(acme: House, **passing: float) -> list[str]:
    """To whom mails with a way in leave after that time."""
    acme.clock.forward(**passing or {"minutes": 20})
    taken = await relay.take_due(acme.door, acme.org_id, 100)
    for each in taken:
        await relay.sent(acme.door, each)
    return [each.address for each in taken if each.link]


async def stands(acme: House, person_id: PersonId) -> tuple[list[str], bool]:
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []
    row = await acme.person(person_id)
    return row.causes, row.has_seat


async def inside(acme: House, source: SourceId, name: str = "ann") -> PersonId:
    """Somebody who accepted."""
    person_id = await pushed(acme, source, name)
    await accept(acme, await newest(acme, person_id))
    return person_id


async def settled(acme: House) -> None:
    await settle_marked(acme.door, acme.org_id, budget_s=60)


# ------------------------------------------------------------------------------ invited back


async def test_an_invitation_back_goes_to_the_new_address_and_the_older_link_is_dead(acme: House) -> None:
    hr = await inviting_source(acme)
    ann = await inside(acme, hr)
    await gates.deactivate(acme.door, acme.as_admin(), ann)
    acme.clock.forward(minutes=1)
    await invite(acme, message="Welcome back", valid_s=7200.0)
    old = await newest(acme, ann)
    acme.clock.forward(minutes=1)
    await acme.change(ann, acme.as_scim(hr), emails=[{"value": "ann2@acme.example", "primary": True}])
    new = await newest(acme, ann)
    assert (new.address, new.reactivates, new.message) == ("ann2@acme.example", True, "Welcome back")
    assert new.expires_at - new.created_at == new.expires_at - acme.clock.now
    assert (new.expires_at - acme.clock.now).total_seconds() == 7200
    with pytest.raises(InvitationClosed):
        await accept(acme, old)
    sent = await mailed(acme)
    assert "ann2@acme.example" in sent
    assert "ann@acme.example" not in sent
    assert (await accept(acme, new)).session
    assert await stands(acme, ann) == ([], True)


async def test_what_was_sent_to_another_address_leads_nobody_in_whatever_else_stands_against_them(
    acme: House,
) -> None:
    hr = await inviting_source(acme)
    ann = await pushed(acme, hr)
    assert await mailed(acme) == ["ann@acme.example"]
    await settings.change(acme.door, acme.as_admin(), settings.Change(default_project=None))
    await settled(acme)
    await acme.change(ann, acme.as_scim(hr), emails=[{"value": "ann2@acme.example", "primary": True}])
    with pytest.raises(InvitationClosed):
        await accept(acme, await newest(acme, ann))
    assert await stands(acme, ann) == (["no_project"], False)


async def test_an_expired_invitation_to_an_older_address_is_not_opened_again(acme: House) -> None:
    hr = await inviting_source(acme)
    ann = await pushed(acme, hr)
    acme.clock.forward(days=8)
    await invitation_changes.expire_due(acme.door, acme.org_id)
    await acme.change(ann, acme.as_scim(hr), emails=[{"value": "ann2@acme.example", "primary": True}])
    old = InvitationId((await newest(acme, ann)).id)
    for change in (invitation_changes.resend, invitation_changes.copy_link):
        with pytest.raises(NotAllowedNow, match="another address by now"):
            await change(acme.door, acme.as_admin(), old)
    assert await invite(acme, "ann2@acme.example") == ann


async def expired(acme: House) -> None:
    acme.clock.forward(days=8)
    await invitation_changes.expire_due(acme.door, acme.org_id)


@pytest.mark.parametrize("by_hand", [True, False])
async def test_whose_invitation_had_expired_is_sent_a_new_one_when_they_return(
    acme: House, by_hand: bool
) -> None:
    hr = await inviting_source(acme)
    ann = await pushed(acme, hr)
    await expired(acme)
    assert await stands(acme, ann) == (["invitation_expired"], False)
    if by_hand:
        await gates.deactivate(acme.door, acme.as_admin(), ann)
        await gates.reactivate(acme.door, acme.as_admin(), ann)
    else:
        await acme.change(ann, acme.as_scim(hr), active=False)
        await acme.change(ann, acme.as_scim(hr), active=True)
    assert await stands(acme, ann) == (["invited"], True)
    assert sorted(row.status for row in await acme.rows(invitations, person_id=ann)) == ["expired", "pending"]
    assert (await accept(acme, await newest(acme, ann))).session


async def test_an_expired_invitation_back_stands_in_nobodys_way(acme: House) -> None:
    """Reactivated by an admin, whom it would have brought back needs one for the first time."""
    ann = await pushed(acme, await inviting_source(acme))
    await gates.deactivate(acme.door, acme.as_admin(), ann)
    acme.clock.forward(minutes=1)
    await invite(acme)
    await expired(acme)
    await gates.reactivate(acme.door, acme.as_admin(), ann)
    assert await stands(acme, ann) == (["invited"], True)


async def test_a_link_that_renewed_an_invitation_counts_when_it_expires_again(acme: House) -> None:
    hr = await inviting_source(acme)
    ann = await pushed(acme, hr)
    await expired(acme)
    await acme.change(ann, acme.as_scim(hr), active=False)
    await acme.change(ann, acme.as_scim(hr), active=True)
    await expired(acme)
    await invitation_changes.copy_link(acme.door, acme.as_admin(), InvitationId((await newest(acme, ann)).id))
    assert await stands(acme, ann) == (["invited"], True)
    await expired(acme)
    assert await stands(acme, ann) == (["invitation_expired"], False)


@pytest.mark.parametrize("by_source", [True, False])
async def test_who_never_came_in_and_is_reactivated_gets_an_invitation_that_works(
    acme: House, by_source: bool
) -> None:
    """In place of the one by which they were invited back, which lifts a gate that is gone."""
    ann = await pushed(acme, await inviting_source(acme)) if by_source else await invite(acme)
    await gates.deactivate(acme.door, acme.as_admin(), ann)
    acme.clock.forward(minutes=1)
    await invite(acme)
    acme.clock.forward(minutes=1)
    await gates.reactivate(acme.door, acme.as_admin(), ann)
    assert await stands(acme, ann) == (["invited"], True)
    new = await newest(acme, ann)
    assert (new.status, new.reactivates) == ("pending", False)
    assert await mailed(acme) == ["ann@acme.example"]
    assert (await accept(acme, new)).session


async def test_a_mail_to_somebody_invited_back_waits_while_something_else_stands_against_them(
    acme: House,
) -> None:
    hr = await inviting_source(acme)
    ann = await inside(acme, hr)
    general = (await acme.rows(projects))[0].id
    await mailed(acme)
    await gates.deactivate(acme.door, acme.as_admin(), ann)
    await invite(acme)
    await settings.change(acme.door, acme.as_admin(), settings.Change(default_project=None))
    await settled(acme)
    assert await mailed(acme) == []
    assert [row.state for row in await acme.rows(deliveries, template="invitation")][-1] == "due"
    await settings.change(acme.door, acme.as_admin(), settings.Change(default_project=general))
    await settled(acme)
    assert await mailed(acme) == ["ann@acme.example"]
    assert (await accept(acme, await newest(acme, ann))).session


@pytest.mark.parametrize("days", [1, 30])
async def test_an_invitation_that_is_sent_again_lasts_as_long_as_the_first(acme: House, days: int) -> None:
    ann = await invite(acme, valid_s=days * 86400.0)
    row = await newest(acme, ann)
    for _ in range(2):
        acme.clock.forward(hours=5)
        again = await invitation_changes.resend(acme.door, acme.as_admin(), InvitationId(row.id))
        assert again.expires_at == acme.clock.now + timedelta(days=days)
    acme.clock.forward(days=days)
    await invitation_changes.expire_due(acme.door, acme.org_id)
    await invitation_changes.copy_link(acme.door, acme.as_admin(), InvitationId(row.id))
    assert (await newest(acme, ann)).expires_at == acme.clock.now + timedelta(days=days)


# ------------------------------------------------------------------------------ shadow


async def test_into_shadow_goes_whoever_is_only_invited_by_that_source(acme: House) -> None:
    hr = await inviting_source(acme)
    sent = await pushed(acme, hr)
    await mailed(acme)
    owed = await pushed(acme, hr, "dan")
    link = by_mail(acme, await newest(acme, sent))
    await source_states.set_state(acme.door, acme.as_admin(), hr, "shadow")
    with pytest.raises(InvitationClosed):  # settled or not
        await invited.accept(acme.door, link, password=PASSWORD)
    await settled(acme)
    for each in (sent, owed):
        assert await stands(acme, each) == (["shadow:hr"], False)
        assert (await newest(acme, each)).status == "cancelled"
    assert await mailed(acme) == []
    await source_states.set_state(acme.door, acme.as_admin(), hr, "active")
    await settled(acme)
    assert await stands(acme, sent) == (["invited"], True)
    assert sorted(await mailed(acme)) == ["ann@acme.example", "dan@acme.example"]


async def test_whom_a_hand_invited_stays_invited_beside_a_source_in_shadow(acme: House) -> None:
    hr = await inviting_source(acme)
    ann = await invite(acme)
    assert await pushed(acme, hr) == ann
    await source_states.set_state(acme.door, acme.as_admin(), hr, "shadow")
    await settled(acme)
    assert await stands(acme, ann) == (["invited"], True)
    await gates.disable(acme.door, acme.as_admin(), ann)
    await gates.enable(acme.door, acme.as_admin(), ann)
    assert await stands(acme, ann) == (["invited"], True)


async def test_a_hand_may_invite_whom_only_a_source_in_shadow_knew(acme: House) -> None:
    hr = await inviting_source(acme)
    ann = await pushed(acme, hr)
    await source_states.set_state(acme.door, acme.as_admin(), hr, "shadow")
    await settled(acme)
    before = InvitationId((await newest(acme, ann)).id)
    with pytest.raises(InvitationClosed):
        await invitation_changes.resend(acme.door, acme.as_admin(), before)
    acme.clock.forward(minutes=1)
    address = (await acme.person(ann)).sign_in_address
    assert await invite(acme, address) == ann
    assert await stands(acme, ann) == (["invited"], True)


# ------------------------------------------------------------------------------ a link in its place


async def lapse(acme: House) -> None:
    acme.clock.forward(hours=4)
    await local_people.expire_welcomes(acme.door, acme.org_id)


async def add(acme: House) -> PersonId:
    return await local_people.add(acme.door, acme.as_admin(), NewPerson("ann@acme.example"))


async def test_who_let_a_link_to_set_a_password_lapse_is_invited(acme: House) -> None:
    ann = await add(acme)
    await mailed(acme)
    await lapse(acme)
    assert await stands(acme, ann) == (["invitation_expired"], False)
    await invite(acme)
    assert await stands(acme, ann) == (["invited"], True)
    assert await mailed(acme) == ["ann@acme.example"]
    assert (await accept(acme, await newest(acme, ann))).session


async def test_whom_a_source_took_over_is_invited_by_it_when_that_link_has_lapsed(acme: House) -> None:
    hr = await inviting_source(acme)
    ann = await add(acme)
    await mailed(acme)
    assert await pushed(acme, hr) == ann
    assert await acme.rows(invitations) == []
    await lapse(acme)
    assert await stands(acme, ann) == (["invited"], True)
    assert (await newest(acme, ann)).source_id == hr
    assert await mailed(acme) == ["ann@acme.example"]


async def test_who_lapsed_and_is_taken_over_then_is_invited_at_once(acme: House) -> None:
    hr = await inviting_source(acme)
    ann = await add(acme)
    await lapse(acme)
    assert await pushed(acme, hr) == ann
    assert await stands(acme, ann) == (["invited"], True)
    assert (await newest(acme, ann)).source_id == hr


Step = Callable[[Door, Any, PersonId], Awaitable[None]]


@pytest.mark.parametrize(
    ("close", "reopen"),
    [(gates.deactivate, gates.reactivate), (gates.disable, gates.enable), (gates.delete, gates.restore)],
)
async def test_who_was_added_and_comes_back_before_coming_in_gets_another_link(
    acme: House, close: Step, reopen: Step
) -> None:
    ann = await add(acme)
    await mailed(acme)
    old = await set_password_token(acme, ann)
    await close(acme.door, acme.as_admin(), ann)
    await local_people.expire_welcomes(acme.door, acme.org_id)
    await reopen(acme.door, acme.as_admin(), ann)
    assert await mailed(acme) == ["ann@acme.example"]
    await local_people.expire_welcomes(acme.door, acme.org_id)
    assert await stands(acme, ann) == (["invited"], True)
    with pytest.raises(LinkInvalid):
        await sign_in.set_password_by_link(acme.door, old, PASSWORD, ip="", user_agent="")
    new = await set_password_token(acme, ann)
    await sign_in.set_password_by_link(acme.door, new, PASSWORD, ip="", user_agent="")
    assert await stands(acme, ann) == ([], True)


async def test_nobody_is_flooded_with_links_by_a_gate_that_opens_and_closes(acme: House) -> None:
    ann = await add(acme)
    for _ in range(9):
        await gates.disable(acme.door, acme.as_admin(), ann)
        await gates.enable(acme.door, acme.as_admin(), ann)
    await gates.disable(acme.door, acme.as_admin(), ann)
    with pytest.raises(TooManyRequests):
        await gates.enable(acme.door, acme.as_admin(), ann)
    acme.clock.forward(hours=1, seconds=1)
    await gates.enable(acme.door, acme.as_admin(), ann)
    assert await stands(acme, ann) == (["invited"], True)


async def test_no_link_to_set_a_password_goes_to_whom_another_gate_holds(acme: House) -> None:
    ann = await add(acme)
    await mailed(acme)
    for close in (gates.deactivate, gates.disable):
        await close(acme.door, acme.as_admin(), ann)
    await gates.reactivate(acme.door, acme.as_admin(), ann)
    assert await mailed(acme) == []
    assert [row for row in await acme.rows(links) if row.expires_at > acme.clock.now] == []


# ------------------------------------------------------------------------------ recycled names


async def decline(acme: House, row: Any) -> None:
    await invited.decline(acme.door, by_mail(acme, row))


async def withdraw(acme: House, row: Any) -> None:
    await invitation_changes.withdraw(acme.door, acme.as_admin(), InvitationId(row.id))


async def expire(acme: House, row: Any) -> None:
    acme.clock.now = row.expires_at
    await invitation_changes.expire_due(acme.door, acme.org_id)


@pytest.mark.parametrize("end", [decline, withdraw, expire])
async def test_who_comes_under_a_recycled_name_is_invited_whatever_became_of_the_former(
    acme: House, end: Callable[[House, Any], Awaitable[None]]
) -> None:
    hr = await inviting_source(acme)
    ann = await pushed(acme, hr)
    old = await newest(acme, ann)
    await end(acme, old)
    await acme.change(ann, acme.as_scim(hr), active=False)
    acme.clock.forward(minutes=1)
    assert await pushed(acme, hr, external_id="new") == ann
    assert await stands(acme, ann) == (["invited"], True)
    assert (await newest(acme, ann)).id != old.id
    assert await mailed(acme) == ["ann@acme.example"]


async def test_an_old_invitation_is_not_opened_for_who_bears_the_name_now(acme: House) -> None:
    await organizations.set_seats(acme.door, acme.as_admin(), 1)
    hr = await inviting_source(acme)
    ann = await pushed(acme, hr)
    await expire(acme, await newest(acme, ann))
    await acme.change(ann, acme.as_scim(hr), active=False)
    await acme.create("bob")
    assert await pushed(acme, hr, external_id="new") == ann
    assert await stands(acme, ann) == (["waiting_for_seat", "invited"], False)
    old = InvitationId((await newest(acme, ann)).id)
    with pytest.raises(NotAllowedNow, match="is over"):
        await invitation_changes.resend(acme.door, acme.as_admin(), old)


async def test_an_invitation_back_is_not_for_who_bears_the_name_now(acme: House) -> None:
    """Another source keeps the person, so that nothing but the admin's word stands against them."""
    hr = await inviting_source(acme)
    ann = PersonId((await acme.create("ann")).person_id)
    await linking.link(acme.door, acme.as_admin(), ann, "hr", "x-ann")
    assert await pushed(acme, hr, active=False) == ann
    await gates.deactivate(acme.door, acme.as_admin(), ann)
    await invite(acme)
    back = await newest(acme, ann)
    await acme.change(ann, acme.as_scim(hr), externalId="new")
    with pytest.raises(InvitationClosed):
        await accept(acme, back)
    assert await mailed(acme) == []


async def test_who_declined_is_not_invited_again_by_turning_active(acme: House) -> None:
    """It is the same person: their word, or an admin's, is not undone by a push."""
    hr = await inviting_source(acme)
    ann = await pushed(acme, hr)
    await decline(acme, await newest(acme, ann))
    for active in (False, True):
        await acme.change(ann, acme.as_scim(hr), active=active)
    assert await stands(acme, ann) == (["invitation_declined"], False)


@pytest.mark.parametrize("how", ["deactivated", "deprovisioned", "invited by hand"])
async def test_what_is_stored_of_whom_an_expired_invitation_left_inactive_follows_from_the_facts(
    acme: House, how: str
) -> None:
    """V16."""
    hr = await inviting_source(acme)
    ann = await invite(acme) if how == "invited by hand" else await pushed(acme, hr)
    await expired(acme)
    if how == "deprovisioned":
        await acme.change(ann, acme.as_scim(hr), active=False)
    else:
        await gates.deactivate(acme.door, acme.as_admin(), ann)
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []
