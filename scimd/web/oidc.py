"""The two pages of a sign-in by the organization's identity provider: there, and back.

Each organization has a redirect URI of its own: what comes back there is taken to its own provider only, so
that no provider gets a code of another's (mix-up, RFC 9700 §4.4).
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from scimd import log
from scimd.config import Config, Oidc
from scimd.core.errors import LinkInvalid, MayNotSignIn, TooManyRequests
from scimd.http import guard
from scimd.http.guard import public
from scimd.http.keys import CONFIG, DOOR
from scimd.org.authentication import oidc_sign_in, tickets
from scimd.org.authentication.oidc_sign_in import Identity
from scimd.org.authentication.tickets import Ticket
from scimd.web import forms, security
from scimd.web.oidc_provider import ProviderFault, Providers
from scimd.web.pages import came_in, message, see_other, sentence

logger = log.get(__name__)
PROVIDERS = web.AppKey("oidc_providers", Providers)
_VALID_S = 600.0
#: Sign-ins that one browser may have under way, in its tabs: a header has room for so many of their cookies.
_AT_ONCE = 4
_SUBJECT_AT_MOST = 255


def of_organization(config: Config, slug: str) -> Oidc | None:
    """How the people of this organization sign in at their provider."""
    return next((each.oidc for each in config.organization if each.name == slug), None)


def _cookie(config: Config, state: str) -> str:
    """Its name; each sign-in has its own, so that two tabs do not overwrite each other's."""
    return f"{guard.cookie_name(config)}-oidc-{state[:16]}"


def _back(config: Config, slug: str) -> str:
    return f"{config.server.public_url}/o/{slug}/oidc/callback"


@public
async def begin(request: web.Request) -> web.StreamResponse:
    """Off to the provider. The browser keeps a sealed cookie, so that no other one can come back."""
    config, slug = request.app[CONFIG], request.match_info["slug"]
    rules = of_organization(config, slug)
    if rules is None:
        raise web.HTTPNotFound
    said = {
        "slug": slug,
        "next": security.local_path(request.query.get("next")),
        # The time at its beginning lets the names of cookies sort by age.
        "state": f"{int(request.app[DOOR].clock().timestamp()):08x}{secrets.token_urlsafe(32)}",
        **{name: secrets.token_urlsafe(32) for name in ("nonce", "verifier")},
    }
    try:
        url = await request.app[PROVIDERS].authorization_url(
            rules,
            redirect_uri=_back(config, slug),
            state=said["state"],
            nonce=said["nonce"],
            verifier=said["verifier"],
        )
    except ProviderFault as exc:
        return _fault(said, rules, exc)
    response = see_other(url)
    _forget_older(request, response)
    response.set_cookie(
        _cookie(config, said["state"]),
        tickets.issue(request.app[DOOR], "oidc", said, valid_s=_VALID_S),
        max_age=int(_VALID_S),
        path="/",
        secure=guard.is_secure(config),
        httponly=True,
        samesite="Lax",
    )
    return response


def _forget_older(request: web.Request, response: web.Response) -> None:
    """Leave room for one more cookie."""
    ours = re.compile(re.escape(_cookie(request.app[CONFIG], "")) + r"[0-9a-f]{8}[A-Za-z0-9_-]{8}")
    begun = sorted(name for name in request.cookies if ours.fullmatch(name))
    for name in begun[: 1 - _AT_ONCE]:
        _forget(request, response, name)


def _forget(request: web.Request, response: web.Response, name: str) -> None:
    secure = guard.is_secure(request.app[CONFIG])
    response.del_cookie(name, path="/", secure=secure, httponly=True, samesite="Lax")


@public
async def callback(request: web.Request) -> web.StreamResponse:
    """Back from the provider, with a code or an error. An answer to no sign-in of this browser ends none."""
    name = _cookie(request.app[CONFIG], request.query.get("state", ""))
    try:
        ticket = _opened(request, name)
    except LinkInvalid:
        return _over(request)
    try:
        response = await _finish(request, ticket)
    except LinkInvalid:
        response = _over(request)
    _forget(request, response, name)
    return response


def _opened(request: web.Request, name: str) -> Ticket:
    ticket = tickets.opened(request.app[DOOR], "oidc", request.cookies.get(name, ""))
    if not hmac.compare_digest(request.query["state"].encode(), ticket.said["state"].encode()):
        raise LinkInvalid
    return ticket


def _over(request: web.Request) -> web.Response:
    return message(
        "This sign-in is over",
        "It took too long, was done already, began in another browser, or newer ones took its place.",
        status=401,
        href=f"/o/{request.match_info['slug']}/sign-in",
        go="To the sign-in",
    )


async def _finish(request: web.Request, ticket: Ticket) -> web.Response:
    config, door, said = request.app[CONFIG], request.app[DOOR], ticket.said
    rules, providers = of_organization(config, said["slug"]), request.app[PROVIDERS]
    if rules is None:
        raise LinkInvalid
    try:
        if request.match_info["slug"] != said["slug"]:
            raise ProviderFault(f"the answer came to the address of {request.match_info['slug']}")
        await providers.check_issuer(rules, request.query.get("iss"))
        if "code" not in request.query:
            raise ProviderFault(f"it answered {request.query.get('error', 'nothing')[:100]!r}")
        claims = await providers.claims(
            rules,
            code=request.query["code"],
            redirect_uri=_back(config, said["slug"]),
            verifier=said["verifier"],
            nonce=said["nonce"],
            now=door.clock().timestamp(),
        )
        who = identity_of(claims, rules)
    except ProviderFault as exc:
        return _fault(said, rules, exc)
    try:
        signed = await oidc_sign_in.enter(door, said["slug"], who, ticket, **forms.client(request))
    except (MayNotSignIn, TooManyRequests) as exc:
        return message(
            "You are not signed in", sentence(exc), status=403, href=_anew(said), go="To the sign-in"
        )
    return came_in(request, signed, said["next"])


def _anew(said: Mapping[str, Any]) -> str:
    return security.leading_to(f"/o/{said['slug']}/sign-in", said["next"])


def identity_of(claims: Any, rules: Oidc) -> Identity:
    """Whom the claims mean. Raises ProviderFault where they name nobody."""
    subject, email = claims.get(rules.subject_claim), claims.get("email")
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_AT_MOST or "\x00" in subject:
        raise ProviderFault(f"its ID token has no claim {rules.subject_claim} that names somebody")
    proved = rules.match_email and isinstance(email, str) and claims.get("email_verified") is True
    return Identity(subject, email if proved else None, rules.source)


def _fault(said: Mapping[str, Any], rules: Oidc, exc: ProviderFault) -> web.Response:
    logger.warning("oidc_sign_in_failed", organization=said["slug"], issuer=rules.issuer, why=str(exc)[:300])
    return message(
        "Your identity provider could not sign you in",
        "The sign-in was not finished. Try again; if it keeps happening, tell an admin of your organization.",
        status=502,
        href=_anew(said),
        go="To the sign-in",
    )
