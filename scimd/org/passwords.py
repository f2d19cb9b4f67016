"""Passwords: which are good enough, and their Argon2id hashes.

Long rather than complicated (NIST SP 800-63B-4 §3.1.1.2): at least 15 characters, 8 beside a second
factor, no composition rules, nothing cut off, and none that is among the common ones or made of words
that everybody knows about the person. Hashing costs 19 MiB and some 20 ms, so it runs in threads, a few
at a time.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from scimd.core.errors import WeakPassword
from scimd.core.people import fold

AT_LEAST, AT_MOST = 15, 1000
#: Beside a second factor (NIST SP 800-63B-4 §3.1.1.2).
AT_LEAST_BESIDE = 8
# OWASP's second profile for Argon2id; t=3 instead of 2.
_HASHER = PasswordHasher(time_cost=3, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="argon2")
_LEET = str.maketrans("013457$@!", "oleastsai")
_NOBODY = _HASHER.hash("nobody has this password")


def normal(password: str) -> str:
    """NFC, so that the same keys on two keyboards are one password."""
    return unicodedata.normalize("NFC", password)


def is_short(password: str) -> bool:
    """Whether it is good enough beside a second factor only."""
    return len(normal(password[: AT_MOST + 1])) < AT_LEAST


def check(password: str, known_words: Iterable[str] = (), *, at_least: int = AT_LEAST) -> None:
    """Raise WeakPassword with what to do. ``known_words``: the address, the organization's name, …"""
    text = normal(password[: AT_MOST + 1])
    if not _is_text(text):
        raise WeakPassword("it holds something that is not a character.")
    if len(text) < at_least:
        raise WeakPassword(f"it has {len(text)} characters, and at least {at_least} are needed.")
    if len(text) > AT_MOST:
        raise WeakPassword(f"it has more than {AT_MOST:,} characters.")
    plain = _bare(text)
    if _is_common(plain) or _is_monotonous(plain):
        raise WeakPassword("it is among the first that an attacker tries. Take several unrelated words.")
    if _is_made_of(plain, known_words):
        raise WeakPassword("it is made of your address, your organization's name or scimd.")


def _is_text(password: str) -> bool:
    """Half of a surrogate pair has no bytes, and so no hash."""
    return not any("\ud800" <= character <= "\udfff" for character in password)


def _bare(text: str) -> str:
    """Folded, without white space and the signs that stand in for it."""
    return re.sub(r"[\s._-]+", "", fold(text))


def _is_common(plain: str) -> bool:
    """As it is, without figures and signs at its ends, or with the letters that figures stand for."""
    word = plain.strip("0123456789!?#$%&*+.,@")
    return not _common().isdisjoint({plain, word, plain.translate(_LEET), word.translate(_LEET)})


def _is_monotonous(text: str) -> bool:
    """One short piece again and again (``abcabcabcabcabc``), or a run along the keyboard or alphabet."""
    for width in range(1, 6):
        piece = text[:width]
        if (piece * (len(text) // width + 1))[: len(text)] == text:
            return True
    runs = ("abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiopasdfghjklzxcvbnm")
    return any(text in run * 3 or text in run[::-1] * 3 for run in runs)


def _is_made_of(text: str, known_words: Iterable[str]) -> bool:
    """Whether less than eight characters are left when the known words are taken out."""
    for word in sorted({part for known in known_words for part in _parts(known)}, key=len, reverse=True):
        text = text.replace(word, "")
    return len(text) < 8


def _parts(known: str) -> list[str]:
    whole = _bare(known)
    return [part for part in [whole, *re.split(r"[^\w]+", whole)] if len(part) >= 4]


@cache
def _common() -> frozenset[str]:
    text = files("scimd.org").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


# ------------------------------------------------------------------------------ hashing


async def hashed(password: str) -> str:
    """The Argon2id hash as stored."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _HASHER.hash, normal(password))


async def fits(password: str, stored: str | None) -> bool:
    """Whether the password is the stored one. Without one (None) it takes as long, and is False."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _fits, password, stored)


def _fits(password: str, stored: str | None) -> bool:
    # An endless password must not make the normalization the costly part.
    text = normal(password[:AT_MOST])
    if not _is_text(text):
        text, stored = "", None
    try:
        return _HASHER.verify(stored or _NOBODY, text) and stored is not None and len(password) <= AT_MOST
    except (VerificationError, InvalidHashError):
        return False
