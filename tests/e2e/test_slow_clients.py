"""Slow and stalled clients cost others nothing, and the process little memory (V19, lesson 13, F21)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from yarl import URL

from tests.e2e.clients import idp, token
from tests.support.daemon import Daemon

_CLIENTS = 105
_CHUNKS = 20_000
_MOST_MIB = 512
CONFIG = """
[server]
port = PORT
public_url = "http://127.0.0.1:PORT"
[database]
url = "{database}"
[secrets]
key = ["env:SCIMD_TEST_KEY"]
[mail]
to = "folder"
folder = "mails"
[[organization]]
name = "acme"
"""
_HEAD = (
    "POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n"
    "Content-Type: application/scim+json\r\n"
)
#: How a client can keep a connection without ever being done.
STALLS = (
    "",
    "POST /scim/v2/Us",
    _HEAD,
    f"{_HEAD}Content-Length: 2000000\r\n\r\n",
    f'{_HEAD}Content-Length: 2000000\r\n\r\n{{"userName":"{"x" * 100_000}',
    f"{_HEAD}Transfer-Encoding: chunked\r\n\r\nffff\r\n{{",
    "GET /scim/v2/Schemas HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n\r\n" * 100,
)


def memory_mib(pid: int) -> float:
    """The resident memory of a process at its most."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


async def _attack(url: URL, text: str, ask: Callable[[], int]) -> list[int]:
    """Open all the slow connections, and meanwhile ask as an honest client does; the statuses.

    The slow ones are let go at the end only: whoever waited for one of them would wait until the server
    gives it up, and the honest client has gone by then.
    """
    writers = []
    for n in range(_CLIENTS):
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(STALLS[n % len(STALLS)].replace("TOKEN", text).encode())
        writers.append(writer)
    _, one_by_one = await asyncio.open_connection(url.host, url.port)
    writers.append(one_by_one)
    one_by_one.write(f"{_HEAD}Transfer-Encoding: chunked\r\n\r\n".replace("TOKEN", text).encode())

    async def trickle() -> None:
        with suppress(ConnectionError):
            for _ in range(_CHUNKS // 100):
                one_by_one.write(b"1\r\nx\r\n" * 100)
                await one_by_one.drain()

    trickling = asyncio.create_task(trickle())
    statuses = [await asyncio.to_thread(ask) for _ in range(40)]
    await trickling
    for writer in writers:
        writer.transport.abort()
    return statuses


def test_stalled_clients_and_one_byte_chunks_hold_up_nobody(
    daemons: Callable[..., Daemon], database_url: str, tmp_path: Path
) -> None:
    daemon = daemons(tmp_path, CONFIG.format(database=database_url))
    daemon.start()
    text = token(daemon)
    numbers = iter(range(1_000))
    with idp(daemon, text) as scim:

        def ask() -> int:
            return scim.create(f"honest-{next(numbers)}")[0]

        assert asyncio.run(_attack(URL(daemon.url), text, ask)) == [201] * 40
        assert ask() == 201
    assert daemon.process is not None
    family = (daemon.process.pid, *daemon.children())
    assert max(map(memory_mib, family)) < _MOST_MIB
