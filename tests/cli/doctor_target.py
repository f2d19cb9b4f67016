"""The faulty server in a thread of its own, so that a command can be run against it as it stands."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from tests.cli.faulty_scim import TOKEN, FaultyScim
from tests.support.patience import AT_MOST_S


@dataclass(frozen=True, slots=True)
class Target:
    scim: FaultyScim
    url: str


@contextmanager
def served(*faults: str, tls: ssl.SSLContext | None = None, token: str = TOKEN) -> Iterator[Target]:
    scim = FaultyScim(*faults, token=token)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(scim.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(AT_MOST_S)
    try:
        port = runner.addresses[0][1]
        yield Target(scim, f"{'https' if tls else 'http'}://127.0.0.1:{port}/scim/v2")
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(AT_MOST_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
