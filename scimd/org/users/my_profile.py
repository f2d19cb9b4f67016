"""My Profile (U14): what people change of themselves. What a source owns stays the source's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from scimd.core import pictures as kinds
from scimd.core.errors import LinkInvalid, NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import UNSET, OrgId, PersonId, Unset, address_key
from scimd.core.roles import strongest
from scimd.core.words import must_be_line
from scimd.db.locks import upsert
from scimd.db.tables import grants, people, pictures, projects
from scimd.org.authentication import links, sessions
from scimd.org.authentication.sessions import SessionHolder
from scimd.org.tx import Door, Tx
from scimd.org.users import by_hand, local_people
from scimd.org.users.local_people import Edit

_VALID_S = 3 * 3600.0
PHONE_AT_MOST = 40


@dataclass(frozen=True, slots=True)
class OwnProject:
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Profile:
    """``source``: who owns name and address; None: the person does."""

    display_name: str
    user_name: str
    address: str | None
    address_verified: bool
    phone: str | None
    source: str | None
    has_picture: bool
    projects: tuple[OwnProject, ...]


async def show(door: Door, org_id: OrgId, person_id: PersonId) -> Profile:
    """A person's own profile."""
    return await door.read(lambda conn: _profile(conn, org_id, person_id))


def _profile(conn: Connection, org_id: OrgId, person_id: PersonId) -> Profile:
    mine = (people.c.org_id == org_id) & (people.c.id == person_id)
    row = conn.execute(select(people).where(mine)).one()
    said = by_hand.asserting(conn, org_id, person_id)
    owner = next((each.name for each in said if each.source_id == row.owner_source_id), "a source")
    image = select(pictures.c.kind).where(pictures.c.org_id == org_id, pictures.c.person_id == person_id)
    phones = row.profile.get("phoneNumbers") or []
    return Profile(
        display_name=row.display_name,
        user_name=row.local_user_name,
        address=row.sign_in_address,
        address_verified=row.address_verified_at is not None,
        phone=phones[0].get("value") if phones else None,
        source=None if row.owner_source_id is None else owner,
        has_picture=conn.execute(image).first() is not None,
        projects=_projects(conn, org_id, person_id),
    )


def _projects(conn: Connection, org_id: OrgId, person_id: PersonId) -> tuple[OwnProject, ...]:
    """Those in which they take part now, by name; several grants of one are one line."""
    query = (
        select(projects.c.name, grants.c.project_role)
        .join(grants, (grants.c.org_id == projects.c.org_id) & (grants.c.target == projects.c.id))
        .where(
            grants.c.org_id == org_id,
            grants.c.person_id == person_id,
            grants.c.kind == "project",
            grants.c.until.is_(None),
            ~grants.c.dormant,
        )
        .order_by(projects.c.name)
    )
    roles = strongest(map(tuple, conn.execute(query)))
    return tuple(OwnProject(name, role) for name, role in roles.items())


# ------------------------------------------------------------------------------ name, contact


async def edit(
    door: Door,
    holder: SessionHolder,
    *,
    display_name: str | Unset | None = UNSET,
    phone: str | Unset | None = UNSET,
) -> None:
    """Change one's own name and contact details; None clears, UNSET keeps.

    Raises InvalidValue, and OwnedBySource for somebody whom a source owns.
    """

    def body(tx: Tx) -> None:
        row = by_hand.locked(tx, holder.person_id)
        values = local_people.edited(tx, row, Edit(display_name=display_name))
        if not isinstance(phone, Unset):
            values |= _phone(tx, row, phone, values.get("profile", row.profile))
        local_people.write_edit(tx, row, values)

    await door.run(holder.context(door), body)


def _phone(tx: Tx, row: Row[Any], phone: str | None, profile: dict[str, Any]) -> dict[str, Any]:
    text = " ".join((phone or "").split())
    must_be_line(text, PHONE_AT_MOST, "phone")
    now = (row.profile.get("phoneNumbers") or [{}])[0].get("value", "")
    if text == now:
        return {}
    by_hand.must_be_local(tx, row, "The phone number")
    rest = {key: value for key, value in profile.items() if key != "phoneNumbers"}
    numbers = {"phoneNumbers": [{"value": text, "primary": True}]} if text else {}
    return {"profile": {**rest, **numbers}}


