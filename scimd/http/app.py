"""The HTTP shell: the application that the edges add themselves to, health, headers, last resort.

An edge says with ``errors_under`` how errors of its paths look. Whatever nobody else answers for is
answered here in plain text, without internals. An edge that does its own routing may say with
``shortcut`` that requests reach it without aiohttp's, which costs as much as a read of the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp.web_response
from aiohttp import hdrs, web
from aiohttp.web_urldispatcher import MatchInfoError
from multidict import CIMultiDict

from scimd import log
from scimd.config import Config
from scimd.core.errors import Refusal
from scimd.http import broken, guard, half_closed, peers, request_id, statuses
from scimd.http.keys import CONFIG, DOOR
from scimd.http.room import IDLE_S, Room
from scimd.http.statuses import Fault
from scimd.http.whole import SERVER, Always, Whole
from scimd.org.tx import Door

logger = log.get(__name__)

ErrorPage = Callable[[web.Request, Fault], Awaitable[web.StreamResponse]]
ERROR_PAGES = web.AppKey("error_pages", dict[str, ErrorPage])
#: Path's beginning → who answers it; they check for themselves who comes.
SHORTCUTS = web.AppKey("shortcuts", dict[str, guard.Handler])
#: What every answer carries, unless it says otherwise itself.
_ALWAYS = web.AppKey("always", Always)


def make(config: Config, door: Door) -> web.Application:
    """An application that knows health and nothing else yet."""
    # aiohttp's banner names its version and Python's, also in answers to what is no HTTP at all.
    aiohttp.web_response.SERVER_SOFTWARE = SERVER  # type: ignore[attr-defined]
    broken.install()
    half_closed.install()
    app = web.Application(
        middlewares=[shell, guard.middleware],
        client_max_size=config.server.max_body_bytes,
        handler_args={"auto_decompress": False},  # see limits
    )
    app[CONFIG], app[DOOR], app[ERROR_PAGES], app[SHORTCUTS] = config, door, {}, {}
    app[_ALWAYS] = _always(config)
    app[peers.PEERS] = peers.Peers(config.server.trusted_proxies)
    app.on_response_prepare.append(_add_headers)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


def errors_under(app: web.Application, prefix: str, page: ErrorPage) -> None:
    """Let ``page`` make the errors of the paths under the prefix; the longest prefix wins."""
    app[ERROR_PAGES][prefix] = page


def shortcut(app: web.Application, prefix: str, handler: guard.Handler) -> None:
    """Let requests below the prefix reach the handler past the router, where a ``Runner`` serves the
    application; elsewhere the handler's route does. Both ways answer the same.
    """
    app[SHORTCUTS][prefix] = handler


class Runner(web.AppRunner):
    """Serves an application, and knows its shortcuts. Without an access log: that is ours to write."""

    def __init__(self, app: web.Application, **settings: Any) -> None:
        super().__init__(app, access_log=None, keepalive_timeout=IDLE_S, **settings)

    async def setup(self) -> None:
        await super().setup()
        assert self.server is not None  # noqa: S101 - for the type checker; setup() made it
        self.server.request_factory = broken.readable(self.server.request_factory)
        self.server.request_handler = _past_the_router(self.app, self.server.request_handler)
        Room(self.server)


def _past_the_router(app: web.Application, otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    shortcuts = tuple(app[SHORTCUTS].items())

    def handle(request: web.Request) -> Awaitable[web.StreamResponse]:
        if request.method == broken.NO_METHOD:
            return broken.unreadable(request)
        expected = request.headers.get(hdrs.EXPECT)
        if expected is not None:
            if expected.lower() != "100-continue":
                return _straight(app, _lost(app, request), _unexpected, "none")
            return otherwise(request)  # type: ignore[no-any-return]  # aiohttp tells to continue
        path = request.rel_url.raw_path
        for prefix, handler in shortcuts:
            if path.startswith(prefix):
                return _straight(app, request, handler, prefix)
        return otherwise(request)  # type: ignore[no-any-return]

    return handle


def _lost(app: web.Application, request: web.Request) -> web.Request:
    """The request as the router leaves one that leads nowhere: an edge's error may ask it for its app."""
    found = MatchInfoError(web.HTTPExpectationFailed())
    found.add_app(app)
    found.freeze()
    request._match_info = found
    return request


async def _unexpected(request: web.Request) -> web.StreamResponse:
    """RFC 9110 §10.1.1. aiohttp would say so before anybody could put it into an edge's words."""
    raise web.HTTPExpectationFailed


async def _straight(
    app: web.Application, request: web.Request, handler: guard.Handler, prefix: str
) -> web.StreamResponse:
    response = await _around(app, request, handler, prefix)
    if isinstance(response, Whole):
        response.completed(app[_ALWAYS])
    else:
        response.headers.update(app[_ALWAYS].headers)
    return response


@web.middleware
async def shell(request: web.Request, handler: guard.Handler) -> web.StreamResponse:
    """Around every request: its id in the log and in the answer, errors in the edge's own words.

    One layer, since each costs as much as looking somebody up in the database; and none for the guard
    where the edge itself asks who comes.
    """
    own = request.match_info.handler
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "none"
    return await _around(request.app, request, own if guard.asks_itself(own) else handler, route)


async def _around(
    app: web.Application, request: web.Request, handler: guard.Handler, route: str
) -> web.StreamResponse:
    """``route``: the pattern to log, not the path: a path may hold a token."""
    correlation_id = request_id.begin(request)
    try:
        response = await handler(request)
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        response = await _answer(app, request, statuses.of_http(exc))
    except Refusal as exc:
        response = await _answer(app, request, statuses.of_refusal(exc))
    except Exception:
        logger.exception("request_failed", method=request.method, route=route)
        response = await _answer(app, request, statuses.of_crash(correlation_id))
    if isinstance(response, Whole):
        response.tell("X-Request-Id", correlation_id)
    elif not response.prepared:
        response.headers["X-Request-Id"] = correlation_id
    return response


async def _answer(app: web.Application, request: web.Request, fault: Fault) -> web.StreamResponse:
    pages = app[ERROR_PAGES]
    fitting = [prefix for prefix in pages if request.path.startswith(prefix)]
    if not fitting:
        return web.Response(status=fault.status, text=f"{fault.detail}\n", headers=fault.headers)
    response = await pages[max(fitting, key=len)](request, fault)
    response.headers.update(fault.headers)
    return response


def _always(config: Config) -> Always:
    always = CIMultiDict(
        {
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        }
    )
    if config.server.public_url.startswith("https://"):
        always["Strict-Transport-Security"] = "max-age=31536000"
    return Always(always)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in request.app[_ALWAYS].headers.items():
        response.headers.setdefault(name, value)


@guard.public
async def healthz(request: web.Request) -> web.Response:
    """The process answers."""
    return web.Response(text="ok\n")


@guard.public
async def readyz(request: web.Request) -> web.Response:
    """The database answers; Refusal (503) where it does not."""
    await request.app[DOOR].db.ping()
    return web.Response(text="ready\n")
