"""``scimd run``: what the syncs did, and why."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer
from rich.markup import escape

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    cell,
    in_organization,
    organization,
    out,
    print_json,
    print_list,
    print_table,
    run,
)
from scimd.config import Config
from scimd.org.runs import run_changes, runs
from scimd.org.runs.run_changes import ChangeRecord
from scimd.org.runs.runs import RunRecord
from scimd.org.sources import sources
from scimd.org.tx import Context, Door
from scimd.sync import report as reports

app = typer.Typer(name="run", help="Runs and their reports.", no_args_is_help=True)


@app.command("list")
def list_(
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    org: OrgOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")] = 20,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the newest runs."""

    async def work(door: Door, _: Config) -> list[RunRecord]:
        if source is not None:
            found = await sources.resolve(door, source, org)
            return await runs.list_runs(door, found.org_id, found.id, limit=limit)
        return await runs.list_runs(door, (await organization(door, org)).id, limit=limit)

    rows = run(config, work)
    print_list(
        "Runs",
        ("Id", "Source", "State", "Started", "Finished", "What happened"),
        rows,
        lambda row: (
            row.id,
            row.source_name,
            row.state,
            row.started_at,
            row.finished_at,
            row.error or summary(row),
        ),
        empty="No run yet. Start one: scimd sync SOURCE",
        json=json,
    )


@app.command("show")
def show(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="The run's id, as listed.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one run: state, counts, seats, limits that tripped."""
    row = in_organization(config, org, lambda door, ctx: runs.get_run(door, ctx.org_id, run_id))
    if json:
        print_json(row)
        return
    took = f"{cell(row.started_at)} – {cell(row.finished_at)}"
    out.print(f"[bold]{escape(row.source_name)}[/bold] {escape(row.state)}  {escape(took)}")
    out.print(row.error or summary(row), markup=False)
    _say_its_id(row)
    for trip in row.trips:
        out.print(f"[yellow]limit:[/yellow] {escape(trip)}")
    print_table("Counts", ("What", "Number"), sorted(row.counts.items()), empty="Nothing was counted.")


@app.command("report")
def report(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="The run's id, as listed.")],
    org: OrgOption = None,
    format_: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How it is printed.")
    ] = "table",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Print each change of a run with its reason, old and new values."""

    async def work(door: Door, ctx: Context) -> None:
        row = await runs.get_run(door, ctx.org_id, run_id)
        if json or format_ != "table":
            stream = reports.json_of if json or format_ == "json" else reports.csv_of
            async for piece in stream(door, row):
                sys.stdout.buffer.write(piece.encode())
            sys.stdout.buffer.flush()
        else:
            _say_its_id(row)
            async for change in run_changes.every(door, ctx.org_id, row.id):
                print_change(change)

    in_organization(config, org, work)


def _say_its_id(row: RunRecord) -> None:
    out.print(f"Correlation id in the audit and the log: {row.id}", markup=False)


_COLOUR = {
    "create": "green",
    "update": "yellow",
    "deactivate": "red",
    "delete": "red",
    "fail": "red",
    "wait": "magenta",
}
_SIGN = {
    "create": "+",
    "link": "+",
    "update": "~",
    "rename": "~",
    "members": "~",
    "deactivate": "-",
    "delete": "-",
}


def print_change(change: ChangeRecord) -> None:
    """Like a diff: one line, its values below it."""
    colour = _COLOUR.get(change.action, "default")
    sign = _SIGN.get(change.action, "!")
    line = f"{sign} {change.kind} {change.name}: {reports.what(change)} – {change.reason}"
    out.print(line, style=colour, markup=False)
    old, new = change.old or {}, change.new or {}
    for key in sorted({*old, *new}):
        out.print(f"    {key}: {cell(old.get(key))} → {cell(new.get(key))}", style="dim", markup=False)
    if change.detail:
        out.print(f"    {change.detail}", style="dim", markup=False)


def summary(row: RunRecord) -> str:
    """The counts that are not zero, as one line."""
    parts = [f"{number} {what.replace('_', ' ')}" for what, number in row.counts.items() if number]
    return ", ".join(parts) or "nothing to do"
