"""A request has its time, and what takes longer is answered all the same (V19, lesson 13)."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
import zlib
from functools import partial
from typing import Any

import pytest
import structlog
from yarl import URL

from scimd.http.patience import Limit, Within
from scimd.org.reading import reads
from scimd.scim import documents
from scimd.scim.app import ScimServer
from scimd.scim.exchange import LARGE_AT_ONCE, Exchange
from tests.scim.serving import PUBLIC_URL, Client, installed, reading
from tests.support.patience import AT_MOST_S, Stopwatch, eventually, so_much_later

_AT_ONCE_S = 10


@pytest.mark.parametrize("authentication", ["quick", "slow"])
async def test_body_that_does_not_arrive_is_given_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch, authentication: str
) -> None:
    authenticated = ScimServer._authenticated

    async def slowly(*args: Any) -> Any:
        await asyncio.sleep(0)  # from the first wait on the time counts
        so_much_later(monkeypatch, AT_MOST_S / 2)
        return await authenticated(*args)

    server = {"public_url": PUBLIC_URL, "request_timeout": AT_MOST_S}
    async with installed(database_url, server=server) as scimd:
        client = await scimd.client(await scimd.organization("acme"))
        if authentication == "slow":
            monkeypatch.setattr(ScimServer, "_authenticated", slowly)
        url, begun = URL(scimd.url), reading(monkeypatch)
        for head in ("Content-Length: 50", "Transfer-Encoding: chunked"):
            reader, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(
                f"POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n"
                f"{head}\r\n\r\n2\r\n{{ \r\n".encode()
            )
            await begun.wait()
            begun.clear()
            so_much_later(monkeypatch, AT_MOST_S * (0.92 if authentication == "quick" else 0.42))
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"application/scim+json" in answer
            writer.close()
        assert (await client.get("/Users")).json["totalResults"] == 0


async def test_answer_that_takes_too_long_is_a_503(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(*_: Any, **__: Any) -> None:
        await asyncio.sleep(10 * AT_MOST_S)

    server = {"public_url": PUBLIC_URL, "request_timeout": 1.5}
    async with installed(database_url, server=server) as scimd:
        client = await scimd.client(await scimd.organization("acme"))
        monkeypatch.setattr(reads, "scim_users", stuck)
        reply = await client.get("/Users")
        assert (reply.status, reply.json["status"]) == (503, "503")
        assert int(reply.headers["Retry-After"]) >= 1
        await eventually(partial(_is_answered, client, "/Groups"))


async def _is_answered(client: Client, path: str) -> bool:
    return (await client.get(path)).status == 200


async def test_few_large_bodies_are_in_hand_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V19: each may be a hundred megabytes of objects. A refusal makes room as an answer does."""
    parse, inside, most, met = documents.parse, 0, 0, threading.Condition()

    def slowly(raw: bytes) -> Any:
        nonlocal inside, most
        with met:
            inside += 1
            most = max(most, inside)
            met.notify_all()
            met.wait_for(lambda: most >= LARGE_AT_ONCE, AT_MOST_S)
        time.sleep(0.1)  # for one more to come
        with met:
            inside -= 1
        return parse(raw)

    async with installed(database_url) as scimd:
        client = await scimd.client(await scimd.organization("acme"))
        monkeypatch.setattr(documents, "parse", slowly)
        large = [{"userName": f"u{n}", "x": "y" * 300_000} for n in range(4)]
        refused = [{"userName": "", "x": "y" * 300_000} for _ in range(6)]
        replies = await asyncio.gather(*(client.post("/Users", body) for body in (*refused, *large)))
        assert sorted(reply.status for reply in replies) == [201] * 4 + [400] * 6
        assert most == LARGE_AT_ONCE


