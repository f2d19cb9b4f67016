"""``scimd org``: make and list organizations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from scimd import config as configuration
from scimd import opening
from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    always,
    command_line,
    confirmed,
    context,
    fail,
    file_of,
    operator,
    out,
    print_json,
    print_list,
    print_table,
    run,
    said,
)
from scimd.config import Config
from scimd.core.errors import InvalidValue
from scimd.core.languages import Language
from scimd.core.people import UNSET, OrgId, ProjectId
from scimd.org.declared import declared_held, declared_organizations
from scimd.org.declared.declared_organizations import Look
from scimd.org.grants import project_upkeep
from scimd.org.organizations import organizations, settings
from scimd.org.organizations.organizations import NewOrganization, OrganizationRecord
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

    made = run(config, work, makes=always)
    said(
        _as_json(made),
        f"Organization {made.slug} is there.",
        f"Next: scimd token create --org {made.slug} --source NAME",
        json=json,
    )


@app.command("set")
def set_(
    name: Annotated[str, typer.Argument(help="The organization.")],
    display_name: Annotated[str | None, typer.Option(help="The name that people read.")] = None,
    default_project: Annotated[
        str | None, typer.Option(help="The project of people to whom nothing else gives one, or none.")
    ] = None,
    seats_on_scim: Annotated[
        Literal["hold", "reject", "allow"] | None,
        typer.Option(help="What a SCIM push does when all seats are taken."),
    ] = None,
    get_more_seats_url: Annotated[
        str | None, typer.Option(help='Where to get more seats; "" for nowhere.')
    ] = None,
    approval: Annotated[
        bool | None,
        typer.Option("--approval/--no-approval", help="Must a partner approve newcomers?"),
    ] = None,
    language: Annotated[
        Language | None, typer.Option(help="The language of mails and of the pages of an invitation.")
    ] = None,
    active_label: Annotated[
        str | None,
        typer.Option(help='What people read in place of "Active", such as "Participating"; "" for that.'),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Change an organization's settings; what is not given stays."""

    async def work(door: Door, _: Config) -> OrganizationRecord:
        owner = await organizations.by_slug(door, name)
        wanted = settings.Change(
            UNSET if display_name is None else display_name,
            UNSET if default_project is None else await _project(door, owner.id, default_project),
            UNSET if seats_on_scim is None else seats_on_scim,
            UNSET if get_more_seats_url is None else get_more_seats_url or None,
            UNSET if approval is None else approval,
            UNSET if language is None else language,
            UNSET if active_label is None else active_label,
        )
        await settings.change(door, context(door, owner.id), wanted, file=file_of(config))
        return await organizations.by_slug(door, name)

    changed = run(config, work)
    said(_as_json(changed), f"{changed.slug} is changed.", json=json)


async def _project(door: Door, org_id: OrgId, name: str) -> ProjectId | None:
    return None if name == "none" else (await project_upkeep.by_name(door, org_id, name)).id


@app.command("list")
def list_(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the organizations with their seats."""

    async def work(door: Door, _: Config) -> list[OrganizationRecord]:
        return await organizations.list_organizations(door)

    rows = run(config, work)
    print_list(
        "Organizations",
        ("Name", "Display name", "Kind", "Seats used", "Seats", "Waiting", "Over the limit by SCIM", "Made"),
        rows,
        lambda row: (
            row.slug,
            row.display_name,
            row.kind,
            row.seats_used,
            "no limit" if row.seats is None else row.seats,
            row.seats_waited_for,
            row.seats_on_scim,
            row.created_at,
        ),
        empty="There is no organization yet. Make one: scimd org create NAME",
        as_json=_as_json,
        json=json,
    )


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The organization.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one organization: settings and seats."""
    row = run(config, lambda door, _: organizations.by_slug(door, name))
    if json:
        print_json(_as_json(row))
    else:
        print_table(row.slug, ("What", "Value"), _as_json(row).items(), empty="")


@app.command("accept")
def accept(
    name: Annotated[str, typer.Argument(help="The organization.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is held, and why.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Let what the config file says of an organization count, also over the limits: you approve it.

    What would take the role from the last Account Admin, or is somebody else's, no approval lets through.
    """
    file = configuration.find(config)

    async def look(door: Door, loaded: Config) -> Look:
        owner, wanted = await organizations.by_slug(door, name), _declared(loaded, name, config)
        opening.prove(loaded, file)
        return await declared_organizations.look(door, context(door, owner.id), wanted)

    async def work(door: Door, loaded: Config) -> None:
        owner = await organizations.by_slug(door, name)
        await declared_organizations.accept(door, context(door, owner.id), _declared(loaded, name, config))

    seen = run(config, look)
    if not json:
        what = declared_held.called(seen.changes) or "nothing"
        out.print(f"{file_of(config)} changes of {name}: {what}.", markup=False)
        for sentence in seen.over:
            out.print(f"Over the limits: {sentence}", markup=False)
        for source, keys in seen.read_otherwise.items():
            see = command_line(f"plan {name}/{source}", config)
            out.print(
                f"The next run of {source} would read otherwise ({', '.join(keys)}); what it would do: {see}",
                markup=False,
            )
    cannot = [f"{declared_held.called([part])}: {why}" for part, why in seen.never.items()]
    if cannot and not dry_run:
        fail(*cannot, "Nothing was changed. Correct the file.")
    do_it = bool(seen.changes) and not dry_run
    if do_it:
        confirmed("Let it count. Go on?", yes=yes, json=json)
        run(config, work)
    said(
        {
            "name": name,
            "changes": seen.changes,
            "held": seen.over,
            "never": seen.never,
            "read_otherwise": seen.read_otherwise,
            "accepted": do_it,
        },
        *(f"Cannot be let through: {each}" for each in cannot),
        *(["It counts now."] if do_it else []),
        json=json,
    )


def _declared(loaded: Config, name: str, path: Path | None) -> configuration.Organization:
    for wanted in loaded.organization:
        if wanted.name == name:
            return wanted
    raise InvalidValue("organization", f"{file_of(path)} says nothing of {name}")


def _as_json(row: OrganizationRecord) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.slug,
        "display_name": row.display_name,
        "kind": row.kind,
        "language": row.language,
        "active_label": row.active_label,
        "seats": row.seats,
        "seats_used": row.seats_used,
        "seats_waited_for": row.seats_waited_for,
        "seats_on_scim": row.seats_on_scim,
        "get_more_seats_url": row.get_more_seats_url,
        "approval_required": row.approval_required,
        "default_project_id": row.default_project_id,
        "declared": row.declared,
        "held": row.held,
        "created_at": row.created_at,
    }
