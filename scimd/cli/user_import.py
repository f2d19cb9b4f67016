"""``scimd user import``: people from a CSV file, looked at before they count."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    confirmed,
    in_organization,
    out,
    print_json,
    print_results,
    print_table,
)
from scimd.core.errors import InvalidValue
from scimd.org.users import importing
from scimd.org.users.by_hand import RowResult
from scimd.org.users.importing import ImportPlan


def import_(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV in UTF-8; its header names the columns.")
    ],
    add: Annotated[bool, typer.Option("--add", help="Add them directly, instead of inviting them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Apply without asking.")] = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show what an import would do, and do it on your word.

    Columns: email, display_name, user_name, role, team, projects (Alpha;Beta=viewer). With --json and
    without --yes it prints the plan and changes nothing.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise typer.BadParameter(f"{file} is not in UTF-8.") from exc

    plan = in_organization(
        config, org, lambda door, ctx: importing.plan(door, ctx, text, "add" if add else "invite")
    )
    if not json:
        _show(plan)
    elif not yes:
        print_json({"rows": plan.rows, "seats_wanted": plan.seats_wanted, "seats_free": plan.seats_free})
        return
    rows: list[RowResult] = []
    if any(row.comes for row in plan.rows):
        confirmed("Apply it?", yes=yes, json=json)
        applied = in_organization(config, org, lambda door, ctx: importing.apply(door, ctx, plan.sealed))
        rows = [RowResult(row.email, row.refusal) for row in applied]
    refused = [row for row in plan.rows if row.action == "refused"]
    if json:  # people have read in the table why
        rows += [RowResult(row.email, InvalidValue(f"line {row.line}", row.why or "")) for row in refused]
    print_results(rows, "done", json)
    if refused:
        raise typer.Exit(1)


def _show(plan: ImportPlan) -> None:
    print_table(
        "Import",
        ("Line", "Address", "What", "Why"),
        ((row.line, row.email, row.action, row.why) for row in plan.rows),
        empty="Nothing.",
    )
    free = "no limit" if plan.seats_free is None else f"{plan.seats_free} free"
    out.print(f"Seats: {plan.seats_wanted} wanted, {free}.", markup=False)
