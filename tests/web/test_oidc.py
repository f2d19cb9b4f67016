"""OpenID Connect (L1) with Canaille, a provider that others wrote, and with what a bad one may send."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import aiohttp
import orjson
import pytest

from scimd.config import Oidc, Organization
from scimd.connector_api import Secret
from scimd.core.errors import LinkInvalid, MayNotSignIn
from scimd.http import jwks
from scimd.org.authentication import oidc_sign_in, tickets
from scimd.org.authentication.oidc_sign_in import Identity
from scimd.org.identities import detaching, linking
from scimd.org.users import gates, local_people, people
from scimd.org.users.leaving import DropUser
from scimd.org.users.local_people import NewPerson
from scimd.web import oidc, oidc_provider
from scimd.web.oidc_provider import ProviderFault
from tests.org.looks import attempts_of
from tests.scim.signed import RSA
from tests.web.canaille_provider import CLIENT, EMAIL, PASSWORD, SECRET, USER, Provider, canaille
from tests.web.site import Site, site

BACK = "/o/acme/oidc/callback"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with canaille() as found:
        found.add_person()
        yield found


@pytest.fixture
async def acme(database_url: str, provider: Provider) -> AsyncIterator[Site]:
    declared = (_organization(provider.issuer), _organization(provider.issuer, "evil"))
    async with site(database_url, declared=declared) as found:
        provider.add_client(f"{found.url}{BACK}")
        yield found


def _organization(issuer: str, name: str = "acme") -> Organization:
    rules = Oidc(
        issuer=issuer, client_id=CLIENT, client_secret=Secret(SECRET), source="okta", label="Canaille"
    )
    return Organization(name=name, oidc=rules)


async def _begun(session: aiohttp.ClientSession, org: str = "acme", follow: str = "/") -> dict[str, str]:
    """What a sign-in that begins now asks of the provider."""
    path = f"/o/{org}/oidc?{urlencode({'next': follow})}"
    async with session.get(path, allow_redirects=False) as answer:
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


async def _back(session: aiohttp.ClientSession, path: str = BACK, **said: str) -> tuple[int, str]:
    """What a return with that answer shows."""
    async with session.get(path, params=said) as answer:
        return answer.status, await answer.text()


async def _through(session: aiohttp.ClientSession, path: str) -> tuple[int, str, str]:
    """Go where the site sends us, fill the provider's forms in, and come back: status, address, page."""
    async with session.get(path) as answer:
        url, page, status = str(answer.url), await answer.text(), answer.status
    for _ in range(4):
        if str(session._base_url) in url:
            break
        form = aiohttp.FormData(_filled(page))
        async with session.post(url, data=form) as answer:
            url, page, status = str(answer.url), await answer.text(), answer.status
    return status, url, page


def _filled(page: str) -> dict[str, str]:
    found = {}
    for tag in re.findall(r"<input[^>]*>", page):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        if name:
            found[name[1]] = value[1] if value else ""
    if "login" in found:
        found["login"] = USER
    if "password" in found:
        found["password"] = PASSWORD
    return found | {"answer": "accept"}


async def _dana(acme: Site, external_id: str = USER) -> Any:
    source = await acme.source("okta", invite="never")
    (person,) = await acme.push(source, {"userName": EMAIL, "displayName": "Dana", "externalId": external_id})
    return person


async def test_person_signs_in_at_the_provider_and_comes_back_to_the_page(acme: Site) -> None:
    await _dana(acme)
    async with acme.browser() as session:
        async with session.get("/o/acme/sign-in") as answer:
            assert "Sign in with Canaille" in await answer.text()
        status, url, page = await _through(session, "/o/acme/oidc?next=/my")
        assert (status, url.removeprefix(acme.url)) == (200, "/my"), page
        assert "Dana" in page
    (newest, *_) = await attempts_of(acme.door, acme.org_id)
    assert (newest.success, newest.reason) == (True, "identity provider")


async def test_nobody_is_made_and_the_attempt_is_written_down(acme: Site) -> None:
    await _dana(acme, "somebody-else")
    async with acme.browser() as session:
        status, _, page = await _through(session, "/o/acme/oidc")
        assert status == 403
        assert "nobody here has this identity" in page
        assert not [cookie for cookie in session.cookie_jar if cookie.key == "scimd"]
    (newest, *_) = await attempts_of(acme.door, acme.org_id)
    assert (newest.success, newest.reason) == (False, "nobody here has this identity")


