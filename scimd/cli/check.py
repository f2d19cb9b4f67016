"""``scimd check``: what is wrong, one sentence each, with the mend."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from scimd import config as configuration
from scimd import opening
from scimd.cli.common import ConfigOption, JsonOption, context, counts_later, err, load, out, print_json
from scimd.config import Config, ConfigError, Organization
from scimd.config import Source as SourceConfig
from scimd.core.errors import NotAllowedNow, NotFound, Refusal
from scimd.core.words import counted
from scimd.org.declared import declared_faults, declared_held, declared_organizations, declared_sources
from scimd.org.organizations import organizations
from scimd.org.sources import source_upkeep, sources
from scimd.org.sources.sources import SourceRecord
from scimd.org.tokens import rekeying
from scimd.org.tx import Door
from scimd.org.users import admin_reads
from scimd.sync import checking

_PUSHED = "is pushed to; there is nothing to read"


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
        loaded, file = load(config), configuration.find(config)
        asyncio.run(_check(loaded, file, source, standing, passed, faults))
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
    config: Config, file: Path | None, only: str | None, standing: bool, passed: list[str], faults: list[str]
) -> None:
    opening.prove(config, file)
    passed.append(f"config: {file or 'the defaults'}: nothing wrong")
    has_schema = opening.has_schema(config)
    key_comes_first = opening.key_comes_first(config)
    if has_schema and not key_comes_first:
        async with opening.opened(config) as door:
            await door.db.ping()
            await asyncio.to_thread(opening.prove_writable, config)
            passed.append(f"database: {door.db.dialect}, schema current")
            await _check_keys(door, passed, faults)
            if standing:
                await _check_standing(door, passed, faults)
            await _check_declared(config, file, door, passed, faults)
            await _check_sources(config, door, only, passed, faults)
        return
    if not key_comes_first:
        opening.keyring(config, make=False)
    opening.prove_place(config)
    passed.append(
        f"database: nobody is in it yet; `scimd serve` makes what is missing at {opening.where(config)}"
    )
    await _check_declared(config, file, None, passed, faults)
    await _check_sources(config, None, only, passed, faults)


async def _check_keys(door: Door, passed: list[str], faults: list[str]) -> None:
    """Which key besides the first is needed, and by what."""
    for use in await rekeying.uses(door):
        apps = counted(use.apps, "authenticator app", "authenticator apps")
        kept = f"{apps} and {counted(use.codes, 'recovery code', 'recovery codes')}"
        if use.place is None:
            faults.append(
                f"secrets.key: {kept} are sealed under a key that is not named any more. Put it back behind "
                "the first, and the worker seals them anew; or let these people set up others: "
                "scimd user reset-second-factor"
            )
            continue
        needs = []
        if use.apps or use.codes:
            needs.append(
                f"{kept} are sealed under it; the worker seals them anew under the first in a minute"
            )
        if use.links_until:
            links = counted(use.links, "open link", "open links")
            needs.append(f"it may have signed {links}, the last until {use.links_until:%Y-%m-%d %H:%M} UTC")
        passed.append(
            f"secrets.key: key {use.place} is still needed: {'; '.join(needs)}"
            if needs
            else f"secrets.key: key {use.place} is needed no more; take it out and restart"
        )


async def _check_declared(
    config: Config, file: Path | None, door: Door | None, passed: list[str], faults: list[str]
) -> None:
    """What `serve` would hold at its start, or warn of."""
    found: list[str] = []
    if door is not None:
        for n, wanted in enumerate(config.organization):
            found += await _held_of_the_file(wanted, config.organization[:n], file, door, passed)
    found += await opening.leads_nowhere(config, door)
    faults += [f"{file}: {fault}" if file else fault for fault in found]
    if found:
        del passed[0]  # that nothing is wrong with the config


async def _held_of_the_file(
    wanted: Organization, before: Sequence[Organization], file: Path | None, door: Door, passed: list[str]
) -> list[str]:
    """What would be held whoever approves it, and what was held over the limits when `serve` started, and
    would be again; what else differs is no fault. ``before``: as they stand before it in the file.
    """
    at, of = f"organization {wanted.name}", declared_held.called
    others = await door.read(lambda conn: declared_faults.contradictions(conn, wanted, before))
    found = [
        f"{at}: {why}" if part == declared_held.DOMAINS else f"{at}, source {part}: {why}"
        for part, why in others.items()
    ]
    there = await door.read(lambda conn: organizations.find(conn, wanted.name))
    if there is None:
        return found
    seen = await declared_organizations.look(door, context(door, there.id), wanted)
    never = {part: why for part, why in seen.never.items() if part not in seen.others}
    found += [f"{at}: what it says of {of([part])} is held: {why}" for part, why in never.items()]
    names = [name for name in seen.changes if name not in others and name not in never]
    held = [name for name in names if name in there.held]
    if held and seen.over:
        found.append(
            f"{at}: what it says of {of(held)} is held: {' '.join(seen.over)} "
            f"{declared_held.way_out(wanted.name, seen.over)}"
        )
        names = [name for name in names if name not in held]
    if names:
        later = counts_later(file, of(names), f"scimd org accept {wanted.name} --dry-run")
        passed.append(f"{at}: {later}")
    return found


async def _check_standing(door: Door, passed: list[str], faults: list[str]) -> None:
    for organization in await organizations.list_organizations(door):
        found = await admin_reads.check_standing(door, organization.id)
        faults += [f"standing: {organization.slug}: {difference}" for difference in found]
        if not found:
            passed.append(f"standing: {organization.slug}: stored equals recomputed for everybody")


async def _check_sources(
    config: Config, door: Door | None, only: str | None, passed: list[str], faults: list[str]
) -> None:
    """``door`` None: before there is a database."""
    declared = {
        f"{each.name}/{source.name}": source for each in config.organization for source in each.source
    }
    chosen = {name: source for name, source in declared.items() if only in (None, name, source.name)}
    if only is not None and not chosen:
        await _check_undeclared(door, only, sorted(declared), passed, faults)
    rows = await sources.list_sources(door) if door is not None else []
    made = {f"{row.org_slug}/{row.name}": row for row in rows if row.kind == "connector"}
    if only is None:
        faults += [_left(row) for name, row in made.items() if name not in declared]
    for name, source in chosen.items():
        if source.connector == "scim":
            if only is not None:
                passed.append(f"source {name}: {_PUSHED}")
            continue
        if name in made and made[name].left_the_file:
            passed.append(
                f"source {name}: nothing reads it before scimd serve is started with this file: "
                "the one that was started last has a file that does not name it"
            )
        answer = await checking.check(source)
        (passed if answer.ok else faults).append(f"source {name}: {answer.sentence}")
        if answer.ok and door is not None:
            await _recover(door, name, source, passed)


async def _check_undeclared(
    door: Door | None, name: str, declared: list[str], passed: list[str], faults: list[str]
) -> None:
    """A source that the file does not name may have been made by a command, or has left the file."""
    try:
        found = await sources.resolve(door, name) if door else None
    except NotFound:
        found = None
    except NotAllowedNow as exc:  # several organizations have one of this name
        faults.append(exc.detail)
        return
    if found is None:
        made = await sources.list_sources(door) if door else []
        there = {*declared, *(f"{row.org_slug}/{row.name}" for row in made)}
        faults.append(f"there is no source {name}; there are: {', '.join(sorted(there)) or 'none yet'}")
    elif found.kind == "scim":
        passed.append(f"source {found.org_slug}/{found.name}: {_PUSHED}")
    else:
        faults.append(_left(found))


def _left(found: SourceRecord) -> str:
    """A connector that left the file, whether ``serve`` was started since or not."""
    name = f"{found.org_slug}/{found.name}"
    people = counted(found.user_count, "person stays", "people stay")
    return (
        f"source {name}: is no longer in the file; nothing reads it, and {people} as it said last. "
        f"{sources.back_or_end(found)}"
    )


async def _recover(door: Door, name: str, asked: SourceConfig, passed: list[str]) -> None:
    """A source that answers is in quarantine no longer, where it was asked as it is read."""
    try:
        found = await sources.resolve(door, name)
    except NotFound:
        return  # declared in the file, and not made yet: `scimd serve` makes it
    if found.quarantined_since is None:
        return
    if declared_sources.differs(found, asked):
        passed.append(
            f"source {name}: it answers as the file has it, which does not count yet: it stays in quarantine "
            "until scimd serve is started again"
        )
    else:
        await source_upkeep.recover(door, context(door, found.org_id), found.id)
        passed.append(f"source {name}: its quarantine is over; {found.read_next}")
