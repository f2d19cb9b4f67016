"""Forms that are sent twice, too late, or by nobody any more: nothing is lost, and what is said is true."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest
from playwright.async_api import Browser, Page, Route
from sqlalchemy import select

from scimd.db.tables import people, second_factors
from scimd.org.authentication.passkeys import RelyingParty
from scimd.org.tx import Tx
from scimd.web.security import page_of
from tests.web.browser import faults_of, tab
from tests.web.by_form import get, set_password, set_up_app, value_of
from tests.web.site import ADMIN, PASSWORD, Site, site

# ------------------------------------------------------------------------------ twice


class _Far:
    """What is far away: a POST arrives once ``near`` is set. Which ones there were."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.near = asyncio.Event()
        self.near.set()

    async def slowly(self, route: Route) -> None:
        if route.request.method == "POST":
            self.posted.append(route.request.url)
            await self.near.wait()
        await route.continue_()


async def _click_twice(page: Page, far: _Far, button: str) -> None:
    """The second time while what the first one sends is on its way."""
    far.near.clear()
    box = await page.get_by_role("button", name=button).bounding_box()
    assert box is not None
    for count in (1, 2):
        await page.mouse.click(box["x"] + 10, box["y"] + 10, click_count=count)
        await asyncio.sleep(0.1)
    far.near.set()


_SEARCH_TWICE = """form => {
  for (const text of ["a", "ada"]) {
    form.elements.search.value = text;
    form.requestSubmit();
  }
}"""


async def test_a_double_click_spends_nothing_twice(tmp_path: Path, browser: Browser) -> None:
    url = f"sqlite:///{tmp_path / 'scimd.db'}"
    async with site(url, second_factor="managers") as acme, tab(browser, acme.url) as (page, seen):
        await page.goto(f"/sign-in/{await acme.sign_in_link()}")
        far = _Far()
        await page.route("**/*", far.slowly)
        await _click_twice(page, far, "Sign in")
        await page.get_by_role("link", name="Set up an authenticator app").click()
        await page.get_by_label("Code").fill(pyotp.TOTP(await page.locator("code").inner_text()).now())
        await _click_twice(page, far, "Turn it on")
        await page.get_by_role("link", name="I have kept them").click()
        await page.wait_for_url("**/password")
        assert len(far.posted) == 2
        # Whoever comes back may send the form again.
        await page.get_by_label("New password").fill("short")
        await page.get_by_role("button", name="Set password").click()
        await page.get_by_text("it has 5 characters").wait_for()
        await page.get_by_label("New password").fill(PASSWORD)
        await page.get_by_role("button", name="Set password").click()
        await page.get_by_text("Your password is set.").wait_for()
        # A search spends nothing: the newest counts.
        await page.goto("/people")
        await page.locator("form[role=search]").evaluate(_SEARCH_TWICE)
        await page.wait_for_url("**search=ada*")
    assert [each for each in seen.complaints if "422" not in each] == []


async def test_link_that_was_used_says_what_it_did_and_gives_nobody_else_a_session(acme: Site) -> None:
    token = await acme.sign_in_link()
    async with acme.browser() as session, acme.browser() as other, acme.signed_in("g@acme.example") as grace:
        for again in ("/password", "/password"):
            async with session.post(f"/sign-in/{token}") as answer:
                assert (answer.status, answer.url.path) == (200, again)
        await set_password(session)
        async with session.post(f"/sign-in/{token}") as answer:
            assert answer.url.path == "/"
        for stranger in (other, grace):
            async with stranger.post(f"/sign-in/{token}", allow_redirects=False) as answer:
                assert (answer.status, "Set-Cookie" in answer.headers) == (404, False)
                assert "This link was used already" in await answer.text()
        assert "This link is not valid" in await get(other, f"/sign-in/{token[:-2]}xx", 404)
        assert "This link is not valid" in await get(other, f"/set-password/{token}", 404)


