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
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import ERROR, RequestHandler

from scimd import log

logger = log.get(__name__)

MEDIA_TYPE: Final = "application/scim+json"
_DETAILS = {
    400: "The request is not HTTP as scimd takes it.",
    431: "The request's address or one of its headers is too long.",
}


def install() -> None:
    """Let every connection of this process answer so. Doing it twice changes nothing."""
    RequestHandler.handle_error = _answer  # type: ignore[method-assign, assignment]


#: Of a request that stands for one that cannot be read; no client can send it.
NO_METHOD: Final = ""
_UNREADABLE: Final = ERROR._replace(method=NO_METHOD)


def readable(factory: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
    """Makes requests as the factory does, and of a target whose host is none one for ``unreadable``.

    aiohttp would end the connection's task there, with no answer and the connection open.
    """

    def make(message: Any, *rest: Any) -> web.BaseRequest:
        try:
            return factory(message, *rest)
        except ValueError:  # yarl's word, when the host is first asked for
            return factory(_UNREADABLE, *rest)

    return make


async def unreadable(request: web.BaseRequest) -> web.StreamResponse:
    """400, and the connection ends."""
    logger.info("not_http", error="host")
    return _refusal(HTTPStatus.BAD_REQUEST)


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
    if isinstance(exc, LineTooLong):
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return _refusal(status)


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
