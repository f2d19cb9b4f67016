"""Signed tokens (JWT) of a source's own issuer: RFC 7519, RFC 8725, RFC 9068."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer
from joserfc import jwk, jwt

from scimd import config
from scimd.config import Jwt, Organization
from scimd.core.errors import NotUnique
from scimd.http import jwks
from scimd.http.jwks import KeySets, KeysUnavailable, parse
from scimd.http.outward import CannotFetch, fetch
from scimd.org import organizations, sources
from scimd.scim.jwt import Refused, Unproved, claimed, verify
from tests.scim.serving import Client, Installation

ISSUER, AUDIENCE, SUBJECT = "https://login.acme.example/", "https://scimd.example.com/scim/v2", "scim-push"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RSA = jwk.RSAKey.generate_key(2048, {"kid": "r1"})
OTHER = jwk.RSAKey.generate_key(2048, {"kid": "r1"})
EC = jwk.ECKey.generate_key("P-256", {"kid": "e1"})
ED = jwk.OKPKey.generate_key("Ed25519", {"kid": "o1"})


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def rules(**more: Any) -> Jwt:
    return Jwt(
        **{
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "jwks_file": "/nowhere",
            "subjects": [SUBJECT],
            "algorithms": ["RS256", "PS256", "ES256", "Ed25519"],
            **more,
        }
    )


def token(key: Any = RSA, alg: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token that is in order, but for what is given. A claim that is None is left out."""
    at = claims.pop("at", NOW).timestamp()
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "iat": at, "exp": at + 300, **claims}
    head = {"alg": alg, "kid": key.kid, "typ": "at+jwt", **(header or {})}
    return jwt.encode(
        {name: value for name, value in head.items() if value is not None},
        {name: value for name, value in body.items() if value is not None},
        key,
        algorithms=[alg],
    )


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def checked(text: str, keys: bytes | None = None, now: datetime = NOW, **more: Any) -> str:
    said = claimed(text)
    if said is None:
        raise Unproved("no such token")
    return verify(text, said, parse(keys or key_set(RSA, EC, ED)), rules(**more), now)


# ------------------------------------------------------------------------------ what is taken


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "Ed25519")])
def test_a_token_in_order_gives_its_subject(key: Any, alg: str) -> None:
    assert checked(token(key, alg)) == SUBJECT


