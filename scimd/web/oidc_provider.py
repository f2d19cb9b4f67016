"""What scimd asks of an identity provider (OpenID Connect Core 1.0, Discovery 1.0): its own addresses and
keys, a code's tokens. Bounded in size and time, no redirects, https but on loopback."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard
from urllib.parse import quote, urlencode, urlsplit

import orjson

from scimd.config import Oidc
from scimd.core.addresses import Reach
from scimd.http import jwks
from scimd.http.jwks import KeysUnavailable, PublicKey, Published
from scimd.http.outward import CannotFetch, Form, fetch
from scimd.http.signatures import Unproved, is_plain, part, proved

_AT_MOST = 262_144
_TIMEOUT_S = 8.0
_LEEWAY_S = 60.0
_TOKEN_AT_MOST = 32_768
#: Asymmetric ones only; RS256 is the one that every provider has (Core §15.1).
ALGORITHMS = frozenset(("RS256", "PS256", "ES256", "RS384", "RS512", "ES384", "Ed25519"))


class ProviderFault(Exception):
    """The provider cannot be used, or what it gave proves nothing. The text says why, for the log."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    authorization: str
    token: str
    jwks: str
    basic: bool  # the secret goes into the header, else into the form
    says_issuer: bool  # each of its answers has ``iss``


@dataclass(frozen=True, slots=True)
class _Known:
    endpoints: Endpoints
    keys: tuple[PublicKey, ...]


class Providers:
    """What is known of each issuer, kept as ``jwks`` keeps keys. One per process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._published: Published[_Known] = Published(lambda known: known.keys, clock)

    async def _of(self, rules: Oidc, *, kid: str | None = None) -> _Known:
        async def read() -> _Known:
            try:
                endpoints = _endpoints(rules, await _json(rules, discovery_url(rules.issuer)))
                raw = await _get(rules, endpoints.jwks)
            except ProviderFault as exc:
                raise CannotFetch(str(exc)) from exc
            try:
                return _Known(endpoints, jwks.parse(raw))
            except ValueError as exc:
                raise CannotFetch(f"its keys: {exc}") from exc

        try:
            return await self._published.of((rules.issuer, rules.in_private_network), rules.issuer, kid, read)
        except KeysUnavailable as exc:
            raise ProviderFault(exc.why or str(exc)) from exc

    async def authorization_url(
        self, rules: Oidc, *, redirect_uri: str, state: str, nonce: str, verifier: str
    ) -> str:
        """Where to send the browser. Raises ProviderFault."""
        endpoint = (await self._of(rules)).endpoints.authorization
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        query = urlencode(
            {
                "response_type": "code",
                "client_id": rules.client_id,
                "redirect_uri": redirect_uri,
                "scope": " ".join(rules.scopes),
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge.decode(),
                "code_challenge_method": "S256",
            }
        )
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    async def check_issuer(self, rules: Oidc, said: str | None) -> None:
        """Raise ProviderFault where an answer's ``iss`` is another's, or missing against the provider's word
        (RFC 9207 §2.4)."""
        if said is None:
            if (await self._of(rules)).endpoints.says_issuer:
                raise ProviderFault("its answer has no iss, though its discovery document says that it has")
        elif said != rules.issuer:
            raise ProviderFault("the answer is of another issuer")

    async def claims(
        self, rules: Oidc, *, code: str, redirect_uri: str, verifier: str, nonce: str, now: float
    ) -> Mapping[str, Any]:
        """The proved claims of the ID token that the code gives. Raises ProviderFault."""
        known = await self._of(rules)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": rules.client_id,
        }
        answer = await _json(rules, known.endpoints.token, _with_secret(rules, form, known.endpoints.basic))
        token = answer.get("id_token")
        if not isinstance(token, str) or len(token) > _TOKEN_AT_MOST:
            raise ProviderFault("its answer holds no ID token")
        header = _header(token)
        keys = (await self._of(rules, kid=header.get("kid"))).keys
        try:
            claims = proved(token, header["alg"], header.get("kid"), keys)
        except Unproved as exc:
            raise ProviderFault(f"its ID token: {exc}") from exc
        _check(claims, rules, nonce, now)
        return claims


def discovery_url(issuer: str) -> str:
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def _endpoints(rules: Oidc, found: Mapping[str, Any]) -> Endpoints:
    if found.get("issuer") != rules.issuer:
        raise ProviderFault(f"it calls itself {str(found.get('issuer'))[:200]!r}, not {rules.issuer!r}")
    methods = found.get("token_endpoint_auth_methods_supported")
    return Endpoints(
        _address(rules, found, "authorization_endpoint"),
        _address(rules, found, "token_endpoint"),
        _address(rules, found, "jwks_uri"),
        # Without a list it is the default (Discovery §3).
        basic=not isinstance(methods, list) or not methods or "client_secret_basic" in methods,
        says_issuer=found.get("authorization_response_iss_parameter_supported") is True,
    )


def _address(rules: Oidc, found: Mapping[str, Any], name: str) -> str:
    url = found.get(name)
    if not isinstance(url, str) or not _may_be(url, rules.issuer):
        raise ProviderFault(f"its {name} is no https address: {str(url)[:200]!r}")
    return url


def _may_be(url: str, issuer: str) -> bool:
    """https; plain http only where the issuer itself is on loopback, as the config allows."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the brackets, or of the port
        return False
    # What no address holds would break the header that leads a browser there.
    if not named or parts.username or parts.fragment or not all("!" <= each <= "~" for each in url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and issuer.startswith("http://"))


