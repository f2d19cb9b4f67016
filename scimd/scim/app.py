"""SCIM under ``/scim/v2``: authentication, then routing, then the endpoint, then errors as SCIM.

One catch-all route with a table of its own, so that there is one decoding of the path, and a path
that is not served is refused like any other without a token (RFC 7644 §3.2, §3.12).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing.connection import Connection
from time import monotonic
from typing import IO

from aiohttp import hdrs, web

from scimd import log
from scimd.config import Config
from scimd.core.attributes import ResourceKind
from scimd.core.catalogue import Form
from scimd.core.endpoints import BASE_PATH, below_base, segments_of
from scimd.core.errors import Refusal, TooManyRequests, VersionMismatch
from scimd.core.people import SourceId, TokenId
from scimd.http import app as http_app
from scimd.http import guard, limits, request_id
from scimd.http.jwks import KeySets, KeysUnavailable
from scimd.http.patience import Limit, Within
from scimd.http.rates import Rate, counted
from scimd.http.statuses import Fault
from scimd.org.reading import catalogue as catalogues
from scimd.org.request_log.scribes import Desk, Far, Near, scribe_of
from scimd.org.tokens import api_tokens, jwt_issuers, tokens
from scimd.org.tokens import oauth as org_oauth
from scimd.org.tokens.secrets import ACCESS_TOKEN, is_secret, is_token, token_hash
from scimd.org.tokens.tokens import CredentialKind, Shown, TokenHolder
from scimd.org.tx import Actor, Context, Door
from scimd.scim import bulk, catalogue, etag, groups, me, oauth, search, users
from scimd.scim.discovery import Discovery
from scimd.scim.errors import DEAD, ScimError, body_of, of_refusal, unauthorized
from scimd.scim.exchange import LARGE_AT_ONCE, Exchange, PageEnds, ScimSettings, answer, query_of
from scimd.scim.jwt import Refused, SignedTokens
from scimd.scim.quirks import profiles
from scimd.scim.request_log import HOLDER, TOKEN_HASH, Behind

logger = log.get(__name__)

Endpoint = Callable[[Exchange], Awaitable[web.Response]]
Methods = Mapping[str, Endpoint]

PREFIX = "/scim"
REQUEST_LOG = web.AppKey("request_log", Behind)
_BASE = f"{BASE_PATH}/"
_LAST_USED_S = 5.0
_SOURCES_KEPT = 1000
#: Of seconds' worth of requests, how much a token may send at once.
_BURST_S = 2.0
#: The form of every id that scimd gives; whatever else stands in a path is nobody's.
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: Endpoint → methods on the collection, methods on one resource. What is not here is not served.
RESOURCES: Mapping[str, tuple[Methods, Methods]] = {
    "Users": (
        {hdrs.METH_GET: users.listing, hdrs.METH_POST: users.create},
        {
            hdrs.METH_GET: users.read,
            hdrs.METH_PUT: users.replace,
            hdrs.METH_PATCH: users.modify,
            hdrs.METH_DELETE: users.delete,
        },
    ),
    "Groups": (
        {hdrs.METH_GET: groups.listing, hdrs.METH_POST: groups.create},
        {
            hdrs.METH_GET: groups.read,
            hdrs.METH_PUT: groups.replace,
            hdrs.METH_PATCH: groups.modify,
            hdrs.METH_DELETE: groups.delete,
        },
    ),
    "Roles": ({hdrs.METH_GET: catalogue.roles}, {hdrs.METH_GET: catalogue.role}),
    "Entitlements": ({hdrs.METH_GET: catalogue.entitlements}, {hdrs.METH_GET: catalogue.entitlement}),
}


def add(
    app: web.Application,
    config: Config,
    door: Door,
    scribes: Connection | None = None,
    shelf: IO[bytes] | None = None,
) -> None:
    """Add SCIM to the application.

    ``scribes``: a pipe to a process that makes and writes entries of the log. ``shelf``: where several
    processes count together how often somebody calls (``SharedBuckets``).
    """
    near = Near(scribe_of(door.keys, config.server.public_url, config.scim.log_body_bytes), door)
    server = ScimServer(
        door,
        ScimSettings(
            base_url=f"{config.server.public_url}{BASE_PATH}",
            max_body_bytes=config.server.max_body_bytes,
            request_timeout_s=config.server.request_timeout.total_seconds(),
            max_page=config.scim.max_page,
            default_page=min(config.scim.default_page, config.scim.max_page),
            max_operations=config.scim.max_operations,
            max_bulk_operations=config.scim.max_bulk_operations,
            cursor_valid_s=config.scim.cursor_valid_for.total_seconds(),
            log_body_bytes=config.scim.log_body_bytes,
        ),
        near if scribes is None else Far(scribes, near),
        rates=_rates(config.scim.rate_per_token, shelf),
    )

    async def written_behind(_: web.Application) -> AsyncIterator[None]:
        tasks = (asyncio.create_task(_write_behind(server.last_used)), asyncio.create_task(server.log.run()))
        yield
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await _write(server.last_used)
        await server.log.finish()

    app[REQUEST_LOG] = server.log
    app.cleanup_ctx.append(written_behind)

    @guard.scim_token
    async def handle(request: web.Request) -> web.StreamResponse:
        return await server.handle(request)

    oauth.add(app, config, door, shelf)
    app.router.add_route("*", PREFIX, handle)
    app.router.add_route("*", f"{PREFIX}/{{tail:.*}}", handle)
    http_app.shortcut(app, _BASE, handle)
    http_app.errors_under(app, PREFIX, _error_page)


def _rates(per_token: float | None, shelf: IO[bytes] | None) -> Rate | None:
    if per_token is None:
        return None
    return counted(per_token, per_token * _BURST_S, shelf, of="token")


async def _error_page(request: web.Request, fault: Fault) -> web.StreamResponse:
    """What was raised outside of ``handle``, in SCIM's words."""
    return answer(fault.status, body_of(ScimError(fault.status, fault.detail)))


