"""Moving a person to another organization: a new person there, and the old one tombstoned here.

Only somebody without a source moves, and only an operator moves them. The two organizations are
changed one after the other, for no transaction reaches over two. Leaving is rehearsed before the new
person is made, so that a refusal on either side leaves everything as it was; a crash in between leaves
both, and moving again ends the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, select

from scimd.core.errors import NotAllowedNow
from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId, address_key
from scimd.core.roles import USER
from scimd.db.tables import events, people
from scimd.org import permissions
from scimd.org.authentication import links
from scimd.org.grants import assignments
from scimd.org.organizations import organizations
from scimd.org.rehearsal import rehearse
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand, gates, local_people


async def move(door: Door, ctx: Context, person_id: PersonId, to_slug: str) -> PersonId:
    """Move the person; gives the id of the new one, who has the role User and the default project.

    They sign in anew there, by a link to set a password. Raises Forbidden for whoever is no operator,
    or lacks a permission that the person has; NotFound, OwnAccount, OwnedBySource; NotUnique where the
    address is taken there, SeatLimitReached there.
    """
    permissions.require_operator(ctx, "users.manage")
    target = await organizations.by_slug(door, to_slug)
    if target.id == ctx.org_id:
        raise NotAllowedNow("The person is in that organization already.")

    async def leave(by: Door) -> Row[Any]:
        return await by.run(ctx, lambda tx: _leave(tx, person_id, target.slug))

    row, _ = await rehearse(door, leave)
    new_id = await _arrive(door, replace(ctx, org_id=target.id), row)
    await leave(door)
    return new_id


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
        tx.record(Event(EventKind.PERSON_MOVED, "person", person_id, after=_came_from(row)))
        return person_id

    return await door.run(ctx, body)


def _moved_before(tx: Tx, row: Row[Any]) -> PersonId | None:
    """The person whom an earlier call for the same one, cut off half-way, has made already."""
    query = (
        select(people.c.id, events.c.body)
        .join(events, (events.c.org_id == people.c.org_id) & (events.c.target_id == people.c.id))
        .where(
            people.c.org_id == tx.org_id,
            people.c.sign_in_key == address_key(row.sign_in_address),
            people.c.deleted_at.is_(None),
            events.c.kind == EventKind.PERSON_MOVED,
        )
    )
    moved = (PersonId(each.id) for each in tx.conn.execute(query) if _after(each.body) == _came_from(row))
    return next(moved, None)


def _after(body: Mapping[str, Any] | None) -> object:
    return body.get("after") if body else None  # None: erased


def _came_from(row: Row[Any]) -> dict[str, str]:
    return {"from": row.org_id, "person": row.id}


def _leave(tx: Tx, person_id: PersonId, to_slug: str) -> Row[Any]:
    """Gives the row of who moves, as it was. Raises what stands against it."""
    by_hand.not_oneself(tx, person_id, "move")
    row = by_hand.person(tx, person_id)
    gates.must_be_nobodys(tx.conn, row)
    if row.kind == "service" or not row.sign_in_address:
        raise NotAllowedNow(f"{row.display_name} has no address to come in by elsewhere.")
    gates.bury(tx, row)
    before = {"to": to_slug, "display_name": row.display_name}
    tx.record(Event(EventKind.PERSON_MOVED, "person", person_id, before=before))
    return row
