"""The public keys of issuers (RFC 7517): fetched, kept for a while, asked for again at a bounded rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from joserfc import jwk
from joserfc.errors import JoseError

from scimd import log
from scimd.config import Jwt
from scimd.core.addresses import Reach
from scimd.http.outward import CannotFetch, fetch

logger = log.get(__name__)

#: After this long keys are fetched anew …
FRESH_S = 600.0
#: … and where that fails, the old ones count for this long in all.
KEPT_S = 6 * 3600.0
#: Between two attempts for one issuer, however many unknown key ids come in.
AGAIN_S = 30.0
_AT_MOST = 262_144
_KEYS_AT_MOST = 100
_TIMEOUT_S = 5.0
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "Ed25519"}
_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
_RSA_BITS = 2048

Read: TypeAlias = Callable[[Jwt], Awaitable[bytes]]


class KeysUnavailable(Exception):
    """The issuer's keys cannot be had, so that nothing it signed can be proved."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("The keys of the token's issuer cannot be fetched at present.")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class PublicKey:
    """``algorithms``: those that this key can prove, by its type and by what it says of itself."""

    kid: str | None
    algorithms: frozenset[str]
    key: jwk.Key


def parse(raw: bytes) -> tuple[PublicKey, ...]:
    """The usable keys of a set; others are left out. Raises ValueError for what is no set of keys."""
    body = orjson.loads(raw)
    given = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(given, list):
        raise ValueError("no set of keys: an object with keys is wanted")
    found = (_key(each) for each in given[:_KEYS_AT_MOST] if isinstance(each, dict))
    return tuple(each for each in found if each is not None)


def _key(given: Mapping[str, Any]) -> PublicKey | None:
    algorithms = _algorithms(given)
    kid = given.get("kid")
    # A private key in a public place proves nothing: anybody may sign with it.
    if not algorithms or "d" in given or given.get("use", "sig") != "sig":
        return None
    if not (kid is None or isinstance(kid, str)):
        return None
    try:
        # Only what makes the key: the rest (certificates, uses) is another's to check.
        parts = {name: given[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in given}
        key = jwk.import_key(parts)
        _ = key.raw_value  # read here, not at the first token
    except (JoseError, ValueError, TypeError):
        return None
    return PublicKey(kid, algorithms, key)


def _algorithms(given: Mapping[str, Any]) -> frozenset[str]:
    kind, curve = given.get("kty"), given.get("crv")
    found: frozenset[str] = frozenset()
    if kind == "RSA" and isinstance(given.get("n"), str) and len(given["n"]) * 6 >= _RSA_BITS:
        found = _RSA
    elif kind in ("EC", "OKP") and isinstance(curve, str) and curve in _CURVES:
        found = frozenset((_CURVES[curve],))
    said = given.get("alg")
    if said is None:
        return found
    return found & {said} if isinstance(said, str) else frozenset()


@dataclass(slots=True)
class _Known:
    keys: tuple[PublicKey, ...] = ()
    had_at: float | None = None
    tried_at: float = float("-inf")
    failing: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def are_usable(self, now: float) -> bool:
        return self.had_at is not None and now - self.had_at < KEPT_S

    def has(self, kid: str | None) -> bool:
        return kid is None or any(key.kid == kid for key in self.keys)

    def is_due(self, kid: str | None, now: float) -> bool:
        """Whether to ask for the keys: they are old, or a new one seems to be there; not too often."""
        old = self.had_at is None or now - self.had_at >= FRESH_S
        return (old or not self.has(kid)) and now - self.tried_at >= AGAIN_S


_Place: TypeAlias = tuple[str | None, str | None, bool]


def _place(rules: Jwt) -> _Place:
    """Where the issuer's keys are found."""
    return rules.jwks_url, rules.jwks_file, rules.jwks_in_private_network


class KeySets:
    """The keys of every issuer, by where they are found. One per process."""

    def __init__(self, read: Read | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read or read_keys, clock
        self._known: dict[_Place, _Known] = {}

    async def of(self, rules: Jwt, kid: str | None) -> Sequence[PublicKey]:
        """The issuer's keys; whether ``kid`` is among them is the caller's to see. Raises KeysUnavailable."""
        known = self._known.setdefault(_place(rules), _Known())
        now = self._clock()
        goes_on = known.lock.locked() and known.are_usable(now) and known.has(kid)
        if known.is_due(kid, now) and not goes_on:
            async with known.lock:
                if known.is_due(kid, self._clock()):
                    await self._renew(known, rules)
        now = self._clock()
        if not known.are_usable(now):
            raise KeysUnavailable(max(1.0, known.tried_at + AGAIN_S - now))
        return known.keys

    def held(self, rules: Jwt) -> Sequence[PublicKey]:
        """What ``of`` knows without asking anybody: the keys that still count, or none."""
        known = self._known.get(_place(rules))
        return known.keys if known is not None and known.are_usable(self._clock()) else ()

    async def _renew(self, known: _Known, rules: Jwt) -> None:
        known.tried_at = self._clock()
        try:
            known.keys = parse(await self._read(rules))
        except (CannotFetch, OSError, ValueError) as exc:
            if not known.failing:
                logger.warning("keys_not_fetched", issuer=rules.issuer, why=str(exc)[:300])
            known.failing = True
            return
        if known.failing:
            logger.info("keys_fetched_again", issuer=rules.issuer)
        known.had_at, known.failing = self._clock(), False


async def read_keys(rules: Jwt) -> bytes:
    """The document with the keys. Raises CannotFetch, OSError."""
    if rules.jwks_file is not None:
        return await asyncio.to_thread(_read_file, Path(rules.jwks_file))
    url = rules.jwks_url or ""
    if url.startswith("http://"):  # the config allows it on loopback only
        return await fetch(url, "loopback", at_most=_AT_MOST, timeout_s=_TIMEOUT_S)
    reach: Reach = "private" if rules.jwks_in_private_network else "public"
    return await fetch(url, reach, at_most=_AT_MOST, timeout_s=_TIMEOUT_S)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(_AT_MOST + 1)
    if len(raw) > _AT_MOST:
        raise CannotFetch(f"{path} is larger than {_AT_MOST} bytes")
    return raw
