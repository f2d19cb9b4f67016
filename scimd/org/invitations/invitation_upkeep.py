"""Invitations follow their people: settling says what became of somebody, here it reaches the mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import bindparam, literal_column, select, update

from scimd.core.events import Event, EventKind
from scimd.core.invitations import mail_due
from scimd.core.people import PersonId, SourceId, address_key
from scimd.core.standing import CauseKind, SourceState, Standing, Status
from scimd.db.among import among, one_of
from scimd.db.prepared import Prepared
from scimd.db.tables import deliveries, invitations
from scimd.org.tx import Inviting, Tx

#: ``ended_by`` of an invitation that scimd cancelled itself, and of an expired one whose person is Inactive
#: since. It counts as none: a return makes a new one.
BY_SCIMD = "scimd"
_unsent = (deliveries.c.state == "staged") | (deliveries.c.state == "due")


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


@dataclass(frozen=True, slots=True)
class Pending:
    """An invitation that is open."""

    id: str
    person_id: PersonId
    address: str
    sent: bool
    reactivates: bool


def follow(tx: Tx, many: Sequence[FollowUp], pending: Mapping[PersonId, Pending]) -> None:
    """Open, push back or cancel the invitations of people who were just settled.

    Nothing here changes anybody's standing: an invitation that is opened, or cancelled by scimd,
    counts like none. ``pending``: the open invitations of these people.
    """
    concerned = [person for person in many if _is_concerned(person)]
    if not concerned:
        return
    opening: list[FollowUp] = []
    cancelling: list[Pending] = []
    moving: list[FollowUp] = []
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
            case "move" if invitation is not None:
                cancelling.append(invitation)
                moving.append(person)
            case "push" if invitation is not None:
                pushing.append(person.person_id)
    _cancel(tx, cancelling)
    _outlive(tx, [each.person_id for each in concerned if _leaves_unaccepted(each)])
    put_off(tx, pushing)
    _open(tx, opening)
    _invite_back_there(tx, moving)


def is_invited(person: FollowUp, invitation: Pending | None) -> bool:
    """Whether ``follow`` would owe them a mail that invites."""
    return _is_concerned(person) and _course(person, invitation) in ("open", "replace", "move")


def _is_concerned(person: FollowUp) -> bool:
    """Not: who has nothing to accept, now or before."""
    was_in = person.before is None or person.before.status is Status.ACTIVE
    return not (was_in and person.after.status is Status.ACTIVE)


def _leaves_unaccepted(person: FollowUp) -> bool:
    """Becomes Inactive, and may have had an invitation that has expired."""
    was_pending = person.before is not None and person.before.status is Status.PENDING
    return was_pending and person.after.status is Status.INACTIVE


_Course = Literal["open", "cancel", "replace", "move", "push", "leave"]


def _course(person: FollowUp, invitation: Pending | None) -> _Course:
    """needs an invitation, has one → what to do."""
    causes = {cause.kind for cause in person.after.causes}
    waits = CauseKind.WAITING_FOR_SEAT in causes
    wants = person.after.needs_invitation and not waits and person.address is not None
    if invitation is None:
        return "open" if wants else "leave"
    # The address of an invitation is fixed: whoever reads the old one's mail must not accept.
    moved = person.address is None or address_key(invitation.address) != address_key(person.address)
    if invitation.reactivates:
        if _only_deactivated(person.after):
            return "leave" if not moved else "cancel" if person.address is None else "move"
        return "replace" if wants else "cancel"
    if person.after.status is not Status.PENDING or CauseKind.SHADOW in causes:
        return "cancel"
    if wants:
        return "replace" if moved else "push" if person.changed else "leave"
    # Not approved, no project, waiting: what has been sent stays valid, what has not is not sent.
    return "leave" if invitation.sent and not moved else "cancel"


def _only_deactivated(standing: Standing) -> bool:
    """Nothing but an admin's deactivation makes the person Inactive, and accepting lifts that."""
    ends = [cause for cause in standing.causes if cause.kind in _ENDS]
    return bool(ends) and all(cause.kind is CauseKind.DEACTIVATED for cause in ends)


_ENDS = (CauseKind.DELETED, CauseKind.DEACTIVATED, CauseKind.DISABLED, CauseKind.DEPROVISIONED)


_i, _d = invitations.c, deliveries.c
_CANCEL = Prepared(
    update(invitations)
    .where(
        _i.org_id == bindparam("_org_id"),
        one_of(_i.person_id, "_people"),
        _i.is_pending == literal_column("1"),
    )
    .values(status="cancelled", ended_at=bindparam("_now"), ended_by=BY_SCIMD)
)
#: The mails of the one invitation that is, or was, pending: whatever ends one cancels its mails.
_theirs = (
    (_d.org_id == bindparam("_org_id"))
    & one_of(_d.person_id, "_people")
    & (_d.template == "invitation")
    & _unsent
)
_CANCEL_MAILS = Prepared(update(deliveries).where(_theirs).values(state="cancelled"))


def _cancel(tx: Tx, rows: Sequence[Pending]) -> None:
    if not rows:
        return
    people = [row.person_id for row in rows]
    _CANCEL.post(tx.conn, {"_org_id": tx.org_id, "_people": people, "_now": tx.now})
    cancel_mails(tx, people)
    for row in rows:
        after = {"person": row.person_id, "by": BY_SCIMD}
        tx.record(Event(EventKind.INVITATION_CANCELLED, "invitation", row.id, after=after))


