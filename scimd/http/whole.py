"""Answers that are sent in one go: the head is complete, the body is bytes, nothing is looked up between."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

SERVER = "scimd"
_EMPTY = frozenset((204, 304))
_LINES = {int(each): f"HTTP/1.1 {each.value} {each.phrase}" for each in HTTPStatus}


class Whole(web.Response):
    """A response that, once ``completed``, goes past the steps in which aiohttp prepares one.

    These cost as much as a read of the database. Where the connection is to be closed, the client is an
    old one, or only the head is wanted, they are taken all the same.
    """

    _completed = False
    _to: AbstractStreamWriter | None = None

    def completed(self, headers: Mapping[str, str]) -> None:
        """Add what every answer carries: no signal of the application will."""
        self.headers.update(headers)
        self._completed = True

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        body, status = self.body, self.status
        fits = isinstance(body, bytes) if status not in _EMPTY else body is None
        if (
            not (self._completed and fits and request.keep_alive)
            or super().keep_alive is not None
            or request.method == hdrs.METH_HEAD
            or request.version != HttpVersion11
        ):
            return await super().prepare(request)
        headers = self.headers
        if isinstance(body, bytes):
            headers[hdrs.CONTENT_LENGTH] = str(len(body))
        headers[hdrs.DATE] = _date(int(time.time()))
        headers[hdrs.SERVER] = SERVER
        self._to = request.writer
        await self._to.write_headers(_LINES[status], headers)
        return self._to

    async def write_eof(self, data: bytes = b"") -> None:
        if self._to is None:
            await super().write_eof(data)
        else:
            body = self.body
            await self._to.write_eof(body if isinstance(body, bytes) else b"")

    @property
    def keep_alive(self) -> bool | None:
        return self._to is not None or super().keep_alive

    @property
    def prepared(self) -> bool:
        return self._to is not None or super().prepared


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
