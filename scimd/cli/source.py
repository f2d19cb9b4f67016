"""``scimd source``: look at sources, and let them go on, or stop them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    confirmed,
    context,
    err,
    file_of,
    organization,
    out,
    print_json,
    print_list,
    print_table,
    run,
    said,
)
from scimd.cli.rule import print_preview
from scimd.cli.source_toml import source_toml
from scimd.config import Config
from scimd.core.people import SourceId
from scimd.org.declared import declared_held
from scimd.org.organizations import organizations
from scimd.org.sources import source_ends, source_states, source_upkeep, sources
from scimd.org.sources.rule_previews import End
from scimd.org.sources.source_states import Released
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Context, Door

app = typer.Typer(name="source", help="Where people come from.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The source, or org/name.")]
T = TypeVar("T")
#: After so many people more, how far an end has come.
_TOLD_EACH = 5_000


@app.command("list")
def list_(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the sources of one organization, or of all."""

    async def work(door: Door, _: Config) -> list[SourceRecord]:
        only = None if org is None else (await organization(door, org)).id
        owners = [each for each in await organizations.list_organizations(door) if only in (None, each.id)]
        rows = await sources.list_sources(door, only)
        shown = {(row.org_id, row.name) for row in rows}
        for owner, name in ((each, name) for each in owners for name in each.held):
            if (owner.id, name) not in shown:
                what = f"What the config file says in {owner.slug} of {declared_held.called([name])}"
                err.print(f"{what} is held: {owner.held[name]}", markup=False)
        return rows

    rows = run(config, work)
    print_list(
        "Sources",
        ("Source", "Connector", "State", "Invite", "People", "Groups", "Last success", "Next run", "Trouble"),
        rows,
        lambda row: (
            f"{row.org_slug}/{row.name}",
            row.connector or "scim",
            row.state,
            row.invite,
            row.user_count,
            row.group_count,
            row.last_success_at,
            row.next_run_at,
            row.trouble or (row.held and f"the config file's change is held: {row.held}"),
        ),
        empty="There is no source yet. Declare one in the config, or: scimd token create --source NAME",
        as_json=_as_json,
        json=json,
    )


@app.command("release")
def release(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Let a staged source become active: its mails leave."""

    async def preview(door: Door, _: Config) -> tuple[SourceRecord, Released]:
        found = await sources.resolve(door, name)
        return found, await source_states.preview_release(door, found.org_id, found.id)

    if not yes:
        found, counts = run(config, preview)
        if found.state == "staged":  # any other is refused, and nothing is asked
            question = f"Release {name}: {counts.people} people, {counts.mails} mails. Go on?"
            confirmed(question, yes=yes, json=json)
    done = _changed(config, name, source_states.release)
    said(
        {"source": name, "people": done.people, "mails": done.mails},
        f"Released {name}: {done.people} people, {done.mails} mails.",
        json=json,
    )


@app.command("recover")
def recover(name: Name, config: ConfigOption = None, json: JsonOption = False) -> None:
    """End a source's quarantine: if it has a schedule, it is read in the worker's next turn."""
    found = _changed(config, name, source_upkeep.recover)
    said(
        _as_json(found),
        f"{found.org_slug}/{found.name} is {found.state}, and not in quarantine; {found.read_next}.",
        json=json,
    )


@app.command("show")
def show(name: Name, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show one source: how it is set, and how it is doing."""
    row = run(config, lambda door, _: sources.resolve(door, name))
    if json:
        print_json(_as_json(row) | {"config": row.config})
        return
    print_table(
        f"{row.org_slug}/{row.name}",
        ("What", "Value"),
        _as_json(row).items(),
        empty="",
    )


@app.command("export")
def export(name: Name, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Print the source as it would stand in the config file; secrets only by reference."""
    row = run(config, lambda door, _: sources.resolve(door, name))
    if json:
        print_json({"name": row.name, "toml": source_toml(row)})
    else:
        for line in source_toml(row).splitlines():
            out.print(line, markup=False)


@app.command("pause")
def pause(name: Name, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Stop a connector's runs, or a SCIM source's tokens; what it said stays."""
    row = _changed(config, name, source_states.pause)
    said(_as_json(row), f"{name} is {row.state}.", json=json)


@app.command("resume")
def resume(name: Name, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Undo a pause."""
    row = _changed(config, name, source_states.resume)
    said(_as_json(row), f"{name} is {row.state}.", json=json)


@app.command("end")
def end(
    name: Name,
    remove: Annotated[bool, typer.Option("--remove", help="Its people go, as if it listed nobody.")] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Its active people stay, as local people; who never accepted is invited."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show who would lose what.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; also over the limits.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """End a source for good: remove its people, or keep them."""
    if remove == keep:
        raise typer.BadParameter("Say what becomes of its people: --remove, or --keep.")
    people: End = "keep" if keep else "remove"
    told = _changed(config, name, lambda door, ctx, found: source_ends.preview(door, ctx, found, people))
    if not json:
        print_preview(told, would=True)
    if not dry_run:
        question = f"End {name} and {people} its people: this cannot be taken back. Go on?"
        confirmed(question, yes=yes, json=json)
        sure, file = yes or not json, file_of(config)  # programs are not shown what the limits hold
        _changed(
            config,
            name,
            lambda door, ctx, found: _ended(door, ctx, found, people, sure=sure, file=file),
        )
    if json:
        print_json({"ended": not dry_run, "preview": told})
    elif not dry_run:
        out.print(f"{name} was ended.", markup=False)


async def _ended(
    door: Door, ctx: Context, source_id: SourceId, people: End, *, sure: bool, file: str
) -> None:
    """The whole end, however long; broken off, the worker goes on with it."""
    await source_ends.end(door, ctx, source_id, people, sure=sure, file=file)
    before = None
    while (left := await source_ends.go_on(door, ctx, source_id)) is not None:
        if before is None or left <= before - _TOLD_EACH:
            err.print(f"{left} people are left.", markup=False)
            before = left


def _changed(config: Path | None, name: str, change: Callable[[Door, Context, SourceId], Awaitable[T]]) -> T:
    async def work(door: Door, _: Config) -> T:
        found = await sources.resolve(door, name)
        return await change(door, context(door, found.org_id), found.id)

    return run(config, work)


def _as_json(row: SourceRecord) -> dict[str, object]:
    return {
        "id": row.id,
        "organization": row.org_slug,
        "name": row.name,
        "connector": row.connector or "scim",
        "state": row.state,
        "paused_from": row.paused_from,
        "invite": row.invite,
        "auto_approve": row.auto_approve,
        "ending": row.ending,
        "priority": row.priority,
        "ceiling": row.ceiling,
        "declared_in": row.declared_in,
        "people": row.user_count,
        "groups": row.group_count,
        "failures": row.failures,
        "last_success_at": row.last_success_at,
        "next_run_at": row.next_run_at,
        "quarantined_since": row.quarantined_since,
        "quarantine_cause": row.quarantine_cause,
        "held": row.held,
    }
