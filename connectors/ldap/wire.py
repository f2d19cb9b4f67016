"""One connection to the directory: python-ldap, synchronous, used by one thread alone.

Everything that libldap may do wrong ends here as a :class:`ConnectorError`. libldap waits for the
rest of a message without any limit once its first byte is there, so a time-out of its own does not
bound a directory that trickles; ``cut`` does, from any thread, by closing the line underneath.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import ldap
from ldap.controls import SimplePagedResultsControl
from ldap.ldapobject import SimpleLDAPObject

from connectors.ldap.config import LdapConfig
from scimd.connector_api import (
    ConnectorError,
    CredentialsRefused,
    Deadline,
    Incomplete,
    RateLimited,
    Unreachable,
)

_SCOPES = {"subtree": ldap.SCOPE_SUBTREE, "one": ldap.SCOPE_ONELEVEL}
_TLS_1_2 = 0x303
_BUSY_RETRY_S = 60.0


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
    referrals: int


class Connection:
    """Open it, search, close it, from one thread; only ``cut`` may come from another."""

    def __init__(self, config: LdapConfig, deadline: Deadline) -> None:
        self._config = config
        self._deadline = deadline
        self._line: socket.socket | None = None
        self._is_cut = False
        self._ldap: SimpleLDAPObject | None = None

    def open(self) -> None:
        """Connect, encrypt and bind; raises Unreachable or CredentialsRefused."""
        self._ldap = handle = self._handle()
        try:
            if self._config.start_tls:
                handle.start_tls_s()
            password = self._config.bind_password
            bound = handle.simple_bind(self._config.bind_dn or "", password.reveal() if password else "")
            self._keep_line(handle)
            handle.result3(bound, 1, self._patience_s(self._config.connect_timeout_s))
        except ldap.LDAPError as exc:
            raise self._not_connected(exc) from exc

    def pages(self, search: Search, size: int) -> Iterator[RawPage]:
        """Give the pages of a search (RFC 2696). The next one is asked for before one is given.

        Raises Incomplete wherever the server does not say that this was all.
        """
        found = 0
        try:
            message = self._ask(search, size, b"")
            while True:
                timeout_s = self._patience_s(self._config.page_timeout_s)
                _, data, _, controls = self._bound().result3(message, 1, timeout_s)
                cookie = next((c.cookie for c in controls if isinstance(c, SimplePagedResultsControl)), b"")
                if cookie:
                    message = self._ask(search, size, cookie)
                page = RawPage([(dn, values) for dn, values in data if dn is not None], _referrals(data))
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
            _, data, _, _ = self._bound().result3(message, 1, self._patience_s(self._config.page_timeout_s))
        except ldap.LDAPError as exc:
            raise self._not_read(exc, base, 0) from exc
        if not [dn for dn, _ in data if dn is not None]:
            raise CredentialsRefused(f"{self._config.url}: {base} may not be read by {self._who}")

    def close(self) -> None:
        """Say good-bye and let go, whatever state the connection is in."""
        handle, self._ldap = self._ldap, None
        if handle is not None:
            with contextlib.suppress(ldap.LDAPError):  # it may be gone already, which is what is wanted
                handle.unbind()
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def cut(self) -> None:
        """End whatever the connection's own thread waits for, at once."""
        self._is_cut = True
        line = self._line
        if line is not None:
            with contextlib.suppress(OSError):  # already closed by the other side or by the thread
                line.shutdown(socket.SHUT_RDWR)

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

    def _handle(self) -> SimpleLDAPObject:
        """Make a handle whose every setting is its own: the system's ldap.conf may say anything."""
        timeout_s = self._patience_s(self._config.connect_timeout_s)
        handle = SimpleLDAPObject(self._config.url)
        handle.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
        handle.set_option(ldap.OPT_REFERRALS, 0)
        handle.set_option(ldap.OPT_DEREF, ldap.DEREF_NEVER)
        handle.set_option(ldap.OPT_RESTART, 1)
        handle.set_option(ldap.OPT_NETWORK_TIMEOUT, timeout_s)
        handle.set_option(ldap.OPT_TIMEOUT, timeout_s)
        handle.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
        handle.set_option(ldap.OPT_X_TLS_PROTOCOL_MIN, _TLS_1_2)
        ca_file = self._config.ca_file
        if ca_file is not None:
            _assert_readable(ca_file)
            handle.set_option(ldap.OPT_X_TLS_CACERTFILE, ca_file)
        try:
            handle.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        except (ldap.LDAPError, ValueError) as exc:
            raise Unreachable(f"the CA file {ca_file or 'of this system'} holds no certificate") from exc
        return handle

    def _keep_line(self, handle: SimpleLDAPObject) -> None:
        """Hold the socket by a descriptor of our own, which nobody closes under the hand that cuts."""
        self._line = socket.socket(fileno=os.dup(handle.fileno()))
        if self._is_cut:
            self.cut()

    def _ask(self, search: Search, size: int, cookie: bytes) -> int:
        message: int = self._bound().search_ext(
            search.base,
            _SCOPES[self._config.scope],
            search.filter,
            list(search.attributes),
            serverctrls=[SimplePagedResultsControl(True, size=size, cookie=cookie)],
        )
        return message

    def _not_connected(self, exc: ldap.LDAPError) -> ConnectorError:
        url = self._config.url
        if isinstance(exc, ldap.INVALID_CREDENTIALS | ldap.INVALID_DN_SYNTAX | ldap.INAPPROPRIATE_AUTH):
            return CredentialsRefused(f"{url} does not accept the password of {self._who}")
        if isinstance(exc, _REFUSED):
            return CredentialsRefused(f"{url} refuses {self._who}: {_said(exc)}")
        if isinstance(exc, ldap.BUSY):
            return RateLimited(f"{url} is busy", _BUSY_RETRY_S)
        if isinstance(exc, ldap.SERVER_DOWN | ldap.CONNECT_ERROR | ldap.TIMEOUT):
            return Unreachable(self._why_unreachable(exc))
        if self._config.start_tls and isinstance(exc, ldap.PROTOCOL_ERROR | ldap.UNAVAILABLE):
            return Unreachable(f"{url} offers no StartTLS: {_said(exc)}; without it nothing is sent")
        return Unreachable(f"{url}: {_said(exc)}")

    def _why_unreachable(self, exc: ldap.LDAPError) -> str:
        """Tell a line that is down from a certificate that is not trusted: libldap says "down" to both."""
        url = urlsplit(self._config.url)
        if isinstance(exc, ldap.TIMEOUT) or self._is_cut:
            return f"{self._config.url} did not answer within {self._config.connect_timeout_s:g} seconds"
        if url.scheme == "ldapi" or not self._config.is_encrypted:
            return f"{self._config.url} cannot be reached: {_said(exc)}"
        try:
            port = url.port or (636 if url.scheme == "ldaps" else 389)
            socket.create_connection((url.hostname or "", port), self._config.connect_timeout_s).close()
        except OSError as reason:
            return f"{self._config.url} cannot be reached: {reason.strerror or reason}"
        trusted = f"the CA file {self._config.ca_file}" if self._config.ca_file else "the CAs of this system"
        return (
            f"{self._config.url}: no encrypted connection; the certificate is not trusted by {trusted},"
            f" is out of date, or does not name {url.hostname} ({_said(exc)})"
        )

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
        if isinstance(exc, ldap.SERVER_DOWN | ldap.CONNECT_ERROR | ldap.TIMEOUT):
            what = "did not answer any more" if isinstance(exc, ldap.TIMEOUT) else "broke the connection"
            return Incomplete(f"{url} {what}, after {found} entries below {base}")
        if isinstance(exc, _REFUSED):
            return CredentialsRefused(f"{url}: {base} may not be read by {self._who}: {_said(exc)}")
        if isinstance(exc, ldap.BUSY):
            return RateLimited(f"{url} is busy", _BUSY_RETRY_S)
        if isinstance(exc, ldap.FILTER_ERROR):
            return ConnectorError(f"{url}: a filter for {base} is not valid (RFC 4515)")
        if isinstance(exc, ldap.UNAVAILABLE_CRITICAL_EXTENSION):
            return ConnectorError(f"{url} does not give results in pages (RFC 2696)")
        return Incomplete(f"{url}: reading below {base} failed after {found} entries: {_said(exc)}")


_REFUSED = (
    ldap.INSUFFICIENT_ACCESS,
    ldap.STRONG_AUTH_REQUIRED,
    ldap.CONFIDENTIALITY_REQUIRED,
    ldap.AUTH_UNKNOWN,
    ldap.UNWILLING_TO_PERFORM,
)


def _referrals(data: list[tuple[str | None, object]]) -> int:
    return sum(1 for dn, _ in data if dn is None)


def _said(exc: ldap.LDAPError) -> str:
    """Give libldap's own words, on one line."""
    details = exc.args[0] if exc.args and isinstance(exc.args[0], dict) else {}
    words = [str(details[key]) for key in ("desc", "info") if details.get(key)]
    return " ".join(" - ".join(words or [type(exc).__name__]).split())


def _assert_readable(ca_file: str) -> None:
    try:
        with open(ca_file, "rb") as file:
            file.read(1)
    except OSError as exc:
        raise Unreachable(f"the CA file {ca_file} cannot be read: {exc.strerror}") from exc
