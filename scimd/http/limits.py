"""Bounds on what a request may cost before anybody understands it: size, time.

aiohttp decompresses gzip and deflate piece by piece, as the reader takes them, so the limit holds for
what comes out, not for what was sent. The application's own ``client_max_size`` guards ``read()`` and
forms; edges that read JSON use ``read_body``, which says what was too much.
"""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web

from scimd.core.errors import Overloaded, TooLarge

_ENCODINGS = frozenset(("", "identity", "gzip", "deflate"))
_PIECE = 65536


class SlowBody(Exception):
    """The request's body did not arrive in time."""


class UnreadableBody(Exception):
    """The request's body cannot be read: cut short, or not encoded as it says."""


class WrongMediaType(Exception):
    """The body is of a type, or in an encoding, that this address does not take."""


def check_media_type(request: web.Request, allowed: frozenset[str]) -> None:
    """Raise WrongMediaType for another type, charset or content encoding. No type at all will do."""
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    if encoding is not None and (encoding := encoding.strip().lower()) not in _ENCODINGS:
        raise WrongMediaType(f"The content encoding {encoding[:40]!r} is not taken; gzip and deflate are.")
    given = request.headers.get(hdrs.CONTENT_TYPE)
    if given is None or given in allowed:
        return
    if request.content_type not in allowed or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise WrongMediaType(f"Send {' or '.join(sorted(allowed))}, in UTF-8.")


async def read_body(request: web.Request, at_most: int, timeout_s: float) -> bytes:
    """The whole body, decompressed. Raises TooLarge, SlowBody, UnreadableBody."""
    if (request.content_length or 0) > at_most:
        raise TooLarge("The body in bytes", at_most)
    content = request.content
    pieces, size = [], 0
    try:
        if content.is_eof() and content.total_bytes <= at_most:
            return content.read_nowait()  # it came with the head, as small ones do: nothing to wait for
        async with asyncio.timeout(timeout_s):
            while piece := await content.read(_PIECE):
                size += len(piece)
                if size > at_most:
                    raise TooLarge("The body in bytes", at_most)
                pieces.append(piece)
    except TimeoutError as exc:
        raise SlowBody from exc
    except (web.PayloadAccessError, web.RequestPayloadError) as exc:
        raise UnreadableBody from exc
    return b"".join(pieces)


def out_of_time() -> Overloaded:
    """The refusal for a request that ran into its deadline."""
    return Overloaded(retry_after_s=2.0)
