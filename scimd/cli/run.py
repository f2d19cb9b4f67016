"""``scimd run``: what the syncs did, and why."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    cell,
    organization,
    out,
    print_json,
    print_table,
    run,
)
from scimd.config import Config
from scimd.org import runs, sources
from scimd.org.runs import ChangeRecord, RunRecord
from scimd.org.tx import Door
from scimd.sync import report as reports

app = typer.Typer(name="run", help="Runs and their reports.", no_args_is_help=True)


@app.command("list")
def list_(
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    org: OrgOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the newest runs."""

    async def work(door: Door, _: Config) -> list[RunRecord]:
        if source is not None:
            found = await sources.resolve(door, source, org)
            return await runs.list_runs(door, found.org_id, found.id, limit=limit)
        owner = await organization(door, org)
        return await runs.list_runs(door, owner.id, limit=limit)

    rows = run(config, work)
    if json:
        print_json(rows)
        return
    print_table(
        "Runs",
        ("Id", "Source", "State", "Started", "Finished", "What happened"),
        (
            (row.id, row.source_name, row.state, row.started_at, row.finished_at, row.error or summary(row))
            for row in rows
        ),
        empty="No run yet. Start one: scimd sync SOURCE",
    )


@app.command("show")
def show(
    run_id: Annotated[str, typer.Argument(metavar="ID")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one run: state, counts, seats, limits that tripped."""

    async def work(door: Door, _: Config) -> RunRecord:
        owner = await organization(door, org)
        return await runs.get_run(door, owner.id, run_id)

    row = run(config, work)
    if json:
        print_json(row)
        return
    out.print(f"[bold]{row.source_name}[/bold] {row.state}  {cell(row.started_at)} – {cell(row.finished_at)}")
    out.print(row.error or summary(row))
    for trip in row.trips:
        out.print(f"[yellow]limit:[/yellow] {trip}")
    print_table("Counts", ("What", "Number"), sorted(row.counts.items()), empty="Nothing was counted.")


@app.command("report")
def report(
    run_id: Annotated[str, typer.Argument(metavar="ID")],
    org: OrgOption = None,
    format_: Annotated[Literal["table", "csv", "json"], typer.Option("--format")] = "table",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Print each change of a run with its reason, old and new values."""

    async def work(door: Door, _: Config) -> None:
        owner = await organization(door, org)
        row = await runs.get_run(door, owner.id, run_id)
        if json or format_ != "table":
            stream = reports.json_of if json or format_ == "json" else reports.csv_of
            async for piece in stream(door, row):
                sys.stdout.buffer.write(piece.encode())
            sys.stdout.buffer.flush()
        else:
            async for change in runs.every_change(door, owner.id, row.id):
                print_change(change)

    run(config, work)


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
