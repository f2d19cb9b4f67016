"""The REST API under /api/v1, its OpenAPI document, and the page that explains it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from aiohttp import web

from scimd.admin import manual, openapi, problems, serving
from scimd.admin.endpoints import BASE, Endpoint
from scimd.admin.table import TABLE
from scimd.config import Config
from scimd.http.app import errors_under
from scimd.http.guard import Handler, public
from scimd.org.tx import Door


def add(app: web.Application, config: Config, door: Door, table: Sequence[Endpoint] = TABLE) -> None:
    """Add every row of the table, and the API's errors, to the application."""
    methods: dict[str, list[str]] = {}
    for row in table:
        app.router.add_route(row.method, BASE + row.path, serving.handler_of(row))
        methods.setdefault(row.path, []).append(row.method)
        if row.method == "GET":
            app.router.add_route("HEAD", BASE + row.path, serving.handler_of(row))
            methods[row.path].append("HEAD")
    # A path of words before one of names: the first that fits answers.
    for path, taken in sorted(methods.items(), key=lambda each: each[0].count("{")):
        app.router.add_route("OPTIONS", BASE + path, serving.options_of([*taken, "OPTIONS"]))

    def document() -> dict[str, Any]:
        return openapi.document(table, config.server.public_url)

    app.router.add_get("/api/openapi.json", _fixed(lambda: orjson.dumps(document()), "application/json"))
    app.router.add_get("/api", _fixed(lambda: manual.page(table, document()), "text/html", manual.HEADERS))
    errors_under(app, "/api/", problems.answer)


def _fixed(make: Callable[[], bytes], kind: str, headers: dict[str, str] | None = None) -> Handler:
    """Show what ``make`` makes, in a thread and once, when first asked for.

    Made at the start, the two would be a fifth of the time that it takes, and 18 MB.
    """
    making: asyncio.Future[bytes] | None = None

    @public
    async def show(request: web.Request) -> web.StreamResponse:
        nonlocal making
        if making is None:
            making = asyncio.ensure_future(asyncio.to_thread(make))
        # Whoever asked first may go away: the others wait for the same.
        body = await asyncio.shield(making)
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    return show
