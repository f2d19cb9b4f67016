"""``scimd plan``, ``apply`` and ``sync``: what a run would do, and doing it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    command_line,
    context,
    counts_later,
    err,
    fail,
    file_of,
    make_source,
    operator,
    organization_of_run,
    out,
    print_json,
    run,
    seats_said,
    where_declared,
)
from scimd.cli.run import print_change, summary
from scimd.config import Config, Source
from scimd.core.errors import NotFound
from scimd.org.declared import declared_sources
from scimd.org.runs import run_changes, runs
from scimd.org.runs.run_changes import ChangeRecord
from scimd.org.runs.runs import RunRecord
from scimd.org.sources import sources
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Door
from scimd.sync import apply as applying
from scimd.sync.planning import CannotPlan
from scimd.sync.run import Started, apply_run, plan_source, preview_source, sync_source

_SOURCE = Annotated[str, typer.Argument(metavar="SOURCE", help="The source, or org/name.")]
_CODES = {"done": 0, "planned": 0, "held": 3, "partial": 4}


def register(app: typer.Typer) -> None:
    app.command("plan")(plan)
    app.command("apply")(apply)
    app.command("sync")(sync)


def plan(source: _SOURCE, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Read the source and print what a run would do, like a diff; nothing is changed.

    Where the config file was changed, it is read as the file has it now, and the plan is not kept.
    Exit code 0: nothing to do. 2: there are changes. 3: over the limits, held.
    """

    async def work(door: Door, loaded: Config) -> tuple[RunRecord, list[ChangeRecord]]:
        found = await _resolve(door, loaded, source)
        _say_where_the_file_lacks_it(loaded, found, config)
        wanted = _differing(loaded, found)
        if wanted is not None:
            _say_that_the_file_differs(found, config, "This is what a run would do then; nothing is kept.")
        with _progress(json) as report:
            if wanted is not None:
                return await preview_source(door, found, wanted, started=_by_hand(), report=report)
            made = await plan_source(door, found, started=_by_hand(), report=report)
        return made, [change async for change in run_changes.every(door, found.org_id, made.id)]

    try:
        made, changes = run(config, work, makes=where_declared)
    except CannotPlan as exc:
        fail(f"{exc}. Nothing is kept of this.")
    if json:
        print_json(_as_json(made) | {"id": made.id or None, "changes": changes})
    else:
        for change in changes:
            print_change(change)
        _say(made)
        if made.id and made.waits and changes:
            apply_it = command_line(f"apply {made.id}", config)
            out.print(f"Apply it within 24 hours: {apply_it}", markup=False)
    # Held is told first: something of the plan waits for approval, whatever else it would do.
    held = made.state == "planned" and made.counts.get("held")
    _exit(made, 3 if held else 2 if changes and made.state == "planned" else None)


def apply(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN_ID", help="A plan's id, or a held run's.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Apply a plan, a held one too: you approve it.

    Exit code 4: partly done, see the report. 5: what the plan rests on has moved; nothing was changed.
    """

    async def work(door: Door, _: Config) -> RunRecord:
        owner = await organization_of_run(door, plan_id)
        waiting = await runs.get_run(door, owner, plan_id)
        if waiting.state in runs.OVER:
            return waiting
        with _progress(json) as report:
            return await apply_run(door, context(door, owner), plan_id, report=report)

    made = run(config, work)
    if made.state in runs.OVER:
        why = made.error or "An admin refused it."
        anew = command_line(f"plan {made.source_name}", config)
        fail(f"The plan is {made.state}: {why} Make a new one: {anew}", code=5)
    _finish(made, json, config)


def sync(source: _SOURCE, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Plan and apply at once, under the source's limits.

    Exit code 3: held by a limit. 4: partly done, see the report.
    """

    async def work(door: Door, loaded: Config) -> RunRecord:
        found = await _resolve(door, loaded, source)
        _say_where_the_file_lacks_it(loaded, found, config)
        if _differing(loaded, found) is not None:
            _say_that_the_file_differs(found, config, "Here counts what was before.")
        with _progress(json) as report:
            return await sync_source(door, found, started=_by_hand(), report=report)

    _finish(run(config, work, makes=where_declared), json, config)


async def _resolve(door: Door, config: Config, name: str) -> SourceRecord:
    """The source that is meant. One that only the file knows yet is made first.

    All else stays as it is: what changed in the file counts when `serve` starts.
    """
    try:
        return await sources.resolve(door, name)
    except NotFound:
        declared = {
            f"{organization.name}/{source.name}": organization
            for organization in config.organization
            for source in organization.source
            if name in (source.name, f"{organization.name}/{source.name}")
        }
        if not declared:
            raise
        if len(declared) > 1:
            raise sources.ambiguous(name, declared) from None
        ((full_name, owner),) = declared.items()
        await make_source(door, config, owner, full_name.rpartition("/")[2])
        return await sources.resolve(door, full_name)


def _differing(loaded: Config, found: SourceRecord) -> Source | None:
    """The source as the file has it, where that is not what counts."""
    for organization in loaded.organization:
        for wanted in organization.source:
            mine = (organization.name, wanted.name) == (found.org_slug, found.name)
            if mine and declared_sources.differs(found, wanted):
                return wanted
    return None


def _say_that_the_file_differs(found: SourceRecord, path: Path | None, here: str) -> None:
    what = f"the source {found.org_slug}/{found.name}"
    later = counts_later(file_of(path), what, command_line("check", path))
    err.print(f"{later}. {here}", markup=False)


def _say_where_the_file_lacks_it(loaded: Config, found: SourceRecord, path: Path | None) -> None:
    name = f"{found.org_slug}/{found.name}"
    named = {f"{each.name}/{source.name}" for each in loaded.organization for source in each.source}
    if found.declared_in == "file" and name not in named:
        err.print(
            f"{file_of(path)} does not name the source {name} any more: once scimd serve is started again, "
            "nothing reads it. Here counts what was before.",
            markup=False,
        )


def _by_hand() -> Started:
    return Started(trigger="cli", by=operator().name)


def _finish(made: RunRecord, json: bool, config: Path | None) -> None:
    if json:
        print_json(_as_json(made))
    else:
        _say(made)
        report = command_line(f"run report {made.id}", config)
        out.print(f"The report: {report}", markup=False)
    _exit(made)


def _say(made: RunRecord) -> None:
    said = f"{made.state}: {made.error or summary(made)}"
    out.print(f"[bold]{escape(made.source_name)}[/bold] {escape(said)}")
    if made.seats.get("limit") is not None:
        out.print(seats_said(made.seats, held=bool(made.counts.get("held"))), markup=False)
    if made.mails:
        out.print(f"Mails: {made.mails}.", markup=False)
    # Whoever approved a run has seen its limits, and they hold nothing of it any more.
    for trip in made.trips if made.approved_at is None else ():
        err.print(f"[yellow]limit:[/yellow] {escape(trip)}")


def _exit(made: RunRecord, code: int | None = None) -> None:
    if made.state == "failed" and code is None:
        fail(made.error or "the run failed")
    raise typer.Exit(_CODES.get(made.state, 1) if code is None else code)


def _as_json(made: RunRecord) -> dict[str, Any]:
    return {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}


@contextmanager
def _progress(json: bool) -> Iterator[applying.Report]:
    """A live line on standard error, where somebody looks."""
    if json or not err.is_terminal:
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}"))
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda step: bar.update(task, description=step.stage, completed=step.done, total=step.total)