_OUTLIVED = Prepared(
    update(invitations)
    .where(_i.org_id == bindparam("_org_id"), one_of(_i.person_id, "_people"), _i.status == "expired")
    .values(ended_by=BY_SCIMD)
)


def _outlive(tx: Tx, people: Sequence[PersonId]) -> None:
    """What expired before these people became Inactive keeps nobody out who returns."""
    if people:
        _OUTLIVED.post(tx.conn, {"_org_id": tx.org_id, "_people": people})


def forget(tx: Tx, person_ids: Sequence[PersonId]) -> None:
    """Behind these people may be others now: no invitation of before speaks of them, or leads in."""
    mine = (_i.org_id == tx.org_id) & among(tx.conn, _i.person_id, person_ids)
    query = select(_i.id, _i.person_id, _i.address).where(mine, _i.is_pending == 1)
    _cancel(
        tx,
        [
            Pending(row.id, PersonId(row.person_id), row.address, sent=False, reactivates=False)
            for row in tx.conn.execute(query)
        ],
    )
    tx.conn.execute(update(invitations).where(mine).values(void=True))


def cancel_mails(tx: Tx, people: Sequence[PersonId]) -> None:
    """Owe these people no mail of an invitation any more."""
    _CANCEL_MAILS.post(tx.conn, {"_org_id": tx.org_id, "_people": people})


# One that was tried already waits by its own back-off.
_untried = _theirs & (_d.attempts == 0)
_MAILS = Prepared(select(_d.id, _d.first_change_at, _d.due_at).where(_untried))
_PUT_OFF = Prepared(
    update(deliveries)
    .where(_d.org_id == bindparam("_org_id"), one_of(_d.id, "_ids"), _unsent, _d.attempts == 0)
    .values(due_at=bindparam("_due_at"))
)


def put_off(tx: Tx, people: Sequence[PersonId]) -> None:
    """Each change puts the mail off a little, so that a push of person, then groups gives one mail."""
    if not people:
        return
    # Most are due at one moment, to which another change has put them off already.
    moved: dict[datetime, list[str]] = {}
    for mail in _MAILS.all(tx.beside, {"_org_id": tx.org_id, "_people": people}):
        due = _due(tx, mail.first_change_at)
        if due != mail.due_at:
            moved.setdefault(due, []).append(mail.id)
    for due, ids in moved.items():
        _PUT_OFF.post(tx.beside, {"_org_id": tx.org_id, "_due_at": due, "_ids": ids})


def _due(tx: Tx, first_change: datetime) -> datetime:
    return mail_due(first_change, tx.now, timedelta(seconds=tx.settings.mail_delay_s), _longest(tx))


def _longest(tx: Tx) -> timedelta:
    return timedelta(seconds=tx.settings.mail_delay_at_most_s)


_INVITE, _OWE = Prepared(invitations.insert()), Prepared(deliveries.insert())


def _open(tx: Tx, many: Sequence[FollowUp]) -> None:
    if not many:
        return
    sources = tx.book.rules.sources
    rows = [
        new_row(
            tx,
            person.person_id,
            str(person.address),
            staged=person.source_state == "staged",
            invited_by=sources[person.source_id].name if person.source_id else None,
            source_id=person.source_id,
        )
        for person in many
    ]
    owe(tx, rows)


def _invite_back_there(tx: Tx, many: Sequence[FollowUp]) -> None:
    """What a hand said to somebody whom an admin deactivated, and their source has another address for."""
    if not many:
        return
    # The newest, which was theirs until now.
    column = invitations.c
    mine = (column.org_id == tx.org_id) & among(tx.conn, column.person_id, [each.person_id for each in many])
    query = select(invitations).where(mine, column.reactivates).order_by(column.created_at, column.id)
    old = {row.person_id: row for row in tx.conn.execute(query)}
    rows = []
    for person in many:
        was = old[person.person_id]
        said = Inviting(was.message, was.valid_s)
        new = new_row(tx, person.person_id, str(person.address), reactivates=True, said=said)
        rows.append({**new, "invited_by": was.invited_by, "invited_by_id": was.invited_by_id})
    owe(tx, rows)


def new_row(
    tx: Tx,
    person_id: PersonId,
    address: str,
    *,
    staged: bool = False,
    invited_by: str | None = None,
    source_id: SourceId | None = None,
    reactivates: bool = False,
    said: Inviting | None = None,
) -> dict[str, Any]:
    """A pending invitation, with what the hand that invites says in it (None: what this call's does)."""
    said = said or tx.inviting.get(person_id, Inviting())
    valid_s = tx.settings.invitation_valid_s if said.valid_s is None else said.valid_s
    return {
        "org_id": tx.org_id,
        "id": tx.new_id(),
        "person_id": person_id,
        "address": address,
        "status": "pending",
        "staged": staged,
        "reactivates": reactivates,
        "message": said.message,
        "invited_by": invited_by or tx.ctx.actor.name,
        "invited_by_id": tx.ctx.actor.id,
        "source_id": source_id,
        "valid_s": None if said.valid_s is None else round(said.valid_s),
        "created_at": tx.now,
        "expires_at": tx.now + timedelta(seconds=valid_s),
    }


def owe(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Write new invitations, and owe their mails."""
    _INVITE.many(tx.conn, rows)
    by_hand = tx.inviting
    _OWE.many(tx.conn, [mail(tx, row, at_once=row["person_id"] in by_hand) for row in rows])
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
