"""Who is in a group: rows that come and go one by one, whatever the size of the group.

A member is named by a SCIM id or by the source's external id. One that is not known yet is kept as
named, and becomes a member when its entry appears. A row of somebody whom the source asserts no more
stays, hidden: it shows again when they return.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, select, update

from scimd.core.people import GroupId, PersonId, SourceId
from scimd.db.among import among, one_of, unindexed
from scimd.db.locks import insert_ignore
from scimd.db.prepared import Prepared
from scimd.db.tables import assertions, group_members, groups, merged_people
from scimd.org import unsettled
from scimd.org.group_nesting import people_below
from scimd.org.tx import Tx


@dataclass(slots=True)
class Change:
    """What a change did, by the ids of those who are known."""

    people_added: list[PersonId] = field(default_factory=list)
    people_removed: list[PersonId] = field(default_factory=list)
    groups_added: list[GroupId] = field(default_factory=list)
    groups_removed: list[GroupId] = field(default_factory=list)
    unknown_added: int = 0
    unknown_removed: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    def add(self, target: _Target) -> None:
        if target.person_id:
            self.people_added.append(target.person_id)
        elif target.child_id:
            self.groups_added.append(target.child_id)
        else:
            self.unknown_added += 1

    @property
    def added(self) -> int:
        return len(self.people_added) + len(self.groups_added) + self.unknown_added

    @property
    def removed(self) -> int:
        return len(self.people_removed) + len(self.groups_removed) + self.unknown_removed


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to be in a group and who is not, by SCIM ids or external ids; the rest stays as it is."""

    add: Collection[str] = ()
    remove: Collection[str] = ()


def change(tx: Tx, source_id: SourceId, many: Mapping[GroupId, Wanted]) -> dict[GroupId, Change]:
    """Add and remove members, by statements on those named alone. The groups' rows are locked already."""
    targets = _targets(tx, source_id, {key for each in many.values() for key in (*each.add, *each.remove)})
    wanted = {}
    for group_id, each in many.items():
        add, remove = ({_key(targets, key) for key in keys} for keys in (each.add, each.remove))
        wanted[group_id] = (add, (remove | set(each.remove)) - add)
    return _write(tx, source_id, wanted, targets)


def replace(tx: Tx, source_id: SourceId, group_id: GroupId, keys: Collection[str]) -> Change:
    """Make exactly these the members. Whoever is not known is kept as named, and removes nobody."""
    targets = _targets(tx, source_id, keys)
    wanted = {_key(targets, key) for key in keys}
    column = group_members.c
    held = set(
        tx.conn.execute(
            select(column.member_key).where(column.org_id == tx.org_id, column.group_id == group_id)
        ).scalars()
    )
    return _write(tx, source_id, {group_id: (wanted - held, held - wanted)}, targets)[group_id]


@dataclass(frozen=True, slots=True)
class _Target:
    person_id: PersonId | None = None
    child_id: GroupId | None = None
    unknown: str = ""

    @property
    def member_key(self) -> str:
        return self.person_id or self.child_id or self.unknown


def _key(targets: Mapping[str, _Target], key: str) -> str:
    return targets[key].member_key if key in targets else key


def _targets(tx: Tx, source_id: SourceId, keys: Collection[str]) -> dict[str, _Target]:
    """Those of the keys that name somebody whom the source asserts, or asserted, or one of its groups.

    Our own ids come first: whoever carries another's id as external id is not taken for them.
    """
    found: dict[str, _Target] = {}
    for look, statement in (
        (_people_by, _PEOPLE_BY_ID),
        (_groups_by, _GROUPS_BY_ID),
        (_people_by, _PEOPLE_BY_EXTERNAL_ID),
        (_groups_by, _GROUPS_BY_EXTERNAL_ID),
        (_people_by, _PEOPLE_BY_OLD_ID),
    ):
        left = [key for key in keys if key not in found]
        if not left:
            break
        found |= look(tx, statement, {"org_id": tx.org_id, "source_id": source_id, "keys": left})
    return found


