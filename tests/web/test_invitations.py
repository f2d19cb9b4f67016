"""The invited person's way in: look, accept, decline; and what dead links say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select, update

from scimd.db.tables import people
from scimd.org.invitations import invitation_changes, inviting
from scimd.org.invitations.inviting import Wish
from scimd.org.users import gates
from tests.org.looks import invitations_of
from tests.web.by_form import set_up_app, value_after
from tests.web.site import PASSWORD, Site

DANA: dict[str, Any] = {"userName": "dana@acme.example", "displayName": "Dana Ortiz"}


async def _link(acme: Site) -> str:
    source = await acme.source("okta")
    (person,) = await acme.push(source, DANA)
    return f"/invitation/{await acme.invitation_link(person)}"


async def _get(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as answer:
        return answer.status, await answer.text()


async def test_page_says_who_invites_where_and_for_how_long(acme: Site) -> None:
    link = await _link(acme)
    async with acme.browser() as session:
        status, page = await _get(session, link)
    assert status == 200
    for words in ("Join Acme", "okta invites", "dana@acme.example", "General", "Valid until", "Dana Ortiz"):
        assert words in page


async def test_looking_accepts_nothing(acme: Site) -> None:
    link = await _link(acme)
    async with acme.browser() as session:
        for _ in range(3):
            assert (await _get(session, link))[0] == 200
        assert (await _get(session, f"{link}/decline"))[0] == 200


async def test_accepting_sets_a_password_and_signs_in(acme: Site) -> None:
    link = await _link(acme)
    async with acme.browser() as session:
        async with session.post(link, data={"password": PASSWORD}) as answer:
            assert answer.url.path == "/welcome"
        assert "My access" in (await _get(session, "/"))[1]
    async with acme.browser() as session:
        form = {"address": "dana@acme.example", "password": PASSWORD}
        async with session.post("/o/acme/sign-in", data=form) as answer:
            assert "Dana Ortiz" in await answer.text()


async def test_weak_password_keeps_the_form_and_forgets_the_password(acme: Site) -> None:
    link = await _link(acme)
    async with acme.browser() as session:
        async with session.post(link, data={"name": "D. Ortiz", "password": "too short"}) as answer:
            page = await answer.text()
            assert answer.status == 422
        assert "it has 9 characters, and at least 15 are needed" in page
        assert 'aria-invalid="true"' in page
        assert page.count(" autofocus") == 1  # what is to be mended has the focus
        assert " autofocus" in page.partition('id="password"')[2].partition(">")[0]
        assert "too short" not in page
        assert (await _get(session, link))[0] == 200


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("too short", "Wählen Sie ein anderes Passwort: Es hat 9 Zeichen, und mindestens 15 sind nötig."),
        ("password123456789", "Es gehört zu den ersten, die ein Angreifer versucht."),
        ("x" * 1000 + "y", "Es hat mehr als 1.000 Zeichen."),
    ],
)
async def test_weak_password_is_refused_in_the_language_of_the_page(
    acme: Site, password: str, said: str
) -> None:
    link = await _link(acme)
    async with (
        acme.browser(Accept_Language="de") as session,
        session.post(link, data={"name": "D. Ortiz", "password": password}) as answer,
    ):
        page = await answer.text()
    assert '<html lang="de">' in page
    assert said in page
    assert "Choose" not in page


async def test_invitation_speaks_one_language(acme: Site) -> None:
    (invited,) = await inviting.invite(acme.door, acme.ctx, ["bob@acme.example"], Wish())
    assert invited.person_id is not None
    link = f"/invitation/{await acme.invitation_link(invited.person_id)}"
    async with acme.browser(Accept_Language="de") as session:
        _, page = await _get(session, link)
        assert "General, als Mitglied" in page
        assert 'maxlength="256"' in page
        for name in ("x" * 257, "D\x1bO"):
            async with session.post(link, data={"name": name, "password": PASSWORD}) as answer:
                assert answer.status == 422
                page = await answer.text()
            assert "Ein Name hat höchstens 256 Zeichen" in page
            assert "must be" not in page


async def test_accepting_leaves_a_name_that_the_page_spells_out_as_it_is(acme: Site) -> None:
    (invited,) = await inviting.invite(acme.door, acme.ctx, ["bob@acme.example"], Wish())
    assert invited.person_id is not None
    mine, name = people.c.id == invited.person_id, "Bob\u200e"  # of a source that has ended
    await acme.door.run(
        acme.ctx, lambda tx: tx.conn.execute(update(people).where(mine).values(display_name=name))
    )
    link = f"/invitation/{await acme.invitation_link(invited.person_id)}"
    async with acme.browser() as session:
        shown = value_after((await _get(session, link))[1], 'name="name" type="text" value="')
        assert shown == r"Bob\u200e"
        async with session.post(link, data={"name": shown, "password": PASSWORD}) as answer:
            assert answer.url.path == "/welcome"
    assert (
        await acme.door.read(lambda conn: conn.execute(select(people.c.display_name).where(mine)).scalar())
        == name
    )


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ("en", "Your password is set. Sign in with it and your second factor."),
        ("de", "Melden Sie sich damit und mit Ihrem zweiten Faktor an."),
    ],
)
async def test_who_comes_back_with_a_second_factor_is_told_to_sign_in_by_both(
    acme: Site, wish: str, said: str
) -> None:
    (invited,) = await inviting.invite(acme.door, acme.ctx, ["bob@acme.example"], Wish())
    assert invited.person_id is not None
    link = f"/invitation/{await acme.invitation_link(invited.person_id)}"
    async with acme.browser() as session:
        async with session.post(link, data={"password": PASSWORD}):
            pass
        await set_up_app(session)
    await gates.deactivate(acme.door, acme.ctx, invited.person_id)
    acme.clock.ahead += timedelta(minutes=1)
    await inviting.invite(acme.door, acme.ctx, ["bob@acme.example"], Wish())
    row = max(await invitations_of(acme.door, acme.org_id), key=lambda row: row.created_at)
    link = f"/invitation/{await invitation_changes.copy_link(acme.door, acme.ctx, row.id)}"
    async with acme.browser(Accept_Language=wish) as session:
        async with session.post(link, data={"password": PASSWORD}) as answer:
            page = await answer.text()
        assert said in page
        assert 'href="/o/acme/sign-in"' in page
        form = {"address": "bob@acme.example", "password": PASSWORD}
        async with session.post("/o/acme/sign-in", data=form) as answer:
            assert "One more step" in await answer.text()


async def test_declining_asks_first_and_ends_it(acme: Site) -> None:
    link = await _link(acme)
    async with acme.browser() as session:
        assert "Decline the invitation?" in (await _get(session, f"{link}/decline"))[1]
        async with session.post(f"{link}/decline") as answer:
            assert "Declined" in await answer.text()
        status, page = await _get(session, link)
    assert status == 410
    assert "This invitation was declined" in page
    assert "Ask for a new one" in page


async def test_accepted_link_says_so_and_leads_to_the_sign_in(acme: Site) -> None:
    link = await _link(acme)
    async with acme.browser() as session:
        async with session.post(link, data={"password": PASSWORD}):
            pass
        status, page = await _get(session, link)
    assert status == 410
    assert "This invitation was accepted" in page
    assert 'href="/sign-in"' in page


async def test_expired_link_says_so(acme: Site) -> None:
    link = await _link(acme)
    acme.clock.ahead = timedelta(days=8)
    async with acme.browser() as session:
        status, page = await _get(session, link)
    assert status == 410
    assert "This invitation has expired" in page


async def test_withdrawn_link_says_so(acme: Site) -> None:
    link = await _link(acme)
    (row,) = await invitations_of(acme.door, acme.org_id)
    await invitation_changes.withdraw(acme.door, acme.ctx, row.id)
    async with acme.browser() as session:
        status, page = await _get(session, link)
    assert status == 410
    assert "This invitation was withdrawn" in page


@pytest.mark.parametrize(
    "path", ["/invitation/x", "/sign-in/x", "/set-password/x", "/invitation/" + "A" * 2000]
)
async def test_made_up_link_is_refused_without_a_word_more(acme: Site, path: str) -> None:
    async with acme.browser() as session:
        status, page = await _get(session, path)
    assert status == 404
    assert "This link is not valid" in page


async def test_form_from_another_site_accepts_nothing(acme: Site) -> None:
    link = await _link(acme)
    async with (
        acme.browser(Sec_Fetch_Site="cross-site") as session,
        session.post(link, data={"password": PASSWORD}) as answer,
    ):
        assert answer.status == 403
    async with acme.browser() as session:
        assert (await _get(session, link))[0] == 200


@pytest.mark.parametrize(
    ("wish", "title", "language"),
    [("de-AT,de;q=0.9", "Acme beitreten", "de"), ("fr", "Join Acme", "en"), (None, "Join Acme", "en")],
)
async def test_page_speaks_the_browser_s_language(
    acme: Site, wish: str | None, title: str, language: str
) -> None:
    link = await _link(acme)
    headers = {"Accept_Language": wish} if wish else {}
    async with acme.browser(**headers) as session:
        _, page = await _get(session, link)
        assert title in page
        assert f'<html lang="{language}">' in page
        if language == "de":
            assert "Die Einladung ablehnen?" in (await _get(session, f"{link}/decline"))[1]
            async with session.post(f"{link}/decline") as answer:
                assert "Abgelehnt" in await answer.text()
            assert "Diese Einladung wurde abgelehnt" in (await _get(session, link))[1]
            status, page = await _get(session, "/invitation/x")
            assert (status, "Dieser Link ist nicht gültig" in page) == (404, True)


async def test_person_s_page_helps_where_an_invitation_does_not_come(acme: Site) -> None:
    source = await acme.source("okta")
    (person,) = await acme.push(source, DANA)
    async with acme.signed_in() as session:
        _, page = await _get(session, f"/people/{person}")
    assert "Not receiving the invitation?" in page
