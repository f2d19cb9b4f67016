"""``scimd invitation``: invite, list, send again, copy a link, withdraw, delete."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    context,
    each,
    in_organization,
    organization,
    print_list,
    print_results,
    run,
    said,
)
from scimd.cli.user_changes import projects_named
from scimd.config import Config, duration
from scimd.core.people import UNSET, InvitationId, RoleName, TeamId
from scimd.core.roles import USER
from scimd.org.grants import named
from scimd.org.invitations import invitation_changes, invitation_list, inviting
from scimd.org.invitations.invitation_list import InvitationRecord
from scimd.org.invitations.inviting import Invited, Wish
from scimd.org.tx import Context, Door
from scimd.org.users import admin_reads, by_hand
from scimd.org.windows import Place, Slice, Window

app = typer.Typer(name="invitation", help="Invitations.", no_args_is_help=True)
Ids = Annotated[list[str], typer.Argument(help="Ids of invitations.")]


@app.command("list")
def list_(
    status: Annotated[
        Literal["pending", "accepted", "declined", "expired", "cancelled"] | None,
        typer.Option(help="Only in this status."),
    ] = None,
    search: Annotated[str | None, typer.Option(help="Part of a name or an address.")] = None,
    user: Annotated[str | None, typer.Option(help="Only of this person: id, user name or address.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")] = 100,
    after: Annotated[str | None, typer.Option(help="The id of the last one of the page before.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List invitations, the newest first, with what became of their mails."""

    async def work(door: Door, ctx: Context) -> Slice[InvitationRecord]:
        who = await admin_reads.find_person(door, ctx.org_id, user) if user else None
        window = Window(limit, Place(None, after) if after else None, "-created")
        return await invitation_list.window(door, ctx.org_id, window, status=status, q=search, person=who)

    found = in_organization(config, org, work)
    print_list(
        "Invitations",
        (
            "Address",
            "Role",
            "Team",
            "Projects",
            "Message",
            "Status",
            "Expires",
            "Sent",
            "Delivery",
            "Invited by",
            "Id",
        ),
        found.rows,
        lambda row: (
            row.address,
            row.role,
            row.team,
            [each.name for each in row.projects],
            row.message,
            row.status,
            row.expires_at,
            row.sent_at,
            f"{row.delivery}: {row.why}" if row.why else row.delivery,
            row.invited_by,
            row.id,
        ),
        empty="There is no invitation.",
        more=f"There is more: --after {found.rows[-1].id}" if found.next else None,
        json=json,
    )


@app.command("create")
def create(
    emails: Annotated[list[str], typer.Argument(help="The addresses to invite.")],
    team: Annotated[str | None, typer.Option(help="The team's name; needed where teams are used.")] = None,
    role: Annotated[str, typer.Option(help="The organization role.")] = USER,
    project: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME=ROLE; may be given several times.")
    ] = None,
    message: Annotated[str | None, typer.Option(help="A personal message in the mail.")] = None,
    valid_for: Annotated[str | None, typer.Option(help='Such as "14d"; else as the config says.')] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Invite one or many addresses; a line each, and exit code 1 where one was refused."""

    async def work(door: Door, ctx: Context) -> tuple[list[Invited], dict[str, str]]:
        wish = Wish(
            TeamId((await named.by_name(door, ctx.org_id, "team", team)).id) if team else None,
            RoleName(role),
            await projects_named(door, ctx.org_id, project or []) or None,
            message,
            _seconds(valid_for),
        )
        found = await inviting.invite(door, ctx, emails, wish)
        done = [row.person_id for row in found if row.person_id]
        return found, await invitation_list.newest_of(door, ctx.org_id, done)

    invited, newest = in_organization(config, org, work)
    made = {
        row.email: {"person_id": row.person_id, "invitation_id": newest.get(row.person_id)}
        for row in invited
        if row.person_id
    }
    rows = [by_hand.RowResult(row.email, row.refusal) for row in invited]
    print_results(rows, "invited", json, made=made)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        found = duration(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--valid-for") from exc
    return found.total_seconds()  # type: ignore[attr-defined, no-any-return]


@app.command("resend")
def resend(ids: Ids, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Send the mail again; older links are dead. An expired invitation is open again."""

    async def one(door: Door, ctx: Context, invitation_id: str) -> None:
        await invitation_changes.resend(door, ctx, InvitationId(invitation_id))

    each(config, org, ids, one, done="sent again", json=json)


@app.command("copy-link")
def copy_link(
    invitation: Annotated[str, typer.Argument(help="The id of the invitation.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Print a link to hand over; an expired invitation is renewed. Audited."""

    async def work(door: Door, loaded: Config) -> str:
        ctx = context(door, (await organization(door, org)).id)
        token = await invitation_changes.copy_link(door, ctx, InvitationId(invitation))
        return f"{loaded.server.public_url}/invitation/{token}"

    link = run(config, work)
    said({"link": link}, link, json=json)


@app.command("edit")
def edit(
    invitation: Annotated[str, typer.Argument(help="The id of the invitation.")],
    role: Annotated[str | None, typer.Option(help="The organization role.")] = None,
    project: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME=ROLE, in place of all; may be repeated.")
    ] = None,
    message: Annotated[str | None, typer.Option(help="A personal message in the mail.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Change role, projects or message of a pending invitation. Its address is fixed."""

    async def work(door: Door, ctx: Context) -> None:
        await inviting.edit(
            door,
            ctx,
            InvitationId(invitation),
            role=RoleName(role) if role else None,
            projects=await projects_named(door, ctx.org_id, project) if project else None,
            message=UNSET if message is None else message,
        )

    in_organization(config, org, work)
    said({"id": invitation}, f"{invitation} is changed.", json=json)


@app.command("withdraw")
def withdraw(ids: Ids, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Withdraw: the link is dead, the seat is free, the list shows it as cancelled."""

    async def one(door: Door, ctx: Context, invitation_id: str) -> None:
        await invitation_changes.withdraw(door, ctx, InvitationId(invitation_id))

    each(config, org, ids, one, done="withdrawn", json=json)


@app.command("delete")
def delete(ids: Ids, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Take out of the list; a pending one is withdrawn. The audit keeps it."""

    async def one(door: Door, ctx: Context, invitation_id: str) -> None:
        await invitation_changes.hide(door, ctx, InvitationId(invitation_id))

    each(config, org, ids, one, done="deleted", json=json)
