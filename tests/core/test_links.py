"""Signed links: what one installation signed it reads back, and nothing else."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.errors import LinkInvalid
from scimd.core.links import Link, sign, verify

KEYS = {"k2": b"2" * 32, "k1": b"1" * 32}
LINK = Link("invitation", "acme", "0190-i1", 3, "mail")
TOKEN = sign(LINK, KEYS)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
links = st.builds(Link, texts, texts, texts, st.integers(0, 10**6), st.sampled_from(["mail", "copy"]))


@given(links)
def test_link_comes_back_as_it_was_signed(link: Link) -> None:
    assert verify(sign(link, KEYS), link.purpose, KEYS) == link


@given(links, links)
def test_two_links_never_share_a_token(one: Link, other: Link) -> None:
    assert (sign(one, KEYS) == sign(other, KEYS)) == (one == other)


def test_token_is_url_safe_text_without_padding():
    assert set(TOKEN) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_first_key_signs_and_every_live_key_verifies():
    old = sign(LINK, {"k1": KEYS["k1"]})
    assert verify(old, "invitation", KEYS) == LINK
    assert verify(TOKEN, "invitation", {"k2": KEYS["k2"]}) == LINK


@pytest.mark.parametrize("keys", [{}, {"k1": KEYS["k1"]}, {"k2": b"x" * 32}, {"k2": b""}])
def test_key_that_is_gone_or_another_verifies_nothing(keys):
    with pytest.raises(LinkInvalid):
        verify(TOKEN, "invitation", keys)


def test_unknown_key_id_is_not_signed_by_the_empty_key():
    forged = sign(LINK, {"gone": bytes(32)})
    with pytest.raises(LinkInvalid):
        verify(forged, "invitation", KEYS)


def test_token_for_another_purpose_is_invalid():
    with pytest.raises(LinkInvalid):
        verify(TOKEN, "password", KEYS)


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_changing_any_letter_makes_it_invalid(place):
    letter = TOKEN[place]
    for other in {letter.swapcase(), "A", "B", "-", "_", "0"} - {letter}:
        with pytest.raises(LinkInvalid):
            verify(TOKEN[:place] + other + TOKEN[place + 1 :], "invitation", KEYS)


@pytest.mark.parametrize("length", range(len(TOKEN)))
def test_cut_token_is_invalid(length):
    with pytest.raises(LinkInvalid):
        verify(TOKEN[:length], "invitation", KEYS)


@pytest.mark.parametrize(
    "text",
    [
        TOKEN + "A",
        TOKEN + "=",
        TOKEN + "==",
        TOKEN + "\n",
        " " + TOKEN,
        TOKEN.swapcase(),
        TOKEN * 2,
        "",
        "é",
        "A" * 2000,
    ],
)
def test_longer_padded_or_strange_token_is_invalid(text):
    with pytest.raises(LinkInvalid):
        verify(text, "invitation", KEYS)


@pytest.mark.parametrize(
    "change", [{"org": "other"}, {"record": "0190-i2"}, {"generation": 4}, {"channel": "copy"}]
)
def test_mac_of_one_link_does_not_fit_another(change):
    mine, other = (
        base64.urlsafe_b64decode(t + "=" * (-len(t) % 4))
        for t in (TOKEN, sign(replace(LINK, **change), KEYS))
    )
    forged = base64.urlsafe_b64encode(other[:-32] + mine[-32:]).rstrip(b"=").decode()
    with pytest.raises(LinkInvalid):
        verify(forged, "invitation", KEYS)


@given(st.text(max_size=200))
def test_any_text_is_refused_and_never_an_error(text: str) -> None:
    with pytest.raises(LinkInvalid):
        verify(text, "invitation", KEYS)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_and_never_an_error(raw: bytes) -> None:
    with pytest.raises(LinkInvalid):
        verify(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), "invitation", KEYS)