def test_the_audience_may_be_one_of_several_and_the_type_may_be_missing() -> None:
    assert checked(token(aud=["x", AUDIENCE])) == SUBJECT
    assert checked(token(header={"typ": "JWT"})) == SUBJECT
    assert checked(token(iat=None)) == SUBJECT


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example/"},
        {"iss": ISSUER.rstrip("/")},
        {"aud": "another"},
        {"aud": AUDIENCE + "/"},
        {"aud": []},
        {"aud": None},
        {"aud": {"x": AUDIENCE}},
        {"iss": 7},
    ],
)
def test_another_issuer_or_audience_proves_nothing(claims: dict[str, Any]) -> None:
    with pytest.raises(Unproved):
        checked(token(**claims))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": None}, "has no end"),
        ({"exp": NOW.timestamp() - 61}, "has expired"),
        ({"exp": "2099"}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"nbf": NOW.timestamp() + 61}, "not valid yet"),
        ({"nbf": [1]}, "nbf is no time"),
        ({"iat": NOW.timestamp() + 61}, "made in the future"),
        ({"sub": "somebody"}, "subject"),
        ({"sub": None}, "subject"),
        ({"sub": [SUBJECT]}, "subject"),
    ],
)
def test_a_signed_token_that_is_not_acceptable_is_told_why(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        checked(token(**claims))


def test_clocks_may_be_off_by_the_leeway_and_no_more() -> None:
    edge = NOW.timestamp()
    assert checked(token(exp=edge - 59, nbf=edge + 60, iat=edge + 60)) == SUBJECT
    with pytest.raises(Refused):
        checked(token(exp=edge - 60))
    with pytest.raises(Refused):
        checked(token(exp=edge), leeway=0)


@pytest.mark.parametrize(
    ("wanted", "claim", "fits"),
    [
        ({"azp": "a"}, {"azp": "a"}, True),
        ({"azp": "a"}, {"azp": "b"}, False),
        ({"azp": "a"}, {}, False),
        ({"roles": "scim"}, {"roles": ["x", "scim"]}, True),
        ({"roles": "scim"}, {"roles": ["scimmer"]}, False),
        ({"n": 1}, {"n": True}, False),
        ({"n": True}, {"n": 1}, False),
        ({"n": True}, {"n": True}, True),
    ],
)
def test_claims_must_be_what_the_source_wants(wanted: Any, claim: Any, fits: bool) -> None:
    text = token(sub="anybody", **claim)
    if fits:
        assert checked(text, subjects=[], claims=wanted) == "anybody"
    else:
        with pytest.raises(Refused, match="claim"):
            checked(text, subjects=[], claims=wanted)


# ------------------------------------------------------------------------------ forgeries


def hmac_signed(secret: bytes) -> str:
    return jwt.encode(
        {"alg": "HS256", "kid": "r1"},
        {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "exp": NOW.timestamp() + 300},
        jwk.OctKey.import_key(base64.urlsafe_b64encode(secret).decode()),
        algorithms=["HS256"],
    )


def forgeries() -> dict[str, str]:
    good = token()
    head, body, signature = good.split(".")
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "exp": NOW.timestamp() + 300}
    return {
        "none": f"{part({'alg': 'none', 'kid': 'r1'})}.{part(claims)}.",
        "none with a signature": f"{part({'alg': 'none', 'kid': 'r1'})}.{part(claims)}.{signature}",
        "None": f"{part({'alg': 'None', 'kid': 'r1'})}.{part(claims)}.{signature}",
        "public key as secret": hmac_signed(RSA.as_bytes(private=False)[:64]),
        "another key of that id": token(OTHER),
        "claims changed": f"{head}.{part({**claims, 'admin': True})}.{signature}",
        "header changed": f"{part({'alg': 'PS256', 'kid': 'r1'})}.{body}.{signature}",
        "signature cut": good[:-2],
        "signature empty": f"{head}.{body}.",
        "signature of zeros": f"{head}.{body}.{'A' * len(signature)}",
        "own key in the header": token(OTHER, header={"jwk": OTHER.as_dict(private=False), "kid": None}),
        "own keys by address": token(OTHER, header={"jku": "https://evil.example/keys"}),
        "unknown key id": token(OTHER, header={"kid": "r9"}),
        "key id of another type": token(header={"kid": "e1"}),
        "critical extension": token(header={"crit": ["b64"], "b64": True}),
        "ID token": token(header={"typ": "logout+jwt"}),
        "algorithm not allowed": token(alg="RS512"),
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "five parts": f"{good}.{signature}.{signature}",
        "padded": f"{head}=.{body}.{signature}",
        "no JSON": f"{part('x')}.{body}.{signature}",
        "list": f"{part([1])}.{body}.{signature}",
        "too long": token(x="y" * 8000),
        "key id is a number": f"{part({'alg': 'RS256', 'kid': 1})}.{body}.{signature}",
    }


@pytest.mark.parametrize("name", forgeries())
def test_a_forgery_proves_nothing(name: str) -> None:
    with pytest.raises(Unproved):
        checked(forgeries()[name])


def test_without_a_key_id_the_one_key_that_fits_is_taken_and_of_two_none() -> None:
    text = token(header={"kid": None})
    assert checked(text, key_set(RSA, EC)) == SUBJECT
    second = jwk.RSAKey.generate_key(2048, {"kid": "r2"})
    with pytest.raises(Unproved, match="names no key"):
        checked(text, key_set(RSA, second))


