"""Connections that are handed over: to whoever has the fewest, to nobody who is not there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import structlog
from aiohttp import ClientConnectorError, ClientSession, TCPConnector, web

from scimd.processes import connections
from scimd.processes.connections import Port, Taking
from tests.support.patience import AT_MOST_S


class Answering:
    """One who answers with their name."""

    def __init__(self, port: Port, name: str) -> None:
        ours, self._theirs = socket.socketpair()
        self.seen = port.join(ours)
        self.name = name
        self.told_to_end = asyncio.Event()

    async def begin(self, stack: AsyncExitStack) -> None:
        app = web.Application()
        app.router.add_get("/", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None
        self.taking = Taking(self._theirs, runner.server, self.told_to_end.set)
        stack.callback(self.taking.stop)
        self.taking.begin()

    async def _answer(self, request: web.Request) -> web.Response:
        return web.Response(text=f"{self.name} {request.remote}")

    def stop_still(self) -> None:
        """As a process does that was stopped."""
        asyncio.get_running_loop().remove_reader(self._theirs)

    def go_on(self) -> None:
        asyncio.get_running_loop().add_reader(self._theirs, self.taking._take)

    def vanish(self) -> None:
        """As a process does that is killed."""
        self.taking.stop()


@asynccontextmanager
async def port() -> AsyncIterator[tuple[Port, AsyncExitStack, str]]:
    async with AsyncExitStack() as stack:
        made = Port("127.0.0.1", 0)
        stack.callback(made.close)
        host, number = made.address
        yield made, stack, f"http://{host}:{number}/"
        for each in tuple(made.answerers):
            made.leave(each)


async def two(made: Port, stack: AsyncExitStack) -> list[Answering]:
    """Two who answer, as "a" and "b", once they are ready."""
    both = [Answering(made, name) for name in "ab"]
    for each in both:
        await each.begin(stack)
    await until(lambda: all(each.seen.ready for each in both))
    return both


async def ask(url: str, session: ClientSession) -> str:
    async with session.get(url) as answer:
        return await answer.text()


async def until(true: object) -> None:
    async with asyncio.timeout(AT_MOST_S):
        while not true():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_each_new_connection_goes_to_whoever_has_the_fewest() -> None:
    async with port() as (made, stack, url):
        both = await two(made, stack)
        clients = [await stack.enter_async_context(ClientSession()) for _ in range(6)]
        answers = [await ask(url, client) for client in clients]
        assert sorted(answers) == ["a 127.0.0.1"] * 3 + ["b 127.0.0.1"] * 3
        assert [each.seen.held for each in both] == [3, 3]
        # A connection that is kept stays where it is.
        assert [await ask(url, client) for client in clients] == answers
        for client, answer in zip(clients, answers, strict=True):
            if answer.startswith("a"):
                await client.close()
        await until(lambda: both[0].seen.held == 0)
        more = [await stack.enter_async_context(ClientSession()) for _ in range(3)]
        assert [await ask(url, client) for client in more] == ["a 127.0.0.1"] * 3


async def test_who_comes_before_anybody_answers_waits() -> None:
    async with port() as (made, stack, url), ClientSession() as client:
        waiting = asyncio.create_task(ask(url, client))
        late = Answering(made, "late")
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await late.begin(stack)
        assert await waiting == "late 127.0.0.1"


async def test_who_is_gone_gets_nothing_and_the_others_all() -> None:
    async with port() as (made, stack, url):
        a, _ = await two(made, stack)
        a.vanish()
        async with ClientSession(connector=TCPConnector(force_close=True)) as client:
            assert {await ask(url, client) for _ in range(5)} == {"b 127.0.0.1"}
        made.leave(a.seen)  # whoever started them sees it too


async def test_who_says_nothing_gets_no_connections_and_hangs_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_ASK_S", AT_MOST_S)  # asked by hand
    async with port() as (made, stack, url):
        a, b = await two(made, stack)
        a.stop_still()
        for _ in range(connections._SLOW + 1):
            assert not a.seen.hangs.is_set()
            made._ask()
            await until(lambda: b.seen.asked == 0)
        for _ in range(3):
            client = await stack.enter_async_context(ClientSession())
            assert await ask(url, client) == "b 127.0.0.1"
        with structlog.testing.capture_logs() as said:
            for _ in range(connections._HANGS):
                made._ask()
                await until(lambda: b.seen.asked == 0)
        assert [line["event"] for line in said] == ["answerer_hangs"]
        assert a.seen.hangs.is_set()
        assert not b.seen.hangs.is_set()
        a.go_on()
        await until(lambda: a.seen.asked == 0)


async def test_nobody_hangs_because_all_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    async with port() as (made, stack, _):
        one = Answering(made, "a")
        await one.begin(stack)
        await until(lambda: one.seen.ready)
        one.stop_still()
        one.seen.asked = connections._HANGS
        made._asked_at -= 3 * connections._ASK_S
        made._ask()
        assert one.seen.asked == 1
        assert not one.seen.hangs.is_set()


async def test_nobody_hangs_who_is_still_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_ASK_S", AT_MOST_S)  # asked by hand
    async with port() as (made, stack, _):
        ours, theirs = socket.socketpair()
        stack.enter_context(theirs)
        starting = made.join(ours)
        for _ in range(connections._HANGS + 2):
            made._ask()
        assert not starting.hangs.is_set()


async def test_who_answers_is_told_when_the_port_is_gone() -> None:
    async with port() as (made, stack, _):
        one = Answering(made, "a")
        await one.begin(stack)
        made.leave(one.seen)
        async with asyncio.timeout(AT_MOST_S):
            await one.told_to_end.wait()


async def test_closed_port_takes_nobody() -> None:
    async with port() as (made, stack, url):
        one = Answering(made, "a")
        await one.begin(stack)
        await until(lambda: one.seen.ready)
        made.close()
        async with ClientSession() as client:
            with pytest.raises(ClientConnectorError):
                await ask(url, client)


async def test_port_of_somebody_else_is_refused_and_nothing_stays_open() -> None:
    async with port() as (made, _, _):
        host, number = made.address
        with pytest.raises(OSError, match="in use"):
            Port(host, number)
