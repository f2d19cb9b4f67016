"""Signed tokens in compact form (RFC 7515): what their header says, and what a key proves of them.

Nothing that a token says of keys (``jwk``, ``jku``, ``x5u``) counts.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from scimd.http.jwks import PublicKey


class Unproved(Exception):
    """A token of which nothing is proved; the text is for the log alone."""


def part(text: str) -> dict[str, Any] | None:
    """A part of a token as JSON, read by the rules of RFC 7515: no padding, no other alphabet."""
    try:
        found = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    return found if isinstance(found, dict) else None


def is_plain(header: Mapping[str, Any]) -> bool:
    """Whether it is one that this module reads: no extension that must be understood, names that are text."""
    kid = header.get("kid")
    return "crit" not in header and isinstance(header.get("alg"), str) and isinstance(kid, str | None)


def proved(text: str, algorithm: str, kid: str | None, keys: Sequence[PublicKey]) -> Mapping[str, Any]:
    """The claims that one of the issuer's keys proves. Raises Unproved.

    Algorithm and key are those of the token's header; that the algorithm is allowed is the caller's to see.
    """
    fitting = [key for key in keys if algorithm in key.algorithms and (kid is None or key.kid == kid)]
    if kid is None and len(fitting) > 1:
        raise Unproved("it names no key (kid), and the issuer has several")
    # One algorithm; extra header fields mean nothing.
    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    for key in fitting:
        try:
            payload = jws.deserialize_compact(text, key.key, [algorithm], registry).payload
            claims = orjson.loads(payload or b"null")
        except (JoseError, ValueError):
            continue
        if isinstance(claims, dict):
            return claims
    if fitting:
        raise Unproved("no key of the issuer fits its signature")
    raise Unproved(f"the issuer has no key of this id (kid) that may prove {algorithm}")
