"""Local people whom a source could link now, by rule 5 of matching: what its token sees of them.

Nobody asserts them, their address is in a verified domain, and they hold no permission. Mostly they are
few, but an organization that connects its first source may have all of its people among them.
The userName of their document is that address: by it an IdP looks for them, and matching meets them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    and_,
    bindparam,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    tuple_,
)

from scimd.core.people import Document
from scimd.core.resource import StoredUser, pack
from scimd.core.sync.match import may_link
from scimd.db.among import among, unindexed
from scimd.db.prepared import Prepared
from scimd.db.tables import LOCAL, assertions, grants, people
from scimd.org.identities import candidates
from scimd.org.rulebook import RuleBook

#: What only a source says of somebody, and no local profile.
OF_SOURCES = frozenset(("externalId", "active", "schemas"))

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
    """The one with this sign-in address (``people.address_key``)."""
    if sign_in_key.rpartition("@")[2] not in book.verified_domains:
        return None
    row = _HOLDER.first(conn, {"org_id": book.org_id, "key": sign_in_key})
    return row if row is not None and _may_be_linked(conn, book, row) else None


def _may_be_linked(conn: Connection, book: RuleBook, row: Row[Any]) -> bool:
    if row.sign_in_key is None or row.sign_in_key.rpartition("@")[2] not in book.verified_domains:
        return False
    local = candidates.local_person(conn, book, row)
    return local is not None and may_link(local)


@dataclass(frozen=True, slots=True)
class Bounds:
    """A filter on local people, whose documents stand in no column, as far as SQL can tell: whoever is
    ``surely`` among them fits, nobody fits who is not ``maybe``. ``fits`` says it of one between.
    """

    surely: ColumnElement[bool]
    maybe: ColumnElement[bool]
    fits: Callable[[StoredUser], bool]


class Local:
    """All of them whom a filter is about, in the order in which they came. Never read as a whole."""

    def __init__(self, conn: Connection, book: RuleBook, bounds: Bounds | None = None) -> None:
        self._conn = conn
        self._who = _all_of(book)
        if bounds is not None:
            self._who = and_(self._who, self._fitting(bounds))

    def _fitting(self, bounds: Bounds) -> ColumnElement[bool]:
        if bounds.surely is bounds.maybe:
            return bounds.surely
        open_ = self._conn.execute(select(people).where(self._who, bounds.maybe, not_(bounds.surely)))
        fitting = [row.id for row in open_ if bounds.fits(as_user(row))]
        return or_(bounds.surely, among(self._conn, _p.id, fitting)) if fitting else bounds.surely

    def count(self) -> int:
        return int(self._conn.execute(select(func.count()).select_from(people).where(self._who)).scalar_one())

    def page(self, after: tuple[datetime, str] | None, skip: int, count: int) -> Sequence[Row[Any]]:
        query = select(people).where(self._who).order_by(_p.created_at, _p.id)
        if after is not None:
            made, person_id = after
            query = query.where(
                tuple_(_p.created_at, _p.id) > tuple_(literal(made, _p.created_at.type), person_id)
            )
        return self._conn.execute(query.limit(count).offset(skip)).all()


def _all_of(book: RuleBook) -> ColumnElement[bool]:
    """What ``_may_be_linked`` says of one, of all: by the partial index of ``people``."""
    if not book.verified_domains:
        return false()
    a, g = assertions.c, grants.c
    asserted = select(a.person_id).where(a.org_id == _p.org_id, a.person_id == _p.id, a.state != "history")
    powerful = [name for name, role in book.rules.roles.items() if role.permissions]
    privileged = select(g.id).where(
        g.org_id == _p.org_id,
        g.person_id == _p.id,
        unindexed(g.kind) == "role",
        g.until.is_(None),
        g.target.in_(powerful),
    )
    return and_(
        _p.org_id == book.org_id,
        LOCAL,
        or_(
            *(_p.sign_in_key.endswith(f"@{each}", autoescape=True) for each in sorted(book.verified_domains))
        ),
        or_(_p.address_verified_at.is_not(None), not_(_p.accepted)),
        ~asserted.exists(),
        ~privileged.exists(),
    )


_ONE_MORE = Prepared(
    select(_p.id)
    .where(_p.org_id == bindparam("org_id"), LOCAL)
    .order_by(_p.created_at, _p.id)
    .limit(1)
    .offset(bindparam("few", type_=Integer))
)


def are_few(conn: Connection, book: RuleBook, few: int) -> bool:
    """No more than so many are without an owner: so many at most are looked at."""
    return _ONE_MORE.first(conn, {"org_id": book.org_id, "few": few}) is None


def document(row: Row[Any]) -> Document:
    """A local person's profile as a source would have to write it."""
    said: Document = {"userName": row.sign_in_address, "displayName": row.display_name}
    said["emails"] = [{"value": row.sign_in_address, "primary": True}]
    own = {key: value for key, value in row.profile.items() if key not in OF_SOURCES}
    return said | own | {"active": True}


def as_user(row: Row[Any]) -> StoredUser:
    """The person as a resource."""
    packed = pack(document(row))
    return StoredUser(
        person_id=row.id,
        document=packed,
        version=_version(row, packed),
        rest=row.rest,
        created_at=row.created_at,
        changed_at=row.changed_at,
        extension=None if row.extension is None else bytes(row.extension),
    )


def version(row: Row[Any]) -> int:
    """Another one whenever what is shown of the person is another, whoever changed it: nobody counts the
    changes of a local profile. It is that of no assertion, whose changes are counted.
    """
    return _version(row, pack(document(row)))


def _version(row: Row[Any], packed: bytes) -> int:
    shown = packed + row.changed_at.isoformat().encode()
    return int.from_bytes(blake2b(shown, digest_size=6).digest())
