"""A request to the REST API, and its answer: what every client of the tests has in common."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from yarl import URL

_WHOLE = ("/api", "/scim")


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


async def ask(
    session: aiohttp.ClientSession,
    server: str,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """``body``: JSON, or bytes as they are. Paths without a leading /api or /scim are the API's own."""
    given = dict(headers or {})
    data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
    if data is not None:
        given.setdefault("Content-Type", "application/json")
    whole = path in _WHOLE or path.startswith(tuple(f"{each}/" for each in _WHOLE))
    where = path if whole else f"/api/v1{path}"
    async with session.request(
        method,
        URL(server + where, encoded="%" in where),
        data=None if data is None else io.BytesIO(data),
        headers=given,
    ) as answer:
        return Answer(answer.status, answer.headers, await answer.read())
