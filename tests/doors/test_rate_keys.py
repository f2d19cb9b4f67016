"""Lesson 26: what is counted is never named by the request.

SCIM's own rate stands in ``tests/scim/test_scopes.py``; here the doors of people and of programs.
"""

from __future__ import annotations

from functools import partial

import pytest
from aiohttp import encode_basic_auth

from scimd.http import rates
from scimd.http.rates import Buckets
from scimd.scim import oauth
from tests.doors.company import Company, Organization, company

#: What a request says of itself, and could say differently each time.
TRICKS: tuple[dict[str, str], ...] = tuple(
    {
        "X-Forwarded-For": f"10.0.0.{n}",
        "Forwarded": f"for=10.0.1.{n}",
        "X-Real-IP": f"10.0.2.{n}",
        "User-Agent": f"agent/{n}",
        "X-Request-Id": f"r-{n}",
        "Accept-Language": "de" if n % 2 else "en",
        "Cookie": f"a={n}",
    }
    for n in range(40)
)


def spellings(address: str, n: int) -> str:
    """The same address, as a client may write it."""
    return (address, address.upper(), f" {address}", address.title(), f"{address}\t")[n % 5]


async def sign_in(doors: Company, org: Organization, n: int) -> int:
    form = {
        "address": spellings(f"ada@{org.slug}.example", n),
        "password": f"wrong horse battery {n}",
        "next": f"/my?n={n}",
        "ip": f"10.9.9.{n}",
        "rate_key": str(n),
    }
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": doors.url, **TRICKS[n]}
    async with doors.http.post(
        f"{doors.url}/o/{org.slug}/sign-in", data=form, headers=headers, allow_redirects=False
    ) as answer:
        return answer.status


async def test_lesson_26_no_field_and_no_header_of_a_sign_in_is_a_fresh_bucket(open_doors: Company) -> None:
    org = await open_doors.organization()
    found = [await sign_in(open_doors, org, n) for n in range(15)]
    allowed = open_doors.door.settings.sign_in_attempts
    assert found == [401] * allowed + [429] * (15 - allowed)


async def test_lesson_26_nor_is_one_of_an_oauth_clients_guesses(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as come at once are looked at; from then on it is the peer's address that counts."""
    monkeypatch.setattr(rates, "Buckets", partial(Buckets, clock=lambda: 100.0))
    async with company(database_url) as doors:
        statuses = [await guess(doors, n) for n in range(40)]
    burst = statuses.index(429)
    assert burst > 0
    assert statuses == [401] * burst + [429] * (40 - burst)


async def guess(doors: Company, n: int) -> int:
    """Another client, another secret, in the header or in the body."""
    form = {"grant_type": "client_credentials", "n": str(n)}
    headers = dict(TRICKS[n])
    if n % 2:
        form |= {"client_id": f"c{n}", "client_secret": f"s{n}"}
    else:
        headers["Authorization"] = encode_basic_auth(f"c{n}", f"s{n}")
    async with doors.http.post(doors.url + oauth.TOKEN_ENDPOINT, data=form, headers=headers) as answer:
        return answer.status
