"""People as sources push them: record, drop, and the calls of the SCIM edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Row, bindparam, select

from scimd.core.errors import NotFound, NotYours, VersionMismatch
from scimd.core.people import Document, PersonId
from scimd.core.resource import StoredUser, unpack
from scimd.db.prepared import Locking
from scimd.db.tables import people
from scimd.org import candidates, linkable, reads
from scimd.org.incoming import Asserted, AssertUser
from scimd.org.leaving import Dropped, DropUser, drop_users
from scimd.org.recording import record_users
from scimd.org.tx import Context, Door, Tx

__all__ = [
    "AssertUser",
    "Asserted",
    "DropUser",
    "Dropped",
    "change_user",
    "create_user",
    "delete_user",
    "drop_users",
    "record_users",
]


async def create_user(door: Door, ctx: Context, wish: AssertUser) -> StoredUser:
    """Create a user, or bring back one who fits. Raises NotUnique, InvalidValue, SeatLimitReached.

    A collision leaves an item to decide behind, which the refusal names.
    """

    def body(tx: Tx) -> Asserted | StoredUser:
        (asserted,) = record_users(tx, [wish], fresh=True)
        if asserted.person_id is not None:
            tx.refuse_without_seat.add(asserted.person_id)
        return asserted

    return _made(await door.run(ctx, body, then=_as_stored))


def _as_stored(tx: Tx, result: Asserted | StoredUser) -> Asserted | StoredUser:
    if isinstance(result, StoredUser) or result.person_id is None:
        return result
    return reads.user_as_written(tx, result.person_id)


def _made(result: Asserted | StoredUser) -> StoredUser:
    """Raised only after the commit: the item to decide has to stay."""
    if isinstance(result, StoredUser):
        return result
    assert result.refusal is not None  # noqa: S101 - what is not recorded was refused
    raise result.refusal


async def change_user(
    door: Door,
    ctx: Context,
    person_id: PersonId,
    change: Callable[[Document], Document],
    *,
    if_match: Callable[[int], bool] | None = None,
) -> StoredUser:
    """Change one user's document, or link a local person by it.

    ``change`` is pure and gives the new complete document; where it is as it was, nothing is
    written. Raises NotFound, VersionMismatch, NotUnique, InvalidValue, SeatLimitReached, Protected.
    """

    def body(tx: Tx) -> Asserted | StoredUser:
        document, stored = _present(tx, person_id, if_match)
        new = change(document)
        # A person's seat is asked for by name here; what groups give waits.
        tx.refuse_without_seat.add(person_id)
        wish = AssertUser(
            new,
            new.get("externalId"),
            person_id,
            # The sync's own notes stay.
            digest=stored.digest if stored else None,
            entry_name=stored.entry_name if stored else None,
            run_id=stored.seen_run_id if stored else None,
        )
        (asserted,) = record_users(tx, [wish], stored=() if stored is None else (stored,))
        if asserted.refusal is not None:
            raise asserted.refusal
        return asserted

    return _made(await door.run(ctx, body, then=_as_stored))


_LOCK = Locking(
    select(people.c.id).where(people.c.org_id == bindparam("org_id"), people.c.id == bindparam("id"))
)


def _present(
    tx: Tx, person_id: PersonId, if_match: Callable[[int], bool] | None
) -> tuple[Document, Row[Any] | None]:
    """The document as it is, locked, and the assertion that holds it; None for a local person's."""
    source_id = reads.source_of(tx.ctx)
    _LOCK.wait(tx.conn, {"org_id": tx.org_id, "id": person_id})
    row = candidates.of_person(tx.conn, tx.org_id, source_id, person_id)
    if row is not None and row.state == "live":
        tx.locked.add(person_id)
        _must_match(person_id, row.version, if_match)
        return unpack(row.document), row
    local = linkable.one(tx.conn, tx.book, person_id)
    if local is None:
        raise NotFound("user", person_id)
    tx.locked.add(person_id)
    _must_match(person_id, 0, if_match)
    return linkable.document(local), row


def _must_match(person_id: PersonId, version: int, if_match: Callable[[int], bool] | None) -> None:
    if if_match is not None and not if_match(version):
        raise VersionMismatch(person_id, str(version))


async def delete_user(
    door: Door, ctx: Context, person_id: PersonId, *, if_match: Callable[[int], bool] | None = None
) -> None:
    """SCIM DELETE. Raises NotFound, NotYours (a local person), VersionMismatch, Protected."""

    def body(tx: Tx) -> None:
        if linkable.one(tx.conn, tx.book, person_id) is not None:
            raise NotYours(person_id)
        _present(tx, person_id, if_match)
        (dropped,) = drop_users(tx, [DropUser(person_id, deleted=True)])
        if dropped.refusal is not None:
            raise dropped.refusal

    await door.run(ctx, body)