async def test_answer_counts_once_and_in_the_browser_that_asked(acme: Site) -> None:
    await _dana(acme)
    async with acme.browser() as session, acme.browser() as thief:
        asked = await _begun(session)
        assert asked["code_challenge_method"] == "S256"
        assert asked["nonce"]
        assert (await _back(thief, code="x", state=asked["state"]))[0] == 401  # it has no such cookie
        for other in ("another", asked["state"][:16] + "another", ""):
            status, page = await _back(session, code="x", state=other)
            assert (status, "This sign-in is over" in page) == (401, True)
        assert (await _back(session, code="x", state=asked["state"]))[0] == 502  # taken to the provider
        assert (await _back(session, code="x", state=asked["state"]))[0] == 401


async def test_tabs_sign_in_beside_each_other_up_to_a_number(acme: Site) -> None:
    await _dana(acme)
    async with acme.browser() as session:
        tabs = []
        for _ in range(6):
            tabs.append((await _begun(session))["state"])
            acme.clock.ahead += timedelta(seconds=1)
        assert len(session.cookie_jar) == 4
        assert (await _back(session, error="access_denied", state=tabs[0]))[0] == 401
        for state in tabs[2:5]:
            assert (await _back(session, error="access_denied", state=state))[0] == 502
        assert len(session.cookie_jar) == 1
        assert (await _through(session, "/o/acme/oidc?next=/my"))[0] == 200
        assert (await _back(session, error="access_denied", state=tabs[5]))[0] == 502


