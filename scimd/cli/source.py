"""``scimd source``: look at sources, and let them go on, or stop them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    context,
    organization,
    out,
    print_json,
    print_table,
    run,
)
from scimd.cli.source_toml import source_toml
from scimd.config import Config
from scimd.core.people import SourceId
from scimd.org import source_upkeep, sources
from scimd.org.sources import Released, SourceRecord
from scimd.org.tx import Context, Door

app = typer.Typer(name="source", help="Where people come from.", no_args_is_help=True)


@app.command("list")
def list_(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the sources of one organization, or of all."""

    async def work(door: Door, _: Config) -> list[SourceRecord]:
        only = None if org is None else (await organization(door, org)).id
        return await sources.list_sources(door, only)

    rows = run(config, work)
    if json:
        print_json([_as_json(row) for row in rows])
        return
    print_table(
        "Sources",
        ("Source", "Connector", "State", "Invite", "People", "Groups", "Last success", "Next run", "Trouble"),
        (
            (f"{row.org_slug}/{row.name}", row.connector or "scim", row.state, row.invite, row.user_count,
             row.group_count, row.last_success_at, row.next_run_at, row.quarantine_cause)
            for row in rows
        ),
        empty="There is no source yet. Declare one in the config, or: scimd token create --source NAME",
    )  # fmt: skip


@app.command("release")
def release(
    name: Annotated[str, typer.Argument(help="The source, or org/name.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Let a staged source become active: its mails leave."""

    async def preview(door: Door, _: Config) -> tuple[SourceRecord, Released]:
        found = await sources.resolve(door, name)
        return found, await sources.preview_release(door, found.org_id, found.id)

    async def work(door: Door, _: Config) -> Released:
        found = await sources.resolve(door, name)
        return await sources.release(door, context(door, found.org_id), found.id)

    if not yes and not json:
        found, counts = run(config, preview)
        if found.state == "staged":
            typer.confirm(f"Release {name}: {counts.people} people, {counts.mails} mails. Go on?", abort=True)
    done = run(config, work)
    if json:
        print_json({"source": name, "people": done.people, "mails": done.mails})
    else:
        out.print(f"Released {name}: {done.people} people, {done.mails} mails.")


@app.command("recover")
def recover(
    name: Annotated[str, typer.Argument(help="The source, or org/name.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """End a source's quarantine: it is read in the worker's next turn."""

    async def work(door: Door, _: Config) -> SourceRecord:
        found = await sources.resolve(door, name)
        return await source_upkeep.recover(door, context(door, found.org_id), found.id)

    found = run(config, work)
    if json:
        print_json(_as_json(found))
    else:
        out.print(f"{found.org_slug}/{found.name} is {found.state}, and not in quarantine.")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The source, or org/name.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
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
def export(
    name: Annotated[str, typer.Argument(help="The source, or org/name.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Print the source as it would stand in the config file; secrets only by reference."""
    row = run(config, lambda door, _: sources.resolve(door, name))
    if json:
        print_json({"name": row.name, "toml": source_toml(row)})
    else:
        out.print(source_toml(row), end="", markup=False)


@app.command("pause")
def pause(
    name: Annotated[str, typer.Argument(help="The source, or org/name.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Stop a connector's runs, or a SCIM source's tokens; what it said stays."""
    _put(name, sources.pause, config, json)


@app.command("resume")
def resume(
    name: Annotated[str, typer.Argument(help="The source, or org/name.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Undo a pause."""
    _put(name, sources.resume, config, json)


_Change = Callable[[Door, Context, SourceId], Awaitable[SourceRecord]]


def _put(name: str, change: _Change, config: Path | None, json: bool) -> None:
    async def work(door: Door, _: Config) -> SourceRecord:
        found = await sources.resolve(door, name)
        return await change(door, context(door, found.org_id), found.id)

    row = run(config, work)
    if json:
        print_json(_as_json(row))
    else:
        out.print(f"{name} is {row.state}.")


def _as_json(row: SourceRecord) -> dict[str, object]:
    return {
        "id": row.id,
        "organization": row.org_slug,
        "name": row.name,
        "connector": row.connector or "scim",
        "state": row.state,
        "invite": row.invite,
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
    }
