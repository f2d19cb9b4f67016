"""Who may call what: every handler declares it, and an undeclared route is not served.

``@public``, ``@signed_in("users.read", …)``, ``@api(…)`` and ``@scim_token`` mark a handler; the
middleware reads the mark before the handler runs. A signed-in handler finds its session in
``request[SESSION]``. The permissions of one mark are alternatives. A write of a signed-in person must
come from a page of ours: by the browser's own word (``Sec-Fetch-Site``, else ``Origin``) and by the
session's form token.

Behind ``@api`` an API token (``Authorization: Bearer``) stands for a session. No browser sends one by
itself, so such a request needs no form token. Whoever calls is in ``request[CALLER]``, either way.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from scimd.config import Config
from scimd.core.errors import Forbidden, NotAuthenticated, SecondFactorMissing
from scimd.http.keys import CONFIG, DOOR
from scimd.http.reading import form_of
from scimd.http.statuses import ForeignForm
from scimd.org.authentication import sessions
from scimd.org.authentication.sessions import Holder, SessionHolder
from scimd.org.tokens import api_tokens
from scimd.org.tx import Door

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)
SESSION: web.RequestKey[SessionHolder | None] = web.RequestKey("session", object)  # type: ignore[arg-type]
CALLER: web.RequestKey[Holder | None] = web.RequestKey("caller", object)  # type: ignore[arg-type]
_BEARER = re.compile(r"bearer +([!-~]{1,8000})", re.IGNORECASE)
_SAFE = ("GET", "HEAD", "OPTIONS")
_MARK = "__access__"
#: Where a write of the API carries the session's form token.
FORM_TOKEN = "X-Form-Token"  # noqa: S105 - a header's name


@dataclass(frozen=True, slots=True)
class Access:
    """``any_of`` empty: being signed in is enough."""

    kind: Literal["public", "signed_in", "api", "scim_token", "oauth_client"]
    any_of: frozenset[str] = frozenset()
    #: Open also to a session that must set up a second factor first.
    enrolling: bool = False


def public(handler: H) -> H:
    """Open to everybody. A session, where there is one, is looked up all the same."""
    setattr(handler, _MARK, Access("public"))
    return handler


def signed_in(*any_of: str, enrolling: bool = False) -> Callable[[H], H]:
    """For people with a session and one of these permissions.

    ``enrolling``: also for those who must set up a second factor before they may do anything else.
    """

    def mark(handler: H) -> H:
        setattr(handler, _MARK, Access("signed_in", frozenset(any_of), enrolling))
        return handler

    return mark


def api(*any_of: str) -> Callable[[H], H]:
    """Like ``signed_in``, for the REST API, or by an API token.

    A session's writes are no forms here, so their form token is in a header.
    """

    def mark(handler: H) -> H:
        setattr(handler, _MARK, Access("api", frozenset(any_of)))
        return handler

    return mark


def scim_token(handler: H) -> H:
    """For a source's bearer token, which the SCIM edge checks before its own routing."""
    setattr(handler, _MARK, Access("scim_token"))
    return handler


def oauth_client(handler: H) -> H:
    """For an OAuth client, whose secret the token endpoint checks itself."""
    setattr(handler, _MARK, Access("oauth_client"))
    return handler


def access_of(handler: object) -> Access | None:
    return getattr(handler, _MARK, None)


def asks_itself(handler: object) -> bool:
    """Whether the edge checks for itself who comes, before its own routing: SCIM does."""
    access = access_of(handler)
    return access is not None and access.kind == "scim_token"


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what the route's mark does not allow."""
    if request.match_info.http_exception is not None:
        return await handler(request)  # 404 and 405 are the router's
    access = access_of(request.match_info.handler)
    if access is None:
        raise web.HTTPNotFound
    if access.kind not in ("scim_token", "oauth_client"):
        if "\x00" in request.path or any("\x00" in value for value in request.query.values()):
            raise web.HTTPNotFound  # PostgreSQL's text cannot hold it, so it names nothing
        await _admit(request, access)
    return await handler(request)


async def _admit(request: web.Request, access: Access) -> None:
    shows_token = _shows_token(request, access)
    writes = request.method not in _SAFE
    if writes and not shows_token and not from_our_page(request, request.app[CONFIG].server.public_url):
        raise ForeignForm
    holder = await _identify(request, access)
    if shows_token or holder is None or access.kind == "public" or not writes:
        return
    sent = await _sent_token(request, access)
    if access.kind != "api":
        await identify_again(request)  # the form has been read meanwhile
    if not isinstance(holder, SessionHolder) or not _is_form_token(request.app[DOOR], holder, sent):
        raise ForeignForm