async def test_what_a_bulk_waited_is_of_its_time(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what it did is told: cut off by the deadline it would be answered as not begun."""
    message = Exchange.message

    async def late(ex: Exchange) -> Any:
        so_much_later(monkeypatch, AT_MOST_S * 0.85)
        return await message(ex)

    server = {"public_url": PUBLIC_URL, "request_timeout": AT_MOST_S}
    async with installed(database_url, server=server) as scimd:
        client = await scimd.client(await scimd.organization("acme"))
        monkeypatch.setattr(Exchange, "message", late)
        one = {"method": "POST", "path": "/Users", "bulkId": "a", "data": {"userName": "a"}}
        urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
        reply = await client.post("/Bulk", {"schemas": [urn], "Operations": [one]})
        assert [each["status"] for each in reply.json["Operations"]] == ["503"]


async def test_decompressed_body_is_bounded_and_a_small_one_is_taken(database_url: str) -> None:
    async with installed(database_url) as scimd:
        client = await scimd.client(await scimd.organization("acme"))
        packed = gzip.compress(b'{"userName":"packed"}')
        made = await client.post("/Users", packed, headers={"Content-Encoding": "gzip"})
        assert (made.status, made.json["userName"]) == (201, "packed")


_PACKED = zlib.compress(b'{"userName":"packed"}')
_BARE = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(b'{"userName":', mtime=0) + gzip.compress(b'"packed"}', mtime=0), 201),
        ("deflate", _BARE.compress(b'{"userName":"packed"}') + _BARE.flush(), 201),
        ("identity", b'{"userName":"packed"}', 201),
        ("deflate", _PACKED[:-5], 400),
        ("deflate", _PACKED + b"more", 400),
        ("deflate", b"\x78\x01" + b"\x00\x00\x00\xff\xff" * 200_000, 400),
        ("gzip", gzip.compress(b" ", mtime=0) * 20_000, 400),
        ("gzip", b"{}" * 100_000, 400),
        ("gzip", gzip.compress(b" " * 5_000_000, mtime=0), 413),
    ],
    ids=["parts", "bare", "plain", "cut", "tail", "nothing", "many-parts", "no-gzip", "bomb"],
)
async def test_a_compressed_body_is_read_or_refused_at_once(
    idp: Client, encoding: str, body: bytes, status: int
) -> None:
    watch = Stopwatch()
    reply = await idp.post("/Users", body, headers={"Content-Encoding": encoding})
    assert reply.status == status
    assert watch.seconds() < _AT_ONCE_S


async def _steps(*pauses: float) -> int:
    for pause in pauses:
        await asyncio.sleep(pause)
    return len(pauses)


@pytest.mark.parametrize("pauses", [(), (0.0,), (0.0, 0.001, 0.0)])
async def test_what_ends_in_time_gives_its_value(pauses: tuple[float, ...]) -> None:
    assert await Within(Limit(AT_MOST_S), _steps(*pauses)) == len(pauses)


async def test_what_waits_too_long_is_ended_wherever_it_waits() -> None:
    for pauses in ((10 * AT_MOST_S,), (0.0, 10 * AT_MOST_S)):
        with pytest.raises(TimeoutError):
            await Within(Limit(0.01), _steps(*pauses))


async def test_an_error_and_a_cancellation_come_through() -> None:
    async def fails(pause: float | None) -> None:
        if pause is not None:
            await asyncio.sleep(pause)
        raise LookupError

    for pause in (None, 0.0):
        with pytest.raises(LookupError):
            await Within(Limit(AT_MOST_S), fails(pause))

    ended: list[str] = []

    async def tidies() -> None:
        try:
            await asyncio.sleep(10 * AT_MOST_S)
        finally:
            await asyncio.sleep(0)
            ended.append("tidy")

    async def whole() -> None:
        await Within(Limit(AT_MOST_S), tidies())

    task = asyncio.create_task(whole())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["tidy"]


async def test_each_of_those_who_share_a_limit_has_its_own_time() -> None:
    limit = Limit(0.2)
    done: list[str] = []

    async def waiter(name: str, begins_after: float, takes: float) -> None:
        await asyncio.sleep(begins_after)
        try:
            await Within(limit, _steps(takes))
            done.append(name)
        except TimeoutError:
            done.append(f"{name} late")

    # The second ends before anybody is due, the others one after the other; then nobody waits.
    for _ in range(2):
        waits = (waiter("first", 0, 60), waiter("second", 0, 0), waiter("third", 0.05, 60))
        await asyncio.gather(*waits)
    assert done == ["second", "first late", "third late"] * 2
    assert await Within(limit, _steps(0.0)) == 1


async def test_who_answers_a_late_end_in_another_way_is_believed() -> None:
    async def insists() -> str:
        try:
            await asyncio.sleep(10 * AT_MOST_S)
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    assert await Within(Limit(0.01), insists()) == "done all the same"
    # Nothing of the cancellation is left for what the task does next.
    assert await Within(Limit(AT_MOST_S), _steps(0.0)) == 1


async def test_a_cancellation_by_somebody_else_is_none_by_the_limit() -> None:
    waiting = asyncio.create_task(_late(Limit(0.01)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def _late(limit: Limit) -> int:
    return await Within(limit, _steps(10 * AT_MOST_S))


async def test_a_server_ends_in_order_though_its_database_is_away(database_url: str) -> None:
    with structlog.testing.capture_logs() as lines:
        async with installed(database_url) as scimd:
            client = await scimd.client(await scimd.organization("acme"))
            assert (await client.get("/Users")).status == 200
            await scimd.door.db.aclose()
    assert "last_used_not_written" in [line["event"] for line in lines]
