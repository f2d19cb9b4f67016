"""People: the list, and one person with the facts and rules behind their access."""

from __future__ import annotations

from aiohttp import web

from scimd.http.guard import signed_in
from scimd.http.keys import DOOR
from scimd.http.visits import visit_of
from scimd.org import labels
from scimd.org.audit import audit_reads
from scimd.org.audit.audit_reads import EntryFilter
from scimd.org.authentication import sessions
from scimd.org.users import admin_reads, user_reads
from scimd.org.users.user_reads import UserFilter
from scimd.org.windows import Place, Window
from scimd.web import forms, words
from scimd.web.pages import PAGE, page

_NEWEST = Window(50, sort="-at")


@signed_in("users.read")
async def index(request: web.Request) -> web.StreamResponse:
    door, visit = request.app[DOOR], await visit_of(request)
    search = request.query.get("search", "").strip()[:200]
    status = forms.chosen(request, "status", words.STATUSES)
    after = request.query.get("after")
    window = Window(PAGE, Place(None, after) if after else None)
    found = await user_reads.list_users(door, visit.org_id, UserFilter(q=search, status=status), window)
    badges = words.statuses(visit.organization.active_label)
    more = visit.url("/people", search=search, status=status, after=found.next.id) if found.next else None
    return await page(
        request,
        visit,
        "people.html",
        "People",
        section="/people",
        people=found.rows,
        more=more,
        search=search,
        statuses=[(key, badge.text) for key, badge in badges.items()],
        badges=badges,
        chosen=status,
    )


@signed_in("users.read")
async def show(request: web.Request) -> web.StreamResponse:
    """Standing with its reasons; sessions and history for those who may see them."""
    door, visit = request.app[DOOR], await visit_of(request)
    found = await admin_reads.show_person(door, visit.org_id, request.match_info["id"])
    person_id = found.person.id
    sees_history = visit.may("audit.read")
    live = await sessions.list_sessions(door, visit.org_id, person_id=person_id) if sees_history else None
    lines = None
    if sees_history:
        events = await audit_reads.list_entries(door, visit.org_id, EntryFilter(target=person_id), _NEWEST)
        lines = [(entry, words.event(entry)) for entry in events.rows]
    reasons = found.standing.reasons
    mentioned = [reason.about + reason.fact + reason.why for reason in reasons]
    mentioned += [line for _, line in lines or []]
    names = await labels.names_of(door, visit.org_id, labels.ids_in(mentioned))
    return await page(
        request,
        visit,
        "person.html",
        found.person.display_name,
        section="/people",
        page=found,
        badges=words.statuses(visit.organization.active_label),
        names=names,
        sessions=None if live is None else len(live),
        events=lines,
    )
