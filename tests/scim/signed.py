"""Signed tokens, in order or not, the keys that prove them, and an issuer that hands those out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jwk, jwt

from scimd.config import Jwt
from scimd.http.jwks import parse
from scimd.http.signatures import Unproved
from scimd.scim.jwt import claimed, verify

ISSUER, AUDIENCE, SUBJECT = "https://login.acme.example/", "https://scimd.example.com/scim/v2", "scim-push"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RSA = jwk.RSAKey.generate_key(2048, {"kid": "r1"})
OTHER = jwk.RSAKey.generate_key(2048, {"kid": "r1"})
EC = jwk.ECKey.generate_key("P-256", {"kid": "e1"})
ED = jwk.OKPKey.generate_key("Ed25519", {"kid": "o1"})


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def rules(**more: Any) -> Jwt:
    return Jwt(
        **{
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "jwks_file": "/nowhere",
            "subjects": [SUBJECT],
            "algorithms": ["RS256", "PS256", "ES256", "Ed25519"],
            **more,
        }
    )


def token(key: Any = RSA, alg: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token that is in order, but for what is given. A claim that is None is left out."""
    at = claims.pop("at", NOW).timestamp()
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "iat": at, "exp": at + 300, **claims}
    head = {"alg": alg, "kid": key.kid, "typ": "at+jwt", **(header or {})}
    return jwt.encode(
        {name: value for name, value in head.items() if value is not None},
        {name: value for name, value in body.items() if value is not None},
        key,
        algorithms=[alg],
    )


def checked(text: str, keys: bytes | None = None, now: datetime = NOW, **more: Any) -> str:
    said = claimed(text)
    if said is None:
        raise Unproved("no such token")
    return verify(text, said, parse(keys or key_set(RSA, EC, ED)), rules(**more), now)


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{tail:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/keys"))
