"""People as sources push them: record, drop, and the calls of the SCIM edge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Row

from scimd.core.attributes import ResourceKind
from scimd.core.errors import AddressDiffers, NotFound, NotYours, VersionMismatch
from scimd.core.people import Document, PersonId, address_key, sign_in_address
from scimd.core.resource import StoredUser, unpack
from scimd.core.travelling import travels
from scimd.db.prepared import ahead
from scimd.org.grants import seats
from scimd.org.groups import group_versions
from scimd.org.identities import candidates, linkable, merged
from scimd.org.reading import reads
from scimd.org.together import Kind, Outcome
from scimd.org.tx import Context, Door, Tx
from scimd.org.users.incoming import Asserted, AssertUser
from scimd.org.users.leaving import Dropped, DropUser, drop_users
from scimd.org.users.recording import record_users

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

#: What became of a user: as recorded, and at last as stored.
Made: TypeAlias = Asserted | StoredUser


async def create_user(door: Door, ctx: Context, wish: AssertUser) -> StoredUser:
    """Create a user, or bring back one who fits. Raises NotUnique, InvalidValue, SeatLimitReached.

    A collision leaves an item to decide behind, which the refusal names.
    """
    return _made(await _CREATE.run(door, ctx, wish, _claims(wish)))


def _claims(wish: AssertUser) -> list[str]:
    """Of two who bring the same name or id, the second has to meet the first."""
    name = wish.document.get("userName")
    said = (("userName", name), ("externalId", wish.external_id))
    return [f"{key} {value.casefold()}" for key, value in said if isinstance(value, str)]


def _create(tx: Tx, wishes: Sequence[AssertUser]) -> list[Outcome[Made]]:
    ahead(tx.conn, tx.books.asked_of(tx.org_id), seats.asked_of_pool(tx))
    seats.look(tx)
    asserted = record_users(tx, wishes, fresh=True)
    _are_about(tx, enumerate(asserted))
    return list(asserted)


def _are_about(tx: Tx, many: Iterable[tuple[int, Asserted]]) -> None:
    """Say whose call is about whom. A person's seat is asked for by name here; what groups give waits."""
    for call, asserted in many:
        if asserted.refusal is not None:
            tx.order_matters()  # whether they are refused may depend on those before
        if asserted.person_id is not None:
            tx.refuse_without_seat.add(asserted.person_id)
            tx.concerns(call, (asserted.person_id,))


def _as_stored(tx: Tx, outcomes: list[Outcome[Made]]) -> list[Outcome[Made]]:
    people_ids = [each.person_id for each in outcomes if isinstance(each, Asserted) and each.person_id]
    stored = reads.users_as_written(tx, people_ids)
    return [
        stored[each.person_id] if isinstance(each, Asserted) and each.person_id else each for each in outcomes
    ]


def _made(result: Made) -> StoredUser:
    """Raised only after the commit: the item to decide has to stay."""
    if isinstance(result, StoredUser):
        return result
    assert result.refusal is not None  # noqa: S101 - what is not recorded was refused
    raise result.refusal


class Change(Protocol):
    """A pure change of a document, as a value that ``pickle`` takes: another process may do it."""

    def __call__(self, stored: Document, users: ResourceKind) -> Document:
        """The new complete document; ``users``: what a user of this source may have."""
        ...


@travels
@dataclass(frozen=True, slots=True)
class _Change:
    """A change of one user's document."""

    person_id: PersonId
    change: Change
    if_match: Callable[[int], bool] | None


async def change_user(
    door: Door,
    ctx: Context,
    person_id: PersonId,
    change: Change,
    *,
    if_match: Callable[[int], bool] | None = None,
) -> StoredUser:
    """Change one user's document, or link a local person by it.

    Where ``change`` gives the document as it was, nothing is written. Somebody who was merged is found by
    the old id too. Raises NotFound, VersionMismatch, NotUnique, AddressDiffers, InvalidValue, Protected,
    SeatLimitReached.
    """

    async def changed(found: PersonId) -> StoredUser:
        return _made(await _CHANGE.run(door, ctx, _Change(found, change, if_match), (found,)))

    return await merged.follow(door, ctx.org_id, person_id, changed)


def _change(tx: Tx, wishes: Sequence[_Change]) -> list[Outcome[Made]]:
    stored = _lock_all(tx, [wish.person_id for wish in wishes])
    users = tx.book.source(tx.ctx.source_id).users
    outcomes: list[Outcome[Made]] = []
    wanted: dict[int, AssertUser] = {}
    for n, wish in enumerate(wishes):
        try:
            wanted[n] = _changed(tx, wish, users, stored.get(wish.person_id))
        except Exception as exc:  # raised to its caller: nothing was written for this one yet
            outcomes.append(exc)
        else:
            outcomes.append(Asserted(None, "refused"))  # until it is recorded
    rows = [row for n in wanted if (row := stored.get(wishes[n].person_id)) is not None]
    for n, asserted in zip(wanted, record_users(tx, list(wanted.values()), stored=rows), strict=True):
        outcomes[n] = asserted
        _are_about(tx, ((n, asserted),))
    return outcomes


