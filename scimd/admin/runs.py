"""Runs: what a sync did or would do, its report, an admin's word on a held one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Download, Listed, ListQuery, Output, Text
from scimd.core.errors import NotAllowedNow, NotFound, StateMoved
from scimd.http.visits import SEE_RUNS
from scimd.org.runs import approvals, run_changes, runs
from scimd.org.runs.runs import RunRecord, State
from scimd.sync import report

SEATS = "Seats before, freed, wanted, after, waited for."


class Run(Output):
    id: str
    source_id: str
    source_name: str
    trigger: str
    state: State
    started_by: str
    started_at: datetime
    planned_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="After this a plan is refused.")
    full: bool = Field(
        description="Each entry was compared with what is stored, whatever its digest says: once a week."
    )
    complete: bool = Field(description="The read came to its end; only then is anybody removed.")
    counts: dict[str, int] = Field(description="What happened, or in a plan what would, by name.")
    situations: dict[str, int] = Field(description="What the read found.")
    trips: list[str] = Field(description="The limits that it is over, with their figures.")
    seats: dict[str, int | None] = Field(description=SEATS)
    mails: int
    error: str | None
    error_kind: str | None
    approved_by: str | None
    approved_at: datetime | None


class RunChange(Output):
    n: int = Field(description="Its place in the plan, from 1.")
    kind: Literal["user", "group"]
    situation: str
    action: str
    removal: bool
    external_id: str | None
    name: str
    target_id: str | None = Field(description="The user or group.")
    old: dict[str, Any] | None = Field(description="The values that differ, by SCIM path.")
    new: dict[str, Any] | None
    reason: str
    outcome: str
    detail: str | None
    applied_at: datetime | None


class RunQuery(ListQuery):
    source: Text | None = Field(None, description="The id of a source.")
    state: State | None = None
    sort: Literal["started", "-started"] = "-started"


class ChangeQuery(ListQuery):
    action: Text | None = Field(None, description="create, update, link, deactivate, delete, …")
    outcome: Text | None = Field(None, description="planned, staged, applied, waiting, skipped, failed.")


@endpoint("GET", "/runs", needs=SEE_RUNS)
async def index(call: Call, query: RunQuery) -> Listed[Run]:
    """List runs, of 90 days; each source's newest is kept longer."""
    found = await runs.window(call.door, call.org_id, call.window, source_id=query.source, state=query.state)
    return Listed.of(found, Run.of)


@endpoint("GET", "/runs/{id}", needs=SEE_RUNS)
async def show(call: Call) -> Run:
    """Show a run."""
    return Run.of(await _run(call))


@endpoint("GET", "/runs/{id}/changes", needs=SEE_RUNS)
async def changes(call: Call, query: ChangeQuery) -> Listed[RunChange]:
    """List a run's changes, in the plan's order."""
    found = await run_changes.window(
        call.door,
        call.org_id,
        (await _run(call)).id,
        call.window,
        outcome=query.outcome,
        action=query.action,
    )
    return Listed.of(found, RunChange.of)


@endpoint("GET", "/runs/{id}/report.csv", needs=SEE_RUNS, file="text/csv")
async def report_csv(call: Call) -> Download:
    """A run's report with a line per changed attribute, as CSV."""
    run = await _run(call)
    return Download(f"{_name(run)}.csv", "text/csv", report.csv_of(call.door, run))


@endpoint("GET", "/runs/{id}/report.json", needs=SEE_RUNS, file="application/json")
async def report_json(call: Call) -> Download:
    """A run and all its changes, as one JSON document."""
    run = await _run(call)
    return Download(f"{_name(run)}.json", "application/json", report.json_of(call.door, run))


@endpoint(
    "POST", "/runs/{id}/approve", needs=("plans.approve",), refuses=(NotFound, NotAllowedNow, StateMoved)
)
async def approve(call: Call) -> Run:
    """Approve a held plan.

    The worker applies it within seconds. Approving twice is the same as once.
    """
    await approvals.approve(call.door, call.ctx, call.id)
    return Run.of(await _run(call))


@endpoint("POST", "/runs/{id}/reject", needs=("plans.approve",), refuses=(NotFound, NotAllowedNow))
async def reject(call: Call) -> Run:
    """Reject a held plan.

    What it staged is not done. The next run looks again, and may be held for the same reason.
    """
    await approvals.reject(call.door, call.ctx, call.id)
    return Run.of(await _run(call))


async def _run(call: Call) -> RunRecord:
    return await runs.get_run(call.door, call.org_id, call.id)


def _name(run: RunRecord) -> str:
    """Of a source's slug and a time: safe in a header and as a file."""
    return f"scimd-{run.source_name}-{run.started_at:%Y%m%d-%H%M%S}"
