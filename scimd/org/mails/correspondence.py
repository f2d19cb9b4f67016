"""Whom an organization writes to, and in which language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from scimd.core.languages import Language, language_of, wished
from scimd.core.people import PersonId
from scimd.core.resource import unpack
from scimd.db.tables import assertions, people
from scimd.org.organizations import admins as account_admins
from scimd.org.tx import Tx


def language(conn: Connection, person: Any, settings: Mapping[str, Any]) -> Language:
    """The person's ``preferredLanguage`` where it is one of ours, else the organization's.

    ``person``: a row with org_id, id (or person_id), owner_source_id and profile, which for a person
    whom a source owns is in what that source asserts.
    """
    return wished(_preferred(conn, person), language_of(settings.get("language")))


def _preferred(conn: Connection, person: Any) -> object:
    if person.owner_source_id is None:
        return person.profile.get("preferredLanguage")
    person_id = getattr(person, "person_id", None) or person.id
    stored = conn.execute(
        select(assertions.c.document).where(
            assertions.c.org_id == person.org_id,
            assertions.c.person_id == person_id,
            assertions.c.source_id == person.owner_source_id,
            assertions.c.state == "live",
        )
    ).scalar()
    return unpack(stored).get("preferredLanguage") if stored else None


def admins(tx: Tx) -> Sequence[Row[Any]]:
    """The Account Admins who are in and have an address."""
    query = select(people).where(
        people.c.org_id == tx.org_id,
        people.c.id.in_(account_admins.ids(tx.org_id)),
        people.c.sign_in_address.is_not(None),
    )
    return tx.conn.execute(query.order_by(people.c.id)).all()


def admin(tx: Tx, person_id: PersonId) -> Row[Any] | None:
    return next((row for row in admins(tx) if row.id == person_id), None)
