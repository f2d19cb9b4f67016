"""What invitations promise (docs/semantics.md)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from scimd.core.errors import (
    Forbidden,
    InvitationClosed,
    LinkInvalid,
    NotFound,
    SeatLimitReached,
    WeakPassword,
)
from scimd.core.invitations import PURPOSE
from scimd.core.links import Link, sign
from scimd.db.tables import credentials, gates, invitations, people, seat_pools
from scimd.db.tables import organizations as organization_rows
from scimd.db.tables import sources as source_rows
from scimd.org.authentication import sessions
from scimd.org.invitations import invitation_changes
from scimd.org.invitations import invitations as invited
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.sources import source_states
from scimd.org.tx import Actor, Context
from tests.org.acme import OPERATOR, PASSWORD, House, house
from tests.org.looks import invitations_of


def by_mail(acme: House, row: Any, **other: Any) -> str:
    link = Link(PURPOSE, row.org_id, row.id, row.generation, "mail")
    return sign(replace(link, **other), acme.door.keys.live(PURPOSE))


async def test_a_pushed_person_gets_one_invitation_and_one_mail_that_waits(acme: House) -> None:
    person = await acme.push(await acme.source())
    row = await acme.invitation(person)
    assert (row.status, row.staged, row.address) == ("pending", False, "dana@acme.example")
    assert row.expires_at == acme.clock.now + timedelta(days=7)
    assert row.invited_by == "okta"
    (mail,) = await acme.mails()
    assert (mail.state, mail.due_at) == ("due", acme.clock.now + timedelta(minutes=2))
    assert (await acme.person(person)).causes == ["invited"]


async def test_later_changes_push_the_mail_back_until_fifteen_minutes(acme: House) -> None:
    first = acme.clock.now
    person = await acme.push(await acme.source())
    acme.clock.pass_by(minutes=1)
    await acme.touch(person)
    assert (await acme.mails())[0].due_at == first + timedelta(minutes=3)
    for _ in range(14):
        acme.clock.pass_by(minutes=1)
        await acme.touch(person)
    (mail,) = await acme.mails()
    assert mail.due_at == first + timedelta(minutes=15)


async def test_mails_of_a_staged_source_wait_for_its_release(acme: House) -> None:
    okta = await acme.source(state="staged")
    people_ = [await acme.push(okta, f"p{n}@acme.example") for n in range(3)]
    assert {row.state for row in await acme.mails()} == {"staged"}
    acme.clock.pass_by(days=30)
    assert await source_states.preview_release(acme.door, acme.org.id, okta.id) == source_states.Released(
        0, 3
    )
    released = await source_states.release(acme.door, acme.ctx, okta.id)
    assert released.mails == 3
    assert {(row.state, row.due_at) for row in await acme.mails()} == {("due", acme.clock.now)}
    row = await acme.invitation(people_[0])
    assert (row.staged, row.expires_at) == (False, acme.clock.now + timedelta(days=7))


async def test_staged_invitations_do_not_expire(acme: House) -> None:
    okta = await acme.source(state="staged")
    person = await acme.push(okta)
    acme.clock.pass_by(days=30)
    assert await invitation_changes.expire_due(acme.door, acme.org.id) == 0
    assert (await acme.invitation(person)).status == "pending"


async def test_a_source_that_invites_never_makes_people_active_without_mail(acme: House) -> None:
    person = await acme.push(await acme.source(invite="never"))
    assert (await acme.person(person)).status == "active"
    assert await acme.mails() == []
    assert await acme.rows(invitations) == []


async def test_whoever_waits_for_a_seat_gets_no_mail(database_url: str) -> None:
    async with house(database_url, seats=1) as acme:
        okta = await acme.source()
        await acme.push(okta, "first@acme.example")
        second = await acme.push(okta, "second@acme.example")
        assert (await acme.person(second)).causes[0] == "waiting_for_seat"
        assert [row.address for row in await acme.mails()] == ["first@acme.example"]


async def test_when_a_source_stops_inviting_its_people_are_in_and_the_mail_is_not_sent(acme: House) -> None:
    okta = await acme.source()
    person = await acme.push(okta)
    await acme.write(
        lambda conn: (
            conn.execute(update(source_rows).values(invite="never")),
            conn.execute(update(organization_rows).values(generation=organization_rows.c.generation + 1)),
            None,
        )[-1]
    )
    await acme.touch(person)
    assert (await acme.person(person)).status == "active"
    assert (await acme.invitation(person)).status == "cancelled"
    assert [row.state for row in await acme.mails()] == ["cancelled"]


async def test_deprovisioning_cancels_a_pending_invitation_and_its_mail(acme: House) -> None:
    okta = await acme.source()
    person = await acme.push(okta)
    link = await acme.link(person)
    await acme.assert_active(okta, person, False)
    assert (await acme.invitation(person)).status == "cancelled"
    assert [row.state for row in await acme.mails()] == ["cancelled"]
    with pytest.raises(InvitationClosed, match="withdrawn"):
        await invited.accept(acme.door, link, password=PASSWORD)
    assert (await acme.person(person)).status == "inactive"


async def test_reactivation_makes_a_new_invitation(acme: House) -> None:
    okta = await acme.source()
    person = await acme.push(okta)
    await acme.assert_active(okta, person, False)
    acme.clock.pass_by(minutes=1)
    await acme.assert_active(okta, person, True)
    assert [row.status for row in await acme.rows(invitations)] == ["cancelled", "pending"]
    assert [row.state for row in await acme.mails()] == ["cancelled", "due"]
    assert (await acme.person(person)).causes == ["invited"]


async def test_a_new_address_gets_an_invitation_of_its_own(acme: House) -> None:
    person = await acme.push(await acme.source())
    old = await acme.link(person)

    def moved(conn: Any) -> None:
        conn.execute(
            update(people)
            .where(people.c.id == person)
            .values(sign_in_address="dana.lee@acme.example", sign_in_key="dana.lee@acme.example")
        )

    await acme.write(moved)
    await acme.touch(person)
    rows = await acme.rows(invitations)
    assert sorted((row.address, row.status) for row in rows) == [
        ("dana.lee@acme.example", "pending"),
        ("dana@acme.example", "cancelled"),
    ]
    with pytest.raises(InvitationClosed):
        await invited.accept(acme.door, old, password=PASSWORD)


async def test_accepting_makes_the_person_active_and_signs_them_in(acme: House) -> None:
    person = await acme.push(await acme.source())
    done = await acme.accepted(person, ip="127.0.0.1", user_agent="tests")
    row = await acme.person(person)
    assert (row.status, row.accepted, row.has_seat) == ("active", True, True)
    assert (await acme.invitation(person)).status == "accepted"
    holder = await sessions.by_cookie(acme.door, done.session or "")
    assert holder is not None
    assert (holder.person_id, holder.org_slug) == (person, "acme")
    assert {"invitation.accepted", "password.set", "session.started"} <= set(await acme.kinds())


async def test_only_a_mailed_link_verifies_the_address(acme: House) -> None:
    okta = await acme.source()
    copied, mailed = await acme.push(okta, "a@acme.example"), await acme.push(okta, "b@acme.example")
    await acme.accepted(copied)
    link = by_mail(acme, await acme.invitation(mailed))
    await invited.accept(acme.door, link, password=PASSWORD)
    assert (await acme.person(copied)).address_verified_at is None
    assert (await acme.person(mailed)).address_verified_at == acme.clock.now


async def test_a_name_counts_only_where_no_directory_owns_it(acme: House) -> None:
    person = await acme.push(await acme.source())
    await acme.accepted(person, name="Somebody Else")
    assert (await acme.person(person)).display_name == "Dana"


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_of_32_acceptances_at_once_one_wins(database: str, request: pytest.FixtureRequest) -> None:
    url = (
        f"sqlite:///{request.getfixturevalue('tmp_path') / 'scimd.db'}"
        if database == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    async with house(url) as acme:
        person = await acme.push(await acme.source())
        link = await acme.link(person)
        outcomes = await asyncio.gather(
            *(invited.accept(acme.door, link, password=f"{PASSWORD} {n}") for n in range(32)),
            return_exceptions=True,
        )
        won = [each for each in outcomes if isinstance(each, invited.Accepted)]
        lost = [each for each in outcomes if isinstance(each, InvitationClosed)]
        assert (len(won), len(lost)) == (1, 31)
        assert len(await acme.rows(credentials)) == 1
        assert (await acme.kinds()).count("invitation.accepted") == 1


async def test_expiry_is_checked_at_use_with_the_job_off(acme: House) -> None:
    okta = await acme.source()
    expires = acme.clock.now + timedelta(days=7)
    in_time, too_late = await acme.push(okta, "a@acme.example"), await acme.push(okta, "b@acme.example")
    links = [by_mail(acme, await acme.invitation(person)) for person in (in_time, too_late)]
    acme.clock.now = expires - timedelta(seconds=1)
    await invited.accept(acme.door, links[0], password=PASSWORD)
    for moment in (expires, expires + timedelta(seconds=1)):
        acme.clock.now = moment
        for use in (
            invited.look(acme.door, links[1]),
            invited.decline(acme.door, links[1]),
            invited.accept(acme.door, links[1], password=PASSWORD),
        ):
            with pytest.raises(InvitationClosed, match="expired"):
                await use
    assert (await acme.person(too_late)).accepted is False


async def test_expired_is_written_by_the_job_and_frees_the_seat(acme: House) -> None:
    person = await acme.push(await acme.source())
    acme.clock.pass_by(days=7)
    assert await invitation_changes.expire_due(acme.door, acme.org.id) == 1
    assert await invitation_changes.expire_due(acme.door, acme.org.id) == 0
    row = await acme.person(person)
    assert (row.causes, row.has_seat) == (["invitation_expired"], False)
    assert (await acme.rows(seat_pools))[0].used == 0
    assert [mail.state for mail in await acme.mails()] == ["cancelled"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token.swapcase(),
        lambda token: token[:40] + ("A" if token[40] != "A" else "B") + token[41:],
        lambda token: token + "=",
        lambda token: "",
        lambda token: "ü" * 40,
        lambda token: token * 20,
    ],
)
async def test_a_spoiled_token_opens_nothing(acme: House, spoil: Any) -> None:
    person = await acme.push(await acme.source())
    token = spoil(await acme.link(person))
    for use in (
        invited.look(acme.door, token),
        invited.decline(acme.door, token),
        invited.accept(acme.door, token, password=PASSWORD),
    ):
        with pytest.raises(LinkInvalid):
            await use
    assert (await acme.invitation(person)).status == "pending"


async def test_a_link_is_good_for_its_organization_and_purpose_only(acme: House) -> None:
    person = await acme.push(await acme.source())
    row = await acme.invitation(person)
    other = await organizations.create(acme.door, NewOrganization("other"), OPERATOR)
    with pytest.raises(LinkInvalid):
        await invited.look(acme.door, by_mail(acme, row, org=other.id))
    as_sign_in = sign(Link("sign_in", row.org_id, row.id, 1, "mail"), acme.door.keys.live("sign_in"))
    with pytest.raises(LinkInvalid):
        await invited.look(acme.door, as_sign_in)


async def test_sending_again_kills_the_older_link_and_owes_a_mail_at_once(acme: House) -> None:
    person = await acme.push(await acme.source())
    row = await acme.invitation(person)
    old = by_mail(acme, row)
    acme.clock.pass_by(days=8)
    await invitation_changes.expire_due(acme.door, acme.org.id)
    await invitation_changes.resend(acme.door, acme.ctx, row.id)
    new = await acme.invitation(person)
    assert (new.generation, new.status, new.expires_at) == (2, "pending", acme.clock.now + timedelta(days=7))
    with pytest.raises(LinkInvalid):
        await invited.accept(acme.door, old, password=PASSWORD)
    (mail,) = await acme.mails(state="due")
    assert mail.due_at == acme.clock.now
    assert (await acme.person(person)).causes == ["invited"]
    assert by_mail(acme, new) != old
    await invited.accept(acme.door, by_mail(acme, new), password=PASSWORD)


async def test_copying_the_link_renews_an_expired_one_and_is_audited(acme: House) -> None:
    person = await acme.push(await acme.source())
    acme.clock.pass_by(days=8)
    link = await acme.link(person)
    assert (await invited.look(acme.door, link)).address == "dana@acme.example"
    assert "invitation.link_copied" in await acme.kinds()


async def test_invitation_is_not_opened_again_without_a_seat_and_says_so(acme: House) -> None:
    """By hand: refused with the figures, and nothing is half done."""
    await organizations.set_seats(acme.door, acme.ctx, 1)
    okta = await acme.source()
    dana = await acme.push(okta)
    acme.clock.pass_by(days=7)
    await invitation_changes.expire_due(acme.door, acme.org.id)
    await acme.push(okta, "eli@acme.example")
    row = await acme.invitation(dana)
    for use in (invitation_changes.resend, invitation_changes.copy_link):
        with pytest.raises(SeatLimitReached, match="1 of 1 used"):
            await use(acme.door, acme.ctx, row.id)  # type: ignore[operator]
    assert await acme.invitation(dana) == row
    await organizations.set_seats(acme.door, acme.ctx, 2)
    assert (await invitation_changes.resend(acme.door, acme.ctx, row.id)).status == "pending"
    assert (await acme.person(dana)).has_seat


async def test_copying_sending_again_and_withdrawing_need_the_permission(acme: House) -> None:
    person = await acme.push(await acme.source())
    row = await acme.invitation(person)
    nobody = Context(acme.org.id, Actor("person", "p", "p@acme.example"), "web", "c")
    for use in (invitation_changes.copy_link, invitation_changes.resend, invitation_changes.withdraw):
        with pytest.raises(Forbidden):
            await use(acme.door, nobody, row.id)  # type: ignore[operator]


async def test_withdrawn_stays_withdrawn_and_says_so(acme: House) -> None:
    okta = await acme.source()
    person = await acme.push(okta)
    row = await acme.invitation(person)
    link = by_mail(acme, row)
    await invitation_changes.withdraw(acme.door, acme.ctx, row.id)
    assert (await acme.person(person)).causes == ["invitation_withdrawn"]
    await acme.touch(person)
    assert len(await acme.rows(invitations)) == 1
    with pytest.raises(InvitationClosed):
        await invited.accept(acme.door, link, password=PASSWORD)
    with pytest.raises(InvitationClosed):
        await invitation_changes.withdraw(acme.door, acme.ctx, row.id)


async def test_declining_frees_the_seat_and_cannot_be_taken_back(acme: House) -> None:
    person = await acme.push(await acme.source())
    link = await acme.link(person)
    await invited.decline(acme.door, link)
    row = await acme.person(person)
    assert (row.causes, row.has_seat) == (["invitation_declined"], False)
    with pytest.raises(InvitationClosed, match="declined"):
        await invited.accept(acme.door, link, password=PASSWORD)


async def test_accepting_never_revives_somebody_whose_deprovisioning_is_not_settled_yet(acme: House) -> None:
    """The fact is written, the settling put off: the invitation is still pending in the table."""
    okta = await acme.source()
    person = await acme.push(okta)
    link = await acme.link(person)

    def unheard(conn: Any) -> None:
        conn.execute(
            gates.insert().values(
                org_id=acme.org.id, person_id=person, kind="deactivated", by="an admin", at=acme.clock.now
            )
        )

    await acme.write(unheard)
    with pytest.raises(InvitationClosed):
        await invited.accept(acme.door, link, password=PASSWORD)
    assert await acme.rows(credentials) == []
    assert (await acme.person(person)).accepted is False


async def test_a_weak_password_spends_nothing(acme: House) -> None:
    person = await acme.push(await acme.source())
    link = await acme.link(person)
    with pytest.raises(WeakPassword):
        await invited.accept(acme.door, link, password="dana@acme.example")
    assert (await acme.invitation(person)).status == "pending"
    await invited.accept(acme.door, link, password=PASSWORD)


async def test_looking_spends_nothing_and_tells_what_waits(acme: House) -> None:
    person = await acme.push(await acme.source())
    link = await acme.link(person)
    pages = [await invited.look(acme.door, link) for _ in range(3)]
    assert pages[0] == pages[2]
    assert (pages[0].organization, pages[0].invited_by, pages[0].managed_by) == ("Acme", "okta", "okta")
    assert pages[0].projects == (invited.InvitedTo("General", "member"),)


async def test_an_invitation_of_another_organization_is_not_there(acme: House) -> None:
    person = await acme.push(await acme.source())
    row = await acme.invitation(person)
    other = await organizations.create(acme.door, NewOrganization("other"), OPERATOR)
    ctx = replace(acme.ctx, org_id=other.id)
    for use in (invitation_changes.copy_link, invitation_changes.resend, invitation_changes.withdraw):
        with pytest.raises(NotFound):
            await use(acme.door, ctx, row.id)  # type: ignore[operator]
    assert await invitations_of(acme.door, other.id) == []


async def test_the_list_shows_status_by_the_clock_and_what_became_of_the_mail(acme: House) -> None:
    person = await acme.push(await acme.source())
    (row,) = await invitations_of(acme.door, acme.org.id)
    assert (row.person_id, row.status, row.delivery) == (person, "pending", "due")
    acme.clock.pass_by(days=8)
    (row,) = await invitations_of(acme.door, acme.org.id)
    assert row.status == "expired"
