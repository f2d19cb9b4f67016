"""The REST API under /api/v1, for whoever is signed in on the page or shows an API token.

For now it shows what the runs did.
"""

from __future__ import annotations

import orjson
from aiohttp import web

from scimd.admin import runs
from scimd.config import Config
from scimd.http import guard, request_id
from scimd.http.app import errors_under
from scimd.http.statuses import Fault
from scimd.org.tx import Door


def add(app: web.Application, config: Config, door: Door) -> None:
    """Add the API's routes and its errors to the application."""
    app.add_routes(
        [
            web.get("/api/v1/runs", runs.index),
            web.get("/api/v1/runs/{id}", runs.show),
            web.get("/api/v1/runs/{id}/changes", runs.changes),
            web.get("/api/v1/runs/{id}/report.csv", runs.report_csv),
            web.get("/api/v1/runs/{id}/report.json", runs.report_json),
        ]
    )
    guard.tokens_under(app, "/api/")
    errors_under(app, "/api/", problem)


async def problem(request: web.Request, fault: Fault) -> web.StreamResponse:
    """RFC 9457. ``code`` is stable; ``instance`` is the id under which the log has it."""
    body = {
        "type": "about:blank",
        "title": fault.code.replace("_", " ").capitalize(),
        "status": fault.status,
        "detail": fault.detail,
        "code": fault.code,
        "instance": f"urn:request:{request_id.of(request)}",
    }
    return web.Response(
        status=fault.status, body=orjson.dumps(body), content_type="application/problem+json"
    )  # fmt: skip
