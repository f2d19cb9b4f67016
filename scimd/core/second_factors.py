"""Second factors: who must have one, which code of an authenticator app fits, how recovery codes look.

A *second factor* is an authenticator app (TOTP, RFC 6238) or a passkey (WebAuthn). *Recovery codes*
stand in for a lost one, each once.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal

from pyotp import TOTP

Policy = Literal["managers", "everybody", "nobody"]
Kind = Literal["totp", "passkey"]

WINDOW_S = 30
#: Windows before and after the present one that count: clocks of phones differ.
_TOLERANCE = 1
RECOVERY_CODES = 10
#: How long a proof of who they are opens what is sensitive.
PROOF_LASTS = timedelta(minutes=10)
# Without vowels, that no word comes out, and without what looks alike: 28^12 codes, 57 bits.
_LETTERS = "23456789bcdfghjkmnpqrstvwxyz"
_CODE_LENGTH, _GROUP = 12, 4


def is_demanded(policy: Policy, permissions: Collection[str]) -> bool:
    """Whether whoever holds these permissions must have a second factor."""
    if policy == "managers":
        return any(permission.endswith(".manage") for permission in permissions)
    return policy == "everybody"


def fitting_window(secret: str, code: str, now: datetime, *, after: int) -> int | None:
    """The window (30 s each, since 1970) whose code this is; None where none fits.

    ``after``: the last window that was used. Neither it nor an older one counts again (RFC 6238 §5.2).
    """
    digits = "".join(code.split())
    totp, present = TOTP(secret, interval=WINDOW_S), int(now.timestamp()) // WINDOW_S
    for window in range(present - _TOLERANCE, present + _TOLERANCE + 1):
        fits = hmac.compare_digest(totp.generate_otp(window).encode(), digits.encode("utf-8", "replace"))
        if fits and window > after:
            return window
    return None


def provisioning_uri(secret: str, account: str, issuer: str) -> str:
    """What the QR code holds: ``otpauth://totp/…``, as authenticator apps read it."""
    return TOTP(secret, interval=WINDOW_S).provisioning_uri(name=account, issuer_name=issuer)


def recovery_code(random: bytes) -> str:
    """A code such as ``bcdf-2345-wxyz`` of sixteen random bytes."""
    number = int.from_bytes(random, "big")
    letters = []
    for _ in range(_CODE_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    text = "".join(letters)
    return "-".join(text[at : at + _GROUP] for at in range(0, _CODE_LENGTH, _GROUP))


def bare_code(typed: str) -> str:
    """A recovery code as it is compared: no dashes, no white space, small letters."""
    return "".join(character for character in typed.lower() if character.isalnum())[:64]
