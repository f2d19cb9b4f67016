"""Second factors by page, forgotten passwords, confirmed addresses (A20-A30), and one's account over REST."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pyotp
import pytest
from playwright.async_api import Browser, Page

from scimd.db.tables import deliveries, people
from scimd.org.authentication import sessions
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.tx import Actor
from scimd.outbox import relay
from scimd.outbox.mail import HandOver
from tests.org.looks import attempts_of
from tests.web.browser import faults_of, tab
from tests.web.by_form import get, post, set_password, set_up_app, value_of
from tests.web.site import ADMIN, PASSWORD, Site, site


class Mails:
    """Keeps what the relay sends."""

    sender = "scimd <scimd@localhost>"
    longest_s = 60.0

    def __init__(self) -> None:
        self.sent: list[EmailMessage] = []

    async def send(self, message: EmailMessage, hand_over: HandOver) -> None:
        await hand_over()
        self.sent.append(message)

    async def rest(self) -> None:
        """Nothing to do."""

    def link(self, kind: str) -> str:
        """The path of the newest link of that kind."""
        for message in reversed(self.sent):
            part = message.get_body(("plain",))
            found = re.search(rf"/{kind}/\S+", part.get_content() if part else "")
            if found:
                return found[0]
        raise AssertionError(f"no mail with a link to {kind}")


def _code(acme: Site, secret: str) -> str:
    return pyotp.TOTP(secret).at(int(acme.clock().timestamp()))


# ------------------------------------------------------------------------------ second factors


async def test_who_comes_back_to_a_step_that_is_over_begins_where_it_begins(acme: Site) -> None:
    async with acme.browser() as session, session.get("/second-step") as answer:
        assert (answer.status, answer.url.path) == (200, "/sign-in")
    async with acme.signed_in() as session, session.get("/my/codes") as answer:
        assert (answer.status, answer.url.path) == (200, "/my/second-factor")


async def test_who_came_by_a_link_long_ago_is_led_to_come_in_again(acme: Site) -> None:
    async with acme.signed_in() as session:
        acme.clock.ahead += timedelta(minutes=11)
        page = await get(session, "/my/app")
        assert "Is it you?" in page
        assert "sign in again" in page
        status, path, page = await post(session, "/password", password=PASSWORD)
        assert (status, path, "sign in again" in page) == (200, "/my/proof?next=/password", True)
    async with acme.signed_in() as session:
        await set_password(session)  # nobody has set one in the meantime
        acme.clock.ahead += timedelta(minutes=11)
        form = {"by": "password", "password": PASSWORD, "next": "/my/app"}
        status, path, _ = await post(session, "/my/proof", **form)
        assert (status, path) == (200, "/my/app")


async def test_a_first_password_beside_a_second_factor_asks_for_that_first(acme: Site) -> None:
    """Else it would be a proof that anybody makes who comes by an open session."""
    async with acme.signed_in() as session:
        secret, _ = await set_up_app(session)
        acme.clock.ahead += timedelta(minutes=11)
        _, path, page = await post(session, "/password", password=PASSWORD)
        assert (path, "authenticator app" in page) == ("/my/proof?next=/password", True)
        async with session.get("/password") as answer:
            assert answer.url.path_qs == "/my/proof?next=/password"
        form = {"by": "totp", "code": _code(acme, secret), "next": "/password"}
        _, path, _ = await post(session, "/my/proof", **form)
        assert path == "/password"
        await set_password(session)


async def test_authenticator_app_is_set_up_and_asked_for(acme: Site) -> None:
    async with acme.signed_in() as session:
        await set_password(session)
        secret, page = await set_up_app(session)
        codes = re.findall(r"<code>([^<]*)</code>", page)
        assert len(codes) == 10
        assert codes[0] not in await get(session, "/my")
    acme.clock.ahead += timedelta(seconds=60)
    async with acme.browser() as session:
        async with session.post("/o/acme/sign-in", data={"address": ADMIN, "password": PASSWORD}) as answer:
            page = await answer.text()
        assert "One more step" in page
        assert len(session.cookie_jar) == 0
        form = {name: value_of(page, name) for name in ("ticket", "kinds")}
        form |= {"by": "totp", "next": "/people"}
        async with session.post("/second-step", data=form | {"code": "000000"}) as answer:
            page = await answer.text()
            assert (answer.status, "That is not correct" in page) == (401, True)
        async with session.post("/second-step", data=form | {"code": _code(acme, secret)}) as answer:
            assert answer.url.path == "/people"
        async with session.post("/second-step", data=form | {"code": codes[0], "by": "recovery"}) as answer:
            assert "Please sign in again" in await answer.text()


@pytest.mark.parametrize("path", ["/", "/people", "/my", "/password", "/runs"])
async def test_whoever_must_enrol_is_led_there_from_everywhere(database_url: str, path: str) -> None:
    async with site(database_url, second_factor="managers") as acme, acme.signed_in() as session:
        async with session.get(path) as answer:
            assert answer.url.path == "/my/second-factor"
        for call in ("/api/v1/users", "/api/v1/me"):
            async with session.get(call) as answer:
                assert (answer.status, (await answer.json())["code"]) == (403, "second_factor_missing")


async def test_enrolling_opens_the_rest(database_url: str) -> None:
    async with site(database_url, second_factor="managers") as acme, acme.signed_in() as session:
        (old,) = [cookie.value for cookie in session.cookie_jar]
        await set_up_app(session)
        async with session.get("/people") as answer:
            assert answer.url.path == "/people"
        assert await sessions.by_cookie(acme.door, old) is None  # a new id with new power (A27)


async def test_sensitive_pages_ask_who_it_is_after_ten_minutes(acme: Site) -> None:
    async with acme.signed_in() as session:
        await set_password(session)
        acme.clock.ahead += timedelta(minutes=11)
        async with session.get("/my/app") as answer:
            assert answer.url.path_qs == "/my/proof?next=/my/app"
        status, _, page = await post(
            session, "/my/proof", by="password", password="wrong wrong wrong wrong", next="/my/app"
        )
        assert (status, "That is not correct." in page) == (401, True)
        status, path, _ = await post(session, "/my/proof", by="password", password=PASSWORD, next="/my/app")
        assert (status, path) == (200, "/my/app")
        status, path, _ = await post(session, "/my/codes")
        assert status == 409  # there is nothing that codes stand in for


# ------------------------------------------------------------------------------ passkeys


async def _sign_out(page: Page) -> None:
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_role("heading", name="Sign in").wait_for()


async def test_passkey_is_made_and_signs_in_in_a_real_browser(database_url: str, browser: Browser) -> None:
    async with site(database_url, local_name=True) as acme:
        async with tab(browser, acme.url) as (page, seen):
            devtools = await page.context.new_cdp_session(page)
            await devtools.send("WebAuthn.enable")
            options = {
                "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
                "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True,
            }  # fmt: skip
            added = await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
            await page.goto(f"/sign-in/{await acme.sign_in_link()}")
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_label("New password").fill(PASSWORD)
            await page.get_by_role("button", name="Set password").click()
            await page.get_by_text("Your password is set.").wait_for()
            await page.goto("/my/passkey")
            assert await faults_of(page) == []
            await page.get_by_label("Name").fill("Laptop")
            await page.get_by_role("button", name="Make a passkey").click()
            await page.get_by_role("heading", name="Recovery codes").wait_for()
            await page.goto("/my")
            assert await faults_of(page) == []
            await page.get_by_text("Laptop").first.wait_for()
            await _sign_out(page)

            # Beside the password …
            await page.goto("/o/acme/sign-in")
            await page.get_by_label("Mail address").fill(ADMIN)
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_role("heading", name="One more step").wait_for()
            assert await faults_of(page) == []
            await page.get_by_role("button", name="Use a passkey").click()
            await _sign_out(page)

            # … and alone.
            await page.goto("/passkey")
            assert await faults_of(page) == []
            await page.get_by_role("button", name="Use a passkey").click()
            await _sign_out(page)

            # Not alone where the authenticator did not verify its user.
            about = {"authenticatorId": added["authenticatorId"], "isUserVerified": False}
            await devtools.send("WebAuthn.setUserVerified", about)
            await page.goto("/passkey")
            await page.get_by_role("button", name="Use a passkey").click()
            await page.locator("[data-fault]:visible, [role=alert]:visible").first.wait_for()
        assert seen.dialogs == []
        attempts = await attempts_of(acme.door, acme.org_id)
        assert [row.reason for row in attempts if row.success].count("passkey") == 2


# ------------------------------------------------------------------------------ forgotten, confirmed


async def _verified(acme: Site) -> bool:
    query = people.select().where(people.c.sign_in_address == ADMIN)
    row = await acme.door.read(lambda conn: conn.execute(query).one())
    return row.address_verified_at is not None


async def test_forgotten_password_is_set_anew_by_mail(acme: Site) -> None:
    acme.door.settings = replace(acme.door.settings, set_password_valid_s=2 * 86_400)
    async with acme.signed_in() as session:
        await set_password(session)
    mails = Mails()
    async with acme.browser() as session:
        async with session.post("/o/acme/forgot", data={"address": ADMIN.upper()}) as answer:
            said = await answer.text()
            assert "Check your email" in said
            assert "valid for 2 days" in said
        await relay.run_once(acme.door, mails, acme.url)
        link = mails.link("set-password")
        async with session.post(link, data={"password": "nine slow harbours wait"}) as answer:
            assert answer.url.path == "/"
        async with session.post(link, data={"password": "ten other harbours wait"}) as answer:
            assert (answer.status, "It sets a password once" in await answer.text()) == (404, True)
    assert await _verified(acme)


async def test_known_and_unknown_get_the_same_answer_in_the_same_time(acme: Site) -> None:
    await acme.sign_in_link()
    answers, took = [], []
    async with acme.browser() as session:
        for path, address in (
            ("/forgot", ADMIN), ("/forgot", "nobody@acme.example"), ("/o/acme/forgot", "nobody@acme.example"),
            ("/o/nowhere/forgot", ADMIN), ("/forgot", ""), ("/forgot", "x" * 900),
        ):  # fmt: skip
            began = time.monotonic()
            async with session.post(path, data={"address": address}) as answer:
                answers.append((answer.status, await answer.text()))
            took.append(time.monotonic() - began)
    assert len(set(answers)) == 1
    assert min(took) >= 0.4


async def test_asking_is_limited_alike_for_known_and_unknown(database_url: str) -> None:
    async with site(database_url, sign_in_attempts=2) as acme, acme.browser() as session:
        await organizations.ensure_system(acme.door)
        await acme.sign_in_link()
        for address in (ADMIN, "nobody@acme.example"):
            statuses = []
            for _ in range(3):
                async with session.post("/forgot", data={"address": address}) as answer:
                    statuses.append(answer.status)
            assert statuses == [200, 200, 429]


async def test_wrong_passwords_are_limited_alike_for_known_and_unknown(database_url: str) -> None:
    async with site(database_url, sign_in_attempts=2) as acme, acme.browser() as session:
        await acme.sign_in_link()
        for path, address in (
            ("/sign-in", ADMIN),
            ("/sign-in", "nobody@acme.example"),
            ("/o/nowhere/sign-in", "x@acme.example"),
        ):
            statuses = []
            for _ in range(3):
                form = {"address": address, "password": "wrong wrong wrong wrong"}
                async with session.post(path, data=form) as answer:
                    statuses.append(answer.status)
            assert statuses == [401, 401, 429]


async def test_mailbox_is_not_filled_by_strangers(acme: Site) -> None:
    await acme.sign_in_link()
    async with acme.browser() as session:
        for _ in range(5):
            async with session.post("/forgot", data={"address": ADMIN}) as answer:
                assert answer.status == 200
    query = deliveries.select().where(deliveries.c.template == "set_password")
    assert len(await acme.door.read(lambda conn: conn.execute(query).all())) == 3


async def test_new_address_counts_once_its_mail_was_opened(acme: Site) -> None:
    mails = Mails()
    async with acme.signed_in() as session:
        status, path, _ = await post(session, "/my/address", address="ada@new.example")
        assert (status, path) == (200, "/my?said=mail")
        await relay.run_once(acme.door, mails, acme.url)
        assert [mail["To"] for mail in mails.sent][-1].endswith("<ada@new.example>")
        link = mails.link("confirm-address")
        assert ADMIN in await get(session, "/my")  # not before
        async with session.get(link) as answer:
            assert "ada@new.example" in await answer.text()
        assert ADMIN in await get(session, "/my")  # looking confirms nothing
        async with session.post(link) as answer:
            assert "is your address now" in await answer.text()
        async with session.get("/my") as answer:
            assert answer.url.path == "/sign-in"  # L4: a new address ends the sessions
        async with session.post(link) as answer:
            assert (answer.status, "It confirms an address once" in await answer.text()) == (404, True)
    mails.sent.clear()
    await relay.run_once(acme.door, mails, acme.url)
    told = sorted(mail["To"].addresses[0].addr_spec for mail in mails.sent)
    assert told == [ADMIN, "ada@new.example"]  # A25


async def test_what_is_no_address_is_refused(acme: Site) -> None:
    async with acme.signed_in() as session:
        for address in ("no address", "a@b.example, c@d.example"):
            status, _, _ = await post(session, "/my/address", address=address)
            assert status == 422


async def test_who_asks_for_an_address_does_not_learn_whose_it_is(acme: Site) -> None:
    """A22: nor which domains other organizations have. Whoever reads that mailbox is told."""
    other = NewOrganization("beta", domains=("beta.example",))
    await organizations.create(acme.door, other, Actor("system", "", "test"))
    await acme.sign_in_link("grace@acme.example")
    mails = Mails()
    async with acme.signed_in() as session:
        answers = set()
        for address in ("nobody@acme.example", "x@beta.example", "grace@acme.example"):
            status, path, page = await post(session, "/my/address", address=address)
            answers.add((status, path, page.replace(value_of(page, "form_token"), "")))
            assert (address in page, "grace" in page) == (False, False)
        assert len(answers) == 1
        await relay.run_once(acme.door, mails, acme.url)
        assert mails.sent[-1]["To"].addresses[0].addr_spec == "grace@acme.example"
        async with session.post(mails.link("confirm-address")) as answer:
            assert (answer.status, "is taken" in await answer.text()) == (409, True)
        assert ADMIN in await get(session, "/my")


async def test_so_many_mails_to_confirm_an_address_an_hour(acme: Site) -> None:
    """A19: whoever is signed in fills nobody's mailbox."""
    async with acme.signed_in() as session:
        for number in range(10):
            status, _, _ = await post(session, "/my/address", address=f"victim{number % 2}@free.example")
            assert status == 200
        status, _, page = await post(session, "/my/address", address="victim3@free.example")
        assert (status, "Too many attempts. Try again in 60 minutes." in page) == (429, True)
        acme.clock.ahead += timedelta(minutes=9)
        assert (await post(session, "/my/address", address="victim3@free.example"))[0] == 429
    acme.clock.ahead += timedelta(minutes=52)
    async with acme.signed_in() as session:
        assert (await post(session, "/my/address", address="victim3@free.example"))[0] == 200


