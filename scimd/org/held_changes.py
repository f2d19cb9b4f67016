"""A change of rules that would take too many people's access is held, like a sync that would.

Looked at inside the transaction that makes the change, which then is rolled back: the old version
stays active.
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select

from scimd.core.errors import NotAllowedNow
from scimd.core.people import PersonId, SourceId
from scimd.core.standing import standing
from scimd.core.sync.limits import Figures, Limits, TripKind, check
from scimd.db.tables import unsettled
from scimd.org.facts import gather, people_rows
from scimd.org.sources import find
from scimd.org.tx import Tx

_AT_ONCE = 500


_BY_FILE = "Mend it, or raise the source's limits with it."


def hold_back(tx: Tx, way_out: str = _BY_FILE) -> None:
    """Raise NotAllowedNow if whom this transaction unsettled would lose access beyond the limits.

    Each source's limits count for those whom it owns. ``way_out``: what lets the change through.
    """
    marked = select(unsettled.c.person_id).where(
        unsettled.c.org_id == tx.org_id, unsettled.c.marked_at == tx.now
    )
    concerned = sorted(
        {PersonId(each) for each in tx.conn.execute(marked).scalars()} | tx.touched | tx.leaving
    )
    linked: Counter[str | None] = Counter()
    losing: Counter[str | None] = Counter()
    for first in range(0, len(concerned), _AT_ONCE):
        loaded = gather(
            tx.conn, tx.book, people_rows(tx.conn, tx.org_id, concerned[first : first + _AT_ONCE])
        )
        for person_id, row in loaded.rows.items():
            if row.has_seat or row.status == "active":
                linked[row.owner_source_id] += 1
                losing[row.owner_source_id] += not standing(loaded.facts[person_id], tx.book.rules).wants_seat
    for owner, count in losing.items():
        _judge(tx, owner, count, linked[owner], way_out)


def _judge(tx: Tx, owner: str | None, losing: int, linked: int, way_out: str) -> None:
    source = find(tx.conn, tx.org_id, SourceId(owner)) if owner in tx.book.sources and owner else None
    limits = Limits(**source.declared().limits.model_dump()) if source else Limits()
    trips = check(Figures(linked=linked, seen=linked, removals=losing), limits)
    # That it is everyone is no trip of its own here: raised limits are the operator's word.
    if any(trip.kind is not TripKind.EVERYONE for trip in trips):
        whose = f"of the source {source.name}" if source else "without a source"
        raise NotAllowedNow(
            f"The change would take the access of {losing} of {linked} people {whose}, which is over the "
            f"limits. It is held, and the old version stays. {way_out}"
        )
