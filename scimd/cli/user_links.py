"""``scimd user``: whose an entry is, by hand: link, unlink, merge."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    in_organization,
    said,
)
from scimd.core.people import PersonId
from scimd.org import admin_reads, linking, merging
from scimd.org.tx import Context, Door

OneWho = Annotated[str, typer.Argument(help="An id, a user name or an address.")]
SourceOption = Annotated[str, typer.Option(help="The source's name.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``scimd user``."""
    for name, command in (("link", link), ("unlink", unlink), ("merge", merge)):
        app.command(name)(command)


def link(
    who: OneWho,
    source: SourceOption,
    entry: Annotated[str, typer.Option(help="The entry's external id, or its userName.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a source's entry this person's: at once, or when it comes."""

    async def work(door: Door, ctx: Context) -> bool:
        person_id = await admin_reads.find_person(door, ctx.org_id, who)
        return await linking.link(door, ctx, person_id, source, entry)

    linked = in_organization(config, org, work)
    became = f"linked to {entry} of {source}" if linked else f"{entry} is linked when {source} brings it"
    said({"who": who, "source": source, "entry": entry, "linked": linked}, f"{who}: {became}", json=json)


def unlink(
    who: OneWho,
    source: SourceOption,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make what a source says of somebody a person of its own again."""

    async def work(door: Door, ctx: Context) -> PersonId:
        person_id = await admin_reads.find_person(door, ctx.org_id, who)
        return await linking.unlink(door, ctx, person_id, source)

    new = in_organization(config, org, work)
    said(
        {"who": who, "source": source, "id": new},
        f"{who}: unlinked; what {source} says is {new} now",
        json=json,
    )


def merge(
    keep: Annotated[str, typer.Argument(help="Who stays: an id, a user name or an address.")],
    other: Annotated[str, typer.Argument(help="Who goes into them; this cannot be undone.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make one person of two: grants are united, and both ids answer."""
    if not (yes or json):
        typer.confirm(f"Merge {other} into {keep}? This cannot be undone.", abort=True)

    async def work(door: Door, ctx: Context) -> tuple[PersonId, PersonId]:
        kept = await admin_reads.find_person(door, ctx.org_id, keep)
        gone = await admin_reads.find_person(door, ctx.org_id, other)
        await merging.merge(door, ctx, kept, gone)
        return kept, gone

    kept, gone = in_organization(config, org, work)
    said({"id": kept, "merged": gone}, f"{other} is {keep} now.", json=json)
