"""One connection to the directory: python-ldap, synchronous, used by one thread alone.

Everything that libldap may do wrong ends here as a :class:`ConnectorError`. libldap waits for the
rest of a message without any limit once its first byte is there, so a time-out of its own does not
bound a directory that trickles; cutting the line underneath does, from any thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ldap
from ldap.controls import ResponseControl, SimplePagedResultsControl
from ldap.ldapobject import SimpleLDAPObject

from connectors.ldap.config import LdapConfig
from connectors.ldap.line import Line
from scimd.connector_api import (
    ConnectorError,
    CredentialsRefused,
    Deadline,
    Incomplete,
    RateLimited,
    Unreachable,
)

_SCOPES = {"subtree": ldap.SCOPE_SUBTREE, "one": ldap.SCOPE_ONELEVEL}
_BUSY_RETRY_S = 60.0
#: What 389 DS lets in with, and then does nothing for (draft-vchu-ldap-pwd-policy §2).
_MUST_CHANGE = "2.16.840.1.113730.3.4.4"


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, where, and what of it is wanted."""

    base: str
    filter: str
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RawPage:
    """What one page of a search holds: entries as they came, and places that lie elsewhere."""

    entries: list[tuple[str, dict[str, list[bytes]]]]
    #: Each by its addresses (URLs), which are several ways to one part of the directory.
    referrals: list[list[str]]


class Connection:
    """Open it, search, close it, from one thread; only ``cut`` may come from another."""

    def __init__(self, config: LdapConfig, deadline: Deadline) -> None:
        self._config = config
        self._deadline = deadline
        self._line = Line(config, deadline)
        self._is_cut = False
        self._must_change = False
        self._ldap: SimpleLDAPObject | None = None

    def open(self) -> None:
        """Connect, encrypt and bind; raises Unreachable or CredentialsRefused."""
        self._ldap = handle = self._handle(self._line.connect())
        try:
            password = self._config.bind_password
            bound = handle.simple_bind(self._config.bind_dn or "", password.reveal() if password else "")
            timeout_s = self._patience_s(self._config.connect_timeout_s)
            _, _, _, controls = handle.result3(bound, 1, timeout_s, {_MUST_CHANGE: ResponseControl})
            self._must_change = any(control.controlType == _MUST_CHANGE for control in controls)
        except ldap.LDAPError as exc:
            raise self._not_bound(exc) from exc

    def pages(self, search: Search, size: int) -> Iterator[RawPage]:
        """Give the pages of a search (RFC 2696). The next one is asked for before one is given.

        Raises Incomplete wherever the server does not say that this was all.
        """
        found = 0
        try:
            message = self._ask(search, size, b"")
            while True:
                _, data, _, controls = self._bound().result3(message, 1, self._page_s())
                cookie = next((c.cookie for c in controls if isinstance(c, SimplePagedResultsControl)), b"")
                if cookie:
                    message = self._ask(search, size, cookie)
                page = _page(data)
                found += len(page.entries)
                yield page
                if not cookie:
                    return
        except ldap.LDAPError as exc:
            raise self._not_read(exc, search.base, found) from exc

    def prove_base(self, base: str) -> None:
        """Read the base itself: a right that is lost must not look like a directory that is empty."""
        try:
            message = self._bound().search_ext(base, ldap.SCOPE_BASE, "(objectClass=*)", ["1.1"])
            _, data, _, _ = self._bound().result3(message, 1, self._page_s())
            page = _page(data)
            if page.referrals and not page.entries:  # 389 DS's way to say so; others give a result code
                raise ldap.REFERRAL
        except ldap.LDAPError as exc:
            raise self._not_read(exc, base, 0) from exc
        if not page.entries:
            raise CredentialsRefused(f"{self._config.url}: {base} may not be read by {self._who}")

    def close(self) -> None:
        """Say good-bye and let go, whatever state the connection is in."""
        handle, self._ldap = self._ldap, None
        if handle is not None:
            with contextlib.suppress(ldap.LDAPError):  # it may be gone already, which is what is wanted
                handle.unbind()
        self._line.close()

    def cut(self) -> None:
        """End whatever the connection's own thread waits for, at once."""
        self._is_cut = True
        self._line.cut()

    # ------------------------------------------------------------------------------------ inside

    @property
    def _who(self) -> str:
        return self._config.bind_dn or "an anonymous bind"

    def _bound(self) -> SimpleLDAPObject:
        if self._ldap is None or self._is_cut:
            raise Incomplete(f"{self._config.url}: the read was given up")
        return self._ldap

    def _patience_s(self, limit_s: float) -> float:
        remaining_s = self._deadline.remaining_s()
        if remaining_s <= 0:
            raise Unreachable(f"{self._config.url}: the time allowed was over")
        return min(limit_s, remaining_s)

    def _page_s(self) -> float:
        return self._patience_s(self._config.page_timeout_s)

    def _handle(self, descriptor: int) -> SimpleLDAPObject:
        """Give libldap the line; it never connects by itself, neither again nor elsewhere."""
        handle = SimpleLDAPObject("ldap://scimd.invalid", fileno=descriptor)
        handle.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
        handle.set_option(ldap.OPT_REFERRALS, 0)
        handle.set_option(ldap.OPT_DEREF, ldap.DEREF_NEVER)
        return handle

    def _ask(self, search: Search, size: int, cookie: bytes) -> int:
        message: int = self._bound().search_ext(
            search.base,
            _SCOPES[self._config.scope],
            search.filter,
            list(search.attributes),
            serverctrls=[SimplePagedResultsControl(True, size=size, cookie=cookie)],
        )
        return message

    def _not_bound(self, exc: ldap.LDAPError) -> ConnectorError:
        url = self._config.url
        if self._config.bind_dn and isinstance(exc, _NO_PASSWORD):
            why = "".join(f": {word}" for word in _words(exc, "info"))  # that it has expired, say
            return CredentialsRefused(f"{url} does not accept the password of {self._who}{why}")
        if isinstance(exc, _NOT_LET_IN):
            return CredentialsRefused(f"{url} refuses {self._who}: {_said(exc)}")
        if isinstance(exc, ldap.BUSY):
            return RateLimited(f"{url} is busy", _BUSY_RETRY_S)
        if isinstance(exc, ldap.TIMEOUT):
            return Unreachable(f"{url} did not answer within {self._config.connect_timeout_s:g} seconds")
        if isinstance(exc, _LOST):
            return Unreachable(f"{url} broke the connection")
        return Unreachable(f"{url}: {_said(exc)}")

    def _not_read(self, exc: ldap.LDAPError, base: str, found: int) -> ConnectorError:
        url = self._config.url
        if isinstance(exc, ldap.NO_SUCH_OBJECT):
            return ConnectorError(f"{url}: {base} does not exist, or {self._who} may not see it")
        if isinstance(exc, ldap.REFERRAL):
            return ConnectorError(f"{url}: {base} is kept by another server, and referrals are not followed")
        if isinstance(exc, ldap.SIZELIMIT_EXCEEDED | ldap.ADMINLIMIT_EXCEEDED | ldap.TIMELIMIT_EXCEEDED):
            return Incomplete(
                f"{url} gave {found} entries below {base} and no more: {_said(exc)};"
                f" raise the limit of {self._who} for paged searches"
            )
        if isinstance(exc, ldap.TIMEOUT):
            return Incomplete(f"{url} did not answer any more, after {found} entries below {base}")
        if isinstance(exc, _LOST):
            return Incomplete(f"{url} broke the connection, after {found} entries below {base}")
        if isinstance(exc, _REFUSED):
            why = "; its password must be changed first" if self._must_change else ""
            return CredentialsRefused(f"{url}: {base} may not be read by {self._who}: {_said(exc)}{why}")
        if isinstance(exc, ldap.BUSY):
            return RateLimited(f"{url} is busy", _BUSY_RETRY_S)
        if isinstance(exc, ldap.FILTER_ERROR):
            return ConnectorError(f"{url}: a filter for {base} is not valid (RFC 4515)")
        if isinstance(exc, ldap.UNAVAILABLE_CRITICAL_EXTENSION):
            return ConnectorError(f"{url} does not give results in pages (RFC 2696)")
        return Incomplete(f"{url}: reading below {base} failed after {found} entries: {_said(exc)}")


