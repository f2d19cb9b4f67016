"""Approval without a partner: of whoever arrives by a source that an admin trusts so far, and for how long.

See ``core.approval``. A source in shadow brings nobody; whom it knows arrives when it leaves shadow.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select, update

from scimd.core import approval
from scimd.core.approval import AutoApprove
from scimd.core.events import Event, EventKind
from scimd.core.people import Keys, OrgId, PersonId, SourceId
from scimd.db.among import among
from scimd.db.last_changed import not_before_stored
from scimd.db.tables import assertions, events, people, status_spans
from scimd.org.rulebook import RuleBook, SourceBook
from scimd.org.tx import Actor, Context, Door, Tx
from scimd.org.users.incoming import Work

_AT_ONCE = 100


def approved(book: RuleBook, source: SourceBook, keys: Keys) -> bool:
    """Whether somebody with these keys, who arrives by this source, counts as approved."""
    known = book.rules.sources[source.id]
    return known.state != "shadow" and approval.on_arrival(
        source.auto_approve, keys.sign_in_key, book.verified_domains
    )


def stays_approved(tx: Tx, row: Work) -> bool:
    """Whether the approval of this person, who returns, survived."""
    old = row.old
    if old is None:
        return False
    same = old.external_id is not None and old.external_id == row.keys.external_id
    if approval.survives(same, old.deleted_at or old.gone_at, tx.now):
        return True
    return same and tx.book.rules.approval_required and _was_approved_lately(tx, row.id)


def _was_approved_lately(tx: Tx, person_id: PersonId) -> bool:
    """Whether somebody who has been away for long was approved meanwhile: it counts from then."""
    query = select(people.c.id).where(
        people.c.org_id == tx.org_id, people.c.id == person_id, _lately_approved(tx.now - approval.SURVIVES)
    )
    return tx.conn.execute(query).first() is not None


def _lately_approved(since: datetime) -> ColumnElement[bool]:
    """Of people whom somebody has approved since then."""
    approval_of = select(events.c.id).where(
        events.c.org_id == people.c.org_id,
        events.c.target_id == people.c.id,
        events.c.kind == EventKind.PERSON_APPROVED,
        events.c.at > since,
    )
    return approval_of.correlate(people).exists()


def approve(tx: Tx, source: SourceBook, arrived: Mapping[PersonId, Keys]) -> None:
    """Approve those who arrived by this source, where it is trusted so far."""
    if not tx.book.rules.approval_required or source.auto_approve == "never":
        return
    ids = [person_id for person_id, keys in arrived.items() if approved(tx.book, source, keys)]
    # Somebody new is written as approved.
    known = _unapproved(tx, [person_id for person_id in ids if person_id not in tx.created])
    _approve(tx, [*(each for each in ids if each in tx.created), *known], source.name)


def leave_shadow(tx: Tx, source_id: SourceId, name: str, auto: AutoApprove) -> None:
    """Whom the source asserted in shadow arrives now."""
    if not tx.book.rules.approval_required or auto == "never":
        return
    column = assertions.c
    query = (
        select(people.c.id, people.c.sign_in_key, column.sign_in_key.label("asserted_key"))
        .join(assertions, (column.org_id == people.c.org_id) & (column.person_id == people.c.id))
        .where(
            column.org_id == tx.org_id,
            column.source_id == source_id,
            column.state == "live",
            people.c.approved.is_(False),
            people.c.deleted_at.is_(None),
        )
    )
    found = [
        PersonId(row.id)
        for row in tx.conn.execute(query.order_by(people.c.id))
        if approval.on_arrival(auto, row.asserted_key, tx.book.verified_domains)
    ]
    _approve(tx, found, name)


def _unapproved(tx: Tx, person_ids: Collection[PersonId]) -> list[PersonId]:
    query = select(people.c.id).where(
        people.c.org_id == tx.org_id, among(tx.conn, people.c.id, person_ids), people.c.approved.is_(False)
    )
    return [PersonId(each) for each in tx.conn.execute(query).scalars()] if person_ids else []


def _approve(tx: Tx, person_ids: Collection[PersonId], source: str) -> None:
    known = [person_id for person_id in person_ids if person_id not in tx.created]
    _write(tx, known, True)
    for person_id in person_ids:
        after = {"approved": True, "source": source}
        tx.record(Event(EventKind.PERSON_APPROVED, "person", person_id, {"approved": False}, after))


def _write(tx: Tx, person_ids: Collection[PersonId], value: bool) -> None:
    if person_ids:
        tx.conn.execute(
            update(people)
            .where(people.c.org_id == tx.org_id, among(tx.conn, people.c.id, person_ids))
            .values(approved=value, changed_at=not_before_stored(people.c.changed_at, tx.now))
        )


# ------------------------------------------------------------------------------ by time


async def lapse_due(door: Door, org_id: OrgId) -> int:
    """Write down whose approval has lapsed, since they were Inactive for 90 days; gives how many. A job.

    Whom somebody approves while they are Inactive stays so for 90 days from then.
    """
    ctx = Context(org_id, Actor("job", "approvals", "approvals"), "job", "approvals")
    total = 0
    while done := await door.run(ctx, _lapse):
        total += done
    return total


def _lapse(tx: Tx) -> int:
    if not tx.book.rules.approval_required:
        return 0
    found = _lapsed(tx, _long_inactive(tx).limit(_AT_ONCE))
    tx.touch(found)
    return len(found)


def lapse_of(tx: Tx, person_ids: Collection[PersonId]) -> list[PersonId]:
    """Of these, who are stored as Inactive, those whose approval has lapsed by now: it is written here.

    Whom this body approved is approved anew.
    """
    anew = {event.target_id for event in tx.events if event.kind == EventKind.PERSON_APPROVED}
    asked = [person_id for person_id in person_ids if person_id not in anew]
    return _lapsed(tx, _long_inactive(tx).where(among(tx.conn, people.c.id, asked))) if asked else []


def _lapsed(tx: Tx, query: Select[Any]) -> list[PersonId]:
    found = [PersonId(row.id) for row in tx.conn.execute(query)]
    _write(tx, found, False)
    for person_id in found:
        before, after = {"approved": True}, {"approved": False}
        tx.record(Event(EventKind.PERSON_APPROVAL_LAPSED, "person", person_id, before, after))
    return found


def _long_inactive(tx: Tx) -> Select[Any]:
    before, span = tx.now - approval.SURVIVES, status_spans.c
    otherwise_since = select(span.id).where(
        span.org_id == people.c.org_id,
        span.person_id == people.c.id,
        span.status != "inactive",
        span.until.is_(None) | (span.until > before),
    )
    return (
        select(people.c.id)
        .where(
            people.c.org_id == tx.org_id,
            people.c.status == "inactive",
            people.c.approved,
            people.c.deleted_at.is_(None),
            people.c.created_at <= before,
            ~otherwise_since.correlate(people).exists(),
            ~_lately_approved(before),
        )
        .order_by(people.c.id)
    )
