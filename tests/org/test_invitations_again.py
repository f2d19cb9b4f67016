"""An invitation that is opened again leads in only whom it was made for, as they are by now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from scimd.core.errors import Forbidden, InvitationClosed, NotAllowedNow, NotFound, TooManyRequests
from scimd.core.people import InvitationId, PersonId, RoleName
from scimd.core.roles import ACCOUNT_ADMIN, BUILT_IN, MANAGER
from scimd.db.tables import events, invitations, people
from scimd.org.grants import assignments
from scimd.org.invitations import invitation_changes, invitation_list, inviting
from scimd.org.invitations import invitations as invited
from scimd.org.invitations.inviting import Wish
from scimd.org.tx import Actor, Context, Door
from scimd.org.users import gates, local_people
from tests.org.by_hand.local import let_in
from tests.org.house import START, House, house

PASSWORD = "lattice umbrella forty gnomes"
_OPENS = (invitation_changes.resend, invitation_changes.copy_link)
_CHANGES = (*_OPENS, invitation_changes.withdraw, invitation_changes.hide)
Change = Callable[[Door, Context, InvitationId], Awaitable[Any]]


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


async def invite(acme: House, **wish: Any) -> PersonId:
    (found,) = await inviting.invite(acme.door, acme.as_admin(), ["ann@home.example"], Wish(**wish))
    assert found.person_id, found.refusal
    return found.person_id


async def newest(acme: House) -> InvitationId:
    return InvitationId(max(row.id for row in await acme.rows(invitations)))


async def expire(acme: House) -> InvitationId:
    """The newest invitation, past its time."""
    acme.clock.forward(days=8)
    await invitation_changes.expire_due(acme.door, acme.org_id)
    return await newest(acme)


def as_manager(acme: House) -> Context:
    actor = Actor("person", "m", "manager@acme.example")
    return replace(acme.as_admin(), actor=actor, door="api", permissions=BUILT_IN[MANAGER].permissions)


@pytest.mark.parametrize("change", _CHANGES)
async def test_nobody_comes_by_the_invitation_of_somebody_with_more_permissions(
    acme: House, change: Change
) -> None:
    ann = await invite(acme)
    await assignments.add_role(acme.door, acme.as_admin(), ann, ACCOUNT_ADMIN)
    with pytest.raises(Forbidden):
        await change(acme.door, as_manager(acme), await newest(acme))
    await assignments.set_role(acme.door, acme.as_admin(), ann, RoleName("user"))
    await change(acme.door, as_manager(acme), await newest(acme))


@pytest.mark.parametrize("change", _OPENS)
async def test_an_old_invitation_of_a_member_stays_closed(acme: House, change: Change) -> None:
    await invite(acme)
    old = await expire(acme)
    await invite(acme)
    token = await invitation_changes.copy_link(acme.door, acme.as_admin(), await newest(acme))
    await invited.accept(acme.door, token, password=PASSWORD)
    with pytest.raises(NotAllowedNow, match="newer invitation"):
        await change(acme.door, acme.as_admin(), old)
    await invitation_changes.hide(acme.door, acme.as_admin(), await newest(acme))
    with pytest.raises(NotAllowedNow, match="needs no invitation"):
        await change(acme.door, acme.as_admin(), old)


@pytest.mark.parametrize("change", _OPENS)
async def test_an_invitation_back_is_over_once_they_were_reactivated(acme: House, change: Change) -> None:
    ann = await invite(acme)
    token = await invitation_changes.copy_link(acme.door, acme.as_admin(), await newest(acme))
    await invited.accept(acme.door, token, password=PASSWORD)
    await gates.deactivate(acme.door, acme.as_admin(), ann)
    acme.clock.forward(minutes=1)
    await invite(acme)
    back = await expire(acme)
    await change(acme.door, acme.as_admin(), back)
    assert await expire(acme) == back
    await gates.reactivate(acme.door, acme.as_admin(), ann)
    with pytest.raises(NotAllowedNow, match="needs no invitation"):
        await change(acme.door, acme.as_admin(), back)


async def test_a_link_sets_no_password_of_somebody_who_is_in(acme: House) -> None:
    """Whatever opened it: the person came in by another way meanwhile."""
    ann = await invite(acme)
    token = await invitation_changes.copy_link(acme.door, acme.as_admin(), await newest(acme))
    await acme.execute(people.update().where(people.c.id == ann).values(accepted=True))
    with pytest.raises(InvitationClosed, match="accepted already"):
        await invited.accept(acme.door, token, password=PASSWORD)


@pytest.mark.parametrize("change", _OPENS)
async def test_beside_a_newer_invitation_the_old_one_stays_closed(acme: House, change: Change) -> None:
    await invite(acme)
    old = await expire(acme)
    await invite(acme)
    with pytest.raises(NotAllowedNow, match="newer invitation"):
        await change(acme.door, acme.as_admin(), old)


@pytest.mark.parametrize("change", _CHANGES)
async def test_what_was_taken_off_the_list_is_not_there(acme: House, change: Change) -> None:
    await invite(acme)
    gone = await expire(acme)
    await invitation_changes.hide(acme.door, acme.as_admin(), gone)
    with pytest.raises(NotFound):
        await change(acme.door, acme.as_admin(), gone)
    assert len(await acme.rows(events, kind="invitation.deleted")) == 1


async def test_nobodys_mailbox_is_filled_by_a_hand(acme: House) -> None:
    """A19."""
    ann = await invite(acme)
    for _ in range(9):
        await invitation_changes.resend(acme.door, acme.as_admin(), await newest(acme))
    with pytest.raises(TooManyRequests):
        await invitation_changes.resend(acme.door, acme.as_admin(), await newest(acme))
    await let_in(acme, ann)
    with pytest.raises(TooManyRequests):
        await local_people.reset_password(acme.door, acme.as_admin(), [ann])
    acme.clock.forward(hours=1)
    await local_people.reset_password(acme.door, acme.as_admin(), [ann])


@pytest.mark.parametrize("end", [invitation_changes.withdraw, None])
async def test_whoever_was_invited_while_the_clock_was_ahead_is_invited_anew(
    acme: House, end: Change | None
) -> None:
    """Else that one counts as the newest, and the new one, which was answered with 201, is cancelled."""
    acme.clock.forward(hours=5)
    ann = await invite(acme)
    await (end(acme.door, acme.as_admin(), await newest(acme)) if end else expire(acme))
    acme.clock.now = START
    assert await invite(acme) == ann
    (there,) = await acme.rows(invitations, status="pending")
    assert await invitation_list.newest_of(acme.door, acme.org_id, [ann]) == {ann: there.id}
    link = await invitation_changes.copy_link(acme.door, acme.as_admin(), there.id)
    await invited.accept(acme.door, link, password=PASSWORD)
    (person,) = await acme.rows(people, id=ann)
    assert person.status == "active"
