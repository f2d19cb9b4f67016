"""``scimd decide``: what scimd does not guess: collisions, returns, names of groups."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    command_line,
    in_organization,
    out,
    print_json,
    print_list,
    print_table,
    said,
)
from scimd.core.people import DecisionId
from scimd.org.decisions import decisions

app = typer.Typer(name="decide", help="Items that wait for a person's decision.", no_args_is_help=True)


@app.command("list")
def list_(
    org: OrgOption = None,
    every: Annotated[bool, typer.Option("--all", help="The answered ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")] = 100,
    after: Annotated[str | None, typer.Option(help="The id of the last one of the page before.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List what is open, the newest first."""
    state: decisions.State | None = None if every else "open"
    found = in_organization(
        config,
        org,
        lambda door, ctx: decisions.list_decisions(
            door, ctx.org_id, state=state, limit=limit + 1, after=after
        ),
    )
    rows = found[:limit]
    print_list(
        "To decide",
        ("Id", "Kind", "Question", "Since", "State"),
        rows,
        lambda row: (row.id, row.kind, row.question, row.opened_at, row.state),
        empty="Nothing waits for a decision.",
        more=f"There is more: --after {rows[-1].id}" if len(found) > limit else None,
        json=json,
    )


@app.command("show")
def show(
    item: Annotated[str, typer.Argument(help="The item's id.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one item with its possible answers and what each would do."""
    row = in_organization(config, org, lambda door, ctx: decisions.get(door, ctx.org_id, DecisionId(item)))
    if json:
        print_json(row)
        return
    out.print(row.question, style="bold", markup=False)
    print_table("Known", ("What", "Value"), row.facts.items(), empty="")
    print_table(
        "Answers",
        ("Answer", "Meaning", "What it does"),
        ((option.answer, option.label, option.effect) for option in row.options),
        empty="",
    )
    if row.state != "open":
        out.print(
            f"It was answered: {row.answer}." if row.answer else "It is no longer in question.", markup=False
        )
        return
    answer_it = command_line(f"decide answer {row.id} ANSWER", config)
    out.print(f"Answer it: {answer_it}", markup=False)


@app.command("answer")
def answer(
    item: Annotated[str, typer.Argument(help="The item's id.")],
    choice: Annotated[str, typer.Argument(metavar="ANSWER", help="One of the answers that show lists.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Answer one item; it takes effect at once."""
    row = in_organization(
        config, org, lambda door, ctx: decisions.answer(door, ctx, DecisionId(item), choice)
    )
    said(row, f"Decided: {choice}.", json=json)
