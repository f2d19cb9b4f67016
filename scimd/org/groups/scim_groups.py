"""Groups for the SCIM edge: one call about one group, whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, select

from scimd.core.errors import NotFound, VersionMismatch
from scimd.core.people import Document, GroupId, PersonId
from scimd.core.resource import StoredGroup, unpack
from scimd.core.travelling import travels
from scimd.db.among import one_of, unindexed
from scimd.db.last_changed import not_before
from scimd.db.prepared import Locking, Prepared, ahead
from scimd.db.tables import groups
from scimd.org.groups import group_versions, member_rows
from scimd.org.groups.chosen_members import Leaving
from scimd.org.groups.groups import AssertGroup, change_locked, drop_groups, record_groups
from scimd.org.groups.member_events import tell_members
from scimd.org.reading import reads
from scimd.org.settling import standing_kept
from scimd.org.together import Kind, Outcome
from scimd.org.tx import Context, Door, Tx


@travels
@dataclass(frozen=True, slots=True)
class GroupChange:
    """A change of one group. ``document`` is pure; ``replace`` None leaves the members but for the rest.

    ``chosen``: who leaves by what is known of them, in order, before the others come and go. ``users``: those
    of ``remove`` who stay where they are groups.
    """

    document: Callable[[Document], Document] | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    replace: tuple[str, ...] | None = None
    chosen: tuple[Leaving, ...] = ()
    users: tuple[str, ...] = ()


async def create_group(door: Door, ctx: Context, wish: AssertGroup) -> StoredGroup:
    """Raises NotUnique, InvalidValue."""

    def body(tx: Tx) -> StoredGroup:
        (asserted,) = record_groups(tx, [wish], fresh=True)
        if asserted.refusal is not None:
            raise asserted.refusal
        return reads.must_load_group(tx, asserted.group_id)

    return await door.run(ctx, body)


@travels
@dataclass(frozen=True, slots=True)
class _Wish:
    """A change of one group."""

    group_id: GroupId
    change: GroupChange
    if_match: Callable[[int], bool] | None


async def change_group(
    door: Door,
    ctx: Context,
    group_id: GroupId,
    change: GroupChange,
    *,
    if_match: Callable[[int], bool] | None = None,
) -> StoredGroup:
    """Change one group, whole or not at all. Raises NotFound, VersionMismatch, NotUnique, InvalidValue."""
    wish = _Wish(group_id, change, if_match)
    named = (*change.add, *change.remove)
    if change.document is None and change.replace is None and not change.chosen:
        return await _MEMBERS.run(door, ctx, wish, named, max(1, len(named)))
    return await door.run(ctx, lambda tx: _change_whole(tx, wish))


def _change_whole(tx: Tx, wish: _Wish) -> StoredGroup:
    group_id, change = wish.group_id, wish.change
    stored = _may_change(wish, _locked(tx, [group_id]))
    if change.document is not None:
        _redescribe(tx, stored, change.document)
    told = change.replace is not None or change.add or change.remove or change.chosen
    last = member_rows.Wanted(group_id, change.add, change.remove, change.users)
    moved = bool(told) and change_locked(tx, last, change.replace, change.chosen)
    if change.document is not None:
        return reads.must_load_group(tx, group_id)
    return _as_written(tx, stored, moved)


def _change_members_of(tx: Tx, wishes: Sequence[_Wish]) -> list[Outcome[StoredGroup]]:
    """Add and remove members of many groups, of which each call is refused alone.

    Several calls may be about one group, as long as they name other members: its versions are theirs in turn.
    """
    all_wanted = [_wanted(wish) for wish in wishes]
    asked = member_rows.asked_of(tx.org_id, reads.source_of(tx.ctx), all_wanted)
    rows = _locked(tx, list({wish.group_id for wish in wishes}), asked)
    outcomes: list[Outcome[StoredGroup]] = []
    calls: list[int] = []
    for n, wish in enumerate(wishes):
        try:
            outcomes.append(_as_written(tx, _may_change(wish, rows), 0))
        except (NotFound, VersionMismatch) as refusal:
            outcomes.append(refusal)
        else:
            calls.append(n)
        if wish.if_match is not None and any(wish.group_id == each.group_id for each in wishes[:n]):
            tx.alone()  # which version it meets, the others decide
    source_id = tx.book.source(tx.ctx.source_id).id
    changes = member_rows.change(tx, source_id, [all_wanted[n] for n in calls])
    moved = Counter[GroupId]()
    for n, done in zip(calls, changes, strict=True):
        group_id = wishes[n].group_id
        if done:
            moved[group_id] += 1
            tx.concerns(n, done.people)
            if done.groups_added or done.groups_removed:
                tx.order_matters()
            tell_members(tx, group_id, [done], n)
        outcomes[n] = _as_written(tx, rows[group_id], moved[group_id])
    group_versions.raise_each(tx, moved)
    _settle(tx, [(wishes[n].group_id, done) for n, done in zip(calls, changes, strict=True) if done])
    return outcomes


def _wanted(wish: _Wish) -> member_rows.Wanted:
    return member_rows.Wanted(wish.group_id, wish.change.add, wish.change.remove, wish.change.users)


def _settle(tx: Tx, changes: Sequence[tuple[GroupId, member_rows.Change]]) -> None:
    """Where the groups give nothing, or projects, little changes; all others are settled."""
    if not changes:
        return
    group_ids = sorted({group_id for group_id, _ in changes})
    moved = {person_id for _, done in changes if _are_few(tx, done) for person_id in done.people}
    ahead(tx.conn, standing_kept.asked_of_gifts(tx, group_ids), standing_kept.asked_of_moved(tx, moved))
    given = standing_kept.gifts(tx, group_ids)
    moves: dict[PersonId, standing_kept.Moved] = {}
    for group_id, done in changes:
        if group_id in given and _are_few(tx, done):
            moves |= dict.fromkeys(done.people_added, standing_kept.Moved(group_id, came=True))
            moves |= dict.fromkeys(done.people_removed, standing_kept.Moved(group_id, came=False))
            member_rows.touch_nested(tx, done)
        else:
            member_rows.touch(tx, done)
    both = (tx.touched | tx.leaving | tx.regrouped).intersection(moves)
    alone = {person_id: move for person_id, move in moves.items() if person_id not in both}
    others = both | standing_kept.regroup(tx, alone, given)
    tx.touch(others)
    tx.regrouped.update(others)


def _are_few(tx: Tx, done: member_rows.Change) -> bool:
    return len(done.people) <= tx.settings.settle_at_once


_MEMBERS: Kind[_Wish, StoredGroup] = Kind("change members", _change_members_of, lambda tx, outcomes: outcomes)


def _redescribe(tx: Tx, stored: Row[Any], change: Callable[[Document], Document]) -> None:
    document = change(unpack(stored.document))
    wish = AssertGroup(
        document,
        document.get("externalId"),
        group_id=GroupId(stored.id),
        digest=stored.digest,
        entry_name=stored.entry_name,
        run_id=stored.seen_run_id,
    )
    (asserted,) = record_groups(tx, [wish])
    if asserted.refusal is not None:
        raise asserted.refusal


def _as_written(tx: Tx, row: Row[Any], moved: int) -> StoredGroup:
    """The group after so many changes of its members alone."""
    changed_at = not_before(row.changed_at, tx.now) if moved else row.changed_at
    return StoredGroup(row.id, bytes(row.document), row.version + moved * tx.step, row.created_at, changed_at)


_LOCK_ALL = Locking(
    select(groups)
    .where(
        groups.c.org_id == bindparam("org_id"),
        # By id: without statistics SQLite might walk through all of the source's.
        unindexed(groups.c.source_id) == bindparam("source_id"),
        groups.c.state == "live",
        one_of(groups.c.id),
    )
    .order_by(groups.c.id)
)


def _locked(
    tx: Tx, group_ids: Sequence[GroupId], *then: tuple[Prepared, Mapping[str, Any]]
) -> dict[GroupId, Row[Any]]:
    """Those of them who live in the source, locked in the order of their ids.

    ``then``: what is asked next.
    """
    of_source = {"org_id": tx.org_id, "source_id": tx.ctx.source_id, "keys": group_ids}
    ahead(tx.conn, (_LOCK_ALL, of_source), tx.books.asked_of(tx.org_id), *then)
    return {GroupId(row.id): row for row in _LOCK_ALL.all(tx.conn, of_source)}


def _may_change(wish: _Wish, rows: Mapping[GroupId, Row[Any]]) -> Row[Any]:
    row = rows.get(wish.group_id)
    if row is None:
        raise NotFound("group", wish.group_id)
    if wish.if_match is not None and not wish.if_match(row.version):
        raise VersionMismatch(wish.group_id, str(row.version))
    return row


async def delete_group(
    door: Door, ctx: Context, group_id: GroupId, *, if_match: Callable[[int], bool] | None = None
) -> None:
    """Raises NotFound, VersionMismatch."""

    def body(tx: Tx) -> None:
        _may_change(_Wish(group_id, GroupChange(), if_match), _locked(tx, [group_id]))
        drop_groups(tx, [group_id])

    await door.run(ctx, body)
