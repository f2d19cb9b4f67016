"""Groups for the SCIM edge: one call about one group, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, select

from scimd.core.errors import NotFound, VersionMismatch
from scimd.core.people import Document, GroupId
from scimd.core.resource import StoredGroup, unpack
from scimd.core.travelling import travels
from scimd.db.among import one_of, unindexed
from scimd.db.prepared import Locking
from scimd.db.tables import groups
from scimd.org import member_rows, reads
from scimd.org.groups import AssertGroup, change_locked, drop_groups, record_groups, tell_members
from scimd.org.together import Kind, Outcome
from scimd.org.tx import Context, Door, Tx


@travels
@dataclass(frozen=True, slots=True)
class GroupChange:
    """A change of one group. ``document`` is pure; ``replace`` None leaves the members but for the rest."""

    document: Callable[[Document], Document] | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    replace: tuple[str, ...] | None = None


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
    if change.document is None and change.replace is None:
        return await _MEMBERS.run(door, ctx, wish, (group_id, *named), max(1, len(named)))
    return await door.run(ctx, lambda tx: _change_whole(tx, wish))


def _change_whole(tx: Tx, wish: _Wish) -> StoredGroup:
    group_id, change = wish.group_id, wish.change
    stored = _may_change(wish, _locked(tx, [group_id]))
    if change.document is not None:
        _redescribe(tx, stored, change.document)
    moved = bool(change.replace is not None or change.add or change.remove) and change_locked(
        tx, group_id, change.add, change.remove, change.replace
    )
    if change.document is not None:
        return reads.must_load_group(tx, group_id)
    return _as_written(tx, stored, moved)


def _change_members_of(tx: Tx, wishes: Sequence[_Wish]) -> list[Outcome[StoredGroup]]:
    """Add and remove members of many groups, of which each is refused alone."""
    rows = _locked(tx, [wish.group_id for wish in wishes])
    outcomes: list[Outcome[StoredGroup]] = []
    wanted: dict[GroupId, member_rows.Wanted] = {}
    for wish in wishes:
        try:
            outcomes.append(_as_written(tx, _may_change(wish, rows), moved=False))
        except (NotFound, VersionMismatch) as refusal:
            outcomes.append(refusal)
        else:
            wanted[wish.group_id] = member_rows.Wanted(wish.change.add, wish.change.remove)
    changes = member_rows.change(tx, tx.book.source(tx.ctx.source_id).id, wanted)
    member_rows.raise_versions(tx, [group_id for group_id, change in changes.items() if change])
    for n, wish in enumerate(wishes):
        if done := changes.get(wish.group_id):
            outcomes[n] = _as_written(tx, rows[wish.group_id], moved=True)
            tx.concerns(n, (wish.group_id, *done.people_added, *done.people_removed))
            tell_members(tx, wish.group_id, [done])
    return outcomes


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


def _as_written(tx: Tx, row: Row[Any], moved: bool) -> StoredGroup:
    """The group after a change of its members alone."""
    changed_at = tx.now if moved else row.changed_at
    return StoredGroup(row.id, bytes(row.document), row.version + moved, row.created_at, changed_at)


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


def _locked(tx: Tx, group_ids: Sequence[GroupId]) -> dict[GroupId, Row[Any]]:
    """Those of them who live in the source, locked in the order of their ids."""
    of_source = {"org_id": tx.org_id, "source_id": tx.ctx.source_id, "keys": group_ids}
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