def _changed(tx: Tx, wish: _Change, users: ResourceKind, stored: Row[Any] | None) -> AssertUser:
    present, address = _present(tx, wish.person_id, wish.if_match, stored)
    new = wish.change(present, users)
    if address is not None and _key(new) not in (address, _key(present)):
        raise AddressDiffers(wish.person_id)
    # The sync's own notes stay.
    kept = (stored.digest, stored.entry_name, stored.seen_run_id) if stored else (None, None, None)
    digest, entry_name, run_id = kept
    return AssertUser(
        new,
        new.get("externalId"),
        wish.person_id,
        digest=digest,
        entry_name=entry_name,
        run_id=run_id,
        before=present,
        # Whoever was deactivated is not active again because nothing is said of it any more.
        active=stored is None or stored.state != "live" or stored.active,
    )


def _key(document: Document) -> str | None:
    address = sign_in_address(document)
    return None if address is None else address_key(address)


_CREATE: Kind[AssertUser, Made] = Kind("create user", _create, _as_stored)
_CHANGE: Kind[_Change, Made] = Kind("change user", _change, _as_stored)


def _lock_all(tx: Tx, person_ids: Sequence[PersonId]) -> dict[PersonId, Row[Any]]:
    """What this source asserts, or asserted, of them, under their locks."""
    source_id = reads.source_of(tx.ctx)
    candidates.LOCK.wait(tx.conn, {"org_id": tx.org_id, "keys": person_ids})
    asked = candidates.asked_of_people(tx.org_id, source_id, person_ids)
    ahead(tx.conn, asked, tx.books.asked_of(tx.org_id))
    return candidates.of_people(tx.conn, tx.org_id, source_id, person_ids)


def _present(
    tx: Tx, person_id: PersonId, if_match: Callable[[int], bool] | None, row: Row[Any] | None
) -> tuple[Document, str | None]:
    """The document as it is, and of a local person the key of their address.

    ``row``: the locked assertion that may hold it.
    """
    if row is not None and row.state == "live":
        tx.locked.add(person_id)
        _must_match(person_id, row.version, if_match)
        return unpack(row.document), None
    local = linkable.one(tx.conn, tx.book, person_id)
    if local is None:
        raise NotFound("user", person_id)
    tx.locked.add(person_id)
    _must_match(person_id, linkable.version(local), if_match)
    return linkable.document(local), local.sign_in_key


def _must_match(person_id: PersonId, version: int, if_match: Callable[[int], bool] | None) -> None:
    if if_match is not None and not if_match(version):
        raise VersionMismatch(person_id, str(version))


async def delete_user(
    door: Door, ctx: Context, person_id: PersonId, *, if_match: Callable[[int], bool] | None = None
) -> None:
    """SCIM DELETE. Raises NotFound, NotYours (a local person), VersionMismatch, Protected."""

    async def deleted(found: PersonId) -> None:
        await _DELETE.run(door, ctx, _Deletion(found, if_match), (found,))

    await merged.follow(door, ctx.org_id, person_id, deleted)


@travels
@dataclass(frozen=True, slots=True)
class _Deletion:
    """The deletion of one user."""

    person_id: PersonId
    if_match: Callable[[int], bool] | None


def _delete(tx: Tx, wishes: Sequence[_Deletion]) -> list[Outcome[None]]:
    person_ids = [wish.person_id for wish in wishes]
    group_versions.lock_of(tx, reads.source_of(tx.ctx), person_ids)
    stored = _lock_all(tx, person_ids)
    outcomes: list[Outcome[None]] = []
    going: list[int] = []
    for n, wish in enumerate(wishes):
        try:
            _may_be_deleted(tx, wish, stored.get(wish.person_id))
        except (NotFound, NotYours, VersionMismatch) as refusal:
            outcomes.append(refusal)
        else:
            outcomes.append(None)
            going.append(n)
            tx.concerns(n, (wish.person_id,))
    dropped = drop_users(tx, [DropUser(wishes[n].person_id, deleted=True) for n in going])
    for n, done in zip(going, dropped, strict=True):
        outcomes[n] = done.refusal
    return outcomes


def _may_be_deleted(tx: Tx, wish: _Deletion, row: Row[Any] | None) -> None:
    here = row is not None and row.state == "live"
    if not here and linkable.one(tx.conn, tx.book, wish.person_id) is not None:
        raise NotYours(wish.person_id)
    _present(tx, wish.person_id, wish.if_match, row)


_DELETE: Kind[_Deletion, None] = Kind("delete user", _delete, lambda tx, outcomes: outcomes)
