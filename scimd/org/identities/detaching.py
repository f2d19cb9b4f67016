"""Detach: what a source asserts of a person becomes history, and the profile a local one.

It is the way to keep somebody whom a directory dropped, and the first step of deleting or moving
somebody whom it still lists. The source's next push of that entry finds no link any more, and is
matched like any newcomer's.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select, update

from scimd.core.errors import NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId, SourceId
from scimd.core.resource import unpack
from scimd.db.last_changed import not_before_stored
from scimd.db.tables import assertions, people, sources
from scimd.org import permissions
from scimd.org.groups import group_versions
from scimd.org.identities import linkable, linking
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand


async def detach(door: Door, ctx: Context, person_id: PersonId, source: str) -> None:
    """Detach the person from the source of this name.

    What the source's groups gave goes, what hands gave stays. Raises NotFound where the source says
    nothing of them, Forbidden, OwnAccount, SeatLimitReached where they come back and no seat is free,
    Protected.
    """
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> None:
        by_hand.not_oneself(tx, person_id, "detach")
        row = by_hand.person(tx, person_id)
        detach_from(tx, row, _id_of(tx, source), source)
        by_hand.wants_seat(tx, person_id)

    await door.run(ctx, body)


def _id_of(tx: Tx, name: str) -> SourceId:
    """Also of a source that was ended: those whom it removed can still be had back. Raises NotFound."""
    query = select(sources.c.id).where(sources.c.org_id == tx.org_id, sources.c.name == name)
    found = tx.conn.execute(query).scalar()
    if found is None:
        raise NotFound("source", name)
    return SourceId(found)


def detach_from(tx: Tx, row: Row[Any], source_id: SourceId, source: str) -> None:
    """Detach the person of this row, which is locked, from the source of this id and name.

    Raises NotFound where the source says nothing of them.
    """
    person_id = PersonId(row.id)
    linking.to_history(tx, person_id, source_id)
    if row.owner_source_id == source_id and row.kind == "service":
        linking.own_again(tx, row)
    elif row.owner_source_id == source_id:
        _own_profile(tx, person_id, source_id)
    group_versions.shown_again(tx, source_id, [person_id])
    tx.leaving.add(person_id)
    tx.regrouped.add(person_id)
    before = {"source": source, "display_name": row.display_name}
    tx.record(Event(EventKind.PERSON_DETACHED, "person", person_id, before=before))


def _own_profile(tx: Tx, person_id: PersonId, source_id: SourceId) -> None:
    """The source's document becomes the person's own; name and address stay as they are shown."""
    query = select(assertions.c.document).where(
        assertions.c.org_id == tx.org_id,
        assertions.c.source_id == source_id,
        assertions.c.person_id == person_id,
    )
    document = unpack(tx.conn.execute(query).scalar_one())
    profile = {key: value for key, value in document.items() if key not in linkable.OF_SOURCES}
    tx.conn.execute(
        update(people)
        .where(people.c.org_id == tx.org_id, people.c.id == person_id)
        .values(profile=profile, changed_at=not_before_stored(people.c.changed_at, tx.now))
    )
