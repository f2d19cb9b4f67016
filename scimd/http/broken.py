"""Answers to what is no HTTP request at all, and to what broke before or after the application.

aiohttp would answer in plain text with a piece of what was sent, and log it whole; a header that is
too long may be a token. Here the answer says nothing of the request. It has the form of a SCIM error,
since the only machines that speak to scimd speak SCIM, and no path is known.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import ERROR, RequestHandler

from scimd import log

logger = log.get(__name__)

MEDIA_TYPE: Final = "application/scim+json"
_DETAILS = {
    400: "The request is not HTTP as scimd takes it.",
    431: "The request's address or one of its headers is too long, or it has too many headers.",
    505: "scimd speaks HTTP/1.1 and HTTP/1.0.",
}
#: What aiohttp's parser says of both as of any other bad message, but for its words.
_TOO_MANY, _VERSION = "Too many headers", "Invalid HTTP version"
_feed = RequestHandler.data_received


def install() -> None:
    """Let every connection of this process answer so. Doing it twice changes nothing."""
    RequestHandler.handle_error = _answer  # type: ignore[method-assign, assignment]
    RequestHandler.data_received = _received  # type: ignore[method-assign, assignment]


def _received(connection: RequestHandler, data: bytes) -> None:
    """What breaks in the middle of a body is told to whoever waits for the rest.

    aiohttp lines it up as the next request, which nobody reads before this one is answered.
    """
    _feed(connection, data)
    request = connection._current_request
    if request is None or not connection._messages or request.content.is_eof():
        return
    exc = getattr(connection._messages[-1][0], "exc", None)
    if exc is not None:
        connection._lingering_time = 0.0  # there is no end of this body to wait for
        request.content.set_exception(web.RequestPayloadError(str(exc)))


#: Of a request that stands for one that cannot be read; no client can send it.
NO_METHOD: Final = ""
_UNREADABLE: Final = ERROR._replace(method=NO_METHOD, path="400")
_OTHER_VERSION: Final = ERROR._replace(method=NO_METHOD, path="505")


def readable(factory: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
    """Makes requests as the factory does, and of what is not to be carried out one for ``unreadable``.

    Where the target's host is none, aiohttp would end the connection's task, with no answer and the
    connection open. Versions that it reads and does not speak it would take for HTTP/1.1.
    """

    def make(message: Any, *rest: Any) -> web.BaseRequest:
        if message.version != HttpVersion11 and message.version != HttpVersion10:
            return factory(_OTHER_VERSION, *rest)
        try:
            return factory(message, *rest)
        except ValueError:  # yarl's word, when the host is first asked for
            return factory(_UNREADABLE, *rest)

    return make


async def unreadable(request: web.BaseRequest) -> web.StreamResponse:
    """400 or 505, and the connection ends."""
    status = int(request.raw_path)
    logger.info("not_http", error="host" if status == HTTPStatus.BAD_REQUEST else "version")
    return _refusal(status)


def _answer(
    connection: RequestHandler,
    request: web.BaseRequest,
    status: int = 500,
    exc: BaseException | None = None,
    message: str | None = None,
) -> web.StreamResponse:
    if status >= 500:
        logger.error("connection_failed", status=status, error=type(exc).__name__, exc_info=exc)
    else:
        logger.info("not_http", error=type(exc).__name__)
    if request.writer.output_size > 0:
        raise ConnectionError("the answer was begun already; it cannot become an error")
    return _refusal(_better(status, exc))


def _better(status: int, exc: BaseException | None) -> int:
    """What is wrong with it, where HTTP has a status for that."""
    if not isinstance(exc, BadHttpMessage):
        return status
    if isinstance(exc, LineTooLong) or exc.message.startswith(_TOO_MANY):
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED if _VERSION in exc.message.partition("\n\n")[0] else status


def _refusal(status: int) -> web.StreamResponse:
    body = body_of(status, _DETAILS.get(status, "The request could not be answered."))
    response = web.Response(status=status, body=body, content_type=MEDIA_TYPE)
    response.force_close()
    return response


def body_of(status: int, detail: str) -> bytes:
    """A SCIM error (RFC 7644 §3.12)."""
    return orjson.dumps(
        {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": str(int(status)),
            "detail": detail,
        }
    )
