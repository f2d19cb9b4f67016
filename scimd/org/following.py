"""Invitations follow their people: settling says what became of somebody, here it reaches the mail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import bindparam, select, update

from scimd.core.events import Event, EventKind
from scimd.core.invitations import mail_due
from scimd.core.people import PersonId, SourceId, fold
from scimd.core.standing import CauseKind, SourceState, Standing, Status
from scimd.db.tables import deliveries, invitations, sources
from scimd.org.tx import Tx

#: ``ended_by`` of an invitation that scimd cancelled itself. It counts as none: a return makes a new one.
BY_SCIMD = "scimd"
_UNSENT = ("staged", "due")


# ------------------------------------------------------------------------------ following people


@dataclass(frozen=True, slots=True)
class Before:
    """What was stored of the person before this settling."""

    status: Status
    has_seat: bool


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A settled person. ``source_*`` and ``invite`` are the owner's (None: a local person).

    ``before`` None: they are new. ``changed``: this transaction changed anything about them, which
    pushes a mail back that has not left.
    """

    person_id: PersonId
    address: str | None
    display_name: str
    source_id: SourceId | None
    source_state: SourceState | None
    invite: Literal["immediate", "never"]
    before: Before | None
    after: Standing
    changed: bool = True


def follow(tx: Tx, many: Sequence[FollowUp]) -> None:
    """Open, push back or cancel the invitations of people who were just settled.

    Nothing here changes anybody's standing: an invitation that is opened, or cancelled by scimd,
    counts like none.
    """
    concerned = [person for person in many if _is_concerned(person)]
    if not concerned:
        return
    pending = _pending(tx, [person.person_id for person in concerned])
    opening: list[FollowUp] = []
    cancelling: list[_Pending] = []
    pushing: list[PersonId] = []
    for person in concerned:
        invitation = pending.get(person.person_id)
        match _course(person, invitation):
            case "open":
                opening.append(person)
            case "cancel" if invitation is not None:
                cancelling.append(invitation)
            case "replace" if invitation is not None:
                cancelling.append(invitation)
                opening.append(person)
            case "push":
                pushing.append(person.person_id)
    _cancel(tx, cancelling)
    _push_back(tx, pushing)
    _open(tx, opening)


def _is_concerned(person: FollowUp) -> bool:
    """Not: who has nothing to accept, now or before."""
    was_in = person.before is None or person.before.status is Status.ACTIVE
    return not (was_in and person.after.status is Status.ACTIVE)


_Course = Literal["open", "cancel", "replace", "push", "leave"]


def _course(person: FollowUp, invitation: _Pending | None) -> _Course:
    """needs an invitation, has one → what to do."""
    waits = any(cause.kind is CauseKind.WAITING_FOR_SEAT for cause in person.after.causes)
    wants = person.after.needs_invitation and not waits and person.address is not None
    if invitation is None:
        return "open" if wants else "leave"
    if person.after.status is not Status.PENDING:
        return "cancel"
    if wants:
        # The address of an invitation is fixed: whoever reads the old one's mail must not accept.
        moved = fold(invitation.address) != fold(str(person.address))
        return "replace" if moved else "push" if person.changed else "leave"
    # Not approved, no project, waiting: what has been sent stays valid, what has not is not sent.
    return "leave" if invitation.sent else "cancel"


@dataclass(frozen=True, slots=True)
class _Pending:
    id: str
    person_id: PersonId
    address: str
    sent: bool


def _pending(tx: Tx, people: Sequence[PersonId]) -> dict[PersonId, _Pending]:
    rows = tx.conn.execute(
        select(invitations.c.id, invitations.c.person_id, invitations.c.address, invitations.c.sent_at).where(
            invitations.c.org_id == tx.org_id,
            invitations.c.person_id.in_(people),
            invitations.c.status == "pending",
        )
    )
    found = [_Pending(row.id, row.person_id, row.address, row.sent_at is not None) for row in rows]
    return {pending.person_id: pending for pending in found}


