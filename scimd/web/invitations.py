"""The invited person's pages: look, accept with name and password, decline."""

from __future__ import annotations

from aiohttp import web

from scimd.core import causes
from scimd.core.errors import InvalidValue, Refusal, WeakPassword
from scimd.core.languages import ENGLISH, Language, wished
from scimd.core.words import DISPLAY_NAME_AT_MOST
from scimd.http.guard import public
from scimd.http.keys import CONFIG, DOOR
from scimd.org.invitations import invitations
from scimd.org.invitations.invitations import Accepted
from scimd.translations import say_in
from scimd.web import forms, security
from scimd.web.pages import message, narrow, see_other

#: What became of it: the page's title, and what to do.
CLOSED = {
    "accepted": ("This invitation was accepted", "This invitation was accepted already. Sign in instead."),
    "declined": (
        "This invitation was declined",
        "This invitation was declined. Ask for a new one if that was a mistake.",
    ),
    "expired": (
        "This invitation has expired",
        "This invitation has expired. Ask the person who invited you for a new one.",
    ),
    "cancelled": ("This invitation was withdrawn", "This invitation was withdrawn."),
    "": ("This invitation is no longer open", "This invitation is no longer open."),
}


def language_of(request: web.Request, otherwise: Language = ENGLISH) -> Language:
    """The browser's wish, else the invited person's or the organization's."""
    return wished(request.headers.get("Accept-Language"), otherwise)


@public
async def show(request: web.Request) -> web.StreamResponse:
    """Looking accepts nothing: mail scanners open links too."""
    return await _form(request)


async def _form(
    request: web.Request, *, name: str | None = None, refusal: Refusal | None = None
) -> web.Response:
    token = request.match_info["token"]
    invitation = await invitations.look(request.app[DOOR], token)
    language = language_of(request, invitation.language)
    _ = say_in(language)
    return narrow(
        "invitation.html",
        _("Join %(organization)s") % {"organization": invitation.organization},
        status=422 if refusal else 200,
        language=language,
        invitation=invitation,
        token=token,
        name=invitation.display_name if name is None else name,
        fault=_(refusal.advice) % {"why": _(refusal.why) % refusal.figures}
        if isinstance(refusal, WeakPassword)
        else "",
        name_fault=_("A name has at most %(most)s characters, all of them visible.")
        % {"most": DISPLAY_NAME_AT_MOST}
        if isinstance(refusal, InvalidValue)
        else "",
        name_at_most=DISPLAY_NAME_AT_MOST,
    )


@public
async def accept(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "name", "password")
    door, token = request.app[DOOR], request.match_info["token"]
    kept = (await invitations.look(door, token)).display_name
    name = None if forms.is_spelled_out(form["name"], kept) else form["name"] or None
    try:
        accepted = await invitations.accept(
            door, token, password=form["password"], name=name, **forms.client(request)
        )
    except (WeakPassword, InvalidValue) as exc:
        return await _form(request, name=form["name"], refusal=exc)
    if accepted.session is None:
        return _accepted(request, accepted)
    response = see_other("/welcome")
    security.set_cookie(response, request.app[CONFIG], accepted.session)
    return response


def _accepted(request: web.Request, accepted: Accepted) -> web.Response:
    """How somebody goes on who is not signed in by accepting."""
    language = language_of(request, accepted.language)
    _ = say_in(language)
    if accepted.second_factor:
        title = _("Accepted")
        lines = [_("Your password is set. Sign in with it and your second factor.")]
    else:
        why = ", ".join(_(causes.words(cause)) for cause in accepted.causes)
        title = _("Accepted, but not open yet")
        lines = [
            _("Your password is set. You cannot sign in yet: %(causes)s.") % {"causes": why},
            _("Nothing more is needed from you. An admin of the organization can tell you when it opens."),
        ]
    href = f"/o/{accepted.org_slug}/sign-in"
    return message(title, *lines, language=language, href=href, go=_("To the sign-in"))


@public
async def show_decline(request: web.Request) -> web.StreamResponse:
    token = request.match_info["token"]
    invitation = await invitations.look(request.app[DOOR], token)
    language = language_of(request, invitation.language)
    title = say_in(language)("Decline the invitation?")
    return narrow("decline.html", title, language=language, invitation=invitation, token=token)


@public
async def decline(request: web.Request) -> web.StreamResponse:
    language = language_of(request, await invitations.decline(request.app[DOOR], request.match_info["token"]))
    _ = say_in(language)
    return message(
        _("Declined"),
        _("The invitation is over, and nothing more will be sent."),
        _("If that was a mistake, ask the person who invited you for a new one."),
        language=language,
    )


@public
async def welcome(request: web.Request) -> web.StreamResponse:
    language = language_of(request)
    _ = say_in(language)
    return message(
        _("Welcome"),
        _("Your account is ready, and you are signed in."),
        language=language,
        href="/",
        go=_("Go to your access"),
    )


def closed(request: web.Request, status: str) -> web.Response:
    """The page of a link whose invitation is over: what became of it, and what to do."""
    language = language_of(request)
    _ = say_in(language)
    title, what = CLOSED.get(status, CLOSED[""])
    go = {"href": "/sign-in", "go": _("Sign in")} if status == "accepted" else {}
    return message(_(title), _(what), status=410, language=language, **go)