_LOST = (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.LOCAL_ERROR, ldap.DECODING_ERROR)
_REFUSED = (
    ldap.INSUFFICIENT_ACCESS,
    ldap.STRONG_AUTH_REQUIRED,
    ldap.CONFIDENTIALITY_REQUIRED,
    ldap.AUTH_UNKNOWN,
    ldap.UNWILLING_TO_PERFORM,
    ldap.INAPPROPRIATE_AUTH,
)
_NO_PASSWORD = (ldap.INVALID_CREDENTIALS, ldap.INVALID_DN_SYNTAX, ldap.INAPPROPRIATE_AUTH)
#: The last one is 389 DS's for who is locked after wrong passwords.
_NOT_LET_IN = (*_REFUSED, *_NO_PASSWORD, ldap.CONSTRAINT_VIOLATION)


def _page(data: list[tuple[str | None, Any]]) -> RawPage:
    return RawPage([(dn, values) for dn, values in data if dn is not None], _referrals(data))


def _referrals(data: list[tuple[str | None, Any]]) -> list[list[str]]:
    return [[_text(address) for address in addresses] for dn, addresses in data if dn is None]


def _text(address: str | bytes) -> str:
    return address if isinstance(address, str) else address.decode("utf-8", "backslashreplace")


def _said(exc: ldap.LDAPError) -> str:
    """Give libldap's own words, on one line."""
    return " - ".join(_words(exc, "desc", "info")) or type(exc).__name__


def _words(exc: ldap.LDAPError, *keys: str) -> list[str]:
    """Give of them what is there and not empty, each on one line."""
    details = exc.args[0] if exc.args and isinstance(exc.args[0], dict) else {}
    return [words for key in keys if (words := " ".join(str(details.get(key) or "").split()))]
