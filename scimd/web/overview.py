"""The first page: sources, seats, latest runs, what waits for a decision."""

from __future__ import annotations

from aiohttp import web

from scimd.http.guard import signed_in
from scimd.http.keys import DOOR
from scimd.http.visits import SEE_RUNS, visit_of
from scimd.org.decisions import decisions
from scimd.org.organizations import organizations
from scimd.org.runs import runs
from scimd.org.sources import sources
from scimd.web.pages import page


@signed_in()
async def show(request: web.Request) -> web.StreamResponse:
    """What the visitor may see; for a person without permissions, who they are; for operators, where to."""
    door, visit = request.app[DOOR], await visit_of(request)
    if not visit.holder.permissions:
        return await page(request, visit, "my_access.html", "My access", section="/")
    if visit.holder.is_operator and "org" not in request.query:
        rows = [row for row in await organizations.list_organizations(door) if row.kind != "system"]
        return await page(
            request, visit, "organizations.html", "Organizations", section="/", organizations=rows
        )
    sees_runs = visit.may(*SEE_RUNS)
    return await page(
        request,
        visit,
        "overview.html",
        visit.organization.display_name,
        section="/",
        sources=await sources.list_sources(door, visit.org_id) if sees_runs else None,
        runs=await runs.list_runs(door, visit.org_id, limit=8) if sees_runs else [],
        decisions=await decisions.list_decisions(
            door, visit.org_id, kinds=decisions.seen_with(visit.holder.permissions), limit=6
        ),
    )
