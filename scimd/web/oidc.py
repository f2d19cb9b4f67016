"""The two pages of a sign-in by the organization's identity provider: there, and back."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from aiohttp import web

from scimd import log
from scimd.config import Config, Oidc
from scimd.core.errors import LinkInvalid, MayNotSignIn, TooManyRequests
from scimd.http import guard
from scimd.http.guard import public
from scimd.http.keys import CONFIG, DOOR
from scimd.org import oidc_sign_in, tickets
from scimd.org.oidc_sign_in import Identity
from scimd.org.tickets import Ticket
from scimd.web import forms, security
from scimd.web.oidc_provider import ProviderFault, Providers
from scimd.web.pages import came_in, message, see_other, sentence

logger = log.get(__name__)
PROVIDERS = web.AppKey("oidc_providers", Providers)
_VALID_S = 600.0
_SUBJECT_AT_MOST = 255


def of_organization(config: Config, slug: str) -> Oidc | None:
    """How the people of this organization sign in at their provider."""
    return next((each.oidc for each in config.organization if each.name == slug), None)


def _cookie(config: Config) -> str:
    return f"{guard.cookie_name(config)}-oidc"


def _back(config: Config) -> str:
    return f"{config.server.public_url}/oidc/callback"


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
        **{name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")},
    }
    try:
        url = await request.app[PROVIDERS].authorization_url(
            rules,
            redirect_uri=_back(config),
            state=said["state"],
            nonce=said["nonce"],
            verifier=said["verifier"],
        )
    except ProviderFault as exc:
        return _fault(slug, rules, exc)
    response = see_other(url)
    response.set_cookie(
        _cookie(config),
        tickets.issue(request.app[DOOR], "oidc", said, valid_s=_VALID_S),
        max_age=int(_VALID_S),
        path="/",
        secure=guard.is_secure(config),
        httponly=True,
        samesite="Lax",
    )
    return response


@public
async def callback(request: web.Request) -> web.StreamResponse:
    """Back from the provider, with a code or an error."""
    config = request.app[CONFIG]
    try:
        ticket = tickets.opened(request.app[DOOR], "oidc", request.cookies.get(_cookie(config), ""))
        if not hmac.compare_digest(request.query.get("state", "").encode(), ticket.said["state"].encode()):
            raise LinkInvalid
        response = await _finish(request, ticket)
    except LinkInvalid:
        response = message(
            "Please sign in again",
            "That took too long, was done already, or began in another browser.",
            status=401,
            href="/sign-in",
            go="To the sign-in",
        )
    response.del_cookie(
        _cookie(config), path="/", secure=guard.is_secure(config), httponly=True, samesite="Lax"
    )
    return response


async def _finish(request: web.Request, ticket: Ticket) -> web.Response:
    config, door, said = request.app[CONFIG], request.app[DOOR], ticket.said
    rules = of_organization(config, said["slug"])
    if rules is None:
        raise LinkInvalid
    try:
        if request.query.get("iss", rules.issuer) != rules.issuer:  # RFC 9207 §2.4
            raise ProviderFault("the answer is of another issuer")
        if "code" not in request.query:
            raise ProviderFault(f"it answered {request.query.get('error', 'nothing')[:100]!r}")
        claims = await request.app[PROVIDERS].claims(
            rules,
            code=request.query["code"],
            redirect_uri=_back(config),
            verifier=said["verifier"],
            nonce=said["nonce"],
            now=door.clock().timestamp(),
        )
        who = identity_of(claims, rules)
    except ProviderFault as exc:
        return _fault(said["slug"], rules, exc)
    try:
        signed = await oidc_sign_in.enter(door, said["slug"], who, ticket, **forms.client(request))
    except (MayNotSignIn, TooManyRequests) as exc:
        return message(
            "You are not signed in",
            sentence(exc),
            status=403,
            href=f"/o/{said['slug']}/sign-in",
            go="To the sign-in",
        )
    return came_in(request, signed, said["next"])


def identity_of(claims: Any, rules: Oidc) -> Identity:
    """Whom the claims mean. Raises ProviderFault where they name nobody."""
    subject, email = claims.get(rules.subject_claim), claims.get("email")
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_AT_MOST or "\x00" in subject:
        raise ProviderFault(f"its ID token has no claim {rules.subject_claim} that names somebody")
    proved = rules.match_email and isinstance(email, str) and claims.get("email_verified") is True
    return Identity(subject, email if proved else None, rules.source)


def _fault(slug: str, rules: Oidc, exc: ProviderFault) -> web.Response:
    logger.warning("oidc_sign_in_failed", organization=slug, issuer=rules.issuer, why=str(exc)[:300])
    return message(
        "Your identity provider could not sign you in",
        "The sign-in was not finished. Try again; if it stays so, tell an admin of your organization.",
        status=502,
        href=f"/o/{slug}/sign-in",
        go="To the sign-in",
    )
