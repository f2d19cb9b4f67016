"""What a token may do: each endpoint asks for its scope, the operations of a bulk request too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import orjson
import pytest
from yarl import URL

from scimd.core.bearer import SCOPES
from scimd.http import rates
from scimd.http.rates import Buckets
from tests.scim.serving import Client, Installation, installed

USER, GROUP = {"userName": "dana@acme.example"}, {"displayName": "Engineering"}
PATCH = {"Operations": [{"op": "replace", "path": "displayName", "value": "D"}]}


async def replies(idp: Client, by: Client) -> dict[str, tuple[int, str]]:
    """Every endpoint, asked with the second token about what the first one made: status and detail."""
    found = {}
    for n, (name, body) in enumerate((("Users", USER), ("Groups", GROUP))):
        made = (await idp.post(f"/{name}", {**body, "externalId": f"x{n}"})).json
        one = f"/{name}/{made['id']}"
        asked = [
            ("GET", f"/{name}", None),
            ("GET", one, None),
            ("HEAD", one, None),
            ("POST", f"/{name}/.search", {}),
            ("PUT", one, {**body, "externalId": f"x{n}"}),
            ("PATCH", one, PATCH),
            ("DELETE", one, None),
            ("POST", f"/{name}", body),
        ]
        for method, path, sent in asked:
            reply = await by.send(method, path, sent)
            detail = reply.json.get("detail", "") if reply.raw else ""
            found[f"{method} {path.replace(made['id'], 'ID')}"] = (reply.status, detail)
    return found


@pytest.mark.parametrize("lacking", SCOPES)
async def test_every_endpoint_refuses_a_token_without_its_scope(scimd: Installation, lacking: str) -> None:
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    by = await scimd.client(org, scopes=[scope for scope in SCOPES if scope != lacking])
    kind, _, what = lacking.partition(":")
    for asked, (status, detail) in (await replies(idp, by)).items():
        method, _, path = asked.partition(" ")
        reads = method in ("GET", "HEAD") or path.endswith(".search")
        if kind in path.lower() and (what == "read") is reads:
            assert status == 403, asked
            assert method == "HEAD" or f"lacks the scope {lacking}." in detail
        else:
            assert status < 300, (asked, detail)


async def test_a_refusal_names_the_scope_in_the_challenge_and_changes_nothing(scimd: Installation) -> None:
    org = await scimd.organization("acme")
    by = await scimd.client(org, scopes=["users:read"])
    reply = await by.post("/Users", USER)
    assert reply.status == 403
    assert reply.headers["WWW-Authenticate"] == (
        'Bearer realm="scim", error="insufficient_scope", scope="users:write"'
    )
    assert (await by.get("/Users")).json["totalResults"] == 0


async def test_a_search_over_everything_needs_both_and_discovery_nothing(scimd: Installation) -> None:
    org = await scimd.organization("acme")
    one = await scimd.client(org, scopes=["users:read"])
    for reply in (await one.post("/.search", {}), await one.get(""), await one.get("/")):
        assert (reply.status, "groups:read" in reply.json["detail"]) == (403, True)
    both = await scimd.client(org, scopes=["users:read", "groups:read"])
    assert (await both.post("/.search", {})).status == 200
    for path in ("/ServiceProviderConfig", "/Schemas", "/ResourceTypes"):
        assert (await one.get(path)).status == 200
    assert (await one.send("OPTIONS", "/Groups")).status == 204


async def test_each_operation_of_a_bulk_request_is_asked_about(scimd: Installation) -> None:
    org = await scimd.organization("acme")
    by = await scimd.client(org, scopes=["users:write"])
    body = {
        "Operations": [
            {"method": "POST", "path": "/Users", "bulkId": "u", "data": USER},
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": GROUP},
        ]
    }
    reply = await by.post("/Bulk", body)
    user, group = reply.json["Operations"]
    assert (user["status"], group["status"]) == ("201", "403")
    assert "groups:write" in group["response"]["detail"]
    assert (await (await scimd.client(org)).get("/Groups")).json["totalResults"] == 0


# ------------------------------------------------------------------------------ rates


@asynccontextmanager
async def with_rate(url: str, rate: float) -> AsyncIterator[Installation]:
    async with installed(url, scim={"rate_per_token": rate}) as running:
        yield running


async def test_a_token_above_its_rate_is_told_when_to_come_back_and_others_go_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lesson 26 for SCIM: the key is the stored token. No time passes, however slow the machine is."""
    monkeypatch.setattr(rates, "Buckets", partial(Buckets, clock=lambda: 100.0))
    async with with_rate(database_url, 25) as scimd:
        org = await scimd.organization("acme")
        loud, quiet = await scimd.client(org), await scimd.client(org)
        # Neither a header nor another spelling of the path is a fresh bucket.
        found = [
            await loud.get(
                "/Users" if n % 2 else f"/users?filter=userName%20eq%20%22p{n}%22",
                headers={"X-Forwarded-For": f"10.0.0.{n}", "User-Agent": str(n), "X-Request-Id": str(n)},
            )
            for n in range(60)
        ]
        held = [reply for reply in found if reply.status == 429]
        assert {reply.status for reply in found} == {200, 429}
        assert len(found) - len(held) == 50  # two seconds' worth at once
        assert held[0].headers["Retry-After"] == "1"
        assert held[0].json["status"] == "429"
        assert held[0].headers["Content-Type"] == "application/scim+json"
        assert (await quiet.get("/Users")).status == 200


async def test_a_request_whose_body_comes_behind_its_head_counts_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "Buckets", partial(Buckets, clock=lambda: 100.0))
    async with with_rate(database_url, 25) as scimd:
        idp = await scimd.client(await scimd.organization("acme"))
        statuses = [await _sent_in_two(idp, {**GROUP, "displayName": f"g{n}"}) for n in range(51)]
        assert statuses == [201] * 50 + [429]


async def _sent_in_two(by: Client, body: dict[str, Any]) -> int:
    """POST a group: the head, and its body once the server has the head; the status of the answer."""
    url, sent = URL(by.url), orjson.dumps(body)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        "POST /scim/v2/Groups HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {by.token}\r\n"
        "Content-Type: application/json\r\nExpect: 100-continue\r\n"
        f"Content-Length: {len(sent)}\r\n\r\n"
    )
    writer.write(head.encode())
    first = await reader.readuntil(b"\r\n\r\n")
    if first.startswith(b"HTTP/1.1 100"):
        await asyncio.sleep(0.01)
        writer.write(sent)
        first = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return int(first.split()[1])


async def test_without_a_rate_nothing_is_held(idp: Client) -> None:
    assert {(await idp.get("/Users")).status for _ in range(120)} == {200}


def test_of_many_callers_the_longest_silent_are_forgotten() -> None:
    buckets = Buckets(1, 1, lambda: 0.0)
    assert [buckets.take("first"), buckets.take("first") > 0] == [0.0, True]
    for n in range(10_000):
        buckets.take(n)
    assert buckets.take("first") == 0.0
    assert len(buckets._left) == 10_000