async def identify_again(request: web.Request) -> None:
    """Once a body has been read: whoever sends one slowly may have been signed out meanwhile.

    Raises NotAuthenticated, Forbidden.
    """
    access = access_of(request.match_info.handler)
    assert access is not None  # noqa: S101 - no other is served
    await _identify(request, access)


async def _identify(request: web.Request, access: Access) -> Holder | None:
    config, door = request.app[CONFIG], request.app[DOOR]
    if _shows_token(request, access):
        # Never the cookie instead: who shows a token means it.
        request[SESSION], request[CALLER] = None, await _by_token(request, door)
    else:
        text = request.cookies.get(cookie_name(config))
        request[SESSION] = request[CALLER] = await sessions.by_cookie(door, text) if text else None
    _check(request[CALLER], access)
    return request[CALLER]


def _shows_token(request: web.Request, access: Access) -> bool:
    return access.kind == "api" and hdrs.AUTHORIZATION in request.headers


def _check(holder: Holder | None, access: Access) -> None:
    if access.kind == "public":
        return
    if holder is None:
        raise NotAuthenticated
    if isinstance(holder, SessionHolder) and holder.must_enrol and not access.enrolling:
        raise SecondFactorMissing
    if access.any_of and not access.any_of & holder.permissions:
        raise Forbidden(" or ".join(sorted(access.any_of)))


async def _by_token(request: web.Request, door: Door) -> Holder:
    """Raises NotAuthenticated for a token that opens nothing, whatever else the request carries."""
    text = bearer_of(request)
    holder = await api_tokens.authenticate(door, text) if text else None
    if holder is None:
        raise NotAuthenticated
    return holder


def session_of(request: web.Request) -> SessionHolder:
    """The session of a handler to which no API token leads. Raises NotAuthenticated."""
    holder = request[SESSION]
    if holder is None:
        raise NotAuthenticated
    return holder


def bearer_of(request: web.Request) -> str | None:
    """The token in the one header ``Authorization: Bearer`` (RFC 6750 §2.1); None without it."""
    given = request.headers.getall(hdrs.AUTHORIZATION, [])
    return _bearer_in(given[0]) if len(given) == 1 else None


@lru_cache(maxsize=256)
def _bearer_in(header: str) -> str | None:
    match = _BEARER.fullmatch(header.strip(" \t"))
    return match[1] if match else None


async def _sent_token(request: web.Request, access: Access) -> str:
    if access.kind == "api":
        return request.headers.get(FORM_TOKEN, "")
    return (await form_of(request)).get("form_token", "")


# ------------------------------------------------------------------------------ cookie, forms


def cookie_name(config: Config) -> str:
    """Browsers take ``__Host-`` with ``Secure`` only, which plain http on loopback cannot offer."""
    return "__Host-scimd" if is_secure(config) else "scimd"


def is_secure(config: Config) -> bool:
    """Whether cookies are ``Secure``: everywhere but on plain http to this very machine."""
    parts = urlsplit(config.server.public_url)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def form_token(door: Door, holder: SessionHolder) -> str:
    """The token that every form of this session carries. It needs no row: it is derived."""
    return _form_tokens(door, holder)[0]


def _form_tokens(door: Door, holder: SessionHolder) -> list[str]:
    session = str(holder.session_id).encode()
    return [hmac.new(key, session, hashlib.sha256).hexdigest() for key in door.keys.live("csrf").values()]


def _is_form_token(door: Door, holder: SessionHolder, sent: str) -> bool:
    given = sent.encode("utf-8", "surrogateescape")  # a header may hold any bytes
    return any(hmac.compare_digest(given, token.encode()) for token in _form_tokens(door, holder))


def from_our_page(request: web.Request, public_url: str) -> bool:
    """Whether the browser says that a page of ours sent this; it cannot be made to lie about it.

    Under ``Referrer-Policy: no-referrer`` a form's Origin is "null", so ``Sec-Fetch-Site`` comes first.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    parts = urlsplit(public_url)
    return request.headers.get("Origin") == f"{parts.scheme}://{parts.netloc}"
