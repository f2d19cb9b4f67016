"""``scimd rule``: what groups and values of a source give, and who gains and loses by a change of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    context,
    err,
    file_of,
    organization,
    out,
    print_json,
    print_list,
    print_table,
    run,
    seats_said,
)
from scimd.config import Config
from scimd.org.sources import rule_changes, sources
from scimd.org.sources.rule_changes import Body, Edit
from scimd.org.sources.rule_previews import Preview
from scimd.org.tx import Door

app = typer.Typer(name="rule", help="Rules: what groups and values give.", no_args_is_help=True)

SourceOption = Annotated[str, typer.Option(help="The source's name.")]
Number = Annotated[int, typer.Argument(min=1, help="The rule's number.")]
Group = Annotated[str | None, typer.Option(help="Of the group with this external id.")]
Pattern = Annotated[str | None, typer.Option(help="Of groups whose names fit, such as eng-*.")]
ScimRole = Annotated[str | None, typer.Option(help="Of users with this value of roles.")]
Entitlement = Annotated[str | None, typer.Option(help="Of users with this value of entitlements.")]
Project = Annotated[str | None, typer.Option(help="Gives this project; {name} is the group's name.")]
ProjectRole = Annotated[str | None, typer.Option(help="… in this project role.")]
Role = Annotated[str | None, typer.Option(help="Gives this role of the organization.")]
Team = Annotated[str | None, typer.Option(help="Gives this team.")]
Licence = Annotated[str | None, typer.Option(help="Gives this licence.")]
Admin = Annotated[
    bool | None,
    typer.Option("--may-give-account-admin/--no-account-admin", help="Whether it may give Account Admin."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show who would gain and lose.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Also over the limits.")]


@app.command("list")
def list_(
    source: SourceOption, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List a source's rules, the first to decide first."""

    async def work(door: Door, _: Config) -> list[Body]:
        found = await sources.get_source(door, (await organization(door, org)).id, source)
        if found.held:
            err.print(f"What the config file changes of {source} is held: {found.held}", markup=False)
        return list(await rule_changes.list_rules(door, found.org_id, source))

    rows = run(config, work)
    print_list(
        f"Rules of {source}",
        ("Number", "Of", "Gives"),
        rows,
        lambda row: (row["number"], _said(row, _MATCHES), _said(row, _GIVES)),
        empty="There is no rule.",
        json=json,
    )


_MATCHES = ("group", "pattern", "scim_role", "entitlement")
_GIVES = ("project", "role", "team", "licence")


def _said(rule: Body, names: tuple[str, ...]) -> str:
    def one(name: str) -> str:
        as_ = f" as {rule['project_role']}" if name == "project" else ""
        return f"{name.replace('_', ' ')} {rule[name]}{as_}"

    return ", ".join(one(name) for name in names if rule.get(name))


@app.command("add")
def add(
    source: SourceOption,
    number: Annotated[int | None, typer.Option(min=1, help="Its place; else it comes last.")] = None,
    group: Group = None,
    pattern: Pattern = None,
    scim_role: ScimRole = None,
    entitlement: Entitlement = None,
    project: Project = None,
    project_role: ProjectRole = None,
    role: Role = None,
    team: Team = None,
    licence: Licence = None,
    may_give_account_admin: Admin = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Add a rule. --dry-run shows who would gain and lose."""
    rule = _given(
        number=number, group=group, pattern=pattern, scim_role=scim_role, entitlement=entitlement,
        project=project, project_role=project_role, role=role, team=team, licence=licence,
        may_give_account_admin=may_give_account_admin,
    )  # fmt: skip
    _do(config, org, source, rule_changes.add(rule), dry_run=dry_run, yes=yes, json=json)


@app.command("change")
def change(
    number: Number,
    source: SourceOption,
    group: Group = None,
    pattern: Pattern = None,
    scim_role: ScimRole = None,
    entitlement: Entitlement = None,
    project: Project = None,
    project_role: ProjectRole = None,
    role: Role = None,
    team: Team = None,
    licence: Licence = None,
    may_give_account_admin: Admin = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Change a rule: what is not given stays; "" takes away what it gave."""
    given = _given(
        group=group, pattern=pattern, scim_role=scim_role, entitlement=entitlement, project=project,
        project_role=project_role, role=role, team=team, licence=licence,
        may_give_account_admin=may_give_account_admin,
    )  # fmt: skip
    _do(config, org, source, rule_changes.change(number, given), dry_run=dry_run, yes=yes, json=json)


@app.command("remove")
def remove(
    number: Number,
    source: SourceOption,
    dry_run: DryRun = False,
    yes: Yes = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Remove a rule."""
    _do(config, org, source, rule_changes.remove(number), dry_run=dry_run, yes=yes, json=json)


def _given(**options: Any) -> dict[str, Any]:
    """Absent is not empty: an empty text takes away."""
    return {name: None if value == "" else value for name, value in options.items() if value is not None}


def _do(
    path: Path | None, org: str | None, source: str, edit: Edit, *, dry_run: bool, yes: bool, json: bool
) -> None:
    async def work(door: Door, _: Config) -> Preview:
        ctx = context(door, (await organization(door, org)).id)
        if dry_run:
            return await rule_changes.preview(door, ctx, source, edit)
        return await rule_changes.apply(door, ctx, source, edit, sure=yes, file=file_of(path))

    told = run(path, work)
    if json:
        print_json({"applied": not dry_run, "preview": told})
        return
    print_preview(told, would=dry_run)


def print_preview(told: Preview, *, would: bool) -> None:
    """Who gains and who loses, or would."""
    gain = "would gain" if would else "gain"
    out.print(
        f"Of {told.looked_at} people, {told.gaining} {gain} and {told.losing} lose something. "
        f"{seats_said(told.seats)}",
        markup=False,
    )
    for held in told.held:
        out.print(f"Over the limits: {held}", markup=False)
    if told.looked_at < told.concerned:
        out.print(f"Only the first {told.looked_at} of {told.concerned} people were looked at.", markup=False)
    print_table(
        "Who",
        ("Name", "Gains", "Loses", "Id"),
        ((each.display_name, each.gains, each.loses, each.person_id) for each in told.people),
        empty="Nobody gains or loses anything.",
    )
    if more := told.moving - len(told.people):
        out.print(f"… and {more} more.", markup=False)
