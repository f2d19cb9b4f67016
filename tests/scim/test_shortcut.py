"""Requests reach SCIM past aiohttp's router, and answers leave past its preparing; nobody can tell."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scim.serving import Client

#: What is another at each request, or says how the connection goes on.
_VARIES = ("Date", "Connection")


async def _answered(idp: Client, method: str, path: str, body: Any, **headers: str) -> tuple[Any, ...]:
    reply = await idp.send(method, path, body, headers={"X-Request-Id": "one-and-the-same", **headers})
    shown = {name: value for name, value in reply.headers.items() if name not in _VARIES}
    return reply.status, shown, reply.raw


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/Users/{id}", None),
        ("GET", "/Users?count=2", None),
        ("HEAD", "/Users/{id}", None),
        ("GET", "/Users/nobody", None),
        ("GET", "/Nothing", None),
        ("OPTIONS", "/Users", None),
        ("POST", "/Users", b"[]"),
        ("DELETE", "/Users/00000000-0000-0000-0000-000000000000", None),
    ],
)
async def test_every_way_of_a_request_gives_the_same_answer(
    idp: Client, method: str, path: str, body: Any
) -> None:
    path = path.format(id=(await idp.user("dana@acme.com"))["id"])
    straight = await _answered(idp, method, path, body)
    through_the_router = await _answered(idp, method, path, body, Expect="100-continue")
    to_be_closed = await _answered(idp, method, path, body, Connection="close")
    assert straight == through_the_router == to_be_closed
    assert straight[1]["Cache-Control"] == "no-store"
    assert straight[1]["Server"] == "scimd"


async def test_an_unchanged_resource_and_a_token_that_opens_nothing_are_answered_alike(idp: Client) -> None:
    user = await idp.user("dana@acme.com")
    for given in ({"If-None-Match": user["meta"]["version"]}, {"Authorization": "Bearer nonsense"}):
        straight = await _answered(idp, "GET", f"/Users/{user['id']}", None, **given)
        assert straight == await _answered(
            idp, "GET", f"/Users/{user['id']}", None, Expect="100-continue", **given
        )
        assert straight[0] in (304, 401)
