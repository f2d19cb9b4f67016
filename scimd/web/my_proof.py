"""Proving oneself once more before something sensitive (A30)."""

from __future__ import annotations

from aiohttp import web

from scimd.core.errors import LinkInvalid, Refusal, SecondFactorUnreadable, TooManyRequests, WrongCredentials
from scimd.http import guard, statuses
from scimd.http.guard import signed_in
from scimd.http.keys import DOOR
from scimd.http.visits import visit_of
from scimd.org.authentication import passkeys, second_factors, second_step, sign_in
from scimd.web import forms, security
from scimd.web.pages import came_in, narrow, see_other, sentence
from scimd.web.second_step import party_of, proof_of


def ask(request: web.Request) -> web.Response:
    """Go and prove it, and come back to the page."""
    return see_other(security.leading_to("/my/proof", security.page_of(request)))


@signed_in(enrolling=True)
async def show(request: web.Request) -> web.StreamResponse:
    return await _form(request, security.local_path(request.query.get("next")))


async def _form(request: web.Request, follow: str, refusal: Refusal | None = None) -> web.Response:
    visit, holder, door = await visit_of(request), guard.session_of(request), request.app[DOOR]
    kinds = {factor.kind for factor in await second_factors.list_own(door, holder)}
    challenge = None
    if "passkey" in kinds and party_of(request).is_domain:
        challenge = await passkeys.challenge(door, party_of(request), (holder.org_id, holder.person_id))
    return narrow(
        "my_proof.html",
        "Is it you?",
        status=statuses.of_refusal(refusal).status if refusal else 200,
        visit=visit,
        kinds=kinds,
        has_password=await sign_in.has_password(door, holder),
        challenge=challenge,
        next=follow,
        fault="That is not correct." if isinstance(refusal, WrongCredentials)
        else sentence(refusal) if refusal else "",
    )  # fmt: skip


@signed_in(enrolling=True)
async def prove(request: web.Request) -> web.StreamResponse:
    form = await forms.fields(request, "by", "password", "next")
    ip = forms.client(request)["ip"]
    holder, door, follow = guard.session_of(request), request.app[DOOR], security.local_path(form["next"])
    try:
        if form["by"] == "password":
            cookie = await second_step.prove_by_password(door, holder, form["password"], ip=ip)
        else:
            cookie = await second_step.prove(door, holder, await proof_of(request), ip=ip)
    except (WrongCredentials, SecondFactorUnreadable, TooManyRequests, LinkInvalid) as exc:
        return await _form(request, follow, exc)
    return came_in(request, cookie, follow)