async def test_app_that_was_turned_on_by_the_same_form_is_no_dead_link(acme: Site) -> None:
    async with acme.signed_in() as session:
        page = await get(session, "/my/app")
        form = {name: value_of(page, name) for name in ("form_token", "ticket")}
        code = pyotp.TOTP(page.partition("Key: <code>")[2].partition("<")[0]).now()
        async with session.post("/my/app", data=form | {"code": code}) as answer:
            assert "Recovery codes" in await answer.text()
        async with session.post("/my/app", data=form | {"code": code}) as answer:
            page = await answer.text()
        assert (answer.status, "You have an authenticator app" in page) == (409, True)
        assert "not valid" not in page


# ------------------------------------------------------------------------------ enrolment


async def test_enrolment_goes_on_to_the_password_that_the_link_asks_for(database_url: str) -> None:
    async with site(database_url, second_factor="managers") as acme, acme.browser() as session:
        async with session.post(f"/sign-in/{await acme.sign_in_link()}") as answer:
            assert answer.url.path_qs == "/my/second-factor?next=/password"
            assert "/my/app?next=/password" in await answer.text()
        assert value_of(await get(session, "/my/app?next=/password"), "next") == "/password"
        _, page = await set_up_app(session)
        assert 'href="/"' in page
        await set_password(session)


async def test_second_step_after_a_link_leads_to_the_first_password(acme: Site) -> None:
    async with acme.signed_in() as session:
        secret, _ = await set_up_app(session)
    acme.clock.ahead += timedelta(seconds=60)
    async with acme.browser() as session:
        async with session.post(f"/sign-in/{await acme.sign_in_link()}") as answer:
            page = await answer.text()
        form = {name: value_of(page, name) for name in ("ticket", "kinds", "next")} | {"by": "totp"}
        code = pyotp.TOTP(secret).at(int(acme.clock().timestamp()))
        async with session.post("/second-step", data=form | {"code": code}) as answer:
            assert answer.url.path == "/password"


async def test_second_app_is_not_offered(acme: Site) -> None:
    async with acme.signed_in() as session:
        await set_up_app(session)
        async with session.get("/my/app") as answer:
            page = await answer.text()
        assert answer.url.path == "/my/second-factor"
        assert "You have an authenticator app." in page
        assert "/my/app" not in page


# ------------------------------------------------------------------------------ too late


async def test_passkey_that_took_too_long_says_so_and_keeps_its_name(database_url: str) -> None:
    async with site(database_url, local_name=True) as acme, acme.signed_in() as session:
        page = await get(session, "/my/passkey")
        form = {name: value_of(page, name) for name in ("form_token", "challenge")} | {"name": "My <key>"}
        acme.clock.ahead += timedelta(minutes=6)
        async with session.post("/my/passkey", data=form) as answer:
            page = await answer.text()
        assert "That took too long, or was done already." in page
        assert 'value="My &lt;key&gt;"' in page
        assert "newest mail" not in page


async def test_app_that_took_too_long_is_shown_anew(acme: Site) -> None:
    async with acme.signed_in() as session:
        token = value_of(await get(session, "/my/app"), "form_token")
        form = {"form_token": token, "ticket": "over", "code": "123456", "next": "/password"}
        async with session.post("/my/app", data=form) as answer:
            page = await answer.text()
        assert (answer.status, "That took too long. Scan the new picture." in page) == (422, True)
        assert value_of(page, "next") == "/password"


# ------------------------------------------------------------------------------ signed out meanwhile


async def test_what_was_sent_after_the_session_had_ended_is_said_to_be_undone(acme: Site) -> None:
    async with acme.signed_in() as session:
        await set_password(session)
        acme.clock.ahead += timedelta(minutes=31)
        async with session.post("/my/address", data={"address": "new@acme.example"}) as answer:
            page = await answer.text()
        assert answer.url.path_qs == "/sign-in?next=/my?said=undone"
        assert "what you sent last was not done" in page
        form = {"address": ADMIN, "password": PASSWORD, "next": value_of(page, "next")}
        async with session.post("/sign-in", data=form) as answer:
            assert answer.url.path == "/my"
            assert "what you sent last was not done" in await answer.text()
        acme.clock.ahead += timedelta(minutes=31)
        async with session.post("/sign-out") as answer:
            assert answer.url.path_qs == "/sign-in"


