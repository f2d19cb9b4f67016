"""``scimd user``: look at people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Literal

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    in_organization,
    print_list,
)
from scimd.core.errors import InvalidValue
from scimd.core.people import OrgId
from scimd.org.grants import named, project_upkeep
from scimd.org.organizations import settings
from scimd.org.sources import sources
from scimd.org.tx import Context, Door
from scimd.org.users import user_reads
from scimd.org.users.user_reads import UserFilter, UserRow
from scimd.org.windows import Place, Slice, Window

app = typer.Typer(name="user", help="People.", no_args_is_help=True)

#: What the list can show, by the name that ``--columns`` takes.
COLUMNS: Mapping[str, tuple[str, Callable[[UserRow], object]]] = {
    "name": ("Name", lambda row: row.display_name),
    "user-name": ("User name", lambda row: row.user_name),
    "email": ("Address", lambda row: row.email),
    "roles": ("Roles", lambda row: row.roles),
    "status": ("Status", lambda row: row.status),
    "causes": ("Causes", lambda row: row.causes),
    "seat": ("Seat", lambda row: row.has_seat),
    "approved": ("Approved", lambda row: row.approved),
    "partner": ("Partner", lambda row: row.partners),
    "team": ("Team", lambda row: row.team and row.team.name),
    "projects": ("Projects", lambda row: [f"{each.name} ({each.role})" for each in row.projects]),
    "licences": ("Licences", lambda row: [each.name for each in row.licences]),
    "source": ("Source", lambda row: row.source.name if row.source else "local"),
    "owner": ("Owner", lambda row: row.owner),
    "created": ("Created", lambda row: row.created_at),
    "created-by": ("Created by", lambda row: row.created_by),
    "last-login": ("Last login", lambda row: row.last_login_at),
    "id": ("Id", lambda row: row.id),
}
_SHOWN = "name,user-name,email,status,causes,roles,projects,source,id"
_SORTS = ", ".join(user_reads.SORTS).replace("_", "-")


@app.command("list")
def list_(
    org: OrgOption = None,
    search: Annotated[str | None, typer.Option(help="Part of a name or an address.")] = None,
    status: Annotated[
        Literal["active", "pending", "inactive"] | None, typer.Option(help="Only in this status.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="Primary or among the role set.")] = None,
    team: Annotated[str | None, typer.Option(help="The team's name.")] = None,
    project: Annotated[str | None, typer.Option(help="The project's name.")] = None,
    licence: Annotated[str | None, typer.Option(help="The licence's name.")] = None,
    waiting_for: Annotated[
        str | None, typer.Option(help="The id of a limited project or licence for which they wait.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="The source that owns them; local: none does.")] = None,
    kind: Annotated[
        Literal["person", "service"] | None, typer.Option(help="Only people, or only service accounts.")
    ] = None,
    seat: Annotated[bool | None, typer.Option("--seat/--no-seat", help="Who has one, or has none.")] = None,
    approved: Annotated[
        bool | None, typer.Option("--approved/--not-approved", help="Who is, or is not.")
    ] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those who can be restored, instead.")] = False,
    lapsed: Annotated[
        bool, typer.Option("--lapsed", help="Those here only by an invitation that is over, instead.")
    ] = False,
    sort: Annotated[str, typer.Option(help=f"By {_SORTS}; with - before it downwards.")] = "created",
    columns: Annotated[str, typer.Option(help=f"Which to show, of {', '.join(COLUMNS)}.")] = _SHOWN,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")] = 100,
    after: Annotated[str | None, typer.Option(help="The id of the last one of the page before.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List people with their status and its causes; searched, narrowed and sorted."""
    shown = [_column(name.strip()) for name in columns.split(",")]
    window = Window(limit, Place(None, after) if after else None, _sort(sort, after))

    async def work(door: Door, ctx: Context) -> tuple[Slice[UserRow], str | None]:
        owner = ctx.org_id
        only = UserFilter(
            q=search,
            status=status,
            role=role,
            team=(await named.by_name(door, owner, "team", team)).id if team else None,
            project=(await project_upkeep.by_name(door, owner, project)).id if project else None,
            licence=(await named.by_name(door, owner, "licence", licence)).id if licence else None,
            source=await _source(door, owner, source) if source not in (None, "local") else None,
            local=True if source == "local" else None,
            kind=kind,
            has_seat=seat,
            approved=approved,
            deleted=deleted,
            lapsed=lapsed,
            waiting_for=waiting_for,
        )
        return await user_reads.list_users(door, owner, only, window), await settings.active_label(
            door, owner
        )

    found, active = in_organization(config, org, work)
    print_list(
        "People",
        [title for title, _ in shown],
        found.rows,
        lambda row: [value(replace(row, status=status_of(row, active))) for _, value in shown],
        empty="Nobody is there yet, or nobody matches.",
        more=_more(found, window),
        json=json,
    )


def _more(found: Slice[UserRow], window: Window) -> str | None:
    if not found.next:
        return None
    go_on = f"--after {found.rows[-1].id}" if window.by == "created" else "a higher --limit shows it"
    return f"There is more: {go_on}"


def _column(name: str) -> tuple[str, Callable[[UserRow], object]]:
    if name not in COLUMNS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(COLUMNS)}.", param_hint="--columns")
    return COLUMNS[name]


def _sort(text: str, after: str | None) -> str:
    """The sort as the door takes it: ``last-login`` → ``last_login``."""
    down, name = text.startswith("-"), text.removeprefix("-").replace("-", "_")
    if name not in user_reads.SORTS:
        raise typer.BadParameter(f"{text!r} is none of {_SORTS}.", param_hint="--sort")
    if after and name != "created":
        raise typer.BadParameter("goes on in the order of creation only.", param_hint="--after")
    return f"-{name}" if down else name


async def _source(door: Door, org_id: OrgId, name: str | None) -> str:
    for row in await sources.list_sources(door, org_id):
        if row.name == name:
            return row.id
    raise InvalidValue("--source", f"there is no source {name!r}; `scimd source list` names them")


def status_of(row: UserRow, active: str | None) -> str:
    """The status as the organization calls it."""
    return active if active and row.status == "active" else row.status
