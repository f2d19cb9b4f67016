"""Errors of the API: application/problem+json (RFC 9457)."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scimd.http import request_id
from scimd.http.keys import CONFIG
from scimd.http.statuses import Fault, FieldFault, InvalidRequest, MalformedBody

_AT_MOST = 50  # faults that are told


async def answer(request: web.Request, fault: Fault) -> web.StreamResponse:
    body = document(request, fault)
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
            text = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            text = text.replace("should ", "must ")
            return text[:1].lower() + text[1:]
