"""``scimd admin``: the first people of an organization, and operators."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import ConfigOption, JsonOption, always, operator, run, said
from scimd.config import Config
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import SYSTEM
from scimd.org.tx import Door
from scimd.org.users import first_admins

app = typer.Typer(name="admin", help="Account Admins and operators.", no_args_is_help=True)


@app.command("create")
def create(
    email: Annotated[str, typer.Argument(help="The address to sign in with.")],
    org: Annotated[str, typer.Option("--org", help="The organization; system makes an operator.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make an Account Admin and print a one-time sign-in link."""

    async def work(door: Door, loaded: Config) -> str:
        if org == SYSTEM:  # before `serve` ran for the first time, which makes it
            await organizations.ensure_system(door)
        token = await first_admins.create_admin(door, org, email, operator())
        return f"{loaded.server.public_url}/sign-in/{token}"

    link = run(config, work, makes=always if org == SYSTEM else None)
    said(
        {"email": email, "organization": org, "link": link},
        f"{email} signs in to {org} once by this link, within 15 minutes:",
        link,
        json=json,
    )
