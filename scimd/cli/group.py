"""``scimd group``: groups as sources push or bring them, who is in them, and what they give."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated

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
from scimd.org.grants import catalogue_reads
from scimd.org.grants.catalogue_reads import GroupRecord, MemberRecord
from scimd.org.groups import group_reads
from scimd.org.groups.group_reads import Given
from scimd.org.sources import sources
from scimd.org.tx import Context, Door
from scimd.org.windows import Place, Slice, Window

app = typer.Typer(name="group", help="Groups of sources.", no_args_is_help=True)
SourceOption = Annotated[str | None, typer.Option(help="Only of this source.")]


@app.command("list")
def list_(
    source: SourceOption = None,
    search: Annotated[str | None, typer.Option(help="Part of a name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")] = 100,
    after: Annotated[str | None, typer.Option(help="The id of the last one of the page before.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List groups with what each gives, and by which rule."""

    async def work(
        door: Door, ctx: Context
    ) -> tuple[list[GroupRecord], Mapping[str, tuple[Given, ...]], bool]:
        source_id = (await sources.get_source(door, ctx.org_id, source)).id if source else None
        window = Window(limit, Place(None, after) if after else None)
        found = await catalogue_reads.list_groups(door, ctx.org_id, window, q=search, source_id=source_id)
        ids = [row.id for row in found.rows]
        return list(found.rows), await group_reads.given_by(door, ctx.org_id, ids), found.next is not None

    rows, given, more = in_organization(config, org, work)
    print_list(
        "Groups",
        ("Name", "Source", "Members", "Gives", "External id", "Id"),
        rows,
        lambda row: (
            row.display_name,
            row.source_name,
            row.members,
            given.get(row.id, ()),
            row.external_id,
            row.id,
        ),
        empty="There is no group.",
        as_json=lambda row: {**_as_json(row), "gives": given.get(row.id, ())},
        more=f"There is more: --after {rows[-1].id}" if more else None,
        json=json,
    )


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A name, an external id or an id.")],
    source: SourceOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many members.")] = 100,
    after: Annotated[
        str | None, typer.Option(help="What the source calls the last one shown before.")
    ] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show a group: what it gives, its members, and those who are named and not known yet."""

    async def work(door: Door, ctx: Context) -> tuple[GroupRecord, tuple[Given, ...], Slice[MemberRecord]]:
        group_id = await group_reads.find_group(door, ctx.org_id, name, source)
        window = Window(limit, Place(None, after) if after else None)
        given = await group_reads.given_by(door, ctx.org_id, [group_id])
        return (
            await catalogue_reads.get_group(door, ctx.org_id, group_id),
            given.get(group_id, ()),
            await catalogue_reads.list_members(door, ctx.org_id, group_id, window),
        )

    group, given, found = in_organization(config, org, work)
    if json:
        print_json({**_as_json(group), "gives": given, "members": found.rows})
        return
    out.print(f"{group.display_name} of {group.source_name}, {group.id}", markup=False)
    print_table(
        "Gives",
        ("Rule", "What", "Name", "Project role"),
        ((each.rule or "default", each.kind, each.name, each.project_role) for each in given),
        empty="It gives nothing: no rule names it.",
    )
    print_table(
        "Members",
        ("Name", "Kind", "As the source calls them", "Since"),
        ((row.name, row.kind, row.key, row.since) for row in found.rows),
        empty="Nobody is in it." if after is None else "Nobody else is in it.",
    )
    if found.next is not None:
        key = shlex.quote(found.rows[-1].key)  # a DN may hold spaces
        out.print(f"There is more, of {group.members}: --after {key}", markup=False)


def _as_json(row: GroupRecord) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.display_name,
        "external_id": row.external_id,
        "source": row.source_name,
        "member_count": row.members,
        "created_at": row.created_at,
        "changed_at": row.changed_at,
    }
