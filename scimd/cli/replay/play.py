"""Plays a bundle: over real HTTP, on an instance made for it or on any empty endpoint."""

from __future__ import annotations

import contextlib
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import aiohttp
import orjson
from aiohttp import web
from yarl import URL

from scimd import app, opening
from scimd.cli.common import operator
from scimd.cli.replay.bundle import Header, Recorded
from scimd.cli.replay.compare import Then, differences
from scimd.config import Config
from scimd.core.bearer import SCOPES
from scimd.core.endpoints import BASE_PATH
from scimd.core.errors import InvalidValue
from scimd.core.request_pseudonyms import MALFORMED
from scimd.http import app as http_app
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource
from scimd.org.tokens import tokens
from scimd.org.tx import Context, Door

TIMEOUT_S: Final = 60.0
_LIMITS = ("max_page", "default_page", "max_operations", "max_bulk_operations")
#: What the server's state of that moment decided, or a token that a replay does not have.
_OF_THE_MOMENT = frozenset((401, 408, 429, 500, 503, 507))
#: Pseudonyms keep what is equal, not what comes first or is a part of a word.
_INEXACT = re.compile(r"\b(?:co|sw|ew|gt|ge|lt|le) |sortBy|lastModified|meta\.", re.IGNORECASE)
#: What is listed there is what the source's rules name.
_OF_RULES = re.compile(r"/(?:Roles|Entitlements)\b", re.IGNORECASE)
#: Below an address that is not the base: of the installation, not of SCIM's endpoint.
_BESIDE = re.compile(r"/scim(?:/|$)")
#: Gives the token for a profile and scopes.
TokenFor = Callable[[str, Sequence[str]], Awaitable[str]]


@dataclass(slots=True)
class Outcome:
    """What became of one recorded request. ``passed_over`` says why it was not sent."""

    number: int
    recorded: Recorded
    status: int = 0
    differs: list[str] = field(default_factory=list)
    passed_over: str | None = None


async def played(
    header: Header, requests: Iterable[Recorded], url: str, token_for: TokenFor, *, one_token: bool = False
) -> AsyncIterator[Outcome]:
    """Send the requests in their order; yields what became of each. Raises aiohttp.ClientError.

    ``one_token``: ``token_for`` has but one, whatever its scopes are.
    """
    then = Then(header.base_url, url)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
        for number, each in enumerate(requests, 1):
            why_not = _why_not(each) or (_LACKED if one_token and _lacked_scope(each) else None)
            outcome = Outcome(number, each, passed_over=why_not)
            if outcome.passed_over is None:
                token = await token_for(each.profile, each.scopes)
                await _play(http, url, token, then, outcome)
            yield outcome


def _why_not(each: Recorded) -> str | None:
    if each.status in _OF_THE_MOMENT:
        return f"{each.status} was about that moment"
    if "request" in each.omitted or (each.status == 413 and each.request is None):
        return "its body was not kept"
    if _BESIDE.match(each.path):
        return "its address was not that of the endpoint"
    if _OF_RULES.match(each.path):
        return "it lists what rules name, and a bundle holds none"
    return "its method was none of HTTP's" if each.method == "?" else None


_LACKED = "its token may have lacked a scope, which that of --url has"


def _lacked_scope(each: Recorded) -> bool:
    """Whether a token of fewer scopes was refused, in one of a bulk request's operations, too."""
    told = each.response.get("Operations") if isinstance(each.response, dict) else None
    answers = [one.get("status") for one in told] if isinstance(told, list) else []
    return set(each.scopes) != set(SCOPES) and (each.status == 403 or "403" in answers)


async def _play(http: aiohttp.ClientSession, url: str, token: str, then: Then, outcome: Outcome) -> None:
    each = outcome.recorded
    path = then.path(each.path)
    headers = {"Authorization": f"Bearer {token}"}
    for name, value in each.headers.items():
        if name != "ETag":
            headers[name] = then.tag(path, value) if name.startswith("If-") else value
    address = URL(url + path + _query(then, each.query), encoded=True)
    data = _data(then, each.request)
    async with http.request(
        each.method,
        address,
        data=data,
        headers=headers,
        skip_auto_headers=("Content-Type",),
        allow_redirects=False,
    ) as answer:
        raw = await answer.read()
        outcome.status = answer.status
        then.tagged(path, each.headers.get("ETag"), answer.headers.get("ETag"))
    outcome.differs = list(_compared(then, each, answer.status, raw))


