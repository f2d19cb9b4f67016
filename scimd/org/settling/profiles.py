"""The profile follows its owner: name and sign-in address come from the owner's document.

A *sign-in address* belongs to one living person of an organization. The first keeps it; the second
has none, and an item to decide says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, select

from scimd.core.people import Keys, PersonId, SourceId, keys_of
from scimd.core.resource import unpack
from scimd.core.sync.match import losers
from scimd.db.among import among, one_of, rows_of
from scimd.db.prepared import Prepared
from scimd.db.tables import assertions, decisions, people
from scimd.org.authentication import sessions
from scimd.org.decisions.decisions import NewDecision, Option, open_item
from scimd.org.mails import notices
from scimd.org.organizations import domains
from scimd.org.settling import unsettled
from scimd.org.tx import Tx
from scimd.org.users import names


class Owned(NamedTuple):
    """A person, their row as stored, and the source that owns them now."""

    person_id: PersonId
    row: Row[Any]
    owner: SourceId | None


def follow(tx: Tx, many: Iterable[Owned]) -> dict[PersonId, dict[str, Any]]:
    """The columns of ``people`` that must become those of the owners' documents.

    Only for those who have a new owner, no address, or whose owner's document this body wrote.
    """
    documents = _documents(tx, [each for each in many if _is_due(tx, each)])
    if not documents:
        return {}
    closed = _closed(tx, documents)
    lost = _losers(tx, documents, closed)
    found = {}
    for owned, keys in documents:
        person_id = owned.person_id
        found[person_id] = _columns(owned.row, keys, has_address=person_id not in lost)
    _ask(tx, [(owned, keys) for owned, keys in documents if owned.person_id in lost], closed)
    _pass_on(tx, documents, found)
    return found


def _is_due(tx: Tx, owned: Owned) -> bool:
    if owned.owner is None or owned.row.deleted_at is not None:
        return False
    if owned.owner != owned.row.owner_source_id or (owned.person_id, owned.owner) in tx.profiles:
        return True
    # Had to do without, perhaps; the address may be free now.
    return owned.row.sign_in_key is None


_DOCUMENTS = Prepared(
    select(assertions.c.person_id, assertions.c.source_id, assertions.c.document).where(
        assertions.c.org_id == bindparam("org_id"), one_of(assertions.c.person_id)
    )
)


def _documents(tx: Tx, due: list[Owned]) -> list[tuple[Owned, Keys]]:
    """The keys of the owners' documents, in the order in which the body wrote them."""
    stored = [each for each in due if (each.person_id, each.owner) not in tx.profiles]
    loaded: dict[tuple[str, str], Keys] = {}
    if stored:
        rows = _DOCUMENTS.all(tx.beside, {"org_id": tx.org_id, "keys": [each.person_id for each in stored]})
        wanted = {(each.person_id, each.owner) for each in stored}
        loaded = {
            (row.person_id, row.source_id): keys_of(unpack(row.document))
            for row in rows
            if (row.person_id, row.source_id) in wanted
        }
    turn = {key: n for n, key in enumerate(tx.profiles)}
    due.sort(key=lambda each: (turn.get((each.person_id, SourceId(each.owner or "")), -1), each.person_id))
    found = []
    for each in due:
        key = (each.person_id, SourceId(each.owner or ""))
        keys = tx.profiles.get(key) or loaded.get(key)
        if keys is not None:
            found.append((each, _as_held(keys, each.row) if _keeps_address(tx, each, keys) else keys))
    return found


def _keeps_address(tx: Tx, owned: Owned, keys: Keys) -> bool:
    """Whether the person has an address that the owner's document does not replace.

    Linking and merging write none, whatever the entry says of it; nor does the owner's later word, until it
    brings another address than before.
    """
    row = owned.row
    if row.sign_in_key is None:
        return False
    linked = owned.person_id in tx.linked and row.owner_source_id is None
    if linked or owned.person_id in tx.merged:
        return True
    same = owned.owner == row.owner_source_id and (owned.person_id, owned.owner) in tx.same_address
    return same and row.sign_in_key != keys.sign_in_key


def _as_held(keys: Keys, row: Row[Any]) -> Keys:
    return replace(keys, sign_in_address=row.sign_in_address, sign_in_key=row.sign_in_key)


_HOLDERS = Prepared(
    select(people.c.id, people.c.sign_in_key).where(
        people.c.org_id == bindparam("org_id"), people.c.deleted_at.is_(None), one_of(people.c.sign_in_key)
    )
)


def _closed(tx: Tx, documents: list[tuple[Owned, Keys]]) -> set[PersonId]:
    """Who would get an address in a domain that another organization has proven; whoever has it keeps it."""
    looked_at = {
        owned.person_id: domains.of_address(keys.sign_in_key)
        for owned, keys in documents
        if keys.sign_in_key not in (None, owned.row.sign_in_key) and keys.sign_in_key not in tx.free_addresses
    }
    names = domains.anothers(tx.conn, tx.org_id, set(looked_at.values())) if looked_at else set()
    return {person_id for person_id, domain in looked_at.items() if domain in names}


