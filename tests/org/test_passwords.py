"""Passwords: A20."""

from __future__ import annotations

import contextlib
import random
import string
import time
import unicodedata

import pytest

from scimd.core.errors import WeakPassword
from scimd.org.authentication import passwords

pytestmark = pytest.mark.usefixtures("real_passwords")

KNOWN = ("dana.lee@acme.example", "Dana Lee", "Acme Holdings", "acme", "scimd")


@pytest.mark.parametrize(
    "good",
    [
        "seven quiet lanterns drift",
        "x7#Kp2!mQz9@Lw4",  # 15
        "größe über alles hinaus",
        "пятнадцать тихих фонарей",
        "静かな提灯が七つ川を流れていくのを見た",
        "tr1vial sofa " * 70,
        "liberty property poverty",  # "erty" stands beside each other on a keyboard
        "no no no no never again",
        "on 24.12.1985 we met in Rome",
        "my dog ate 3 shoes in 2019",
        "der Bahnhof von Überlingen",
        "first understudy to the alphabet",
        "call 555 0199 at eight",
        "83629174 0385 2217 4",
        "princess of the quiet lanterns 1",
        "1 password for each of my cats",
    ],
)
def test_long_enough_and_not_common_is_good(good: str) -> None:
    passwords.check(good, KNOWN)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("x7#Kp2!mQz9@Lw", "at least 15"),  # 14
        ("", "at least 15"),
        ("x" * 1001, "more than 1,000"),
        ("passwordpassword", "first"),
        ("Password-Password!!", "first"),
        ("P@ssw0rdP@ssw0rd", "first"),
        ("WelcomeSummer2026!!", "first"),
        ("correct horse battery staple", "first"),
        ("qwertyuiopasdfghjkl", "first"),
        ("abcabcabcabcabcabc", "first"),
        ("password123456789", "first"),
        ("qwerty123456789", "first"),
        ("123456789qwerty", "first"),
        ("welcome123456789", "first"),
        ("administrator123", "first"),
        ("P@ssw0rd12345678", "first"),
        ("pass123word456789", "first"),
        ("sunshine 83629174", "first"),
        ("qwer1234asdf5678", "first"),
        ("1qaz2wsx3edc4rfv", "first"),
        ("dragondragon1111", "first"),
        ("aaaabbbbccccdddd1111", "first"),
        ("aaaaaaaaaaaaaaaaaaaa", "first"),
        ("12345678901234567", "first"),
        ("zyxwvutsrqponmlk", "first"),
        ("seven quiet lanterns \udc80", "not a character"),
        ("dana.lee@acme.example", "made of your address"),
        ("DanaLeeAcmeHoldings", "made of your address"),
        ("acme-scimd-acme-1!", "made of your address"),
    ],
)
def test_short_endless_common_or_obvious_is_refused_with_the_reason(bad: str, why: str) -> None:
    with pytest.raises(WeakPassword, match=why) as refused:
        passwords.check(bad, KNOWN)
    assert not bad or bad not in str(refused.value)


@pytest.mark.parametrize("good", ["x7#Kp2!m", "quiet lantern", "83kxqpmz"])
def test_beside_a_second_factor_a_short_one_is_good(good: str) -> None:
    passwords.check(good, KNOWN, at_least=passwords.AT_LEAST_BESIDE)


@pytest.mark.parametrize("bad", ["password1", "qwerty12", "abcd1234", "P@ssw0rd", "sunshine"])
def test_beside_a_second_factor_a_common_one_is_refused(bad: str) -> None:
    with pytest.raises(WeakPassword, match="first"):
        passwords.check(bad, KNOWN, at_least=passwords.AT_LEAST_BESIDE)


def test_what_was_drawn_is_good() -> None:
    drawn = random.Random(15)  # the same in each run
    for letters, length in (
        (string.ascii_letters + string.digits, 15),
        (string.hexdigits, 20),
        ("0123456789abcdef", 16),
        (string.digits, 20),
        ("acest ", 24),
    ):
        for _ in range(2000):
            passwords.check("".join(drawn.choices(letters, k=length)).strip().ljust(15, "x"), KNOWN)


def test_an_endless_one_takes_no_time() -> None:
    began = time.thread_time()
    for text in ("ab" * 500, "abcdefgh" * 125, "x7kq" * 249 + "abc", "".join(map(chr, range(300, 1300)))):
        with contextlib.suppress(WeakPassword):
            passwords.check(text, KNOWN)
    assert time.thread_time() - began < 2


def test_the_blocklist_holds_thousands_of_long_ones() -> None:
    assert sum(len(each) >= 15 for each in passwords._common()) >= 3000


async def test_no_character_is_cut_off() -> None:
    long = "a quiet lantern " * 62 + "and no more"
    assert len(long) > 1000 - 16
    stored = await passwords.hashed(long[:1000])
    assert await passwords.fits(long[:1000], stored)
    assert not await passwords.fits(long[:999], stored)
    assert not await passwords.fits(long[:1000] + "!", stored)


async def test_one_text_in_two_normal_forms_is_one_password() -> None:
    composed = unicodedata.normalize("NFC", "größe über alles hinaus")
    stored = await passwords.hashed(composed)
    assert await passwords.fits(unicodedata.normalize("NFD", composed), stored)


async def test_the_hash_is_argon2id_with_a_salt_of_its_own() -> None:
    one, two = await passwords.hashed("x" * 20), await passwords.hashed("x" * 20)
    assert one != two
    assert one.startswith("$argon2id$")


async def test_nobody_costs_as_much_work_as_somebody() -> None:
    stored = await passwords.hashed("seven quiet lanterns drift")

    def work(secret: str | None) -> float:
        """Processor time of this thread: what others do on the machine does not count."""
        began = time.thread_time()
        assert not passwords._fits("a wrong password indeed", secret)
        return time.thread_time() - began

    took = [(work(None), work(stored)) for _ in range(15)]
    assert 0.6 < min(nobody for nobody, _ in took) / min(somebody for _, somebody in took) < 1.7


async def test_a_stored_hash_that_is_none_fits_nothing() -> None:
    assert not await passwords.fits("seven quiet lanterns drift", "not a hash")


async def test_half_a_character_fits_nothing() -> None:
    assert not await passwords.fits("\udc80", await passwords.hashed(""))
