"""From a request to a row of the table and back: reading, validating, acting once, rendering."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, get_args, get_origin

import orjson
from aiohttp import web
from pydantic import ValidationError

from scimd import log
from scimd.admin import lists, problems
from scimd.admin.endpoints import Call, Endpoint, body_of, etag_of
from scimd.admin.models import Download, Input, Listed, ListQuery, Output, Query, Refused, Rows
from scimd.core.errors import Forbidden, Refusal, RequestInProgress
from scimd.http import guard, statuses
from scimd.http.keys import CONFIG, DOOR
from scimd.http.limits import (
    SlowBody,
    UnreadableBody,
    WrongMediaType,
    check_media_type,
    read_body,
    whole_field,
)
from scimd.http.statuses import (
    FieldFault,
    InvalidRequest,
    MalformedBody,
    PreconditionRequired,
    UnsupportedMediaType,
)
from scimd.http.visits import visit_of
from scimd.org import idempotency
from scimd.org.idempotency import Once

logger = log.get(__name__)

BODY_AT_MOST = 1_048_576
#: So much of a file is there before its head is sent.
_BEGINNING = 65_536
_JSON = "application/json"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e]*"')


def handler_of(row: Endpoint) -> guard.Handler:
    """What the router calls for this row."""

    @guard.api(*row.needs)
    async def serve(request: web.Request) -> web.StreamResponse:
        request[problems.ROW] = row
        query = query_of(row, request)
        sent = await _body_bytes(row, request) if row.is_write else b""
        if row.is_write and request.body_exists:  # also of one that is empty, the end may be long in coming
            await guard.identify_again(request)
        body = _body(row, sent)
        call = await _call(row, request)
        if not row.is_write:
            return await _read(row, request, call, query)
        return await _write(row, request, call, query, body, sent)

    return serve


def options_of(methods: list[str]) -> guard.Handler:
    """OPTIONS: which methods the address takes (RFC 9110 §9.3.7)."""

    @guard.api()
    async def options(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204, headers={"Allow": ", ".join(methods)})

    return options


async def _call(row: Endpoint, request: web.Request) -> Call:
    door, visit = request.app[DOOR], await visit_of(request, "organization")
    if row.operators_only and not visit.holder.is_operator:
        raise Forbidden("of an operator")
    if_match = _if_match(request)
    if row.needs_if_match and if_match is None:
        raise PreconditionRequired
    ctx = visit.context(door, "api")
    path = dict(request.match_info)
    return Call(door, request.app[CONFIG], visit, ctx, path, if_match=if_match)


# ------------------------------------------------------------------------------ reading


def query_of(row: Endpoint, request: web.Request) -> Query:
    """The parameters by the row's model. Raises InvalidRequest."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(request.query):
        values = request.query.getall(name)
        if _is_list(row.query, name):
            found[name] = values
        elif len(values) == 1:
            found[name] = values[0]
        else:
            raise InvalidRequest((FieldFault(name, "is given more than once"),))
    try:
        return row.query.model_validate(found)
    except ValidationError as exc:
        raise problems.of_parameters(exc) from exc


def _is_list(query: type[Query], name: str) -> bool:
    field = query.model_fields.get(name)
    if field is None:
        return False
    kinds = (field.annotation, *get_args(field.annotation))
    return any(get_origin(kind) is list for kind in kinds)


async def _body_bytes(row: Endpoint, request: web.Request) -> bytes:
    config = request.app[CONFIG].server
    if not request.can_read_body:
        return b""  # of no type, whatever the client's library says
    try:
        check_media_type(request, frozenset((_JSON,)))
        sent = await read_body(
            request, min(BODY_AT_MOST, config.max_body_bytes), config.request_timeout.total_seconds()
        )
    except WrongMediaType as exc:
        raise UnsupportedMediaType(str(exc)) from exc
    except SlowBody as exc:
        raise web.HTTPRequestTimeout from exc
    except UnreadableBody as exc:
        raise MalformedBody("it is cut short, or not encoded as it says") from exc
    if sent and "Content-Type" not in request.headers:
        raise UnsupportedMediaType(f"Send {_JSON}, and say so in Content-Type.")
    return sent


def _body(row: Endpoint, sent: bytes) -> Input | None:
    """The body by the row's model. Raises MalformedBody, InvalidRequest."""
    if row.body is None:
        if sent.strip() not in (b"", b"{}"):
            raise InvalidRequest((FieldFault("", "no body is taken here"),))
        return None
    try:
        return row.body.model_validate_json(sent)
    except ValidationError as exc:
        raise problems.of_body(exc) from exc


def _if_match(request: web.Request) -> frozenset[str] | None:
    """Strong tags only: a weak one matches nothing (RFC 9110 §13.1.1)."""
    text = whole_field(request, "If-Match")
    if text is None:
        return None
    return frozenset("*") if text.strip() == "*" else frozenset(_tags(text))


def _tags(text: str) -> list[str]:
    return [found.group() for found in _TAG.finditer(text)]


# ------------------------------------------------------------------------------ acting


async def _read(row: Endpoint, request: web.Request, call: Call, query: Query) -> web.StreamResponse:
    if not row.is_list or not isinstance(query, ListQuery):
        return await _rendered(row, request, call, await _run(row, call, query, None))

    async def turn(of: Call) -> Listed[Any]:
        found: Listed[Any] = await _run(row, of, query, None)
        return found

    kind = lists.file_wanted(request, query)
    if kind is not None:
        return await _sent(request, await lists.whole(row, call, query, kind, turn))
    found = await turn(replace(call, window=lists.window_of(row, call, query)))
    return _json(200, body_of(lists.page_of(row, call, query, found)))


