"""``scimd user``: look at people."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    in_organization,
    out,
    print_json,
    print_list,
    print_table,
)
from scimd.org import reads
from scimd.org.tx import Context, Door

app = typer.Typer(name="user", help="People.", no_args_is_help=True)


@app.command("list")
def list_(
    org: OrgOption = None,
    search: Annotated[str | None, typer.Option(help="Part of a name or an address.")] = None,
    status: Annotated[Literal["active", "pending", "inactive"] | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    after: Annotated[str | None, typer.Option(help="The id of the last one of the page before.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List people with their status and its causes."""

    async def work(door: Door, ctx: Context) -> list[reads.PersonRow]:
        return await reads.list_people(
            door, ctx.org_id, search=search, status=status, limit=limit, after=after
        )

    rows = in_organization(config, org, work)
    print_list(
        "People",
        ("Name", "User name", "Address", "Status", "Causes", "Role", "Projects", "Source", "Id"),
        rows,
        lambda row: (
            row.display_name,
            row.local_user_name,
            row.sign_in_address,
            row.status,
            row.causes,
            row.primary_role,
            row.projects,
            row.source_name or "local",
            row.id,
        ),
        empty="Nobody is there yet, or nobody fits.",
        more=f"There may be more: --after {rows[-1].id}" if len(rows) == limit else None,
        json=json,
    )


@app.command("show")
def show(
    who: Annotated[str, typer.Argument(help="An id, a user name or an address.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one person: standing, and the fact and rule behind each part of it."""
    page = in_organization(config, org, lambda door, ctx: reads.show_person(door, ctx.org_id, who))
    if json:
        print_json(page)
        return
    row = page.person
    out.print(f"[bold]{row.display_name}[/bold]  {row.sign_in_address or 'no address'}  {row.id}")
    causes = f" ({', '.join(row.causes)})" if row.causes else ""
    out.print(f"{row.status}{causes}, {'has' if row.has_seat else 'no'} seat, role {row.primary_role}")
    print_table("Sources", ("Source", "External id", "User name", "Active", "State"),
        ((a.source_name, a.external_id, a.user_name, a.active, a.state) for a in page.assertions),
        empty="No source speaks of this person.",
    )  # fmt: skip
    print_table("Why", ("About", "Fact", "Outcome", "Because"),
        ((reason.about, reason.fact, reason.verdict, reason.why) for reason in page.standing.reasons),
        empty="",
    )  # fmt: skip
