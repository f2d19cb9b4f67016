"""Local people whom a source could link now, by rule 5 of matching: what its token sees of them.

They are few: nobody asserts them, their address is in a verified domain, and they hold no permission.
The userName of their document is that address: by it an IdP looks for them, and matching meets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select

from scimd.core.people import Document, PersonId
from scimd.core.resource import StoredUser, pack
from scimd.core.sync.match import may_link
from scimd.db.prepared import Prepared
from scimd.db.tables import assertions, people
from scimd.org import candidates
from scimd.org.rulebook import RuleBook

_p = people.c
_PERSON = Prepared(
    select(people).where(_p.org_id == bindparam("org_id"), _p.id == bindparam("id"), _p.deleted_at.is_(None))
)
_HOLDER = Prepared(
    select(people).where(
        _p.org_id == bindparam("org_id"),
        _p.sign_in_key == bindparam("key"),
        _p.sign_in_key.is_not(None),
        _p.deleted_at.is_(None),
    )
)


def one(conn: Connection, book: RuleBook, person_id: str) -> Row[Any] | None:
    """The row of this person, if they are one whom a source could link; else None."""
    row = _PERSON.first(conn, {"org_id": book.org_id, "id": person_id})
    return row if row is not None and _may_be_linked(conn, book, row) else None


def by_address(conn: Connection, book: RuleBook, sign_in_key: str) -> Row[Any] | None:
    """The one with this sign-in address, folded."""
    if sign_in_key.rpartition("@")[2] not in book.verified_domains:
        return None
    row = _HOLDER.first(conn, {"org_id": book.org_id, "key": sign_in_key})
    return row if row is not None and _may_be_linked(conn, book, row) else None


def _may_be_linked(conn: Connection, book: RuleBook, row: Row[Any]) -> bool:
    if row.sign_in_key is None or row.sign_in_key.rpartition("@")[2] not in book.verified_domains:
        return False
    local = candidates.local_person(conn, book, row)
    return local is not None and may_link(local)


def everybody(conn: Connection, book: RuleBook) -> list[Row[Any]]:
    """All of them, in the order in which they came. Read whole: see the partial index of ``people``."""
    if not book.verified_domains:
        return []
    asserted = select(assertions.c.person_id).where(
        assertions.c.org_id == _p.org_id, assertions.c.person_id == _p.id, assertions.c.state != "history"
    )
    domains = sorted(book.verified_domains)
    query = (
        select(people)
        .where(
            _p.org_id == book.org_id,
            _p.owner_source_id.is_(None),
            _p.sign_in_key.is_not(None),
            _p.deleted_at.is_(None),
            or_(*(_p.sign_in_key.endswith(f"@{each}", autoescape=True) for each in domains)),
            ~asserted.exists(),
        )
        .order_by(_p.created_at, _p.id)
    )
    return _linkable(conn, book, conn.execute(query).all())


def _linkable(conn: Connection, book: RuleBook, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    found = candidates.local_people(conn, book, rows)
    return [row for row in rows if may_link(found[PersonId(row.id)])]


def document(row: Row[Any]) -> Document:
    """A local person's profile as a source would have to write it."""
    said: Document = {"userName": row.sign_in_address, "displayName": row.display_name, "active": True}
    said["emails"] = [{"value": row.sign_in_address, "primary": True}]
    return said | dict(row.profile)


def as_user(row: Row[Any]) -> StoredUser:
    """The person as a resource; version 0, which no assertion has."""
    return StoredUser(
        person_id=row.id,
        document=pack(document(row)),
        version=0,
        rest=row.rest,
        created_at=row.created_at,
        changed_at=row.changed_at,
        extension=None if row.extension is None else bytes(row.extension),
    )