def test_of_a_set_only_public_keys_for_signatures_are_taken() -> None:
    public = RSA.as_dict(private=False)
    weak = {**public, "n": base64.urlsafe_b64encode(b"\xff" * 128).rstrip(b"=").decode()}
    given = [
        RSA.as_dict(private=True),
        {**public, "use": "enc"},
        {**public, "alg": "HS256"},
        {**public, "alg": "RSA-OAEP"},
        weak,
        {"kty": "oct", "k": "c2VjcmV0", "kid": "s"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {**public, "kid": 7},
        "x",
        {},
    ]
    assert parse(json.dumps({"keys": given}).encode()) == ()
    (one,) = parse(json.dumps({"keys": [{**public, "alg": "PS256", "use": "sig"}]}).encode())
    assert one.algorithms == {"PS256"}
    for wrong in (b"[]", b"{}", b'{"keys": {}}', b"x", b""):
        with pytest.raises(ValueError, match=r"."):
            parse(wrong)


# ------------------------------------------------------------------------------ keys


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


# ------------------------------------------------------------------------------ fetching


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


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{tail:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/keys"))


async def test_a_name_that_leads_inside_is_not_called() -> None:
    calls = []

    async def handler(request: web.Request) -> web.Response:
        calls.append(request)
        return web.Response(body=b"{}")

    async with serving(handler) as url:
        named = url.replace("127.0.0.1", "keys.example")
        for reach in ("public", "private"):
            with pytest.raises(CannotFetch):
                await fetch(named, reach, at_most=100, timeout_s=5, resolver=Told("127.0.0.1"))  # type: ignore[arg-type]
            with pytest.raises(CannotFetch, match="is no"):
                await fetch(url, reach, at_most=100, timeout_s=5)  # type: ignore[arg-type]
        assert calls == []
        assert await fetch(named, "loopback", at_most=100, timeout_s=5, resolver=Told("127.0.0.1")) == b"{}"
        # Of several addresses only the allowed one is called.
        found = await fetch(
            named, "loopback", at_most=100, timeout_s=5, resolver=Told("10.9.9.9", "127.0.0.1")
        )
        assert (found, len(calls)) == (b"{}", 2)


async def test_no_redirect_no_large_answer_no_error_page_is_taken() -> None:
    async def handler(request: web.Request) -> web.Response:
        what = request.query["what"]
        if what == "redirect":
            raise web.HTTPFound("/keys?what=fine")
        return web.Response(
            status=500 if what == "error" else 200, body=b"x" * (200 if what == "large" else 10)
        )

    async with serving(handler) as url:
        for what, why in (("redirect", "302"), ("error", "500"), ("large", "larger than 100")):
            with pytest.raises(CannotFetch, match=why):
                await fetch(f"{url}?what={what}", "loopback", at_most=100, timeout_s=5)
        assert await fetch(f"{url}?what=fine", "loopback", at_most=100, timeout_s=5) == b"x" * 10


async def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with serving(handler) as url:
        with pytest.raises(CannotFetch, match=r"within 0\.2 s"):
            await fetch(url, "loopback", at_most=100, timeout_s=0.2)


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


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"algorithms": ["HS256"]}, "RS256"),
        ({"algorithms": ["none"]}, "RS256"),
        ({"algorithms": []}, "at least 1"),
        ({"jwks_url": "https://login.acme.example/keys"}, "either jwks_url or jwks_file"),
        ({"jwks_file": None}, "either jwks_url or jwks_file"),
        ({"subjects": []}, "name subjects or claims"),
        ({"leeway": "10m"}, "leeway must be"),
        ({"scopes": ["everything"]}, "must be some of"),
        ({"profile": "octa"}, "must be one of"),
    ],
)
def test_a_config_that_would_let_too_many_in_is_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rules(**more)


@pytest.mark.parametrize("rate", [0, 24.9, -1, float("inf"), float("nan")])
def test_a_rate_that_would_stop_entra_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="Entra ID needs 25 requests"):
        config.Scim(rate_per_token=rate)
    assert config.Scim(rate_per_token=25).rate_per_token == 25


# ------------------------------------------------------------------------------ over HTTP


@dataclass
class Company:
    """An organization whose source ``idp`` takes signed tokens, with an issuer on loopback."""

    scimd: Installation
    idp: Client
    url: str
    keys: list[Any] = field(default_factory=lambda: [RSA])

    def by(self, text: str) -> Client:
        return replace(self.idp, token=text)

    def now(self, **claims: Any) -> Client:
        return self.by(token(at=datetime.now(UTC), **claims))

    async def declare(self, name: str = "acme", **more: Any) -> None:
        source = {"name": "idp", "state": "active", "invite": "never"}
        jwt_section = {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "jwks_url": self.url,
            "subjects": [SUBJECT],
            **more,
        }
        wanted = Organization.model_validate({"name": name, "source": [{**source, "jwt": jwt_section}]})
        await organizations.declare(self.scimd.door, [wanted])


@pytest.fixture
async def company(scimd: Installation) -> AsyncIterator[Company]:
    keys = [RSA]

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=key_set(*keys))

    async with serving(handler) as url:
        company = Company(scimd, None, url, keys)  # type: ignore[arg-type]
        await company.declare()
        company.idp = await scimd.client(await organizations.by_slug(scimd.door, "acme"))
        yield company


async def test_a_signed_token_speaks_for_its_source(company: Company) -> None:
    user = await company.now().user("dana@acme.example")
    assert (await company.idp.get(f"/Users/{user['id']}")).status == 200
    schemes = (await company.idp.get("/ServiceProviderConfig")).json["authenticationSchemes"]
    assert [scheme["name"] for scheme in schemes][2] == "Signed token"