# ------------------------------------------------------------------------------ e-mail


async def ask_confirmation(door: Door, holder: SessionHolder, email: str) -> None:
    """Owe a mail with a link to that address; it becomes, or stays, theirs when the link is opened.

    Whether somebody has it already, or another organization its domain, is told by ``confirm`` to whoever
    reads that mailbox, and here to nobody. Raises ProofNeeded, InvalidValue, OwnedBySource for a new
    address of somebody whom a source owns, NotAllowedNow where it is confirmed already, TooManyRequests.
    """
    sessions.require_proof(door, holder)

    def body(tx: Tx) -> None:
        row = by_hand.locked(tx, holder.person_id)
        wanted = local_people.one_address(email)
        if address_key(wanted) == row.sign_in_key:
            if row.address_verified_at is not None:
                raise NotAllowedNow("That address is confirmed already.")
        else:
            local_people.must_have_own_address(tx, row)
        by_hand.not_too_often(tx, holder.person_id, ["confirm_address"])
        link_id = links.make(tx, holder.person_id, "confirm_address", _VALID_S, address=wanted)
        links.owe_mail(tx, holder.person_id, link_id, wanted, "confirm_address")

    await door.run(holder.context(door), body)


async def confirm(door: Door, token: str) -> str:
    """Spend a confirmation link; gives the address. A new one ends all sessions, like any change of it.

    Raises LinkInvalid, and whatever may stand against the address by now (NotUnique, OwnedBySource).
    """
    link = links.opened(token, "confirm_address", door.keys)
    page = await links.look(door, token, "confirm_address")
    if link.channel != "mail" or page.to_confirm is None:
        raise LinkInvalid
    wanted = page.to_confirm

    def body(tx: Tx) -> None:
        person_id = links.spend(tx, link)
        row = by_hand.locked(tx, person_id)
        if address_key(wanted) != row.sign_in_key:
            local_people.write_edit(tx, row, local_people.new_address(tx, row, wanted))
        links.verified(tx, person_id, wanted)
        after = {"purpose": "confirm_address", "address": wanted}
        tx.record(Event(EventKind.LINK_USED, "person", person_id, after=after))

    await door.run(links.as_person(door, page), body)
    return wanted


# ------------------------------------------------------------------------------ picture


@dataclass(frozen=True, slots=True)
class Picture:
    kind: str
    image: bytes


async def set_picture(door: Door, holder: SessionHolder, image: bytes) -> None:
    """Store a picture. Raises InvalidValue for what is no PNG, JPEG or WebP, TooLarge."""
    kind = kinds.kind_of(image)

    def body(tx: Tx) -> None:
        row = {"org_id": tx.org_id, "person_id": holder.person_id}
        values = {"kind": kind, "image": image, "changed_at": tx.now}
        statement = upsert(tx.conn, pictures, key=tuple(row), update=tuple(values))
        tx.conn.execute(statement, {**row, **values})
        after = {"picture": kind, "bytes": len(image)}
        tx.record(Event(EventKind.PERSON_UPDATED, "person", holder.person_id, after=after))

    await door.run(holder.context(door), body)


async def drop_picture(door: Door, holder: SessionHolder) -> None:
    """Remove it; without one nothing is changed."""

    def body(tx: Tx) -> None:
        mine = (pictures.c.org_id == tx.org_id) & (pictures.c.person_id == holder.person_id)
        if tx.conn.execute(delete(pictures).where(mine)).rowcount:
            before = {"picture": True}
            tx.record(Event(EventKind.PERSON_UPDATED, "person", holder.person_id, before=before))

    await door.run(holder.context(door), body)


async def picture_of(door: Door, org_id: OrgId, person_id: PersonId) -> Picture:
    """Raises NotFound."""
    query = select(pictures.c.kind, pictures.c.image).where(
        pictures.c.org_id == org_id, pictures.c.person_id == person_id
    )
    row = await door.read(lambda conn: conn.execute(query).first())
    if row is None:
        raise NotFound("picture", person_id)
    return Picture(row.kind, bytes(row.image))
