"""The token endpoint of OAuth 2.0 for SCIM clients: client credentials only (RFC 6749 §4.4).

Errors are those of RFC 6749 §5.2, with a sentence for the admin at the other end; the metadata of
RFC 8414 says where all of it is.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Literal
from urllib.parse import unquote_plus

import orjson
from aiohttp import hdrs, web

from scimd import log
from scimd.config import Config
from scimd.core.addresses import network_of
from scimd.core.bearer import SCOPES, TOKEN_ENDPOINT
from scimd.http import app as http_app
from scimd.http import guard, peers, request_id
from scimd.http.rates import counted
from scimd.http.reading import Pairs, pairs_of
from scimd.http.statuses import Fault
from scimd.org.tokens import oauth
from scimd.org.tokens.oauth import ClientHolder
from scimd.org.tx import Door

logger = log.get(__name__)

METADATA = "/.well-known/oauth-authorization-server"
#: Of one client, after it proved itself: a token a second, thirty at once.
_ISSUES = (1.0, 30.0)
#: Failures from one network address; those above are answered with 429, and not logged.
_FAILURES = (0.5, 30.0)
_CREDENTIALS = ("client_id", "client_secret", "grant_type")

Code = Literal[
    "invalid_request",
    "invalid_client",
    "unsupported_grant_type",
    "invalid_scope",
    "temporarily_unavailable",
    "server_error",
]


class OAuthError(Exception):
    """An error of the token endpoint (RFC 6749 §5.2)."""

    def __init__(self, code: Code, detail: str, status: int = 400, headers: dict[str, str] | None = None):
        super().__init__(detail)
        self.code, self.detail, self.status, self.headers = code, detail, status, headers or {}


def add(app: web.Application, config: Config, door: Door, shelf: IO[bytes] | None = None) -> None:
    """Add the token endpoint and its metadata to the application. ``shelf``: where several count together."""
    endpoint = TokenEndpoint(door, config.scim.access_token_valid_for, shelf)
    metadata = orjson.dumps(_metadata(config.server.public_url))

    @guard.oauth_client
    async def token(request: web.Request) -> web.StreamResponse:
        try:
            return await endpoint.answer(request)
        except OAuthError as exc:
            return _error(exc)

    @guard.public
    async def described(request: web.Request) -> web.StreamResponse:
        return web.Response(body=metadata, content_type="application/json")

    app.router.add_post(TOKEN_ENDPOINT, token)
    app.router.add_get(METADATA, described)
    http_app.errors_under(app, "/oauth", _error_page)


def _metadata(public_url: str) -> dict[str, object]:
    return {
        "issuer": public_url,
        "token_endpoint": f"{public_url}{TOKEN_ENDPOINT}",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "scopes_supported": list(SCOPES),
    }


class TokenEndpoint:
    def __init__(self, door: Door, valid_for: timedelta, shelf: IO[bytes] | None) -> None:
        self._door, self._valid_for = door, valid_for
        self._issues = counted(*_ISSUES, shelf, of="oauth_issue")
        self._failures = counted(*_FAILURES, shelf, of="oauth_failure")

    async def answer(self, request: web.Request) -> web.Response:
        """An access token. Raises OAuthError."""
        if any(name in request.query for name in (*_CREDENTIALS, "scope")):
            raise OAuthError("invalid_request", "Send the parameters in the body, never in the address.")
        given = _Given.of(request, await pairs_of(request))
        client = await self._client(request, given)
        scopes = _granted(given, client)
        self._hold_back(client)
        correlation_id = request_id.of(request)
        made = await oauth.issue(self._door, client, scopes, self._valid_for, correlation_id)
        body = {
            "access_token": made.token,
            "token_type": "Bearer",
            "expires_in": round(self._valid_for.total_seconds()),
            "scope": " ".join(made.scopes),
        }
        return _json(200, body)

    async def _client(self, request: web.Request, given: _Given) -> ClientHolder:
        client = await oauth.prove(self._door, given.client_id, given.secret)
        if client is not None:
            return client
        # After the secret was looked up: whoever knows one gets in, whatever others do from their address.
        ip = peers.address_of(request)
        wait = self._failures.take(network_of(ip))
        if wait:
            raise _too_often(wait)
        logger.warning("oauth_client_refused", ip=ip)
        detail = "The client is unknown or revoked, its secret is wrong or expired, or its source is paused."
        raise _invalid_client(detail)

    def _hold_back(self, client: ClientHolder) -> None:
        wait = self._issues.take(client.client_id)
        if wait:
            raise _too_often(wait)


@dataclass(frozen=True, slots=True)
class _Given:
    """What a request gives. ``scope`` None: not named."""

    client_id: str
    secret: str
    scope: str | None
    grant_type: str

    @classmethod
    def of(cls, request: web.Request, form: Pairs) -> _Given:
        """Raises OAuthError for what is missing, doubled or sent in two ways."""
        if len(dict(form)) != len(form):
            raise OAuthError("invalid_request", "A parameter was sent twice.")
        # One without a value counts as not sent (RFC 6749 §3.2).
        fields = {name: value for name, value in form if value}
        client_id, secret = _credentials(request, fields)
        grant_type = fields.get("grant_type")
        if not grant_type:
            raise OAuthError("invalid_request", "grant_type is missing.")
        return cls(client_id, secret, fields.get("scope"), grant_type)


def _credentials(request: web.Request, fields: dict[str, str]) -> tuple[str, str]:
    """The client's id and secret, from the header or from the body (RFC 6749 §2.3.1), never from both."""
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    if not headers:
        if "client_id" not in fields or "client_secret" not in fields:
            raise _invalid_client("Send the client's id and secret, by HTTP Basic or in the body.")
        return fields["client_id"], fields["client_secret"]
    if len(headers) > 1 or "client_secret" in fields:
        raise OAuthError("invalid_request", "Send the client's secret in one way.")
    client_id, secret = _basic(headers[0])
    if fields.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_request", "Two client ids were sent.")
    return client_id, secret


