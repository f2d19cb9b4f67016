"""Sessions: rows that are looked up at each request, so that ending one counts at the next."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import update

from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId
from scimd.db.tables import deliveries, links, sessions
from scimd.org.tx import Tx


def end_for(tx: Tx, person_ids: Sequence[PersonId], why: str) -> int:
    """End all sessions of these people, and every one-time link that they have not used.

    Gives the number of sessions ended; each person who had any gets one event.
    """
    if not person_ids:
        return 0
    ended = tx.conn.execute(
        update(sessions)
        .where(
            sessions.c.org_id == tx.org_id,
            sessions.c.person_id.in_(person_ids),
            sessions.c.ended_at.is_(None),
        )
        .values(ended_at=tx.now, ended_by=why)
        .returning(sessions.c.person_id)
    ).all()
    _kill_links(tx, person_ids)
    counts: dict[str, int] = {}
    for row in ended:
        counts[row.person_id] = counts.get(row.person_id, 0) + 1
    for person_id, count in sorted(counts.items()):
        after = {"sessions": count, "why": why}
        tx.record(Event(EventKind.SESSION_ENDED, "person", person_id, after=after))
    return len(ended)


def _kill_links(tx: Tx, person_ids: Sequence[PersonId]) -> None:
    dead = tx.conn.execute(
        update(links)
        .where(
            links.c.org_id == tx.org_id,
            links.c.person_id.in_(person_ids),
            links.c.used_at.is_(None),
            links.c.expires_at > tx.now,
        )
        .values(expires_at=tx.now)
        .returning(links.c.id)
    ).scalars()
    ids = list(dead)
    if ids:
        tx.conn.execute(
            update(deliveries)
            .where(
                deliveries.c.org_id == tx.org_id,
                deliveries.c.link_id.in_(ids),
                deliveries.c.state.in_(("staged", "due")),
            )
            .values(state="cancelled")
        )
