"""The list of runs and the report of one: what it did or would do, and why."""

from __future__ import annotations

from aiohttp import web

from scimd.core.errors import NotAllowedNow, StateMoved
from scimd.http.guard import signed_in
from scimd.http.keys import DOOR
from scimd.http.visits import SEE_RUNS, visit_of
from scimd.org.runs import approvals, run_changes, runs
from scimd.org.runs.runs import RunRecord
from scimd.org.sources import sources
from scimd.org.tx import Door
from scimd.web import forms, words
from scimd.web.pages import PAGE, message, page, see_other


@signed_in(*SEE_RUNS)
async def index(request: web.Request) -> web.StreamResponse:
    door, visit = request.app[DOOR], await visit_of(request)
    connectors = [row for row in await sources.list_sources(door, visit.org_id) if row.kind == "connector"]
    source_id = forms.chosen(request, "source", [row.id for row in connectors])
    found = await runs.list_runs(
        door,
        visit.org_id,
        next((row.id for row in connectors if row.id == source_id), None),
        limit=PAGE + 1,
        after=request.query.get("after") or None,
    )
    shown = found[:PAGE]
    more = visit.url("/runs", source=source_id, after=shown[-1].id) if len(found) > PAGE else None
    return await page(
        request,
        visit,
        "runs.html",
        "Runs",
        section="/runs",
        runs=shown,
        more=more,
        sources=[(row.id, row.name) for row in connectors],
        chosen=source_id,
        moving=any(row.state in words.MOVING for row in shown),
    )


@signed_in(*SEE_RUNS)
async def show(request: web.Request) -> web.StreamResponse:
    """One run with a page of its changes, by action and outcome where asked."""
    door, visit = request.app[DOOR], await visit_of(request)
    run = await runs.get_run(door, visit.org_id, request.match_info["id"])
    action = forms.chosen(request, "action", words.ACTIONS)
    outcome = forms.chosen(request, "outcome", words.OUTCOMES)
    found = await run_changes.list_changes(
        door,
        visit.org_id,
        run.id,
        after=_number(request.query.get("after")),
        limit=PAGE + 1,
        outcome=outcome,
        action=action,
    )
    shown = found[:PAGE]
    path = f"/runs/{run.id}"
    over = run.state in runs.OVER
    approved = run.state == "held" and run.approved_at is not None
    return await page(
        request,
        visit,
        "run.html",
        f"Run of {run.source_name}",
        section="/runs",
        run=run,
        over=over,
        newest=await _newest(door, run) if over else None,
        moving=run.state in words.MOVING or approved,
        stopped=approved and (await sources.get_source(door, visit.org_id, run.source_id)).state == "paused",
        figures=words.figures(run.counts),
        changes=shown,
        more=visit.url(path, action=action, outcome=outcome, after=shown[-1].n)
        if len(found) > PAGE
        else None,
        action_options=list(words.ACTIONS.items()),
        outcome_options=[(key, badge.text) for key, badge in words.OUTCOMES.items()],
        chosen_action=action,
        chosen_outcome=outcome,
        may_approve=visit.may("plans.approve"),
        may_see_people=visit.may("users.read"),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


@signed_in("plans.approve")
async def approve(request: web.Request) -> web.StreamResponse:
    """Let a held plan go on; the worker applies it."""
    door, visit = request.app[DOOR], await visit_of(request)
    run_id = request.match_info["id"]
    try:
        await approvals.approve(door, visit.context(door), run_id)
    except (NotAllowedNow, StateMoved) as exc:
        run = await runs.get_run(door, visit.org_id, run_id)
        if run.state in ("applying", "done", "partial"):  # somebody else has approved it
            return see_other(visit.url(f"/runs/{run_id}"))
        if run.waits and isinstance(exc, NotAllowedNow):
            href = visit.url(f"/runs/{run_id}")
            return message(
                "This plan cannot be approved now", exc.detail, status=409, href=href, go="The plan"
            )
        newest = await _newest(door, run)
        go = f"The newest run of {newest.source_name}"
        return message(
            "This plan is no longer valid",
            exc.detail,
            status=409,
            href=visit.url(f"/runs/{newest.id}"),
            go=go,
        )
    return see_other(visit.url(f"/runs/{run_id}", said="approved"))


async def _newest(door: Door, run: RunRecord) -> RunRecord:
    (newest,) = await runs.list_runs(door, run.org_id, run.source_id, limit=1)
    return newest
