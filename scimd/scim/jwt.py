"""Signed tokens (RFC 7519) as bearer tokens, by the profile of RFC 9068 and the advice of RFC 8725.

A token names its issuer and audience; these name a source, and the source's config says by which keys
and algorithms it has to be proved (``http.signatures``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scimd import log
from scimd.config import Jwt
from scimd.http.jwks import KeySets, PublicKey
from scimd.http.rates import Buckets
from scimd.http.signatures import Unproved, is_plain, part, proved
from scimd.org.tokens import jwt_speakers
from scimd.org.tokens.tokens import TokenHolder
from scimd.org.tx import Door

logger = log.get(__name__)

AT_MOST = 8000
_TYPES = (None, "jwt", "at+jwt", "application/jwt", "application/at+jwt")
_CONFIGS_KEPT = 1000
#: Of one source: refusals that are logged, a second and at once.
_TOLD = (1.0, 20.0)


class Refused(Exception):
    """A token that its issuer signed, and that is not acceptable. Whoever sent it may be told the text.

    ``holder``: for whom it would have spoken.
    """

    def __init__(self, text: str, holder: TokenHolder | None = None) -> None:
        super().__init__(text)
        self.holder = holder


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a token says of itself, before anything is proved."""

    algorithm: str
    kid: str | None
    issuer: str
    audiences: tuple[str, ...]


def claimed(text: str) -> Claimed | None:
    """What the token says of itself; None for what is no signed token of this kind."""
    parts = text.split(".")
    if len(text) > AT_MOST or len(parts) != 3 or not all(parts):
        return None
    header, claims = part(parts[0]), part(parts[1])
    if header is None or claims is None or not is_plain(header):
        return None
    issuer, kind = claims.get("iss"), header.get("typ")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in _TYPES):
        return None  # an ID token, a logout token: signed by the same keys, and for something else
    audiences = _audiences(claims)
    if not isinstance(issuer, str) or not audiences:
        return None
    if any("\x00" in each for each in (issuer, *audiences)):  # no database holds it
        return None
    return Claimed(header["alg"], header.get("kid"), issuer, audiences)


def _audiences(claims: Mapping[str, Any]) -> tuple[str, ...]:
    given: Any = claims.get("aud")
    many: list[Any] = given if isinstance(given, list) else [given]
    return tuple(many) if many and len(many) <= 20 and all(isinstance(each, str) for each in many) else ()


def verify(text: str, said: Claimed, keys: Sequence[PublicKey], rules: Jwt, now: datetime) -> str:
    """Prove the token; gives its subject. ``keys`` are the issuer's.

    Raises Unproved until the signature holds, Refused after that.
    """
    if said.algorithm not in rules.algorithms:
        raise Unproved("its algorithm is not allowed")
    claims = proved(text, said.algorithm, said.kid, keys)
    if claims.get("iss") != rules.issuer or rules.audience not in _audiences(claims):
        raise Unproved("its issuer or audience is another")
    _check_times(claims, rules.leeway.total_seconds(), now.timestamp())
    subject = claims.get("sub")
    if not isinstance(subject, str) or (rules.subjects and subject not in rules.subjects):
        raise Refused("The token's subject (sub) is not among those that may push to this source.")
    for name, wanted in rules.claims.items():
        if not _is(claims.get(name), wanted):
            raise Refused(f"The token's claim {name} is not what this source expects.")
    return subject


def _check_times(claims: Mapping[str, Any], leeway_s: float, now: float) -> None:
    ends, begins, made = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if ends is None:
        raise Refused("The token has no time of expiry (exp).")
    if now >= ends + leeway_s:
        raise Refused("The token has expired (exp). Is the clock of its issuer right?")
    if begins is not None and now < begins - leeway_s:
        raise Refused("The token is not valid yet (nbf). Is the clock of its issuer right?")
    if made is not None and now < made - leeway_s:
        raise Refused("The token was made in the future (iat). Is the clock of its issuer right?")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused(f"The token's claim {name} is not a time.")
    return float(value)


def _is(value: Any, wanted: str | int | bool) -> bool:
    """Whether a claim is, or holds, what is wanted; ``true`` is not 1."""
    many = value if isinstance(value, list) else [value]
    return any(each == wanted and type(each) is type(wanted) for each in many)


class SignedTokens:
    """Finds for whom a signed token speaks. One per process."""

    def __init__(self, door: Door, keys: KeySets) -> None:
        self._door, self._keys = door, keys
        self._rules: dict[str, tuple[int, Jwt]] = {}
        self._told = Buckets(*_TOLD)

    async def authenticate(self, text: str) -> TokenHolder | None:
        """For whom the token speaks; None where nothing is proved. Raises Refused, KeysUnavailable."""
        said = claimed(text)
        if said is None:
            return None
        speaker = await jwt_speakers.speaker_of(self._door, said.issuer, said.audiences)
        if speaker is None:
            return None
        holder, rules = speaker.holder, self._rules_of(speaker)
        try:
            if said.algorithm not in rules.algorithms:
                raise Unproved("its algorithm is not allowed")
            # Nothing that anybody makes up has scimd ask elsewhere for a source that takes no push.
            keys = await self._keys.of(rules, said.kid) if speaker.open else self._keys.held(rules)
            verify(text, said, keys, rules, self._door.clock())
            if not speaker.open:
                raise Refused("The token's source is paused.")
        except (Refused, Unproved) as exc:
            # Anybody can send tokens that prove nothing; they must not fill the log.
            if not self._told.take(holder.source_id):
                logger.warning("signed_token_refused", source_id=holder.source_id, why=str(exc))
            if isinstance(exc, Refused):
                raise Refused(str(exc), holder) from exc
            return None
        return holder

    def _rules_of(self, speaker: jwt_speakers.Speaker) -> Jwt:
        holder = speaker.holder
        known = self._rules.get(holder.token_id)
        if known is not None and known[0] == holder.generation:
            return known[1]
        if len(self._rules) >= _CONFIGS_KEPT:
            self._rules.clear()
        rules = Jwt.model_validate(speaker.config)
        self._rules[holder.token_id] = (holder.generation, rules)
        return rules