async def test_answer_that_comes_to_another_organizations_address_goes_to_no_provider(
    acme: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mix-up (RFC 9700 §4.4): evil's provider sent the victim on to acme's."""
    asked: list[Oidc] = []

    async def claims(_: Any, rules: Oidc, **__: Any) -> Any:
        asked.append(rules)
        raise ProviderFault("tests")

    monkeypatch.setattr(oidc_provider.Providers, "claims", claims)
    async with acme.browser() as session:
        at_acme, at_evil = await _begun(session), await _begun(session, "evil")
        assert at_acme["redirect_uri"] == f"{acme.url}{BACK}"
        assert at_evil["redirect_uri"] == f"{acme.url}/o/evil/oidc/callback"
        said = {"code": "acme's", "iss": provider.issuer}
        assert (await _back(session, **said, state=at_evil["state"]))[0] == 502
        assert asked == []
        assert (await _back(session, **said, state=at_acme["state"]))[0] == 502
        assert len(asked) == 1


async def test_sign_in_page_and_its_ways_keep_where_somebody_wanted_to_go(
    database_url: str, provider: Provider
) -> None:
    wanted = quote("/people?search=a&after=b", safe="/?=")
    declared = (_organization(provider.issuer),)
    async with site(database_url, declared=declared, local_name=True) as acme, acme.browser() as session:
        provider.add_client(f"{acme.url}{BACK}")
        for path, ways in (
            ("/o/acme/sign-in", ("/o/acme/oidc", "/passkey")),
            ("/passkey", ("/sign-in",)),
        ):
            async with session.get(f"{path}?next={wanted}") as answer:
                page = await answer.text()
            for way in ways:
                assert f'href="{way}?next={wanted}"' in page
        state = (await _begun(session, follow="/my"))["state"]
        assert 'href="/o/acme/sign-in?next=/my"' in (await _back(session, error="x", state=state))[1]


async def test_error_of_the_provider_is_a_page_without_its_words(acme: Site) -> None:
    async with acme.browser() as session:
        state = (await _begun(session))["state"]
        said = {"error": "access_denied", "error_description": "<b>x", "state": state}
        status, page = await _back(session, **said)
    assert status == 502
    assert "could not sign you in" in page
    assert "access_denied" not in page


async def test_organization_without_a_provider_has_no_such_page(acme: Site) -> None:
    async with acme.browser() as session, session.get("/o/beta/oidc") as answer:
        assert answer.status == 404


# ------------------------------------------------------------------------------ whom it means


def _ticket(acme: Site) -> tickets.Ticket:
    return tickets.opened(acme.door, "oidc", tickets.issue(acme.door, "oidc", {"slug": "acme"}))


async def _enter(acme: Site, who: Identity, ticket: tickets.Ticket | None = None) -> Any:
    return await oidc_sign_in.enter(
        acme.door, "acme", who, ticket or _ticket(acme), ip="127.0.0.1", user_agent="tests"
    )


async def test_verified_email_counts_in_a_verified_domain_only(acme: Site) -> None:
    person = await _dana(acme, "another")
    who = Identity("unknown", EMAIL, "okta")
    with pytest.raises(MayNotSignIn):
        await _enter(acme, who)
    from scimd.org.organizations import domains

    await domains.declare(acme.door, acme.ctx, "acme.example")
    assert (await _enter(acme, who)).person_id == person
    with pytest.raises(MayNotSignIn):
        await _enter(acme, replace(who, email=None))


async def test_whoever_is_disabled_or_deprovisioned_stays_out_with_the_cause(acme: Site) -> None:
    person = await _dana(acme)
    await gates.disable(acme.door, acme.ctx, person)
    with pytest.raises(MayNotSignIn, match="disabled"):
        await _enter(acme, Identity(USER, None, "okta"))
    (newest, *_) = await attempts_of(acme.door, acme.org_id)
    assert newest.reason.startswith("disabled")


def _entry(name: str, external_id: str = USER) -> dict[str, str]:
    return {"userName": f"{name}@acme.example", "displayName": name, "externalId": external_id}


@pytest.mark.parametrize("what", [detaching.detach, linking.unlink], ids=lambda f: f.__name__)
async def test_what_a_source_said_once_finds_nobody(acme: Site, what: Callable[..., Any]) -> None:
    okta = await acme.source("okta", invite="never")
    old = await local_people.add(acme.door, acme.ctx, NewPerson("dana@home.example"))
    await acme.push(okta, _entry("dana"))
    assert await linking.link(acme.door, acme.ctx, old, "okta", USER)
    assert (await _enter(acme, Identity(USER, None, "okta"))).person_id == old
    await what(acme.door, acme.ctx, old, "okta")
    if what is detaching.detach:
        with pytest.raises(MayNotSignIn, match="nobody here has this identity"):
            await _enter(acme, Identity(USER, None, "okta"))
    (new,) = await acme.push(okta, _entry("dora"))
    assert new != old
    # What was said of the other keeps nobody out.
    assert (await _enter(acme, Identity(USER, None, "okta"))).person_id == new


async def test_whom_a_source_dropped_is_told_so_and_comes_in_by_another_alone(acme: Site) -> None:
    okta, hr = [await acme.source(name, invite="never") for name in ("okta", "hr")]
    (dana,) = await acme.push(okta, _entry("dana"))
    ctx = replace(acme.ctx, source_id=okta.id)
    await acme.door.run(ctx, lambda tx: people.drop_users(tx, [DropUser(dana)]))
    with pytest.raises(MayNotSignIn, match=r"present: deprovisioned\."):
        await _enter(acme, Identity(USER, None, "okta"))
    await linking.link(acme.door, acme.ctx, dana, "hr", "h-1")
    assert await acme.push(hr, _entry("dana", "h-1")) == [dana]
    assert (await _enter(acme, Identity("h-1", None, "hr"))).person_id == dana
    with pytest.raises(MayNotSignIn, match="nobody here has this identity"):
        await _enter(acme, Identity(USER, None, "okta"))


async def test_ticket_opens_one_session(acme: Site) -> None:
    await _dana(acme)
    ticket = _ticket(acme)
    await _enter(acme, Identity(USER, None, "okta"), ticket)
    with pytest.raises(LinkInvalid):
        await _enter(acme, Identity(USER, None, "okta"), ticket)


# ------------------------------------------------------------------------------ what is believed

RULES = Oidc(issuer="https://idp.example", client_id="scimd", client_secret=Secret("s"), source="okta")
NOW = 1_770_000_000.0
GOOD: dict[str, Any] = {
    "iss": "https://idp.example", "aud": "scimd", "sub": "1", "nonce": "n", "iat": NOW, "exp": NOW + 300,
}  # fmt: skip
DISCOVERY: dict[str, Any] = {
    "issuer": "https://idp.example",
    "authorization_endpoint": "https://idp.example/a",
    "token_endpoint": "https://idp.example/t",
    "jwks_uri": "https://idp.example/k",
}


def test_good_claims_are_taken() -> None:
    oidc_provider._check(GOOD, RULES, "n", NOW)
    oidc_provider._check(GOOD | {"aud": ["scimd", "x"], "azp": "scimd", "nbf": NOW + 59}, RULES, "n", NOW)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://idp.example/"},
        {"iss": None},
        {"aud": "another"},
        {"aud": []},
        {"aud": ["scimd", "another"]},
        {"azp": "another"},
        {"nonce": "m"},
        {"nonce": None},
        {"exp": NOW - 61},
        {"exp": "soon"},
        {"exp": True},
        {"iat": NOW + 61},
        {"iat": None},
        {"nbf": NOW + 61},
        {"nbf": "soon"},
    ],
)
def test_other_claims_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProviderFault):
        oidc_provider._check(GOOD | wrong, RULES, "n", NOW)


@pytest.mark.parametrize("alg", ["none", "HS256", "EdDSA", None])
def test_unsigned_and_symmetric_tokens_are_refused(alg: str | None) -> None:
    header = base64.urlsafe_b64encode(orjson.dumps({"alg": alg})).rstrip(b"=").decode()
    with pytest.raises(ProviderFault, match=rf"\({alg}\) that is not taken"):
        oidc_provider._header(f"{header}.e30.")


@pytest.mark.parametrize(
    "body",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://idp.example/token"},
        {"jwks_uri": "ftp://idp.example/jwks"},
        {"authorization_endpoint": "https://user@idp.example/a"},
        {"token_endpoint": None},
        {"token_endpoint": "https://[::1/t"},
        {"jwks_uri": "https://idp.example:99999/k"},
        {"jwks_uri": "https://127。0。0。1/k"},
        {"authorization_endpoint": "https://idp.example/a\r\nSet-Cookie: a=b"},
        {"authorization_endpoint": "https://idp.example/a\x00"},
    ],
)
def test_discovery_document_of_another_or_without_tls_is_refused(body: dict[str, Any]) -> None:
    assert oidc_provider._endpoints(RULES, DISCOVERY).basic
    with pytest.raises(ProviderFault) as caught:
        oidc_provider._endpoints(RULES, DISCOVERY | body)
    assert next(iter(body)) in str(caught.value) or "issuer" in body


@pytest.mark.parametrize(
    ("methods", "basic"),
    [
        (["client_secret_post"], False),
        (["client_secret_post", "client_secret_basic"], True),
        ([], True),
        (None, True),
        (5, True),
        (True, True),
        ({}, True),
    ],
)
def test_secret_goes_where_the_provider_wants_it(methods: Any, basic: bool) -> None:
    said = {"token_endpoint_auth_methods_supported": methods}
    assert oidc_provider._endpoints(RULES, DISCOVERY | said).basic is basic


@pytest.mark.parametrize(
    ("promised", "said", "taken"),
    [
        (True, "https://idp.example", True),
        (True, None, False),
        (True, "https://other.example", False),
        (False, None, True),
        (False, "https://idp.example", True),
        (False, "https://other.example", False),
    ],
)
async def test_answer_names_its_issuer_where_the_provider_promises_it(
    monkeypatch: pytest.MonkeyPatch, promised: bool, said: str | None, taken: bool
) -> None:
    """RFC 9207 §2.4."""
    served = {
        "/.well-known/openid-configuration": DISCOVERY
        | {"authorization_response_iss_parameter_supported": promised},
        "/k": {"keys": [RSA.as_dict(private=False)]},
    }

    async def get(_: Oidc, url: str, __: Any = None) -> bytes:
        return orjson.dumps(served[urlsplit(url).path])

    monkeypatch.setattr(oidc_provider, "_get", get)
    checked = oidc_provider.Providers().check_issuer(RULES, said)
    if taken:
        await checked
    else:
        with pytest.raises(ProviderFault, match="iss"):
            await checked


async def test_provider_is_asked_once_by_many_and_at_a_bounded_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sign in: while it is away too, when what it said before goes on for a while."""
    now, away, asked = 1000.0, True, 0
    served = {"/.well-known/openid-configuration": DISCOVERY, "/k": {"keys": [RSA.as_dict(private=False)]}}

    async def get(_: Oidc, url: str, __: Any = None) -> bytes:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        if away:
            raise ProviderFault("no answer")
        return orjson.dumps(served[urlsplit(url).path])

    monkeypatch.setattr(oidc_provider, "_get", get)
    providers = oidc_provider.Providers(lambda: now)

    async def all_at_once(count: int = 50) -> list[Any]:
        many = (providers.check_issuer(RULES, None) for _ in range(count))
        return await asyncio.gather(*many, return_exceptions=True)

    assert {str(each) for each in await all_at_once()} == {"no answer"}
    assert asked == 1
    now, away = now + jwks.AGAIN_S, False
    assert await all_at_once() == [None] * 50
    assert asked == 3
    now, away = now + jwks.FRESH_S, True
    assert await all_at_once() == [None] * 50
    assert asked == 4


def test_email_counts_only_where_the_provider_says_verified() -> None:
    claims = GOOD | {"email": EMAIL}
    assert oidc.identity_of(claims, RULES).email is None
    assert oidc.identity_of(claims | {"email_verified": "true"}, RULES).email is None
    assert oidc.identity_of(claims | {"email_verified": True}, RULES).email == EMAIL
    for wrong in ("", None, 7, "x" * 256, "a\x00"):
        with pytest.raises(ProviderFault):
            oidc.identity_of(claims | {"sub": wrong}, RULES)


def test_well_known_address_keeps_the_issuers_path() -> None:
    assert oidc_provider.discovery_url("https://idp.example/t/") == urljoin(
        "https://idp.example/t/", ".well-known/openid-configuration"
    )
