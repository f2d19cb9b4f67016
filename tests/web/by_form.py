"""Pages and their forms, as a browser without scripts reads and sends them."""

from __future__ import annotations

import html

import aiohttp
import pyotp

from tests.web.site import PASSWORD


def value_after(page: str, words: str) -> str:
    """What an attribute of the page holds, as a browser reads it; empty where the words are not there."""
    return html.unescape(page.partition(words)[2].partition('"')[0])


def value_of(page: str, name: str) -> str:
    """What a hidden field of the page's forms holds."""
    return page.partition(f'name="{name}" value="')[2].partition('"')[0]


async def get(session: aiohttp.ClientSession, path: str, status: int = 200) -> str:
    async with session.get(path) as answer:
        assert answer.status == status
        return await answer.text()


async def post(session: aiohttp.ClientSession, path: str, **fields: str) -> tuple[int, str, str]:
    """Post a form with the session's form token: status, path, page."""
    token = value_of(await get(session, "/password"), "form_token")
    async with session.post(path, data={"form_token": token} | fields) as answer:
        return answer.status, answer.url.path_qs, await answer.text()


async def set_password(session: aiohttp.ClientSession) -> str:
    """The page that comes then."""
    status, _, page = await post(session, "/password", password=PASSWORD)
    assert status == 200, page
    return page


async def set_up_app(session: aiohttp.ClientSession) -> tuple[str, str]:
    """Set up an authenticator app; its secret, and the page with the codes."""
    page = await get(session, "/my/app")
    secret = page.partition("Key: <code>")[2].partition("<")[0]
    form = {name: value_of(page, name) for name in ("form_token", "ticket")}
    async with session.post("/my/app", data=form | {"code": pyotp.TOTP(secret).now()}) as answer:
        assert answer.status == 200, await answer.text()
        return secret, await answer.text()
