"""Link and unlink by hand: whose a source's entry is, where the rules of matching say otherwise or nothing.

An entry is named by its external id or its userName. One that the source asserts as somebody else
moves over, if no hand has given that somebody anything; one that it does not assert is linked when it
comes. Unlink makes the entry a person of its own again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, or_, select, update
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import DecisionId, PersonId, SourceId, fold
from scimd.core.resource import unpack
from scimd.db.among import among
from scimd.db.last_changed import not_before
from scimd.db.tables import assertions, credentials, decisions, gates, grants, people
from scimd.org import permissions
from scimd.org.authentication import sessions
from scimd.org.decisions import decisions as items
from scimd.org.decisions.decisions import NewDecision
from scimd.org.generation import bump
from scimd.org.groups import group_versions
from scimd.org.identities import merging
from scimd.org.rulebook import SourceBook
from scimd.org.settling import profiles
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand, recording
from scimd.org.users.incoming import AssertUser
from scimd.org.users.names import shown_as

_a = assertions.c


async def link(door: Door, ctx: Context, person_id: PersonId, source: str, entry: str) -> bool:
    """Make the source's entry this person's; gives whether it is now, or only when the entry comes.

    Raises NotAllowedNow where the source asserts the person as another entry, or the entry as somebody
    who has something by hand (merge the two), and for a service account. Raises NotFound,
    OwnAccount, SeatLimitReached, and Forbidden, also for whoever lacks what the source can give.
    """
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> bool:
        by_hand.not_oneself(tx, person_id, "link")
        found = tx.book.source_named(source)
        by_hand.must_hold_what_it_gives(tx, found.id)
        holder = _holder(tx, found, entry)
        if holder == person_id:
            return True
        # In the order of their ids, as everybody locks people.
        ids = sorted({person_id, *([holder] if holder else [])})
        rows = {each: by_hand.person(tx, each) for each in ids}
        by_hand.must_be_a_person(rows[person_id], "no entry of a source is it")
        _must_be_free(tx, rows[person_id], found)
        if holder is None:
            _when_it_comes(tx, rows[person_id], found, entry)
            return False
        _nothing_by_hand(tx, rows[holder], found)
        moved = merging.absorb(tx, rows[person_id], rows[holder])
        before = {"person": holder, "display_name": rows[holder].display_name}
        after = {"source": found.name, "entry": entry, **moved}
        tx.record(Event(EventKind.PERSON_LINKED, "person", person_id, before=before, after=after))
        return True

    return await door.run(ctx, body)


def _named(entry: str) -> ColumnElement[bool]:
    return or_(_a.external_id == entry, _a.user_name_key == fold(entry))


def _holder(tx: Tx, source: SourceBook, entry: str) -> PersonId | None:
    """Whom the source asserts by this entry. Raises NotAllowedNow where two entries are called so."""
    query = select(_a.person_id).where(
        _a.org_id == tx.org_id, _a.source_id == source.id, _a.state == "live", _named(entry)
    )
    found = tx.conn.execute(query).scalars().all()
    if len(found) > 1:
        raise NotAllowedNow(f"{source.name} has two entries that {entry!r} may mean. Give the external id.")
    return PersonId(found[0]) if found else None


def _must_be_free(tx: Tx, row: Row[Any], source: SourceBook) -> None:
    query = select(_a.user_name).where(
        _a.org_id == tx.org_id,
        _a.source_id == source.id,
        _a.person_id == row.id,
        _a.state == "live",
    )
    if name := tx.conn.execute(query).scalar():
        raise NotAllowedNow(
            f"{source.name} asserts {row.display_name} already, as {name}. Unlink that first."
        )


def _nothing_by_hand(tx: Tx, row: Row[Any], source: SourceBook) -> None:
    """Raise NotAllowedNow where more than the source's word would move."""
    if why := _what_else(tx, row, source):
        raise NotAllowedNow(
            f"{source.name} asserts that entry as {row.display_name}, who {why}. Merge the two."
        )


def _what_else(tx: Tx, row: Row[Any], source: SourceBook) -> str:
    if row.accepted or row.profile:
        return "has an account of their own"
    others = select(_a.person_id).where(
        _a.org_id == tx.org_id, _a.person_id == row.id, _a.source_id != source.id, _a.state != "history"
    )
    queries: tuple[tuple[Select[Any], str], ...] = (
        (others, "is asserted by another source too"),
        (
            select(grants.c.id).where(
                grants.c.org_id == tx.org_id,
                grants.c.person_id == row.id,
                grants.c.origin == "manual",
                grants.c.until.is_(None),
            ),
            "has grants by hand",
        ),
        (select(gates.c.kind).where(gates.c.org_id == tx.org_id, gates.c.person_id == row.id), "has a gate"),
        (
            select(credentials.c.kind).where(
                credentials.c.org_id == tx.org_id, credentials.c.person_id == row.id
            ),
            "signs in here",
        ),
    )
    return next((why for query, why in queries if tx.conn.execute(query.limit(1)).first()), "")


# ------------------------------------------------------------------------------ when it comes