_a, _g, _m = assertions.c, groups.c, group_members.c
_PEOPLE_BY_ID, _PEOPLE_BY_EXTERNAL_ID = (
    Prepared(
        select(_a.person_id, by.label("key"), _a.state).where(
            _a.org_id == bindparam("org_id"),
            _a.source_id == bindparam("source_id"),
            _a.state != "history",
            one_of(by),
        )
    )
    for by in (_a.person_id, _a.external_id)
)
#: Of those who were merged.
_PEOPLE_BY_OLD_ID = Prepared(
    select(_a.person_id, merged_people.c.id.label("key"), _a.state)
    .join(
        merged_people,
        (merged_people.c.org_id == _a.org_id) & (merged_people.c.person_id == _a.person_id),
    )
    .where(
        _a.org_id == bindparam("org_id"),
        _a.source_id == bindparam("source_id"),
        _a.state != "history",
        one_of(merged_people.c.id),
    )
)
_GROUPS_BY_ID, _GROUPS_BY_EXTERNAL_ID = (
    Prepared(
        select(_g.id, by.label("key")).where(
            _g.org_id == bindparam("org_id"),
            source == bindparam("source_id"),
            _g.state == "live",
            one_of(by),
        )
    )
    for source, by in ((unindexed(_g.source_id), _g.id), (_g.source_id, _g.external_id))
)


def _people_by(tx: Tx, statement: Prepared, of_source: Mapping[str, Any]) -> dict[str, _Target]:
    rows = sorted(statement.all(tx.conn, of_source), key=lambda row: bool(row.state == "live"))
    return {row.key: _Target(person_id=PersonId(row.person_id)) for row in rows}


def _groups_by(tx: Tx, statement: Prepared, of_source: Mapping[str, Any]) -> dict[str, _Target]:
    return {row.key: _Target(child_id=GroupId(row.id)) for row in statement.all(tx.conn, of_source)}


_in_group = (_m.org_id == bindparam("org_id")) & (_m.group_id == bindparam("group_id"))
_HELD = Prepared(select(_m.member_key).where(_in_group, one_of(_m.member_key)))
_REMOVE = Prepared(
    group_members.delete().where(_in_group, one_of(_m.member_key)).returning(_m.person_id, _m.child_id)
)
_ADD = Prepared(lambda conn: insert_ignore(conn, group_members))
_RAISE = Prepared(
    update(groups)
    .where(_g.org_id == bindparam("_org_id"), one_of(_g.id), _g.state == "live")
    .values(version=_g.version + 1, changed_at=bindparam("_now"))
)


def _write(
    tx: Tx,
    source_id: SourceId,
    wanted: Mapping[GroupId, tuple[Collection[str], Collection[str]]],
    targets: Mapping[str, _Target],
) -> dict[GroupId, Change]:
    """``wanted``: the member keys to add to each group, and those to take out."""
    by_key = {target.member_key: target for target in targets.values()}
    changes: dict[GroupId, Change] = {}
    new: list[tuple[GroupId, _Target]] = []
    for group_id, (add, remove) in wanted.items():
        changes[group_id] = done = Change()
        if remove:
            _remove(tx, group_id, remove, done)
        for key in _not_there(tx, group_id, add):
            target = by_key.get(key, _Target(unknown=key))
            new.append((group_id, target))
            done.add(target)
    _insert(tx, source_id, new)
    for done in changes.values():
        _touch(tx, done)
    return changes


def _remove(tx: Tx, group_id: GroupId, keys: Collection[str], done: Change) -> None:
    removed = _REMOVE.all(tx.conn, {"org_id": tx.org_id, "group_id": group_id, "keys": keys})
    done.people_removed = [PersonId(row.person_id) for row in removed if row.person_id]
    done.groups_removed = [GroupId(row.child_id) for row in removed if row.child_id]
    done.unknown_removed = len(removed) - len(done.people_removed) - len(done.groups_removed)


def _not_there(tx: Tx, group_id: GroupId, keys: Collection[str]) -> list[str]:
    if not keys:
        return []
    held = set(_HELD.column(tx.conn, {"org_id": tx.org_id, "group_id": group_id, "keys": keys}))
    return [key for key in keys if key not in held]


def _insert(tx: Tx, source_id: SourceId, new: Collection[tuple[GroupId, _Target]]) -> None:
    if new:
        rows = [
            {
                "org_id": tx.org_id,
                "group_id": group_id,
                "member_key": target.member_key,
                "source_id": source_id,
                "person_id": target.person_id,
                "child_id": target.child_id,
                "since": tx.now,
            }
            for group_id, target in new
        ]
        _ADD.many(tx.conn, rows)


# ------------------------------------------------------------------------------ whom it concerns


