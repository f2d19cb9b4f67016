"""Users whom a source asserts no more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, select, update

from scimd.core.errors import NotFound, Protected, Refusal
from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId
from scimd.db.among import among
from scimd.db.locks import lock_rows
from scimd.db.tables import assertions, people
from scimd.org import admins, members, profiles
from scimd.org.rulebook import SourceBook
from scimd.org.tx import Tx


@dataclass(frozen=True, slots=True)
class DropUser:
    """``deleted``: the source said delete, rather than losing sight of the person."""

    person_id: PersonId
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    person_id: PersonId
    outcome: Literal["dropped", "tombstoned", "refused"]
    refusal: Refusal | None = None


def drop_users(tx: Tx, many: Sequence[DropUser]) -> list[Dropped]:
    """Record that ``tx.ctx.source_id`` asserts these people no more; one outcome each, in order.

    Whom another source asserts is handed over to it. Whom none asserts is Inactive, and with
    ``deleted`` tombstoned: hidden, restorable for 30 days, group memberships kept hidden.
    """
    source = tx.book.source(tx.ctx.source_id)
    ids = [drop.person_id for drop in many]
    members.shown_again(tx, source.id, ids)
    found = _locked(tx, source, ids)
    kept = admins.last_of(tx, list(found)) if found and tx.ctx.door != "scim" else set()
    going = [drop for drop in many if drop.person_id in found and drop.person_id not in kept]
    elsewhere = _asserted_elsewhere(tx, source, [drop.person_id for drop in going])
    buried = {drop.person_id for drop in going if drop.deleted and drop.person_id not in elsewhere}
    _write(tx, source, going)
    _bury(tx, [found[person_id] for person_id in sorted(buried)])
    for drop in going:
        _tell(tx, source, found[drop.person_id], buried=drop.person_id in buried)
    tx.leaving.update(drop.person_id for drop in going)
    tx.counts[source.id, "user_count"] -= len({drop.person_id for drop in going})
    return [_outcome(drop, found, kept, buried) for drop in many]


def _locked(tx: Tx, source: SourceBook, ids: Collection[PersonId]) -> dict[PersonId, Row[Any]]:
    """Those of them whom the source asserts, locked."""
    query: Any = select(people).where(people.c.org_id == tx.org_id, among(tx.conn, people.c.id, ids))
    rows = lock_rows(tx.conn, query.order_by(people.c.id))
    column = assertions.c
    live = set(
        tx.conn.execute(
            select(column.person_id).where(
                column.org_id == tx.org_id,
                column.source_id == source.id,
                column.state == "live",
                among(tx.conn, column.person_id, [row.id for row in rows]),
            )
        ).scalars()
    )
    return {PersonId(row.id): row for row in rows if row.id in live}


def _asserted_elsewhere(tx: Tx, source: SourceBook, ids: Collection[PersonId]) -> set[PersonId]:
    column = assertions.c
    query = select(column.person_id).where(
        column.org_id == tx.org_id,
        column.source_id != source.id,
        column.state == "live",
        among(tx.conn, column.person_id, ids),
    )
    return {PersonId(person_id) for person_id in tx.conn.execute(query).scalars()}


def _write(tx: Tx, source: SourceBook, going: Sequence[DropUser]) -> None:
    column = assertions.c
    for deleted in (True, False):
        ids = [drop.person_id for drop in going if drop.deleted is deleted]
        if ids:
            tx.conn.execute(
                update(assertions)
                .where(
                    column.org_id == tx.org_id,
                    column.source_id == source.id,
                    among(tx.conn, column.person_id, ids),
                )
                # Without a digest the entry is looked at anew when it comes back.
                .values(state="gone", deleted=deleted, gone_at=tx.now, digest=None)
            )


def _bury(tx: Tx, rows: Sequence[Row[Any]]) -> None:
    if rows:
        tx.conn.execute(
            update(people)
            .where(people.c.org_id == tx.org_id, among(tx.conn, people.c.id, [row.id for row in rows]))
            .values(deleted_at=tx.now)
        )
        profiles.release_addresses(tx, [row.sign_in_key for row in rows if row.sign_in_key])


def _tell(tx: Tx, source: SourceBook, row: Row[Any], *, buried: bool) -> None:
    before = {"source": source.name, "display_name": row.display_name}
    if buried:
        tx.record(Event(EventKind.PERSON_DELETED, "person", row.id, before=before))
    else:
        note = "the source asserts the person no more"
        tx.record(Event(EventKind.PERSON_UPDATED, "person", row.id, before, None, note))


def _outcome(
    drop: DropUser,
    found: Collection[PersonId],
    kept: Collection[PersonId],
    buried: Collection[PersonId],
) -> Dropped:
    if drop.person_id in kept:
        why = "no other Account Admin could sign in"
        return Dropped(drop.person_id, "refused", Protected(drop.person_id, why))
    if drop.person_id not in found:
        return Dropped(drop.person_id, "refused", NotFound("user", drop.person_id))
    return Dropped(drop.person_id, "tombstoned" if drop.person_id in buried else "dropped")
