"""Fetching a small document from an address that somebody wrote into a config, or posting a form to one.

The name is resolved, each address that it gives is checked, and the connection goes to the checked
address: a name that resolves differently a moment later gains nothing. No redirects, no proxy, no
credentials, bounded in size and time; TLS is verified.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from scimd.core.addresses import Reach, is_within

#: Threads of their own for looking names up: where that takes long, no other work waits for one.
_LOOKING_UP = ThreadPoolExecutor(16, "names")
_ERROR_AT_MOST = 4096
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")


class CannotFetch(Exception):
    """The document was not had; the text says why, for the log."""


class _InThreads(AbstractResolver):
    """As the system resolves names."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        asked = partial(
            socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        found = await asyncio.get_running_loop().run_in_executor(_LOOKING_UP, asked)
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=proto,
                flags=numeric,
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is held open."""


class _Checked(AbstractResolver):
    """A resolver that gives only addresses within reach."""

    def __init__(self, reach: Reach, resolver: AbstractResolver) -> None:
        self._reach, self._resolver = reach, resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        allowed = [each for each in found if is_within(each["host"], self._reach)]
        if not allowed:
            raise OSError(None, f"{host} has no {self._reach} address")
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


@dataclass(frozen=True, slots=True)
class Form:
    """What to POST. ``authorization``: the header of that name; it goes to this one address only."""

    fields: Mapping[str, str]
    authorization: str | None = None


async def fetch(
    url: str,
    reach: Reach,
    *,
    at_most: int,
    timeout_s: float,
    form: Form | None = None,
    resolver: AbstractResolver | None = None,
) -> bytes:
    """The document's bytes. Raises CannotFetch for any answer but a 200 of bounded size."""
    try:
        host = URL(url).raw_host or ""  # as aiohttp reads it, to whom 127。0。0。1 is an address as well
    except ValueError as exc:
        raise CannotFetch(f"its address cannot be read: {exc}"[:300]) from exc
    # aiohttp asks no resolver about what is an address already.
    is_address = ":" in host or host.replace(".", "").isdigit()
    if is_address and not is_within(host, reach):
        raise CannotFetch(f"{host} is no {reach} address")
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(url, _Checked(reach, resolver or _InThreads()), at_most, form)
    except TimeoutError as exc:
        raise CannotFetch(f"no answer within {timeout_s:g} s") from exc
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        raise CannotFetch(f"{type(exc).__name__}: {exc}"[:300]) from exc


async def _read(url: str, resolver: AbstractResolver, at_most: int, form: Form | None) -> bytes:
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
    headers = {"Accept": "application/json", "User-Agent": "scimd", "Accept-Encoding": "identity"}
    if form is not None and form.authorization is not None:
        headers["Authorization"] = form.authorization
    async with (
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.request(
            "GET" if form is None else "POST",
            url,
            headers=headers,
            data=None if form is None else dict(form.fields),
            allow_redirects=False,
        ) as answer,
    ):
        if answer.status != 200:
            raise CannotFetch(f"the answer was {answer.status}{await _why(answer)}")
        pieces, size = [], 0
        while piece := await answer.content.read(65_536):
            size += len(piece)
            if size > at_most:
                raise CannotFetch(f"the answer is larger than {at_most} bytes")
            pieces.append(piece)
        return b"".join(pieces)


async def _why(answer: aiohttp.ClientResponse) -> str:
    """What is known of an answer that is no 200: the code of an OAuth error (RFC 6749 §5.2), such as
    ``invalid_client``."""
    if 300 <= answer.status < 400:
        return ", and no redirect is followed"
    try:
        said = orjson.loads(await answer.content.read(_ERROR_AT_MOST))
    except (aiohttp.ClientError, ValueError):
        return ""
    code = said.get("error") if isinstance(said, dict) else None
    return f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""
