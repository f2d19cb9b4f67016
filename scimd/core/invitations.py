"""Invitations: Pending → Accepted, Declined, Expired, Cancelled; and the links that open them.

The first three steps away from Pending belong to the invited person and to time, the last to an
admin. *Resend* and *copy link* open an expired invitation again; a declined or withdrawn one stays
closed, and whoever wants the person after all makes a new one.

A *generation* counts the mails: links of an older generation are dead. A *channel* says how a link
went out; only one that went by mail proves that the address is the person's. Whoever has a copied one
becomes whom it invites, so it holds to *whom* it was copied for: with another power, or another source
behind them, it is dead, while the mailed one goes on working.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from scimd.core.errors import InvitationClosed, LinkInvalid
from scimd.core.links import Channel, Link
from scimd.core.people import InvitationId, OrgId, PersonId

PURPOSE = "invitation"


class InvitationStatus(StrEnum):
    PENDING = "pending"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Invitation:
    """``status`` as stored: a Pending one may be past ``expires_at`` already (see ``status_at``)."""

    id: InvitationId
    org_id: OrgId
    person_id: PersonId
    expires_at: datetime
    status: InvitationStatus = InvitationStatus.PENDING
    generation: int = 1
    #: What the person could be, and who asserts them (``whom``); what is mailed does not ask.
    whom: str = ""

    def status_at(self, now: datetime) -> InvitationStatus:
        """The status by the clock: expired at ``expires_at`` exactly, whether or not a job wrote it."""
        if self.status is InvitationStatus.PENDING and now >= self.expires_at:
            return InvitationStatus.EXPIRED
        return self.status


def whom(permissions: Collection[str], sources: Collection[str]) -> str:
    """What stands for a person's permissions, dormant ones too, and the sources that assert them."""
    said = json.dumps([sorted(permissions), sorted(sources)])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def check(invitation: Invitation, link: Link, now: datetime) -> None:
    """Raise LinkInvalid if the link is not for this invitation as it is, InvitationClosed if it is closed."""
    fits = (
        link.purpose == PURPOSE
        and link.org == invitation.org_id
        and link.record == invitation.id
        and link.generation == invitation.generation
        and (link.channel == "mail" or link.whom == invitation.whom)
    )
    if not fits:
        raise LinkInvalid
    _must_be(invitation, now, InvitationStatus.PENDING)


def accept(invitation: Invitation, link: Link, now: datetime) -> Invitation:
    """Pending → Accepted, by its link."""
    check(invitation, link, now)
    return replace(invitation, status=InvitationStatus.ACCEPTED)


def decline(invitation: Invitation, link: Link, now: datetime) -> Invitation:
    """Pending → Declined, by its link."""
    check(invitation, link, now)
    return replace(invitation, status=InvitationStatus.DECLINED)


def withdraw(invitation: Invitation) -> Invitation:
    """Pending → Cancelled. One that is over by the clock only can still be withdrawn."""
    if invitation.status is not InvitationStatus.PENDING:
        raise InvitationClosed(invitation.status)
    return replace(invitation, status=InvitationStatus.CANCELLED)


def expire(invitation: Invitation, now: datetime) -> Invitation:
    """Pending → Expired where its time has come; else the invitation as it was."""
    return replace(invitation, status=invitation.status_at(now))


def resend(invitation: Invitation, now: datetime, lifetime: timedelta) -> Invitation:
    """Pending or Expired → Pending with a new generation and a whole lifetime: older links die."""
    _must_be(invitation, now, InvitationStatus.PENDING, InvitationStatus.EXPIRED)
    return replace(
        invitation,
        status=InvitationStatus.PENDING,
        generation=invitation.generation + 1,
        expires_at=now + lifetime,
    )


def copy_link(invitation: Invitation, now: datetime, lifetime: timedelta) -> tuple[Invitation, Link]:
    """The invitation and a link to hand over; an expired one is renewed, and its mailed link with it."""
    _must_be(invitation, now, InvitationStatus.PENDING, InvitationStatus.EXPIRED)
    if invitation.status_at(now) is InvitationStatus.EXPIRED:
        invitation = replace(invitation, status=InvitationStatus.PENDING, expires_at=now + lifetime)
    return invitation, link_for(invitation, "copy")


def link_for(invitation: Invitation, channel: Channel) -> Link:
    """The link of the present generation."""
    whom = invitation.whom if channel == "copy" else ""
    return Link(PURPOSE, invitation.org_id, invitation.id, invitation.generation, channel, whom)


def verifies_address(link: Link) -> bool:
    """Whether using the link proves that its bearer reads the mail sent there."""
    return link.channel == "mail"


def mail_due(
    first_change: datetime,
    last_change: datetime,
    delay: timedelta = timedelta(minutes=2),
    longest: timedelta = timedelta(minutes=15),
) -> datetime:
    """When the mail leaves: ``delay`` after the person's last change, ``longest`` after the first at most.

    So a person who is pushed before their groups gets one mail, and it knows the projects. The changes of
    one push put it off to the same moment, mostly: it is the next full twenty-fourth of the delay.
    """
    due, step = last_change + delay, delay / 24
    if step:
        due += (_FULL - due) % step
    return min(due, first_change + longest)


_FULL = datetime(2000, 1, 1, tzinfo=UTC)


def _must_be(invitation: Invitation, now: datetime, *allowed: InvitationStatus) -> None:
    status = invitation.status_at(now)
    if status not in allowed:
        raise InvitationClosed(status)
