"""Cursors (RFC 9865): where a list goes on, sealed, for its own query and for a while.

A cursor holds the values of the last row by which the list is ordered, encrypted (AES-256-GCM) with
the source as associated data: it says nothing, cannot be made up, and opens no other source's list.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scimd.org.reading.keyset import Position
from scimd.org.tokens.secrets import Keyring
from scimd.scim.errors import ScimError

_PURPOSE = "cursor"
_NONCE_BYTES = 12
_FORM = re.compile(r"([0-9a-f]{8})([A-Za-z0-9_-]{38,8000})")
#: What may differ from page to page; all else makes another query.
_PAGING = frozenset(("cursor", "count", "startIndex", "attributes", "excludedAttributes"))


@dataclass(frozen=True, slots=True)
class Cursor:
    """``kind``: the resource type that goes on. ``position`` None: from its beginning."""

    kind: str
    position: Position | None
    count: int
    total: int


def digest(endpoint: str, query: Mapping[str, str]) -> str:
    """What a cursor belongs to: an endpoint, a filter, an order."""
    same = {name: value for name, value in query.items() if name not in _PAGING}
    return hashlib.sha256(orjson.dumps([endpoint, same], option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def seal(cursor: Cursor, query: str, expires: datetime, keys: Keyring, owner: str) -> str:
    at = cursor.position
    place = None if at is None else [_plain(at.key), at.created_at.isoformat(), at.id]
    text = orjson.dumps([query, expires.timestamp(), cursor.kind, cursor.count, cursor.total, place])
    key_id, key = next(iter(keys.live(_PURPOSE).items()))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = nonce + AESGCM(key).encrypt(nonce, text, owner.encode())
    return key_id + base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def opened(text: str, query: str, now: datetime, keys: Keyring, owner: str) -> Cursor:
    """Raises invalidCursor for what scimd did not give for this query, expiredCursor for what is old."""
    belongs_to, expires, kind, count, total, place = orjson.loads(_decrypted(text, keys, owner))
    if belongs_to != query:
        raise _invalid("it belongs to another query; begin anew with an empty one")
    if now.timestamp() > expires:
        raise ScimError(400, "The cursor has expired; begin anew with an empty one.", "expiredCursor")
    position = None
    if place is not None:
        position = Position(_typed(place[0]), datetime.fromisoformat(place[1]), place[2])
    return Cursor(kind, position, count, total)


def _decrypted(text: str, keys: Keyring, owner: str) -> bytes:
    match = _FORM.fullmatch(text)
    key = keys.live(_PURPOSE).get(match[1]) if match else None
    if match is None or key is None:
        raise _invalid("scimd gave no such cursor")
    try:
        sealed = base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
        if base64.urlsafe_b64encode(sealed).decode().rstrip("=") != match[2]:
            raise _invalid("scimd gave no such cursor")  # the last letter has bits that mean nothing
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.encode())
    except (InvalidTag, binascii.Error, ValueError) as exc:
        raise _invalid("scimd gave no such cursor") from exc


def _invalid(why: str) -> ScimError:
    return ScimError(400, f"cursor: {why}.", "invalidCursor")


def _plain(key: Any) -> Any:
    return {"at": key.isoformat()} if isinstance(key, datetime) else key


def _typed(key: Any) -> Any:
    return datetime.fromisoformat(key["at"]) if isinstance(key, dict) else key