def _cancel(tx: Tx, rows: Sequence[_Pending]) -> None:
    if not rows:
        return
    ids = [row.id for row in rows]
    tx.conn.execute(
        update(invitations)
        .where(
            invitations.c.org_id == tx.org_id, invitations.c.id.in_(ids), invitations.c.status == "pending"
        )
        .values(status="cancelled", ended_at=tx.now, ended_by=BY_SCIMD)
    )
    cancel_mails(tx, ids)
    for row in rows:
        after = {"person": row.person_id, "by": BY_SCIMD}
        tx.record(Event(EventKind.INVITATION_CANCELLED, "invitation", row.id, after=after))


def cancel_mails(tx: Tx, invitation_ids: Sequence[str]) -> None:
    """Owe no mail of these invitations any more."""
    tx.conn.execute(
        update(deliveries)
        .where(
            deliveries.c.org_id == tx.org_id,
            deliveries.c.invitation_id.in_(invitation_ids),
            deliveries.c.state.in_(_UNSENT),
        )
        .values(state="cancelled")
    )


def _push_back(tx: Tx, people: Sequence[PersonId]) -> None:
    """Each change puts the mail off a little, so that a push of person, then groups gives one mail."""
    if not people:
        return
    rows = tx.conn.execute(
        select(deliveries.c.id, deliveries.c.first_change_at).where(
            deliveries.c.org_id == tx.org_id,
            deliveries.c.person_id.in_(people),
            deliveries.c.template == "invitation",
            deliveries.c.state.in_(_UNSENT),
            # One that was tried already waits by its own back-off.
            deliveries.c.attempts == 0,
        )
    ).all()
    if rows:
        tx.conn.execute(
            update(deliveries)
            .where(deliveries.c.org_id == tx.org_id, deliveries.c.id == bindparam("mail"))
            .values(due_at=bindparam("later")),
            [{"mail": row.id, "later": _due(tx, row.first_change_at)} for row in rows],
        )


def _due(tx: Tx, first_change: datetime) -> datetime:
    return mail_due(
        first_change,
        tx.now,
        timedelta(seconds=tx.settings.mail_delay_s),
        _longest(tx),
    )


def _longest(tx: Tx) -> timedelta:
    return timedelta(seconds=tx.settings.mail_delay_at_most_s)


def _open(tx: Tx, many: Sequence[FollowUp]) -> None:
    if not many:
        return
    names = _source_names(tx, {person.source_id for person in many})
    rows: list[dict[str, Any]] = [
        {
            "org_id": tx.org_id,
            "id": tx.new_id(),
            "person_id": person.person_id,
            "address": person.address,
            "status": "pending",
            "staged": person.source_state == "staged",
            "invited_by": names.get(person.source_id or "", tx.ctx.actor.name),
            "source_id": person.source_id,
            "created_at": tx.now,
            "expires_at": tx.now + timedelta(seconds=tx.settings.invitation_valid_s),
        }
        for person in many
    ]
    tx.conn.execute(invitations.insert(), rows)
    tx.conn.execute(deliveries.insert(), [mail(tx, row) for row in rows])
    for row in rows:
        after = {"person": row["person_id"], "address": row["address"], "staged": row["staged"]}
        tx.record(Event(EventKind.INVITATION_CREATED, "invitation", row["id"], after=after))


def mail(tx: Tx, invitation: dict[str, Any], *, at_once: bool = False) -> dict[str, Any]:
    """The delivery row that an invitation owes; ``at_once`` where a hand asked for it."""
    return {
        "org_id": tx.org_id,
        "id": tx.new_id(),
        "kind": "mail",
        "template": "invitation",
        "person_id": invitation["person_id"],
        "invitation_id": invitation["id"],
        "address": invitation["address"],
        "params": {},
        "state": "staged" if invitation["staged"] else "due",
        # A first change long ago: no later change puts this one off.
        "first_change_at": tx.now - _longest(tx) if at_once else tx.now,
        "due_at": tx.now if at_once else _due(tx, tx.now),
        "created_at": tx.now,
    }


def _source_names(tx: Tx, ids: Iterable[SourceId | None]) -> dict[str, str]:
    wanted = [source_id for source_id in ids if source_id]
    if not wanted:
        return {}
    rows = tx.conn.execute(
        select(sources.c.id, sources.c.name).where(sources.c.org_id == tx.org_id, sources.c.id.in_(wanted))
    )
    return {row.id: row.name for row in rows}
