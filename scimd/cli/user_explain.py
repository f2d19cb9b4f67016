"""``scimd user explain``: which fact and which rule gave each thing, which lost, which gate blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    in_organization,
    out,
    print_json,
    print_table,
)
from scimd.core.people import OrgId
from scimd.core.standing import Reason
from scimd.org import labels
from scimd.org.tx import Context, Door
from scimd.org.users import admin_reads
from scimd.org.users.admin_reads import PersonPage

_ORDER = ("status", "owner", "seat", "role", "project", "team", "licence")


def register(app: typer.Typer) -> None:
    """Add the command to ``scimd user``."""
    app.command("explain")(explain)


def explain(
    who: Annotated[str, typer.Argument(help="An id, a user name or an address.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Explain somebody's access: for each part of it the facts and rules, the winners and the losers."""

    async def work(door: Door, ctx: Context) -> tuple[PersonPage, list[Reason]]:
        page = await admin_reads.show_person(door, ctx.org_id, who)
        ordered = sorted(page.standing.reasons, key=_place)
        return page, await in_words(door, ctx.org_id, ordered)

    page, reasons = in_organization(config, org, work)
    if json:
        print_json(
            {
                "id": page.person.id,
                "status": page.standing.status,
                "causes": [str(cause) for cause in page.standing.causes],
                "service_owner": page.person.owner,
                "unsettled": page.unsettled,
                "reasons": reasons,
            }
        )
        return
    causes = ", ".join(str(cause) for cause in page.standing.causes)
    out.print(f"{page.person.display_name}: {page.standing.status} {causes}".rstrip(), markup=False)
    if page.person.owner:
        out.print(f"A service account; {page.person.owner} answers for it.", markup=False)
    if page.unsettled:
        out.print("What follows from the facts now; it is not stored yet, and will be within a minute.")
    print_table(
        "Why",
        ("About", "Fact and rule", "Outcome", "Because"),
        ((each.about, each.fact, each.verdict, each.why) for each in reasons),
        empty="",
    )


async def in_words(door: Door, org_id: OrgId, reasons: Iterable[Reason]) -> list[Reason]:
    """The reasons with names in place of ids."""
    found = list(reasons)
    ids = labels.ids_in(text for each in found for text in (each.about, each.fact, each.why))
    names = await labels.names_of(door, org_id, ids)
    return [_named(each, names) for each in found]


def _named(reason: Reason, names: Mapping[str, str]) -> Reason:
    about, fact, why = (labels.named(text, names) for text in (reason.about, reason.fact, reason.why))
    return Reason(about, fact, reason.verdict, why)


def _place(reason: Reason) -> tuple[int, str]:
    """Status first; the reasons of one thing stay together, in the order in which they were weighed."""
    return _ORDER.index(reason.about.partition(":")[0]), reason.about
