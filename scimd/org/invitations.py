"""Invitations as people use them: looked at, accepted, declined, sent again, withdrawn.

An invitation is a row with a generation and an expiry; its link is derived when it is needed and
stands nowhere (``core.links``). *Channel*: only a link that went by mail verifies the address. What
settling does to invitations stands in ``org.invitation_upkeep``.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from scimd.core import invitations as rules
from scimd.core.errors import InvalidValue, InvitationClosed, LinkInvalid, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.invitations import Invitation, InvitationStatus
from scimd.core.languages import ENGLISH, Language
from scimd.core.links import Link, sign, verify
from scimd.core.people import InvitationId, OrgId, PersonId, RoleName, fold
from scimd.core.roles import MEMBER, PROJECT_RANKS
from scimd.core.standing import Status
from scimd.db.locks import lock_rows
from scimd.db.tables import deliveries, grants, invitations, organizations, people, projects, sources
from scimd.org import correspondence, credentials, gates, passwords, permissions, sessions
from scimd.org.invitation_list import InvitationRecord, invitation_of, list_invitations, one
from scimd.org.invitation_upkeep import BY_SCIMD, Before, FollowUp, cancel_mails, follow, mail
from scimd.org.tx import Actor, Context, Door, Tx, uuid7

__all__ = [
    "BY_SCIMD",
    "Accepted",
    "Before",
    "FollowUp",
    "InvitationPage",
    "InvitationRecord",
    "InvitedTo",
    "accept",
    "copy_link",
    "decline",
    "expire_due",
    "follow",
    "list_invitations",
    "look",
    "resend",
    "withdraw",
]
_AT_ONCE = 200
_NAME_AT_MOST = 256


@dataclass(frozen=True, slots=True)
class InvitedTo:
    """A project that waits for an invited person, and what they will be there."""

    name: str
    role: str


@dataclass(frozen=True, slots=True)
class InvitationPage:
    """What the invited person sees. ``managed_by``: the source that owns their name, or None."""

    org_id: OrgId
    org_slug: str
    organization: str
    person_id: PersonId
    display_name: str
    address: str
    invited_by: str
    message: str | None
    projects: tuple[InvitedTo, ...]
    managed_by: str | None
    expires_at: datetime
    language: Language


@dataclass(frozen=True, slots=True)
class Accepted:
    """``session`` is the cookie's text; None where something else still stands against coming in."""

    org_slug: str
    person_id: PersonId
    session: str | None
    causes: tuple[str, ...] = ()
    #: The person's, for the page that answers.
    language: Language = ENGLISH


# ------------------------------------------------------------------------------ by link


def _open(token: str, door: Door) -> Link:
    return verify(token, rules.PURPOSE, door.keys.live(rules.PURPOSE))


def _row(conn: Connection, org_id: str, invitation_id: str) -> Any:
    return conn.execute(
        select(
            invitations,
            organizations.c.slug,
            organizations.c.name.label("organization"),
            organizations.c.settings,
            people.c.display_name,
            people.c.sign_in_key,
            people.c.owner_source_id,
            people.c.profile,
            people.c.deleted_at,
            sources.c.name.label("owner"),
        )
        .join(people, (people.c.org_id == invitations.c.org_id) & (people.c.id == invitations.c.person_id))
        .join(organizations, organizations.c.id == invitations.c.org_id)
        .outerjoin(
            sources, (sources.c.org_id == people.c.org_id) & (sources.c.id == people.c.owner_source_id)
        )
        .where(invitations.c.org_id == org_id, invitations.c.id == invitation_id)
    ).first()


def _checked(conn: Connection, link: Link, now: datetime) -> Any:
    """The row that the link opens, now. Raises LinkInvalid and InvitationClosed."""
    row = _row(conn, link.org, link.record)
    if row is None:
        raise LinkInvalid
    rules.check(invitation_of(row), link, now)
    if row.deleted_at is not None:
        raise InvitationClosed("cancelled")
    return row


async def look(door: Door, token: str) -> InvitationPage:
    """What the page shows. Looking spends nothing: mail scanners open links too."""
    link, now = _open(token, door), door.clock()

    def body(conn: Connection) -> InvitationPage:
        row = _checked(conn, link, now)
        return InvitationPage(
            org_id=OrgId(row.org_id),
            org_slug=row.slug,
            organization=row.organization,
            person_id=PersonId(row.person_id),
            display_name=row.display_name,
            address=row.address,
            invited_by=row.invited_by,
            message=row.message,
            projects=projects_of(conn, OrgId(row.org_id), PersonId(row.person_id)),
            managed_by=row.owner,
            expires_at=row.expires_at,
            language=correspondence.language(conn, row, row.settings),
        )

    return await door.read(body)


