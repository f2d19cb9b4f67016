"""``scimd domain``: the mail domains of an organization."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    context,
    file_of,
    in_organization,
    organization,
    print_list,
    run,
    said,
)
from scimd.config import Config
from scimd.org.organizations import domains
from scimd.org.organizations.dns_txt import resolver
from scimd.org.organizations.domains import DomainRecord
from scimd.org.tx import Door

app = typer.Typer(name="domain", help="Mail domains of an organization.", no_args_is_help=True)
Domain = Annotated[str, typer.Argument(help="Such as acme.example.")]


@app.command("list")
def list_(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List proven and claimed domains."""
    rows = in_organization(config, org, lambda door, ctx: domains.list_domains(door, ctx.org_id))
    print_list(
        "Domains",
        ("Domain", "Proven by", "Since", "TXT record", "Its value"),
        rows,
        lambda row: (row.domain, row.verified_by, row.verified_at, row.record, row.value),
        empty="There is no domain. Add one: scimd domain add DOMAIN",
        json=json,
    )


@app.command("add")
def add(
    domain: Domain,
    declare: Annotated[
        bool, typer.Option("--declare", help="On your word as the operator, without a proof.")
    ] = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Claim a domain, and print the TXT record that proves it; or declare it the organization's."""
    made = in_organization(
        config, org, lambda door, ctx: (domains.declare if declare else domains.claim)(door, ctx, domain)
    )
    proven = (f"{made.domain} is the organization's.",)
    claimed = (
        f'Publish the TXT record {made.record} with "{made.value}",',
        f"then: scimd domain verify {made.domain}",
    )
    said(made, *(proven if made.verified_at else claimed), json=json)


@app.command("verify")
def verify(
    domain: Domain, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Look for the TXT record, and take the domain if it is there."""

    async def work(door: Door, loaded: Config) -> DomainRecord:
        ctx = context(door, (await organization(door, org)).id)
        return await domains.verify(door, ctx, domain, resolver(loaded.dns.nameservers))

    made = run(config, work)
    said(made, f"{made.domain} is the organization's.", json=json)


@app.command("remove")
def remove(
    domain: Domain, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Give a domain up: it links nobody any more, and may be another organization's."""
    in_organization(config, org, lambda door, ctx: domains.remove(door, ctx, domain, file=file_of(config)))
    said({"removed": domain}, f"{domain} is given up.", json=json)
