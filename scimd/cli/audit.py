"""``scimd audit``: prove that the audit trail is whole."""

from __future__ import annotations

import typer

from scimd.cli.common import ConfigOption, JsonOption, OrgOption, err, organization, out, print_json, run
from scimd.config import Config
from scimd.org import audit
from scimd.org.audit import Verification
from scimd.org.tx import Door

app = typer.Typer(name="audit", help="The audit trail.", no_args_is_help=True)


@app.command("verify")
def verify(org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Work out the hash chain anew: exit code 1 where an entry was changed, is missing or was put in."""

    async def work(door: Door, _: Config) -> Verification:
        return await audit.verify(door, (await organization(door, org)).id)

    found = run(config, work)
    if json:
        print_json(found)
    else:
        out.print(f"{found.published} entries, {found.unpublished} not chained yet, {found.erased} erased.")
        for fault in found.faults:
            err.print(f"[red]{fault}[/red]")
    if found.faults:
        raise typer.Exit(1)
