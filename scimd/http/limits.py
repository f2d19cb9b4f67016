"""Bounds on what a request may cost before anybody understands it: size, time.

A body is decompressed here, once it is whole, and not by aiohttp: what cannot be is the reader's to refuse,
and the limit holds for what was sent and for what comes out.
"""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import hdrs, web

from scimd.core.errors import Overloaded, TooLarge

_CHUNKED = "chunked"
_ENCODINGS = frozenset(("", "identity", "gzip", "deflate"))
_COMPRESSED = frozenset(("gzip", "deflate"))
#: zlib's word for a header of gzip.
_GZIP = 16
#: Nobody sends more than one; what is behind each is copied.
_PARTS = 100
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


def whole_field(request: web.Request, name: str) -> str | None:
    """A header field that may come in several lines, which are one list (RFC 9110 §5.3)."""
    return ",".join(request.headers.getall(name)) if name in request.headers else None


async def read_body(request: web.Request, at_most: int, timeout_s: float) -> bytes:
    """The whole body, decompressed. Raises TooLarge, SlowBody, UnreadableBody."""
    sent = await _sent(request, at_most, timeout_s)
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    return sent if encoding is None else _decoded(sent, encoding.strip().lower(), at_most)


async def _sent(request: web.Request, at_most: int, timeout_s: float) -> bytes:
    length = request.content_length
    if length is None and request.headers.get(hdrs.TRANSFER_ENCODING, _CHUNKED).lower() != _CHUNKED:
        raise UnreadableBody  # encoded in one more way, which nothing here takes off
    if (length or 0) > at_most:
        raise _too_large(at_most)
    content = request.content
    pieces, size = [], 0
    try:
        if content.is_eof() and content.total_bytes <= at_most:
            return content.read_nowait()  # it came with the head, as small ones do: nothing to wait for
        async with asyncio.timeout(timeout_s):
            while piece := await content.read(_PIECE):
                size += len(piece)
                if size > at_most:
                    raise _too_large(at_most)
                pieces.append(piece)
    except TimeoutError as exc:
        raise SlowBody from exc
    except (web.PayloadAccessError, web.RequestPayloadError, OSError) as exc:
        raise UnreadableBody from exc  # or the client is gone
    return b"".join(pieces)


def _decoded(sent: bytes, encoding: str, at_most: int) -> bytes:
    """gzip in one or more parts (RFC 1952 §2.2); deflate with zlib's header, and without, as some send it."""
    if encoding not in _COMPRESSED or not sent:
        return sent
    bare = encoding == "deflate" and sent[0] & 0x0F != zlib.DEFLATED
    window = -zlib.MAX_WBITS if bare else zlib.MAX_WBITS | (_GZIP if encoding == "gzip" else 0)
    pieces, room, rest = [], at_most + 1, sent
    for _ in range(_PARTS):
        part = zlib.decompressobj(window)
        try:
            pieces.append(part.decompress(rest, room))
        except zlib.error as exc:
            raise UnreadableBody from exc
        room -= len(pieces[-1])
        if room <= 0:
            raise _too_large(at_most)
        if not part.eof or (part.unused_data and encoding != "gzip"):
            raise UnreadableBody
        rest = part.unused_data
        if not rest:
            return b"".join(pieces)
    raise UnreadableBody


def _too_large(at_most: int) -> TooLarge:
    return TooLarge("The body in bytes", at_most)


def out_of_time() -> Overloaded:
    """The refusal for a request that ran into its deadline."""
    return Overloaded(retry_after_s=2.0)
