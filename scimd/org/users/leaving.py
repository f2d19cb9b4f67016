"""Users whom a source asserts no more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, bindparam, select, update

from scimd.core.errors import NotFound, Protected, Refusal
from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId
from scimd.db.among import one_of
from scimd.db.prepared import Locking, Prepared
from scimd.db.tables import assertions, people
from scimd.org.groups import group_versions
from scimd.org.organizations import admins
from scimd.org.rulebook import SourceBook
from scimd.org.settling import profiles
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
    group_versions.shown_again(tx, source.id, ids)
    found = _locked(tx, source, ids)
    kept = admins.last_of(tx, list(found)) if found and tx.ctx.door != "scim" else set()
    going = [drop for drop in many if drop.person_id in found and drop.person_id not in kept]
    elsewhere = _asserted_elsewhere(tx, source, [drop.person_id for drop in going])
    buried = {drop.person_id for drop in going if drop.deleted and drop.person_id not in elsewhere}
    _write(tx, source, going)
    bury(tx, [found[person_id] for person_id in sorted(buried)])
    for drop in going:
        _tell(tx, source, found[drop.person_id], buried=drop.person_id in buried)
    tx.leaving.update(drop.person_id for drop in going)
    if tx.ctx.door == "scim":
        tx.departures[source.id] += len(going)
    tx.went(source.id, "user", len({drop.person_id for drop in going}))
    return [_outcome(drop, found, kept, buried) for drop in many]


_a, _p = assertions.c, people.c
_living = (_a.org_id == bindparam("org_id")) & (_a.state == "live") & one_of(_a.person_id)
_PEOPLE = Locking(select(people).where(_p.org_id == bindparam("org_id"), one_of(_p.id)).order_by(_p.id))
_LIVE = Prepared(select(_a.person_id).where(_living, _a.source_id == bindparam("source_id")))
_ELSEWHERE = Prepared(select(_a.person_id).where(_living, _a.source_id != bindparam("source_id")))
_GO = Prepared(
    update(assertions)
    .where(_a.org_id == bindparam("_org_id"), _a.source_id == bindparam("_source_id"), one_of(_a.person_id))
    # Without a digest the entry is looked at anew when it comes back.
    .values(state="gone", deleted=bindparam("_deleted"), gone_at=bindparam("_now"), digest=None)
)
_BURY = Prepared(
    update(people)
    .where(_p.org_id == bindparam("_org_id"), one_of(_p.id))
    .values(deleted_at=bindparam("_now"))
)


def _locked(tx: Tx, source: SourceBook, ids: Collection[PersonId]) -> dict[PersonId, Row[Any]]:
    """Those of them whom the source asserts, locked."""
    rows = _PEOPLE.all(tx.conn, {"org_id": tx.org_id, "keys": ids})
    of_source = {"org_id": tx.org_id, "source_id": source.id, "keys": [row.id for row in rows]}
    live = set(_LIVE.column(tx.conn, of_source))
    return {PersonId(row.id): row for row in rows if row.id in live}


def _asserted_elsewhere(tx: Tx, source: SourceBook, ids: Collection[PersonId]) -> set[PersonId]:
    of_source = {"org_id": tx.org_id, "source_id": source.id, "keys": ids}
    return {PersonId(person_id) for person_id in _ELSEWHERE.column(tx.conn, of_source)}


def _write(tx: Tx, source: SourceBook, going: Sequence[DropUser]) -> None:
    of_source = {"_org_id": tx.org_id, "_source_id": source.id, "_now": tx.now}
    for deleted in (True, False):
        ids = [drop.person_id for drop in going if drop.deleted is deleted]
        if ids:
            _GO.post(tx.conn, {**of_source, "_deleted": deleted, "keys": ids})


def bury(tx: Tx, rows: Sequence[Row[Any]]) -> None:
    """Hide these people; their addresses are free for others. Undone by ``returning.restore``."""
    if rows:
        _BURY.post(tx.conn, {"_org_id": tx.org_id, "keys": [row.id for row in rows], "_now": tx.now})
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
    found: Mapping[PersonId, Row[Any]],
    kept: Collection[PersonId],
    buried: Collection[PersonId],
) -> Dropped:
    if drop.person_id in kept:
        why = "no other Account Admin could sign in"
        return Dropped(drop.person_id, "refused", Protected(found[drop.person_id].display_name, why))
    if drop.person_id not in found:
        return Dropped(drop.person_id, "refused", NotFound("user", drop.person_id))
    return Dropped(drop.person_id, "tombstoned" if drop.person_id in buried else "dropped")
