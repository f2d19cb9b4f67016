"""Reading a form: only a form, only a small one, only for so long."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from scimd.http.keys import CONFIG

FORM = "application/x-www-form-urlencoded"
AT_MOST = 65_536
_LONGEST = 2000


async def form_of(request: web.Request) -> Mapping[str, str]:
    """The fields that were sent; one that is too long, or holds NUL, counts as empty.

    415, 413, 408 or 400 for what is no such form. Reading it again costs nothing.

    A form without files is never multipart, so nothing is ever spooled to disk.
    """
    if request.content_type != FORM:
        raise web.HTTPUnsupportedMediaType
    if (request.content_length or 0) > AT_MOST:
        raise web.HTTPRequestEntityTooLarge(AT_MOST, request.content_length or 0)
    try:
        async with asyncio.timeout(request.app[CONFIG].server.request_timeout.total_seconds()):
            form = await request.post()
    except TimeoutError as exc:
        raise web.HTTPRequestTimeout from exc
    except ValueError as exc:  # no UTF-8, more fields than aiohttp takes, a broken encoding
        raise web.HTTPBadRequest from exc
    return {name: _text(value) for name, value in form.items() if isinstance(value, str)}


def _text(value: str) -> str:
    """No database holds NUL as text, and nothing that is typed is this long."""
    return "" if "\x00" in value or len(value) > _LONGEST else value