async def _write(
    row: Endpoint, request: web.Request, call: Call, query: Query, body: Input | None, sent: bytes
) -> web.StreamResponse:
    """With an Idempotency-Key: once, and the same answer again."""
    once = _once(request, call, sent)
    if once is None:
        return await _rendered(row, request, call, await _run(row, call, query, body))
    try:
        return await _replayed(request, call, once) or await _first(
            row, request, replace(call, ctx=replace(call.ctx, once=once)), query, body, once
        )
    except RequestInProgress:
        # Its twin may have ended since we looked.
        found = await _replayed(request, call, once)
        if found is None:
            raise
        return found


def _once(request: web.Request, call: Call, sent: bytes) -> Once | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest((FieldFault("Idempotency-Key", "must be 1 to 255 visible ASCII characters"),))
    digest = idempotency.digest_of(request.method, request.path_qs, sent)
    # A token may have fewer rights than its person, whose answers hold secrets: its keys are its own.
    owner = call.ctx.api_token_id or call.ctx.actor.id
    return Once(call.org_id, owner, key, digest, secrets.token_hex(16))


async def _replayed(request: web.Request, call: Call, once: Once) -> web.StreamResponse | None:
    kept = await idempotency.answered(call.door, once)
    if kept is None:
        return None
    headers = {**kept.headers, "Idempotency-Replayed": "true"}
    return web.Response(status=kept.status, headers=headers, body=kept.body)


async def _first(
    row: Endpoint, request: web.Request, call: Call, query: Query, body: Input | None, once: Once
) -> web.StreamResponse:
    """A refusal is kept like any answer: where something was written before it, it stands with the key."""
    try:
        answer = await _rendered(row, request, call, await _run(row, call, query, body))
    except RequestInProgress:
        raise
    except Refusal as exc:
        refused = await problems.answer(request, statuses.of_refusal(exc))
        await _keep(call, once, refused)
        raise
    await _keep(call, once, answer)
    return answer


async def _keep(call: Call, once: Once, answer: web.StreamResponse) -> None:
    if isinstance(answer, web.Response):
        raw = answer.body if isinstance(answer.body, bytes) else b""
        kept = idempotency.Answer(
            answer.status, {str(name): value for name, value in answer.headers.items()}, raw
        )
        await idempotency.keep(call.door, once, kept)


def _run(row: Endpoint, call: Call, query: Query, body: Input | None) -> Awaitable[Any]:
    given: dict[str, Any] = {}
    if row.takes_query:
        given["query"] = query
    if body is not None:
        given["body"] = body
    return row(call, **given)


# ------------------------------------------------------------------------------ rendering


async def _rendered(row: Endpoint, request: web.Request, call: Call, answer: Any) -> web.StreamResponse:
    match answer:
        case None:
            return web.Response(status=row.status)
        case Download():
            return await _sent(request, answer)
        case Rows():
            return _json(200, orjson.dumps({"results": _results(row, request, answer)}))
        case Output():
            return _resource(row, request, call, body_of(answer), getattr(answer, "id", None))
        case _:
            raise TypeError(f"{row.name} gave {type(answer).__name__}")


def _resource(row: Endpoint, request: web.Request, call: Call, body: bytes, new_id: object) -> web.Response:
    headers: dict[str, str] = {}
    if row.etag:
        headers["ETag"] = etag_of(body)
        if not row.is_write and _is_known(request, headers["ETag"]):
            return web.Response(status=304, headers=headers)
    if row.status == 201 and new_id is not None:
        headers["Location"] = call.visit.url(f"{request.path}/{new_id}")
    return _json(row.status, body, headers)


def _is_known(request: web.Request, etag: str) -> bool:
    """Whether If-None-Match names it; a weak tag does as well (RFC 9110 §13.1.2)."""
    text = whole_field(request, "If-None-Match") or ""
    return text.strip() == "*" or etag in {tag.removeprefix("W/") for tag in _tags(text)}


def _json(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=body, content_type=_JSON, charset="utf-8", headers=headers)


def _results(row: Endpoint, request: web.Request, rows: Rows[Any]) -> list[dict[str, Any]]:
    """One result per row of the request, in its order."""
    found = []
    for index, became in enumerate(rows.done):
        result: dict[str, Any] = {"index": index, "status": rows.status, "answer": None, "problem": None}
        if isinstance(became, Refused):
            fault = problems.in_row(became.fault, row.body, rows.of, index)
            result |= {"status": fault.status, "problem": problems.document(request, fault)}
        elif became is not None:
            result["answer"] = became.model_dump(mode="json")
        found.append(result)
    return found


async def _sent(request: web.Request, file: Download) -> web.StreamResponse:
    """Piece by piece, so that memory does not grow with the list.

    What fails at the beginning is answered like any other fault. Where a later piece fails the connection is
    cut: nothing else says then that the end is missing.
    """
    begun = await _beginning(file)
    response = web.StreamResponse()
    response.content_type, response.charset = file.kind, "utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="{file.name}"'
    await response.prepare(request)
    try:
        if request.method != "HEAD":
            await response.write(begun)
            async for piece in file.pieces:
                await response.write(piece.encode())
        await response.write_eof()
    except ConnectionError:
        logger.info("export_not_taken", name=file.name)
    except Exception as exc:  # its answer has begun: the edge has nothing to say any more
        logger.exception(
            "export_cut_off", name=file.name, why=exc.detail if isinstance(exc, Refusal) else None
        )
        if request.transport is not None:
            request.transport.abort()
    return response


async def _beginning(file: Download) -> bytes:
    """As many pieces as come to ``_BEGINNING`` bytes; ``file.pieces`` goes on with those after them."""
    begun = b""
    async for piece in file.pieces:
        begun += piece.encode()
        if len(begun) >= _BEGINNING:
            break
    return begun
