"""Answers that are sent in one go: the head is complete, the body is bytes, nothing is looked up between."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest
from multidict import CIMultiDict

SERVER = "scimd"
_EMPTY = frozenset((204, 304))
_LINES = {int(each): f"HTTP/1.1 {each.value} {each.phrase}\r\n" for each in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Always:
    """Headers that every answer carries, and how they look on the wire."""

    headers: Mapping[str, str]
    lines: bytes = field(init=False)

    def __post_init__(self) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        object.__setattr__(self, "lines", lines.encode())


class Whole(web.Response):
    """A response that, once ``completed``, goes past the steps in which aiohttp prepares one.

    These cost as much as a read of the database. Where the connection is to be closed, the client is an
    old one, or only the head is wanted, they are taken all the same; so they are where somebody asked for
    ``headers``. Only then is it made what aiohttp's own are.
    """

    _always: Always | None = None
    _to: AbstractStreamWriter | None = None

    def __init__(self, status: int, body: bytes | None, headers: dict[str, str]) -> None:
        """``headers`` are the response's own from here on, each name in one spelling."""
        self._status, self._body = status, body
        self._own: dict[str, str] | None = headers

    @property
    def headers(self) -> CIMultiDict[str]:
        own = self._own
        if own is not None:
            self._own = None
            super().__init__(status=self._status, body=self._body, headers=own)
            if self._always is not None:
                self._headers.update(self._always.headers)
        return self._headers

    def told(self, name: str) -> str | None:
        """A header that it has."""
        return self.headers.get(name) if self._own is None else self._own.get(name)

    def tell(self, name: str, value: str) -> None:
        """Set a header."""
        if self._own is None:
            self.headers[name] = value
        else:
            self._own[name] = value

    def completed(self, always: Always) -> None:
        """Add what every answer carries: no signal of the application will."""
        if self._own is None:
            self.headers.update(always.headers)
        elif self._own.keys().isdisjoint(always.headers):
            self._always = always
        else:
            self.headers.update(always.headers)

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        own, always, body = self._own, self._always, self._body
        if (
            own is None
            or always is None
            or self._keep_alive is not None
            or (body is None) is not (self._status in _EMPTY)
            or not request.keep_alive
            or request.method == hdrs.METH_HEAD
            or request.version != HttpVersion11
        ):
            return await self._prepared_as_usual(request)
        head = _LINES[self._status]
        for name, value in own.items():
            if not value.isprintable():  # the end of a header, perhaps
                return await self._prepared_as_usual(request)
            head += f"{name}: {value}\r\n"
        tail = _tail(int(time.time()))
        if isinstance(body, bytes):
            length = b"Content-Length: %d\r\n" % len(body)
            message = b"".join((head.encode(), always.lines, length, tail, body))
        else:
            message = b"".join((head.encode(), always.lines, tail))
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._to = writer = request.writer
        writer.output_size += len(message)
        transport.write(message)
        return writer

    async def _prepared_as_usual(self, request: BaseRequest) -> AbstractStreamWriter | None:
        _ = self.headers
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        if self._to is None:
            await super().write_eof(data)
        else:
            await self._to.drain()

    @property
    def keep_alive(self) -> bool | None:
        return self._to is not None or super().keep_alive

    @property
    def prepared(self) -> bool:
        return self._to is not None or super().prepared


@lru_cache(maxsize=1)
def _tail(seconds: int) -> bytes:
    return f"Date: {formatdate(seconds, usegmt=True)}\r\nServer: {SERVER}\r\n\r\n".encode()