def projects_of(conn: Connection, org_id: OrgId, person_id: PersonId) -> tuple[InvitedTo, ...]:
    """The projects that wait for the person, by name, each with their strongest role in it."""
    query = (
        select(projects.c.name, grants.c.project_role)
        .join(grants, (grants.c.org_id == projects.c.org_id) & (grants.c.target == projects.c.id))
        .where(
            grants.c.org_id == org_id,
            grants.c.person_id == person_id,
            grants.c.kind == "project",
            grants.c.until.is_(None),
            projects.c.archived_at.is_(None),
        )
        .order_by(projects.c.name)
    )
    found: dict[str, str] = {}
    for name, role in conn.execute(query):
        if name not in found or _rank(role) > _rank(found[name]):
            found[name] = role or MEMBER
    return tuple(InvitedTo(name, role) for name, role in found.items())


def _rank(role: str | None) -> int:
    return PROJECT_RANKS.get(RoleName(role or MEMBER), 0)


async def accept(
    door: Door, token: str, *, password: str, name: str | None = None, ip: str = "", user_agent: str = ""
) -> Accepted:
    """Accept: the password is stored, the person settled, and where nothing else stands against it
    they are signed in.

    Of any number of acceptances at once one wins. ``name`` counts only for a person whom no source
    owns. Raises LinkInvalid, InvitationClosed (also for somebody who was deprovisioned since),
    WeakPassword, InvalidValue, and whatever settling refuses; then nothing was changed.
    """
    link = _open(token, door)
    now = door.clock()
    row = await door.read(lambda conn: _checked(conn, link, now))
    wanted_name = _proper_name(name)
    passwords.check(password, (row.address, row.display_name, row.organization, row.slug, "scimd"))
    hashed = await passwords.hashed(password)

    def body(tx: Tx) -> Accepted:
        spent = _spend(tx, link, row.person_id, InvitationStatus.ACCEPTED)
        person_id = PersonId(spent.person_id)
        credentials.set_password(tx, person_id, hashed)
        _let_in(tx, spent, link, wanted_name)
        after = {"person": person_id, "channel": link.channel}
        tx.record(Event(EventKind.INVITATION_ACCEPTED, "invitation", spent.id, after=after))
        language = correspondence.language(tx.conn, spent, spent.settings)
        return Accepted(spent.slug, person_id, None, language=language)

    def then(tx: Tx, accepted: Accepted) -> Accepted:
        return _signed_in(tx, accepted, ip, user_agent)

    return await door.run(_context(door, link, row), body, then=then)


def _proper_name(name: str | None) -> str | None:
    text = " ".join((name or "").split())
    if len(text) > _NAME_AT_MOST or not text.isprintable():
        raise InvalidValue("name", f"must be text of at most {_NAME_AT_MOST} characters")
    return text or None


def _context(door: Door, link: Link, row: Any) -> Context:
    correlation_id = uuid7(door.clock(), secrets.token_bytes(10))
    return Context(OrgId(link.org), Actor("person", row.person_id, row.address), "web", correlation_id)


def _spend(tx: Tx, link: Link, person_id: str, status: InvitationStatus) -> Any:
    """Close the invitation by its link: one conditional UPDATE, after which the row is read."""
    _hold(tx, [person_id])
    won = tx.conn.execute(
        update(invitations)
        .where(
            invitations.c.org_id == tx.org_id,
            invitations.c.id == link.record,
            invitations.c.generation == link.generation,
            invitations.c.status == "pending",
            invitations.c.used_at.is_(None),
            invitations.c.expires_at > tx.now,
        )
        .values(status=status.value, used_at=tx.now, ended_at=tx.now, ended_by=tx.ctx.actor.name)
    )
    if won.rowcount != 1:
        row = _checked(tx.conn, link, tx.now)  # says why, as a rule
        raise InvitationClosed(row.status)
    cancel_mails(tx, [link.record])
    return _row(tx.conn, link.org, link.record)


def _let_in(tx: Tx, row: Any, link: Link, name: str | None) -> None:
    values: dict[str, Any] = {"accepted": True, "changed_at": tx.now}
    # The address of the invitation is proved; whether it is still the person's is another question.
    if rules.verifies_address(link) and fold(row.address) == row.sign_in_key:
        values["address_verified_at"] = tx.now
    if name and row.owner_source_id is None:
        values["display_name"] = name
        values["profile"] = {**row.profile, "displayName": name}
    tx.conn.execute(
        update(people).where(people.c.org_id == tx.org_id, people.c.id == row.person_id).values(**values)
    )
    if row.reactivates:
        gates.lift(tx, PersonId(row.person_id), "deactivated")
        gates.wants_seat_by_hand(tx, PersonId(row.person_id))
    tx.touch([PersonId(row.person_id)])


def _signed_in(tx: Tx, accepted: Accepted, ip: str, user_agent: str) -> Accepted:
    """Look at what settling made of it: whoever a directory deprovisioned is not revived."""
    row = tx.conn.execute(
        select(people.c.status, people.c.causes).where(
            people.c.org_id == tx.org_id, people.c.id == accepted.person_id
        )
    ).one()
    if row.status == Status.INACTIVE:
        raise InvitationClosed("cancelled")
    if row.status != Status.ACTIVE:
        return replace(accepted, causes=tuple(row.causes))
    if credentials.kinds_of(tx.conn, tx.org_id, accepted.person_id):
        return accepted  # back again: they sign in by both
    text = sessions.start(tx, accepted.person_id, ip, user_agent, how="link")
    return replace(accepted, session=text)


