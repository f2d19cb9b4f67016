"""``scimd token``: credentials of SCIM sources, and below it OAuth clients and API tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from scimd.cli import token_api, token_client
from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    cell,
    context,
    in_organization,
    lifetime,
    organization_for_push,
    print_list,
    run,
    said,
    where_declared,
)
from scimd.config import Config
from scimd.core.people import TokenId
from scimd.org.request_log import request_log
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource
from scimd.org.tokens import tokens
from scimd.org.tokens.tokens import NewToken
from scimd.org.tx import Context, Door

app = typer.Typer(name="token", help="Tokens with which identity providers push.", no_args_is_help=True)
app.add_typer(token_client.app)
app.add_typer(token_api.app)

TokenArgument = Annotated[str, typer.Argument(help="The token's id, as listed.")]


@app.command("create")
def create(
    source: token_client.SourceOption,
    org: OrgOption = None,
    profile: token_client.ProfileOption = "default",
    name: Annotated[str | None, typer.Option(help="What lists call the token.")] = None,
    expires: Annotated[
        str | None, typer.Option(help="How long it works, such as 90d; without it, for good.")
    ] = None,
    scope: token_client.ScopeOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a token. It is shown once."""

    async def work(door: Door, loaded: Config) -> NewToken:
        duration = lifetime(expires, "--expires")
        owner = await organization_for_push(door, loaded, org, source)
        ctx = context(door, owner.id)
        of = await sources.ensure(door, ctx, NewSource(source, kind="scim"))
        until = None if duration is None else door.clock() + duration
        return await tokens.create(door, ctx, of.id, name or f"{source} {profile}", profile, until, scope)

    _show(run(config, work, makes=where_declared), json)


def _show(made: NewToken, json: bool) -> None:
    said(
        {"id": made.id, "token": made.token},
        f"Token {made.id}. It is shown this once; put it where the identity provider asks for it:",
        made.token,
        json=json,
    )


@app.command("list")
def list_(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the tokens, never their text."""
    rows = in_organization(config, org, lambda door, ctx: tokens.list_tokens(door, ctx.org_id))
    print_list(
        "Tokens",
        ("Id", "Source", "Name", "Profile", "Scopes", "Made", "Expires", "Last used", "Revoked"),
        rows,
        lambda row: (
            row.id,
            row.source_name,
            row.name,
            row.profile,
            row.scopes,
            row.created_at,
            row.expires_at or "never",
            row.last_used_at or "never",
            row.revoked_at,
        ),
        empty="There is no token yet. Make one: scimd token create --source NAME",
        json=json,
    )


@app.command("rotate")
def rotate(
    token_id: TokenArgument,
    overlap: Annotated[str, typer.Option(help="How long the old one works beside the new one.")] = "24h",
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a token's successor, which may do the same. It is shown once."""

    async def work(door: Door, ctx: Context) -> NewToken:
        beside = lifetime(overlap, "--overlap") or timedelta(0)
        return await tokens.rotate(door, ctx, TokenId(token_id), beside)

    _show(in_organization(config, org, work), json)


@app.command("revoke")
def revoke(
    token_id: TokenArgument,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """End a token. Its next request is refused."""
    in_organization(config, org, lambda door, ctx: tokens.revoke(door, ctx, TokenId(token_id)))
    said({"id": token_id, "revoked": True}, f"Token {token_id} is revoked.", json=json)


@app.command("trace")
def trace(
    token_id: TokenArgument,
    lasting: Annotated[str, typer.Option("--for", help="For how long, such as 1h; 7d at most.")] = "1h",
    off: Annotated[bool, typer.Option("--off", help="End it now.")] = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Put a token's successful reads into the request log, too, for a while."""

    async def work(door: Door, ctx: Context) -> datetime | None:
        span = None if off else lifetime(lasting, "--for")
        return await request_log.trace(door, ctx, TokenId(token_id), span)

    until = in_organization(config, org, work)
    is_so = (
        "is not traced any more."
        if until is None
        else f"is traced until {cell(until)}. Look: scimd scim-log list --token {token_id}"
    )
    said({"id": token_id, "trace_until": until}, f"Token {token_id} {is_so}", json=json)
