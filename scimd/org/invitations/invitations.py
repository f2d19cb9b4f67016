"""Invitations as the invited use them, by their link: looked at, accepted, declined.

An invitation is a row with a generation and an expiry; its link is derived when it is needed and
stands nowhere (``core.links``). *Channel*: only a link that went by mail verifies the address. What
admins and time do to invitations stands in ``org.invitations.invitation_changes``, what settling does in
``org.invitations.invitation_upkeep``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from scimd.core import invitations as rules
from scimd.core.errors import InvitationClosed, LinkInvalid
from scimd.core.events import Event, EventKind
from scimd.core.invitations import Invitation, InvitationStatus
from scimd.core.languages import ENGLISH, Language
from scimd.core.links import Link, verify
from scimd.core.people import OrgId, PersonId, address_key
from scimd.core.roles import strongest
from scimd.core.standing import CauseKind, Status
from scimd.core.words import DISPLAY_NAME_AT_MOST, must_be_line
from scimd.db.last_changed import not_before_stored
from scimd.db.locks import lock_rows
from scimd.db.tables import grants, invitations, organizations, people, projects, roles, sources
from scimd.org.authentication import credentials, passwords, sessions
from scimd.org.invitations.invitation_list import invitation_of
from scimd.org.invitations.invitation_upkeep import cancel_mails
from scimd.org.mails import correspondence
from scimd.org.settling import facts
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand, gates
from scimd.org.users.names import shown_as


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
    """``session`` is the cookie's text; None where ``causes`` still stand against coming in, and for
    whoever has a ``second_factor``: they sign in by both."""

    org_slug: str
    person_id: PersonId
    session: str | None
    causes: tuple[str, ...] = ()
    second_factor: bool = False
    #: The person's, for the page that answers.
    language: Language = ENGLISH


# ------------------------------------------------------------------------------ by link


def _open(token: str, door: Door) -> Link:
    return verify(token, rules.PURPOSE, door.keys.live(rules.PURPOSE))


def row_of(conn: Connection, org_id: str, invitation_id: str) -> Any:
    """The invitation with its person, its organization and the person's owner; None where there is none."""
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
            people.c.accepted,
            sources.c.name.label("owner"),
        )
        .join(people, (people.c.org_id == invitations.c.org_id) & (people.c.id == invitations.c.person_id))
        .join(organizations, organizations.c.id == invitations.c.org_id)
        .outerjoin(
            sources, (sources.c.org_id == people.c.org_id) & (sources.c.id == people.c.owner_source_id)
        )
        .where(invitations.c.org_id == org_id, invitations.c.id == invitation_id)
    ).first()


def as_it_is(conn: Connection, row: Any) -> Invitation:
    """The invitation with whom it invites at present."""
    held = select(roles.c.permissions).join(
        grants, (grants.c.org_id == roles.c.org_id) & (grants.c.target == roles.c.name)
    )
    held = held.where(
        grants.c.org_id == row.org_id,
        grants.c.person_id == row.person_id,
        grants.c.kind == "role",
        grants.c.until.is_(None),
    )
    power = {permission for each in conn.execute(held).scalars() for permission in each}
    said = [each.source_id for each in by_hand.asserting(conn, row.org_id, row.person_id)]
    return replace(invitation_of(row), whom=rules.whom(power, said))


def _checked(conn: Connection, link: Link, now: datetime) -> Any:
    """The row that the link opens, now. Raises LinkInvalid and InvitationClosed."""
    row = row_of(conn, link.org, link.record)
    if row is None:
        raise LinkInvalid
    rules.check(as_it_is(conn, row), link, now)
    if row.deleted_at is not None:
        raise InvitationClosed("cancelled")
    _must_be_outside(row)
    return row


def _must_be_outside(row: Any) -> None:
    """Raise InvitationClosed where the person came in by another way: no link sets their password anew."""
    if row.accepted and not row.reactivates:
        raise InvitationClosed("accepted")


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
    roles = strongest(map(tuple, conn.execute(query)))
    return tuple(InvitedTo(name, role) for name, role in roles.items())


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
        _must_be_known(tx, person_id)
        credentials.set_password(tx, person_id, hashed)
        _let_in(tx, spent, link, wanted_name)
        after = {"person": person_id, "channel": link.channel}
        tx.record(Event(EventKind.INVITATION_ACCEPTED, "invitation", spent.id, after=after))
        language = correspondence.language(tx.conn, spent, spent.settings)
        return Accepted(spent.slug, person_id, None, language=language)

    def then(tx: Tx, accepted: Accepted) -> Accepted:
        _must_mean(tx, row, link)  # what was not settled yet is by now
        return _signed_in(tx, accepted, ip, user_agent)

    return await door.run(_context(door, link, row), body, then=then)


def _proper_name(name: str | None) -> str | None:
    text = " ".join((name or "").split())
    must_be_line(text, DISPLAY_NAME_AT_MOST, "name")
    return text or None


def _context(door: Door, link: Link, row: Any) -> Context:
    return sessions.arriving(door, OrgId(link.org), row.person_id, row.address)


def hold(tx: Tx, person_ids: Sequence[str]) -> None:
    """Lock the people before their invitations, as settling does: the other order can deadlock."""
    mine = (people.c.org_id == tx.org_id) & people.c.id.in_(person_ids)
    lock_rows(tx.conn, select(people.c.id).where(mine).order_by(people.c.id))


def _spend(tx: Tx, link: Link, person_id: str, status: InvitationStatus) -> Any:
    """Close the invitation by its link: one conditional UPDATE, after which the row is read."""
    hold(tx, [person_id])
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
    cancel_mails(tx, [PersonId(person_id)])
    row = row_of(tx.conn, link.org, link.record)
    _must_be_outside(row)
    _must_mean(tx, row, link)
    return row


def _must_mean(tx: Tx, row: Any, link: Link) -> None:
    """Raise LinkInvalid for a copied link whose person has come to more, or to a source, since."""
    if link.channel == "copy" and link.whom != as_it_is(tx.conn, row).whom:
        raise LinkInvalid


def _must_be_known(tx: Tx, person_id: PersonId) -> None:
    """Raise InvitationClosed where only a source speaks for the person that went into shadow since, whether
    or not they are settled: accepting would make them known."""
    found = tx.book.standing(facts.load(tx, [person_id])[person_id])
    if any(cause.kind is CauseKind.SHADOW for cause in found.causes):
        raise InvitationClosed("cancelled")


def _let_in(tx: Tx, row: Any, link: Link, name: str | None) -> None:
    changed_at = not_before_stored(people.c.changed_at, tx.now)
    values: dict[str, Any] = {"accepted": True, "changed_at": changed_at}
    # The address of the invitation is proved; whether it is still the person's is another question.
    if rules.verifies_address(link) and address_key(row.address) == row.sign_in_key:
        values["address_verified_at"] = tx.now
    if name and row.owner_source_id is None:
        values |= shown_as(name)
        values["profile"] = {**row.profile, "displayName": name}
    tx.conn.execute(
        update(people).where(people.c.org_id == tx.org_id, people.c.id == row.person_id).values(**values)
    )
    if row.reactivates:
        if not gates.lift(tx, PersonId(row.person_id), "deactivated"):
            raise InvitationClosed("cancelled")  # somebody has reactivated them: they need no new password
        by_hand.wants_seat(tx, PersonId(row.person_id))
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
        return replace(accepted, second_factor=True)  # back again
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