async def decline(door: Door, token: str) -> Language:
    """Decline: the invitation is over, and the seat that it held is free. Gives the person's language."""
    link = _open(token, door)
    now = door.clock()
    row = await door.read(lambda conn: _checked(conn, link, now))

    def body(tx: Tx) -> Language:
        _spend(tx, link, row.person_id, InvitationStatus.DECLINED)
        tx.touch([PersonId(row.person_id)])
        after = {"person": row.person_id}
        tx.record(Event(EventKind.INVITATION_DECLINED, "invitation", row.id, after=after))
        return correspondence.language(tx.conn, row, row.settings)

    return await door.run(_context(door, link, row), body)


# ------------------------------------------------------------------------------ by an admin


def _mine(tx: Tx, invitation_id: InvitationId) -> Any:
    row = _row(tx.conn, tx.org_id, invitation_id)
    if row is None:
        raise NotFound("invitation", invitation_id)
    _hold(tx, [row.person_id])
    return _row(tx.conn, tx.org_id, invitation_id)


def _hold(tx: Tx, person_ids: Sequence[str]) -> None:
    """Lock the people before their invitations, as settling does: the other order can deadlock."""
    mine = (people.c.org_id == tx.org_id) & people.c.id.in_(person_ids)
    lock_rows(tx.conn, select(people.c.id).where(mine).order_by(people.c.id))


async def resend(door: Door, ctx: Context, invitation_id: InvitationId) -> InvitationRecord:
    """Owe a new mail at once; older links die. Also opens an expired invitation again.

    Raises SeatLimitReached where the person lost their seat with the old one and none is free.
    """
    permissions.require(ctx, "invitations.manage")

    def body(tx: Tx) -> InvitationRecord:
        row = _mine(tx, invitation_id)
        renewed = rules.resend(invitation_of(row), tx.now, _lifetime(tx))
        _renew(tx, renewed, sent_at=None)
        cancel_mails(tx, [row.id])
        owed = {"person_id": row.person_id, "id": row.id, "address": row.address, "staged": row.staged}
        tx.conn.execute(deliveries.insert().values(mail(tx, owed, at_once=True)))
        _ask_for_seat(tx, PersonId(row.person_id))
        after = {"person": row.person_id, "generation": renewed.generation}
        tx.record(Event(EventKind.INVITATION_RESENT, "invitation", row.id, after=after))
        return one(tx.conn, tx.org_id, invitation_id)

    return await door.run(ctx, body)


def _ask_for_seat(tx: Tx, person_id: PersonId) -> None:
    """An invitation that is open again needs a seat; a hand that finds none is told so."""
    tx.seat_policy = "reject"
    tx.refuse_without_seat.add(person_id)
    tx.touch([person_id])


def _lifetime(tx: Tx) -> timedelta:
    return timedelta(seconds=tx.settings.invitation_valid_s)


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

    Raises SeatLimitReached as ``resend`` does.
    """
    permissions.require(ctx, "invitations.manage")

    def body(tx: Tx) -> str:
        row = _mine(tx, invitation_id)
        was = invitation_of(row)
        renewed, link = rules.copy_link(was, tx.now, _lifetime(tx))
        if renewed != was:
            _renew(tx, renewed)
            _ask_for_seat(tx, renewed.person_id)
        after = {"person": row.person_id, "renewed": renewed != was}
        tx.record(Event(EventKind.INVITATION_LINK_COPIED, "invitation", row.id, after=after))
        return sign(link, tx.keys.live(rules.PURPOSE))

    return await door.run(ctx, body)


async def withdraw(door: Door, ctx: Context, invitation_id: InvitationId) -> InvitationRecord:
    """Pending → Cancelled, by hand. Raises InvitationClosed where it is over already."""
    permissions.require(ctx, "invitations.manage")

    def body(tx: Tx) -> InvitationRecord:
        row = _mine(tx, invitation_id)
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
    cancel_mails(tx, [row.id])
    tx.touch([PersonId(row.person_id)])
    after = {"person": row.person_id, "by": by}
    tx.record(Event(EventKind.INVITATION_CANCELLED, "invitation", row.id, after=after))


async def hide(door: Door, ctx: Context, invitation_id: InvitationId) -> None:
    """Delete from the list; the audit keeps it. One that is pending is withdrawn by it."""
    permissions.require(ctx, "invitations.manage")

    def body(tx: Tx) -> None:
        row = _mine(tx, invitation_id)
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
    _hold(tx, [row.person_id for row in found])
    ids = [row.id for row in found]
    rows = tx.conn.execute(
        update(invitations)
        .where(due, invitations.c.id.in_(ids))
        .values(status="expired", ended_at=tx.now)
        .returning(invitations.c.id, invitations.c.person_id)
    ).all()
    cancel_mails(tx, [row.id for row in rows])
    tx.touch(PersonId(row.person_id) for row in rows)
    for row in rows:
        after = {"person": row.person_id}
        tx.record(Event(EventKind.INVITATION_EXPIRED, "invitation", row.id, after=after))
    return len(rows)
