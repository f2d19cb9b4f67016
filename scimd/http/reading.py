"""Reading a form: only a form, only a small one, only for so long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web

from scimd.core.errors import TooLarge
from scimd.http.keys import CONFIG
from scimd.http.limits import SlowBody, UnreadableBody, WrongMediaType, check_media_type, read_body

FORM = "application/x-www-form-urlencoded"
AT_MOST = 65_536
_FIELDS = 1000
_LONGEST = 2000
_FORMS = frozenset((FORM,))
Pairs: TypeAlias = Sequence[tuple[str, str]]
_PAIRS = web.RequestKey[Pairs]("form", object)  # type: ignore[arg-type]


async def form_of(request: web.Request) -> Mapping[str, str]:
    """The fields that were sent; one that is too long, or holds NUL, counts as empty. As ``pairs_of``."""
    return {name: _text(value) for name, value in await pairs_of(request)}


async def pairs_of(request: web.Request) -> Pairs:
    """Names and values as they were sent. Reading them again costs nothing.

    415, 413, 408 or 400 for what is no such form. It is UTF-8: no browser sends a form of ours in another
    charset, and of some of Python's no database takes what comes out.
    """
    pairs = request.get(_PAIRS)
    if pairs is None:
        pairs = request[_PAIRS] = _parsed(await _body(request))
    return pairs


async def _body(request: web.Request) -> bytes:
    if request.content_type != FORM:
        raise web.HTTPUnsupportedMediaType
    try:
        check_media_type(request, _FORMS)
        return await read_body(request, AT_MOST, request.app[CONFIG].server.request_timeout.total_seconds())
    except WrongMediaType as exc:
        raise web.HTTPUnsupportedMediaType from exc
    except TooLarge as exc:
        raise web.HTTPRequestEntityTooLarge(AT_MOST, AT_MOST) from exc
    except SlowBody as exc:
        raise web.HTTPRequestTimeout from exc
    except UnreadableBody as exc:
        raise web.HTTPBadRequest from exc


def _parsed(body: bytes) -> Pairs:
    try:
        return parse_qsl(body.rstrip().decode(), keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError as exc:  # no UTF-8, or more fields than any form has
        raise web.HTTPBadRequest from exc


def _text(value: str) -> str:
    """No database holds NUL as text, and nothing that is typed is this long."""
    return "" if "\x00" in value or len(value) > _LONGEST else value
