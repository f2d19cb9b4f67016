"""Silent connections end, and many leave room for who asks (V19, F21, F22)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
import structlog.testing
from aiohttp import web
from yarl import URL

from scimd.http import room
from scimd.http.room import Room
from tests.scim.serving import installed
from tests.support.patience import AT_MOST_S, eventually

#: More than the system takes from us for a client that reads nothing.
_LARGE = 20_000_000
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Long(asyncio.Event):
    """What ``/long`` waits for, by how many it is waited for, and the room in which."""

    begun = 0
    room: Room

    async def answer(self, request: web.Request) -> web.Response:
        self.begun += 1
        await self.wait()
        return web.Response()

    def takes_nothing(self) -> bool:
        """Whether somebody has taken nothing for so long that they are the first to make room."""
        return self.room._in_the_way() in self.room._untaken

    async def looks_no_more(self, patch: pytest.MonkeyPatch) -> None:
        """The system may take some of an answer later for whoever takes nothing, and each look notes it."""
        looks = self.room._watch
        patch.setattr(room, "_LOOK_EVERY_S", 3600)
        await eventually(lambda: self.room._watch is not looks)


@asynccontextmanager
async def _served(
    at_most: int = 100, head_s: float = 60.0, stalled_s: float = 60.0, taken_s: float = 60.0
) -> AsyncIterator[tuple[str, int, _Long]]:
    done = _Long()

    async def short(request: web.Request) -> web.Response:
        return web.Response(text="short")

    app = web.Application()
    app.router.add_get("/long", done.answer)

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=bytes(_LARGE))

    app.router.add_get("/short", short)
    app.router.add_get("/large", large)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    done.room = Room(runner.server, at_most, head_s, stalled_s, taken_s)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield (*runner.addresses[0][:2], done)
    finally:
        done.set()
        await runner.cleanup()


async def _status(streams: Streams, path: str) -> int:
    await _ask(streams, path)
    return int((await _head(streams)).split()[1])


async def _ask(streams: Streams, path: str) -> None:
    streams[1].write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await streams[1].drain()


async def _head(streams: Streams) -> bytes:
    async with asyncio.timeout(AT_MOST_S):
        head = await streams[0].readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        await streams[0].readexactly(length)
    return head


async def _is_closed(streams: Streams) -> bool:
    try:
        async with asyncio.timeout(AT_MOST_S):
            return await streams[0].read(1) == b""
    except ConnectionError:
        return True
    finally:
        await _end(streams)


async def _end(*many: Streams) -> None:
    for _, writer in many:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@contextmanager
def _silent(host: str, port: int, number: int) -> Iterator[list[socket.socket]]:
    held = [socket.create_connection((host, port)) for _ in range(number)]
    try:
        yield held
    finally:
        for each in held:
            each.close()


@pytest.mark.parametrize("said", [b"", b"GET /sh", b"GET /short HTTP/1.1\r\nHost: x\r\n"])
async def test_who_has_asked_nothing_in_time_is_let_go_and_who_has_stays(said: bytes) -> None:
    async with _served(head_s=0.5) as (host, port, _):
        asked = await asyncio.open_connection(host, port)
        assert await _status(asked, "/short") == 200
        slow = await asyncio.open_connection(host, port)
        slow[1].write(said)
        assert await _is_closed(slow)
        assert await _status(asked, "/short") == 200
        await _end(asked)


async def test_the_silent_make_room_first_and_then_who_is_idle_for_longest() -> None:
    async with _served(at_most=3) as (host, port, _):
        first = await asyncio.open_connection(host, port)
        assert await _status(first, "/short") == 200
        silent = await asyncio.open_connection(host, port)
        second = await asyncio.open_connection(host, port)
        assert await _status(second, "/short") == 200
        with structlog.testing.capture_logs() as told:
            third = await asyncio.open_connection(host, port)
            assert await _status(third, "/short") == 200
            assert await _is_closed(silent)
            fourth = await asyncio.open_connection(host, port)
            assert await _status(fourth, "/short") == 200
            assert await _is_closed(first)
        assert [(each["event"], each["at_most"]) for each in told] == [("connections_full", 3)]
        for each in (second, third, fourth):
            assert await _status(each, "/short") == 200
        await _end(second, third, fourth)


async def test_where_all_are_busy_whoever_comes_is_told_to_come_again() -> None:
    async with _served(at_most=2) as (host, port, done):
        busy = [await asyncio.open_connection(host, port) for _ in range(2)]
        for each in busy:
            await _ask(each, "/long")
        await eventually(lambda: done.begun == 2)
        late = await asyncio.open_connection(host, port)
        head = await _head(late)
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 5\r\n" in head
        assert await _is_closed(late)
        done.set()
        for each in busy:
            assert (await _head(each)).startswith(b"HTTP/1.1 200 ")
        await _end(*busy)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(room, "_STALLED_IN_THE_WAY_S", 0.2)


async def _taken(streams: Streams, pause_s: float) -> int:
    """How many bytes come until the end, however that comes, of a client that reads slowly."""
    size = 0
    with suppress(ConnectionError):
        async with asyncio.timeout(AT_MOST_S):
            while piece := await streams[0].read(1 << 20):
                size += len(piece)
                await asyncio.sleep(pause_s)
    return size


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("more", ["", "Connection: close\r\n"])
async def test_who_takes_nothing_of_an_answer_is_let_go(more: str) -> None:
    async with _served(stalled_s=0.5) as (host, port, done):
        stalled = await asyncio.open_connection(host, port)
        await eventually(lambda: done.room._inside)
        stalled[1].write(f"GET /large HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
        await eventually(lambda: not done.room._inside)
        assert await _taken(stalled, 0) < _LARGE
        await _end(stalled)


@pytest.mark.usefixtures("hasty")
async def test_who_takes_an_answer_slowly_has_all_of_it_and_not_for_ever() -> None:
    async with _served(stalled_s=2) as (host, port, _):
        slow = await asyncio.open_connection(host, port)
        slow[1].write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert await _taken(slow, 0.1) > _LARGE
        await _end(slow)
    async with _served(taken_s=0.5) as (host, port, _):
        slow = await asyncio.open_connection(host, port)
        slow[1].write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert await _taken(slow, 0.1) < _LARGE
        await _end(slow)


@pytest.mark.usefixtures("hasty")
async def test_whoever_takes_nothing_makes_room_before_anybody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _served(at_most=2) as (host, port, done):
        idle = await asyncio.open_connection(host, port)
        assert await _status(idle, "/short") == 200
        stalled = await asyncio.open_connection(host, port)
        await _ask(stalled, "/large")
        await eventually(done.takes_nothing)
        await done.looks_no_more(monkeypatch)
        await eventually(done.takes_nothing)
        late = await asyncio.open_connection(host, port)
        assert await _status(late, "/short") == 200
        assert await _status(idle, "/short") == 200
        assert await _taken(stalled, 0) < _LARGE
        await _end(idle, stalled, late)


@pytest.mark.usefixtures("hasty")
async def test_who_took_nothing_for_a_while_and_asks_again_is_as_busy_as_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with _served(at_most=1) as (host, port, done):
        resumed = await asyncio.open_connection(host, port)
        await _ask(resumed, "/large")
        await eventually(done.takes_nothing)
        await done.looks_no_more(monkeypatch)  # the last look is before it goes on
        await _head(resumed)
        await _ask(resumed, "/long")
        await eventually(lambda: done.begun)
        late = await asyncio.open_connection(host, port)
        assert (await _head(late)).startswith(b"HTTP/1.1 503 ")
        done.set()
        assert (await _head(resumed)).startswith(b"HTTP/1.1 200 ")
        await _end(resumed, late)


async def test_silent_connections_without_end_keep_nobody_from_asking(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "room_for", lambda: 5)
    async with installed(database_url) as scimd:
        idp = await scimd.client(await scimd.organization("acme"))
        at = URL(scimd.url)
        with _silent(str(at.host), int(at.port or 0), 40):
            async with asyncio.timeout(AT_MOST_S):
                for _ in range(20):
                    assert (await idp.get("/Users?count=0")).status == 200


def test_files_remain_for_the_database() -> None:
    assert 1 <= room.room_for() <= 2000
