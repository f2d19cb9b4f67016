"""Moving a person to another organization: a new person there, and the old one tombstoned here.

Only somebody without a source moves, and only an operator moves them. The two organizations are
changed one after the other, for no transaction reaches over two: first the new person, so that a
refusal (no seat) leaves everything as it was; a crash in between leaves both, and moving again ends
the old one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, select

from scimd.core.errors import NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId, fold
from scimd.core.roles import USER
from scimd.db.tables import events, people
from scimd.org import assignments, by_hand, gates, links, local_people, organizations, permissions
from scimd.org.tx import Context, Door, Tx


async def move(door: Door, ctx: Context, person_id: PersonId, to_slug: str) -> PersonId:
    """Move the person; gives the id of the new one, who has the role User and the default project.

    They sign in anew there, by a link to set a password. Raises Forbidden for whoever is no operator,
    NotFound, OwnedBySource, NotUnique where the address is taken there, SeatLimitReached there.
    """
    permissions.require_operator(ctx, "users.manage")
    target = await organizations.by_slug(door, to_slug)
    if target.id == ctx.org_id:
        raise NotAllowedNow("The person is in that organization already.")
    row = await door.read(lambda conn: _row(conn, ctx.org_id, person_id))
    there = replace(ctx, org_id=target.id)
    new_id = await _arrive(door, there, row)
    await door.run(ctx, lambda tx: _leave(tx, person_id, target.slug))
    return new_id


def _row(conn: Connection, org_id: OrgId, person_id: PersonId) -> Row[Any]:
    """Who moves. Raises NotFound, NotAllowedNow, OwnedBySource."""
    query = select(people).where(
        people.c.org_id == org_id, people.c.id == person_id, people.c.deleted_at.is_(None)
    )
    row = conn.execute(query).first()
    if row is None:
        raise NotFound("person", person_id)
    gates.must_be_nobodys(conn, row)
    if row.kind == "service" or not row.sign_in_address:
        raise NotAllowedNow(f"{row.display_name} has no address to come in by elsewhere.")
    return row


async def _arrive(door: Door, ctx: Context, row: Row[Any]) -> PersonId:
    def body(tx: Tx) -> PersonId:
        moved = _moved_before(tx, row)
        if moved is not None:
            return moved
        person_id = local_people.make(
            tx, row.sign_in_address, None, row.profile.get("displayName"), welcome="set_password"
        )
        assignments.assign_new(tx, person_id, USER, None, None)
        if not tx.book.rules.approval_required:
            links.owe_set_password(tx, person_id, row.sign_in_address)
        after = {"from": row.org_id, "person": row.id}
        tx.record(Event(EventKind.PERSON_MOVED, "person", person_id, after=after))
        return person_id

    return await door.run(ctx, body)


def _moved_before(tx: Tx, row: Row[Any]) -> PersonId | None:
    """The person whom an earlier call, cut off half-way, has made already."""
    query = (
        select(people.c.id)
        .join(events, (events.c.org_id == people.c.org_id) & (events.c.target_id == people.c.id))
        .where(
            people.c.org_id == tx.org_id,
            people.c.sign_in_key == fold(row.sign_in_address),
            people.c.deleted_at.is_(None),
            events.c.kind == EventKind.PERSON_MOVED,
        )
    )
    found = tx.conn.execute(query).scalar()
    return PersonId(found) if found else None


def _leave(tx: Tx, person_id: PersonId, to_slug: str) -> None:
    row = by_hand.person(tx, person_id)
    gates.must_be_nobodys(tx.conn, row)
    gates.bury(tx, row)
    before = {"to": to_slug, "display_name": row.display_name}
    tx.record(Event(EventKind.PERSON_MOVED, "person", person_id, before=before))
