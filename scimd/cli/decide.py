"""``scimd decide``: what scimd does not guess: collisions, returns, names of groups."""

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
from scimd.core.people import DecisionId
from scimd.org import decisions
from scimd.org.decisions import DecisionRecord
from scimd.org.tx import Door

app = typer.Typer(name="decide", help="Items that wait for a person's decision.", no_args_is_help=True)


@app.command("list")
def list_(
    org: OrgOption = None,
    every: Annotated[bool, typer.Option("--all", help="The answered ones too.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List what is open."""

    async def work(door: Door, _: Config) -> list[DecisionRecord]:
        owner = await organization(door, org)
        return await decisions.list_decisions(door, owner.id, state=None if every else "open")

    rows = run(config, work)
    if json:
        print_json(rows)
        return
    print_table(
        "To decide",
        ("Id", "Kind", "Question", "Since", "State"),
        ((row.id, row.kind, row.question, row.opened_at, row.state) for row in rows),
        empty="Nothing waits for a decision.",
    )


@app.command("show")
def show(
    item: Annotated[str, typer.Argument(help="The item's id.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one item with its possible answers and what each would do."""

    async def work(door: Door, _: Config) -> DecisionRecord:
        owner = await organization(door, org)
        return await decisions.get(door, owner.id, DecisionId(item))

    row = run(config, work)
    if json:
        print_json(row)
        return
    out.print(f"[bold]{row.question}[/bold]")
    print_table("Known", ("What", "Value"), row.facts.items(), empty="")
    print_table(
        "Answers",
        ("Answer", "Meaning", "What it does"),
        ((option.answer, option.label, option.effect) for option in row.options),
        empty="",
    )
    out.print(f"Answer it: scimd decide answer {row.id} ANSWER")


@app.command("answer")
def answer(
    item: Annotated[str, typer.Argument(help="The item's id.")],
    choice: Annotated[str, typer.Argument(metavar="ANSWER", help="One of the answers that show lists.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Answer one item; it takes effect at once."""

    async def work(door: Door, _: Config) -> DecisionRecord:
        owner = await organization(door, org)
        return await decisions.answer(door, context(door, owner.id), DecisionId(item), choice)

    row = run(config, work)
    if json:
        print_json(row)
    else:
        out.print(f"Decided: {choice}.")
