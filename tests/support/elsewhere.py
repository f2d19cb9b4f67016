"""A door whose calls another one does, as one who answers and the process that writes have it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from scimd.org.tx import Door
from scimd.processes.calls import Desk, Elsewhere


@asynccontextmanager
async def written_by(writer: Door, door: Door) -> AsyncIterator[Desk]:
    """Have what ``door`` can do together with others done by ``writer``, through a socket."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    at_desk, desk = await loop.create_unix_connection(partial(Desk, writer), sock=ours)
    transport, door.elsewhere = await loop.create_unix_connection(Elsewhere, sock=theirs)
    try:
        yield desk
    finally:
        door.elsewhere = None
        transport.close()
        at_desk.close()
