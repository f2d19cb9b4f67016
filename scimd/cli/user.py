"""``scimd user``: look at people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import typer
from rich.markup import escape

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    organization,
    out,
    print_json,
    print_table,
    run,
)
from scimd.config import Config
from scimd.core.errors import InvalidValue
from scimd.core.people import OrgId
from scimd.core.profile import Profile
from scimd.core.standing import Standing
from scimd.org import (
    invitation_list,
    named,
    project_upkeep,
    reads,
    sign_in_reads,
    sources,
    user_page,
    user_reads,
)
from scimd.org.admin_reads import AssertionRow
from scimd.org.invitation_list import InvitationRecord
from scimd.org.sessions import SessionRecord
from scimd.org.tx import Door
from scimd.org.user_reads import UserFilter, UserRow
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
    "team": ("Team", lambda row: row.team and row.team.name),
    "projects": ("Projects", lambda row: [f"{each.name} ({each.role})" for each in row.projects]),
    "licences": ("Licences", lambda row: [each.name for each in row.licences]),
    "source": ("Source", lambda row: row.source.name if row.source else "local"),
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
    status: Annotated[Literal["active", "pending", "inactive"] | None, typer.Option()] = None,
    role: Annotated[str | None, typer.Option(help="Primary or among the role set.")] = None,
    team: Annotated[str | None, typer.Option(help="The team's name.")] = None,
    project: Annotated[str | None, typer.Option(help="The project's name.")] = None,
    licence: Annotated[str | None, typer.Option(help="The licence's name.")] = None,
    source: Annotated[str | None, typer.Option(help="The source that owns them; local: none does.")] = None,
    kind: Annotated[Literal["person", "service"] | None, typer.Option()] = None,
    seat: Annotated[bool | None, typer.Option("--seat/--no-seat", help="Who has one, or has none.")] = None,
    approved: Annotated[bool | None, typer.Option("--approved/--not-approved")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those who can be restored, instead.")] = False,
    sort: Annotated[str, typer.Option(help=f"By {_SORTS}; with - before it downwards.")] = "created",
    columns: Annotated[str, typer.Option(help=f"Which to show, of {', '.join(COLUMNS)}.")] = _SHOWN,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    after: Annotated[str | None, typer.Option(help="The id of the last one of the page before.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List people with their status and its causes; searched, narrowed and sorted."""
    shown = [_column(name.strip()) for name in columns.split(",")]
    window = Window(limit, Place(None, after) if after else None, _sort(sort, after))

    async def work(door: Door, _: Config) -> tuple[Slice[UserRow], str | None]:
        found = await organization(door, org)
        owner = found.id
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
        )
        return await user_reads.list_users(door, owner, only, window), found.active_label

    found, active = run(config, work)
    if json:
        print_json(found.rows)
        return
    print_table(
        "People",
        [title for title, _ in shown],
        ([value(replace(row, status=_status(row, active))) for _, value in shown] for row in found.rows),
        empty="Nobody is there yet, or nobody fits.",
    )
    if found.next:
        more = f"--after {found.rows[-1].id}" if window.by == "created" else "a higher --limit shows it"
        out.print(f"There is more: {more}")


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


@dataclass(frozen=True, slots=True)
class _Whole:
    """One person as ``show --json`` prints them; ``person`` is a line of the list."""

    person: UserRow
    profile: Profile
    has_picture: bool
    sessions: Sequence[SessionRecord]
    invitations: Sequence[InvitationRecord]
    assertions: Sequence[AssertionRow]
    standing: Standing
    unsettled: bool


@app.command("show")
def show(
    who: Annotated[str, typer.Argument(help="An id, a user name or an address.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one person: profile, sessions, invitations, sources, and the reasons behind their access."""

    async def work(door: Door, _: Config) -> tuple[_Whole, str | None]:
        owner = await organization(door, org)
        return await _whole(door, owner.id, who), owner.active_label

    whole, active = run(config, work)
    if json:
        print_json(whole)
    else:
        _print(whole, active)


async def _whole(door: Door, org_id: OrgId, who: str) -> _Whole:
    page = await reads.show_person(door, org_id, who)
    found = await user_page.get(door, org_id, page.person.id)
    who = found.user.id
    live = await sign_in_reads.list_sessions(
        door, org_id, Window(100, sort="-last_active"), person_id=who, live=True
    )
    invited = await invitation_list.window(door, org_id, Window(100, sort="-created"), person=who)
    return _Whole(
        found.user, found.profile, found.has_picture, live.rows, invited.rows, page.assertions,
        page.standing, page.unsettled,
    )  # fmt: skip


def _print(whole: _Whole, active: str | None) -> None:
    row = whole.person
    out.print(f"[bold]{escape(row.display_name)}[/bold]  {escape(row.email or 'no address')}  {row.id}")
    causes = f" ({', '.join(row.causes)})" if row.causes else ""
    seat = "has a seat" if row.has_seat else "no seat"
    out.print(f"{_status(row, active)}{causes}, {seat}, roles {', '.join(row.roles)}", markup=False)
    print_table("", ("", ""), _known(whole), empty="")
    print_table("Sources", ("Source", "External id", "User name", "Active", "State"),
        ((a.source_name, a.external_id, a.user_name, a.active, a.state) for a in whole.assertions),
        empty="No source speaks of this person.",
    )  # fmt: skip
    print_table("Sessions", ("Device", "IP address", "Last active", "Id"),
        ((each.device, each.ip, each.last_active_at, each.id) for each in whole.sessions),
        empty="Not signed in anywhere.",
    )  # fmt: skip
    print_table("Invitations", ("Status", "Sent", "Expires", "Invited by", "Id"),
        ((each.status, each.sent_at, each.expires_at, each.invited_by, each.id)
         for each in whole.invitations),
        empty="Never invited.",
    )  # fmt: skip
    print_table("Why", ("About", "Fact", "Outcome", "Because"),
        ((reason.about, reason.fact, reason.verdict, reason.why) for reason in whole.standing.reasons),
        empty="",
    )  # fmt: skip


def _known(whole: _Whole) -> list[tuple[str, object]]:
    """What there is of the profile and the list's columns, a line each."""
    row, profile = whole.person, whole.profile
    name = " ".join(filter(None, (profile.given_name, profile.family_name)))
    lines = (
        ("Full name", name), ("User name", row.user_name), ("Title", profile.title),
        ("Department", profile.department), ("Employee number", profile.employee_number),
        ("Employed since", profile.employment_start), ("Phone", profile.phones),
        ("Postal address", "; ".join(profile.addresses)), ("Picture", profile.picture_url),
        *((title, COLUMNS[key][1](row)) for title, key in (
            ("Team", "team"), ("Projects", "projects"), ("Licences", "licences"), ("Source", "source"),
            ("Approved", "approved"), ("Created", "created"), ("Created by", "created-by"),
            ("Last login", "last-login"),
        )),
    )  # fmt: skip
    return [(title, value) for title, value in lines if value not in (None, "", (), [])]


def _status(row: UserRow, active: str | None) -> str:
    """As the organization calls it."""
    return active if active and row.status == "active" else row.status