async def test_only_of_a_signed_token_the_reason_is_told(company: Company) -> None:
    late = datetime.now(UTC) - timedelta(hours=1)
    told = await company.by(token(at=late)).get("/Users")
    assert (told.status, "has expired" in told.json["detail"]) == (401, True)
    assert 'error="invalid_token"' in told.headers["WWW-Authenticate"]
    for forged in (token(OTHER, at=late), token(iss="https://evil.example/"), token(aud="x"), "a.b.c"):
        reply = await company.by(forged).get("/Users")
        assert (reply.status, reply.json["detail"]) == (401, "This token is unknown, expired or revoked.")


async def test_scopes_and_profile_are_the_sources(company: Company) -> None:
    await company.declare(scopes=["users:read"])
    assert (await company.now().get("/Users")).status == 200
    assert (await company.now().post("/Users", {"userName": "x"})).status == 403


async def test_a_paused_source_takes_no_signed_token_and_one_without_the_section_neither(
    company: Company,
) -> None:
    door, ctx = (
        company.scimd.door,
        company.scimd.context(await organizations.by_slug(company.scimd.door, "acme")),
    )
    assert (await company.now().get("/Users")).status == 200
    await sources.pause(door, ctx, company.idp.source_id)
    assert (await company.now().get("/Users")).status == 401
    await sources.set_state(door, ctx, company.idp.source_id, "active")
    assert (await company.now().get("/Users")).status == 200
    bare = {"name": "idp", "state": "active", "invite": "never"}
    await organizations.declare(door, [Organization.model_validate({"name": "acme", "source": [bare]})])
    assert (await company.now().get("/Users")).status == 401


async def test_a_changed_subject_counts_at_the_next_request(company: Company) -> None:
    assert (await company.now().get("/Users")).status == 200
    await company.declare(subjects=["another"])
    assert (await company.now().get("/Users")).status == 401
    assert (await company.now(sub="another").get("/Users")).status == 200


async def test_one_issuer_and_audience_is_one_source_of_the_installation(company: Company) -> None:
    with pytest.raises(NotUnique, match="another source of the installation"):
        await company.declare("other")
    await company.declare("other", audience="https://other.example")
    reply = await company.now(aud="https://other.example").get("/Users")
    assert (reply.status, reply.json["totalResults"]) == (200, 0)
    # A token for both is for neither: which one would it be?
    assert (await company.now(aud=[AUDIENCE, "https://other.example"]).get("/Users")).status == 401


async def test_keys_may_change_hands(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "AGAIN_S", 0.0)
    assert (await company.now().get("/Users")).status == 200
    new = jwk.RSAKey.generate_key(2048, {"kid": "r2"})
    company.keys[:] = [new]
    assert (await company.now(key=new).get("/Users")).status == 200
    assert (await company.now().get("/Users")).status == 401


async def test_where_no_keys_can_be_had_the_client_is_told_to_come_back(company: Company) -> None:
    await company.declare(jwks_url=None, jwks_file="/nowhere/keys.json")
    reply = await company.now().get("/Users")
    assert (reply.status, int(reply.headers["Retry-After"]) >= 1) == (503, True)
    assert "/nowhere" not in reply.json["detail"]


async def test_keys_come_from_a_file(company: Company, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(EC))
    await company.declare(jwks_url=None, jwks_file=str(file))
    assert (await company.now(key=EC, alg="ES256").get("/Users")).status == 200
    assert (await company.now().get("/Users")).status == 401


async def test_a_token_in_the_address_or_in_a_cookie_is_none(company: Company) -> None:
    signed = company.now().token
    api = company.idp.token
    for text in (signed, api):
        bare = replace(company.idp, token="")
        for headers in ({"Cookie": f"access_token={text}; scimd={text}"}, {"X-Auth-Token": text}):
            assert (await bare.get("/Users", headers={"Authorization": "", **headers})).status == 401
        reply = await bare.get("/Users", params={"access_token": text}, headers={"Authorization": ""})
        assert reply.status == 401


async def test_the_log_holds_no_token(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [company.idp.token, company.now().token, company.now(sub="x").token, token(OTHER)]
    for text in texts:
        await company.by(text).get("/Users")
        await company.by(text + "x").get("/Users")
    said = capsys.readouterr()
    assert "signed_token_refused" in said.out + said.err
    assert not any(text in said.out + said.err or text[-40:] in said.out + said.err for text in texts)
