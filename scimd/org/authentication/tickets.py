"""Tickets: what scimd hands out to get back within minutes, sealed, good for one use.

The second step of a sign-in, a passkey's challenge, the state of an OpenID Connect sign-in, the secret of
an authenticator app that is being set up. Nothing is stored when one is made, so that nobody fills the
database by asking; a used one is a row until it would have expired.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson
from sqlalchemy import delete, select

from scimd.core.errors import LinkInvalid
from scimd.db.tables import spent_tickets
from scimd.org.tokens.sealing import NotSealedHere, seal, unseal
from scimd.org.tx import Door, Tx

Purpose = Literal["second_step", "passkey", "new_passkey", "new_totp", "oidc"]
VALID_S = 300.0
_PURPOSE = "ticket"
_AT_MOST = 4000


@dataclass(frozen=True, slots=True)
class Ticket:
    """``said``: what was put into it. ``hash`` names it once it is spent."""

    said: Mapping[str, Any]
    hash: bytes
    until: datetime


def issue(door: Door, purpose: Purpose, said: Mapping[str, Any], *, valid_s: float = VALID_S) -> str:
    """A ticket's text. Nobody but scimd reads what is in it, and it opens for this purpose only."""
    until = door.clock() + timedelta(seconds=valid_s)
    plain = orjson.dumps({"until": until.timestamp(), "said": said, "salt": secrets.token_hex(16)})
    return base64.urlsafe_b64encode(seal(door.keys, _PURPOSE, plain, purpose)).rstrip(b"=").decode()


def opened(door: Door, purpose: Purpose, text: str) -> Ticket:
    """What the ticket says. Raises LinkInvalid for an expired, foreign or changed one."""
    try:
        sealed = base64.b64decode(text[:_AT_MOST] + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        plain = unseal(door.keys, _PURPOSE, sealed, purpose)
    except (binascii.Error, ValueError, NotSealedHere) as exc:
        raise LinkInvalid from exc
    body = orjson.loads(plain)
    now = door.clock()
    until = datetime.fromtimestamp(body["until"], now.tzinfo)
    if until <= now:
        raise LinkInvalid
    return Ticket(body["said"], hashlib.sha256(plain).digest(), until)


def spend(tx: Tx, ticket: Ticket) -> None:
    """Use it up. Of any number at once one wins; the others get LinkInvalid."""
    spent = spent_tickets.c
    tx.conn.execute(delete(spent_tickets).where(spent.org_id == tx.org_id, spent.until <= tx.now))
    mine = (spent.org_id == tx.org_id) & (spent.hash == ticket.hash)
    if tx.conn.execute(select(spent.until).where(mine)).first() is not None:
        raise LinkInvalid
    # Two at once: the later one loses its race at this key, looks again, and finds the row.
    tx.conn.execute(spent_tickets.insert().values(org_id=tx.org_id, hash=ticket.hash, until=ticket.until))