def _touch(tx: Tx, done: Change) -> None:
    tx.touch(done.people_added)
    tx.regrouped.update(done.people_added, done.people_removed)
    tx.leaving.update(done.people_removed)
    if done.groups_added:
        touch_below(tx, done.groups_added, unsettled.JOINERS)
    if done.groups_removed:
        touch_below(tx, done.groups_removed, unsettled.LEAVERS)


def touch_below(tx: Tx, group_ids: Collection[GroupId], turn: int) -> None:
    """Have everybody in these groups, however deep, settled: now where they are few, else marked."""
    query = people_below(tx.conn, tx.org_id, group_ids)
    most = tx.settings.settle_at_once
    some = [PersonId(row.person_id) for row in tx.conn.execute(query.limit(most + 1))]
    if len(some) > most:
        unsettled.mark_all(tx, query, turn)
        return
    tx.regrouped.update(some)
    (tx.leaving if turn == unsettled.LEAVERS else tx.touched).update(some)


# ------------------------------------------------------------------------------ appearing, hiding


_UNKNOWN = Prepared(
    select(group_members.c.group_id, group_members.c.member_key).where(
        group_members.c.org_id == bindparam("org_id"),
        group_members.c.source_id == bindparam("source_id"),
        group_members.c.person_id.is_(None),
        group_members.c.child_id.is_(None),
        one_of(group_members.c.member_key),
    )
)


def resolve(tx: Tx, source_id: SourceId, appeared: Mapping[PersonId, str | None]) -> None:
    """People whom the source asserts from now on become members where it named them before."""
    keys: dict[str, _Target] = {}
    for person_id, external_id in appeared.items():
        # An id that was made a moment ago cannot have been named before.
        known = (external_id,) if person_id in tx.created else (external_id, person_id)
        keys |= {key: _Target(person_id=person_id) for key in known if key}
    done = _resolve(tx, source_id, keys)
    tx.regrouped.update(target.person_id for target in done if target.person_id)


def resolve_group(tx: Tx, source_id: SourceId, group_id: GroupId, external_id: str | None) -> None:
    """The same for a group that appeared, which has no members yet."""
    _resolve(tx, source_id, {key: _Target(child_id=group_id) for key in (external_id, group_id) if key})


def _resolve(tx: Tx, source_id: SourceId, keys: Mapping[str, _Target]) -> list[_Target]:
    if not keys:
        return []
    column = group_members.c
    of_source = {"org_id": tx.org_id, "source_id": source_id, "keys": list(keys)}
    unknown = _UNKNOWN.all(tx.beside, of_source)
    if unknown:
        tx.conn.execute(
            group_members.delete().where(
                column.org_id == tx.org_id,
                column.group_id == bindparam("_group_id"),
                column.member_key == bindparam("_member_key"),
            ),
            [{"_group_id": row.group_id, "_member_key": row.member_key} for row in unknown],
        )
        _insert(tx, source_id, [(GroupId(row.group_id), keys[row.member_key]) for row in unknown])
        raise_versions(tx, {GroupId(row.group_id) for row in unknown})
    return [keys[row.member_key] for row in unknown]


def raise_versions(tx: Tx, group_ids: Collection[GroupId]) -> None:
    """These groups show other members than before."""
    if group_ids:
        _RAISE.run(tx.conn, {"_org_id": tx.org_id, "keys": group_ids, "_now": tx.now})


_GROUPS_OF = Prepared(
    select(_m.group_id).where(
        _m.org_id == bindparam("org_id"),
        unindexed(_m.source_id) == bindparam("source_id"),
        one_of(_m.person_id),
    )
)


def shown_again(tx: Tx, source_id: SourceId, person_ids: Collection[PersonId]) -> None:
    """Members whom the source asserts, or asserts no more, show in their groups otherwise than before."""
    of_source = {"org_id": tx.org_id, "source_id": source_id, "keys": person_ids}
    raise_versions(tx, {GroupId(group_id) for group_id in _GROUPS_OF.column(tx.conn, of_source)})


def parents(tx: Tx, group_ids: Collection[GroupId]) -> set[GroupId]:
    """The groups in which these are members."""
    column = group_members.c
    query = select(column.group_id).where(
        column.org_id == tx.org_id, among(tx.conn, column.child_id, group_ids)
    )
    return {GroupId(group_id) for group_id in tx.conn.execute(query).scalars()}
