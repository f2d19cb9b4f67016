"""``scimd project``, ``team``, ``licence``, ``role``: what people are given, by name."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    context,
    organization,
    out,
    print_json,
    print_table,
    run,
)
from scimd.config import Config
from scimd.core.people import RoleName
from scimd.core.roles import OrgRole
from scimd.org import custom_roles, named, project_upkeep
from scimd.org.custom_roles import RoleRecord
from scimd.org.named import Kind, NamedRecord
from scimd.org.project_upkeep import MemberRecord, ProjectRecord
from scimd.org.tx import Door

projects = typer.Typer(name="project", help="Projects.", no_args_is_help=True)
roles = typer.Typer(name="role", help="Roles of the organization.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A name, or an id.")]


# ------------------------------------------------------------------------------ projects


@projects.command("list")
def list_projects(
    archived: Annotated[bool, typer.Option("--archived", help="The archived ones instead.")] = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List projects with how many take part, and whose name they follow."""

    async def work(door: Door, _: Config) -> list[ProjectRecord]:
        owner = await organization(door, org)
        return await project_upkeep.list_projects(door, owner.id, archived=archived)

    rows = run(config, work)
    if json:
        print_json(rows)
        return
    print_table(
        "Projects",
        ("Name", "People", "Group", "Source", "Default", "Orphaned", "Made", "Id"),
        (
            (
                row.name,
                row.people,
                row.group,
                row.source,
                row.is_default,
                row.orphaned,
                row.created_at,
                row.id,
            )
            for row in rows
        ),
        empty="There is no project.",
    )


