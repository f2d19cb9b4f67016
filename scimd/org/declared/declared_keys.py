"""Which of an organization's values the config file declares: they are read-only everywhere else.

What is changed by hand beside the file would be undone at the next start, without a word. The names are kept
with the organization's settings, so that the doors need no file to know them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import select, update

from scimd import config
from scimd.core.errors import NotAllowedNow
from scimd.core.people import domain_key
from scimd.db.tables import organizations
from scimd.org.tx import Tx

#: In the settings of an organization.
KEY = "declared"
THE_FILE = "the config file"
_BY_HAND_TOO = frozenset(
    {"display_name", "language", "seats", "seats_on_scim", "get_more_seats_url", "default_project"}
)


def of_domain(domain_key: str) -> str:
    """How a domain stands among the names."""
    return f"domain {domain_key}"


def domain_keys(names: Iterable[str]) -> list[str]:
    """The domains that a file lists, as they are compared."""
    return sorted({domain_key(name.strip().removeprefix("@")) for name in names})


def said_by(wanted: config.Organization) -> list[str]:
    """What the file says of those values that could be changed by hand, too."""
    said = {name for name in wanted.model_fields_set & _BY_HAND_TOO if getattr(wanted, name) is not None}
    return [*sorted(said), *map(of_domain, domain_keys(wanted.domains))]


def of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that are kept."""
    return tuple(settings.get(KEY) or ())


def keep(tx: Tx, names: list[str]) -> None:
    """Note what the file says now."""
    mine = organizations.c.id == tx.org_id
    settings = tx.conn.execute(select(organizations.c.settings).where(mine)).scalar_one()
    if list(of(settings)) != names:
        tx.conn.execute(update(organizations).where(mine).values(settings={**settings, KEY: names}))


def must_not_hold(tx: Tx, names: Collection[str], file: str) -> None:
    """Raise NotAllowedNow where one of these is the file's to say."""
    query = select(organizations.c.slug, organizations.c.settings).where(organizations.c.id == tx.org_id)
    row = tx.conn.execute(query).one()
    if held := [name for name in of(row.settings) if name in names]:
        raise NotAllowedNow(
            f"{row.slug} has its {', '.join(held)} from {file}. Change that there, and restart scimd serve."
        )
