"""The end of a source by an admin's word: its people are removed, or kept as local people.

Removed is as a complete read without anybody would remove, had somebody approved it: whom another source
asserts goes over to it, the rest become Inactive. Kept is whom the source asserts as active: what it said
last is their own profile from then on, and who never accepted an invitation is sent one. What its groups
gave goes either way, as by ``detach``.

The source is paused first, and its people go in batches, the admins among them before all others: the first
few hundred in the call, of a large source the rest in the worker. That an end was begun stands in the
source's row; whoever goes on with it, after a restart too, takes whom it asserts still.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, exists, literal, select, tuple_, update

from scimd.core.errors import NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import DecisionId, GroupId, OrgId, PersonId, SourceId
from scimd.db.among import among
from scimd.db.locks import lock_row
from scimd.db.tables import assertions, decisions, gates, groups, sources
from scimd.org import permissions, timekeeping
from scimd.org.decisions import decisions as items
from scimd.org.declared.declared_keys import THE_FILE
from scimd.org.generation import bump
from scimd.org.groups import groups as org_groups
from scimd.org.identities import detaching
from scimd.org.pace import Pace
from scimd.org.runs import runs
from scimd.org.settling import unsettled
from scimd.org.sources import held_changes, rule_previews
from scimd.org.sources.rule_previews import End, Preview, Wish
from scimd.org.sources.source_states import change_state, unpaused
from scimd.org.sources.sources import SourceRecord, find
from scimd.org.tx import Actor, Context, Door, Tx
from scimd.org.users import by_hand, leaving

#: So many of its people go in the call itself; and in one of the worker's, between two looks at the clock.
IN_THE_CALL = 500
_AT_ONCE, _GROUPS_AT_ONCE = 100, 10
#: So long one batch may keep SQLite's other writers waiting.
_HOLD_S = 0.03
_a = assertions.c


async def preview(
    door: Door, ctx: Context, source_id: SourceId, people: End, at_most: int | None = None
) -> Preview:
    """Who would lose what by the end; changes nothing. Also of a source that the file declares.

    Where it has more people than it looks at, that alone holds it. Raises NotFound, Forbidden.
    """
    permissions.require(ctx, "sources.manage")
    _, wish = await _looked(door, ctx, source_id, people)
    return await _told(door, wish, at_most)


async def _told(door: Door, wish: Wish, at_most: int | None) -> Preview:
    told = await rule_previews.look(door, wish, at_most)
    if told.looked_at == told.concerned:
        return told
    unseen = f"It concerns {told.concerned} people, and only the first {told.looked_at} were looked at."
    return replace(told, held=(*told.held, unseen))


async def _looked(door: Door, ctx: Context, source_id: SourceId, people: End) -> tuple[SourceRecord, Wish]:
    def body(conn: Connection) -> tuple[SourceRecord, Wish]:
        source = find(conn, ctx.org_id, source_id)
        return source, rule_previews.ended(conn, door.books.of(conn, ctx.org_id), source, people)

    return await door.read(body)


async def end(
    door: Door,
    ctx: Context,
    source_id: SourceId,
    people: End,
    *,
    sure: bool = False,
    file: str = THE_FILE,
    way_out: str = "Confirm it (--yes).",
    at_most: int | None = None,
) -> Preview:
    """End the source for good, and tell who loses what by it. Its name is not given again.

    What is left of a large source then goes by ``go_on``, or by the worker. Over the source's limits, and
    where ``at_most`` leaves people out of the look, only when ``sure``. Raises NotAllowedNow besides for one
    that ``file`` declares or that is being ended otherwise, and where people are to be kept whom the source
    never let in; NotFound, Forbidden, Protected for the last Account Admin.
    """
    permissions.require(ctx, "sources.manage")
    source, wish = await _looked(door, ctx, source_id, people)
    _must_be_endable(source, people, file)
    told = await _told(door, wish, at_most)
    if told.held and not sure and source.ending is None:
        raise NotAllowedNow(held_changes.refusal(told.held, way_out))
    await door.run(replace(ctx, source_id=source.id), partial(_begin, people=people))
    await go_on(door, ctx, source.id)
    return told


async def go_on(door: Door, ctx: Context, source_id: SourceId) -> int | None:
    """Go on with an end that was begun, for some of its people; gives how many are left, None: it is ended.

    Who may was asked when it began. Several may go on with the same end.
    """
    pace, walk, done = Pace(door, _AT_ONCE, hold_s=_HOLD_S), _Walk(), 0
    while done < IN_THE_CALL:
        gone = await pace.run(replace(ctx, source_id=source_id), partial(_go_on, walk=walk, most=pace.size))
        if not gone:
            break
        done += gone
        await door.db.give_way()
    return await left(door, ctx.org_id, source_id)


async def left(door: Door, org_id: OrgId, source_id: SourceId) -> int | None:
    """How many people the source has still; None once it is ended."""
    try:
        return (await door.read(lambda conn: find(conn, org_id, source_id))).user_count
    except NotFound:
        return None


async def go_on_all(door: Door, troubles: timekeeping.Troubles | None = None, *, budget_s: float) -> int:
    """Go on with the ends that were begun, in each organization for so long at most. A job."""
    begun = sources.c.ending.is_not(None) & sources.c.ended_at.is_(None)
    owners = select(sources.c.org_id).where(begun).distinct()

    async def end_sources(door: Door, org_id: OrgId) -> int:
        stop_at = time.monotonic() + budget_s
        query = select(sources.c.id, sources.c.ending).where(sources.c.org_id == org_id, begun)
        rows = await door.read(lambda conn: conn.execute(query.order_by(sources.c.id)).all())
        for row in rows:
            ctx = Context(org_id, Actor(*row.ending["by"]), "job", row.ending["correlation_id"])
            while time.monotonic() < stop_at and await go_on(door, ctx, SourceId(row.id)) is not None:
                pass
        return len(rows)

    return await timekeeping.each(
        door, troubles, lambda conn: [OrgId(each) for each in conn.execute(owners).scalars()], end_sources
    )


def _must_be_endable(source: SourceRecord, people: End, file: str) -> None:
    if source.declared_in == "file":
        raise NotAllowedNow(
            f"The source {source.name} stands in {file}. Take it out there and restart scimd serve; "
            "then it can be ended."
        )
    if people == "keep" and (state := unpaused(source)) != "active":
        raise NotAllowedNow(
            f"The source {source.name} is {state}: it never let anybody in whom one could keep. "
            "Remove its people, or release it first."
        )


def _begin(tx: Tx, *, people: End) -> None:
    """Nothing is read or pushed from here on. The last Account Admin is refused before anybody goes."""
    source = _alone(tx)
    by_hand.must_hold_what_it_gives(tx, source.id)
    if source.ending == people:
        return
    if source.ending is not None:
        raise NotAllowedNow(f"The source {source.name} is being ended already, to {source.ending} people.")
    change_state(tx, source, "paused")
    runs.end_waiting(tx, source.id, "refused", "The source was ended.")
    actor = tx.ctx.actor
    by = {"by": [actor.kind, actor.id, actor.name], "correlation_id": tx.ctx.correlation_id}
    _write(tx, source, ending={"people": people, **by})
    _let_go(tx, source, _asserted(tx, source, only=unsettled.admins(tx)), people)


def _alone(tx: Tx) -> SourceRecord:
    """The source, with which nobody else goes on meanwhile. Raises NotFound once it is ended."""
    lock_row(tx.conn, sources, org_id=tx.org_id, id=str(tx.ctx.source_id))
    return find(tx.conn, tx.org_id, str(tx.ctx.source_id))


def _write(tx: Tx, source: SourceRecord, **values: object) -> None:
    mine = (sources.c.org_id == tx.org_id) & (sources.c.id == source.id)
    tx.conn.execute(update(sources).where(mine).values(**values))


@dataclass(slots=True)
class _Walk:
    """Through whom a source asserts. Those before the place are gone: passing over them all each time takes
    longer the more they are."""

    place: tuple[datetime, str] | None = None

    def next(self, tx: Tx, source: SourceRecord, most: int) -> list[_Person]:
        """Of those behind the place; where nobody is there, from the first again: somebody may be left."""
        found = _asserted(tx, source, most, after=self.place)
        if not found and self.place is not None:
            found = _asserted(tx, source, most)
        self.place = (found[-1].created_at, found[-1].id) if found else None
        return found


def _go_on(tx: Tx, *, walk: _Walk, most: int) -> int:
    """The next of its people, then of its groups, by how many; at last the source itself, and 0."""
    try:
        source = _alone(tx)
    except NotFound:
        return 0
    if source.ending is None:
        raise NotAllowedNow(f"The source {source.name} is not being ended.")
    if portion := walk.next(tx, source, most):
        _let_go(tx, source, portion, source.ending)
        return len(portion)
    if of_it := _groups(tx, source, min(most, _GROUPS_AT_ONCE)):
        org_groups.drop_groups(tx, of_it)
        return len(of_it)
    _close(tx, source, source.ending)
    return 0


class _Person(NamedTuple):
    """Whom it asserts, and whether as active, or so by an admin who reinstated them."""

    id: PersonId
    active: bool
    created_at: datetime


def _asserted(
    tx: Tx,
    source: SourceRecord,
    at_most: int | None = None,
    *,
    only: Collection[PersonId] | None = None,
    after: tuple[datetime, str] | None = None,
) -> list[_Person]:
    column = gates.c
    reinstated = exists().where(
        column.org_id == tx.org_id,
        column.person_id == _a.person_id,
        column.kind == "reinstated",
        column.source_id == source.id,
    )
    query = select(_a.person_id, (_a.active | reinstated).label("active"), _a.created_at).where(
        _a.org_id == tx.org_id, _a.source_id == source.id, _a.state == "live"
    )
    if only is not None:
        query = query.where(among(tx.conn, _a.person_id, only))
    if after is not None:
        place = tuple_(literal(after[0], _a.created_at.type), literal(after[1], _a.person_id.type))
        query = query.where(tuple_(_a.created_at, _a.person_id) > place)
    # In the order of an index that has the state: those who are gone already are passed over in it alone.
    rows = tx.conn.execute(query.order_by(_a.created_at, _a.person_id).limit(at_most))
    return [_Person(PersonId(row.person_id), bool(row.active), row.created_at) for row in rows]


def _let_go(tx: Tx, source: SourceRecord, portion: Sequence[_Person], people: End) -> None:
    kept = [each.id for each in portion if people == "keep" and each.active]
    for person_id in kept:
        detaching.detach_from(tx, by_hand.locked(tx, person_id), source.id, source.name)
    going = [leaving.DropUser(each.id) for each in portion if each.id not in kept]
    for done in leaving.drop_users(tx, going) if going else ():
        if done.refusal is not None:
            raise done.refusal


def _groups(tx: Tx, source: SourceRecord, at_most: int) -> list[GroupId]:
    column = groups.c
    theirs = select(column.id).where(
        column.org_id == tx.org_id, column.source_id == source.id, column.state == "live"
    )
    return [GroupId(each) for each in tx.conn.execute(theirs.order_by(column.id).limit(at_most)).scalars()]


def _close(tx: Tx, source: SourceRecord, people: End) -> None:
    asked = select(decisions.c.id).where(
        decisions.c.org_id == tx.org_id, decisions.c.source_id == source.id, decisions.c.state == "open"
    )
    why = f"the source {source.name} was ended"
    items.close_moot(tx, {DecisionId(each): why for each in tx.conn.execute(asked).scalars()})
    _write(tx, source, ended_at=tx.now, next_run_at=None)
    bump(tx)
    after = {"name": source.name, "people": people}
    tx.record(Event(EventKind.SOURCE_ENDED, "source", source.id, after=after))
