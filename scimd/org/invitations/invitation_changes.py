"""What admins and time do to invitations: sent again, copied, withdrawn, taken off the list, expired."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select, update

from scimd.core import invitations as rules
from scimd.core.errors import NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.invitations import Invitation, InvitationStatus
from scimd.core.links import sign
from scimd.core.people import InvitationId, OrgId, PersonId, address_key
from scimd.core.standing import CauseKind, Status, kinds_of
from scimd.db.tables import deliveries, invitations
from scimd.org import permissions
from scimd.org.invitations.invitation_list import InvitationRecord, invitation_of, one
from scimd.org.invitations.invitation_upkeep import BY_SCIMD, cancel_mails, mail
from scimd.org.invitations.invitations import as_it_is, hold, row_of
from scimd.org.tx import Actor, Context, Door, Tx
from scimd.org.users import by_hand

_AT_ONCE = 200


def _mine(tx: Tx, invitation_id: InvitationId) -> tuple[Any, Row[Any]]:
    """The invitation, and its person, locked, for a change by ``tx.ctx.actor``.

    Raises NotFound, also for one that was taken off the list, and what ``by_hand.person`` raises: who
    has the link becomes whom it invites.
    """
    row = row_of(tx.conn, tx.org_id, invitation_id)
    if row is None:
        raise NotFound("invitation", invitation_id)
    person = by_hand.person(tx, PersonId(row.person_id), also_deleted=True)
    row = row_of(tx.conn, tx.org_id, invitation_id)
    if row.hidden_at is not None:
        raise NotFound("invitation", invitation_id)
    return row, person


def _must_be_wanted(tx: Tx, row: Any, person: Row[Any]) -> None:
    """Raise NotAllowedNow where the person has a newer invitation, or comes in without one.

    The open one is the newest, also where another was made while the clock was ahead.
    An old link must not set the password of somebody who is here by now.
    """
    i = invitations.c
    newer = select(i.id).where(
        i.org_id == tx.org_id,
        i.person_id == row.person_id,
        i.id != row.id,
        (i.is_pending == 1) | ((i.created_at > row.created_at) & i.hidden_at.is_(None)),
    )
    if row.is_pending != 1 and tx.conn.execute(newer).first() is not None:
        raise NotAllowedNow(f"{person.display_name} has a newer invitation. Go by that one.")
    if person.deleted_at is not None:
        raise NotAllowedNow(f"{person.display_name} was deleted. Restore them first.")
    by_hand.must_be_invitable(person)
    if person.sign_in_key != address_key(row.address):
        raise NotAllowedNow(f"{person.display_name} has another address by now. Invite them there.")
    deactivated = CauseKind.DEACTIVATED in kinds_of(person.causes)
    here = deactivated if row.reactivates else person.status == Status.PENDING and not person.accepted
    if row.void or not here:
        raise NotAllowedNow(f"{person.display_name} needs no invitation, or a new one. This one is over.")


async def resend(door: Door, ctx: Context, invitation_id: InvitationId) -> InvitationRecord:
    """Owe a new mail at once; older links die. Also opens an expired invitation again.

    Raises SeatLimitReached where the person lost their seat with the old one and none is free,
    NotAllowedNow for one that is not the person's newest or of somebody who needs none, Forbidden.
    """
    permissions.require(ctx, "invitations.manage")

    def body(tx: Tx) -> InvitationRecord:
        row, person = _mine(tx, invitation_id)
        renewed = rules.resend(invitation_of(row), tx.now, _lifetime(tx, row))
        _must_be_wanted(tx, row, person)
        by_hand.not_too_often(tx, renewed.person_id)
        _renew(tx, renewed, sent_at=None)
        cancel_mails(tx, [PersonId(row.person_id)])
        owed = {"person_id": row.person_id, "id": row.id, "address": row.address, "staged": row.staged}
        tx.conn.execute(deliveries.insert().values(mail(tx, owed, at_once=True)))
        by_hand.wants_seat(tx, PersonId(row.person_id))
        after = {"person": row.person_id, "generation": renewed.generation}
        tx.record(Event(EventKind.INVITATION_RESENT, "invitation", row.id, after=after))
        return one(tx.conn, tx.org_id, invitation_id)

    return await door.run(ctx, body)


def _lifetime(tx: Tx, row: Any) -> timedelta:
    """As the hand that invited said, else as the config says."""
    return timedelta(seconds=tx.settings.invitation_valid_s if row.valid_s is None else row.valid_s)


def _renew(tx: Tx, invitation: Invitation, **more: Any) -> None:
    tx.conn.execute(
        update(invitations)
        .where(invitations.c.org_id == tx.org_id, invitations.c.id == invitation.id)
        .values(
            status=invitation.status.value,
            generation=invitation.generation,
            expires_at=invitation.expires_at,
            ended_at=None,
            ended_by=None,
            **more,
        )
    )


async def copy_link(door: Door, ctx: Context, invitation_id: InvitationId) -> str:
    """The token of a link to hand over; an expired invitation is renewed. Audited each time.

    Raises as ``resend`` does.
    """
    permissions.require(ctx, "invitations.manage")

    def body(tx: Tx) -> str:
        row, person = _mine(tx, invitation_id)
        was = as_it_is(tx.conn, row)
        renewed, link = rules.copy_link(was, tx.now, _lifetime(tx, row))
        _must_be_wanted(tx, row, person)
        if renewed != was:
            _renew(tx, renewed)
            by_hand.wants_seat(tx, renewed.person_id)
        after = {"person": row.person_id, "renewed": renewed != was}
        tx.record(Event(EventKind.INVITATION_LINK_COPIED, "invitation", row.id, after=after))
        return sign(link, tx.keys.live(rules.PURPOSE))

    return await door.run(ctx, body)


async def withdraw(door: Door, ctx: Context, invitation_id: InvitationId) -> InvitationRecord:
    """Pending → Cancelled, by hand. Raises InvitationClosed where it is over already."""
    permissions.require(ctx, "invitations.manage")

    def body(tx: Tx) -> InvitationRecord:
        row, _ = _mine(tx, invitation_id)
        rules.withdraw(invitation_of(row))
        _withdraw(tx, row)
        return one(tx.conn, tx.org_id, invitation_id)

    return await door.run(ctx, body)


def _withdraw(tx: Tx, row: Any) -> None:
    by = tx.ctx.actor.name
    tx.conn.execute(
        update(invitations)
        .where(invitations.c.org_id == tx.org_id, invitations.c.id == row.id)
        # An admin who calls himself like BY_SCIMD must not count as scimd.
        .values(status="cancelled", ended_at=tx.now, ended_by=f"{by} (admin)" if by == BY_SCIMD else by)
    )
    cancel_mails(tx, [PersonId(row.person_id)])
    tx.touch([PersonId(row.person_id)])
    after = {"person": row.person_id, "by": by}
    tx.record(Event(EventKind.INVITATION_CANCELLED, "invitation", row.id, after=after))


async def hide(door: Door, ctx: Context, invitation_id: InvitationId) -> None:
    """Delete from the list; the audit keeps it. One that is pending is withdrawn by it."""
    permissions.require(ctx, "invitations.manage")

    def body(tx: Tx) -> None:
        row, _ = _mine(tx, invitation_id)
        if row.status == InvitationStatus.PENDING:
            _withdraw(tx, row)
        tx.conn.execute(
            update(invitations)
            .where(invitations.c.org_id == tx.org_id, invitations.c.id == invitation_id)
            .values(hidden_at=tx.now)
        )
        tx.record(Event(EventKind.INVITATION_DELETED, "invitation", row.id, before={"person": row.person_id}))

    await door.run(ctx, body)


# ------------------------------------------------------------------------------ by time


async def expire_due(door: Door, org_id: OrgId) -> int:
    """Write down what the clock has done: pending invitations past their time are expired. A job.

    Their use was over at that moment already; here the status and the seat follow.
    """
    ctx = Context(org_id, Actor("job", "invitations", "expiry"), "job", "expiry")
    total = 0
    while count := await door.run(ctx, _expire_some):
        total += count
    return total


def _expire_some(tx: Tx) -> int:
    due = (
        (invitations.c.org_id == tx.org_id)
        & (invitations.c.status == "pending")
        & ~invitations.c.staged
        & (invitations.c.expires_at <= tx.now)
    )
    found = tx.conn.execute(
        select(invitations.c.id, invitations.c.person_id).where(due).limit(_AT_ONCE)
    ).all()
    if not found:
        return 0
    hold(tx, [row.person_id for row in found])
    ids = [row.id for row in found]
    rows = tx.conn.execute(
        update(invitations)
        .where(due, invitations.c.id.in_(ids))
        .values(status="expired", ended_at=tx.now)
        .returning(invitations.c.id, invitations.c.person_id)
    ).all()
    cancel_mails(tx, [PersonId(row.person_id) for row in rows])
    tx.touch(PersonId(row.person_id) for row in rows)
    for row in rows:
        after = {"person": row.person_id}
        tx.record(Event(EventKind.INVITATION_EXPIRED, "invitation", row.id, after=after))
    return len(rows)
