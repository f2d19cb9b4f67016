"""Comparison keys of people (docs/semantics.md)."""

from __future__ import annotations

import random
import time
import unicodedata

import pytest

from scimd.core.people import address_key, composed, domain_key, fold, keys_of


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("Dana@Acme.Example", "dana@acme.example"),
        ("dana@acme.example.", "dana@acme.example"),
        ("ida@EXÄMPLE.example", "ida@xn--exmple-cua.example"),
        ("ida@xn--exmple-cua.example", "ida@xn--exmple-cua.example"),
        ("ida@xn--EXMPLE-cua.example.", "ida@xn--exmple-cua.example"),
        ("Zoë@faß.example", "zoë@xn--fa-hia.example"),
        ("a@日本。example", "a@xn--wgv71a.example"),
        ("a@acme.example。", "a@acme.example"),
        ("a@acme.example..", "a@acme.example"),
        ("a@ä_b.example", "a@ä_b.example"),
        ("a@-ä.example", "a@-ä.example"),
        ("a@" + "ä" * 300 + ".example", "a@" + "ä" * 300 + ".example"),
    ],
)
def test_addresses_are_compared_with_their_domains_as_dns_has_them(address: str, key: str) -> None:
    assert address_key(address) == key
    assert address_key(key) == key
    assert domain_key(address.rpartition("@")[2]) == key.rpartition("@")[2]


def test_an_address_is_kept_as_it_was_sent() -> None:
    keys = keys_of({"userName": "Ida@Exämple.example"})
    assert (keys.sign_in_address, keys.sign_in_key) == ("Ida@Exämple.example", "ida@xn--exmple-cua.example")
    assert keys.user_name_key == "ida@exämple.example"


def test_text_is_composed_as_unicode_has_it_however_many_marks_stand_side_by_side() -> None:
    seed = random.Random(1)
    marks = "\u0315\u0300\u0327\u0345\u0344\u0f73\u0f71\u05b0\u093c\U0001d165"
    for length in (1, 49, 50, 51, 99, 100, 101, 400):
        for _ in range(20):
            text = "".join(letter + "".join(seed.choices(marks, k=length)) for letter in "eé각ǖ")
            assert composed(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("marks", ["\u0315\u0300", "\u0f73", "\u0344\u0315"])
def test_a_megabyte_of_marks_is_folded_in_a_moment(marks: str) -> None:
    """V19: ``unicodedata`` puts them in order by insertion, for a quarter of an hour."""
    began = time.process_time()
    assert fold("a" + marks * 250_000) == fold("A" + marks * 250_000)
    assert time.process_time() - began < 30
