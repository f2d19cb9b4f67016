"""Network addresses: which scimd calls when somebody else chose the name (server-side request forgery),
and by what callers are counted.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, TypeAlias

Reach: TypeAlias = Literal["public", "private", "loopback"]

#: Addresses that lead to an IPv4 address inside them, whatever that is: NAT64, 6to4, Teredo.
_TRANSLATED = tuple(
    IPv6Network(each) for each in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)
#: Where a network without IPv4 shows IPv4 peers (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")
#: What a company numbers its own networks with (RFC 1918, RFC 4193).
_PRIVATE = tuple(ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
#: The metadata service of a cloud, under its IPv6 address; its IPv4 one is link-local.
_METADATA = IPv6Network("fd00:ec2::/32")


def is_within(text: str, reach: Reach) -> bool:
    """Whether the address may be called.

    ``public``: the internet alone. ``private``: a company's own networks too. ``loopback``: this
    machine alone. Link-local, multicast and translated addresses never are.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if reach == "loopback":
        return address.is_loopback
    if _is_public(address):
        return True
    return (
        reach == "private" and any(address in network for network in _PRIVATE) and not _is_metadata(address)
    )


def network_of(text: str) -> str:
    """What counts as one place for limits by network address.

    Of IPv6 the /64, which is the least that one line is given; of IPv4 the address, also where IPv6 carries
    it. What is no address stands for itself.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address in _NAT64:
        return str(IPv4Address(int(address) & 0xFFFF_FFFF))
    return str(IPv6Network((int(address) >> 64 << 64, 64)))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and any(address in network for network in _TRANSLATED):
        return False
    # Not is_global alone: Python 3.11 takes 224.0.0.1 for global.
    return address.is_global and not address.is_multicast and not address.is_reserved


def _is_metadata(address: IPv4Address | IPv6Address) -> bool:
    return isinstance(address, IPv6Address) and address in _METADATA
