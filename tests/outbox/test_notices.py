"""Notices of changes of an account (A25; lesson 2), through a real mail server."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from scimd.config import Mail
from scimd.core.people import PersonId
from scimd.db import tables as t
from scimd.org.authentication import forgotten, sign_in
from scimd.org.tx import Tx
from scimd.org.users.people import AssertUser, record_users
from scimd.outbox import relay
from scimd.outbox.mail import mailer_from
from tests.org import acme as by_invitation
from tests.org.house import House, house, user
from tests.outbox.test_relay import PUBLIC, parts, settings
from tests.support.smtp import SmtpServer

NEW_PASSWORD = "seven quiet lanterns over Bergen"


async def sent(acme: Any, smtp: SmtpServer) -> list[tuple[str, str]]:
    """What left now: (recipient, subject), sorted."""
    before = len(smtp.messages)
    mail: Mail = settings(smtp)
    async with mailer_from(mail) as mailer:
        await relay.run_once(acme.door, mailer, PUBLIC)
    return sorted((each.recipients[0], str(each.message["Subject"])) for each in smtp.messages[before:])


async def local(acme: House, name: str) -> PersonId:
    """A local person who came in and proved the address: detached from nothing, asserted by nobody."""
    made = (await acme.create(name)).person_id
    mine = (t.assertions.c.org_id == acme.org_id) & (t.assertions.c.person_id == made)
    await acme.execute(t.assertions.delete().where(mine))
    await acme.execute(
        update(t.people)
        .where(t.people.c.org_id == acme.org_id, t.people.c.id == made)
        .values(owner_source_id=None, accepted=True, address_verified_at=acme.clock())
    )
    return PersonId(made)


async def test_linking_a_local_person_tells_them_once(database_url: str, smtp: SmtpServer) -> None:
    async with house(database_url) as acme:
        ann = await local(acme, "ann")
        (found,) = await acme.push(user("ann"))
        assert (found.person_id, found.outcome) == (ann, "linked")
        told = [("ann@acme.example", "Your account at acme is now managed by okta")]
        assert await sent(acme, smtp) == told
        text, html = parts(smtp.messages[-1])
        for part in (text, html):
            assert "okta" in part
            assert "Monday, 2 March 2026, 09:00 UTC" in part
            assert "tell an admin of acme" in part
        await acme.push(user("ann", title="Smith"))
        assert await sent(acme, smtp) == []


async def test_meeting_another_source_tells_them_too_and_creating_does_not(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        await acme.push(user("ann", mail="ann@acme.example"))
        assert await sent(acme, smtp) == []
        hr = await acme.source("hr", config={"join": ["mail"]})
        (found,) = await acme.push(user("ann", mail="ann@acme.example"), ctx=acme.as_scim(hr))
        assert found.outcome == "linked"
        assert await sent(acme, smtp) == [("ann@acme.example", "Your account at acme is now managed by hr")]


async def test_staged_source_holds_no_notice_and_one_in_shadow_gives_none(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        await local(acme, "ann")
        await local(acme, "bob")
        staged = await acme.source("staged", state="staged", invite="immediate")
        shadow = await acme.source("shadow", state="shadow")
        await acme.push(user("ann"), ctx=acme.as_scim(staged))
        await acme.push(user("bob"), ctx=acme.as_scim(shadow))
        assert [to for to, _ in await sent(acme, smtp)] == ["ann@acme.example"]


async def test_changed_address_is_told_to_the_old_and_the_new_one(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann", mail="ann@acme.example")).person_id
        assert (await acme.person(ann)).status == "active"
        await acme.change(ann, emails=[{"value": "a.smith@acme.example", "primary": True}])
        subject = "Your sign-in address at acme was changed"
        assert await sent(acme, smtp) == [("a.smith@acme.example", subject), ("ann@acme.example", subject)]
        for each in smtp.messages:
            text = parts(each)[0]
            assert "from a…@acme.example to a…@acme.example" in text
            assert "a.smith@" not in text, "neither address is told the other whole"
        await acme.change(ann, title="Smith")
        assert await sent(acme, smtp) == []


async def test_address_that_is_lost_is_told_to_the_old_one(database_url: str, smtp: SmtpServer) -> None:
    async with house(database_url) as acme:
        await acme.create("ann", mail="ann@acme.example")
        bob = (await acme.create("bob", mail="bob@acme.example")).person_id
        await acme.change(bob, emails=[{"value": "ann@acme.example"}])
        assert [to for to, _ in await sent(acme, smtp)] == ["bob@acme.example"]
        assert "was removed from your account" in parts(smtp.messages[-1])[0]


async def test_who_never_came_in_is_told_of_no_address(database_url: str, smtp: SmtpServer) -> None:
    async with house(database_url) as acme:
        inviting = await acme.source("hr", invite="immediate")
        ctx = acme.as_scim(inviting)
        wish: AssertUser = user("ann", mail="ann@acme.example")
        (ann,) = await acme.push(wish, ctx=ctx)
        await acme.change(str(ann.person_id), ctx, emails=[{"value": "new@acme.example"}])
        acme.clock.forward(minutes=20)
        assert await sent(acme, smtp) == [("new@acme.example", "You are invited to acme")]


async def test_new_password_is_told_whoever_set_it(database_url: str, smtp: SmtpServer) -> None:
    """The first one is none: it comes with accepting, and changes nothing."""
    async with by_invitation.house(database_url) as acme:
        person = await acme.push(await acme.source())
        await acme.accepted(person)
        told = [("dana@acme.example", "Your password at Acme was set")]
        assert await sent(acme, smtp) == []
        await forgotten.ask(acme.door, "dana@acme.example", org_slug="acme", ip="")
        assert [subject for _, subject in await sent(acme, smtp)] == ["Set your password for Acme"]
        url = parts(smtp.messages[-1])[0].split("/set-password/")[1].split()[0]
        await sign_in.set_password_by_link(acme.door, url, NEW_PASSWORD, ip="", user_agent="")
        assert await sent(acme, smtp) == told


async def test_refused_change_owes_no_notice(database_url: str, smtp: SmtpServer) -> None:
    """The mail is a row of the transaction that makes the change."""
    async with house(database_url) as acme:
        await local(acme, "ann")
        ctx = acme.as_scim()

        def fails(tx: Tx) -> None:
            record_users(tx, [user("ann")])
            raise KeyError("the body fails after it")

        with pytest.raises(KeyError):
            await acme.run(fails, ctx)
        assert await acme.rows(t.deliveries) == []
        assert await sent(acme, smtp) == []