def _when_it_comes(tx: Tx, row: Row[Any], source: SourceBook, entry: str) -> None:
    """Answer the question before it is asked; matching looks here (``org.identities.matching``)."""
    _forget(tx, source.id, [entry], "An admin said whose entry it is.")
    items.answer_ahead(
        tx,
        NewDecision(
            kind="link",
            subject=items.subject_of(source.id, entry),
            question=f"{source.name} may bring {entry}. It is {row.display_name}.",
            options=(),
            facts={"person_id": row.id, "entry": entry},
            source_id=source.id,
        ),
        "link",
    )
    bump(tx)  # the book says which sources have such answers
    after = {"source": source.name, "entry": entry}
    tx.record(Event(EventKind.PERSON_LINKED, "person", row.id, after=after, note="when the entry comes"))


def _forget(tx: Tx, source_id: SourceId, names: list[str], why: str) -> None:
    """Answers about this entry no longer count, and questions about it are settled."""
    column = decisions.c
    subjects = {subject for each in names for subject in items.subjects_of(source_id, each)}
    query = select(column.id).where(
        column.org_id == tx.org_id,
        column.kind.in_(("link", "collision", "ambiguous")),
        among(tx.conn, column.subject, sorted(subjects)),
        column.state != "moot",
    )
    found = tx.conn.execute(query).scalars()
    items.close_moot(tx, {DecisionId(each): why for each in found}, also_answered=True)


# ------------------------------------------------------------------------------ unlink


async def unlink(door: Door, ctx: Context, person_id: PersonId, source: str) -> PersonId:
    """Make what the source says of the person somebody of its own again; gives the new person's id.

    The person keeps what hands gave, and gets back the profile of their own, or the next source's.
    Raises NotFound where the source does not assert them, NotAllowedNow where nothing else speaks of
    them, Forbidden, OwnAccount, Protected.
    """
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> PersonId:
        by_hand.not_oneself(tx, person_id, "unlink")
        row = by_hand.person(tx, person_id)
        found = tx.book.source_named(source)
        said = _said(tx, row, found)
        _must_remain(tx, row, found)
        to_history(tx, person_id, found.id)
        if row.owner_source_id == found.id:
            own_again(tx, row)
        wish = AssertUser(
            unpack(said.document), said.external_id, entry_name=said.entry_name, run_id=said.seen_run_id
        )
        new_id = recording.record_apart(tx, found, wish)
        merging.move_memberships(tx, person_id, new_id, found.id)
        group_versions.shown_again(tx, found.id, [new_id])
        tx.leaving.add(person_id)
        tx.regrouped.add(person_id)
        before = {"source": found.name, "display_name": row.display_name}
        tx.record(
            Event(EventKind.PERSON_UNLINKED, "person", person_id, before=before, after={"person": new_id})
        )
        return new_id

    return await door.run(ctx, body)


def _said(tx: Tx, row: Row[Any], source: SourceBook) -> Row[Any]:
    query = select(assertions).where(
        _a.org_id == tx.org_id, _a.source_id == source.id, _a.person_id == row.id, _a.state == "live"
    )
    said = tx.conn.execute(query).first()
    if said is None:
        raise NotFound("assertion of this person by this source")
    return said


def _must_remain(tx: Tx, row: Row[Any], source: SourceBook) -> None:
    elsewhere = [
        each for each in by_hand.asserting(tx.conn, tx.org_id, row.id) if each.source_id != source.id
    ]
    if not elsewhere and not row.profile:
        raise NotAllowedNow(
            f"{source.name} is all that speaks of {row.display_name}: there is nothing to unlink from."
        )


def to_history(tx: Tx, person_id: PersonId, source_id: SourceId) -> None:
    """What the source says, or said last, of the person becomes history. Raises NotFound."""
    mine = (
        (_a.org_id == tx.org_id)
        & (_a.source_id == source_id)
        & (_a.person_id == person_id)
        & (_a.state != "history")
    )
    said = tx.conn.execute(select(_a.state, _a.external_id, _a.user_name_key).where(mine)).first()
    if said is None:
        raise NotFound("assertion of this person by this source")
    _forget(tx, source_id, [each for each in said[1:] if each], "An admin took the entry from whose it was.")
    tx.conn.execute(update(assertions).where(mine).values(state="history", gone_at=tx.now, digest=None))
    if said.state == "live":
        tx.went(source_id, "user", 1)


def own_again(tx: Tx, row: Row[Any]) -> None:
    """Name and address of the person's own profile, which a source's document had covered.

    No address that is somebody else's by now, or in a domain that is another organization's; then, unless
    another source asserts the person, a question says so.
    """
    if not row.profile:
        return  # the next source's document is followed when the person is settled
    keys = profiles.own_keys(row)
    wanted = keys.sign_in_key
    closed = profiles.is_closed_to(tx, row, wanted)
    has = wanted is not None and not closed and profiles.holder_of(tx, wanted, row.id) is None
    key = wanted if has else None
    if wanted is not None and not has and not by_hand.asserting(tx.conn, tx.org_id, row.id):
        profiles.ask_without(tx, row, keys, closed=closed)
    tx.conn.execute(
        update(people)
        .where(people.c.org_id == tx.org_id, people.c.id == row.id)
        .values(
            **shown_as(keys.display_name),
            sign_in_address=keys.sign_in_address if has else None,
            sign_in_key=key,
            address_verified_at=row.address_verified_at if key == row.sign_in_key else None,
            changed_at=not_before(row.changed_at, tx.now),
        )
    )
    if row.sign_in_key not in (None, key):
        sessions.end_for(tx, [PersonId(row.id)], "address changed")