# ------------------------------------------------------------------------------ REST


async def test_own_account_over_rest(acme: Site) -> None:
    async with acme.signed_in() as session:
        headers = {"X-Form-Token": value_of(await get(session, "/my"), "form_token")}

        async def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            async with session.request(method, f"/api/v1{path}", json=body, headers=headers) as answer:
                return answer.status, await answer.json() if answer.status != 204 else None

        status, me = await call("GET", "/me")
        assert (status, me["address"], me["address_verified"]) == (200, ADMIN, False)
        status, me = await call("PATCH", "/me", {"display_name": "Ada"})
        assert (status, me["display_name"], me["phone"]) == (200, "Ada", None)
        status, me = await call("PATCH", "/me", {"phone": "+44 1"})
        assert (me["display_name"], me["phone"]) == ("Ada", "+44 1")
        status, me = await call("PATCH", "/me", {"display_name": None})
        assert (me["display_name"], me["phone"]) == (ADMIN, "+44 1")
        assert await call("GET", "/me/second-factors") == (200, {"items": [], "recovery_codes_left": 0})
        assert (await call("POST", "/me/recovery-codes"))[0] == 409
        assert (await call("POST", "/me/address", {"address": "ada@new.example"}))[0] == 204
        acme.clock.ahead += timedelta(minutes=11)
        status, problem = await call("POST", "/me/address", {"address": "ada@new.example"})
        assert (status, problem["code"]) == (403, "proof_needed")
