"""The page of a link that opens nothing (any more), and the way on from there."""

from __future__ import annotations

from aiohttp import web

from scimd.core.languages import ENGLISH, Language
from scimd.http import guard
from scimd.http.keys import DOOR
from scimd.org.authentication import links, sign_in
from scimd.org.authentication.links import Purpose
from scimd.translations import say_in
from scimd.web.pages import message, see_other

#: What a used one did, what to do now, and where.
_USED: dict[Purpose, tuple[str, str, str, str]] = {
    "sign_in": (
        "It signs in once, and did.",
        "If that was you, go on in the browser where you are signed in. Otherwise ask for a new link.",
        "/",
        "Go on",
    ),
    "set_password": (
        "It sets a password once, and did.",
        "If that was you, sign in with the new password. Otherwise ask for a new link, and tell an admin.",
        "/sign-in",
        "To the sign-in",
    ),
    "confirm_address": (
        "It confirms an address once, and did.",
        "If that was you, nothing more is needed.",
        "/my",
        "To your profile",
    ),
}
#: By the first part of a link's path.
_PURPOSES = {purpose.replace("_", "-"): purpose for purpose in _USED}


async def show(request: web.Request) -> web.Response:
    """What became of the link. Who sends that of a sign-in twice goes on with the session that they have."""
    purpose = _PURPOSES.get(request.path.split("/")[1])
    user = await links.user_of(request.app[DOOR], request.match_info["token"], purpose) if purpose else None
    if purpose is None or user is None:
        return not_valid(ENGLISH)
    holder = request[guard.SESSION]
    again = purpose == "sign_in" and request.method == "POST"
    if again and holder is not None and (holder.org_id, holder.person_id) == user:
        return see_other("/" if await sign_in.has_password(request.app[DOOR], holder) else "/password")
    did, then, href, go = _USED[purpose]
    return message("This link was used already", did, then, status=404, href=href, go=go)


def not_valid(language: Language) -> web.Response:
    """The page of a link of any kind that opens nothing, for one of several reasons."""
    _ = say_in(language)
    return message(
        _("This link is not valid"),
        _("It was used already, it has expired, or a newer one was sent."),
        _("Open the newest mail, or ask whoever sent it for a new link."),
        status=404,
        language=language,
        href="/sign-in",
        go=_("To the sign-in"),
    )
