"""TXT records of a name, by the system's name servers or those of the config."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from scimd.core.errors import NotAllowedNow

if TYPE_CHECKING:
    from dns.nameserver import Nameserver

#: The texts of a name's TXT records; none where the name has none.
LookUp = Callable[[str], Awaitable[list[str]]]
_FOR_S = 5.0


def resolver(nameservers: Sequence[str] = ()) -> LookUp:
    """``nameservers``: addresses, each with or without ``:port``; none: the system's own."""

    async def look_up(name: str) -> list[str]:
        """Raises NotAllowedNow where the name servers do not answer."""
        # Here and not above: with what it takes along, 6 MB for a question that is seldom asked.
        import dns.asyncresolver
        import dns.exception
        import dns.resolver

        asking = dns.asyncresolver.Resolver(configure=not nameservers)
        if nameservers:
            asking.nameservers = [_server(text) for text in nameservers]
        asking.lifetime = _FOR_S
        try:
            answer = await asking.resolve(name, "TXT", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (TimeoutError, dns.exception.DNSException, OSError) as exc:
            why = type(exc).__name__
            raise NotAllowedNow(
                f"The name servers gave no answer for {name} ({why}). Try again later."
            ) from exc
        return [b"".join(record.strings).decode("ascii", "replace") for record in answer]

    return look_up


def _server(text: str) -> Nameserver:
    from dns.nameserver import Do53Nameserver  # as above

    host, colon, port = text.rpartition(":")
    if colon and not _is_address(text):
        return Do53Nameserver(host.strip("[]"), int(port))
    return Do53Nameserver(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
