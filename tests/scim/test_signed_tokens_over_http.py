"""What a signed token opens, and what its holder is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from joserfc import jwk

from scimd.config import Jwt, Organization
from scimd.http import jwks
from scimd.http.jwks import KeySets
from scimd.org.declared import declared_organizations
from scimd.org.organizations import organizations
from scimd.org.sources import source_states
from scimd.scim.jwt import SignedTokens
from tests.scim.serving import Client, Installation
from tests.scim.signed import AUDIENCE, EC, ISSUER, OTHER, RSA, SUBJECT, key_set, serving, token
from tests.scim.test_request_log import logged


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
        await declared_organizations.declare(self.scimd.door, [wanted])


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
    await source_states.pause(door, ctx, company.idp.source_id)
    assert (await company.now().get("/Users")).status == 401
    await source_states.set_state(door, ctx, company.idp.source_id, "active")
    assert (await company.now().get("/Users")).status == 200
    bare = {"name": "idp", "state": "active", "invite": "never"}
    await declared_organizations.declare(
        door, [Organization.model_validate({"name": "acme", "source": [bare]})]
    )
    assert (await company.now().get("/Users")).status == 401


async def test_a_signed_token_that_is_refused_is_in_the_log_of_requests_and_a_forged_one_is_not(
    company: Company,
) -> None:
    late = datetime.now(UTC) - timedelta(hours=1)
    assert (await company.by(token(at=late)).get("/Users")).status == 401
    assert (await company.now(sub="another").get("/Users")).status == 401
    ctx = company.scimd.context(await organizations.by_slug(company.scimd.door, "acme"))
    await source_states.pause(company.scimd.door, ctx, company.idp.source_id)
    paused = await company.now().get("/Users")
    assert (paused.status, paused.json["detail"]) == (401, "The token's source is paused.")
    for forged in (token(OTHER, at=late), token(OTHER, at=datetime.now(UTC)), token(aud="x"), "a.b.c"):
        assert (await company.by(forged).get("/Users")).status == 401
    entries = await logged(company.scimd, company.idp)
    assert [(each.status, each.token_name, each.source_name) for each in entries] == [
        (401, ISSUER, "idp")
    ] * 3


async def test_a_paused_source_whose_issuer_gives_no_keys_refuses_all_the_same(company: Company) -> None:
    await company.declare(jwks_url=None, jwks_file="/nowhere/keys.json")
    ctx = company.scimd.context(await organizations.by_slug(company.scimd.door, "acme"))
    await source_states.pause(company.scimd.door, ctx, company.idp.source_id)
    assert (await company.now().get("/Users")).status == 401


async def test_for_a_paused_source_nobody_is_asked_for_keys(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def read(rules: Jwt) -> bytes:
        asked.append(rules.issuer)
        return key_set(RSA)

    ctx = company.scimd.context(await organizations.by_slug(company.scimd.door, "acme"))
    await source_states.pause(company.scimd.door, ctx, company.idp.source_id)
    signed = SignedTokens(company.scimd.door, KeySets(read))
    assert await signed.authenticate(token(OTHER, at=datetime.now(UTC))) is None
    assert await signed.authenticate(token(at=datetime.now(UTC))) is None
    assert asked == []


async def test_a_changed_subject_counts_at_the_next_request(company: Company) -> None:
    assert (await company.now().get("/Users")).status == 200
    await company.declare(subjects=["another"])
    assert (await company.now().get("/Users")).status == 401
    assert (await company.now(sub="another").get("/Users")).status == 200


async def test_one_issuer_and_audience_is_one_source_of_the_installation(company: Company) -> None:
    await company.declare("other")
    held = (await organizations.by_slug(company.scimd.door, "other")).held
    assert held["idp"].startswith(
        "jwt: issuer and audience are those of acme/idp, and a pair belongs to one."
    )
    assert (await company.now().get("/Users")).status == 200
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