async def _write_behind(last_used: tokens.LastUsed) -> None:
    """Write when tokens were last used, now and then; no request waits for it."""
    while True:
        await asyncio.sleep(_LAST_USED_S)
        await _write(last_used)


async def _write(last_used: tokens.LastUsed) -> None:
    try:
        await last_used.flush()
    except Refusal as exc:  # the database is away or busy; a column may wait, or be lost
        logger.warning("last_used_not_written", code=exc.code)


@dataclass(frozen=True, slots=True)
class _Served:
    """What a source's clients are served, as of a generation of their organization."""

    generation: int
    users: ResourceKind
    discovery: Discovery


class ScimServer:
    def __init__(self, door: Door, settings: ScimSettings, desk: Desk, rates: Rate | None = None) -> None:
        self.door = door
        self.settings = settings
        self._limit = Limit(settings.request_timeout_s)
        self.last_used = tokens.LastUsed(door)
        self._signed = SignedTokens(door, KeySets())
        self._rates = rates
        self.log = Behind(door, desk, settings.log_body_bytes)
        self._ends = PageEnds()
        self._room = asyncio.Semaphore(LARGE_AT_ONCE)
        self._served: dict[tuple[SourceId, Form, bool], _Served] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request, and have it logged. Only what nobody foresaw leaves as an exception."""
        began, response = monotonic(), None
        try:
            response = await self._handled(request)
            return response
        finally:
            if response is None or self.log.wants(request, response.status):
                known = self._known(request[HOLDER]) if HOLDER in request else None
                self.log.keep(request, response, monotonic() - began, known.users if known else None)

    async def _handled(self, request: web.Request) -> web.Response:
        try:
            return await Within(self._limit, self._answer(request))
        except ScimError as exc:
            return error(exc)
        except Refusal as exc:
            return error(of_refusal(exc), close=request.can_read_body and not request.content.at_eof())
        except limits.WrongMediaType as exc:
            return error(ScimError(415, str(exc)))
        except limits.SlowBody:
            return error(ScimError(408, "The body did not arrive in time."), close=True)
        except limits.UnreadableBody:
            return error(ScimError(400, "The body cannot be read.", "invalidSyntax"), close=True)
        except TimeoutError:
            logger.warning("scim_deadline", method=request.method)
            return error(of_refusal(limits.out_of_time()))

    async def _answer(self, request: web.Request) -> web.Response:
        due = asyncio.get_running_loop().time() + self.settings.request_timeout_s
        text = guard.bearer_of(request)
        if text is not None and api_tokens.is_api_token(text):
            return await self._answer_person(request, text)
        holder = await self._authenticated(request, text)
        segments = path_of(request)
        if segments is None:
            raise _nowhere()
        served = self._known(holder)
        if served is None or served.generation != holder.generation:
            served = await self._served_anew(holder)
        methods, resource_id = _route(segments, served.discovery)
        if request.method == hdrs.METH_OPTIONS:
            return answer(204, headers={"Allow": _allow(methods)})
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        if method not in methods:
            allow = _allow(methods)
            raise ScimError(405, f"Use one of {allow} here.", None, (("Allow", allow),))
        ex = self._exchange(request, text, holder, served.users, resource_id, due)
        ex.check_scopes(method, segments)
        try:
            return await methods[method](ex)
        except VersionMismatch as exc:
            raise etag.refused(exc, ex.header("If-None-Match")) from exc
        finally:
            if ex.has_room:
                ex.room.release()

    async def _answer_person(self, request: web.Request, text: str) -> web.Response:
        """A person's own token: /Me, and nothing else."""
        holder = await api_tokens.authenticate(self.door, text)
        if holder is None:
            raise unauthorized(DEAD, "invalid_token")
        self._hold_back(holder.token_id)
        segments = path_of(request)
        if segments is None:
            raise _nowhere()
        return await me.answer_person(request, self.door, self.settings, holder, segments)

    def _known(self, holder: TokenHolder) -> _Served | None:
        return self._served.get(_kept_by(holder))

    async def _served_anew(self, holder: TokenHolder) -> _Served:
        """What this source's clients are served, until the organization decides something new."""
        key = _, form, tolerant = _kept_by(holder)
        users, named = await catalogues.served_to(self.door, holder.org_id, holder.source_id)
        signed_tokens = await jwt_issuers.has_issuer(self.door, holder.org_id, holder.source_id)
        announced = form if named or form == "okta" else None
        discovery = Discovery.make(
            self.settings, users, announced, signed_tokens=signed_tokens, strict=not tolerant
        )
        if len(self._served) >= _SOURCES_KEPT:
            self._served.clear()
        fresh = self._served[key] = _Served(holder.generation, users, discovery)
        return fresh

    def _exchange(
        self,
        request: web.Request,
        text: str | None,
        holder: TokenHolder,
        users: ResourceKind,
        resource_id: str | None,
        due: float,
    ) -> Exchange:
        ctx = Context(
            org_id=holder.org_id,
            actor=_actor(holder.token_id, holder.token_name),
            door="scim",
            correlation_id=request_id.of(request),
            source_id=holder.source_id,
            proof=_shown(holder.kind, holder.token_id, holder.generation),
        )
        return Exchange(
            request=request,
            door=self.door,
            settings=self.settings,
            ctx=ctx,
            holder=holder,
            profile=profiles.named(holder.profile),
            query=query_of(request),
            users=users,
            ends=self._ends,
            room=self._room,
            proof=partial(self._proved, request, text),
            due=due,
            id=resource_id,
        )

    async def _authenticated(self, request: web.Request, text: str | None) -> TokenHolder:
        """Who asks: once for each request, which counts for the rate. Raises 401, or 429 above it."""
        holder = await self._proved(request, text)
        self._hold_back(holder.token_id)
        self.last_used.note(holder)
        return holder

    async def _proved(self, request: web.Request, text: str | None) -> TokenHolder:
        """Whose token it is (RFC 6750 §2.1: by header only), as of now. Raises 401."""
        if text is None:
            raise unauthorized("Send the source's token as Authorization: Bearer.")
        holder = await tokens.authenticate(self.door, text) or await self._otherwise(request, text)
        if holder is None:
            if is_token(text) or is_secret(ACCESS_TOKEN, text):
                request[TOKEN_HASH] = token_hash(text)
            raise unauthorized(DEAD, "invalid_token")
        request[HOLDER] = holder
        return holder

    async def _otherwise(self, request: web.Request, text: str) -> TokenHolder | None:
        """An access token of an OAuth client, or one that the source's own issuer signed."""
        if "." not in text:
            return await org_oauth.authenticate(self.door, text)
        try:
            return await self._signed.authenticate(text)
        except Refused as exc:
            if exc.holder is not None:
                request[HOLDER] = exc.holder
            raise unauthorized(str(exc), "invalid_token") from exc
        except KeysUnavailable as exc:
            headers = (("Retry-After", str(math.ceil(exc.retry_after_s))),)
            raise ScimError(503, str(exc), None, headers) from exc

    def _hold_back(self, token_id: TokenId) -> None:
        """The rate is the stored token's: no part of a request gives it another."""
        wait = self._rates.take(token_id) if self._rates is not None else 0.0
        if wait:
            raise TooManyRequests(math.ceil(wait))


