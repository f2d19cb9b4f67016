"""One's own second factors: authenticator app, passkeys, recovery codes."""

from __future__ import annotations

from aiohttp import web

from scimd.core.errors import InvalidValue, LinkInvalid, NotUnique, Refusal, WrongCredentials
from scimd.http import guard, statuses
from scimd.http.guard import signed_in
from scimd.http.keys import CONFIG, DOOR
from scimd.http.visits import visit_of
from scimd.org.authentication import passkeys, second_factors
from scimd.org.authentication.passkeys import NewPasskey
from scimd.org.authentication.second_factors import NewApp, Renewed
from scimd.web import forms, security
from scimd.web.pages import came_in, message, narrow, see_other, sentence
from scimd.web.second_step import no_passkeys, party_of


@signed_in(enrolling=True)
async def show(request: web.Request) -> web.StreamResponse:
    """What to choose from, and what there is."""
    holder = guard.session_of(request)
    kinds = await _kinds(request)
    return narrow(
        "my_factors.html",
        "Second factor",
        visit=await visit_of(request),
        kinds=kinds,
        must=holder.must_enrol,
        next=_follow(request),
        no_passkeys=no_passkeys(request),
    )


async def _kinds(request: web.Request) -> set[str]:
    own = await second_factors.list_own(request.app[DOOR], guard.session_of(request))
    return {factor.kind for factor in own}


def _follow(request: web.Request) -> str:
    """Where whoever had to set one up wanted to go."""
    return security.local_path(request.query.get("next"))


# ------------------------------------------------------------------------------ authenticator app


@signed_in(enrolling=True)
async def show_new_app(request: web.Request) -> web.StreamResponse:
    if "totp" in await _kinds(request):
        return see_other(security.leading_to("/my/second-factor", _follow(request)))
    app = second_factors.new_app(request.app[DOOR], guard.session_of(request))
    return await _app_form(request, app, _follow(request))


async def _app_form(
    request: web.Request, app: NewApp, follow: str, *, fault: str = "", late: str = ""
) -> web.Response:
    import segno  # few ever see this page, and nobody often

    return narrow(
        "new_app.html",
        "Authenticator app",
        status=422 if fault or late else 200,
        visit=await visit_of(request),
        app=app,
        next=follow,
        late=late,
        picture=segno.make(app.uri, error="m").svg_data_uri(scale=5, border=2, light="white"),
        fault=fault,
    )


@signed_in(enrolling=True)
async def add_app(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "ticket", "code", "next")
    door, holder, follow = request.app[DOOR], guard.session_of(request), security.local_path(form["next"])
    try:
        renewed = await second_factors.add_app(door, holder, form["ticket"], form["code"])
    except WrongCredentials:
        app = second_factors.same_app(door, holder, form["ticket"])
        fault = "That code is not correct. Enter the one the app shows now."
        return await _app_form(request, app, follow, fault=fault)
    except (LinkInvalid, NotUnique):
        if "totp" in await _kinds(request):
            return _has_one()
        app = second_factors.new_app(door, holder)
        return await _app_form(request, app, follow, late="That took too long. Scan the new picture.")
    return await _added(request, renewed, follow)


def _has_one() -> web.Response:
    return message(
        "You have an authenticator app",
        "It was set up before this form came.",
        "Recovery codes are shown once. If you do not have yours, make new ones in your profile.",
        status=409,
        href="/my",
        go="To your profile",
    )


# ------------------------------------------------------------------------------ passkeys


@signed_in(enrolling=True)
async def show_new_passkey(request: web.Request) -> web.StreamResponse:
    if no_passkeys(request):
        return see_other(security.leading_to("/my/second-factor", _follow(request)))
    return await _passkey_form(request, _follow(request))


async def _passkey_form(
    request: web.Request, follow: str, *, name: str = "Passkey", refusal: Refusal | None = None
) -> web.Response:
    door, holder = request.app[DOOR], guard.session_of(request)
    return narrow(
        "new_passkey.html",
        "Passkey",
        status=statuses.of_refusal(refusal).status if refusal else 200,
        visit=await visit_of(request),
        challenge=await passkeys.new(door, holder, party_of(request)),
        next=follow,
        name=name,
        fault=sentence(refusal) if refusal else "",
    )


@signed_in(enrolling=True)
async def add_passkey(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "challenge", "id", "client_data", "attestation", "name", "next")
    follow = security.local_path(form["next"])
    made = NewPasskey(form["challenge"], form["id"], form["client_data"], form["attestation"], form["name"])
    try:
        renewed = await passkeys.add(request.app[DOOR], guard.session_of(request), made, party_of(request))
    except (InvalidValue, NotUnique, LinkInvalid) as exc:
        return await _passkey_form(request, follow, name=form["name"], refusal=exc)
    return await _added(request, renewed, follow)


# ------------------------------------------------------------------------------ codes, removing


async def _added(request: web.Request, renewed: Renewed, follow: str) -> web.Response:
    if not renewed.codes:
        return came_in(request, renewed.cookie, "/my?said=factor" if follow == "/" else follow)
    response = _codes_page(renewed.codes, follow)
    security.set_cookie(response, request.app[CONFIG], renewed.cookie)
    return response


def _codes_page(codes: tuple[str, ...], follow: str) -> web.Response:
    return narrow("recovery_codes.html", "Recovery codes", codes=codes, next=follow)


@signed_in()
async def show_none(_: web.Request) -> web.StreamResponse:
    """Codes are shown once."""
    return see_other("/my/second-factor")


@signed_in()
async def new_codes(request: web.Request) -> web.StreamResponse:
    codes = await second_factors.new_codes(request.app[DOOR], guard.session_of(request))
    return _codes_page(codes, "/my")


@signed_in()
async def remove(request: web.Request) -> web.StreamResponse:
    cookie = await second_factors.remove(
        request.app[DOOR], guard.session_of(request), request.match_info["id"]
    )
    return came_in(request, cookie, "/my?said=removed")
