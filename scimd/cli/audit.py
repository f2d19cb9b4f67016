"""``scimd audit``: who did what, and the proof that nothing of it was changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    err,
    in_organization,
    out,
    print_json,
    print_list,
)
from scimd.org.audit import audit_reads, verifying
from scimd.org.audit.audit_reads import EntryFilter, EntryRecord
from scimd.org.windows import Place, Window

app = typer.Typer(name="audit", help="The audit trail.", no_args_is_help=True)


@app.command("list")
def list_(
    target: Annotated[str | None, typer.Option(help="To whom or what: an id.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who did it: an id.")] = None,
    kind: Annotated[str | None, typer.Option(help="What happened, such as person.created.")] = None,
    correlation_id: Annotated[
        str | None, typer.Option("--correlation-id", help="Of this run, or of the request with this id.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="From this time (UTC) on.")] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Else the newest.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")] = 100,
    after: Annotated[str | None, typer.Option(help="The id of the last one of the page before.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List what happened, with the values before and after."""
    only = EntryFilter(
        kind=kind,
        actor=actor,
        target=target,
        correlation=correlation_id,
        since=since.replace(tzinfo=since.tzinfo or UTC) if since else None,
    )
    place = Place(None, after) if after else None
    window = Window(limit, place, "at" if oldest_first else "-at")

    found = in_organization(
        config, org, lambda door, ctx: audit_reads.list_entries(door, ctx.org_id, only, window)
    )
    print_list(
        "Audit",
        ("At", "What", "To", "By", "Door", "Before", "After", "Note", "Id"),
        found.rows,
        lambda row: (
            row.at,
            row.kind,
            f"{row.target_kind} {row.target_id}",
            row.actor_name,
            row.door,
            _values(row, row.before),
            _values(row, row.after),
            row.note,
            row.id,
        ),
        empty="Nothing fits.",
        more=f"There is more: --after {found.rows[-1].id}" if found.next else None,
        json=json,
    )


def _values(row: EntryRecord, values: Mapping[str, Any] | None) -> str | None:
    if row.erased:
        return "erased"
    return None if values is None else ", ".join(f"{name}={value}" for name, value in values.items())


@app.command("verify")
def verify(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Work out the hash chain anew: exit code 1 where an entry was changed, is missing or was put in."""

    def told(looked_at: int) -> None:
        err.print(f"{looked_at} entries so far.", markup=False)

    found = in_organization(config, org, lambda door, ctx: verifying.verify(door, ctx.org_id, told))
    if json:
        print_json(found)
    else:
        entries = f"{found.published} entries, {found.unpublished} not chained yet, {found.erased} erased."
        out.print(entries, markup=False)
        for fault in found.faults:
            err.print(fault, style="red", markup=False)
    if found.faults:
        raise typer.Exit(1)
