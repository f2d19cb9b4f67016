"""``scimd project``, ``team``, ``licence``, ``role``: what people are given, by name."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    in_organization,
    limit_of,
    print_list,
    said,
)
from scimd.core.people import RoleName
from scimd.core.roles import OrgRole
from scimd.org.grants import custom_roles, named, project_upkeep
from scimd.org.grants.named import Kind, NamedRecord
from scimd.org.grants.project_upkeep import MemberRecord, ProjectRecord
from scimd.org.tx import Context, Door

projects = typer.Typer(name="project", help="Projects.", no_args_is_help=True)
roles = typer.Typer(name="role", help="Roles of the organization.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A name, or an id.")]
Limit = Annotated[str, typer.Argument(metavar="LIMIT", help='A number, or "unlimited".')]


# ------------------------------------------------------------------------------ projects


@projects.command("list")
def list_projects(
    archived: Annotated[bool, typer.Option("--archived", help="The archived ones instead.")] = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List projects with how many take part, and whose name they follow."""
    rows = in_organization(
        config, org, lambda door, ctx: project_upkeep.list_projects(door, ctx.org_id, archived=archived)
    )
    print_list(
        "Projects",
        ("Name", "People", "Limit", "Waiting", "Group", "Source", "Default", "Orphaned", "Made", "Id"),
        rows,
        lambda row: (
            row.name,
            row.people,
            row.limit,
            row.waiting,
            row.group,
            row.source,
            row.is_default,
            row.orphaned,
            row.created_at,
            row.id,
        ),
        empty="There is no project.",
        json=json,
    )


