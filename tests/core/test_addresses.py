"""Network addresses: by what callers are counted."""

from __future__ import annotations

import pytest

from scimd.core.addresses import network_of


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("64:ff9b::cb00:7109", "203.0.113.9"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("session 7", "session 7"),
        ("", ""),
    ],
)
def test_a_place_is_an_ipv4_address_or_an_ipv6_line(address: str, counted_as: str) -> None:
    assert network_of(address) == counted_as
