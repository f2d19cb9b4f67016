"""Row L1, its last part: sign-in at the organization's identity provider, which others wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator

import aiohttp
import pytest

from tests.support.installation import Browser, Installation, user_document
from tests.web.canaille_provider import CLIENT, EMAIL, PASSWORD, SECRET, USER, Provider, canaille


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with canaille() as found:
        found.add_person()
        yield found


@pytest.fixture
def more_config(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SCIMD_TEST_OIDC", SECRET)
    return (
        '[[organization]]\nname = "acme"\n[organization.oidc]\n'
        f'issuer = "{provider.issuer}"\nclient_id = "{CLIENT}"\nclient_secret = "env:SCIMD_TEST_OIDC"\n'
        'source = "okta"\nlabel = "Canaille"\n'
    )


def _form(page: str) -> dict[str, str]:
    found = {}
    for tag in re.findall(r"<input[^>]*>", page):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name:
            found[name[1]] = value[1] if value else ""
    return found


async def _through(session: aiohttp.ClientSession, home: str) -> tuple[int, str, str]:
    """Off to the provider, its forms filled in, and back: status, path, page."""
    async with session.get("/o/acme/oidc?next=/my") as answer:
        url, page, status = str(answer.url), await answer.text(), answer.status
    for _ in range(4):
        if url.startswith(home):
            break
        form = _form(page) | {"answer": "accept"}
        form |= {name: value for name, value in (("login", USER), ("password", PASSWORD)) if name in form}
        async with session.post(url, data=form) as answer:
            url, page, status = str(answer.url), await answer.text(), answer.status
    return status, url.removeprefix(home), page


async def test_l1_by_the_organizations_identity_provider(acme: Installation, provider: Provider) -> None:
    provider.add_client(f"{acme.url}/o/acme/oidc/callback")
    okta = await acme.idp()
    async with acme._own_session({"Sec-Fetch-Site": "same-origin"}) as session:
        browser = Browser(session, acme.url)
        assert "Sign in with Canaille" in await browser.get("/o/acme/sign-in")
        status, _, page = await _through(session, acme.url)
        assert (status, "nobody here has this identity" in page) == (403, True)  # people are never made
    assert await acme.api.items(f"/users?q={EMAIL}") == []
    await okta.post("/scim/v2/Users", user_document("dana", externalId=USER, userName=EMAIL))
    async with acme._own_session({"Sec-Fetch-Site": "same-origin"}) as session:
        status, path, page = await _through(session, acme.url)
        assert (status, path) == (200, "/my")
        assert "Dana" in page
    newest, *_ = await acme.cli("login-attempt", "list")
    assert (newest["success"], newest["reason"]) == (True, "identity provider")
