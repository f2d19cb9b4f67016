"""``scimd seats``: how many are used, and how many there are."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    context,
    file_of,
    in_organization,
    limit_of,
    organization,
    print_list,
    run,
    said,
)
from scimd.config import Config
from scimd.org.grants import seat_history
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import OrganizationRecord
from scimd.org.tx import Door

app = typer.Typer(name="seats", help="Seats of an organization.", no_args_is_help=True)


@app.command("show")
def show(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show used and total seats, and how many people wait for one."""

    async def work(door: Door, _: Config) -> OrganizationRecord:
        return await organization(door, org)

    _print(run(config, work), json)


@app.command("set")
def set_(
    seats: Annotated[str, typer.Argument(help='A number, or "unlimited".')],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Set the limit. Whoever waits takes what is free now; a lower limit evicts nobody."""
    limit = limit_of(seats)

    async def work(door: Door, _: Config) -> OrganizationRecord:
        owner = await organization(door, org)
        await organizations.set_seats(door, context(door, owner.id), limit, file=file_of(config))
        return await organizations.by_slug(door, owner.slug)

    _print(run(config, work), json)


@app.command("history")
def history(
    days: Annotated[int, typer.Option(min=1, max=1000, help="So many days back.")] = 90,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the most seats used on each day, looked at every five minutes, and how many people waited."""
    rows = in_organization(config, org, lambda door, ctx: seat_history.history(door, ctx.org_id, days=days))
    print_list(
        "Seats",
        ("Day", "Used", "Limit", "Waiting"),
        rows,
        lambda row: (row.day, row.used, "no limit" if row.limit is None else row.limit, row.waited_for),
        empty="Nothing is written down yet; `scimd serve` does so every few minutes.",
        json=json,
    )


def _print(row: OrganizationRecord, json: bool) -> None:
    value = {
        "organization": row.slug,
        "used": row.seats_used,
        "limit": row.seats,
        "waiting": row.seats_waited_for,
        "get_more_seats_url": row.get_more_seats_url,
    }
    total = "no limit" if row.seats is None else f"of {row.seats}"
    sentences = [f"{row.slug}: {row.seats_used} seats used, {total}; {row.seats_waited_for} people wait."]
    if row.get_more_seats_url and row.seats is not None and row.seats_used >= row.seats:
        sentences.append(f"Get more seats: {row.get_more_seats_url}")
    said(value, *sentences, json=json)
