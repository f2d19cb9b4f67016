"""A client of the REST API, as somebody who is signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from scimd.http import guard
from scimd.org.authentication import sessions
from tests.support.rest import Answer, ask
from tests.web.site import ADMIN, Site


@dataclass
class Client:
    session: aiohttp.ClientSession
    url: str
    form_token: str

    async def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        given = {guard.FORM_TOKEN: self.form_token} | (headers or {})
        return await ask(self.session, self.url, method, path, body, given)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.send("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.send(
            "POST", path, body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )


async def form_token_of(acme: Site, session: aiohttp.ClientSession) -> str:
    cookies = session.cookie_jar.filter_cookies(URL(acme.url))
    (cookie,) = (morsel.value for name, morsel in cookies.items() if name.endswith("scimd"))
    holder = await sessions.by_cookie(acme.door, cookie)
    assert holder is not None
    return guard.form_token(acme.door, holder)


@asynccontextmanager
async def signed_in(acme: Site, email: str = ADMIN, *, org: str = "acme") -> AsyncIterator[Client]:
    """An Account Admin of the organization, unless somebody else is known by that address."""
    async with acme.signed_in(email, org=org) as session:
        yield Client(session, acme.url, await form_token_of(acme, session))