@projects.command("show")
def show_project(
    name: Name, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List who takes part in a project, in which role, and where each grant comes from."""

    async def work(door: Door, _: Config) -> list[MemberRecord]:
        owner = await organization(door, org)
        found = await project_upkeep.by_name(door, owner.id, name)
        rows: list[MemberRecord] = []
        after: str | None = None
        while page := await project_upkeep.members(door, owner.id, found.id, after=after):
            rows += page
            after = page[-1].person_id
        return rows

    rows = run(config, work)
    if json:
        print_json(rows)
        return
    print_table(
        name,
        ("Name", "Status", "Project role", "Origin", "By", "Source", "Rule", "Dormant", "Since"),
        (
            (row.display_name, row.status, row.project_role, row.origin, row.by, row.source, row.rule,
             row.dormant, row.since)
            for row in rows
        ),
        empty="Nobody takes part.",
    )  # fmt: skip


@projects.command("create")
def create_project(
    name: Annotated[str, typer.Argument()],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a project."""

    async def work(door: Door, _: Config) -> str:
        return await project_upkeep.create(door, context(door, (await organization(door, org)).id), name)

    _said({"id": run(config, work), "name": name}, f"The project {name} is there.", json)


@projects.command("rename")
def rename_project(
    name: Name,
    to: Annotated[str, typer.Argument(help="The new name.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Give a project another name."""

    async def work(door: Door, _: Config) -> None:
        owner = await organization(door, org)
        found = await project_upkeep.by_name(door, owner.id, name)
        await project_upkeep.rename(door, context(door, owner.id), found.id, to)

    run(config, work)
    _said({"name": to}, f"{name} is called {to} now.", json)


@projects.command("archive")
def archive_project(
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="Bring it back; give its id.")] = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Archive a project: everybody's part in it goes dormant. Or bring it back."""

    async def work(door: Door, _: Config) -> None:
        owner = await organization(door, org)
        found = await project_upkeep.by_name(door, owner.id, name)
        change = project_upkeep.unarchive if undo else project_upkeep.archive
        await change(door, context(door, owner.id), found.id)

    run(config, work)
    _said({"archived": not undo}, f"{name} is {'back' if undo else 'archived'}.", json)


def _said(value: object, sentence: str, json: bool) -> None:
    if json:
        print_json(value)
    else:
        out.print(sentence)


# ------------------------------------------------------------------------------ teams, licences


def _noun(kind: Kind) -> typer.Typer:
    """The commands of teams, or those of licences: they are the same."""
    app = typer.Typer(name=kind, help=f"{kind.capitalize()}s.", no_args_is_help=True)

    @app.command("list", help=f"List the {kind}s, with how many people have each.")
    def list_(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
        async def work(door: Door, _: Config) -> list[NamedRecord]:
            return await named.list_all(door, (await organization(door, org)).id, kind)

        rows = run(config, work)
        if json:
            print_json(rows)
            return
        print_table(
            f"{kind.capitalize()}s",
            ("Name", "People", "Made", "Id"),
            ((row.name, row.people, row.created_at, row.id) for row in rows),
            empty=f"There is no {kind}.",
        )

    @app.command("create", help=f"Make a {kind}.")
    def create(
        name: Annotated[str, typer.Argument()],
        org: OrgOption = None,
        config: ConfigOption = None,
        json: JsonOption = False,
    ) -> None:
        async def work(door: Door, _: Config) -> NamedRecord:
            return await named.create(door, context(door, (await organization(door, org)).id), kind, name)

        _said(run(config, work), f"The {kind} {name} is there.", json)

    @app.command("rename", help=f"Give a {kind} another name.")
    def rename(
        name: Name,
        to: Annotated[str, typer.Argument(help="The new name.")],
        org: OrgOption = None,
        config: ConfigOption = None,
        json: JsonOption = False,
    ) -> None:
        async def work(door: Door, _: Config) -> NamedRecord:
            owner = await organization(door, org)
            found = await named.by_name(door, owner.id, kind, name)
            return await named.rename(door, context(door, owner.id), kind, found.id, to)

        _said(run(config, work), f"{name} is called {to} now.", json)

    @app.command("delete", help=f"Delete a {kind} that nobody has.")
    def delete(
        name: Name, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
    ) -> None:
        async def work(door: Door, _: Config) -> None:
            owner = await organization(door, org)
            found = await named.by_name(door, owner.id, kind, name)
            await named.delete(door, context(door, owner.id), kind, found.id)

        run(config, work)
        _said({"deleted": name}, f"{name} is deleted.", json)

    return app


teams, licences = _noun("team"), _noun("licence")


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

    async def work(door: Door, _: Config) -> list[RoleRecord]:
        return await custom_roles.list_roles(door, (await organization(door, org)).id)

    rows = run(config, work)
    if json:
        print_json(rows)
        return
    print_table(
        "Roles",
        ("Name", "Label", "Permissions", "Projects", "Built in", "People"),
        (
            (row.name, row.label, row.permissions, row.may_hold_projects, row.built_in, row.people)
            for row in rows
        ),
        empty="",
    )
    out.print(f"Permissions: {', '.join(custom_roles.PERMISSIONS)}")


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

    async def work(door: Door, _: Config) -> None:
        await custom_roles.create(door, context(door, (await organization(door, org)).id), role)

    run(config, work)
    _said({"name": name}, f"The role {name} is there.", json)


@roles.command("change")
def change_role(
    name: Annotated[str, typer.Argument()],
    label: Label = None,
    permission: Permissions = None,
    projects: HoldsProjects = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Change a role: what is not given stays; permissions are given whole."""

    async def work(door: Door, _: Config) -> None:
        owner = await organization(door, org)
        was = await custom_roles.get(door, owner.id, RoleName(name))
        wanted = OrgRole(
            was.name,
            label or was.label,
            frozenset(was.permissions if permission is None else permission),
            was.may_hold_projects if projects is None else projects,
        )
        await custom_roles.change(door, context(door, owner.id), wanted)

    run(config, work)
    _said({"name": name}, f"The role {name} is changed.", json)


@roles.command("delete")
def delete_role(
    name: Annotated[str, typer.Argument()],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a role that nobody holds and no rule gives."""

    async def work(door: Door, _: Config) -> None:
        await custom_roles.delete(door, context(door, (await organization(door, org)).id), RoleName(name))

    run(config, work)
    _said({"deleted": name}, f"{name} is deleted.", json)
