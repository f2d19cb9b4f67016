"""What of the config file is held: it would take, or give, more than the limits of its sources allow; or it
cannot be, such as what would take the role from the last Account Admin.

The figures are kept with the organization's settings, by the name of the source whose old version stays, so
that every door can say so without the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select, update

from scimd.core.events import Event, EventKind
from scimd.db.tables import organizations
from scimd.org.tx import Tx

#: Beside the names of sources, none of which has an underscore. What else the file says of an organization
#: itself takes nothing from anybody, and is never held.
DEFAULT_PROJECT, DOMAINS, ITSELF = "default_project", "its_domains", "the_organization"
#: In the settings of an organization.
_KEY = "held"
_NEVER = "No approval lets that through."
_WORDS = {DEFAULT_PROJECT: "the default project", DOMAINS: "the domains", ITSELF: "the organization"}


def of(settings: Mapping[str, Any]) -> Mapping[str, str]:
    """What is held, and why, by name."""
    return dict(settings.get(_KEY) or {})


def told(settings: Mapping[str, Any], slug: str) -> dict[str, str]:
    """The same, each with what somebody can do."""
    return {name: f"{why} {way_out(slug, [why])}" for name, why in of(settings).items()}


def called(names: Iterable[str]) -> str:
    """How these are called in a sentence."""
    return ", ".join(_WORDS.get(name, f"the source {name}") for name in names)


def way_out(slug: str, whys: Iterable[str]) -> str:
    """What somebody can do, who looks after the file, of what is held for these reasons."""
    if all(why.endswith(_NEVER) for why in whys):
        return "Correct the file, and restart scimd serve."
    return (
        "Correct the file, or raise the source's limits in it, and restart scimd serve; or let through what "
        f"they alone hold: scimd org accept {slug}"
    )


def never(why: str) -> str:
    """The sentences for what is held whoever approves it, from those of the refusal."""
    return f"{why.removesuffix(' Nothing was changed.')} {_NEVER}"  # the rest is changed


def note(tx: Tx, held: Mapping[str, str]) -> None:
    """Keep what is held now. What was not yet is an event, of which those are told who want to be."""
    mine = organizations.c.id == tx.org_id
    settings = tx.conn.execute(select(organizations.c.settings).where(mine)).scalar_one()
    before = of(settings)
    if before == held:
        return
    tx.conn.execute(update(organizations).where(mine).values(settings={**settings, _KEY: dict(held)}))
    new = {name: why for name, why in held.items() if before.get(name) != why}
    if new:
        why = " ".join(dict.fromkeys(new.values()))
        what = ", ".join(_WORDS.get(name, name) for name in new)
        tx.record(Event(EventKind.CONFIG_HELD, "organization", tx.org_id, after={"held": what}, note=why))
