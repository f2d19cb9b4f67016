"""Clients that shut their sending half and wait for the answer, as ``nc -N`` does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from scimd.http import half_closed
from tests.support.patience import AT_MOST_S, eventually

_POST = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
_LINGERS_S = 10 * AT_MOST_S
_FIVE = "".join(f"{_POST}{n:04}" for n in range(5))


class _Server:
    def __init__(self) -> None:
        self.begun = 0
        self.reads = True
        self.free = asyncio.Event()
        self.free.set()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.begun += 1
        await self.free.wait()
        return web.Response(text=f"[{(await request.read()).decode() if self.reads else ''}]")


@pytest.fixture
async def served() -> AsyncIterator[tuple[_Server, int]]:
    half_closed.install()
    found = _Server()
    server = web.Server(found.answer, keepalive_timeout=AT_MOST_S, lingering_time=_LINGERS_S)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield found, runner.addresses[0][1]
    await runner.cleanup()


async def _all(reader: asyncio.StreamReader) -> list[str]:
    """The bodies of all answers, once the server has closed the connection."""
    async with asyncio.timeout(AT_MOST_S):
        text = (await reader.read()).decode()
    return [part.partition("]")[0] for part in text.split("[")[1:]]


@pytest.mark.parametrize(
    ("sent", "answers", "slow"),
    [
        (_POST + "ping", ["ping"], False),
        (_POST + "ping", ["ping"], True),
        (_FIVE, ["0000", "0001", "0002", "0003", "0004"], False),
        (_FIVE, ["0000", "0001", "0002", "0003", "0004"], True),
        (_POST + "pi", [], False),
        (_POST[:-10], [], False),
        ("", [], False),
    ],
    ids=["one", "one-slow", "many", "many-slow", "half-a-body", "half-a-head", "nothing"],
)
async def test_what_came_whole_is_answered_and_then_the_connection_ends(
    served: tuple[_Server, int], sent: str, answers: list[str], slow: bool
) -> None:
    server, port = served
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if slow:
        server.free.clear()
    writer.write(sent.encode())
    writer.write_eof()
    if slow:
        await eventually(lambda: server.begun)
        server.free.set()
    assert await _all(reader) == answers
    writer.close()
    await writer.wait_closed()


async def test_who_has_the_last_answer_already_is_let_go_at_once(served: tuple[_Server, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served[1])
    writer.write(f"{_POST}ping".encode())
    await reader.readuntil(b"[ping]")
    writer.write_eof()
    assert await _all(reader) == []
    writer.close()
    await writer.wait_closed()


async def test_who_has_an_answer_and_says_no_more_of_the_body_is_let_go(served: tuple[_Server, int]) -> None:
    """aiohttp would wait for the rest, here for longer than anybody of us waits."""
    server, port = served
    server.reads = False
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{_POST}pi".encode())
    await reader.readuntil(b"[]")
    writer.write_eof()
    assert await _all(reader) == []
    writer.close()
    await writer.wait_closed()