def _with_secret(rules: Oidc, form: dict[str, str], basic: bool) -> Form:
    secret = rules.client_secret.reveal()
    if not basic:
        return Form({**form, "client_secret": secret})
    # RFC 6749 §2.3.1: both are form-encoded before they are joined.
    pair = f"{quote(rules.client_id, safe='')}:{quote(secret, safe='')}"
    return Form(form, "Basic " + base64.b64encode(pair.encode()).decode())


async def _get(rules: Oidc, url: str, form: Form | None = None) -> bytes:
    reach: Reach = "private" if rules.in_private_network else "public"
    if url.startswith("http://"):
        reach = "loopback"
    try:
        return await fetch(url, reach, at_most=_AT_MOST, timeout_s=_TIMEOUT_S, form=form)
    except CannotFetch as exc:
        raise ProviderFault(f"{urlsplit(url).path}: {exc}") from exc


async def _json(rules: Oidc, url: str, form: Form | None = None) -> Mapping[str, Any]:
    try:
        found = orjson.loads(await _get(rules, url, form))
    except ValueError as exc:
        raise ProviderFault(f"{urlsplit(url).path}: the answer is no JSON") from exc
    if not isinstance(found, dict):
        raise ProviderFault(f"{urlsplit(url).path}: the answer is no JSON object")
    return found


# ------------------------------------------------------------------------------ the ID token


def _header(token: str) -> Mapping[str, Any]:
    found = part(token.partition(".")[0])
    if found is None:
        raise ProviderFault("its ID token is no JWS")
    if not is_plain(found) or found["alg"] not in ALGORITHMS:
        raise ProviderFault(f"its ID token is signed in a way ({found.get('alg')}) that is not taken"[:200])
    return found


def _check(claims: Mapping[str, Any], rules: Oidc, nonce: str, now: float) -> None:
    """OpenID Connect Core §3.1.3.7."""
    given = claims.get("aud")
    audiences = given if isinstance(given, list) else [given]
    if claims.get("iss") != rules.issuer or rules.client_id not in audiences:
        raise ProviderFault("its ID token is of another issuer or for another client")
    if (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != rules.client_id:
        raise ProviderFault("its ID token was given to another client")
    if claims.get("nonce") != nonce:
        raise ProviderFault("its ID token answers another sign-in")
    ends, made = claims.get("exp"), claims.get("iat")
    begins = claims.get("nbf", made)  # few send it
    if not _is_time(ends) or not _is_time(made) or not _is_time(begins):
        raise ProviderFault("its ID token has no times")
    if now >= ends + _LEEWAY_S or max(made, begins) > now + _LEEWAY_S:
        raise ProviderFault("its ID token has expired or is of the future; is its clock right?")


def _is_time(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
