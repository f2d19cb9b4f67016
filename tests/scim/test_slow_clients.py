"""Slow and stalled clients cost others nothing, and the process little memory (V19, lesson 13, F21)."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest
from yarl import URL

from tests.support.daemon import Daemon, Serve

PEOPLE = 20
_HEAD = (
    "POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n"
    "Content-Type: application/scim+json\r\n"
)
#: How a client can keep a connection busy without ever being done.
STALLS = {
    "nothing": b"",
    "half a line": b"POST /scim/v2/Us",
    "half a head": _HEAD.encode(),
    "no body": f"{_HEAD}Content-Length: 2000000\r\n\r\n".encode(),
    "half a body": f'{_HEAD}Content-Length: 2000000\r\n\r\n{{"userName":"'.encode() + b"x" * 100_000,
    "half a chunk": f"{_HEAD}Transfer-Encoding: chunked\r\n\r\nffff\r\n{{".encode(),
    "no answer read": b"GET /scim/v2/Schemas HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n\r\n" * 200,
}