async def test_form_from_before_a_new_sign_in_leads_back_to_its_page(acme: Site) -> None:
    async with acme.signed_in() as session:
        old = value_of(await get(session, "/my"), "form_token")
        async with session.post(f"/sign-in/{await acme.sign_in_link()}") as answer:
            assert answer.status == 200
        async with session.post("/my", data={"form_token": old, "display_name": "Ada"}) as answer:
            page = await answer.text()
        assert (answer.status, "older than your sign-in" in page, 'href="/my"' in page) == (403, True, True)


@pytest.mark.parametrize(
    ("method", "sent", "page"),
    [
        ("GET", "/people?status=active", "/people?status=active"), ("POST", "/my", "/my"),
        ("POST", "/my/sessions/1/end", "/my"), ("POST", "/my/app", "/my/app"), ("POST", "/my/codes", "/my"),
        ("POST", "/runs/1/approve?org=acme", "/runs/1?org=acme"), ("POST", "/decide/1", "/decide/1"),
        ("POST", "/sign-out", "/"), ("POST", "//evil.example", "/"),
    ],
)  # fmt: skip
def test_every_form_has_its_page(method: str, sent: str, page: str) -> None:
    assert page_of(_Request(method, sent)) == page  # type: ignore[arg-type]


class _Request:
    def __init__(self, method: str, path_qs: str) -> None:
        self.method, self.path_qs = method, path_qs


# ------------------------------------------------------------------------------ passkeys, pictures


@pytest.mark.parametrize(
    ("url", "are_kept"),
    [
        ("https://scimd.example", True), ("http://localhost:8080", True), ("http://127.0.0.1:8080", False),
        ("https://[2001:db8::1]", False),
    ],
)  # fmt: skip
def test_passkeys_belong_to_a_name(url: str, are_kept: bool) -> None:
    assert RelyingParty.of(url).is_domain is are_kept


async def test_passkeys_are_not_offered_at_an_ip_address(acme: Site) -> None:
    async with acme.signed_in() as session:
        for path in ("/my/passkey", "/my/second-factor"):
            page = await get(session, path)
            assert "reached at an IP address, 127.0.0.1" in page
            assert "/my/passkey" not in page
    async with acme.browser() as session:
        assert "/passkey" not in await get(session, "/sign-in")
        assert "reached at an IP address" in await get(session, "/passkey", 404)


async def test_who_has_nothing_but_a_passkey_of_another_address_is_led_to_come_in_again(acme: Site) -> None:
    """``public_url`` had a name when the passkey was made."""
    async with acme.signed_in() as session:
        await acme.door.run(acme.ctx, _add_passkey)
        acme.clock.ahead += timedelta(minutes=11)
        assert "sign in again" in await get(session, "/my/proof")


def _add_passkey(tx: Tx) -> None:
    whose = select(people.c.id).where(people.c.org_id == tx.org_id, people.c.sign_in_address == ADMIN)
    row = {"org_id": tx.org_id, "id": tx.new_id(), "kind": "passkey", "name": "Key", "secret": b"key"}
    row |= {"person_id": tx.conn.execute(whose).scalar_one(), "credential_id": b"id"}
    tx.conn.execute(second_factors.insert().values(**row, counter=0, created_at=tx.now))


async def test_picture_says_why_it_was_not_taken(tmp_path: Path, browser: Browser) -> None:
    async with site(f"sqlite:///{tmp_path / 'scimd.db'}") as acme, tab(browser, acme.url) as (page, _):
        await page.goto(f"/sign-in/{await acme.sign_in_link()}")
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/password")
        await page.goto("/my")
        file = {"name": "p.png", "mimeType": "image/png", "buffer": b"no picture"}
        await page.get_by_label("PNG, JPEG or WebP").set_input_files(file)  # type: ignore[arg-type]
        await page.context.set_offline(True)
        await page.get_by_role("button", name="Upload").click()
        await page.get_by_text("scimd did not answer").wait_for()
        await page.context.set_offline(False)
        acme.clock.ahead += timedelta(minutes=31)
        await page.get_by_role("button", name="Upload").click()
        await page.get_by_text("what you sent last was not done").wait_for()
        assert await faults_of(page) == []
