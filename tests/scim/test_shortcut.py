"""Requests reach SCIM past aiohttp's router, and answers leave past its preparing; nobody can tell."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from scimd.http.whole import Always, Whole
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


async def test_an_expectation_that_nobody_meets_is_refused_in_words_of_scim(idp: Client) -> None:
    """RFC 9110 §10.1.1."""
    reply = await idp.send("POST", "/Users", {"userName": "dana@acme.com"}, headers={"Expect": "a banana"})
    assert (reply.status, reply.headers["Content-Type"]) == (417, "application/scim+json")
    assert (reply.json["status"], reply.headers["Cache-Control"]) == ("417", "no-store")
    assert "100-continue" in reply.json["detail"]
    assert (await idp.get("/Users")).json["totalResults"] == 0


async def test_headers_come_in_the_same_order_on_every_way(idp: Client) -> None:
    user = await idp.user("dana@acme.com")
    made = await idp.post("/Users", {"userName": "robin@acme.com"})
    read = await idp.get(f"/Users/{user['id']}")
    closed = await idp.get(f"/Users/{user['id']}", headers={"Connection": "close"})
    common = ["x-request-id", "x-content-type-options", "cache-control", "referrer-policy"]
    common += ["content-security-policy", "strict-transport-security", "content-length", "date", "server"]
    for reply in (made, read, closed):
        names = [name.lower() for name in reply.headers if name != "Connection"]
        assert names == ["content-type", "location", "etag", *common]


def test_a_whole_answer_is_an_answer_of_aiohttp_for_whoever_asks() -> None:
    always = Always({"Cache-Control": "no-store", "Server": "scimd"})
    own, other, twice = (Whole(200, b"{}", {"ETag": 'W/"1-0"'}) for _ in range(3))
    for response in (own, other):
        response.tell("X-Request-Id", "one")
        response.completed(always)
    assert own.told("ETag") == 'W/"1-0"'
    assert [*own.headers.items()] == [
        ("ETag", 'W/"1-0"'),
        ("X-Request-Id", "one"),
        ("Cache-Control", "no-store"),
        ("Server", "scimd"),
    ]
    own.tell("etag", 'W/"2-0"')
    assert (own.told("ETag"), own.body, own.status, own.reason) == ('W/"2-0"', b"{}", 200, "OK")
    assert other.told("Cache-Control") is None
    twice.tell("Cache-Control", "private")
    twice.completed(always)
    assert twice.headers["Cache-Control"] == "no-store"


async def test_what_could_end_a_header_is_left_to_aiohttp_which_refuses_it() -> None:
    for value, ours in (("a", 1), ("ä", 1), ("a\r\nSet-Cookie: b", 0), ("a\0", 0)):
        transport = Mock(**{"is_closing.return_value": False})
        request = make_mocked_request("GET", "/", transport=transport)
        request.writer.output_size = 0
        response = Whole(200, b"{}", {"Location": value})
        response.completed(Always({}))
        await response.prepare(request)
        assert transport.write.call_count == ours


async def test_an_answer_to_somebody_who_is_gone_is_not_written() -> None:
    transport = Mock(**{"is_closing.return_value": True})
    response = Whole(204, None, {})
    response.completed(Always({}))
    with pytest.raises(ConnectionResetError):
        await response.prepare(make_mocked_request("GET", "/", transport=transport))
    transport.write.assert_not_called()
