"""One person with all that is known of them beside their access: profile, last sign-in, picture."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Row, select

from scimd.core.people import Document, OrgId
from scimd.core.profile import Profile, profile_of
from scimd.core.resource import unpack
from scimd.db.tables import assertions, people, pictures
from scimd.org.tx import Door
from scimd.org.users import user_reads
from scimd.org.users.user_reads import UserRow


@dataclass(frozen=True, slots=True)
class UserPage:
    """``has_picture``: one that the person uploaded."""

    user: UserRow
    profile: Profile
    has_picture: bool


async def get(door: Door, org_id: OrgId, person_id: str) -> UserPage:
    """As ``user_reads.get_user`` finds them. Raises NotFound."""
    return await door.read(lambda conn: find(conn, org_id, person_id))


def find(conn: Connection, org_id: OrgId, person_id: str) -> UserPage:
    """As ``get``, in a transaction."""
    user = user_reads.find(conn, org_id, person_id)
    image = select(pictures.c.kind).where(pictures.c.org_id == org_id, pictures.c.person_id == user.id)
    return UserPage(user, profile_of(_document(conn, org_id, user)), conn.execute(image).first() is not None)


def _document(conn: Connection, org_id: OrgId, user: UserRow) -> Document:
    """The owner's document; the local profile of whom nobody owns."""
    if user.source is not None:
        query = select(assertions.c.document).where(
            assertions.c.org_id == org_id,
            assertions.c.person_id == user.id,
            assertions.c.source_id == user.source.id,
        )
        row: Row[tuple[bytes]] | None = conn.execute(query).first()
        if row is not None:
            return unpack(bytes(row.document))
    own = select(people.c.profile).where(people.c.org_id == org_id, people.c.id == user.id)
    found: Document = conn.execute(own).scalar_one()
    return found
