"""One-time links other than invitations: to sign in, to set a password, to confirm an address.

Like an invitation's link (``core.links``): a row with generation, expiry and ``used_at``, a token
that is derived and stands nowhere, one conditional UPDATE that spends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, select, update

from scimd.core.errors import LinkInvalid, NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.links import Channel, Link, sign, verify
from scimd.core.people import OrgId, PersonId, address_key
from scimd.core.standing import CauseKind, kinds_of
from scimd.db.tables import deliveries, links, people
from scimd.db.tables import organizations as organization_rows
from scimd.org.authentication import sessions
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand

Purpose = Literal["sign_in", "set_password", "confirm_address"]
SIGN_IN_VALID_S = 900.0
_OVER = {CauseKind.INVITATION_DECLINED, CauseKind.INVITATION_EXPIRED, CauseKind.INVITATION_WITHDRAWN}


@dataclass(frozen=True, slots=True)
class LinkPage:
    """What a page may show before the link is used."""

    org_id: OrgId
    org_slug: str
    organization: str
    person_id: PersonId
    address: str | None
    display_name: str
    expires_at: datetime
    #: The address that a link of confirm_address confirms.
    to_confirm: str | None = None


# ------------------------------------------------------------------------------ making


def token(tx: Tx, purpose: Purpose, link_id: str, channel: Channel) -> str:
    """The text that opens the link."""
    return sign(Link(purpose, tx.org_id, link_id, 1, channel), tx.keys.live(purpose))


def make(tx: Tx, person_id: PersonId, purpose: Purpose, valid_s: float, *, address: str | None = None) -> str:
    """Write the row of a new link and kill older ones of that purpose; gives its id."""
    _must_exist(tx, person_id)
    _kill(tx, person_id, purpose)
    link_id = tx.new_id()
    expires = tx.now + timedelta(seconds=valid_s)
    tx.conn.execute(
        links.insert().values(
            org_id=tx.org_id,
            id=link_id,
            person_id=person_id,
            purpose=purpose,
            address=address,
            created_at=tx.now,
            expires_at=expires,
        )
    )
    after = {"purpose": purpose, "expires_at": expires.isoformat()}
    tx.record(Event(EventKind.LINK_CREATED, "person", person_id, after=after))
    return link_id


def owe_mail(
    tx: Tx,
    person_id: PersonId,
    link_id: str,
    address: str,
    template: Literal["set_password", "confirm_address"],
) -> None:
    """A mail with the link, which nobody but that address ever sees."""
    row = {
        "org_id": tx.org_id,
        "id": tx.new_id(),
        "kind": "mail",
        "template": template,
        "person_id": person_id,
        "link_id": link_id,
        "address": address,
        "params": {},
        "state": "due",
        "first_change_at": tx.now,
        "due_at": tx.now,
        "created_at": tx.now,
    }
    tx.conn.execute(deliveries.insert().values(row))


def owe_set_password(tx: Tx, person_id: PersonId, email: str) -> None:
    """A new link to set the password, and the mail that carries it; older ones are dead."""
    link_id = make(tx, person_id, "set_password", tx.settings.set_password_valid_s)
    owe_mail(tx, person_id, link_id, email, "set_password")


def leads_in(row: Row[Any]) -> bool:
    """Whether a link to set a password leads this person in: nothing but what it lifts keeps them out."""
    lifted = set() if row.welcome == "invitation" else {CauseKind.INVITED, CauseKind.INVITATION_EXPIRED}
    return kinds_of(row.causes) <= lifted


def must_lead_in(row: Row[Any]) -> None:
    """Raise NotAllowedNow where such a link would lead nobody in, with what does."""
    if leads_in(row):
        return
    by_hand.must_be_invitable(row)
    kinds, name = kinds_of(row.causes), row.display_name
    if CauseKind.DEACTIVATED in kinds:
        raise NotAllowedNow(f"{name} is deactivated. Reactivate them first.")
    if CauseKind.NOT_APPROVED in kinds:
        raise NotAllowedNow(f"{name} is not approved yet. A partner has to approve them first.")
    if kinds & _OVER:
        raise NotAllowedNow(f"The invitation of {name} is over. Invite them again instead.")
    if CauseKind.INVITED in kinds and row.welcome == "invitation":
        raise NotAllowedNow(f"{name} has not accepted yet. Send the invitation again instead.")
    causes = ", ".join(str(kind).replace("_", " ") for kind in sorted(kinds))
    raise NotAllowedNow(f"The link would not lead {name} in: {causes}.")


def reopen_way_in(tx: Tx, row: Row[Any]) -> None:
    """Of somebody local who is brought back: where the link with which they were added has lapsed, they
    have to come in by another one, which ``owe_way_in`` sends."""
    if row.welcome == "set_password_expired" and not row.accepted and row.owner_source_id is None:
        mine = (people.c.org_id == tx.org_id) & (people.c.id == row.id)
        tx.conn.execute(update(people).where(mine).values(welcome="set_password"))


def owe_way_in(tx: Tx, person_id: PersonId) -> None:
    """Who was added with such a link, and has only to come in by it, is sent another: the first died with
    their access. Raises TooManyRequests."""
    mine = (people.c.org_id == tx.org_id) & (people.c.id == person_id)
    row = tx.conn.execute(select(people).where(mine)).one()
    waits = row.welcome == "set_password" and kinds_of(row.causes) == {CauseKind.INVITED}
    if waits and row.sign_in_address:
        by_hand.not_too_often(tx, person_id)
        owe_set_password(tx, person_id, row.sign_in_address)


def _must_exist(tx: Tx, person_id: PersonId) -> None:
    query = select(people.c.id).where(
        people.c.org_id == tx.org_id, people.c.id == person_id, people.c.deleted_at.is_(None)
    )
    if tx.conn.execute(query).first() is None:
        raise NotFound("person", person_id)


def _kill(tx: Tx, person_id: PersonId, purpose: Purpose) -> None:
    tx.conn.execute(
        update(links)
        .where(
            links.c.org_id == tx.org_id,
            links.c.person_id == person_id,
            links.c.purpose == purpose,
            links.c.used_at.is_(None),
            links.c.expires_at > tx.now,
        )
        .values(expires_at=tx.now)
    )


# ------------------------------------------------------------------------------ using


def opened(token: str, purpose: Purpose, keys: Keyring) -> Link:
    """The link of a token; LinkInvalid for anything that this installation did not make."""
    return verify(token, purpose, keys.live(purpose))


def _is(link: Link) -> ColumnElement[bool]:
    """The row of a link."""
    return (
        (links.c.org_id == link.org)
        & (links.c.id == link.record)
        & (links.c.purpose == link.purpose)
        & (links.c.generation == link.generation)
    )


async def look(door: Door, token: str, purpose: Purpose) -> LinkPage:
    """What the page shows. Looking spends nothing: mail scanners open links too."""
    link = opened(token, purpose, door.keys)
    now = door.clock()
    found = await door.read(lambda conn: _live(conn, link, now))
    if found is None:
        raise LinkInvalid
    return found


def _live(conn: Connection, link: Link, now: datetime) -> LinkPage | None:
    row = conn.execute(
        select(
            links.c.expires_at,
            links.c.address.label("to_confirm"),
            people.c.id,
            people.c.sign_in_address,
            people.c.display_name,
            organization_rows.c.slug,
            organization_rows.c.name,
        )
        .join(people, (people.c.org_id == links.c.org_id) & (people.c.id == links.c.person_id))
        .join(organization_rows, organization_rows.c.id == links.c.org_id)
        .where(
            _is(link),
            links.c.used_at.is_(None),
            links.c.expires_at > now,
            people.c.deleted_at.is_(None),
        )
    ).first()
    if row is None:
        return None
    return LinkPage(
        org_id=OrgId(link.org),
        org_slug=row.slug,
        organization=row.name,
        person_id=PersonId(row.id),
        address=row.sign_in_address,
        display_name=row.display_name,
        expires_at=row.expires_at,
        to_confirm=row.to_confirm,
    )


def as_person(door: Door, page: LinkPage) -> Context:
    """A context in which whoever holds the link acts."""
    return sessions.arriving(door, page.org_id, page.person_id, page.address or page.display_name)


def verified(tx: Tx, person_id: PersonId, address: str) -> None:
    """A link went by mail to that address and nowhere else; where it is theirs, it is proved."""
    mine = (people.c.org_id == tx.org_id) & (people.c.id == person_id)
    tx.conn.execute(
        update(people)
        .where(mine, people.c.sign_in_key == address_key(address))
        .values(address_verified_at=tx.now)
    )


async def user_of(door: Door, token: str, purpose: Purpose) -> tuple[OrgId, PersonId] | None:
    """Whose link it was, where it was used; None for one that was not, or is none."""
    try:
        link = opened(token, purpose, door.keys)
    except LinkInvalid:
        return None
    used = select(links.c.person_id).where(_is(link), links.c.used_at.is_not(None))
    person_id = await door.read(lambda conn: conn.execute(used).scalar_one_or_none())
    return None if person_id is None else (OrgId(link.org), PersonId(person_id))


def spend(tx: Tx, link: Link) -> PersonId:
    """Use the link up: of any number at once, one wins, and the others get LinkInvalid."""
    person_id = tx.conn.execute(
        update(links)
        .where(links.c.org_id == tx.org_id, _is(link), links.c.used_at.is_(None), links.c.expires_at > tx.now)
        .values(used_at=tx.now)
        .returning(links.c.person_id)
    ).scalar_one_or_none()
    if person_id is None:
        raise LinkInvalid
    return PersonId(person_id)
