"""A person's own SCIM resource: what the source that owns them says, else their local profile."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from scimd.core.attributes import USER, ResourceKind
from scimd.core.errors import NotFound
from scimd.core.extensions import users_with
from scimd.core.people import OrgId, PersonId, SourceId
from scimd.core.resource import StoredUser
from scimd.db.tables import people, sources
from scimd.org.identities.linkable import as_user
from scimd.org.reading.reads import load_user
from scimd.org.tx import Door


@dataclass(frozen=True, slots=True)
class OwnResource:
    """``kind``: what a user of that source may have."""

    user: StoredUser
    kind: ResourceKind


async def read(door: Door, org_id: OrgId, person_id: str) -> OwnResource:
    """Raises NotFound for whoever was deleted."""

    def body(conn: Connection) -> OwnResource:
        row = conn.execute(
            select(people).where(
                people.c.org_id == org_id, people.c.id == person_id, people.c.deleted_at.is_(None)
            )
        ).first()
        if row is None:
            raise NotFound("person", person_id)
        if row.owner_source_id is None:
            return OwnResource(as_user(row), USER)
        source_id = SourceId(row.owner_source_id)
        user = load_user(conn, org_id, source_id, PersonId(person_id))
        if user is None:
            return OwnResource(as_user(row), USER)
        config = conn.execute(
            select(sources.c.config).where(sources.c.org_id == org_id, sources.c.id == source_id)
        ).scalar_one()
        return OwnResource(user, users_with(config.get("extension") or ()))

    return await door.read(body)
