"""The second step of a sign-in, and signing in by a passkey alone."""

from __future__ import annotations

from aiohttp import web

from scimd.core.errors import (
    LinkInvalid,
    MayNotSignIn,
    Refusal,
    SecondFactorAsked,
    SecondFactorUnreadable,
    TooManyRequests,
    WrongCredentials,
)
from scimd.http import statuses
from scimd.http.guard import public
from scimd.http.keys import CONFIG, DOOR
from scimd.org.authentication import passkeys, second_step
from scimd.org.authentication.passkeys import Answer, RelyingParty
from scimd.org.authentication.second_step import Proof
from scimd.web import forms, security
from scimd.web.pages import came_in, message, narrow, see_other, sentence

_REFUSED = (WrongCredentials, SecondFactorUnreadable, TooManyRequests, MayNotSignIn)
#: The parts of a passkey's answer, as the script fills them in.
ANSWER = ("challenge", "id", "client_data", "authenticator_data", "signature")


def party_of(request: web.Request) -> RelyingParty:
    return RelyingParty.of(request.app[CONFIG].server.public_url)


def no_passkeys(request: web.Request) -> str:
    """Why there are none; empty where there are."""
    party = party_of(request)
    if party.is_domain:
        return ""
    return f"Passkeys belong to a name, and this scimd is reached at an IP address, {party.id} (public_url)."


async def proof_of(request: web.Request) -> Proof:
    """What a form of the second step holds."""
    form = await forms.fields(request, "by", "code", *ANSWER)
    if form["by"] == "passkey":
        return Proof("passkey", answer=answer_of(form), party=party_of(request))
    return Proof("recovery" if form["by"] == "recovery" else "totp", form["code"])


def answer_of(form: dict[str, str]) -> Answer:
    return Answer(*(form[name] for name in ANSWER))


async def ask(
    request: web.Request, asked: SecondFactorAsked, follow: str, refusal: Refusal | None = None
) -> web.Response:
    """The page of the second step. The ticket is in its forms, and nowhere else."""
    challenge = None
    if "passkey" in asked.kinds and party_of(request).is_domain:
        of = second_step.waiting(request.app[DOOR], asked.ticket)
        challenge = await passkeys.challenge(request.app[DOOR], party_of(request), of)
    return narrow(
        "second_step.html",
        "One more step",
        status=statuses.of_refusal(refusal).status if refusal else 200,
        ticket=asked.ticket,
        kinds=asked.kinds,
        joined=",".join(asked.kinds),
        next=follow,
        challenge=challenge,
        fault=_told(refusal) if refusal else "",
    )


def _told(refusal: Refusal) -> str:
    if isinstance(refusal, WrongCredentials):
        return "That is not correct. A code works once; wait for the next one."
    return sentence(refusal)


@public
async def begin_anew(_: web.Request) -> web.StreamResponse:
    """Whoever reloads the page, or comes back to it, begins at the first step."""
    return see_other("/sign-in")


@public
async def complete(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "ticket", "kinds", "next")
    follow = security.local_path(form["next"])
    known = tuple(kind for kind in ("passkey", "totp") if kind in form["kinds"].split(","))
    proof = await proof_of(request)
    try:
        signed = await second_step.complete(request.app[DOOR], form["ticket"], proof, **forms.client(request))
    except LinkInvalid:
        return _too_late(follow)
    except _REFUSED as exc:
        try:
            return await ask(request, SecondFactorAsked(form["ticket"], known), follow, exc)
        except LinkInvalid:
            return _too_late(follow)
    return came_in(request, signed, follow)


def _too_late(follow: str) -> web.Response:
    return message(
        "Please sign in again",
        "That took longer than five minutes, or was done already.",
        status=401,
        href=security.leading_to("/sign-in", follow),
        go="To the sign-in",
    )


@public
async def show_passkey(request: web.Request) -> web.StreamResponse:
    follow = security.local_path(request.query.get("next"))
    if not party_of(request).is_domain:
        way = security.leading_to("/sign-in", follow)
        return message("No passkeys here", no_passkeys(request), status=404, href=way, go="To the sign-in")
    return await _alone(request, follow)


async def _alone(request: web.Request, follow: str, refusal: Refusal | None = None) -> web.Response:
    challenge = await passkeys.challenge(request.app[DOOR], party_of(request))
    return narrow(
        "passkey.html",
        "Sign in with a passkey",
        status=statuses.of_refusal(refusal).status if refusal else 200,
        challenge=challenge,
        next=follow,
        fault=("This passkey does not open an account here." if isinstance(refusal, WrongCredentials)
               else sentence(refusal)) if refusal else "",
    )  # fmt: skip


@public
async def enter_by_passkey(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "next", *ANSWER)
    follow = security.local_path(form["next"])
    try:
        signed = await passkeys.sign_in_alone(
            request.app[DOOR], answer_of(form), party_of(request), **forms.client(request)
        )
    except LinkInvalid:
        return _too_late(follow)
    except _REFUSED as exc:
        return await _alone(request, follow, exc)
    return came_in(request, signed, follow)
