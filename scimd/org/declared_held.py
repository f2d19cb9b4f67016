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


def of_source(settings: Mapping[str, Any], name: str, slug: str) -> str | None:
    """Why what the file changes of the source is held, and what somebody can do; None: nothing is."""
    why = of(settings).get(name)
    return why if why is None or why.endswith(_NEVER) else f"{why} {way_out(slug)}"


def called(names: Iterable[str]) -> str:
    """How these are called in a sentence."""
    return ", ".join(_WORDS.get(name, f"the source {name}") for name in names)


def way_out(slug: str) -> str:
    """What somebody can do who looks after the file."""
    return (
        "Correct the file, raise the source's limits with it, or let through what they alone hold: "
        f"scimd org accept {slug}"
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
