"""From which address a request comes: the peer's, or the one that a proxy of ours names.

``X-Forwarded-For`` is believed only from peers that ``server.trusted_proxies`` lists, and only as far as such
proxies wrote it. Each appends the address that it was asked from, so it is read from the right, and ends at
the first address that is no proxy of ours: what stands left of that is the client's own word.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from aiohttp import web

_HEADER = "X-Forwarded-For"
#: Proxies one behind the other; whoever shows more shows none.
_HOPS = 16
#: An IPv4 address with or without a port, or an IPv6 address in brackets, with or without one.
_WITH_PORT = re.compile(r"([0-9.]{7,15})(?::[0-9]{1,5})?|\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?")


class Peers:
    """Whom a request comes from, where these are the proxies (``10.0.0.1``, ``10.0.0.0/8``, ``fd00::/8``)."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = tuple(ipaddress.ip_network(each) for each in trusted)

    def address_of(self, request: web.Request) -> str:
        """The address to record and to count by; empty where the transport has none."""
        peer = request.remote or ""
        if not self._trusted or not _is_in(self._trusted, _address(peer.partition("%")[0])):
            return peer
        # A proxy may add a line of its own instead of appending to the one that is there.
        return self._behind(request.headers.getall(_HEADER, ())) or peer

    def _behind(self, lines: Sequence[str]) -> str | None:
        """Whom the proxies name; None where they name nobody, or what is no address."""
        found = None
        for number, text in enumerate(_from_the_right(lines)):
            address = _address(text)
            if address is None or number == _HOPS:
                return None
            found = str(address)
            if not _is_in(self._trusted, address):
                break
        return found


PEERS = web.AppKey("peers", Peers)


def address_of(request: web.Request) -> str:
    """As ``Peers``."""
    return request.app[PEERS].address_of(request)


def _from_the_right(lines: Sequence[str]) -> Iterator[str]:
    for line in reversed(lines):
        rest = line
        while rest:
            rest, _, last = rest.rpartition(",")
            yield last.strip(" \t")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((match[1] or match[2]) if match else text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return None  # a zone means something on one machine only
    # What a socket for both kinds calls an IPv4 peer.
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_in(networks: Iterable[IPv4Network | IPv6Network], address: IPv4Address | IPv6Address | None) -> bool:
    return address is not None and any(address in network for network in networks)
