"""Whoever sends a body slowly is asked once more who they are when it is there (V11, of admins)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from sqlalchemy import select
from yarl import URL

from scimd.db.tables import gates, people, teams
from scimd.http import guard
from scimd.org.authentication import sessions
from scimd.org.tokens import api_tokens
from tests.admin.client import form_token_of
from tests.web.site import Site

Meanwhile = Callable[[], Awaitable[object]]
_JSON = {"Content-Type": "application/json"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def identified(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when somebody is looked up, by cookie or by token."""
    done = asyncio.Event()

    def noted(module: Any, name: str) -> None:
        look_up = getattr(module, name)

        async def noting(*given: Any) -> Any:
            holder = await look_up(*given)
            done.set()
            return holder

        monkeypatch.setattr(module, name, noting)

    noted(sessions, "by_cookie")
    noted(api_tokens, "authenticate")
    return done


async def _slowly(body: bytes, identified: asyncio.Event, meanwhile: Meanwhile) -> AsyncIterator[bytes]:
    """The rest of the body comes after whoever sends it was looked up, and something happened."""
    identified.clear()
    yield body[:4]
    await identified.wait()
    await meanwhile()
    yield body[4:]


async def _nothing() -> None:
    pass


def _ending(acme: Site) -> Meanwhile:
    async def end() -> None:
        (session,) = await sessions.list_sessions(acme.door, acme.ctx.org_id)
        await sessions.end(acme.door, acme.ctx, session.id)

    return end


async def _team(session: aiohttp.ClientSession, name: str, slowly: Any, **headers: str) -> int:
    body = b'{"name": "%b"}' % name.encode()
    async with session.post("/api/v1/teams", data=slowly(body), headers=_JSON | headers) as answer:
        return answer.status


async def _teams(acme: Site) -> list[str]:
    query = select(teams.c.name).order_by(teams.c.name)
    return await acme.door.read(lambda conn: list(conn.execute(query).scalars()))


async def test_a_session_that_ends_while_its_body_arrives_writes_nothing(
    acme: Site, identified: asyncio.Event
) -> None:
    async with acme.signed_in() as session:
        form_token = {guard.FORM_TOKEN: await form_token_of(acme, session)}
        before, end = await _teams(acme), _ending(acme)
        assert (
            await _team(session, "A", lambda body: _slowly(body, identified, _nothing), **form_token) == 201
        )
        assert await _team(session, "B", lambda body: _slowly(body, identified, end), **form_token) == 401
        assert await _teams(acme) == sorted([*before, "A"])


async def test_a_token_that_is_revoked_while_its_body_arrives_writes_nothing(
    acme: Site, identified: asyncio.Event
) -> None:
    made = await api_tokens.create_service(acme.door, acme.ctx, "script", ["users.manage", "projects.manage"])
    async with acme.browser(Authorization=f"Bearer {made.token}") as session:
        before = await _teams(acme)

        async def revoke() -> None:
            await api_tokens.revoke(acme.door, acme.ctx, made.id)

        assert await _team(session, "A", lambda body: _slowly(body, identified, _nothing)) == 201
        assert await _team(session, "B", lambda body: _slowly(body, identified, revoke)) == 401
        assert await _teams(acme) == sorted([*before, "A"])


async def test_an_empty_body_that_is_long_in_ending_is_no_way_around(
    acme: Site, identified: asyncio.Event
) -> None:
    made = await api_tokens.create_service(acme.door, acme.ctx, "script", ["users.manage"])
    (dana,) = await acme.push(await acme.source("okta", invite="never"), {"userName": "dana"})
    url = URL(acme.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"POST /api/v1/users/{dana}/disable HTTP/1.1\r\nHost: {url.authority}\r\nConnection: close\r\n"
        f"Authorization: Bearer {made.token}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    await identified.wait()
    await api_tokens.revoke(acme.door, acme.ctx, made.id)
    writer.write(b"0\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
    writer.close()
    assert await acme.door.read(lambda conn: conn.execute(select(gates)).all()) == []


async def test_a_session_that_ends_while_its_form_arrives_writes_nothing(
    acme: Site, identified: asyncio.Event
) -> None:
    async with acme.signed_in() as session:
        token = await form_token_of(acme, session)

        async def edit(name: str, meanwhile: Meanwhile) -> str:
            form = urlencode({"form_token": token, "display_name": name, "phone": ""}).encode()
            body = _slowly(form, identified, meanwhile)
            async with session.post("/my", data=body, headers=_FORM) as answer:
                return await answer.text()

        await edit("Ada", _nothing)
        await edit("Eve", _ending(acme))
        names = await acme.door.read(lambda conn: set(conn.execute(select(people.c.display_name)).scalars()))
        assert "Ada" in names
        assert "Eve" not in names