def _query(then: Then, raw: str | None) -> str:
    if not raw:
        return ""
    pairs = [(name, str(then.sent(value))) for name, value in parse_qsl(raw, keep_blank_values=True)]
    return "?" + urlencode(pairs, quote_via=quote)


def _data(then: Then, body: Any) -> bytes | None:
    if body is None:
        return None
    if isinstance(body, dict) and set(body) == {MALFORMED}:
        return str(body[MALFORMED]).encode()
    return orjson.dumps(then.sent(body))


def _compared(then: Then, each: Recorded, status: int, raw: bytes) -> Iterable[str]:
    if status != each.status:
        yield f"status {status} instead of {each.status}"
        return
    if each.response is None or _INEXACT.search(unquote(each.query or "")) or _searches(each):
        return
    try:
        now = orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        yield "the answer is no JSON"
        return
    then.learn(each.response, now)
    yield from differences(then.sent(each.response), now)


def _searches(each: Recorded) -> bool:
    return each.path.endswith("/.search") and _INEXACT.search(orjson.dumps(each.request).decode()) is not None


# ------------------------------------------------------------------------------ a throwaway instance


@contextlib.asynccontextmanager
async def instance(header: Header) -> AsyncIterator[tuple[str, TokenFor]]:
    """A scimd of its own on loopback, on a database that is gone afterwards: its address, its tokens."""
    with tempfile.TemporaryDirectory(prefix="scimd-replay-") as folder:
        config = _config(header, Path(folder))
        opening.migrate_schema(config)
        async with opening.opened(config, make_key=True) as door:
            context, source_id = await _organization(door, header)
            runner = http_app.Runner(app.make_app(config, door))
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                url = f"http://127.0.0.1:{runner.addresses[0][1]}{BASE_PATH}"
                yield url, _tokens(door, context, source_id)
            finally:
                await runner.cleanup()


def _config(header: Header, folder: Path) -> Config:
    settings = header.settings
    try:
        return Config.model_validate(
            {
                # The addresses in answers are then those of the recording.
                "server": {
                    "public_url": header.base_url.removesuffix(BASE_PATH),
                    "max_body_bytes": settings["max_body_bytes"],
                },
                "database": {"url": f"sqlite:///{folder / 'replay.db'}"},
                "scim": {name: settings[name] for name in _LIMITS},
            }
        )
    except (ValueError, KeyError) as exc:
        raise InvalidValue("bundle", f"its header is not that of a recording: {exc}") from exc


async def _organization(door: Door, header: Header) -> tuple[Context, Any]:
    settings = header.settings
    made = await organizations.create(
        door,
        NewOrganization(
            "replay",
            seats=settings["seats"],
            seats_on_scim=settings["seats_on_scim"],
            default_project="General" if settings["default_project"] else None,
        ),
        operator(),
    )
    context = Context(made.id, operator(), "cli", "replay")
    config = {"groups": settings["groups"], "extension": settings["extension"]}
    source = await sources.create(
        door,
        context,
        NewSource(
            header.source,
            state=settings["state"],
            invite=settings["invite"],
            ceiling=settings["ceiling"],
            config=config,
        ),
    )
    return context, source.id


def _tokens(door: Door, context: Context, source_id: Any) -> TokenFor:
    made: dict[tuple[str, tuple[str, ...]], str] = {}

    async def token_for(profile: str, scopes: Sequence[str]) -> str:
        wanted = profile, tuple(scopes)
        if wanted not in made:
            name = f"{profile}-{secrets.token_hex(2)}"
            new = await tokens.create(door, context, source_id, name, profile, None, scopes)
            made[wanted] = new.token
        return made[wanted]

    return token_for
