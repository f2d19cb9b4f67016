"""Signing in without naming the organization: the address may be in several of them."""

from __future__ import annotations

import asyncio
import re
import time

import aiohttp

from scimd.db.tables import sessions
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from tests.org.acme import OPERATOR
from tests.web.by_form import post, set_password, set_up_app
from tests.web.site import ADMIN, PASSWORD, Site


async def _has_password(acme: Site, org: str, *, second_factor: bool = False) -> None:
    """The admin of that organization has a password, and an authenticator app where it is wished."""
    async with acme.signed_in(org=org) as session:
        await set_password(session)
        if second_factor:
            await set_up_app(session)
        assert (await post(session, "/sign-out"))[0] == 200


async def _beta(acme: Site) -> None:
    await organizations.create(acme.door, NewOrganization("beta", "Beta"), OPERATOR)


async def _try(session: aiohttp.ClientSession, password: str = PASSWORD, address: str = ADMIN) -> str:
    form = {"address": address, "password": password, "next": "/my"}
    async with session.post("/sign-in", data=form) as answer:
        return await answer.text()


async def _live(acme: Site) -> int:
    query = sessions.select().where(sessions.c.ended_at.is_(None))
    return len(await acme.door.read(lambda conn: conn.execute(query).all()))


async def test_where_the_password_fits_in_several_the_choice_comes_before_the_second_step(acme: Site) -> None:
    await _beta(acme)
    await _has_password(acme, "acme")
    await _has_password(acme, "beta", second_factor=True)
    async with acme.browser() as session:
        page = await _try(session)
        assert "Where to?" in page
        assert re.findall(r'href="/o/(\w+)/sign-in\?next=/my"', page) == ["acme", "beta"]
        assert len(session.cookie_jar) == 0
        assert await _live(acme) == 0  # none that nobody holds


async def test_where_it_fits_in_one_the_others_are_not_told(acme: Site) -> None:
    await _beta(acme)
    await acme.sign_in_link()  # in acme, without a password
    await _has_password(acme, "beta", second_factor=True)
    async with acme.browser() as session:
        page = await _try(session)
        assert ("One more step" in page, "Where to?" in page) == (True, False)
        assert "Where to?" not in await _try(session, "wrong wrong wrong wrong")


async def test_a_wrong_password_takes_as_long_wherever_the_address_is(acme: Site) -> None:
    await _beta(acme)
    await _has_password(acme, "acme")
    await _has_password(acme, "beta")
    await acme.sign_in_link("grace@acme.example")

    async def took(address: str) -> float:
        async with acme.browser() as session:
            began = time.monotonic()
            assert "Where to?" not in await _try(session, "wrong wrong wrong wrong", address)
            return time.monotonic() - began

    for address in (ADMIN, "grace@acme.example", "nobody@acme.example"):
        assert await asyncio.wait_for(took(address), 60) >= 1.0
