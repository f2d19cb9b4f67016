"""``scimd partner``: partners, whose queues they see, and who waits in them."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    in_organization,
    operator,
    print_list,
    run,
    said,
)
from scimd.config import Config
from scimd.org.organizations import organizations, partners
from scimd.org.organizations.partners import Queue, Waiting
from scimd.org.tx import Door

app = typer.Typer(name="partner", help="Partners that approve newcomers.", no_args_is_help=True)
Partner = Annotated[str, typer.Argument(help="The partner's name.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Small letters, digits and dashes.")],
    display_name: Annotated[str | None, typer.Option(help="The name that people read.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a partner: an organization whose approvers see the queues that are assigned to it."""

    async def work(door: Door, _: Config) -> str:
        return (await partners.create(door, name, display_name, operator())).id

    said({"id": run(config, work), "name": name}, f"The partner {name} is there.", json=json)


@app.command("assign")
def assign(
    name: Partner,
    org: OrgOption = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the queue away again.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show an organization's approval queue to a partner."""
    in_organization(
        config, org, lambda door, ctx: (partners.unassign if undo else partners.assign)(door, ctx, name)
    )
    said({"partner": name, "assigned": not undo}, "Done.", json=json)


@app.command("list")
def list_(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List which partner sees which organization's queue."""

    async def work(door: Door, _: Config) -> list[Queue]:
        return await partners.list_queues(door)

    rows = run(config, work)
    print_list(
        "Partners",
        ("Partner", "Organization", "Since"),
        rows,
        lambda row: (row.partner, row.organization, row.since),
        empty="No partner sees a queue. Assign one: scimd partner assign PARTNER --org NAME",
        json=json,
    )


@app.command("queue")
def queue(name: Partner, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List who waits for a partner's approval."""

    async def work(door: Door, _: Config) -> list[Waiting]:
        return await partners.queue(door, (await organizations.by_slug(door, name)).id)

    rows = run(config, work)
    print_list(
        f"Waiting for {name}",
        ("Organization", "Name", "Address", "Source", "Since", "Id"),
        rows,
        lambda row: (
            row.organization,
            row.display_name,
            row.address,
            row.source or "by hand",
            row.since,
            row.person_id,
        ),
        empty="Nobody waits.",
        json=json,
    )