def _basic(header: str) -> tuple[str, str]:
    scheme, _, text = header.strip().partition(" ")
    try:
        if scheme.lower() != "basic" or len(text) > 4000:
            raise ValueError
        client_id, colon, secret = base64.b64decode(text.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError
    except (binascii.Error, ValueError) as exc:
        raise _invalid_client("The Authorization header is not HTTP Basic.") from exc
    # Both are form-encoded before they are joined (RFC 6749 §2.3.1).
    return unquote_plus(client_id), unquote_plus(secret)


def _granted(given: _Given, client: ClientHolder) -> tuple[str, ...]:
    if given.grant_type != "client_credentials":
        raise OAuthError("unsupported_grant_type", "Only client_credentials is offered here.")
    if given.scope is None:
        return client.scopes
    wanted = tuple(given.scope.split(" "))
    if not set(wanted) <= set(client.scopes):
        raise OAuthError("invalid_scope", f"This client may have: {' '.join(client.scopes)}")
    return wanted


def _invalid_client(detail: str) -> OAuthError:
    return OAuthError("invalid_client", detail, 401, {"WWW-Authenticate": 'Basic realm="scimd"'})


def _too_often(wait_s: float) -> OAuthError:
    headers = {"Retry-After": str(math.ceil(wait_s))}
    return OAuthError("temporarily_unavailable", "Too many requests for tokens.", 429, headers)


def _error(exc: OAuthError) -> web.Response:
    response = _json(exc.status, {"error": exc.code, "error_description": exc.detail})
    response.headers.update(exc.headers)
    return response


def _json(status: int, body: object) -> web.Response:
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    return web.Response(
        status=status, body=orjson.dumps(body), headers=headers, content_type="application/json"
    )


async def _error_page(request: web.Request, fault: Fault) -> web.StreamResponse:
    """What was raised elsewhere, in OAuth's words. What is wrong with a request is 400 (§5.2)."""
    if fault.status >= 500:
        code: Code = "server_error" if fault.status == 500 else "temporarily_unavailable"
        return _error(OAuthError(code, fault.detail, fault.status))
    status = 400 if fault.status == 415 else fault.status
    return _error(OAuthError("invalid_request", fault.detail, status))
