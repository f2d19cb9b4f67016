"""``scimd domain``: the mail domains of an organization."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    context,
    organization,
    out,
    print_json,
    print_table,
    run,
)
from scimd.config import Config
from scimd.org import domains
from scimd.org.dns_txt import resolver
from scimd.org.domains import DomainRecord
from scimd.org.tx import Door

app = typer.Typer(name="domain", help="Mail domains of an organization.", no_args_is_help=True)
Domain = Annotated[str, typer.Argument(help="Such as acme.example.")]


@app.command("list")
def list_(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List proven and claimed domains."""

    async def work(door: Door, _: Config) -> list[DomainRecord]:
        return await domains.list_domains(door, (await organization(door, org)).id)

    rows = run(config, work)
    if json:
        print_json(rows)
        return
    print_table(
        "Domains",
        ("Domain", "Proven by", "Since", "TXT record", "Its value"),
        ((row.domain, row.verified_by, row.verified_at, row.record, row.value) for row in rows),
        empty="There is no domain. Add one: scimd domain add DOMAIN",
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

    async def work(door: Door, _: Config) -> DomainRecord:
        ctx = context(door, (await organization(door, org)).id)
        return await (domains.declare if declare else domains.claim)(door, ctx, domain)

    made = run(config, work)
    if json:
        print_json(made)
    elif made.verified_at:
        out.print(f"{made.domain} is the organization's.")
    else:
        out.print(f'Publish the TXT record {made.record} with "{made.value}",')
        out.print(f"then: scimd domain verify {made.domain}")


@app.command("verify")
def verify(
    domain: Domain, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Look for the TXT record, and take the domain if it is there."""

    async def work(door: Door, loaded: Config) -> DomainRecord:
        ctx = context(door, (await organization(door, org)).id)
        return await domains.verify(door, ctx, domain, resolver(loaded.dns.nameservers))

    made = run(config, work)
    if json:
        print_json(made)
    else:
        out.print(f"{made.domain} is the organization's.")


@app.command("remove")
def remove(
    domain: Domain, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Give a domain up: it links nobody any more, and may be another organization's."""

    async def work(door: Door, _: Config) -> None:
        await domains.remove(door, context(door, (await organization(door, org)).id), domain)

    run(config, work)
    if json:
        print_json({"removed": domain})
    else:
        out.print(f"{domain} is given up.")
