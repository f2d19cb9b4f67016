"""What people are called: the name that is shown, and their local user name.

The latter is derived once from the SCIM userName, and unique among an organization's living.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, select

from scimd.core.people import fold, local_user_name
from scimd.db.among import one_of
from scimd.db.prepared import Prepared
from scimd.db.tables import people
from scimd.org.tx import Tx

_NONE: frozenset[str] = frozenset()
_HELD = Prepared(
    select(people.c.local_user_name).where(
        people.c.org_id == bindparam("org_id"),
        people.c.deleted_at.is_(None),
        one_of(people.c.local_user_name),
    )
)


def shown_as(name: str) -> dict[str, str]:
    """The columns of ``people`` for the name that is shown: as it is, and as it is searched and sorted."""
    return {"display_name": name, "display_name_key": fold(name)}


def local_names(tx: Tx, user_names: Sequence[str]) -> list[str]:
    """A free local user name for each, in order; ``-2`` and so on where it is taken."""
    stems = [local_user_name(name, _NONE) for name in user_names]
    taken = _taken(tx, set(stems))
    next_number: dict[str, int] = {}
    found: list[str] = []
    for stem in stems:
        if stem not in taken:
            name = stem
        else:
            tx.order_matters()
            number = next_number.get(stem) or _first_free(tx, stem)
            while (name := f"{stem}-{number}") in taken or _taken(tx, {name}):
                number += 1
            next_number[stem] = number + 1
        taken.add(name)
        found.append(name)
    return found


def _taken(tx: Tx, names: Collection[str]) -> set[str]:
    return set(_HELD.column(tx.conn, {"org_id": tx.org_id, "keys": names}))


def _first_free(tx: Tx, stem: str) -> int:
    """The end of an unbroken run of numbers, in a few look-ups though there may be 100,000 of them.

    Doubles until a number is free, then halves the gap. A gap in between may be passed over.
    """
    doubles = [2**n for n in range(1, 24)]
    held = _taken(tx, [f"{stem}-{n}" for n in doubles])
    free: int = next(n for n in doubles if f"{stem}-{n}" not in held)
    low = free // 2
    while free - low > 1:
        middle = (free + low) // 2
        if _taken(tx, {f"{stem}-{middle}"}):
            low = middle
        else:
            free = middle
    return free