@projects.command("show")
def show_project(
    name: Name, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List who takes part in a project, in which role, and where each grant comes from."""

    async def work(door: Door, ctx: Context) -> list[MemberRecord]:
        found = await project_upkeep.by_name(door, ctx.org_id, name)
        rows: list[MemberRecord] = []
        after: str | None = None
        while page := await project_upkeep.members(door, ctx.org_id, found.id, after=after):
            rows += page
            after = page[-1].person_id
        return rows

    rows = in_organization(config, org, work)
    print_list(
        name,
        ("Name", "Status", "Project role", "Origin", "By", "Source", "Rule", "Dormant", "Waits", "Since"),
        rows,
        lambda row: (
            row.display_name,
            row.status,
            row.project_role,
            row.origin,
            row.by,
            row.source,
            row.rule,
            row.dormant,
            row.waiting,
            row.since,
        ),
        empty="Nobody takes part.",
        json=json,
    )


@projects.command("create")
def create_project(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    limit: Annotated[int | None, typer.Option(min=0, help="So many people may take part.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a project."""
    made = in_organization(config, org, lambda door, ctx: project_upkeep.create(door, ctx, name, limit))
    said({"id": made, "name": name}, f"The project {name} is there.", json=json)


@projects.command("rename")
def rename_project(
    name: Name,
    to: Annotated[str, typer.Argument(help="The new name.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Give a project another name."""

    async def work(door: Door, ctx: Context) -> None:
        found = await project_upkeep.by_name(door, ctx.org_id, name)
        await project_upkeep.rename(door, ctx, found.id, to)

    in_organization(config, org, work)
    said({"name": to}, f"{name} is called {to} now.", json=json)


@projects.command("limit")
def limit_project(
    name: Name,
    limit: Limit,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Limit how many people take part in a project. Whoever takes part already stays."""
    wanted = limit_of(limit)

    async def work(door: Door, ctx: Context) -> ProjectRecord:
        found = await project_upkeep.by_name(door, ctx.org_id, name)
        await project_upkeep.change(door, ctx, found.id, limit=wanted)
        return await project_upkeep.by_name(door, ctx.org_id, found.id)

    row = in_organization(config, org, work)
    said(row, _figures(name, row.people, row.limit, row.waiting), json=json)


def _figures(name: str, used: int, limit: int | None, waiting: int) -> str:
    if limit is None:
        return f"{name}: {used} people, no limit."
    return f"{name}: {used} of {limit} used." + (f" {waiting} wait." if waiting else "")


@projects.command("archive")
def archive_project(
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="Bring it back; give its id.")] = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Archive a project: everybody's part in it goes dormant. Or bring it back."""

    async def work(door: Door, ctx: Context) -> None:
        found = await project_upkeep.by_name(door, ctx.org_id, name)
        change = project_upkeep.unarchive if undo else project_upkeep.archive
        await change(door, ctx, found.id)

    in_organization(config, org, work)
    said({"archived": not undo}, f"{name} is {'back' if undo else 'archived'}.", json=json)


# ------------------------------------------------------------------------------ teams, licences


def _noun(kind: Kind) -> typer.Typer:
    """The commands of teams, or those of licences: they are the same."""
    app = typer.Typer(name=kind, help=f"{kind.capitalize()}s.", no_args_is_help=True)

    @app.command("list", help=f"List the {kind}s, with how many people have each.")
    def list_(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
        rows = in_organization(config, org, lambda door, ctx: named.list_all(door, ctx.org_id, kind))
        limited = kind == "licence"
        print_list(
            f"{kind.capitalize()}s",
            ("Name", "People", *(("Limit", "Waiting") if limited else ()), "Made", "Id"),
            rows,
            lambda row: (
                row.name,
                row.used,
                *((row.limit, row.waiting) if limited else ()),
                row.created_at,
                row.id,
            ),
            empty=f"There is no {kind}.",
            json=json,
        )

    @app.command("create", help=f"Make a {kind}.")
    def create(
        name: Annotated[str, typer.Argument(help="What it is called.")],
        org: OrgOption = None,
        config: ConfigOption = None,
        json: JsonOption = False,
    ) -> None:
        made = in_organization(config, org, lambda door, ctx: named.create(door, ctx, kind, name))
        said(made, f"The {kind} {name} is there.", json=json)

    @app.command("rename", help=f"Give a {kind} another name.")
    def rename(
        name: Name,
        to: Annotated[str, typer.Argument(help="The new name.")],
        org: OrgOption = None,
        config: ConfigOption = None,
        json: JsonOption = False,
    ) -> None:
        async def work(door: Door, ctx: Context) -> NamedRecord:
            found = await named.by_name(door, ctx.org_id, kind, name)
            return await named.rename(door, ctx, kind, found.id, to)

        said(in_organization(config, org, work), f"{name} is called {to} now.", json=json)

    @app.command("delete", help=f"Delete a {kind} that nobody has.")
    def delete(
        name: Name, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
    ) -> None:
        async def work(door: Door, ctx: Context) -> None:
            found = await named.by_name(door, ctx.org_id, kind, name)
            await named.delete(door, ctx, kind, found.id)

        in_organization(config, org, work)
        said({"deleted": name}, f"{name} is deleted.", json=json)

    return app


teams, licences = _noun("team"), _noun("licence")


@licences.command("limit")
def limit_licence(
    name: Name,
    limit: Limit,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Limit how many people have a licence. Whoever has it already keeps it."""
    wanted = limit_of(limit)

    async def work(door: Door, ctx: Context) -> NamedRecord:
        found = await named.by_name(door, ctx.org_id, "licence", name)
        return await named.change(door, ctx, "licence", found.id, limit=wanted)

    row = in_organization(config, org, work)
    said(row, _figures(name, row.used, row.limit, row.waiting), json=json)


# ------------------------------------------------------------------------------ roles

Label = Annotated[str | None, typer.Option(help="The name that people read.")]
Permissions = Annotated[
    list[str] | None, typer.Option("--permission", help="May be given several times; see `scimd role list`.")
]
HoldsProjects = Annotated[
    bool | None, typer.Option("--projects/--no-projects", help="May people with this role hold projects?")
]


@roles.command("list")
def list_roles(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the roles with their permissions, and how many people hold each."""
    rows = in_organization(config, org, lambda door, ctx: custom_roles.list_roles(door, ctx.org_id))
    print_list(
        "Roles",
        ("Name", "Label", "Permissions", "Projects", "Built in", "People"),
        rows,
        lambda row: (row.name, row.label, row.permissions, row.may_hold_projects, row.built_in, row.people),
        empty="",
        more=f"Permissions: {', '.join(custom_roles.PERMISSIONS)}",
        json=json,
    )


@roles.command("create")
def create_role(
    name: Annotated[str, typer.Argument(help="Small letters, digits, dashes.")],
    label: Label = None,
    permission: Permissions = None,
    projects: HoldsProjects = True,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a role of the organization's own."""
    role = OrgRole(RoleName(name), label or name, frozenset(permission or ()), bool(projects))

    in_organization(config, org, lambda door, ctx: custom_roles.create(door, ctx, role))
    said({"name": name}, f"The role {name} is there.", json=json)


@roles.command("change")
def change_role(
    name: Annotated[str, typer.Argument(help="The role's name.")],
    label: Label = None,
    permission: Permissions = None,
    projects: HoldsProjects = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Change a role: what is not given stays; permissions are given whole."""

    async def work(door: Door, ctx: Context) -> None:
        was = await custom_roles.get(door, ctx.org_id, RoleName(name))
        wanted = OrgRole(
            was.name,
            label or was.label,
            frozenset(was.permissions if permission is None else permission),
            was.may_hold_projects if projects is None else projects,
        )
        await custom_roles.change(door, ctx, wanted)

    in_organization(config, org, work)
    said({"name": name}, f"The role {name} is changed.", json=json)


@roles.command("delete")
def delete_role(
    name: Annotated[str, typer.Argument(help="The role's name.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a role that nobody holds and no rule gives."""
    in_organization(config, org, lambda door, ctx: custom_roles.delete(door, ctx, RoleName(name)))
    said({"deleted": name}, f"{name} is deleted.", json=json)
