"""The invited person's pages: look, accept with name and password, decline."""

from __future__ import annotations

from aiohttp import web

from scimd.core.errors import InvalidValue, InvitationClosed, Refusal, WeakPassword
from scimd.http.guard import public
from scimd.http.keys import CONFIG, DOOR
from scimd.org import invitations
from scimd.web import forms, security, words
from scimd.web.pages import message, narrow, see_other

_CLOSED = {
    "accepted": "This invitation was accepted",
    "declined": "This invitation was declined",
    "expired": "This invitation has expired",
    "cancelled": "This invitation was withdrawn",
}


@public
async def show(request: web.Request) -> web.StreamResponse:
    """Looking accepts nothing: mail scanners open links too."""
    return await _form(request)


async def _form(
    request: web.Request, *, name: str | None = None, refusal: Refusal | None = None
) -> web.Response:
    token = request.match_info["token"]
    invitation = await invitations.look(request.app[DOOR], token)
    return narrow(
        "invitation.html",
        f"Join {invitation.organization}",
        status=422 if refusal else 200,
        invitation=invitation,
        token=token,
        name=invitation.display_name if name is None else name,
        fault=refusal.detail if isinstance(refusal, WeakPassword) else "",
        name_fault=refusal.detail if isinstance(refusal, InvalidValue) else "",
    )


@public
async def accept(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "name", "password")
    try:
        accepted = await invitations.accept(
            request.app[DOOR],
            request.match_info["token"],
            password=form["password"],
            name=form["name"] or None,
            **forms.client(request),
        )
    except (WeakPassword, InvalidValue) as exc:
        return await _form(request, name=form["name"], refusal=exc)
    if accepted.session is None:
        causes = ", ".join(words.cause(cause) for cause in accepted.causes)
        return message(
            "Accepted, and not open yet",
            f"Your password is set. You cannot come in yet: {causes}.",
            "Nothing more is needed of you. An admin of the organization can tell when it opens.",
            href=f"/o/{accepted.org_slug}/sign-in",
            go="To the sign-in",
        )
    response = see_other("/welcome")
    security.set_cookie(response, request.app[CONFIG], accepted.session)
    return response


@public
async def show_decline(request: web.Request) -> web.StreamResponse:
    token = request.match_info["token"]
    invitation = await invitations.look(request.app[DOOR], token)
    return narrow("decline.html", "Decline the invitation?", invitation=invitation, token=token)


@public
async def decline(request: web.Request) -> web.StreamResponse:
    await invitations.decline(request.app[DOOR], request.match_info["token"])
    return message(
        "Declined",
        "The invitation is over, and nothing more will be sent.",
        "If that was a mistake, ask the person who invited you for a new one.",
    )


@public
async def welcome(request: web.Request) -> web.StreamResponse:
    return message(
        "Welcome", "Your account is ready, and you are signed in.", href="/", go="Go to your access"
    )


def closed(detail: str) -> web.Response:
    """The page of a link whose invitation is over: what became of it, and what to do."""
    status = next((each for each in _CLOSED if InvitationClosed(each).detail == detail), "")
    go = {"href": "/sign-in", "go": "Sign in"} if status == "accepted" else {}
    return message(_CLOSED.get(status, "This invitation is no longer open"), detail, status=410, **go)
