"""The public keys of issuers (RFC 7517): fetched, kept for a while, asked for again at a bounded rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import orjson
from joserfc import jwk
from joserfc.errors import JoseError

from scimd import log
from scimd.config import Jwt
from scimd.core.addresses import Reach
from scimd.http.outward import CannotFetch, fetch

logger = log.get(__name__)
T = TypeVar("T")

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

    def __init__(self, retry_after_s: float, why: str | None = None) -> None:
        super().__init__("The keys of the token's issuer cannot be fetched at present.")
        self.retry_after_s, self.why = retry_after_s, why


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
        raise ValueError("it is not a JWK Set, an object with the array keys (RFC 7517 §5)")
    found = (_key(each) for each in given[:_KEYS_AT_MOST] if isinstance(each, dict))
    return tuple(each for each in found if each is not None)


def _key(given: Mapping[str, Any]) -> PublicKey | None:
    algorithms = _algorithms(given)
    kid = given.get("kid")
    # A private key in a public place proves nothing: anybody may sign with it.
    if not algorithms or "d" in given or not _is_for_signatures(given):
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


def _has_length(modulus: object) -> bool:
    """Whether an RSA key's is long enough; zeros before it (A is six of them) make it no longer."""
    return isinstance(modulus, str) and len(modulus.lstrip("A")) * 6 >= _RSA_BITS


def _is_for_signatures(given: Mapping[str, Any]) -> bool:
    """Whether its owner lets it prove signatures (RFC 7517 §4.2, §4.3)."""
    operations = given.get("key_ops", ["verify"])
    return given.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _algorithms(given: Mapping[str, Any]) -> frozenset[str]:
    kind, curve = given.get("kty"), given.get("crv")
    found: frozenset[str] = frozenset()
    if kind == "RSA" and _has_length(given.get("n")):
        found = _RSA
    elif kind in ("EC", "OKP") and isinstance(curve, str) and curve in _CURVES:
        found = frozenset((_CURVES[curve],))
    said = given.get("alg")
    if said is None:
        return found
    return found & {said} if isinstance(said, str) else frozenset()


@dataclass(slots=True)
class _Known(Generic[T]):
    value: T | None = None
    had_at: float | None = None
    tried_at: float = float("-inf")
    why: str | None = None  # it fails at present
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def usable(self, now: float) -> T | None:
        return self.value if self.had_at is not None and now - self.had_at < KEPT_S else None


class Published(Generic[T]):
    """What issuers publish, with their keys: fetched, kept, asked for again. One per process and kind."""

    def __init__(
        self, keys: Callable[[T], Sequence[PublicKey]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys, self._clock = keys, clock
        self._known: dict[Hashable, _Known[T]] = {}

    async def of(self, place: Hashable, issuer: str, kid: str | None, read: Callable[[], Awaitable[T]]) -> T:
        """What ``read`` gave, now or before; it raises CannotFetch, OSError, ValueError.

        Whether ``kid`` is among the keys is the caller's to see. Raises KeysUnavailable.
        """
        known = self._known.setdefault(place, _Known())
        now = self._clock()
        asked = known.lock.locked()
        goes_on = asked and known.usable(now) is not None and self._has(known, kid)
        # Whoever has nothing to go on with waits for the answer that somebody is asking for.
        if (asked or self._is_due(known, kid, now)) and not goes_on:
            async with known.lock:
                if self._is_due(known, kid, self._clock()):
                    await self._renew(known, issuer, read)
        now = self._clock()
        value = known.usable(now)
        if value is None:
            raise KeysUnavailable(max(1.0, known.tried_at + AGAIN_S - now), known.why)
        return value

    def held(self, place: Hashable) -> T | None:
        """What ``of`` knows without asking anybody, as far as it still counts."""
        known = self._known.get(place)
        return None if known is None else known.usable(self._clock())

    def _has(self, known: _Known[T], kid: str | None) -> bool:
        keys = () if known.value is None else self._keys(known.value)
        return kid is None or any(key.kid == kid for key in keys)

    def _is_due(self, known: _Known[T], kid: str | None, now: float) -> bool:
        """Whether to ask for the keys: they are old, or a new one seems to be there; not too often."""
        old = known.had_at is None or now - known.had_at >= FRESH_S
        return (old or not self._has(known, kid)) and now - known.tried_at >= AGAIN_S

    async def _renew(self, known: _Known[T], issuer: str, read: Callable[[], Awaitable[T]]) -> None:
        known.tried_at = self._clock()
        try:
            known.value = await read()
        except (CannotFetch, OSError, ValueError) as exc:
            if known.why is None:
                logger.warning("keys_not_fetched", issuer=issuer, why=str(exc)[:300])
            known.why = str(exc)
            return
        if known.why is not None:
            logger.info("keys_fetched_again", issuer=issuer)
        known.had_at, known.why = self._clock(), None


_Place: TypeAlias = tuple[str | None, str | None, bool]


def _place(rules: Jwt) -> _Place:
    """Where the issuer's keys are found."""
    return rules.jwks_url, rules.jwks_file, rules.jwks_in_private_network


class KeySets:
    """The keys of every issuer, by where they are found. One per process."""

    def __init__(self, read: Read | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read or read_keys
        self._published: Published[tuple[PublicKey, ...]] = Published(lambda keys: keys, clock)

    async def of(self, rules: Jwt, kid: str | None) -> Sequence[PublicKey]:
        """The issuer's keys; whether ``kid`` is among them is the caller's to see. Raises KeysUnavailable."""

        async def read() -> tuple[PublicKey, ...]:
            return parse(await self._read(rules))

        return await self._published.of(_place(rules), rules.issuer, kid, read)

    def held(self, rules: Jwt) -> Sequence[PublicKey]:
        """What ``of`` knows without asking anybody: the keys that still count, or none."""
        return self._published.held(_place(rules)) or ()


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
