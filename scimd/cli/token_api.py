"""``scimd token api``: tokens of people and of services for the REST API."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    in_organization,
    lifetime,
    print_list,
    said,
)
from scimd.core.errors import InvalidValue
from scimd.core.people import TokenId
from scimd.org.tokens import api_tokens
from scimd.org.tokens.api_tokens import ApiTokenRecord
from scimd.org.tokens.tokens import NewToken
from scimd.org.tx import Context, Door
from scimd.org.users import admin_reads

app = typer.Typer(name="api", help="API tokens of people and of services.", no_args_is_help=True)


@app.command("create")
def create(
    person: Annotated[
        str | None, typer.Option(help="Whose token: an address, a user name or an id. It ends with theirs.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Or the name of a service.")] = None,
    permission: Annotated[
        list[str] | None,
        typer.Option(help="What it may do; several times. Of a person without it: whatever they may."),
    ] = None,
    name: Annotated[str, typer.Option(help="What lists call a person's token.")] = "API token",
    expires: Annotated[str, typer.Option(help="After how long, such as 90d, or never.")] = "90d",
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make an API token. It is shown once."""

    async def work(door: Door, ctx: Context) -> NewToken:
        if (person is None) == (service is None):
            raise InvalidValue("--person", "say whose token: --person ADDRESS or --service NAME")
        duration = lifetime(expires, "--expires")
        until = None if duration is None else door.clock() + duration
        if service is not None:
            return await api_tokens.create_service(door, ctx, service, permission or (), expires_at=until)
        person_id = await admin_reads.find_person(door, ctx.org_id, person or "")
        return await api_tokens.create_personal(
            door, ctx, person_id, name, permissions=permission or None, expires_at=until
        )

    made = in_organization(config, org, work)
    said(
        {"id": made.id, "token": made.token},
        f"API token {made.id}. It is shown this once:",
        made.token,
        json=json,
    )


@app.command("list")
def list_(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the API tokens, never their text."""
    rows = in_organization(config, org, lambda door, ctx: api_tokens.list_tokens(door, ctx))
    print_list(
        "API tokens",
        ("Id", "Of", "Name", "Permissions", "Made by", "Made", "Expires", "Last used", "Revoked"),
        rows,
        lambda row: (
            row.id,
            row.display_name or "service",
            row.name,
            _allowed(row),
            row.created_by,
            row.created_at,
            row.expires_at or "never",
            row.last_used_at or "never",
            row.revoked_at,
        ),
        empty="There is no API token yet. Make one: scimd token api create --person ADDRESS",
        json=json,
    )


def _allowed(row: ApiTokenRecord) -> object:
    return "whatever the person may" if row.permissions is None else row.permissions


@app.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(help="The token's id, as listed.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """End an API token. Its next request is refused."""
    in_organization(config, org, lambda door, ctx: api_tokens.revoke(door, ctx, TokenId(token_id)))
    said({"id": token_id, "revoked": True}, f"API token {token_id} is revoked.", json=json)
