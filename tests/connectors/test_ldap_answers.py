"""What the LDAP connector makes of each answer: a scripted server says it, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.ldap.connector import LdapConnector
from scimd.connector_api import (
    ConnectorError,
    CredentialsRefused,
    Deadline,
    Incomplete,
    RateLimited,
    Secret,
    Unreachable,
)
from scimd.connector_testing import RecordingLog, read_whole
from tests.support.patience import AT_MOST_S

pytestmark = pytest.mark.usefixtures("python_ldap")

_BIND, _DONE, _EXTENDED, _REFERENCE = 0x61, 0x65, 0x78, 0x73


def answer(message: int, tag: int, code: int, text: bytes = b"") -> bytes:
    """A result, as RFC 4511 §4.1.9 writes it."""
    size = len(text)
    return bytes([0x30, 12 + size, 2, 1, message, tag, 7 + size, 10, 1, code, 4, 0, 4, size]) + text


def reference(message: int, url: bytes) -> bytes:
    """A SearchResultReference (RFC 4511 §4.5.2)."""
    size = len(url)
    return bytes([0x30, 7 + size, 2, 1, message, _REFERENCE, 2 + size, 4, size]) + url


@contextlib.asynccontextmanager
async def saying(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve one answer for each thing heard, then close; gives the address and what was heard."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in answers:
            heard.append(await reader.read(65536))
            writer.write(each)
            await writer.drain()
        heard.append(await reader.read(65536) if not answers else b"")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


async def read(changed: Mapping[str, Any]) -> None:
    settings = {
        "user_base": "ou=people,dc=x",
        "bind_dn": "cn=reader",
        "bind_password": Secret("reader-password"),
        "connect_timeout_s": AT_MOST_S,
        "page_timeout_s": AT_MOST_S,
        **changed,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    source = LdapConnector.open(LdapConnector.parse(given), RecordingLog(), Deadline.after(AT_MOST_S))
    await read_whole(source)


def clear(address: str) -> dict[str, Any]:
    return {"url": f"ldap://{address}", "start_tls": False, "allow_clear_text": True}


@pytest.mark.parametrize(
    ("code", "error", "word"),
    [
        (49, CredentialsRefused, "password"),
        (48, CredentialsRefused, "password"),
        (8, CredentialsRefused, "refuses cn=reader"),
        (13, CredentialsRefused, "refuses cn=reader"),
        (19, CredentialsRefused, "refuses cn=reader"),
        (53, CredentialsRefused, "refuses cn=reader"),
        (51, RateLimited, "busy"),
        (52, Unreachable, "unavailable"),
        (2, Unreachable, "rotocol"),
    ],
)
async def test_what_a_bind_is_answered(code: int, error: type[ConnectorError], word: str) -> None:
    async with saying(answer(1, _BIND, code)) as (address, _):
        with pytest.raises(error, match=word) as refused:
            await read(clear(address))
    assert "reader-password" not in str(refused.value)


async def test_what_the_directory_says_of_a_password_is_passed_on() -> None:
    async with saying(answer(1, _BIND, 49, b"password\n expired!")) as (address, _):
        with pytest.raises(CredentialsRefused, match=r"of cn=reader: password expired!$"):
            await read(clear(address))


@pytest.mark.parametrize(
    "answers",
    [(answer(1, _BIND, 48),), (answer(1, _BIND, 49),), (answer(1, _BIND, 0), answer(2, _DONE, 48))],
)
async def test_a_directory_that_lets_nobody_in_without_a_name_is_said_so(answers: tuple[bytes, ...]) -> None:
    anonymous = {"bind_dn": None, "bind_password": None}
    async with saying(*answers) as (address, _):
        with pytest.raises(CredentialsRefused, match=r"(by|refuses) an anonymous bind:"):
            await read({**clear(address), **anonymous})


async def test_a_base_that_is_answered_by_a_reference_is_kept_elsewhere() -> None:
    elsewhere = reference(2, b"ldap://other/dc=x") + answer(2, _DONE, 0)
    async with saying(answer(1, _BIND, 0), elsewhere) as (address, _):
        with pytest.raises(ConnectorError, match="kept by another server"):
            await read(clear(address))


@pytest.mark.parametrize(
    ("code", "error", "word"),
    [
        (0, CredentialsRefused, "may not be read"),
        (32, ConnectorError, "ou=people,dc=x does not exist"),
        (50, CredentialsRefused, "may not be read"),
        (10, ConnectorError, "referrals are not followed"),
        (3, Incomplete, "no more"),
        (4, Incomplete, "no more"),
        (11, Incomplete, "no more"),
        (12, ConnectorError, "pages"),
        (51, RateLimited, "busy"),
        (1, Incomplete, "failed after 0 entries"),
        (80, Incomplete, "failed after 0 entries"),
    ],
)
async def test_what_a_search_is_answered(code: int, error: type[ConnectorError], word: str) -> None:
    async with saying(answer(1, _BIND, 0), answer(2, _DONE, code)) as (address, _):
        with pytest.raises(error, match=word):
            await read(clear(address))


@pytest.mark.parametrize(
    "noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x30\x80", b"\x00" * 50, b"\x30\x03\x02\x01"]
)
async def test_a_server_that_speaks_something_else_is_unreachable(noise: bytes) -> None:
    async with saying(noise) as (address, _):
        with pytest.raises(Unreachable):
            await read(clear(address))


@pytest.mark.parametrize(
    "reply",
    [
        answer(1, _EXTENDED, 2),
        answer(1, _EXTENDED, 52),
        bytes.fromhex("3084000000100201017884000000070a010204000400"),
        answer(1, _BIND, 0),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x05\x02\x01\x01\x78\x7f",
        b"\x30\x02\x02\x7f",
        b"\x30\x00",
        b"\x30",
        b"",
        answer(1, _EXTENDED, 0),
        answer(1, _EXTENDED, 0) + answer(1, _BIND, 0),
        answer(1, _EXTENDED, 0) + b"\x15\x03\x03\x00\x02\x02\x28",
    ],
)
async def test_without_starttls_done_rightly_nothing_more_is_sent_in_clear(reply: bytes) -> None:
    """Somebody on the way who answers StartTLS must not get the password, whatever the answer."""
    async with saying(reply) as (address, heard):
        with pytest.raises(Unreachable):
            await read({"url": f"ldap://{address}"})
    assert b"1.3.6.1.4.1.1466.20037" in heard[0]
    assert b"reader" not in b"".join(heard)


async def test_ldaps_to_a_port_that_speaks_no_tls_is_unreachable() -> None:
    async with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (address, heard):
        with pytest.raises(Unreachable, match="no encrypted connection"):
            await read({"url": f"ldaps://{address}"})
    assert b"reader" not in b"".join(heard)


@pytest.mark.parametrize(
    "url",
    [
        "ldaps://127.0.0.1:1",
        "ldapi://%2Fnowhere%2Fldapi",
        "ldaps://no-such-host.invalid",
        f"ldaps://{'x' * 70}",
    ],
)
async def test_nobody_there_is_unreachable(url: str) -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        await read({"url": url})


@pytest.mark.parametrize(
    ("make", "word"),
    [(lambda path: None, "cannot be read"), (lambda path: path.write_text("no PEM"), "holds no certificate")],
)
async def test_a_ca_file_that_is_none_is_named(
    tmp_path: Path, make: Callable[[Path], Any], word: str
) -> None:
    ca_file = tmp_path / "ca.pem"
    make(ca_file)
    async with saying(b"") as (address, _):
        with pytest.raises(Unreachable, match=word) as refused:
            await read({"url": f"ldaps://{address}", "ca_file": str(ca_file)})
    assert str(ca_file) in str(refused.value)


async def test_a_deadline_that_is_over_opens_no_connection() -> None:
    async with saying(b"") as (address, heard):
        config = LdapConnector.parse({**clear(address), "user_base": "dc=x"})
        with pytest.raises(Unreachable, match="time allowed"):
            await read_whole(LdapConnector.open(config, RecordingLog(), Deadline.after(0)))
    assert not heard
