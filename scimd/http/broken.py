"""Answers to what is no HTTP request at all, and to what broke before or after the application.

aiohttp would answer in plain text with a piece of what was sent, and log it whole; a header that is
too long may be a token. Here the answer says nothing of the request. It has the form of a SCIM error,
since the only machines that speak to scimd speak SCIM, and no path is known.
"""

from __future__ import annotations

from http import HTTPStatus

import orjson
from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from scimd import log

logger = log.get(__name__)

_DETAILS = {
    400: "The request is not HTTP as scimd takes it.",
    415: "The body's content encoding is not taken; gzip and deflate are.",
    431: "The request's address or one of its headers is too long.",
}


def install() -> None:
    """Let every connection of this process answer so. Doing it twice changes nothing."""
    RequestHandler.handle_error = _answer  # type: ignore[method-assign, assignment]


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
    elif isinstance(exc, ContentEncodingError):
        status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": str(int(status)),
        "detail": _DETAILS.get(status, "The request could not be answered."),
    }
    response = web.Response(status=status, body=orjson.dumps(body), content_type="application/scim+json")
    response.force_close()
    return response