def _losers(tx: Tx, documents: list[tuple[Owned, Keys]], closed: set[PersonId]) -> set[PersonId]:
    """Those whose address is, or is kept, somebody else's; ``closed`` are among them."""
    documents = [(owned, keys) for owned, keys in documents if owned.person_id not in closed]
    wanted = {owned.person_id: keys.sign_in_key for owned, keys in documents}
    keys = [key for key in wanted.values() if key is not None]
    if len(set(keys)) == len(keys) and tx.free_addresses.issuperset(keys):
        return closed  # each of the others has one of their own, which nobody held
    moving = [
        person_id
        for person_id, owned in ((owned.person_id, owned) for owned, _ in documents)
        if wanted[person_id] != owned.row.sign_in_key and wanted[person_id] is not None
    ]
    if not moving:
        return closed
    # Whoever is new is among the wanted, and not yet in the database.
    keys = [key for person_id in moving if (key := str(wanted[person_id])) not in tx.free_addresses]
    rows = _HOLDERS.all(tx.beside, {"org_id": tx.org_id, "keys": keys}) if keys else []
    others = {row.sign_in_key: PersonId(row.id) for row in rows if row.id not in wanted}
    held = {owned.person_id: owned.row.sign_in_key for owned, _ in documents}
    keepers = sorted(wanted, key=lambda person_id: held[person_id] != wanted[person_id])
    return losers(wanted, {}, others, keepers) | closed


def _columns(row: Row[Any], keys: Keys, *, has_address: bool) -> dict[str, Any]:
    address = keys.sign_in_address if has_address else None
    key = keys.sign_in_key if has_address else None
    same = key == row.sign_in_key
    return {
        **names.shown_as(keys.display_name),
        "sign_in_address": address,
        "sign_in_key": key,
        # Nobody has proved that they read mail at a new address.
        "address_verified_at": row.address_verified_at if same else None,
    }


def own_keys(row: Row[Any]) -> Keys:
    """Those of the person's own profile."""
    # That of a service account, which an earlier version let be linked, has no userName.
    return keys_of({"userName": row.local_user_name, **row.profile})


def holder_of(tx: Tx, key: str | None, apart_from: PersonId) -> str | None:
    """The name of somebody else who has the sign-in address of this key; None where it is free, or none."""
    column = people.c
    query = select(column.display_name).where(
        column.org_id == tx.org_id,
        column.sign_in_key == key,
        column.deleted_at.is_(None),
        column.id != apart_from,
    )
    return None if key is None else tx.conn.execute(query).scalar()


def is_closed_to(tx: Tx, row: Row[Any], key: str | None) -> bool:
    """Whether the person may not get that address: another organization has proven its domain."""
    return key not in (None, row.sign_in_key) and not domains.is_open(tx, str(key))


def ask_without(tx: Tx, row: Row[Any], keys: Keys, *, closed: bool) -> None:
    """Say, by a question, that somebody whom no source owns has not the address of their own profile.

    ``closed``: its domain is another organization's; else somebody else has it.
    """
    owned = Owned(PersonId(row.id), row, None)
    _ask(tx, [(owned, keys)], {owned.person_id} if closed else set())


def _ask(tx: Tx, many: list[tuple[Owned, Keys]], closed: set[PersonId]) -> None:
    """Put the question once: an admin who has answered is not asked at each push again."""
    by_subject = {f"{keys.sign_in_key} {owned.person_id}": (owned, keys) for owned, keys in many}
    if not by_subject:
        return
    column = decisions.c
    known = set(
        tx.conn.execute(
            select(column.subject).where(
                column.org_id == tx.org_id,
                column.kind == "shared_address",
                column.state != "moot",
                among(tx.conn, column.subject, list(by_subject)),
            )
        ).scalars()
    )
    for subject, (owned, keys) in by_subject.items():
        if subject not in known:
            open_item(tx, _without(subject, owned, keys, closed=owned.person_id in closed))


def _without(subject: str, owned: Owned, keys: Keys, *, closed: bool) -> NewDecision:
    why = (
        f"The address {keys.sign_in_address} of {keys.display_name} is in a domain that belongs to another "
        "organization, and closed to this one."
        if closed
        else f"{keys.display_name} and somebody else have the address {keys.sign_in_address}. "
        "Who came first signs in with it."
    )
    holder = "the domain is no other organization's any more" if closed else "its holder no longer has it"
    return NewDecision(
        kind="shared_address",
        subject=subject,
        question=f"{why} {keys.display_name} has no sign-in address.",
        options=(
            Option("leave", "Leave it so", "They keep no sign-in address."),
            Option("again", "Look again", f"Takes the address if {holder}."),
        ),
        facts={
            "person_id": owned.person_id,
            "address": keys.sign_in_address,
            "user_name": keys.user_name,
        },
        source_id=owned.owner,
    )


def _pass_on(
    tx: Tx, documents: list[tuple[Owned, Keys]], found: Mapping[PersonId, Mapping[str, Any]]
) -> None:
    """What a new address means for those who had another: sessions, keys and links of the old one end,
    the person is told, and somebody who had to do without may take it."""
    changed = [
        owned
        for owned, _ in documents
        if owned.row.sign_in_key not in (None, found[owned.person_id]["sign_in_key"])
    ]
    sessions.end_for(tx, [owned.person_id for owned in changed], "address changed")
    for owned in changed:
        notices.address_changed(tx, owned.row, found[owned.person_id]["sign_in_address"])
    release_addresses(tx, [owned.row.sign_in_key for owned in changed])


def _without_address() -> Prepared:
    """Whose assertion carries one of these addresses while they have none."""
    column, person = assertions.c, people.c
    return Prepared(
        select(column.person_id)
        .join(people, (person.org_id == column.org_id) & (person.id == column.person_id))
        .where(
            column.org_id == bindparam("org_id"),
            column.state == "live",
            one_of(column.sign_in_key),
            person.sign_in_key.is_(None),
            person.deleted_at.is_(None),
        )
    )


_WITHOUT = _without_address()


def release_addresses(tx: Tx, keys: list[str]) -> None:
    """Addresses that are free now may be those of people who had to do without: settle these anew."""
    if not keys:
        return
    waiting = sorted(set(_WITHOUT.column(tx.conn, {"org_id": tx.org_id, "keys": keys})))
    if waiting:
        unsettled.mark_all(tx, rows_of(tx.conn, waiting), unsettled.JOINERS)
