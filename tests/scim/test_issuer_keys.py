"""The keys of an issuer: which are taken, how long they are kept, whence they are fetched."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from scimd.config import Jwt
from scimd.http import jwks
from scimd.http.jwks import KeySets, KeysUnavailable, parse
from scimd.http.outward import CannotFetch, fetch
from tests.scim.signed import EC, RSA, key_set, rules, serving
from tests.support.patience import AT_MOST_S, eventually

_fetched = partial(fetch, at_most=100, timeout_s=AT_MOST_S)


@dataclass
class Issuer:
    """An issuer whose answers are told, and counted."""

    body: bytes | Exception
    asked: int = 0
    now: float = 1000.0

    async def read(self, _: Jwt) -> bytes:
        self.asked += 1
        if isinstance(self.body, Exception):
            raise self.body
        return self.body

    def keys(self) -> KeySets:
        return KeySets(self.read, lambda: self.now)


def test_of_a_set_only_public_keys_for_signatures_are_taken() -> None:
    public = RSA.as_dict(private=False)
    weak = {**public, "n": base64.urlsafe_b64encode(b"\xff" * 128).rstrip(b"=").decode()}
    long = {**public, "n": base64.urlsafe_b64encode(b"\x00" * 128 + b"\xff" * 128).rstrip(b"=").decode()}
    given = [
        RSA.as_dict(private=True),
        {**public, "use": "enc"},
        {**public, "key_ops": ["encrypt"]},
        {**public, "key_ops": "verify"},
        {**public, "alg": "HS256"},
        {**public, "alg": "RSA-OAEP"},
        weak,
        long,
        {**public, "e": "AQ"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "s"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {**public, "kid": 7},
        {**public, "alg": ["RS256"]},
        "x",
        {},
    ]
    assert parse(json.dumps({"keys": given}).encode()) == ()
    good = {**public, "alg": "PS256", "use": "sig", "key_ops": ["verify"]}
    (one,) = parse(json.dumps({"keys": [good]}).encode())
    assert one.algorithms == {"PS256"}
    for wrong in (b"[]", b"{}", b'{"keys": {}}', b"x", b""):
        with pytest.raises(ValueError, match=r"."):
            parse(wrong)


async def test_keys_are_kept_and_fetched_anew_after_a_while() -> None:
    issuer = Issuer(key_set(RSA))
    keys = issuer.keys()
    for _ in range(3):
        assert [key.kid for key in await keys.of(rules(), "r1")] == ["r1"]
    assert issuer.asked == 1
    issuer.now += jwks.FRESH_S
    issuer.body = key_set(EC)
    assert [key.kid for key in await keys.of(rules(), "r1")] == ["e1"]
    assert issuer.asked == 2


async def test_keys_that_are_held_are_had_without_asking() -> None:
    issuer = Issuer(key_set(RSA))
    keys = issuer.keys()
    assert not keys.held(rules())
    await keys.of(rules(), "r1")
    issuer.now += jwks.KEPT_S - 1
    assert [key.kid for key in keys.held(rules())] == ["r1"]
    issuer.now += 1
    assert not keys.held(rules())
    assert issuer.asked == 1


async def test_of_many_at_once_one_asks_and_all_have_the_answer() -> None:
    issuer = Issuer(key_set(RSA))

    async def slow(given: Jwt) -> bytes:
        await asyncio.sleep(0)
        return await issuer.read(given)

    keys = KeySets(slow, lambda: issuer.now)
    found = await asyncio.gather(*(keys.of(rules(), "r1") for _ in range(50)))
    assert {len(each) for each in found} == {1}
    assert issuer.asked == 1


async def test_an_unknown_key_id_fetches_at_a_bounded_rate() -> None:
    issuer = Issuer(key_set(RSA))
    keys = issuer.keys()
    await keys.of(rules(), "r1")
    issuer.body = key_set(RSA, EC)
    for n in range(50):
        await keys.of(rules(), f"made-up-{n}")
    assert issuer.asked == 1
    issuer.now += jwks.AGAIN_S
    assert [key.kid for key in await keys.of(rules(), "e1")] == ["r1", "e1"]
    for n in range(50):
        await keys.of(rules(), f"made-up-{n}")
    assert issuer.asked == 2


async def test_where_the_issuer_is_away_its_keys_go_on_for_a_bounded_time() -> None:
    issuer = Issuer(key_set(RSA))
    keys = issuer.keys()
    await keys.of(rules(), "r1")
    issuer.body = CannotFetch("no answer")
    issuer.now += jwks.KEPT_S - 1
    assert [key.kid for key in await keys.of(rules(), "r1")] == ["r1"]
    issuer.now += 1
    with pytest.raises(KeysUnavailable):
        await keys.of(rules(), "r1")
    asked = issuer.asked
    with pytest.raises(KeysUnavailable) as caught:
        await keys.of(rules(), "r1")
    assert (issuer.asked, 0 < caught.value.retry_after_s <= jwks.AGAIN_S) == (asked, True)
    issuer.body = key_set(RSA)
    issuer.now += jwks.AGAIN_S
    assert await keys.of(rules(), "r1")


async def test_garbage_in_place_of_keys_leaves_the_old_ones(tmp_path: Path) -> None:
    issuer = Issuer(key_set(RSA))
    keys = issuer.keys()
    await keys.of(rules(), "r1")
    issuer.body, issuer.now = b"<html>", issuer.now + jwks.FRESH_S
    assert [key.kid for key in await keys.of(rules(), "r1")] == ["r1"]
    large = tmp_path / "keys.json"
    large.write_bytes(b" " * 300_000)
    with pytest.raises(CannotFetch, match="larger"):
        await jwks.read_keys(rules(jwks_file=str(large)))


class Told(AbstractResolver):
    """Resolves every name to what is told."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0)
            for each in self.addresses
        ]

    async def close(self) -> None:
        return


