"""One HTTP client for every sequence: what came back, told plainly, whatever came back.

Nothing here raises for what a server does: a time-out, a bad certificate, a page of HTML and ten
megabytes of nothing are all replies, with ``trouble`` saying in one sentence what is wrong with them.
``body`` is what came; ``excerpt`` and ``trouble`` may be shown.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, Self
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from scimd.cli.doctor.redaction import Redaction

#: A page of 100 people takes about 100 kB; nobody's identity provider reads more than this.
MAX_BODY: Final = 4 * 1024 * 1024
EXCERPT: Final = 300
SHORTEST_WAIT_S: Final = 0.1

Trouble = Literal["unreachable", "timeout", "broken"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request brought. ``status`` is 0 where there was no answer at all."""

    method: str
    path: str
    sent: Any
    status: int = 0
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    excerpt: str = ""
    seconds: float = 0.0
    kind: Trouble | None = None
    trouble: str | None = None
    redaction: Redaction = field(default_factory=Redaction)

    @property
    def request(self) -> str:
        return f"{self.method} {self.path}"

    def at(self, *path: str | Mapping[str, Any]) -> Any:
        """The value at a path of keys; a mapping picks the first value of a list that carries it."""
        value = self.body
        for step in path:
            if isinstance(step, str):
                value = value.get(step) if isinstance(value, dict) else None
            else:
                rows = value if isinstance(value, list) else []
                value = next((r for r in rows if isinstance(r, dict) and step.items() <= r.items()), None)
        return value

    @property
    def resources(self) -> list[dict[str, Any]]:
        rows = self.at("Resources")
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


@dataclass(frozen=True, slots=True)
class Manner:
    """How an identity provider writes its requests, where its vendor says so."""

    user_agent: str = "scimd-doctor"
    accept: str = "application/scim+json"
    content_type: str = "application/scim+json; charset=utf-8"


class Client:
    """An async context manager around one keep-alive session. Redirects are not followed.

    A 429 is waited out and sent again, as providers do, for as long as one request may take.
    """

    def __init__(self, url: str, token: str, manner: Manner, *, timeout_s: float) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._manner = manner
        self._timeout_s = timeout_s
        self.redaction = Redaction(token)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            headers={"Authorization": f"Bearer {self._token}", "User-Agent": self._manner.user_agent},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, body: Any = None
    ) -> Reply:
        query = "?" + urlencode(params, quote_via=quote) if params else ""
        self.redaction.hide_passwords(body)
        reply = Reply(method, path + query, body, redaction=self.redaction)
        headers = {"Accept": self._manner.accept}
        data = None
        if body is not None:
            headers["Content-Type"] = self._manner.content_type
            data = json.dumps(body).encode()
        until, pause_s = time.monotonic() + self._timeout_s, 1.0
        while True:
            answered = await self._once(reply, data, headers)
            wait_s = max(SHORTEST_WAIT_S, _retry_after_s(answered.headers, pause_s))
            if answered.status != 429 or time.monotonic() + wait_s > until:
                return answered
            await asyncio.sleep(wait_s)
            pause_s *= 2

    async def _once(self, reply: Reply, data: bytes | None, headers: dict[str, str]) -> Reply:
        began = time.monotonic()
        try:
            answer = await self._answer(reply, data, headers)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            kind, sentence = self._explain(exc)
            answer = {"kind": kind, "trouble": self.redaction.text(sentence)}
        return replace(reply, seconds=time.monotonic() - began, **answer)

    async def _answer(self, reply: Reply, data: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
        address = URL(self.url + reply.path, encoded=True)
        async with self._session.request(
            reply.method, address, data=data, headers=headers, allow_redirects=False
        ) as response:
            raw = await _bounded(response.content)
            answer = {
                "status": response.status,
                "content_type": response.content_type if response.headers.get("Content-Type") else "",
                "headers": response.headers,
            }
            return answer | self._read(raw, response)

    def _read(self, raw: bytes, response: aiohttp.ClientResponse) -> dict[str, Any]:
        if 300 <= response.status < 400 and response.status != 304:
            to = self.redaction.text(response.headers.get("Location", "nowhere"))
            return _broken(f"the endpoint redirects to {to}; identity providers do not follow redirects")
        if len(raw) > MAX_BODY:
            return _broken(
                f"the answer is longer than {MAX_BODY // 1024 // 1024} MiB and was not read further"
            )
        if not raw:
            return {}
        try:
            body = json.loads(raw)
            shown = json.dumps(self.redaction.value(body), ensure_ascii=False)
            return {"body": body, "excerpt": self.redaction.text(shown)[:EXCERPT]}
        except (ValueError, RecursionError):
            text = self.redaction.text(" ".join(raw.decode("utf-8", "replace").split()))[:EXCERPT]
            kind = response.content_type if response.headers.get("Content-Type") else "no content type"
            what = "an HTML page" if "html" in kind or text.lstrip().startswith("<") else "no JSON"
            sentence = self.redaction.text(f"answered {response.status} with {what} ({kind})")
            return _broken(sentence) | {"excerpt": text}

    def _explain(self, exc: BaseException) -> tuple[Trouble, str]:
        where = URL(self.url).authority
        match exc:
            case TimeoutError():
                return "timeout", f"no answer within {self._timeout_s:g} seconds"
            case aiohttp.ClientConnectorCertificateError():
                return "unreachable", f"the certificate of {where} is not trusted: {exc.certificate_error}"
            case aiohttp.ClientConnectorSSLError():
                return "unreachable", f"{where} does not speak TLS properly: {exc.strerror or exc.os_error}"
            case aiohttp.ClientConnectorDNSError():
                return "unreachable", f"the name {URL(self.url).host} is not known"
            case aiohttp.ClientConnectorError():
                return "unreachable", f"{where} does not accept connections: {exc.os_error.strerror or exc}"
            case _:
                return "broken", f"the connection broke: {exc or type(exc).__name__}"


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size <= MAX_BODY and (part := await content.read(65_536)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _broken(sentence: str) -> dict[str, Any]:
    return {"kind": "broken", "trouble": sentence}


def _retry_after_s(headers: Mapping[str, str], otherwise_s: float) -> float:
    """Retry-After in seconds, also where it is a date (RFC 9110 §10.2.3)."""
    given = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", given):
        return float(given)
    try:
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return otherwise_s


async def together(*requests: Any) -> list[Reply]:
    """Send at the same moment, as identity providers do with members."""
    return list(await asyncio.gather(*requests))
