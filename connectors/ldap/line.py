"""The line to the directory: connected and encrypted by Python, handed to libldap as a descriptor.

libldap could connect and encrypt by itself, but built on GnuTLS, as Debian builds it, its handshake
waits for a silent server for ever and cannot be interrupted; it takes laxness from ldap.conf and from
the environment; and it says "Can't contact LDAP server" to a wrong certificate and to a wrong name
alike. So TLS ends here, and libldap talks to one end of a socket pair, whose other end a thread
carries on. Whoever holds the line can cut it at any moment, whatever waits on it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from connectors.ldap.config import LdapConfig
from scimd.connector_api import Deadline, Unreachable

# RFC 4511 §4.14: an ExtendedRequest with message id 1 and the name 1.3.6.1.4.1.1466.20037.
_STARTTLS = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
_EXTENDED_RESPONSE = 0x78
_LONGEST_ANSWER = 65536
_PORTS = {"ldap": 389, "ldaps": 636}


class Line:
    """Connect it once, in one thread; ``cut`` it from any."""

    def __init__(self, config: LdapConfig, deadline: Deadline) -> None:
        self._config = config
        self._deadline = deadline
        self._url = urlsplit(config.url)
        self._grip: socket.socket | None = None
        self._carrier: threading.Thread | None = None
        self._is_cut = False

    def connect(self) -> int:
        """Give a connected descriptor, which whoever takes it closes; raises Unreachable."""
        timeout_s = min(self._config.connect_timeout_s, self._deadline.remaining_s())
        if timeout_s <= 0:
            raise Unreachable(f"{self._config.url}: the time allowed was over")
        with self._failures():
            plain = self._plain(timeout_s)
            try:
                self._hold(plain)
                if self._url.scheme == "ldaps" or self._config.start_tls:
                    return self._encrypted(plain)
                plain.settimeout(None)
                return plain.detach()
            except BaseException:
                plain.close()
                raise

    def cut(self) -> None:
        """End whatever waits on the line, at once and for good."""
        self._is_cut = True
        grip = self._grip
        if grip is not None:
            with contextlib.suppress(OSError):  # the other side, or close, was there first
                grip.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the line; allowed twice. Call it after libldap has closed its descriptor."""
        self.cut()
        if self._carrier is not None:
            self._carrier.join()
        grip, self._grip = self._grip, None
        if grip is not None:
            grip.close()

    # ------------------------------------------------------------------------------------ connecting

    def _plain(self, timeout_s: float) -> socket.socket:
        if self._url.scheme != "ldapi":
            port = self._url.port or _PORTS[self._url.scheme]
            plain = socket.create_connection((self._url.hostname or "", port), timeout_s)
            # Requests are small and their answers waited for: Nagle's algorithm costs 40 ms on each.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return plain
        local = socket.socket(socket.AF_UNIX)
        try:
            local.settimeout(timeout_s)
            local.connect(unquote(self._url.netloc))
        except BaseException:
            local.close()
            raise
        return local

    def _hold(self, plain: socket.socket) -> None:
        """Keep a descriptor of our own, which nobody closes under the hand that cuts."""
        self._grip = socket.socket(fileno=os.dup(plain.fileno()))
        if self._is_cut:
            self.cut()

    def _encrypted(self, plain: socket.socket) -> int:
        context = self._context()
        if self._config.start_tls:
            self._start_tls(plain)
        with contextlib.ExitStack() as undo:
            tls = undo.enter_context(context.wrap_socket(plain, server_hostname=self._url.hostname))
            inside, outside = socket.socketpair()
            undo.enter_context(outside)
            self._carrier = threading.Thread(
                target=_carry, args=(tls, outside), name="ldap-line", daemon=True
            )
            self._carrier.start()
            undo.pop_all()  # the carrier closes both
            return inside.detach()

    def _context(self) -> ssl.SSLContext:
        ca_file = self._config.ca_file
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except ssl.SSLError as exc:
            raise Unreachable(f"the CA file {ca_file} holds no certificate") from exc
        except OSError as exc:
            raise Unreachable(f"the CA file {ca_file} cannot be read: {exc.strerror}") from exc
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Python 3.13 demands extensions that many a company's own CA leaves out; trust is not less.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    def _start_tls(self, plain: socket.socket) -> None:
        """Ask for TLS; exactly the answer is read, so that nothing sent in clear passes for encrypted."""
        plain.sendall(_STARTTLS)
        code = _result_code(_message(plain))
        if code != 0:
            raise Unreachable(
                f"{self._config.url} refuses StartTLS (result code {code}); without it nothing is sent"
            )

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what connecting raises into a sentence; the order is from the special to the general."""
        url = self._config.url
        try:
            yield
        except ssl.SSLCertVerificationError as exc:
            by = f"the CA file {self._config.ca_file}" if self._config.ca_file else "the CAs of this system"
            raise Unreachable(f"{url}: its certificate is not trusted by {by}: {exc.verify_message}") from exc
        except ssl.SSLError as exc:
            raise Unreachable(f"{url}: no encrypted connection: {exc.reason or 'broken off'}") from exc
        except TimeoutError as exc:
            raise Unreachable(
                f"{url} did not answer within {self._config.connect_timeout_s:g} seconds"
            ) from exc
        except UnicodeError as exc:
            raise Unreachable(f"{url} cannot be reached: its host name is none") from exc
        except OSError as exc:
            # Without a text of the system's: somebody was reached, who hung up.
            why = exc.strerror or "it closed the connection; a port that is encrypted at once wants ldaps://"
            raise Unreachable(f"{url} cannot be reached: {why}") from exc
        except ValueError as exc:
            raise Unreachable(f"{url} does not speak LDAP") from exc


# ---------------------------------------------------------------------------------------- StartTLS


def _message(plain: socket.socket) -> bytes:
    """Read one LDAP message, without its outer tag and length; raises ValueError if it is none."""
    tag, length = _exactly(plain, 2)
    if length & 0x80:
        length = int.from_bytes(_exactly(plain, length & 0x7F), "big")
    if tag != 0x30 or length > _LONGEST_ANSWER:
        raise ValueError("not an LDAP message")
    return _exactly(plain, length)


def _exactly(plain: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = plain.recv(count - len(data))
        if not more:
            raise ConnectionResetError("closed before its answer was whole")
        data += more
    return data


def _result_code(message: bytes) -> int:
    """Read the result code of an ExtendedResponse; raises ValueError if it is none."""
    _, _, at = _element(message, 0)
    tag, start, _ = _element(message, at)
    if tag != _EXTENDED_RESPONSE:
        raise ValueError("not the answer to an extended request")
    _, start, end = _element(message, start)
    return int.from_bytes(message[start:end], "big")


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Give the tag, the first byte and the end of the BER element at a place."""
    if at + 2 > len(data):
        raise ValueError("cut off")
    length, start = data[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[at + 2 : start], "big")
    if start + length > len(data):
        raise ValueError("cut off")
    return data[at], start, start + length


