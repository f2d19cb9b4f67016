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
#: Why one is refused, for people, in the language of the page.
NO_TEXT = "it holds something that is not a character."
SHORT = "it has %(length)s characters, and at least %(least)s are needed."
LONG = "it has more than 1,000 characters."
COMMON = "it is among the first that an attacker tries. Take several unrelated words."
OWN_WORDS = "it is made of your address, your organization's name or scimd."
WHY = (NO_TEXT, SHORT, LONG, COMMON, OWN_WORDS)
# OWASP's second profile for Argon2id; t=3 instead of 2.
_HASHER = PasswordHasher(time_cost=3, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="argon2")
_LEET = str.maketrans("013457$@!", "oleastsai")
_TRIMMINGS = "0123456789!?#$%&*+.,@"
#: One or two characters thrice and more, or a longer part twice.
_AGAIN = re.compile(r"(.{1,2}?)\1{2,}|(.{3,40}?)\2+")
_ROWS = ("abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "qsdfghjklm",
         "zxcvbnm", "yxcvbnm", "qazwsxedcrfvtgbyhnujm", "1qaz2wsx3edc4rfv5tgb6yhn7ujm")  # fmt: skip
_FIGURES = ("01234567890", "09876543210")
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
        raise WeakPassword(NO_TEXT)
    if len(text) < at_least:
        raise WeakPassword(SHORT, {"length": str(len(text)), "least": str(at_least)})
    if len(text) > AT_MOST:
        raise WeakPassword(LONG)
    plain = _bare(text)
    if _is_common(plain) or _is_monotonous(plain) or _is_little(plain, (at_least + 1) // 2):
        raise WeakPassword(COMMON)
    if _is_made_of(plain, known_words):
        raise WeakPassword(OWN_WORDS)


def _is_text(password: str) -> bool:
    """Half of a surrogate pair has no bytes, and so no hash."""
    return not any("\ud800" <= character <= "\udfff" for character in password)


def _bare(text: str) -> str:
    """Folded, without white space and the signs that stand in for it."""
    return re.sub(r"[\s._-]+", "", fold(text))


def _is_common(plain: str) -> bool:
    """As it is, without figures and signs at its ends, or with the letters that figures stand for."""
    word = plain.strip(_TRIMMINGS)
    return not _common().isdisjoint({plain, word, plain.translate(_LEET), word.translate(_LEET)})


def _is_monotonous(text: str) -> bool:
    """One short piece again and again (``abcabcabcabcabc``), or a run along the keyboard or alphabet."""
    for width in range(1, 6):
        piece = text[:width]
        if (piece * (len(text) // width + 1))[: len(text)] == text:
            return True
    runs = ("abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiopasdfghjklzxcvbnm")
    return any(text in run * 3 or text in run[::-1] * 3 for run in runs)


def _is_little(plain: str, at_least: int) -> bool:
    """Whether less than so many characters are left of it without what says the same again, and without runs
    along keyboard and alphabet; or a common word, without figures and signs at its ends besides.
    """
    whole, bare = (_without_runs(_AGAIN.sub(r"\1\2", text)) for text in (plain, plain.strip(_TRIMMINGS)))
    words = {bare, bare.translate(_LEET), re.sub(r"\d", "", bare)}
    # The list holds common words twice over: none shorter than what it is for.
    return len(whole) < at_least or any(word * 2 in _common() for word in words)


def _without_runs(text: str) -> str:
    covered = {
        at + offset
        for at in range(len(text))
        for length in (3, 4, 5)
        if text[at : at + length] in _runs()
        for offset in range(length)
    }
    return "".join(character for at, character in enumerate(text) if at not in covered)


@cache
def _runs() -> frozenset[str]:
    """Pieces that no word holds: three figures, four letters from a row's end, five from anywhere."""
    rows = [*_ROWS, *(row[::-1] for row in _ROWS)]
    letters = {row[at : at + 5] for row in rows for at in range(len(row) - 4)}
    ends = {end for row in rows for end in (row[:4], row[-4:])}
    return frozenset(letters | ends | {row[at : at + 3] for row in _FIGURES for at in range(len(row) - 2)})


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
    text = files("scimd.org.authentication").joinpath("common_passwords.txt").read_text(encoding="utf-8")
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
