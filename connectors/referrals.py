"""Parts of a directory that another server keeps: a search names them instead of searching them.

RFC 4511 §4.5.3: a SearchResultReference says that a part of the scope was not searched. Whoever is in
it was not read, and is not gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

from connectors.dn import reference
from scimd.connector_api import BadEntry

#: The partitions of Active Directory to which the root of a domain refers by itself; people are in none.
_NO_PEOPLE = re.compile(r"(?:dc=forestdnszones|dc=domaindnszones|cn=configuration)(?:,dc=[^,\\]+)+")
_WHY = (
    "this part of the directory is kept by another server ({}), and referrals are not followed: who is"
    " in it was not read; read it by a source of its own, and name it in ignored_referrals if nobody of"
    " this source is in it"
)


class Referrals:
    """Those of one read. ``ignored``: DNs below which nobody of the source is."""

    def __init__(self, ignored: Iterable[str]) -> None:
        self._told = {reference(dn) for dn in ignored}

    def unread(self, referrals: Iterable[Sequence[str]], base: str = "") -> tuple[BadEntry, ...]:
        """Give what could not be read, each part once; a referral has one or more addresses (URLs).

        An address without a DN means the search's own ``base`` (RFC 4511 §4.1.10).
        """
        bad = []
        for addresses in referrals:
            names = [dn_of(address) or base or address for address in addresses] or [base]
            keys = {reference(name) for name in names}
            if self._told.isdisjoint(keys) and not any(map(_NO_PEOPLE.fullmatch, keys)):
                bad.append(BadEntry(None, names[0], _WHY.format(", ".join(addresses))))
            self._told |= keys
        return tuple(bad)


def dn_of(address: str) -> str:
    """Give the DN of an LDAP URL (RFC 4516); empty where it has none."""
    return unquote(address.partition("://")[2].partition("/")[2].partition("?")[0])
