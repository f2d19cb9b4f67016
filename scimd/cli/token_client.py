"""``scimd token client``: OAuth clients of SCIM sources."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    context,
    in_organization,
    lifetime,
    organization,
    organization_for_push,
    print_list,
    run,
    said,
    where_declared,
)
from scimd.config import Config
from scimd.core.bearer import TOKEN_ENDPOINT
from scimd.core.people import TokenId
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource
from scimd.org.tokens import oauth
from scimd.org.tokens.oauth import NewSecret
from scimd.org.tx import Door

app = typer.Typer(
    name="client", help="OAuth clients, which fetch short-lived access tokens.", no_args_is_help=True
)

ScopeOption = Annotated[
    list[str] | None,
    typer.Option(help="users:read, users:write, groups:read, groups:write; several times. All without it."),
]
SourceOption = Annotated[str, typer.Option(help="The SCIM source; made if it is new.")]
ProfileOption = Annotated[
    str, typer.Option(help="rfc, okta, entra, onelogin, jumpcloud, google, ping, keycloak, authentik.")
]
_CLIENT = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="The client's id, as listed.")]
_EXPIRES = Annotated[str | None, typer.Option(help="When the secret ends, such as 180d; never without it.")]


@app.command("create")
def create(
    source: SourceOption,
    org: OrgOption = None,
    profile: ProfileOption = "default",
    name: Annotated[str | None, typer.Option(help="What lists call the client.")] = None,
    scope: ScopeOption = None,
    expires: _EXPIRES = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a client. Its secret is shown once."""

    async def work(door: Door, loaded: Config) -> tuple[NewSecret, str]:
        duration = lifetime(expires, "--expires")
        owner = await organization_for_push(door, loaded, org, source)
        ctx = context(door, owner.id)
        of = await sources.ensure(door, ctx, NewSource(source, kind="scim"))
        until = None if duration is None else door.clock() + duration
        made = await oauth.create_client(door, ctx, of.id, name or f"{source} client", profile, scope, until)
        return made, loaded.server.public_url

    _show(*run(config, work, makes=where_declared), json)


def _show(made: NewSecret, public_url: str, json: bool) -> None:
    said(
        {"client_id": made.client_id, "client_secret": made.secret},
        f"Client id:      {made.client_id}",
        f"Client secret:  {made.secret}",
        f"Token endpoint: {public_url}{TOKEN_ENDPOINT}",
        "The secret is shown this once; put it where the identity provider asks for it.",
        json=json,
    )


@app.command("list")
def list_(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the clients with the ends of their secrets, never the secrets."""
    rows = in_organization(config, org, lambda door, ctx: oauth.list_clients(door, ctx.org_id))
    print_list(
        "OAuth clients",
        ("Client id", "Source", "Name", "Profile", "Scopes", "Secrets end", "Last used", "Revoked"),
        rows,
        lambda row: (
            row.id,
            row.source_name,
            row.name,
            row.profile,
            row.scopes,
            [secret.expires_at or "never" for secret in row.secrets],
            row.last_used_at or "never",
            row.revoked_at,
        ),
        empty="There is no client yet. Make one: scimd token client create --source NAME",
        json=json,
    )


@app.command("rotate")
def rotate(
    client_id: _CLIENT,
    overlap: Annotated[str, typer.Option(help="How long the old secret works beside the new one.")] = "24h",
    expires: _EXPIRES = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a client's next secret. It is shown once."""

    async def work(door: Door, loaded: Config) -> tuple[NewSecret, str]:
        owner = await organization(door, org)
        duration, beside = lifetime(expires, "--expires"), lifetime(overlap, "--overlap") or timedelta(0)
        until = None if duration is None else door.clock() + duration
        ctx = context(door, owner.id)
        made = await oauth.rotate_secret(door, ctx, TokenId(client_id), beside, until)
        return made, loaded.server.public_url

    _show(*run(config, work), json)


@app.command("revoke")
def revoke(
    client_id: _CLIENT, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """End a client, its secrets and its access tokens. The next request is refused."""
    in_organization(config, org, lambda door, ctx: oauth.revoke_client(door, ctx, TokenId(client_id)))
    said(
        {"client_id": client_id, "revoked": True},
        f"Client {client_id} is revoked, and with it every access token that it fetched.",
        json=json,
    )
