"""The page in a real browser: light, dark, phone, without scripts, with hostile names, and axe-core."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from scimd.core.printable import spelled_out
from scimd.core.sync.policy import Action, Situation
from tests.web.browser import Seen, faults_of, tab
from tests.web.site import ADMIN, PASSWORD, REMOVALS, Site, change, site

#: Set to a folder, and each page that is looked at is kept there as a picture.
PICTURES = os.environ.get("SCIMD_TEST_PICTURES")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 860}
XSS = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'-alert(1)-'", "<svg/onload=alert(1)>",
    "{{7*7}}{% raw %}", "</title><script>alert(1)</script>", "javascript:alert(1)", "\u202egpj.exe",
    "<iframe srcdoc='<script>alert(1)</script>'>", "&lt;script&gt;", "<a href=javascript:alert(1)>x</a>",
    "</textarea><script>alert(1)</script>", "<style>*{display:none}</style>", "<base href=//evil.example>",
]  # fmt: skip


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(f"sqlite:///{tmp_path / 'scimd.db'}") as found:
        yield found


async def _picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


async def _enter(acme: Site, page: Page, email: str = ADMIN) -> None:
    await page.goto(f"/sign-in/{await acme.sign_in_link(email)}")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/password")


def _is_clean(seen: Seen) -> None:
    assert seen.outside == []
    assert seen.complaints == []
    assert seen.dialogs == []


async def _company(acme: Site) -> dict[str, str]:
    """Sources, people, runs in every state, an open question."""
    directory = await acme.source("directory", kind="connector", connector="file")
    okta = await acme.source("okta", state="staged")
    people = await acme.push(
        okta,
        {"userName": "dana@acme.example", "displayName": "Dana Ortiz", "externalId": "emp-0042"},
        {"userName": "amelie@acme.example", "displayName": "Amélie Dubois"},
        {"userName": "lukasz@acme.example", "displayName": "Łukasz Wiśniewski", "active": False},
    )
    held = change(
        "Łukasz Wiśniewski",
        Action.DEACTIVATE,
        situation=Situation.GONE,
        old={"active": True},
        new={"active": False},
        removal=True,
        outcome="staged",
        reason="Gone from the directory.",
    )
    new = change(
        "Yuko Nakamura",
        Action.CREATE,
        situation=Situation.NEW,
        old=None,
        new={"title": "Designer"},
        reason="New in the directory; nobody fits.",
        outcome="waiting",
        detail="Waits for a seat.",
    )
    broken = change(
        "cn=printer",
        Action.FAIL,
        situation=Situation.FAILED,
        old=None,
        new=None,
        outcome="failed",
        reason="userName is missing.",
    )
    await acme.run(directory, "failed")
    done = await acme.run(directory, "partial", change(target_id=people[0]), new, broken)
    waits = await acme.run(directory, "held", held, change(), trips=(REMOVALS,))
    item = await acme.decision()
    return {"done": f"/runs/{done}", "held": f"/runs/{waits}", "decision": f"/decide/{item}",
            "person": f"/people/{people[0]}"}  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_every_page_is_accessible_fits_and_keeps_to_itself(
    acme: Site, browser: Browser, scheme: Any, size: Any
) -> None:
    paths = await _company(acme) | {
        "overview": "/", "runs": "/runs", "people": "/people", "decide": "/decide", "nothing": "/nothing",
        "nobody": "/people?search=nobody",
    }  # fmt: skip
    async with tab(browser, acme.url, color_scheme=scheme, viewport=size) as (page, seen):
        await _enter(acme, page)
        await _look(page, "password", scheme, size)
        for name, path in paths.items():
            await page.goto(path)
            await _look(page, name, scheme, size)
    seen.complaints = [each for each in seen.complaints if "404" not in each]  # the page that is not there
    _is_clean(seen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_before_the_sign_in_is_accessible(acme: Site, browser: Browser, scheme: Any) -> None:
    okta = await acme.source("okta")
    (dana,) = await acme.push(okta, {"userName": "dana@acme.example", "displayName": "Dana Ortiz"})
    link = f"/invitation/{await acme.invitation_link(dana)}"
    one_time = f"/sign-in/{await acme.sign_in_link()}"
    async with tab(browser, acme.url, color_scheme=scheme, viewport=PHONE) as (page, seen):
        for name, path in {
            "sign-in": "/o/acme/sign-in", "link": one_time, "invitation": link, "decline": f"{link}/decline",
        }.items():  # fmt: skip
            await page.goto(path)
            await _look(page, name, scheme, PHONE)
        acme.clock.ahead = timedelta(days=8)
        await page.goto(link)
        await _look(page, "expired", scheme, PHONE)
    seen.complaints = [each for each in seen.complaints if "410" not in each]
    _is_clean(seen)


async def test_page_of_the_rest_api_is_accessible_and_fits_when_all_is_opened(
    acme: Site, browser: Browser
) -> None:
    async with tab(browser, acme.url, viewport=PHONE) as (page, seen):
        await page.goto("/api")
        await _look(page, "api", "light", PHONE)
        await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        await _fits(page, "api-opened")
    _is_clean(seen)


async def _fits(page: Page, name: str) -> None:
    wide = await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wide, f"{name} scrolls sideways"


async def _look(page: Page, name: str, scheme: str, size: dict[str, int]) -> None:
    assert await faults_of(page) == [], name
    await _fits(page, name)
    await _picture(page, f"{name}-{scheme}-{size['width']}")


async def test_invitation_is_accepted_and_opens_the_way_in(acme: Site, browser: Browser) -> None:
    okta = await acme.source("okta")
    (dana,) = await acme.push(okta, {"userName": "dana@acme.example", "displayName": "Dana Ortiz"})
    link = f"/invitation/{await acme.invitation_link(dana)}"
    async with tab(browser, acme.url) as (page, seen):
        await page.goto(link)
        await page.get_by_label("Password").fill("short")
        await page.get_by_role("button", name="Accept and join").click()
        await page.get_by_text("it has 5 characters").wait_for()
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Accept and join").click()
        await page.get_by_role("link", name="Go to your access").click()
        await page.get_by_role("heading", name="My access").wait_for()
    seen.complaints = [each for each in seen.complaints if "422" not in each]
    _is_clean(seen)


async def test_everything_works_without_scripts(acme: Site, browser: Browser) -> None:
    paths = await _company(acme)
    async with tab(browser, acme.url, java_script_enabled=False) as (page, seen):
        await _enter(acme, page)
        await page.goto(paths["done"])
        await page.get_by_label("Action").select_option("create")
        await page.get_by_role("button", name="Show").click()
        await page.get_by_text("Yuko Nakamura").wait_for()
        assert not await page.get_by_text("Dana Ortiz").is_visible()
        await page.goto(paths["held"])
        await page.get_by_role("button", name="Approve and apply").click()
        await page.get_by_text("The worker applies it now.").first.wait_for()
        await page.goto("/my")
        await page.get_by_text("Uploading a picture needs scripts").wait_for()
        assert not await page.get_by_role("button", name="Upload").is_visible()
        assert await page.locator("form:not([method=post]) [name=form_token]").count() == 0
        await _picture(page, "my-without-scripts")
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("heading", name="Sign in").wait_for()
    _is_clean(seen)


async def test_passkey_says_that_it_needs_scripts(tmp_path: Path, browser: Browser) -> None:
    url = f"sqlite:///{tmp_path / 'scimd.db'}"
    async with (
        site(url, public_url="http://localhost:8080") as acme,
        tab(browser, acme.url, java_script_enabled=False) as (page, seen),
    ):
        await page.goto("/passkey")
        await page.get_by_text("A passkey needs scripts").wait_for()
        assert not await page.get_by_role("button", name="Use a passkey").is_visible()
    _is_clean(seen)


async def test_running_run_is_kept_fresh(acme: Site, browser: Browser) -> None:
    directory = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(directory, "reading")
    async with tab(browser, acme.url) as (page, seen):
        await _enter(acme, page)
        await page.goto(f"/runs/{run_id}")
        await page.get_by_text("Reading").wait_for()
        await acme.finish(run_id)
        await page.get_by_text("Done", exact=True).wait_for()
    _is_clean(seen)


async def test_whole_page_is_right_once_the_run_has_ended(acme: Site, browser: Browser) -> None:
    directory = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(directory, "held", change(outcome="staged"), trips=(REMOVALS,))
    async with tab(browser, acme.url) as (page, seen):
        await _enter(acme, page)
        await page.goto(f"/runs/{run_id}")
        await page.get_by_role("button", name="Approve and apply").click()
        await page.get_by_text("The worker applies it now.").wait_for()
        await page.get_by_label("Outcome").select_option("applied")  # chosen, and not asked for yet
        await page.get_by_role("link", name="Refresh").focus()
        await acme.finish(run_id)
        await page.get_by_text("Done", exact=True).wait_for()
        for stale in ("The worker applies it now.", "Held: this run", "not yet", "Refresh"):
            assert not await page.get_by_text(stale).is_visible(), stale
        assert await page.get_by_label("Outcome").input_value() == "applied"
        assert await page.evaluate("document.activeElement.id") == "main"
        assert await page.locator("[data-live]").count() == 0
        await _look(page, "ended", "light", DESK)
    _is_clean(seen)


@pytest.mark.parametrize("width", [320, 360, 1400])
async def test_long_names_and_many_questions_fit_on_every_width(
    acme: Site, browser: Browser, width: int
) -> None:
    okta = await acme.source("okta")
    (dana,) = await acme.push(okta, {"userName": "dana@acme.example", "displayName": "D" * 200})
    for name in ("CN=App_Finance_Europe_ReadOnly_Users,OU=Groups,DC=corp,DC=example", "g" * 250):
        await acme.group(okta, name, dana)
    for number in range(3):
        await acme.decision(number=number)
    async with tab(browser, acme.url, viewport={"width": width, "height": 740}) as (page, seen):
        await _enter(acme, page)
        for name, path in {"overview": "/", "decide": "/decide", "person": f"/people/{dana}"}.items():
            await page.goto(path)
            await _fits(page, name)
            nav = page.locator(".nav")
            assert await nav.evaluate("nav => nav.scrollWidth <= nav.clientWidth")  # also how many are open
            await _picture(page, f"long-{name}-{width}")
    _is_clean(seen)


async def test_hostile_names_are_text_everywhere(acme: Site, browser: Browser) -> None:
    okta = await acme.source("okta")
    directory = await acme.source("directory", kind="connector", connector="file")
    people = await acme.push(
        okta,
        *(
            {"userName": f"x{n}@acme.example", "displayName": text, "externalId": text}
            for n, text in enumerate(XSS)
        ),
    )
    changes = [
        change(text, external_id=text, reason=text, old={text: text}, new={text: text + "!"}, detail=text)
        for text in XSS
    ]
    run_id = await acme.run(directory, "partial", *changes)
    item = await acme.decision(entry=dict.fromkeys(XSS, XSS[0]), **{XSS[0]: XSS[1]})
    links = [f"/invitation/{await acme.invitation_link(person)}" for person in people]
    async with tab(browser, acme.url) as (page, seen):
        for link in links:
            await page.goto(link)
        await _enter(acme, page)
        await page.goto("/people")
        shown = await page.locator("tbody th a").all_inner_texts()
        assert set(shown) >= {spelled_out(text) for text in XSS if text == " ".join(text.split())}
        await page.goto(f"/runs/{run_id}")
        assert set(await page.locator("tbody th a, tbody th").all_inner_texts())
        for path in (f"/people/{person}" for person in people):
            await page.goto(path)
        for path in (
            f"/decide/{item}",
            "/",
            "/decide",
            "/people?search=" + "%3Cscript%3Ealert(1)%3C/script%3E",
        ):
            await page.goto(path)
    _is_clean(seen)
