"""Unmerge: the undo of a merge, within 30 days, from what the merge wrote down.

Sources, memberships, grants by hand and gates that came from the other go back; what the kept person got
since stays theirs. The other's id is their own again. Their password is not: they are mailed a link.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select, update

from scimd.core.errors import NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId, SourceId
from scimd.db.among import among
from scimd.db.locks import insert_ignore
from scimd.db.tables import assertions, gates, grants, merged_people
from scimd.org import permissions
from scimd.org.authentication import links
from scimd.org.grants import manual_grants
from scimd.org.groups import group_versions
from scimd.org.identities import linking, merging
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand, returning
from scimd.org.users import gates as hand


async def unmerge(door: Door, ctx: Context, other_id: PersonId) -> PersonId:
    """Make two of them again; gives the id of the one who was kept.

    Raises NotFound for an id that was not merged, or 30 days ago; NotAllowedNow where what the other
    brought is gone by now; Forbidden, also where a role goes back that the caller could not give;
    OwnAccount, NotUnique, SeatLimitReached, Protected.
    """
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> PersonId:
        by_hand.makes_no_operator(tx.conn, tx.ctx)
        mine = (merged_people.c.org_id == tx.org_id) & (merged_people.c.id == other_id)
        merged = tx.conn.execute(select(merged_people).where(mine)).first()
        if merged is None or merged.since <= tx.now - hand.RESTORABLE_FOR:
            raise NotFound("merged person", other_id)
        kept, other = _both(tx, PersonId(merged.person_id), other_id)
        sources = _sources_back(tx, kept, other, merged.moved["sources"])
        if not sources and not other.profile:
            raise NotAllowedNow(f"Nothing speaks of {other.display_name} any more.")
        _grants_back(tx, kept, other, merged)
        _gates_back(tx, kept, other, merged.moved["gates"])
        _return(tx, other)
        tx.conn.execute(merged_people.delete().where(mine))
        tx.conn.execute(
            update(merged_people)
            .where(
                merged_people.c.org_id == tx.org_id,
                among(tx.conn, merged_people.c.id, merged.moved["earlier"]),
            )
            .values(person_id=other_id)
        )
        tx.leaving.add(PersonId(kept.id))
        tx.regrouped.update((PersonId(kept.id), other_id))
        after = {"person": other_id, "display_name": other.display_name}
        tx.record(Event(EventKind.PERSON_UNMERGED, "person", kept.id, after=after))
        return PersonId(kept.id)

    return await door.run(ctx, body)


def _both(tx: Tx, kept_id: PersonId, other_id: PersonId) -> tuple[Row[Any], Row[Any]]:
    """Locked in the order of their ids. Raises NotFound where somebody else was first."""
    rows = {
        each: by_hand.person(tx, each, also_deleted=each == other_id) for each in sorted((kept_id, other_id))
    }
    if rows[other_id].deleted_at is None:
        raise NotFound("merged person", other_id)
    for person_id in rows:
        by_hand.not_oneself(tx, person_id, "unmerge")
    return rows[kept_id], rows[other_id]


def _sources_back(tx: Tx, kept: Row[Any], other: Row[Any], source_ids: list[str]) -> list[SourceId]:
    """Those that still assert the kept person assert the other again."""
    column = assertions.c
    mine = (column.org_id == tx.org_id) & (column.person_id == kept.id) & (column.state == "live")
    live = tx.conn.execute(
        select(column.source_id).where(mine, among(tx.conn, column.source_id, source_ids))
    ).scalars()
    going = [SourceId(each) for each in sorted(live)]
    # What the other was once to the source makes room for what they are again.
    gone = (column.org_id == tx.org_id) & (column.person_id == other.id)
    tx.conn.execute(assertions.delete().where(gone, among(tx.conn, column.source_id, going)))
    merging.assert_as(tx, PersonId(kept.id), PersonId(other.id), going)
    if kept.owner_source_id in going:
        linking.own_again(tx, kept)
    for source_id in going:
        merging.move_memberships(tx, PersonId(kept.id), PersonId(other.id), source_id)
        group_versions.shown_again(tx, source_id, [PersonId(other.id)])
    return going


def _grants_back(tx: Tx, kept: Row[Any], other: Row[Any], merged: Row[Any]) -> None:
    column = grants.c
    by_hand_ = (column.org_id == tx.org_id) & (column.origin == "manual")
    came = {(each["kind"], each["target"], each["project_role"]) for each in merged.moved["grants"]}
    held = tx.conn.execute(
        select(grants).where(by_hand_, column.person_id == kept.id, column.until.is_(None))
    ).all()
    manual_grants.end(tx, [row for row in held if (row.kind, row.target, row.project_role) in came])
    theirs = select(grants).where(by_hand_, column.person_id == other.id, column.until == merged.since)
    given = [manual_grants.as_kept(row) for row in tx.conn.execute(theirs)]
    manual_grants.give_back(tx, PersonId(other.id), given, merged.since)


def _gates_back(tx: Tx, kept: Row[Any], other: Row[Any], closed: list[dict[str, Any]]) -> None:
    column = gates.c
    for gate in closed:
        this = (column.kind == gate["kind"]) & (column.source_id == gate["source_id"])
        if gate["new"]:
            tx.conn.execute(
                gates.delete().where(column.org_id == tx.org_id, column.person_id == kept.id, this)
            )
        row = {"org_id": tx.org_id, "person_id": other.id, "at": tx.now}
        row |= {name: gate[name] for name in ("kind", "source_id", "by")}
        tx.conn.execute(insert_ignore(tx.conn, gates), row)


def _return(tx: Tx, other: Row[Any]) -> None:
    returning.restore(tx, [other])
    person_id = PersonId(other.id)
    if other.owner_source_id is None and hand.take_address_back(tx, other):
        links.owe_set_password(tx, person_id, other.sign_in_address)
    hand.lift(tx, person_id, "deleted")
    by_hand.wants_seat(tx, person_id)
