"""``scimd org``: make and list organizations."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from scimd.cli.common import ConfigOption, JsonOption, operator, out, print_json, print_table, run
from scimd.config import Config
from scimd.org import organizations
from scimd.org.organizations import NewOrganization, OrganizationRecord
from scimd.org.tx import Door

app = typer.Typer(name="org", help="Organizations.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Small letters, digits and dashes; used in commands.")],
    display_name: Annotated[str | None, typer.Option(help="The name that people read.")] = None,
    seats: Annotated[
        int | None, typer.Option(min=0, help="Paid seats; without it there is no limit.")
    ] = None,
    seats_on_scim: Annotated[
        Literal["hold", "reject", "allow"],
        typer.Option(help="What a SCIM push does when all seats are taken."),
    ] = "hold",
    default_project: Annotated[
        str, typer.Option(help="The project of people to whom nothing else gives one, or none.")
    ] = "General",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make an organization."""
    new = NewOrganization(
        slug=name,
        display_name=display_name,
        seats=seats,
        seats_on_scim=seats_on_scim,
        default_project=None if default_project == "none" else default_project,
    )

    async def work(door: Door, _: Config) -> OrganizationRecord:
        return await organizations.create(door, new, operator())

    made = run(config, work)
    if json:
        print_json(_as_json(made))
    else:
        out.print(f"Organization [bold]{made.slug}[/bold] is there.")
        out.print(f"Next: scimd token create --org {made.slug} --source NAME")


@app.command("list")
def list_(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the organizations with their seats."""

    async def work(door: Door, _: Config) -> list[OrganizationRecord]:
        return await organizations.list_organizations(door)

    rows = run(config, work)
    if json:
        print_json([_as_json(row) for row in rows])
        return
    print_table(
        "Organizations",
        ("Name", "Display name", "Kind", "Seats used", "Seats", "Waiting", "Over the limit by SCIM", "Made"),
        (
            (row.slug, row.display_name, row.kind, row.seats_used,
             "no limit" if row.seats is None else row.seats, row.seats_waited_for, row.seats_on_scim,
             row.created_at)
            for row in rows
        ),
        empty="There is no organization yet. Make one: scimd org create NAME",
    )  # fmt: skip


def _as_json(row: OrganizationRecord) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.slug,
        "display_name": row.display_name,
        "kind": row.kind,
        "seats": row.seats,
        "seats_used": row.seats_used,
        "seats_waited_for": row.seats_waited_for,
        "seats_on_scim": row.seats_on_scim,
        "default_project_id": row.default_project_id,
        "created_at": row.created_at,
    }
