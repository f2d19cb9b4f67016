"""``scimd session``, ``scimd login-attempt``: who is signed in, and who tried."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    each,
    in_organization,
    print_list,
)
from scimd.core.people import SessionId
from scimd.org.authentication import sessions, sign_in_reads
from scimd.org.authentication.sessions import SessionRecord
from scimd.org.authentication.sign_in_reads import AttemptRecord
from scimd.org.tx import Context, Door
from scimd.org.users import admin_reads
from scimd.org.windows import Slice, Window

session = typer.Typer(name="session", help="Sessions of signed-in people.", no_args_is_help=True)
login_attempt = typer.Typer(name="login-attempt", help="Who tried to sign in.", no_args_is_help=True)
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")]


@session.command("list")
def list_sessions(
    user: Annotated[str | None, typer.Option(help="Only of this person: id, user name or address.")] = None,
    limit: Limit = 200,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List live sessions, the most recently active first."""

    async def work(door: Door, ctx: Context) -> Slice[SessionRecord]:
        who = await admin_reads.find_person(door, ctx.org_id, user) if user else None
        window = Window(limit, None, "-last_active")
        return await sign_in_reads.list_sessions(door, ctx.org_id, window, person_id=who, live=True)

    rows = in_organization(config, org, work).rows
    print_list(
        "Sessions",
        ("User", "Device", "IP address", "Started", "Last active", "Id"),
        rows,
        lambda row: (row.display_name, row.device, row.ip, row.started_at, row.last_active_at, row.id),
        empty="Nobody is signed in.",
        json=json,
    )


@session.command("revoke")
def revoke(
    ids: Annotated[list[str], typer.Argument(help="Ids of sessions.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """End sessions: they are dead at their next request."""

    async def one(door: Door, ctx: Context, session_id: str) -> None:
        await sessions.end(door, ctx, SessionId(session_id))

    each(config, org, ids, one, done="revoked", json=json)


@login_attempt.command("list")
def list_attempts(
    user: Annotated[str | None, typer.Option(help="Only of this person: id, user name or address.")] = None,
    address: Annotated[str | None, typer.Option(help="Only with this address, as it was typed.")] = None,
    ip: Annotated[str | None, typer.Option(help="Only from this IP address.")] = None,
    success: Annotated[bool | None, typer.Option("--success/--failed", help="Only these.")] = None,
    limit: Limit = 200,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List sign-in attempts, the newest first, with why they failed."""

    async def work(door: Door, ctx: Context) -> Slice[AttemptRecord]:
        who = await admin_reads.find_person(door, ctx.org_id, user) if user else None
        window = Window(limit, None, "-at")
        return await sign_in_reads.list_attempts(
            door, ctx.org_id, window, person_id=who, address=address, ip=ip, success=success
        )

    rows = in_organization(config, org, work).rows
    print_list(
        "Login attempts",
        ("Timestamp", "User", "IP address", "Status", "Reason"),
        rows,
        lambda row: (row.at, row.address, row.ip, "Success" if row.success else "Failed", row.reason),
        empty="Nobody has tried to sign in.",
        json=json,
    )