async def test_a_name_that_leads_inside_is_not_called() -> None:
    calls = []

    async def handler(request: web.Request) -> web.Response:
        calls.append(request)
        return web.Response(body=b"{}")

    async with serving(handler) as url:
        named = url.replace("127.0.0.1", "keys.example")
        for reach in ("public", "private"):
            with pytest.raises(CannotFetch):
                await _fetched(named, reach, resolver=Told("127.0.0.1"))  # type: ignore[arg-type]
            for spelled in (url, url.replace("127.0.0.1", "127。0。0。1")):
                with pytest.raises(CannotFetch, match="is no"):
                    await _fetched(spelled, reach)  # type: ignore[arg-type]
        assert calls == []
        assert await _fetched(named, "loopback", resolver=Told("127.0.0.1")) == b"{}"
        # Of several addresses only the allowed one is called.
        found = await _fetched(named, "loopback", resolver=Told("10.9.9.9", "127.0.0.1"))
        assert (found, len(calls)) == (b"{}", 2)


#: Of OAuth (RFC 6749 §5.2), in order and not.
ERRORS = {
    "secret": b'{"error": "invalid_client", "error_description": "It has expired"}',
    "list": b'["invalid_client"]',
    "number": b'{"error": 7}',
    "lines": b'{"error": "a\\nb"}',
    "endless": b'{"error": "' + b"x" * 9000 + b'"}',
    "page": b"<html>",
}


async def test_no_redirect_no_large_answer_no_error_page_is_taken() -> None:
    async def handler(request: web.Request) -> web.Response:
        what = request.query["what"]
        if what == "redirect":
            raise web.HTTPFound("/keys?what=fine")
        if what in ERRORS:
            return web.Response(status=401, body=ERRORS[what])
        return web.Response(
            status=500 if what == "error" else 200, body=b"x" * (200 if what == "large" else 10)
        )

    async with serving(handler) as url:
        for what, why in (
            ("redirect", "302, and no redirect is followed"),
            ("error", "500"),
            ("large", "larger than 100"),
            ("secret", r"401 \(invalid_client\)$"),
            *((what, "401$") for what in ERRORS if what != "secret"),
        ):
            with pytest.raises(CannotFetch, match=why):
                await _fetched(f"{url}?what={what}", "loopback")
        assert await _fetched(f"{url}?what=fine", "loopback") == b"x" * 10


async def test_an_address_that_is_none_is_said_so() -> None:
    with pytest.raises(CannotFetch, match="its address cannot be read"):
        await _fetched("https://[::1/keys", "public")


async def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    given_up = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await given_up.wait()
        return web.Response()

    async with serving(handler) as url:
        with pytest.raises(CannotFetch, match=r"within 0\.2 s"):
            await fetch(url, "loopback", at_most=100, timeout_s=0.2)
        given_up.set()


async def test_names_that_take_long_to_resolve_hold_up_no_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, given_up = [], threading.Event()

    def slow(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        given_up.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    many = [
        asyncio.ensure_future(fetch("https://keys.example/", "public", at_most=1, timeout_s=AT_MOST_S))
        for _ in range(100)
    ]
    await eventually(lambda: asked)
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), AT_MOST_S / 2) == "done"
    given_up.set()
    assert {type(each) for each in await asyncio.gather(*many, return_exceptions=True)} == {CannotFetch}


@pytest.mark.parametrize(
    "url",
    [
        "http://login.acme.example/keys",
        "http://localhost/keys",
        "http://10.0.0.1/keys",
        "ftp://login.acme.example/keys",
        "file:///etc/passwd",
        "https://user:secret@login.acme.example/keys",
        "https://login.acme.example/keys#x",
        "https:///keys",
        "https://[::1/keys",
        "keys",
    ],
)
def test_keys_come_by_https(url: str) -> None:
    with pytest.raises(ValueError, match="must be an https address"):
        rules(jwks_file=None, jwks_url=url)
