"""One's own second factors: authenticator app, passkeys, recovery codes."""

from __future__ import annotations

from aiohttp import web

from scimd.core.errors import InvalidValue, LinkInvalid, NotUnique, Refusal, WrongCredentials
from scimd.http import guard, statuses
from scimd.http.guard import signed_in
from scimd.http.keys import CONFIG, DOOR
from scimd.http.visits import visit_of
from scimd.org import passkeys, second_factors
from scimd.org.passkeys import NewPasskey
from scimd.org.second_factors import NewApp, Renewed
from scimd.web import forms, security
from scimd.web.pages import came_in, narrow, see_other
from scimd.web.second_step import party_of


@signed_in(enrolling=True)
async def show(request: web.Request) -> web.StreamResponse:
    """What to choose from, and what there is."""
    holder, door = guard.session_of(request), request.app[DOOR]
    return narrow(
        "my_factors.html",
        "Second factor",
        visit=await visit_of(request),
        factors=await second_factors.list_own(door, holder),
        must=holder.must_enrol,
    )


# ------------------------------------------------------------------------------ authenticator app


@signed_in(enrolling=True)
async def show_new_app(request: web.Request) -> web.StreamResponse:
    return await _app_form(request, second_factors.new_app(request.app[DOOR], guard.session_of(request)))


async def _app_form(request: web.Request, app: NewApp, fault: str = "") -> web.Response:
    import segno  # few ever see this page, and nobody often

    return narrow(
        "new_app.html",
        "Authenticator app",
        status=422 if fault else 200,
        visit=await visit_of(request),
        app=app,
        picture=segno.make(app.uri, error="m").svg_data_uri(scale=5, border=2, light="white"),
        fault=fault,
    )


@signed_in(enrolling=True)
async def add_app(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "ticket", "code")
    door, holder = request.app[DOOR], guard.session_of(request)
    try:
        renewed = await second_factors.add_app(door, holder, form["ticket"], form["code"])
    except WrongCredentials:
        app = second_factors.same_app(door, holder, form["ticket"])
        return await _app_form(request, app, "That code is not correct. Enter the one the app shows now.")
    return await _added(request, renewed)


# ------------------------------------------------------------------------------ passkeys


@signed_in(enrolling=True)
async def show_new_passkey(request: web.Request) -> web.StreamResponse:
    return await _passkey_form(request)


async def _passkey_form(request: web.Request, refusal: Refusal | None = None) -> web.Response:
    door, holder = request.app[DOOR], guard.session_of(request)
    return narrow(
        "new_passkey.html",
        "Passkey",
        status=statuses.of_refusal(refusal).status if refusal else 200,
        visit=await visit_of(request),
        challenge=await passkeys.new(door, holder, party_of(request)),
        fault=refusal.detail if refusal else "",
    )


@signed_in(enrolling=True)
async def add_passkey(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "challenge", "id", "client_data", "attestation", "name")
    made = NewPasskey(form["challenge"], form["id"], form["client_data"], form["attestation"], form["name"])
    try:
        renewed = await passkeys.add(request.app[DOOR], guard.session_of(request), made, party_of(request))
    except (InvalidValue, NotUnique, LinkInvalid) as exc:
        return await _passkey_form(request, exc)
    return await _added(request, renewed)


# ------------------------------------------------------------------------------ codes, removing


async def _added(request: web.Request, renewed: Renewed) -> web.Response:
    if not renewed.codes:
        return came_in(request, renewed.cookie, "/my?said=factor")
    response = await _codes_page(renewed.codes)
    security.set_cookie(response, request.app[CONFIG], renewed.cookie)
    return response


async def _codes_page(codes: tuple[str, ...]) -> web.Response:
    return narrow("recovery_codes.html", "Recovery codes", codes=codes)


@signed_in()
async def show_none(_: web.Request) -> web.StreamResponse:
    """Codes are shown once."""
    return see_other("/my/second-factor")


@signed_in()
async def new_codes(request: web.Request) -> web.StreamResponse:
    codes = await second_factors.new_codes(request.app[DOOR], guard.session_of(request))
    return await _codes_page(codes)


@signed_in()
async def remove(request: web.Request) -> web.StreamResponse:
    cookie = await second_factors.remove(
        request.app[DOOR], guard.session_of(request), request.match_info["id"]
    )
    return came_in(request, cookie, "/my?said=removed")
