"""Merge: two records of one human become one person; both ids answer from then on.

The one that is *kept* stays who they are: name, address, credentials, approval, local profile. From
the *other* come what sources assert and the memberships that go with it, grants by hand, gates,
what they hold of limited things, and the seat where only they held one. What is left of the other is
tombstoned and cannot be restored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, select, update

from scimd.core.errors import NotAllowedNow
from scimd.core.events import Event, EventKind
from scimd.core.people import GroupId, PersonId, SourceId
from scimd.core.resource import meta_part
from scimd.db.among import among
from scimd.db.last_changed import not_before
from scimd.db.locks import insert_ignore
from scimd.db.tables import (
    assertions,
    gates,
    grants,
    group_members,
    links,
    merged_people,
    people,
    waiting,
)
from scimd.org import permissions
from scimd.org.authentication import credentials
from scimd.org.grants import manual_grants, pools
from scimd.org.groups import group_versions
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand
from scimd.org.users import gates as hand


async def merge(door: Door, ctx: Context, kept_id: PersonId, other_id: PersonId) -> None:
    """Make one person of two. Whoever becomes whom a source asserts comes to all that it gives.

    Raises NotAllowedNow with the name of the source where one source asserts both: to it they are two.
    Raises NotFound, Forbidden, OwnAccount, SeatLimitReached, Protected.
    """
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> None:
        kept, other = _both(tx, kept_id, other_id)
        for source_id in sorted({**_assertions(tx, kept.id), **_assertions(tx, other.id)}):
            by_hand.must_hold_what_it_gives(tx, source_id)
        moved = absorb(tx, kept, other)
        before = {"person": other.id, "display_name": other.display_name}
        tx.record(Event(EventKind.PERSON_MERGED, "person", kept.id, before=before, after=moved))

    await door.run(ctx, body)


def _both(tx: Tx, kept_id: PersonId, other_id: PersonId) -> tuple[Row[Any], Row[Any]]:
    if kept_id == other_id:
        raise NotAllowedNow("That is one and the same person.")
    rows = {person_id: by_hand.person(tx, person_id) for person_id in sorted((kept_id, other_id))}
    return rows[kept_id], rows[other_id]


def absorb(tx: Tx, kept: Row[Any], other: Row[Any]) -> dict[str, Any]:
    """Move everything of the other to the kept one; gives what was moved, for the audit."""
    for row in (kept, other):
        by_hand.not_oneself(tx, PersonId(row.id), "merge")
        by_hand.must_be_a_person(row, "it is nobody else")
    moved: dict[str, Any] = {"sources": _move_assertions(tx, kept, other)}
    groups = move_memberships(tx, PersonId(other.id), PersonId(kept.id))
    moved["grants"] = _unite_grants(tx, PersonId(kept.id), PersonId(other.id))
    moved["gates"] = _unite_gates(tx, PersonId(kept.id), PersonId(other.id))
    _hand_over_seat(tx, kept, other)
    pools.hand_over(tx, PersonId(other.id), PersonId(kept.id))
    _bury(tx, kept, other, moved)
    tx.regrouped.add(PersonId(kept.id))
    tx.merged.add(PersonId(kept.id))
    by_hand.wants_seat(tx, PersonId(kept.id))
    return {
        "sources": sorted(by_hand.source_name(tx, each) for each in moved["sources"]),
        "groups": len(groups),
        "grants": sorted(f"{each['kind']} {each['target']}" for each in moved["grants"]),
        "gates": sorted(each["kind"] for each in moved["gates"]),
    }


# ------------------------------------------------------------------------------ what sources say


def _assertions(tx: Tx, person_id: str) -> dict[SourceId, str]:
    column = assertions.c
    query = select(column.source_id, column.state).where(
        column.org_id == tx.org_id, column.person_id == person_id
    )
    return {SourceId(row.source_id): row.state for row in tx.conn.execute(query)}


def _move_assertions(tx: Tx, kept: Row[Any], other: Row[Any]) -> list[SourceId]:
    """The sources that assert the kept person from now on."""
    theirs, own = _assertions(tx, other.id), _assertions(tx, kept.id)
    for source_id in sorted(theirs):
        if theirs[source_id] == own.get(source_id) == "live":
            raise NotAllowedNow(
                f"{by_hand.source_name(tx, source_id)} asserts both {kept.display_name} and "
                f"{other.display_name}: to it they are two people. Remove one of them there first."
            )
    moving = [each for each, state in theirs.items() if state == "live" or own.get(each) is None]
    _drop(tx, kept.id, [each for each in moving if each in own])
    assert_as(tx, PersonId(other.id), PersonId(kept.id), moving)
    mine = (assertions.c.org_id == tx.org_id) & (assertions.c.person_id == other.id)
    # What stays behind is nobody's: a return by its external id must not undo the merge.
    tx.conn.execute(update(assertions).where(mine).values(state="history", digest=None))
    return sorted(each for each in moving if theirs[each] == "live")


def assert_as(tx: Tx, from_id: PersonId, to_id: PersonId, source_ids: Sequence[SourceId]) -> None:
    """What these sources say of the one they say of the other from now on."""
    mine = (assertions.c.org_id == tx.org_id) & (assertions.c.person_id == from_id)
    column = assertions.c
    query = select(column.source_id, column.version, column.created_at, column.changed_at, column.state)
    for row in tx.conn.execute(query.where(mine, among(tx.conn, assertions.c.source_id, source_ids))).all():
        # The resource has another id now: whoever holds the old version reads it again.
        version = row.version + tx.step
        changed_at = not_before(row.changed_at, tx.now)
        meta = meta_part(to_id, row.created_at, changed_at, version)
        tx.conn.execute(
            update(assertions)
            .where(mine, assertions.c.source_id == row.source_id)
            .values(person_id=to_id, version=version, changed_at=changed_at, meta=meta)
        )
        if row.state == "live":
            # One went and another came: the list is ordered by ids, too.
            tx.went(row.source_id, "user", 1)
            tx.came(row.source_id, "user", 1)


def _drop(tx: Tx, person_id: str, source_ids: list[SourceId]) -> None:
    """What these sources said of the person once; they say something new now."""
    mine = (assertions.c.org_id == tx.org_id) & (assertions.c.person_id == person_id)
    tx.conn.execute(assertions.delete().where(mine, among(tx.conn, assertions.c.source_id, source_ids)))


def move_memberships(
    tx: Tx, from_id: PersonId, to_id: PersonId, source_id: SourceId | None = None
) -> set[GroupId]:
    """Make the one the member wherever the other is, in the groups of one source or of all."""
    column = group_members.c
    query: Select[Any] = select(column.group_id, column.source_id, column.since).where(
        column.org_id == tx.org_id, column.person_id == from_id
    )
    if source_id is not None:
        query = query.where(column.source_id == source_id)
    rows = tx.conn.execute(query).all()
    if not rows:
        return set()
    found = {GroupId(row.group_id) for row in rows}
    tx.conn.execute(
        group_members.delete().where(
            column.org_id == tx.org_id,
            column.person_id == from_id,
            among(tx.conn, column.group_id, sorted(found)),
        )
    )
    tx.conn.execute(
        insert_ignore(tx.conn, group_members),
        [row._asdict() | {"org_id": tx.org_id, "member_key": to_id, "person_id": to_id} for row in rows],
    )
    group_versions.raise_versions(tx, found)
    tx.regrouped.update((from_id, to_id))
    return found


# ------------------------------------------------------------------------------ what hands did


def _unite_grants(tx: Tx, kept_id: PersonId, other_id: PersonId) -> list[Mapping[str, Any]]:
    """Give the kept person what a hand gave the other; gives what they had not."""
    column = grants.c
    by_hand_ = (column.org_id == tx.org_id) & (column.origin == "manual") & column.until.is_(None)
    theirs = tx.conn.execute(select(grants).where(by_hand_, column.person_id == other_id)).all()
    given = manual_grants.give_back(tx, kept_id, [manual_grants.as_kept(row) for row in theirs], tx.now)
    manual_grants.end(tx, theirs)
    return given


def _unite_gates(tx: Tx, kept_id: PersonId, other_id: PersonId) -> list[dict[str, Any]]:
    """What an admin closed stays closed: merging is no way around a gate. ``new``: the kept had it not."""
    column = gates.c
    mine = (column.org_id == tx.org_id) & (column.person_id == other_id)
    rows = tx.conn.execute(select(gates).where(mine)).all()
    closed = []
    for row in rows:
        made = tx.conn.execute(insert_ignore(tx.conn, gates), row._asdict() | {"person_id": kept_id})
        gate = {"kind": row.kind, "source_id": row.source_id, "by": row.by}
        closed.append(gate | {"new": made.rowcount > 0})
    tx.conn.execute(gates.delete().where(mine))
    return closed


# ------------------------------------------------------------------------------ what is left


def _hand_over_seat(tx: Tx, kept: Row[Any], other: Row[Any]) -> None:
    """One seat for one person: nobody who waits has a turn before whoever sits on it already."""
    if not other.has_seat or kept.has_seat or kept.status == "inactive":
        return
    for row, has in ((other, False), (kept, True)):
        mine = (people.c.org_id == tx.org_id) & (people.c.id == row.id)
        tx.conn.execute(update(people).where(mine).values(has_seat=has))
        tx.record(Event(EventKind.SEAT_TAKEN if has else EventKind.SEAT_FREED, "person", row.id))
    tx.conn.execute(waiting.delete().where(waiting.c.org_id == tx.org_id, waiting.c.person_id == kept.id))


def _bury(tx: Tx, kept: Row[Any], other: Row[Any], moved: dict[str, Any]) -> None:
    credentials.drop_all(tx, [PersonId(other.id)])
    theirs = (links.c.org_id == tx.org_id) & (links.c.person_id == other.id)
    tx.conn.execute(links.delete().where(theirs))
    # Whoever was merged into the other is the kept one now, too.
    merged = (merged_people.c.org_id == tx.org_id) & (merged_people.c.person_id == other.id)
    earlier = tx.conn.execute(
        update(merged_people).where(merged).values(person_id=kept.id).returning(merged_people.c.id)
    )
    moved = {**moved, "earlier": sorted(earlier.scalars())}
    row = {"org_id": tx.org_id, "id": other.id, "person_id": kept.id, "since": tx.now, "moved": moved}
    tx.conn.execute(merged_people.insert().values(row))
    hand.bury(tx, other)
