"""The HTTP shell: the application that the edges add themselves to, health, headers, last resort.

An edge says with ``errors_under`` how errors of its paths look. Whatever nobody else answers for is
answered here in plain text, without internals.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp.web_response
from aiohttp import web

from scimd import log
from scimd.config import Config
from scimd.core.errors import Refusal
from scimd.http import broken, guard, request_id, statuses
from scimd.http.keys import CONFIG, DOOR
from scimd.http.statuses import Fault
from scimd.org.tx import Door

logger = log.get(__name__)

ErrorPage = Callable[[web.Request, Fault], Awaitable[web.StreamResponse]]
ERROR_PAGES = web.AppKey("error_pages", dict[str, ErrorPage])


def make(config: Config, door: Door) -> web.Application:
    """An application that knows health and nothing else yet."""
    # aiohttp's banner names its version and Python's, also in answers to what is no HTTP at all.
    aiohttp.web_response.SERVER_SOFTWARE = "scimd"  # type: ignore[attr-defined]
    broken.install()
    app = web.Application(
        middlewares=[shell, guard.middleware],
        client_max_size=config.server.max_body_bytes,
    )
    app[CONFIG], app[DOOR], app[ERROR_PAGES] = config, door, {}
    app.on_response_prepare.append(_adding_headers(config))
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


def errors_under(app: web.Application, prefix: str, page: ErrorPage) -> None:
    """Let ``page`` make the errors of the paths under the prefix; the longest prefix wins."""
    app[ERROR_PAGES][prefix] = page


@web.middleware
async def shell(request: web.Request, handler: guard.Handler) -> web.StreamResponse:
    """Around every request: its id in the log and in the answer, errors in the edge's own words.

    One layer, since each costs as much as looking somebody up in the database; and none for the guard
    where the edge itself asks who comes.
    """
    correlation_id = request_id.begin(request)
    own = request.match_info.handler
    response = await _answered(request, own if guard.asks_itself(own) else handler)
    if not response.prepared:
        response.headers["X-Request-Id"] = correlation_id
    return response


async def _answered(request: web.Request, handler: guard.Handler) -> web.StreamResponse:
    """Turn whatever is raised into the edge's own error; a crash is logged with its id."""
    try:
        return await handler(request)
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        fault = statuses.of_http(exc)
    except Refusal as exc:
        fault = statuses.of_refusal(exc)
    except Exception:
        logger.exception("request_failed", method=request.method, route=_route(request))
        fault = statuses.of_crash(request_id.of(request))
    return await _answer(request, fault)


async def _answer(request: web.Request, fault: Fault) -> web.StreamResponse:
    pages = request.app[ERROR_PAGES]
    fitting = [prefix for prefix in pages if request.path.startswith(prefix)]
    if not fitting:
        return web.Response(status=fault.status, text=f"{fault.detail}\n", headers=fault.headers)
    response = await pages[max(fitting, key=len)](request, fault)
    response.headers.update(fault.headers)
    return response


def _route(request: web.Request) -> str:
    """The route's pattern, not the path: a path may hold a token."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "none"


def _adding_headers(config: Config) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    always = {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
    if config.server.public_url.startswith("https://"):
        always["Strict-Transport-Security"] = "max-age=31536000"
    pairs = tuple(always.items())

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        add = response.headers.setdefault
        for name, value in pairs:
            add(name, value)

    return add


@guard.public
async def healthz(request: web.Request) -> web.Response:
    """The process answers."""
    return web.Response(text="ok\n")


@guard.public
async def readyz(request: web.Request) -> web.Response:
    """The database answers; Refusal (503) where it does not."""
    await request.app[DOOR].db.ping()
    return web.Response(text="ready\n")
