"""The page's routes, static files and errors."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePosixPath

from aiohttp import web

from scimd.config import Config
from scimd.core.errors import (
    InvitationClosed,
    LinkInvalid,
    NotAuthenticated,
    ProofNeeded,
    SecondFactorMissing,
)
from scimd.http import request_id
from scimd.http.app import errors_under
from scimd.http.guard import public
from scimd.http.statuses import Fault, ForeignForm
from scimd.org.tx import Door
from scimd.web import (
    dead_links,
    decide,
    invitations,
    my,
    my_factors,
    my_proof,
    oidc,
    overview,
    people,
    runs,
    second_step,
    security,
    sign_in,
)
from scimd.web.oidc_provider import Providers
from scimd.web.pages import message, see_other

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_STATIC = {
    file.name: file.read_bytes()
    for file in files("scimd.web").joinpath("static").iterdir()
    if PurePosixPath(file.name).suffix in _TYPES
}


def add(app: web.Application, config: Config, door: Door) -> None:
    """Add the page to the application, and make it answer for whatever no other edge answers for."""
    app[oidc.PROVIDERS] = Providers()
    app.add_routes(
        [
            web.get("/", overview.show),
            web.get("/static/{name}", static),
            web.get("/sign-in", sign_in.show),
            web.post("/sign-in", sign_in.enter),
            web.get("/o/{slug:[a-z0-9-]+}/sign-in", sign_in.show),
            web.post("/o/{slug:[a-z0-9-]+}/sign-in", sign_in.enter),
            web.get("/sign-in/{token}", sign_in.show_link),
            web.post("/sign-in/{token}", sign_in.enter_by_link),
            web.post("/sign-out", sign_in.leave),
            web.get("/set-password/{token}", sign_in.show_set_password),
            web.post("/set-password/{token}", sign_in.set_password),
            web.get("/password", sign_in.show_own_password),
            web.post("/password", sign_in.set_own_password),
            web.get("/o/{slug:[a-z0-9-]+}/oidc", oidc.begin),
            web.get("/o/{slug:[a-z0-9-]+}/oidc/callback", oidc.callback),
            web.get("/second-step", second_step.begin_anew),
            web.post("/second-step", second_step.complete),
            web.get("/passkey", second_step.show_passkey),
            web.post("/passkey", second_step.enter_by_passkey),
            web.get("/my", my.show),
            web.post("/my", my.edit),
            web.get("/my/address", my.show_address),
            web.post("/my/address", my.change_address),
            web.get("/my/picture", my.show_picture),
            web.post("/my/picture/remove", my.drop_picture),
            web.post("/my/sessions/{id}/end", my.end_session),
            web.get("/forgot", my.show_forgot),
            web.post("/forgot", my.forgot),
            web.get("/o/{slug:[a-z0-9-]+}/forgot", my.show_forgot),
            web.post("/o/{slug:[a-z0-9-]+}/forgot", my.forgot),
            web.get("/confirm-address/{token}", my.show_confirm),
            web.post("/confirm-address/{token}", my.confirm),
            web.get("/my/proof", my_proof.show),
            web.post("/my/proof", my_proof.prove),
            web.get("/my/second-factor", my_factors.show),
            web.get("/my/app", my_factors.show_new_app),
            web.post("/my/app", my_factors.add_app),
            web.get("/my/passkey", my_factors.show_new_passkey),
            web.post("/my/passkey", my_factors.add_passkey),
            web.get("/my/codes", my_factors.show_none),
            web.post("/my/codes", my_factors.new_codes),
            web.post("/my/second-factor/{id}/remove", my_factors.remove),
            web.get("/invitation/{token}", invitations.show),
            web.post("/invitation/{token}", invitations.accept),
            web.get("/invitation/{token}/decline", invitations.show_decline),
            web.post("/invitation/{token}/decline", invitations.decline),
            web.get("/welcome", invitations.welcome),
            web.get("/runs", runs.index),
            web.get("/runs/{id}", runs.show),
            web.post("/runs/{id}/approve", runs.approve),
            web.get("/people", people.index),
            web.get("/people/{id}", people.show),
            web.get("/decide", decide.index),
            web.get("/decide/{id}", decide.show),
            web.post("/decide/{id}", decide.answer),
        ]
    )
    errors_under(app, "/", error)


@public
async def static(request: web.Request) -> web.StreamResponse:
    """One of our files, from memory. Pages name them with a fingerprint, so they may be kept for long."""
    name = request.match_info["name"]
    body = _STATIC.get(name)
    if body is None:
        raise web.HTTPNotFound
    kind = _TYPES[PurePosixPath(name).suffix]
    keep = "public, max-age=31536000, immutable" if request.query_string else "public, max-age=300"
    headers = {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": keep}
    return web.Response(body=body, headers=headers)


async def error(request: web.Request, fault: Fault) -> web.StreamResponse:
    """Errors as a page: what is wrong, in a sentence, and a way on."""
    if fault.code == NotAuthenticated.code:
        return _to_sign_in(request)
    if fault.code == SecondFactorMissing.code:
        return see_other(security.leading_to("/my/second-factor", security.page_of(request)))
    if fault.code == ProofNeeded.code:
        return my_proof.ask(request)
    if fault.code == LinkInvalid.code:
        if request.path.startswith("/invitation/"):
            return dead_links.not_valid(invitations.language_of(request))
        return await dead_links.show(request)
    if fault.code == InvitationClosed.code:
        return invitations.closed(request, str(fault.facts["status"]))
    if fault.code == ForeignForm.code:
        page = security.page_of(request)
        return message("Not done", fault.detail, status=fault.status, href=page, go="Open the page again")
    title = _TITLES.get(fault.status, "That did not work")
    reference = request_id.of(request) if fault.status >= 500 else ""
    return message(
        title, fault.detail, status=fault.status, href="/", go="To the overview", reference=reference
    )


_TITLES = {
    403: "Not allowed",
    404: "Not here",
    405: "That does not work here",
    409: "That cannot be done now",
    413: "Too large",
    429: "Too many requests",
    500: "Something went wrong",
    503: "scimd is busy",
}


def _to_sign_in(request: web.Request) -> web.Response:
    """After signing in they come back to the page, and are told if a form of it was not taken."""
    page = security.page_of(request)
    was_sent = request.method == "POST" and request.path != "/sign-out"
    return see_other(security.leading_to("/sign-in", security.undone(page) if was_sent else page))
