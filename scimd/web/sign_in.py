"""Signing in and out: by password, by a one-time link, and setting a password."""

from __future__ import annotations

from aiohttp import web

from scimd.core.errors import (
    MayNotSignIn,
    Refusal,
    SecondFactorAsked,
    TooManyRequests,
    WeakPassword,
    WrongCredentials,
)
from scimd.http import guard, statuses
from scimd.http.guard import public, signed_in
from scimd.http.keys import CONFIG, DOOR
from scimd.http.visits import visit_of
from scimd.org.authentication import links, sessions, sign_in, sign_in_anywhere
from scimd.web import forms, oidc, second_step, security
from scimd.web.pages import UNDONE, came_in, narrow, see_other, sentence

_REFUSED = (WrongCredentials, TooManyRequests, MayNotSignIn)


# ------------------------------------------------------------------------------ by password


@public
async def show(request: web.Request) -> web.StreamResponse:
    """The form, for one organization or any. Whoever is signed in already goes on."""
    follow = security.local_path(request.query.get("next"))
    if request[guard.SESSION] is not None:
        return see_other(follow)
    return _form(request, follow)


def _form(
    request: web.Request, follow: str, *, address: str = "", refusal: Refusal | None = None
) -> web.Response:
    slug = request.match_info.get("slug", "")
    return narrow(
        "sign_in.html",
        "Sign in",
        status=statuses.of_refusal(refusal).status if refusal else 200,
        # The address of the page says which one; whether there is such an organization is not told.
        organization=slug,
        action=f"/o/{slug}/sign-in" if slug else "/sign-in",
        next=follow,
        address=address,
        provider=oidc.of_organization(request.app[CONFIG], slug),
        fault=sentence(refusal) if refusal else "",
        undone=UNDONE if security.is_undone(follow) else "",
        passkeys=second_step.party_of(request).is_domain,
    )


@public
async def enter(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "address", "password", "next")
    follow = security.local_path(form["next"])
    door, slug, client = request.app[DOOR], request.match_info.get("slug"), forms.client(request)
    try:
        if slug is None:
            found = await sign_in_anywhere.by_password(door, form["address"], form["password"], **client)
        else:
            found = await sign_in.by_password(door, slug, form["address"], form["password"], **client)
    except _REFUSED as exc:
        return _form(request, follow, address=form["address"], refusal=exc)
    except SecondFactorAsked as exc:
        return await second_step.ask(request, exc, follow)
    if isinstance(found, list):
        return narrow("choose.html", "Where to?", choices=found, address=form["address"], next=follow)
    return came_in(request, found, follow)


@signed_in(enrolling=True)
async def leave(request: web.Request) -> web.StreamResponse:
    """End the session on the server and forget the cookie."""
    door, holder = request.app[DOOR], guard.session_of(request)
    await sessions.end(door, holder.context(door), holder.session_id)
    response = see_other("/sign-in")
    security.drop_cookie(response, request.app[CONFIG])
    return response


# ------------------------------------------------------------------------------ by link


@public
async def show_link(request: web.Request) -> web.StreamResponse:
    """Looking spends nothing: mail scanners open links too."""
    link = await links.look(request.app[DOOR], request.match_info["token"], "sign_in")
    return narrow("link.html", "Sign in", link=link)


@public
async def enter_by_link(request: web.Request) -> web.StreamResponse:
    token = request.match_info["token"]
    try:
        signed = await sign_in.by_link(request.app[DOOR], token, **forms.client(request))
    except SecondFactorAsked as exc:
        return await second_step.ask(request, exc, "/")
    return came_in(request, signed, "/")


# ------------------------------------------------------------------------------ setting a password


@public
async def show_set_password(request: web.Request) -> web.StreamResponse:
    return await _by_link_form(request)


async def _by_link_form(request: web.Request, refusal: WeakPassword | None = None) -> web.Response:
    link = await links.look(request.app[DOOR], request.match_info["token"], "set_password")
    return narrow(
        "set_password.html",
        "Set your password",
        status=422 if refusal else 200,
        lead=f"For {link.address or link.display_name} at {link.organization}. Other sessions of yours end.",
        address=link.address or "",
        fault=refusal.detail if refusal else "",
        visit=None,
        ask_current=False,
        skip="",
    )


@public
async def set_password(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "password")
    token, door = request.match_info["token"], request.app[DOOR]
    try:
        signed = await sign_in.set_password_by_link(door, token, form["password"], **forms.client(request))
    except WeakPassword as exc:
        return await _by_link_form(request, exc)
    except SecondFactorAsked as exc:
        return await second_step.ask(request, exc, "/?said=password")
    return came_in(request, signed, "/?said=password")


@signed_in()
async def show_own_password(request: web.Request) -> web.StreamResponse:
    """After a sign-in by link: a password for the next time. Later: a change, with the current one."""
    return await _own_form(request)


async def _own_form(request: web.Request, refusal: Refusal | None = None) -> web.Response:
    visit = await visit_of(request)
    door, holder = request.app[DOOR], guard.session_of(request)
    has_one = await sign_in.has_password(door, holder)
    if not has_one:
        sessions.require_proof(door, holder)
    wrong = has_one and isinstance(refusal, WrongCredentials)
    return narrow(
        "set_password.html",
        "Change your password" if has_one else "Set a password",
        status=statuses.of_refusal(refusal).status if refusal else 200,
        lead="Your other sessions end."
        if has_one
        else "You are signed in. With a password you can come back.",
        address=visit.holder.address or "",
        fault="" if wrong or refusal is None else sentence(refusal),
        fault_current="This is not your current password." if wrong else "",
        visit=visit,
        ask_current=has_one,
        skip="/",
    )


@signed_in()
async def set_own_password(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "password", "current")
    try:
        cookie = await sign_in.set_own_password(
            request.app[DOOR],
            guard.session_of(request),
            form["password"],
            current=form["current"] or None,
            ip=forms.client(request)["ip"],
        )
    except (WeakPassword, WrongCredentials, TooManyRequests) as exc:
        return await _own_form(request, exc)
    return came_in(request, cookie, "/?said=password")
