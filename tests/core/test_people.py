"""Comparison keys of people (docs/semantics.md)."""

from __future__ import annotations

import pytest

from scimd.core.people import address_key, domain_key, keys_of


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
