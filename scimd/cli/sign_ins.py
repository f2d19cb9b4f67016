"""``scimd session``, ``scimd login-attempt``: who is signed in, and who tried."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    each,
    organization,
    print_json,
    print_table,
    run,
)
from scimd.config import Config
from scimd.core.people import SessionId
from scimd.org import admin_reads, sessions, sign_in_reads
from scimd.org.sessions import SessionRecord
from scimd.org.sign_in_reads import AttemptRecord
from scimd.org.tx import Context, Door
from scimd.org.windows import Slice, Window

session = typer.Typer(name="session", help="Sessions of signed-in people.", no_args_is_help=True)
login_attempt = typer.Typer(name="login-attempt", help="Who tried to sign in.", no_args_is_help=True)
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]


@session.command("list")
def list_sessions(
    user: Annotated[str | None, typer.Option(help="Only of this person: id, user name or address.")] = None,
    limit: Limit = 200,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List live sessions, the most recently active first."""

    async def work(door: Door, _: Config) -> Slice[SessionRecord]:
        owner = await organization(door, org)
        who = await admin_reads.find_person(door, owner.id, user) if user else None
        window = Window(limit, None, "-last_active")
        return await sign_in_reads.list_sessions(door, owner.id, window, person_id=who, live=True)

    rows = run(config, work).rows
    if json:
        print_json(rows)
        return
    print_table(
        "Sessions",
        ("User", "Device", "IP address", "Started", "Last active", "Id"),
        ((row.display_name, row.device, row.ip, row.started_at, row.last_active_at, row.id) for row in rows),
        empty="Nobody is signed in.",
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

    async def work(door: Door, _: Config) -> Slice[AttemptRecord]:
        owner = await organization(door, org)
        who = await admin_reads.find_person(door, owner.id, user) if user else None
        return await sign_in_reads.list_attempts(
            door, owner.id, Window(limit, None, "-at"), person_id=who, address=address, ip=ip, success=success
        )

    rows = run(config, work).rows
    if json:
        print_json(rows)
        return
    print_table(
        "Login attempts",
        ("Timestamp", "User", "IP address", "Status", "Reason"),
        ((row.at, row.address, row.ip, "Success" if row.success else "Failed", row.reason) for row in rows),
        empty="Nobody has tried to sign in.",
    )
