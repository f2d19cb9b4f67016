"""Gates: decisions by hand about a person's access, which no push undoes.

*Deactivated* is lifted by Reactivate, or by accepting a new invitation; *disabled* by Enable only;
*deleted* hides the person, can be restored for 30 days, and is then purged (``org.users.purging``).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, select, update
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import NotAllowedNow, NotFound, NotUnique, OwnedBySource
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.core.standing import Status
from scimd.db.locks import insert_ignore
from scimd.db.tables import gates, people
from scimd.org import permissions
from scimd.org.authentication import links
from scimd.org.identities import merged
from scimd.org.organizations import domains
from scimd.org.settling import admission, profiles
from scimd.org.tx import Actor, Context, Door, Tx
from scimd.org.users import by_hand, leaving, returning

RESTORABLE_FOR = timedelta(days=30)
GateKind = Literal["deactivated", "disabled", "deleted"]
_VERBS: dict[GateKind, str] = {"deactivated": "deactivate", "disabled": "disable", "deleted": "delete"}
_CLOSED: dict[GateKind, EventKind] = {
    "deactivated": EventKind.PERSON_DEACTIVATED,
    "disabled": EventKind.PERSON_DISABLED,
    "deleted": EventKind.PERSON_DELETED,
}


async def deactivate(door: Door, ctx: Context, person_id: PersonId) -> None:
    """Access and seat go at once, account and grants stay, dormant. Deactivating twice changes nothing.

    Raises Forbidden, NotFound, OwnAccount, and Protected for the last Account Admin.
    """
    permissions.require(ctx, "users.manage")
    await door.run(ctx, lambda tx: _close(tx, by_hand.person(tx, person_id), "deactivated"))


async def disable(door: Door, ctx: Context, person_id: PersonId) -> None:
    """Signed out and locked, until Enable. Raises what ``deactivate`` raises."""
    permissions.require(ctx, "users.manage")
    await door.run(ctx, lambda tx: _close(tx, by_hand.person(tx, person_id), "disabled"))


async def reactivate(door: Door, ctx: Context, person_id: PersonId) -> None:
    """Lift a deactivation by an admin; what lay dormant comes back, if there is a seat.

    Raises SeatLimitReached with the figures, and NotAllowedNow where no admin deactivated them: it
    names the source that did, or the command that helps; and for a service account whose end has come.
    """
    await _open(door, ctx, person_id, "deactivated", EventKind.PERSON_REACTIVATED)


async def enable(door: Door, ctx: Context, person_id: PersonId) -> None:
    """Lift a disabling. Raises what ``reactivate`` raises."""
    await _open(door, ctx, person_id, "disabled", EventKind.PERSON_ENABLED)


def _close(tx: Tx, row: Row[Any], kind: GateKind) -> bool:
    """Close a gate; False where it was closed already."""
    by_hand.not_oneself(tx, PersonId(row.id), _VERBS[kind])
    gate = {"org_id": tx.org_id, "person_id": row.id, "kind": kind, "by": tx.ctx.actor.name, "at": tx.now}
    if tx.conn.execute(insert_ignore(tx.conn, gates), gate).rowcount == 0:
        return False
    tx.leaving.add(PersonId(row.id))
    before = {"status": row.status, "causes": row.causes, "display_name": row.display_name}
    tx.record(Event(_CLOSED[kind], "person", row.id, before=before))
    return True


async def _open(door: Door, ctx: Context, person_id: PersonId, kind: GateKind, event: EventKind) -> None:
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> None:
        row = by_hand.person(tx, person_id)
        if admission.is_over(row.expires_at, tx.now):
            raise NotAllowedNow(
                f"The time of {row.display_name} is over. Give it a later end first, or none."
            )
        if not lift(tx, person_id, kind):
            raise NotAllowedNow(_why_not(tx, row, kind))
        links.reopen_way_in(tx, row)
        by_hand.wants_seat(tx, person_id)
        tx.record(Event(event, "person", person_id, before={"status": row.status, "causes": row.causes}))

    await door.run(ctx, body, then=lambda tx, _: links.owe_way_in(tx, person_id))


async def end_expired(door: Door, org_id: OrgId) -> int:
    """Deactivate the service accounts that have expired; their tokens are dead before. A job."""
    ctx = Context(org_id, Actor("job", "expiry", "expiry"), "job", "expiry")

    def body(tx: Tx) -> int:
        due = select(people.c.id).where(people.c.org_id == tx.org_id, expired(tx.now)).order_by(people.c.id)
        rows = [by_hand.locked(tx, PersonId(each)) for each in tx.conn.execute(due).scalars()]
        for row in rows:
            _close(tx, row, "deactivated")
            tx.touch([PersonId(row.id)])
        return len(rows)

    return await door.run(ctx, body)


def expired(now: datetime) -> ColumnElement[bool]:
    """Of service accounts that are over, and not written down as such."""
    return and_(people.c.expires_at <= now, people.c.deleted_at.is_(None), people.c.status == Status.ACTIVE)


def lift(tx: Tx, person_id: PersonId, kind: GateKind) -> bool:
    """Take the gate away and have the person settled; False where it was not closed."""
    mine = (gates.c.org_id == tx.org_id) & (gates.c.person_id == person_id) & (gates.c.kind == kind)
    tx.touch([person_id])
    return tx.conn.execute(gates.delete().where(mine)).rowcount > 0


def _why_not(tx: Tx, row: Row[Any], kind: GateKind) -> str:
    query = select(gates.c.kind).where(gates.c.org_id == tx.org_id, gates.c.person_id == row.id)
    closed = set(tx.conn.execute(query).scalars())
    if kind == "deactivated" and "disabled" in closed:
        return f"{row.display_name} is disabled, not deactivated. Enable them instead."
    if kind == "disabled" and "deactivated" in closed:
        return f"{row.display_name} is deactivated, not disabled. Reactivate them instead."
    if source := by_hand.deprovisioned_by(row):
        return by_hand.reactivate_there(row, source)
    return f"{row.display_name} is not {kind}."


# ------------------------------------------------------------------------------ delete, restore


async def delete(door: Door, ctx: Context, person_id: PersonId) -> None:
    """Hide the person; their seat is free. Restorable for 30 days.

    Raises OwnedBySource while a source asserts them, NotAllowedNow for an Account Admin, who is
    demoted first, OwnAccount, Forbidden, NotFound.
    """
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> None:
        by_hand.not_oneself(tx, person_id, "delete")
        row = by_hand.person(tx, person_id)
        must_be_nobodys(tx.conn, row)
        bury(tx, row)

    await door.run(ctx, body)


def must_be_nobodys(conn: Connection, row: Row[Any]) -> None:
    """Raise OwnedBySource while a source asserts the person, NotAllowedNow for an Account Admin."""
    if sources := by_hand.asserting(conn, row.org_id, row.id):
        raise OwnedBySource(row.display_name, sources[0].name)
    if ACCOUNT_ADMIN in row.roles:
        raise NotAllowedNow(f"{row.display_name} is an Account Admin. Give them another role first.")


def bury(tx: Tx, row: Row[Any]) -> None:
    """Hide the person and free what was theirs alone: seat, name, address."""
    _close(tx, row, "deleted")
    leaving.bury(tx, [row])


async def restore(door: Door, ctx: Context, person_id: PersonId) -> None:
    """Bring back somebody who was deleted, by hand or by a source, within 30 days; nobody who was merged.

    Whom a source deleted stays deprovisioned by it until it asserts them again, or they are detached.
    Somebody local whose address is in a domain that is another organization's by now has none. Raises
    NotFound afterwards, NotUnique where somebody else has the address by now, SeatLimitReached.
    """
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> None:
        by_hand.makes_no_operator(tx.conn, tx.ctx)
        row = by_hand.person(tx, person_id, also_deleted=True)
        if row.deleted_at is None:
            raise NotAllowedNow(f"{row.display_name} is not deleted.")
        if row.deleted_at <= tx.now - RESTORABLE_FOR:
            raise NotFound("person", person_id)
        if merged.into(tx.conn, tx.org_id, person_id):
            raise NotAllowedNow(f"{row.display_name} was merged into another person. Unmerge them instead.")
        returning.restore(tx, [row])
        if row.owner_source_id is None:
            take_address_back(tx, row)
        lift(tx, person_id, "deleted")
        links.reopen_way_in(tx, row)
        by_hand.wants_seat(tx, person_id)

    await door.run(ctx, body, then=lambda tx, _: links.owe_way_in(tx, person_id))


def take_address_back(tx: Tx, row: Row[Any]) -> bool:
    """Whether somebody local who is back has the address of before. Raises NotUnique.

    They have none where its domain is another organization's by now; a question says so.
    """
    if row.sign_in_key is None:
        return False
    if not domains.is_open(tx, row.sign_in_key):
        profiles.ask_without(tx, row, profiles.own_keys(row), closed=True)
        return False
    if (holder := profiles.holder_of(tx, row.sign_in_key, row.id)) is not None:
        raise NotUnique("email", row.sign_in_address, holder)
    tx.conn.execute(
        update(people)
        .where(people.c.org_id == tx.org_id, people.c.id == row.id)
        .values(sign_in_address=row.sign_in_address, sign_in_key=row.sign_in_key)
    )
    return True
