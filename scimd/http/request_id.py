"""One id per request: in the log, in the audit, in the answer's ``X-Request-Id``."""

from __future__ import annotations

import random
import re
import time

from aiohttp import web

from scimd import log

CORRELATION: web.RequestKey[str] = web.RequestKey("correlation_id", str)
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")


def begin(request: web.Request) -> str:
    """Take the caller's id where it is harmless text, else make one; bind it to the log."""
    given = request.headers.get("X-Request-Id")
    correlation_id = given if given and _GIVEN.fullmatch(given) else _made()
    request[CORRELATION] = correlation_id
    # aiohttp makes a task for each request, and with it a context: there is nothing to take back.
    log.CORRELATION.set(correlation_id)
    return correlation_id


def _made() -> str:
    """Milliseconds, then 80 random bits: those of one moment lie side by side in an index."""
    return f"{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"


def of(request: web.Request) -> str:
    return request[CORRELATION]
