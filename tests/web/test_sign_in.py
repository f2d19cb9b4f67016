"""Signing in: by link, by password, and what each page gives away."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from scimd.core.people import PersonId
from scimd.db.tables import people
from scimd.org.organizations.organizations import NewOrganization, create
from scimd.org.users import gates
from tests.web.by_form import get, post, set_password
from tests.web.site import ADMIN, OPERATOR, PASSWORD, Site, site


async def _with_password(acme: Site, org: str = "acme", email: str = ADMIN) -> None:
    async with acme.signed_in(email, org=org) as session:
        assert "Your password is set." in await set_password(session)


async def test_looking_at_a_sign_in_link_does_not_spend_it(acme: Site) -> None:
    token = await acme.sign_in_link()
    async with acme.browser() as session:
        for _ in range(3):
            page = await get(session, f"/sign-in/{token}")
            assert "Sign in to Acme" in page
            assert ADMIN in page
        async with session.post(f"/sign-in/{token}") as answer:
            assert answer.url.path == "/password"
    async with acme.browser() as session, session.post(f"/sign-in/{token}") as answer:
        assert answer.status == 404
        assert "This link was used already" in await answer.text()


async def test_page_asks_to_sign_in_and_comes_back(acme: Site) -> None:
    await _with_password(acme)
    async with acme.browser() as session:
        async with session.get("/runs?after=x") as answer:
            assert answer.url.path == "/sign-in"
            assert answer.url.query["next"] == "/runs?after=x"
        form = {"address": ADMIN, "password": PASSWORD, "next": "/runs?after=x"}
        async with session.post("/o/acme/sign-in", data=form) as answer:
            assert answer.url.path_qs == "/runs?after=x"
            assert answer.status == 200


async def test_unknown_and_wrong_look_the_same(acme: Site) -> None:
    await _with_password(acme)
    answers = []
    async with acme.browser() as session:
        for path, address in (
            ("/o/acme/sign-in", ADMIN),
            ("/o/acme/sign-in", "nobody@acme.example"),
            ("/sign-in", ADMIN),
            ("/sign-in", "nobody@acme.example"),
        ):
            form = {"address": address, "password": "wrong wrong wrong wrong"}
            async with session.post(path, data=form) as answer:
                answers.append((answer.status, (await answer.text()).replace(address, "")))
    assert answers[0][0] == 401
    assert "The address or the password is wrong." in answers[0][1]
    assert answers[0] == answers[1]
    assert answers[2] == answers[3]


async def test_unknown_organization_shows_the_same_form(acme: Site) -> None:
    async with acme.browser() as session:
        known, unknown = await get(session, "/o/acme/sign-in"), await get(session, "/o/other/sign-in")
        assert known == unknown.replace("other", "acme")


async def test_whoever_is_kept_out_reads_words_and_never_who_did_it(acme: Site) -> None:
    await _with_password(acme)
    await _with_password(acme, email="bob@acme.example")
    whose = select(people.c.id).where(people.c.sign_in_key == "bob@acme.example")
    bob = PersonId(await acme.door.read(lambda conn: conn.execute(whose).scalar_one()))
    await gates.disable(acme.door, acme.ctx, bob)
    form = {"address": "bob@acme.example", "password": PASSWORD}
    async with acme.browser() as session:
        for path in ("/sign-in", "/o/acme/sign-in"):
            async with session.post(path, data=form) as answer:
                page = await answer.text()
            assert "You cannot sign in at present: disabled. Ask an admin of your organization." in page
            assert OPERATOR.name not in page


async def test_too_many_attempts_have_to_wait(database_url: str) -> None:
    async with site(database_url, sign_in_attempts=2) as acme, acme.browser() as session:
        for expected in (401, 401, 429):
            form = {"address": ADMIN, "password": "wrong wrong wrong wrong"}
            async with session.post("/o/acme/sign-in", data=form) as answer:
                page = await answer.text()
                assert answer.status == expected
        assert "Too many attempts. Try again in" in page


async def test_organizations_are_offered_only_after_a_password_fits_in_several(acme: Site) -> None:
    await create(acme.door, NewOrganization("beta", "Beta"), OPERATOR)
    await _with_password(acme)
    await _with_password(acme, org="beta")
    async with acme.browser() as session:
        form = {"address": ADMIN, "password": "wrong wrong wrong wrong"}
        async with session.post("/sign-in", data=form) as answer:
            assert "Beta" not in await answer.text()
        async with session.post("/sign-in", data=form | {"password": PASSWORD}) as answer:
            page = await answer.text()
        assert "/o/acme/sign-in" in page
        assert "/o/beta/sign-in" in page
        assert len(session.cookie_jar) == 0


async def test_password_that_fits_in_one_organization_signs_in_without_naming_it(acme: Site) -> None:
    await create(acme.door, NewOrganization("beta", "Beta"), OPERATOR)
    await acme.sign_in_link(org="beta")  # the address is known there, too, without a password
    await _with_password(acme)
    async with (
        acme.browser() as session,
        session.post("/sign-in", data={"address": ADMIN, "password": PASSWORD}) as answer,
    ):
        assert "Sign out" in await answer.text()


async def test_sign_out_ends_the_session_on_the_server(acme: Site) -> None:
    async with acme.signed_in() as session:
        (cookie,) = list(session.cookie_jar)
        assert (await post(session, "/sign-out"))[1] == "/sign-in"
        async with (
            acme.browser(Cookie=f"{cookie.key}={cookie.value}") as thief,
            thief.get("/") as answer,
        ):
            assert answer.url.path == "/sign-in"


async def test_session_ends_after_half_an_hour_without_use(acme: Site) -> None:
    async with acme.signed_in() as session:
        acme.clock.ahead += timedelta(minutes=31)
        async with session.get("/") as answer:
            assert answer.url.path == "/sign-in"


async def test_each_sign_in_has_a_cookie_of_its_own(acme: Site) -> None:
    async with acme.signed_in() as one, acme.signed_in() as other:
        assert [c.value for c in one.cookie_jar] != [c.value for c in other.cookie_jar]


async def test_cookie_is_kept_from_scripts_and_other_sites(acme: Site) -> None:
    token = await acme.sign_in_link()
    async with (
        acme.browser() as session,
        session.post(f"/sign-in/{token}", allow_redirects=False) as answer,
    ):
        cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("scimd=scimds_")
    for word in ("HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in cookie
    assert "Secure" not in cookie  # plain http on loopback: browsers would refuse it


async def test_cookie_has_the_host_prefix_behind_https(tmp_path: object) -> None:
    async with site(f"sqlite:///{tmp_path}/scimd.db", public_url="https://scimd.example") as acme:
        token = await acme.sign_in_link()
        async with (
            acme.browser() as session,
            session.post(f"/sign-in/{token}", allow_redirects=False) as answer,
        ):
            cookie = answer.headers["Set-Cookie"]
            assert "max-age" in answer.headers["Strict-Transport-Security"]
    assert cookie.startswith("__Host-scimd=")
    assert "Secure" in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize(("password", "why"), [("short", "5 characters"), ("password12345678", "attacker")])
async def test_weak_password_is_refused_with_the_reason(acme: Site, password: str, why: str) -> None:
    async with acme.signed_in() as session:
        status, _, page = await post(session, "/password", password=password)
    assert status == 422
    assert why in page
    assert password not in page
