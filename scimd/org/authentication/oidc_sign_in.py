"""Signing in by the organization's identity provider: whom an identity that it vouches for means.

An identity finds people and makes none: who is in the organization is for sources, admins and invitations
to say. The provider answers for the second factor; scimd asks for none beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from scimd.core.errors import LinkInvalid, MayNotSignIn
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId, address, address_key, domain_key
from scimd.core.standing import Status
from scimd.db.tables import assertions, domains, organizations, people, sources
from scimd.org.authentication import attempts, sessions, sign_in
from scimd.org.authentication import tickets as spending
from scimd.org.authentication.sign_in import SignedIn
from scimd.org.authentication.tickets import Ticket
from scimd.org.settling import admission
from scimd.org.tx import Door, Tx

_NOBODY = "nobody here has this identity"


@dataclass(frozen=True, slots=True)
class Identity:
    """What the provider proved. ``email`` only where it says that the address is verified.

    ``source``: the name of the source whose externalId ``subject`` is; None: it finds nobody.
    """

    subject: str
    email: str | None
    source: str | None


async def enter(
    door: Door, org_slug: str, who: Identity, ticket: Ticket, *, ip: str, user_agent: str
) -> SignedIn:
    """Sign in whom the identity means, once per ticket.

    Raises MayNotSignIn, with the cause; LinkInvalid where the ticket was used; TooManyRequests.
    """
    org_id = await door.read(lambda conn: _organization(conn, org_slug))
    if org_id is None:
        raise LinkInvalid
    person_id = await door.read(lambda conn: _find(conn, org_id, who))
    name = sign_in.as_text(who.email or who.subject)
    ctx = sessions.arriving(door, org_id, person_id or "", name)

    def body(tx: Tx) -> SignedIn | str:
        spending.spend(tx, ticket)
        attempt_id = attempts.begin(tx, person_id, name, ip)
        cause = (
            _NOBODY
            if person_id is None
            else admission.why_not(tx.conn, tx.books, tx.org_id, person_id, tx.now)
        )
        attempts.close(tx, attempt_id, success=cause is None, reason=cause or "identity provider")
        if person_id is None:
            return _NOBODY
        if cause is not None:
            after = {"ip": ip, "why": cause}
            tx.record(Event(EventKind.SIGN_IN_FAILED, "person", person_id, after=after))
            return cause
        text = sign_in.open_session(tx, person_id, ip, user_agent, "oidc", strong=True)
        return SignedIn(org_slug, person_id, text)

    outcome = await door.run(ctx, body)
    if isinstance(outcome, str):
        raise MayNotSignIn(outcome)
    return outcome


def _organization(conn: Connection, slug: str) -> OrgId | None:
    found = conn.execute(select(organizations.c.id).where(organizations.c.slug == slug)).scalar()
    return None if found is None else OrgId(found)


def _find(conn: Connection, org_id: OrgId, who: Identity) -> PersonId | None:
    """By the source's external id first; by a verified e-mail in a verified domain after that."""
    found = _by_subject(conn, org_id, who) if who.source is not None else None
    return found or (_by_email(conn, org_id, who.email) if who.email is not None else None)


def _by_subject(conn: Connection, org_id: OrgId, who: Identity) -> PersonId | None:
    """Whom the source asserts by it now, else who is Inactive since it dropped them: they are told so.

    What it dropped of somebody whom another source keeps, and what an admin made history, finds nobody.
    """
    column = assertions.c
    query = (
        select(column.person_id)
        .join(sources, (sources.c.org_id == column.org_id) & (sources.c.id == column.source_id))
        .join(people, (people.c.org_id == column.org_id) & (people.c.id == column.person_id))
        .where(
            column.org_id == org_id,
            sources.c.name == who.source,
            column.external_id == who.subject,
            people.c.deleted_at.is_(None),
        )
    )
    dropped = query.where(column.state == "gone", people.c.status == Status.INACTIVE)
    return _one(conn, query.where(column.state == "live")) or _one(conn, dropped)


def _by_email(conn: Connection, org_id: OrgId, email: str) -> PersonId | None:
    if address(email) is None:
        return None
    proven = select(domains.c.domain_key).where(
        domains.c.org_id == org_id,
        domains.c.domain_key == domain_key(email.rpartition("@")[2]),
        domains.c.verified_at.is_not(None),
    )
    query = select(people.c.id).where(
        people.c.org_id == org_id,
        people.c.sign_in_key == address_key(email),
        people.c.deleted_at.is_(None),
        proven.exists(),
    )
    return _one(conn, query)


def _one(conn: Connection, query: Any) -> PersonId | None:
    """Exactly one; of several nobody is meant."""
    found = set(conn.execute(query.limit(2)).scalars())
    return PersonId(found.pop()) if len(found) == 1 else None
