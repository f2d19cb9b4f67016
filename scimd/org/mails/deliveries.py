"""The mails that transactions owe: taken for sending, checked once more, and what became of them.

Taking mails puts them off for some minutes, so that two relays do not send them twice, and one that died
in between leaves them to the next. Before the mail server is asked for anything the mail is put off by longer
than sending it may last (``begin``), and right before the server gets the mail's text that is counted
(``hand_over``), both if it is still as it was taken: a relay that slept meanwhile finds out there. The
mail's id makes its Message-ID: a repeat, after a lost answer of the mail server, can be told from a second
mail. There is one such repeat and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Select, select, update

from scimd.core import invitations as rules
from scimd.core.events import Event, EventKind
from scimd.core.languages import ENGLISH, Language, language_of
from scimd.core.links import Link
from scimd.core.people import OrgId, PersonId
from scimd.core.standing import CauseKind, Status, kinds_of
from scimd.db.tables import (
    deliveries,
    invitations,
    links,
    organizations,
    people,
    roles,
    teams,
    unsettled,
)
from scimd.org import lately
from scimd.org.invitations.invitations import InvitedTo, projects_of
from scimd.org.mails import correspondence
from scimd.org.mails.notices import Notice
from scimd.org.tx import Actor, Context, Door, Tx

TAKEN_FOR = timedelta(minutes=5)
_AGAIN_AFTER = timedelta(minutes=1)
_AGAIN_AT_MOST = timedelta(hours=24)
#: So often a mail is handed over where no answer tells whether the server took it: each may have come.
_HANDED_OVER_AT_MOST = 2
NEVER_ANSWERED = (
    f"it was handed to the mail server {_HANDED_OVER_AT_MOST} times, and no answer came: it may have arrived"
)
_ERROR_AT_MOST = 500
#: What an invited person may be besides; with any other cause nobody is written to.
_WANTED = frozenset({CauseKind.INVITED.value})


@dataclass(frozen=True, slots=True)
class Delivery:
    """A mail to send now. ``link`` is signed when the mail is made; the text stands nowhere.

    A notice has no link, and ``told`` has what it tells.
    """

    org_id: OrgId
    org_slug: str
    organization: str
    id: str
    template: Literal["invitation", "set_password", "confirm_address", "notification"] | Notice
    #: None: an address that the config names.
    person_id: PersonId | None
    display_name: str
    address: str
    link: Link | None = None
    expires_at: datetime | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    invited_by: str | None = None
    message: str | None = None
    team: str | None = None
    role: str | None = None
    projects: tuple[InvitedTo, ...] = ()
    language: Language = ENGLISH
    #: Which taking this is, and how many of those before ended without an answer.
    attempt: int = 1
    unanswered: int = 0


async def organizations_with_due(door: Door) -> list[OrgId]:
    """The organizations that owe a mail now, the longest waiting first."""
    query = (
        select(deliveries.c.org_id)
        .where(deliveries.c.state == "due", deliveries.c.due_at <= door.clock())
        .order_by(deliveries.c.due_at)
        .limit(1000)
    )
    return await door.read(lambda conn: list(dict.fromkeys(map(OrgId, conn.execute(query).scalars()))))


async def bring_forward(door: Door) -> None:
    """Have mails leave now that were owed while the clock was ahead, and that nobody took so far. A job.

    One that was tried while it was ahead follows soon: somebody may be sending it at this moment.
    """
    now, column = door.clock(), deliveries.c
    due = update(deliveries).where(column.state == "due")
    ahead = lately.is_ahead(column.created_at, now) & (column.due_at > now)
    untried = due.where(column.attempts == 0, ahead).values(due_at=now)
    beyond = lately.is_ahead(column.due_at, now + _AGAIN_AT_MOST)
    tried = due.where(column.attempts > 0, beyond).values(due_at=now + TAKEN_FOR)

    def body(conn: Connection) -> None:
        conn.execute(untried)
        conn.execute(tried)

    await door.db.write(body)


def take_back(tx: Tx) -> None:
    """Whoever leads from now on sends at once what those before have taken and did not hand over.

    One of them who still lives finds at ``begin``, or at ``hand_over``, that it is theirs no more.
    """
    column = deliveries.c
    taken = (column.state == "due") & (column.due_at > tx.now) & (column.attempts > 0)
    untold = (column.unanswered == 0) & column.last_error.is_(None)  # neither handed over nor put off so far
    tx.conn.execute(update(deliveries).where(taken, untold).values(due_at=tx.now))


def _context(org_id: OrgId) -> Context:
    return Context(org_id, Actor("job", "relay", "relay"), "job", "relay")


async def take_due(door: Door, org_id: OrgId, limit: int) -> list[Delivery]:
    """Take what is due, oldest first, and cancel what nobody wants any more."""
    return await door.run(_context(org_id), lambda tx: _take(tx, limit))


def _take(tx: Tx, limit: int) -> list[Delivery]:
    due = _lock_due(tx, limit)
    if not due:
        return []
    taken = [(row, _still_wanted(tx, row)) for row in due]
    _write(tx, [row.id for row, found in taken if found is None], state="cancelled")
    later = [row.id for row, found in taken if found == "later"]
    _write(tx, later, due_at=tx.now + _AGAIN_AFTER)
    found = [
        replace(delivery, attempt=row.attempts + 1, unanswered=row.unanswered)
        for row, delivery in taken
        if isinstance(delivery, Delivery)
    ]
    _write(
        tx,
        [delivery.id for delivery in found],
        due_at=tx.now + TAKEN_FOR,
        attempts=deliveries.c.attempts + 1,
    )
    return found


def _lock_due(tx: Tx, limit: int) -> Sequence[Any]:
    """The rows, locked; those that another relay is taking right now are passed by."""
    query: Select[Any] = (
        select(deliveries)
        .where(deliveries.c.org_id == tx.org_id, deliveries.c.state == "due", deliveries.c.due_at <= tx.now)
        .order_by(deliveries.c.due_at, deliveries.c.id)
        .limit(limit)
    )
    if tx.conn.dialect.name == "postgresql":
        query = query.with_for_update(skip_locked=True)
    return tx.conn.execute(query).all()


def _write(tx: Tx, ids: Sequence[str], **values: Any) -> None:
    if ids:
        tx.conn.execute(
            update(deliveries)
            .where(deliveries.c.org_id == tx.org_id, deliveries.c.id.in_(ids))
            .values(**values)
        )


def _still_wanted(tx: Tx, row: Any) -> Delivery | Literal["later"] | None:
    """The mail, if it may leave now; "later" while the person is being settled, or an invitation back has to
    wait; None: never."""
    if row.template == "notification":
        return _notification(tx, row)
    person = tx.conn.execute(
        select(
            people,
            organizations.c.slug,
            organizations.c.name.label("organization"),
            organizations.c.settings,
            teams.c.name.label("team"),
            roles.c.label.label("role"),
        )
        .join(organizations, organizations.c.id == people.c.org_id)
        .outerjoin(teams, (teams.c.org_id == people.c.org_id) & (teams.c.id == people.c.team_id))
        .outerjoin(roles, (roles.c.org_id == people.c.org_id) & (roles.c.name == people.c.primary_role))
        .where(people.c.org_id == tx.org_id, people.c.id == row.person_id, people.c.deleted_at.is_(None))
    ).first()
    if person is None:
        return None
    marked = tx.conn.execute(
        select(unsettled.c.turn).where(
            unsettled.c.org_id == tx.org_id, unsettled.c.person_id == row.person_id
        )
    ).first()
    if marked is not None:
        return "later"
    if row.invitation_id:
        return _invitation(tx, row, person)
    return _with_link(tx, row, person) if row.link_id else _notice(tx, row, person)


def _invitation(tx: Tx, row: Any, person: Any) -> Delivery | Literal["later"] | None:
    found = tx.conn.execute(
        select(invitations).where(
            invitations.c.org_id == tx.org_id,
            invitations.c.id == row.invitation_id,
            invitations.c.status == "pending",
            ~invitations.c.staged,
            invitations.c.expires_at > tx.now,
        )
    ).first()
    if found is None:
        return None
    if not (_comes_back(person) if found.reactivates else _comes_in(person)):
        # An admin asked for it, and nobody asks again: it waits until nothing else stands against them.
        return "later" if found.reactivates else None
    return replace(
        _to(tx, row, person),
        template="invitation",
        address=found.address,
        link=Link(rules.PURPOSE, tx.org_id, found.id, found.generation, "mail"),
        expires_at=found.expires_at,
        invited_by=found.invited_by,
        message=found.message,
        team=person.team,
        role=person.role or person.primary_role,
        projects=projects_of(tx.conn, tx.org_id, PersonId(row.person_id)),
    )


def _to(tx: Tx, row: Any, person: Any) -> Delivery:
    """A mail to a person, by their name and in their language; what it tells is still to be added."""
    return Delivery(
        org_id=tx.org_id,
        org_slug=person.slug,
        organization=person.organization,
        id=row.id,
        template=row.template,
        person_id=PersonId(row.person_id),
        display_name=person.display_name,
        address=row.address,
        language=correspondence.language(tx.conn, person, person.settings),
    )


def _comes_in(person: Any) -> bool:
    return bool(person.status == Status.PENDING) and set(person.causes) <= _WANTED


def _comes_back(person: Any) -> bool:
    """Somebody whom an admin deactivated, and nobody else, may be invited back."""
    return kinds_of(person.causes) <= {CauseKind.DEACTIVATED, CauseKind.INVITED}


def _with_link(tx: Tx, row: Any, person: Any) -> Delivery | None:
    found = tx.conn.execute(
        select(links).where(
            links.c.org_id == tx.org_id,
            links.c.id == row.link_id,
            links.c.used_at.is_(None),
            links.c.expires_at > tx.now,
        )
    ).first()
    # The link goes to the address as stored when it was asked for, and only while that is theirs.
    theirs = found.address if found is not None and found.address else person.sign_in_address
    if found is None or theirs != row.address or person.status == Status.INACTIVE:
        return None
    return replace(
        _to(tx, row, person),
        link=Link(found.purpose, tx.org_id, found.id, found.generation, "mail"),
        expires_at=found.expires_at,
        told={"first": not person.accepted},  # they have never come in: they learn that they were added
    )


def _notice(tx: Tx, row: Any, person: Any) -> Delivery:
    """Always wanted: what it tells has happened. It goes to the address as it was then."""
    return replace(_to(tx, row, person), told=row.params)


def _notification(tx: Tx, row: Any) -> Delivery | None:
    """Of what concerns the organization. An admin who is none any more is not told."""
    organization = tx.conn.execute(select(organizations).where(organizations.c.id == tx.org_id)).one()
    spoken, name = language_of(organization.settings.get("language")), ""
    if row.person_id:
        admin = correspondence.admin(tx, PersonId(row.person_id))
        if admin is None or admin.sign_in_address != row.address:
            return None
        spoken, name = correspondence.language(tx.conn, admin, organization.settings), admin.display_name
    return Delivery(
        org_id=tx.org_id,
        org_slug=organization.slug,
        organization=organization.name,
        id=row.id,
        template="notification",
        person_id=PersonId(row.person_id) if row.person_id else None,
        display_name=name,
        address=row.address,
        told=row.params,
        language=spoken,
    )


# ------------------------------------------------------------------------------ what became of it


async def begin(door: Door, delivery: Delivery, for_s: float) -> Literal["send", "leave", "refused"]:
    """Ask before a mail is sent, which lasts ``for_s`` at most; "leave": it is ours no more.

    "refused": it was handed over too often without an answer.
    """

    def body(tx: Tx) -> Literal["send", "leave", "refused"]:
        until = tx.now + timedelta(seconds=for_s)
        if not _write_mine(tx, delivery, due_at=until):
            return "leave"
        if delivery.unanswered < _HANDED_OVER_AT_MOST:
            return "send"
        _refuse(tx, delivery, NEVER_ANSWERED)
        return "refused"

    return await door.run(_context(delivery.org_id), body)


async def hand_over(door: Door, delivery: Delivery) -> bool:
    """Right before the server gets the mail's text: it counts as unanswered until its answer is written.

    False: it is ours no more, and must not be handed over.
    """
    count = delivery.unanswered + 1
    return await door.run(_context(delivery.org_id), lambda tx: _write_mine(tx, delivery, unanswered=count))


def _write_mine(tx: Tx, delivery: Delivery, **values: Any) -> bool:
    """Whether the mail is still as it was taken; only then it is written."""
    mine = (
        (deliveries.c.org_id == tx.org_id)
        & (deliveries.c.id == delivery.id)
        & (deliveries.c.state == "due")
        & (deliveries.c.attempts == delivery.attempt)
    )
    return tx.conn.execute(update(deliveries).where(mine).values(**values)).rowcount == 1


async def sent(door: Door, delivery: Delivery) -> None:
    """The mail server took it."""

    def body(tx: Tx) -> None:
        _write(tx, [delivery.id], state="sent", sent_at=tx.now, last_error=None)
        if delivery.template == "invitation" and delivery.link is not None:
            tx.conn.execute(
                update(invitations)
                .where(invitations.c.org_id == tx.org_id, invitations.c.id == delivery.link.record)
                .values(sent_at=tx.now)
            )
            after = {"person": delivery.person_id, "address": delivery.address}
            tx.record(Event(EventKind.INVITATION_SENT, "invitation", delivery.link.record, after=after))

    await door.run(_context(delivery.org_id), body)


async def refused(door: Door, delivery: Delivery, why: str) -> None:
    """The mail server will never take it: it is not tried again, and the list says why."""
    await door.run(_context(delivery.org_id), lambda tx: _refuse(tx, delivery, why))


def _refuse(tx: Tx, delivery: Delivery, why: str) -> None:
    _write(tx, [delivery.id], state="refused", last_error=why[:_ERROR_AT_MOST])
    invited = delivery.link if delivery.template == "invitation" else None
    kind, target = ("invitation", invited.record) if invited else _target(delivery)
    after = {"person": delivery.person_id, "address": delivery.address, "why": why[:_ERROR_AT_MOST]}
    tx.record(Event(EventKind.MAIL_REFUSED, kind, target, after=after))


def _target(delivery: Delivery) -> tuple[str, str]:
    if delivery.person_id is None:
        return "organization", delivery.org_id
    return "person", delivery.person_id


async def put_off(door: Door, delivery: Delivery, why: str, *, unanswered: bool = False) -> None:
    """It did not work this time: again after a minute, two, four, … a day at most, with jitter.

    ``unanswered``: it was handed over, and the server may have taken it.
    """
    wait = min(_AGAIN_AFTER * 2 ** min(delivery.attempt - 1, 20), _AGAIN_AT_MOST)
    count = delivery.unanswered + unanswered

    def body(tx: Tx) -> None:
        due_at = tx.now + wait * (0.5 + tx.chance.bytes(1)[0] / 510)
        _write_mine(tx, delivery, due_at=due_at, unanswered=count, last_error=why[:_ERROR_AT_MOST])

    await door.run(_context(delivery.org_id), body)
