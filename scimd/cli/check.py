"""``scimd check``: what is wrong, one sentence each, with the mend."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.markup import escape

from scimd import config as configuration
from scimd import opening
from scimd.cli.common import ConfigOption, JsonOption, context, err, load, out, print_json
from scimd.config import Config, ConfigError
from scimd.core.errors import NotFound, Refusal
from scimd.org import organizations, reads, source_upkeep, sources
from scimd.org.tx import Door
from scimd.sync import checking


def register(app: typer.Typer) -> None:
    app.command("check")(check)


def check(
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="Only this source.")] = None,
    standing: Annotated[
        bool, typer.Option("--standing", help="Work out everybody's standing anew and compare it.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Check config, database and connectors. Exit code 1 where something is wrong.

    Changes nothing, but that a source which answers leaves its quarantine.
    """
    passed: list[str] = []
    faults: list[str] = []
    try:
        loaded = load(config)
        passed.append(f"config: {configuration.find(config) or 'the defaults'}: nothing wrong")
        asyncio.run(_check(loaded, source, standing, passed, faults))
    except ConfigError as exc:
        faults += exc.faults
    except Refusal as exc:
        faults.append(f"database: {exc.detail}")
    if json:
        print_json({"ok": not faults, "passed": passed, "faults": faults})
    else:
        for sentence in passed:
            out.print(f"[green]✓[/green] {escape(sentence)}")
        for sentence in faults:
            err.print(f"[red]✗[/red] {escape(sentence)}")
    raise typer.Exit(1 if faults else 0)


async def _check(
    config: Config, only: str | None, standing: bool, passed: list[str], faults: list[str]
) -> None:
    opening.prove(config)
    opening.require_schema(config)
    async with opening.opened(config, make_key=True) as door:
        await door.db.ping()
        passed.append(f"database: {door.db.dialect}, schema current")
        if standing:
            for organization in await organizations.list_organizations(door):
                found = await reads.check_standing(door, organization.id)
                faults += [f"standing: {organization.slug}: {difference}" for difference in found]
                if not found:
                    passed.append(f"standing: {organization.slug}: stored equals recomputed for everybody")
        for organization_ in config.organization:
            for source in organization_.source:
                name = f"{organization_.name}/{source.name}"
                if source.connector == "scim" or (only is not None and only not in (name, source.name)):
                    continue
                answer = await checking.check(source)
                (passed if answer.ok else faults).append(f"source {name}: {answer.sentence}")
                if answer.ok:
                    await _recover(door, name, passed)


async def _recover(door: Door, name: str, passed: list[str]) -> None:
    """A source that answers is in quarantine no longer."""
    try:
        found = await sources.resolve(door, name)
    except NotFound:
        return  # declared in the file, and not made yet: `scimd serve` makes it
    if found.quarantined_since is not None:
        await source_upkeep.recover(door, context(door, found.org_id), found.id)
        passed.append(f"source {name}: its quarantine is over; it is read in the worker's next turn")