@lru_cache(maxsize=1000)
def _kept_by(holder: TokenHolder) -> tuple[SourceId, Form, bool]:
    """Whose clients are served alike: the source's, by the profile's form of roles and its rigour."""
    profile = profiles.named(holder.profile)
    return holder.source_id, profile.catalogue, profile.rules.values.tolerant


def _actor(token_id: str, name: str) -> Actor:
    return Actor("token", token_id, name)


@lru_cache(maxsize=1000)
def _shown(kind: CredentialKind, token_id: TokenId, generation: int) -> Shown:
    return Shown(kind, token_id, generation)


def _route(segments: tuple[str, ...], discovery: Discovery) -> tuple[Methods, str | None]:
    """What a path takes, and the id in it. Raises 404."""
    match segments:
        case ("Users" | "Groups" | "Roles" | "Entitlements" as name,):
            return RESOURCES[name][0], None
        case ("Bulk",):
            return {hdrs.METH_POST: bulk.of(partial(_route, discovery=discovery))}, None
        case ():
            return {hdrs.METH_GET: search.everything(discovery.kinds)}, None
        case (".search",):
            return {hdrs.METH_POST: search.within(search.everything(discovery.kinds))}, None
        case ("Users" | "Groups" | "Roles" | "Entitlements" as name, ".search"):
            return {hdrs.METH_POST: search.within(RESOURCES[name][0][hdrs.METH_GET])}, None
        case ("Users" | "Groups" as name, resource_id):
            if not _ID.fullmatch(resource_id):
                return dict.fromkeys(RESOURCES[name][1], _unknown_id), resource_id
            return RESOURCES[name][1], resource_id
        case ("Roles" | "Entitlements" as name, value):
            return RESOURCES[name][1], value
        case ("ServiceProviderConfig",):
            return _fixed(discovery.config), None
        case ("ResourceTypes" | "Schemas" as name,):
            return _fixed(discovery.lists[name]), None
        case ("ResourceTypes" | "Schemas" as name, which):
            document = discovery.by_id.get((name, which.lower()))
            if document is None:
                raise _nowhere()
            return _fixed(document), None
        case ("Me",):
            return dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), me.nobody), None
        case _:
            raise _nowhere()


def path_of(request: web.Request) -> tuple[str, ...] | None:
    """The path below ``/scim/v2`` in segments; None for what is elsewhere, or not UTF-8."""
    below = below_base(request.rel_url.raw_path)
    return None if below is None else segments_of(below)


def _fixed(document: bytes) -> Methods:
    async def respond(ex: Exchange) -> web.Response:
        # RFC 7644 §4: discovery takes no filter.
        if "filter" in ex.query:
            raise ScimError(403, "Discovery cannot be filtered.")
        return answer(200, document)

    return {hdrs.METH_GET: respond}


async def _unknown_id(ex: Exchange) -> web.Response:
    raise _nowhere()


def _nowhere() -> ScimError:
    return ScimError(404, "There is nothing at this address.")


def _allow(methods: Methods) -> str:
    given = {*methods, hdrs.METH_OPTIONS} | ({hdrs.METH_HEAD} if hdrs.METH_GET in methods else set())
    return ", ".join(sorted(given))


def error(exc: ScimError, *, close: bool = False) -> web.Response:
    """The error as a response; ``close`` where the rest of the request is not worth reading."""
    response = answer(exc.status, body_of(exc), dict(exc.headers))
    if close:
        response.force_close()
    return response
