"""``scimd user``: whose an entry is, by hand: link, unlink, merge, unmerge."""

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
    in_organization,
    print_list,
    said,
)
from scimd.core.events import Event
from scimd.core.people import PersonId
from scimd.org.identities import linking, merging, unmerging
from scimd.org.rehearsal import rehearse
from scimd.org.tx import Context, Door
from scimd.org.users import admin_reads

OneWho = Annotated[str, typer.Argument(help="An id, a user name or an address.")]
SourceOption = Annotated[str, typer.Option(help="The source's name.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")]
T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add the commands to ``scimd user``."""
    for name, command in (("link", link), ("unlink", unlink), ("merge", merge), ("unmerge", unmerge)):
        app.command(name)(command)


def _done(
    path: Path | None,
    org: str | None,
    work: Callable[[Door, Context], Awaitable[T]],
    *,
    dry_run: bool,
    json: bool,
) -> T:
    """Do it; or rehearse it, show what would change, and end."""

    async def whole(door: Door, ctx: Context) -> tuple[T, tuple[Event, ...]]:
        if dry_run:
            return await rehearse(door, lambda stage: work(stage, ctx))
        return await work(door, ctx), ()

    value, events = in_organization(path, org, whole)
    if dry_run:
        print_list(
            "Would change",
            ("What", "Of", "Before", "After"),
            events,
            lambda each: (each.kind, f"{each.target_kind} {each.target_id}", each.before, each.after),
            empty="Nothing would change.",
            json=json,
        )
        raise typer.Exit
    return value


def link(
    who: OneWho,
    source: SourceOption,
    entry: Annotated[str, typer.Option(help="The entry's external id, or its userName.")],
    dry_run: DryRun = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a source's entry this person's: at once, or when it comes. Unlink takes it back."""

    async def work(door: Door, ctx: Context) -> bool:
        person_id = await admin_reads.find_person(door, ctx.org_id, who)
        return await linking.link(door, ctx, person_id, source, entry)

    linked = _done(config, org, work, dry_run=dry_run, json=json)
    became = f"linked to {entry} of {source}" if linked else f"{entry} is linked when {source} brings it"
    said({"who": who, "source": source, "entry": entry, "linked": linked}, f"{who}: {became}", json=json)


def unlink(
    who: OneWho,
    source: SourceOption,
    dry_run: DryRun = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make what a source says of somebody a person of its own again. Link takes it back."""

    async def work(door: Door, ctx: Context) -> PersonId:
        person_id = await admin_reads.find_person(door, ctx.org_id, who)
        return await linking.unlink(door, ctx, person_id, source)

    new = _done(config, org, work, dry_run=dry_run, json=json)
    said(
        {"who": who, "source": source, "id": new},
        f"{who}: unlinked; what {source} says is {new} now",
        json=json,
    )


def merge(
    keep: Annotated[str, typer.Argument(help="Who stays: an id, a user name or an address.")],
    other: Annotated[str, typer.Argument(help="Who goes into them.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make one person of two: grants are united, both ids answer. For 30 days unmerge takes it back."""
    confirmed(f"Merge {other} into {keep}?", yes=yes or dry_run, json=json)

    async def work(door: Door, ctx: Context) -> tuple[PersonId, PersonId]:
        kept = await admin_reads.find_person(door, ctx.org_id, keep)
        gone = await admin_reads.find_person(door, ctx.org_id, other)
        await merging.merge(door, ctx, kept, gone)
        return kept, gone

    kept, gone = _done(config, org, work, dry_run=dry_run, json=json)
    said({"id": kept, "merged": gone}, f"{other} is {keep} now. Undo: scimd user unmerge {gone}", json=json)


def unmerge(
    other: Annotated[str, typer.Argument(help="The id of who was merged into another.")],
    dry_run: DryRun = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Undo a merge: what came from the other goes back to them."""

    async def work(door: Door, ctx: Context) -> PersonId:
        return await unmerging.unmerge(door, ctx, PersonId(other))

    kept = _done(config, org, work, dry_run=dry_run, json=json)
    said({"id": kept, "unmerged": other}, f"{other} and {kept} are two people again.", json=json)
