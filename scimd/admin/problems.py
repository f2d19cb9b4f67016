"""Errors of the API: application/problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import orjson
from aiohttp import web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scimd.admin.endpoints import Endpoint
from scimd.admin.models import Input
from scimd.core.words import of_a_check
from scimd.http import request_id
from scimd.http.keys import CONFIG
from scimd.http.statuses import Fault, FieldFault, InvalidRequest, MalformedBody

#: The row of the table that answers, once the guard has let the request in.
ROW: web.RequestKey[Endpoint] = web.RequestKey("row", Endpoint)
_AT_MOST = 50  # faults that are told


async def answer(request: web.Request, fault: Fault) -> web.StreamResponse:
    row = request.get(ROW)
    body = document(request, fault if row is None else in_body(fault, row.body))
    headers = {"WWW-Authenticate": 'Bearer realm="scimd"'} if fault.status == 401 else None
    return web.Response(
        status=fault.status,
        body=orjson.dumps(body, default=list),
        content_type="application/problem+json",
        headers=headers,
    )


def document(request: web.Request, fault: Fault) -> dict[str, Any]:
    """``code`` is stable; ``type`` leads to its explanation; ``instance`` is what the log has it under."""
    body: dict[str, Any] = {
        "type": f"{request.app[CONFIG].server.public_url.rstrip('/')}/api#{fault.code}",
        "title": fault.code.replace("_", " ").capitalize(),
        "status": fault.status,
        "code": fault.code,
        "detail": fault.detail.encode("utf-8", "replace").decode(),
        "instance": f"urn:request:{request_id.of(request)}",
    }
    if fault.errors:
        body["errors"] = [{"field": each.field, "why": each.why} for each in fault.errors]
    if fault.facts:
        body["facts"] = dict(fault.facts)
    return body


def in_body(fault: Fault, body: type[Input] | None) -> Fault:
    """What the door calls a field as a place in the body; where that has no such field, the whole of it."""
    if fault.code == InvalidRequest.code:
        return fault  # found in the request itself
    if body is None:
        return replace(fault, errors=())
    return _placed(fault, lambda field: field if _first(field) in body.model_fields else "")


def in_row(fault: Fault, body: type[Input] | None, rows: str | None, index: int) -> Fault:
    """The same of one row in the body's list ``rows``; what all rows have in common stands beside it."""
    if body is None or rows is None:
        return in_body(fault, body)
    (row,) = get_args(body.model_fields[rows].annotation)
    fields = row.model_fields if isinstance(row, type) and issubclass(row, Input) else {}
    here = f"/{rows}/{index}"

    def place(field: str) -> str:
        if _first(field) in fields:
            return here + field
        return field if _first(field) in body.model_fields else here

    return _placed(fault, place)


def _placed(fault: Fault, place: Callable[[str], str]) -> Fault:
    return replace(fault, errors=tuple(replace(each, field=place(each.field)) for each in fault.errors))


def _first(pointer: str) -> str:
    return pointer.removeprefix("/").partition("/")[0]


def of_parameters(exc: ValidationError) -> InvalidRequest:
    """What is wrong with the parameters, each by its name."""
    found = (FieldFault(str(error["loc"][0]) if error["loc"] else "", _why(error)) for error in _errors(exc))
    return InvalidRequest(tuple(found))


def of_body(exc: ValidationError) -> InvalidRequest | MalformedBody:
    """What is wrong with the body, each by its JSON pointer; MalformedBody for what is no JSON."""
    errors = _errors(exc)
    if errors[0]["type"] == "json_invalid":
        return MalformedBody(str(errors[0].get("ctx", {}).get("error", "no JSON")))
    return InvalidRequest(tuple(FieldFault(_pointer(error["loc"]), _why(error)) for error in errors))


def _errors(exc: ValidationError) -> list[ErrorDetails]:
    return exc.errors(include_url=False, include_input=False)[:_AT_MOST]


def _pointer(location: tuple[int | str, ...]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "".join(f"/{part}" for part in parts).encode("utf-8", "replace").decode()


def _why(error: ErrorDetails) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "is not known here"
        case "missing":
            return "is needed"
        case "string_pattern_mismatch":
            wanted = str(error["ctx"]["pattern"])
            if wanted.startswith("^https?:"):
                return "must be a web address that begins with https:// or http://"
            return "holds characters that are not taken here"
        case _:
            text = of_a_check(error["msg"])
            return text[:1].lower() + text[1:]
