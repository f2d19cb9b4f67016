"""Signed links: tokens that are not stored anywhere, for invitations, passwords and one-time sign-in.

A token is URL-safe text: the fields but the purpose, each with its length before it, and an
HMAC-SHA256 over all of them. The purpose is signed and not sent: whoever verifies knows what the
link is for. Whether the record is still open is for the record to say; a token only proves that this
installation made it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from scimd.core.errors import LinkInvalid

Channel = Literal["mail", "copy"]

_MAC_BYTES = hashlib.sha256().digest_size
_MAX_TOKEN = 1024


@dataclass(frozen=True, slots=True)
class Link:
    """``record`` is the id of the row that the link opens; ``whom`` what a copied invitation holds to."""

    purpose: str
    org: str
    record: str
    generation: int
    channel: Channel
    whom: str = ""


def sign(link: Link, keys: Mapping[str, bytes]) -> str:
    """The token of a link, signed with the first of the live keys (key id → the purpose's key)."""
    key_id, key = next(iter(keys.items()))
    body = _join([key_id, link.org, link.record, str(link.generation), link.channel, link.whom])
    return _text(body + _mac(key, link.purpose, body))


def verify(token: str, purpose: str, keys: Mapping[str, bytes]) -> Link:
    """The link of a token made for this purpose with any live key; LinkInvalid for everything else."""
    raw = _bytes(token)
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    fields = _split(body)
    if len(fields) != 6:
        raise LinkInvalid
    key_id, org, record, generation, channel, whom = fields
    key = keys.get(key_id)
    # An unknown key id costs the same comparison as a known one.
    known = hmac.compare_digest(mac, _mac(key if key is not None else bytes(_MAC_BYTES), purpose, body))
    if not known or key is None:
        raise LinkInvalid
    return Link(purpose, org, record, int(generation), _channel(channel), whom)


def _mac(key: bytes, purpose: str, body: bytes) -> bytes:
    return hmac.digest(key, _join([purpose]) + body, "sha256")


def _channel(text: str) -> Channel:
    for channel in get_args(Channel):
        if text == channel:
            return channel  # type: ignore[no-any-return]
    raise LinkInvalid


def _join(fields: Sequence[str]) -> bytes:
    """Each field as two bytes of length and UTF-8: no two lists of fields share an encoding."""
    parts = [field.encode() for field in fields]
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _split(body: bytes) -> list[str]:
    fields: list[str] = []
    while body:
        end = 2 + int.from_bytes(body[:2], "big")
        if len(body) < max(end, 2):
            raise LinkInvalid
        try:
            fields.append(body[2:end].decode())
        except UnicodeDecodeError as exc:
            raise LinkInvalid from exc
        body = body[end:]
    return fields


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(token: str) -> bytes:
    """Decode strictly: one token has one text, though base64 would read several alike."""
    if len(token) > _MAX_TOKEN:
        raise LinkInvalid
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (UnicodeEncodeError, binascii.Error) as exc:
        raise LinkInvalid from exc
    if _text(raw) != token:
        raise LinkInvalid
    return raw
