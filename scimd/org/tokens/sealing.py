"""Values that leave scimd, or lie in the database, closed: AES-256-GCM under a key of their purpose."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scimd.org.tokens.secrets import Keyring

#: With so many bytes, the key's id, everything sealed begins.
KEY_ID_BYTES = 8
_NONCE_BYTES = 12


class NotSealedHere(ValueError):
    """scimd did not seal this, or for something else, or under a key that it has no more."""


def seal(keys: Keyring, purpose: str, plain: bytes, belongs_to: str) -> bytes:
    """Key id, nonce, ciphertext. It opens only for the same purpose and owner."""
    key_id, key = next(iter(keys.live(purpose).items()))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return key_id.encode() + nonce + AESGCM(key).encrypt(nonce, plain, belongs_to.encode())


def unseal(keys: Keyring, purpose: str, sealed: bytes, belongs_to: str) -> bytes:
    """Raises NotSealedHere."""
    key_id, rest = sealed[:KEY_ID_BYTES].decode("latin-1"), sealed[KEY_ID_BYTES:]
    key = keys.live(purpose).get(key_id)
    if key is None or len(rest) <= _NONCE_BYTES:
        raise NotSealedHere
    try:
        return AESGCM(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], belongs_to.encode())
    except InvalidTag as exc:
        raise NotSealedHere from exc
