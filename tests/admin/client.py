"""A client of the REST API, as somebody who is signed in."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from yarl import URL

from scimd.http import guard
from scimd.org import sessions
from tests.web.site import ADMIN, Site


@dataclass
class Answer:
    status: int
    headers: Any
    raw: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.raw)

    @property
    def text(self) -> str:
        return self.raw.decode()


@dataclass
class Client:
    session: aiohttp.ClientSession
    url: str
    form_token: str

    async def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """``body``: JSON, or bytes as they are. Paths without a leading /api are the API's own."""
        given = {guard.FORM_TOKEN: self.form_token} | (headers or {})
        data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        where = path if path == "/api" or path.startswith("/api/") else f"/api/v1{path}"
        url = URL(self.url + where, encoded="%" in where)
        async with self.session.request(
            method, url, data=None if data is None else io.BytesIO(data), headers=given
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

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