# ---------------------------------------------------------------------------------------- carrying


def _carry(tls: ssl.SSLSocket, inner: socket.socket) -> None:
    """Carry bytes both ways until one side ends; then end both. Runs in a thread of its own."""
    with tls, inner, contextlib.suppress(OSError):  # broken is ended: libldap sees its own end close
        tls.setblocking(False)
        while True:
            # What TLS holds already decrypted makes no socket readable.
            readable, _, _ = select.select([tls, inner], [], [], 0 if tls.pending() else None)
            if inner in readable:
                data = inner.recv(65536)
                if not data:
                    return
                _send(tls, data)
            if not _receive(tls, inner):
                return


def _receive(tls: ssl.SSLSocket, inner: socket.socket) -> bool:
    """Hand over what has come, many small records at a time; False where nothing will follow."""
    records: list[bytes] = []
    is_open = True
    with contextlib.suppress(ssl.SSLWantReadError):
        while is_open and len(records) < 256:
            record = tls.recv(65536)
            is_open = bool(record)
            records.append(record)
    inner.sendall(b"".join(records))
    return is_open


def _send(tls: ssl.SSLSocket, data: bytes) -> None:
    while data:
        try:
            data = data[tls.send(data) :]
        except ssl.SSLWantWriteError:
            select.select([], [tls], [])
        except ssl.SSLWantReadError:
            select.select([tls], [], [])
