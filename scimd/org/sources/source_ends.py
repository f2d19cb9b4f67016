"""The end of a source by an admin's word: its people are removed, or kept as local people.

Removed is as a complete read without anybody would remove, had somebody approved it: whom another source
asserts goes over to it, the rest become Inactive. Kept is whom the source asserts as active: what it said
last is their own profile from then on, and who never accepted an invitation is sent one. What its groups
gave goes either way, as by ``detach``.

The source is paused first, and its people go in batches, the admins among them before all others. An end that
was broken off is taken up where it was by calling it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection, exists, select, update

from scimd.core.errors import NotAllowedNow
from scimd.core.events import Event, EventKind
from scimd.core.people import DecisionId, GroupId, PersonId, SourceId
from scimd.db.tables import assertions, decisions, gates, groups, sources
from scimd.org import permissions
from scimd.org.decisions import decisions as items
from scimd.org.declared.declared_keys import THE_FILE
from scimd.org.generation import bump
from scimd.org.groups import groups as org_groups
from scimd.org.identities import detaching
from scimd.org.runs import runs
from scimd.org.settling import unsettled
from scimd.org.sources import held_changes, rule_previews
from scimd.org.sources.rule_previews import End, Preview, Wish
from scimd.org.sources.source_states import change_state, unpaused
from scimd.org.sources.sources import SourceRecord, find
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand, leaving

_AT_ONCE = 100
_a = assertions.c


async def preview(door: Door, ctx: Context, source_id: SourceId, people: End) -> Preview:
    """Who would lose what by the end; changes nothing. Also of a source that the file declares.

    Raises NotFound, Forbidden.
    """
    permissions.require(ctx, "sources.manage")
    _, wish = await _looked(door, ctx, source_id, people)
    return await rule_previews.look(door, wish)


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
) -> Preview:
    """End the source for good, and tell who loses what by it. Its name is not given again.

    Over the source's limits only when ``sure``. Raises NotAllowedNow besides for one that ``file``
    declares, and where people are to be kept whom the source never let in; NotFound, Forbidden, Protected
    for the last Account Admin.
    """
    permissions.require(ctx, "sources.manage")
    source, wish = await _looked(door, ctx, source_id, people)
    _must_be_endable(source, people, file)
    told = await rule_previews.look(door, wish)
    if told.held and not sure:
        raise NotAllowedNow(held_changes.refusal(told.held, way_out))
    of_it = replace(ctx, source_id=source.id)
    await door.run(of_it, partial(_begin, people=people))
    while await door.run(of_it, partial(_go_on, people=people)):
        pass
    return told


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
    source = find(tx.conn, tx.org_id, str(tx.ctx.source_id))
    by_hand.must_hold_what_it_gives(tx, source.id)
    change_state(tx, source, "paused")
    held = unsettled.admins(tx)
    _let_go(tx, source, [each for each in _asserted(tx, source, None) if each[0] in held], people)


def _go_on(tx: Tx, *, people: End) -> bool:
    """The next of its people; at last the source itself, and False."""
    source = find(tx.conn, tx.org_id, str(tx.ctx.source_id))
    portion = _asserted(tx, source, _AT_ONCE)
    if portion:
        _let_go(tx, source, portion, people)
        return True
    _close(tx, source, people)
    return False


def _asserted(tx: Tx, source: SourceRecord, at_most: int | None) -> list[tuple[PersonId, bool]]:
    """Whom it asserts, and whether as active, or so by an admin who reinstated them."""
    column = gates.c
    reinstated = exists().where(
        column.org_id == tx.org_id,
        column.person_id == _a.person_id,
        column.kind == "reinstated",
        column.source_id == source.id,
    )
    query = select(_a.person_id, (_a.active | reinstated).label("active")).where(
        _a.org_id == tx.org_id, _a.source_id == source.id, _a.state == "live"
    )
    # In the order of an index that has the state: those who are gone already are passed over in it alone.
    rows = tx.conn.execute(query.order_by(_a.created_at, _a.person_id).limit(at_most))
    return [(PersonId(row.person_id), bool(row.active)) for row in rows]


def _let_go(tx: Tx, source: SourceRecord, portion: Sequence[tuple[PersonId, bool]], people: End) -> None:
    kept = [person_id for person_id, active in portion if people == "keep" and active]
    for person_id in kept:
        detaching.detach_from(tx, by_hand.locked(tx, person_id), source.id, source.name)
    going = [leaving.DropUser(person_id) for person_id, _ in portion if person_id not in kept]
    for done in leaving.drop_users(tx, going) if going else ():
        if done.refusal is not None:
            raise done.refusal


def _close(tx: Tx, source: SourceRecord, people: End) -> None:
    column = groups.c
    theirs = select(column.id).where(
        column.org_id == tx.org_id, column.source_id == source.id, column.state == "live"
    )
    org_groups.drop_groups(tx, [GroupId(each) for each in tx.conn.execute(theirs).scalars()])
    asked = select(decisions.c.id).where(
        decisions.c.org_id == tx.org_id, decisions.c.source_id == source.id, decisions.c.state == "open"
    )
    why = f"the source {source.name} was ended"
    items.close_moot(tx, {DecisionId(each): why for each in tx.conn.execute(asked).scalars()})
    runs.end_waiting(tx, source.id, "refused", "The source was ended.")
    tx.conn.execute(
        update(sources)
        .where(sources.c.org_id == tx.org_id, sources.c.id == source.id)
        .values(ended_at=tx.now, next_run_at=None)
    )
    bump(tx)
    after = {"name": source.name, "people": people}
    tx.record(Event(EventKind.SOURCE_ENDED, "source", source.id, after=after))
