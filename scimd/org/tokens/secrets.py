"""Keys and tokens: what is derived, what is hashed, what a mistyped token looks like.

- A *master key* comes from the config (``secrets.key``) or, for SQLite, from a file beside the
  database. Nothing is signed with it: each purpose gets a key of its own by HKDF (RFC 5869).
- A *token* is 256 random bits as text with a checksum; the database holds only its SHA-256. With
  that many bits a slow hash would protect nothing more.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import string
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scimd.config import ConfigError
from scimd.core.people import OrgId

KEY_BYTES = 32
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY, _CHECK = 43, 6  # 256 and 32 bits in base 62


class KeyringError(ConfigError, ValueError):
    """A master key cannot be used; the text says which and what to do, never the key."""

    def __init__(self, fault: str) -> None:
        super().__init__([fault])


class Keyring:
    """The master keys: the first signs, all verify, so that a key is changed without downtime."""

    __slots__ = ("_keys", "_live")

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise KeyringError("There is no key. Make one with: openssl rand -base64 48")
        for place, key in enumerate(keys, 1):
            if len(key) < KEY_BYTES:
                raise KeyringError(
                    f"Key {place} is {len(key)} bytes long; at least {KEY_BYTES} are needed. "
                    "Make one with: openssl rand -base64 48"
                )
        self._keys = tuple(keys)
        self._live: dict[str, Mapping[str, bytes]] = {}

    def live(self, purpose: str) -> Mapping[str, bytes]:
        """The purpose's keys by key id, the signing one first."""
        found = self._live.get(purpose)
        if found is None:
            derived = [_derive(key, purpose) for key in self._keys]
            found = self._live[purpose] = {hashlib.sha256(key).hexdigest()[:8]: key for key in derived}
        return found

    def ids(self) -> list[str]:
        """What the database may say of the master keys, in their order."""
        return list(self.live("id"))

    def __repr__(self) -> str:
        return f"Keyring({len(self._keys)} keys)"


def _derive(key: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"scimd/1/" + purpose.encode()).derive(key)


def load_or_make_key_file(path: Path, *, make: bool = True) -> bytes:
    """The key in the file; with ``make``, made with mode 0600 where there is none yet.

    Two processes that start at once end with one key: the file appears whole or not at all, and
    whoever comes second reads the first one's. Raises KeyringError for a file that others may read.
    """
    if not path.exists():
        if not make:
            raise KeyringError(f"There is no key file {path}. `scimd serve` makes it, or set secrets.key.")
        _make_key_file(path)
    try:
        mode = path.stat().st_mode
        key = path.read_bytes().strip()
    except OSError as exc:
        raise KeyringError(f"The key file {path} cannot be read: {exc.strerror}.") from exc
    if mode & 0o077:
        raise KeyringError(f"The key file {path} can be read by others. Fix it with: chmod 600 {path}")
    if len(key) < KEY_BYTES:
        raise KeyringError(f"The key file {path} is cut off: {len(key)} bytes of at least {KEY_BYTES}.")
    return key


def _make_key_file(path: Path) -> None:
    try:
        handle, draft = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # mkstemp: mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_hex(KEY_BYTES).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        finally:
            Path(draft).unlink()
    except FileExistsError:
        return
    except OSError as exc:
        raise KeyringError(f"The key file {path} cannot be made: {exc.strerror}.") from exc


# ------------------------------------------------------------------------------ tokens


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))


def _with_check(text: str) -> str:
    return text + _base62(zlib.crc32(text.encode()), _CHECK)


def new_token(random: bytes) -> str:
    """A bearer token from 32 random bytes: ``scimd_``, 43 digits of base 62, 6 of checksum."""
    return _with_check("scimd_" + _base62(int.from_bytes(random[:32], "big"), _BODY))


def is_token(text: str) -> bool:
    """Whether the text can be a token of ours at all; a mistyped one costs no query."""
    return _is_made_of(text, "scimd_", _BODY)


#: What else begins with a word of its own, so that each kind is known before the database is asked.
ACCESS_TOKEN, CLIENT_SECRET, API_TOKEN = "scimda_", "scimdc_", "scimdk_"


def new_secret(prefix: str, random: bytes) -> str:
    """As ``new_token``, with another beginning."""
    return _with_check(prefix + _base62(int.from_bytes(random[:32], "big"), _BODY))


def is_secret(prefix: str, text: str) -> bool:
    """Whether the text can be a secret of this kind at all."""
    return _is_made_of(text, prefix, _BODY)


def new_session_token(org_id: OrgId, random: bytes) -> str:
    """A session's token, which names its organization so that a split database can route it."""
    org = _base62(int(org_id.replace("-", ""), 16), 22)
    return _with_check("scimds_" + org + _base62(int.from_bytes(random[:32], "big"), _BODY))


def is_session_token(text: str) -> bool:
    return _is_made_of(text, "scimds_", 22 + _BODY)


def organization_of(session_token: str) -> OrgId:
    """The organization that a well-formed session token names."""
    number = 0
    for digit in session_token[7:29]:
        number = number * 62 + _DIGITS.index(digit)
    h = f"{number:032x}"
    return OrgId(f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}")


def _is_made_of(text: str, prefix: str, width: int) -> bool:
    body, length = text[len(prefix) :], len(prefix) + width + _CHECK
    if len(text) != length or not text.startswith(prefix) or not (body.isascii() and body.isalnum()):
        return False
    return _with_check(text[:-_CHECK]) == text


def token_hash(text: str) -> bytes:
    """What the database holds of a token."""
    return hashlib.sha256(text.encode()).digest()
