"""My Profile (U14): own name, picture, contact, address, password, second factors, sessions, projects."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from scimd.core.errors import (
    InvalidValue,
    NotAllowedNow,
    OwnedBySource,
    Refusal,
    TooLarge,
    TooManyRequests,
)
from scimd.core.languages import span
from scimd.core.people import UNSET, SessionId, Unset
from scimd.core.words import DISPLAY_NAME_AT_MOST
from scimd.http import guard, statuses
from scimd.http.guard import public, signed_in
from scimd.http.keys import DOOR
from scimd.http.visits import visit_of
from scimd.org.authentication import forgotten, links, second_factors, sessions, sign_in
from scimd.org.users import my_profile
from scimd.web import forms, security
from scimd.web.pages import message, narrow, page, see_other, sentence

_REFUSED = (InvalidValue, NotAllowedNow, OwnedBySource, TooLarge, TooManyRequests)


@signed_in()
async def show(request: web.Request) -> web.StreamResponse:
    return await _profile(request)


async def _profile(request: web.Request, refusal: Refusal | None = None, **typed: str) -> web.Response:
    """``typed`` stays in its fields; what is wrong with a value stands at its own."""
    faults = {refusal.attribute: f"It {refusal.why}."} if isinstance(refusal, InvalidValue) else {}
    door, holder = request.app[DOOR], guard.session_of(request)
    response = await page(
        request,
        await visit_of(request),
        "my_profile.html",
        "My profile",
        section="/my",
        profile=await my_profile.show(door, holder.org_id, holder.person_id),
        factors=await second_factors.list_own(door, holder),
        codes_left=await second_factors.codes_left(door, holder),
        has_password=await sign_in.has_password(door, holder),
        sessions=await sessions.list_sessions(door, holder.org_id, person_id=holder.person_id),
        this=holder.session_id,
        typed={} if isinstance(refusal, OwnedBySource) else typed,
        faults=faults,
        fault=sentence(refusal) if refusal and not faults else "",
        name_at_most=DISPLAY_NAME_AT_MOST,
        phone_at_most=my_profile.PHONE_AT_MOST,
        signed_out=security.leading_to("/sign-in", security.undone("/my")),
    )
    if refusal is not None:
        response.set_status(statuses.of_refusal(refusal).status)
    return response


@signed_in()
async def edit(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "display_name", "phone")
    door, holder = request.app[DOOR], guard.session_of(request)
    there = await my_profile.show(door, holder.org_id, holder.person_id)
    name, phone = _typed(form["display_name"], there.display_name), _typed(form["phone"], there.phone)
    try:
        await my_profile.edit(door, holder, display_name=name, phone=phone)
    except _REFUSED as exc:
        return await _profile(request, exc, **form)
    return see_other("/my?said=profile")


def _typed(sent: str, kept: str | None) -> str | Unset | None:
    return UNSET if forms.is_spelled_out(sent, kept or "") else sent.strip() or None


@signed_in()
async def show_address(_: web.Request) -> web.StreamResponse:
    """Whoever opens what a refusal left in the address bar begins at the profile."""
    return see_other("/my")


@signed_in()
async def change_address(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "address")
    try:
        await my_profile.ask_confirmation(request.app[DOOR], guard.session_of(request), form["address"])
    except _REFUSED as exc:
        return await _profile(request, exc, **form)
    return see_other("/my?said=mail")


@signed_in()
async def end_session(request: web.Request) -> web.StreamResponse:
    """One of one's own; another person's is not found here, whatever one may."""
    door, holder = request.app[DOOR], guard.session_of(request)
    session_id = SessionId(request.match_info["id"])
    await sessions.end_own(door, holder.context(door), session_id)
    return see_other("/my?said=session")


# ------------------------------------------------------------------------------ picture


@signed_in()
async def show_picture(request: web.Request) -> web.StreamResponse:
    """One's own picture, as what its bytes say it is and nothing else."""
    holder = guard.session_of(request)
    found = await my_profile.picture_of(request.app[DOOR], holder.org_id, holder.person_id)
    headers = {
        "Content-Type": found.kind,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Disposition": "inline",
        "Cache-Control": "private, no-store",
    }
    return web.Response(body=found.image, headers=headers)


@signed_in()
async def drop_picture(request: web.Request) -> web.StreamResponse:
    await my_profile.drop_picture(request.app[DOOR], guard.session_of(request))
    return see_other("/my?said=profile")


# ------------------------------------------------------------------------------ without a session


@public
async def show_forgot(request: web.Request) -> web.StreamResponse:
    return _forgot(request)


def _forgot(request: web.Request, refusal: Refusal | None = None) -> web.Response:
    return narrow(
        "forgot.html",
        "Forgot your password?",
        status=statuses.of_refusal(refusal).status if refusal else 200,
        action=request.path,
        organization=request.match_info.get("slug", ""),
        fault=sentence(refusal) if refusal else "",
    )


@public
async def forgot(request: web.Request) -> web.StreamResponse:
    """One answer for every address; the mail is the only one who knows more."""
    form = await forms.fields(request, "address")
    slug = request.match_info.get("slug")
    door = request.app[DOOR]
    try:
        await forgotten.ask(door, form["address"], org_slug=slug, ip=forms.client(request)["ip"])
    except TooManyRequests as exc:
        return _forgot(request, exc)
    valid = span(timedelta(seconds=door.settings.set_password_valid_s), "en")
    return message(
        "Check your email",
        "If that address opens an account here, a mail with a link to set a new password is on its way.",
        f"The link is valid for {valid}. Nothing arrived? Ask an admin of your organization.",
        href="/sign-in",
        go="To the sign-in",
    )


@public
async def show_confirm(request: web.Request) -> web.StreamResponse:
    """Looking confirms nothing: mail scanners open links too."""
    link = await links.look(request.app[DOOR], request.match_info["token"], "confirm_address")
    return narrow("confirm_address.html", "Confirm your address", link=link)


@public
async def confirm(request: web.Request) -> web.StreamResponse:
    address = await my_profile.confirm(request.app[DOOR], request.match_info["token"])
    return message("Confirmed", f"{address} is your address now.", href="/my", go="To your profile")
