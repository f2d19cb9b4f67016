"""Names of members that are nobody's: they become members when their entry appears."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, delete, select, true
from sqlalchemy.sql import ColumnElement

from scimd.core.people import GroupId, PersonId, SourceId
from scimd.db.among import among, one_of, unindexed
from scimd.db.prepared import Prepared
from scimd.db.tables import group_members
from scimd.org.groups import group_versions, member_rows
from scimd.org.groups.group_nesting import people_below
from scimd.org.groups.member_events import tell_members
from scimd.org.groups.member_rows import Change, Target, Wanted, member_key
from scimd.org.organizations import admins
from scimd.org.sources import source_counts
from scimd.org.tx import Tx, lock_groups

_m = group_members.c


def _rows_of(column: ColumnElement[Any]) -> Prepared:
    of_source = (_m.org_id == bindparam("org_id")) & (unindexed(_m.source_id) == bindparam("source_id"))
    return Prepared(select(_m.group_id, column.label("id")).where(of_source, one_of(column)))


_OF_PEOPLE, _OF_GROUPS = _rows_of(_m.person_id), _rows_of(_m.child_id)


def name_again(tx: Tx, source_id: SourceId, moved: Mapping[PersonId, str]) -> None:
    """People who were called so have another external id now: groups that list the old one mean another.

    For connectors' sources, whose groups name members by external ids, and are changed by their runs alone.
    """
    done = _named_again(tx, source_id, _OF_PEOPLE, moved)
    group_versions.raise_versions(tx, list(done))
    _show(tx, done)


def name_groups_again(tx: Tx, source_id: SourceId, gone: Mapping[GroupId, str]) -> None:
    """The same for groups that are gone, whoever was in them: one that comes back is another group.

    Their going is told already, and settled; what is left is who else has the external id.
    """
    done = _named_again(tx, source_id, _OF_GROUPS, gone)
    _show(tx, {group_id: each for group_id, each in done.items() if each.people_added or each.groups_added})


def _show(tx: Tx, changes: Mapping[GroupId, Change]) -> None:
    for group_id, change in sorted(changes.items()):
        member_rows.touch(tx, change)
        tell_members(tx, group_id, [change])


def _named_again(
    tx: Tx, source_id: SourceId, rows_of: Prepared, names: Mapping[Any, str]
) -> dict[GroupId, Change]:
    if not names:
        return {}
    listed: dict[GroupId, list[str]] = defaultdict(list)
    for row in rows_of.all(tx.conn, {"org_id": tx.org_id, "source_id": source_id, "keys": list(names)}):
        listed[GroupId(row.group_id)].append(row.id)
    many = [Wanted(group_id, [names[one] for one in ids], ids) for group_id, ids in sorted(listed.items())]
    changes = member_rows.change(tx, source_id, many)
    return {wanted.group_id: done for wanted, done in zip(many, changes, strict=True)}


def resolve(tx: Tx, source_id: SourceId, appeared: Mapping[PersonId, str | None]) -> None:
    """People whom the source asserts, or calls so, from now on become members where it named them before."""
    keys: dict[str, Target] = {}
    for person_id, external_id in appeared.items():
        # An id that was made a moment ago cannot have been named before.
        known = (external_id,) if person_id in tx.created else (external_id, person_id)
        keys |= {key: (person_id, None) for key in known if key}
    done = _resolve(tx, source_id, keys)
    tx.regrouped.update(person_id for person_id, _ in done if person_id)


def resolve_group(tx: Tx, source_id: SourceId, group_id: GroupId, external_id: str | None) -> None:
    """The same for a group that appeared, or has this external id from now on; nobody below it is touched."""
    _resolve(tx, source_id, {key: (None, group_id) for key in (external_id, group_id) if key})


def _resolve(tx: Tx, source_id: SourceId, keys: Mapping[str, Target]) -> list[Target]:
    if not keys:
        return []
    source_counts.will_look(tx, source_id, keys)
    unknown = _waiting(tx, source_id, keys)
    if unknown:
        tx.order_matters()
        # Where this body itself named them before, they are nobody's no more.
        tx.unknown.get(source_id, set()).difference_update(keys)
        tx.conn.execute(
            group_members.delete().where(
                _m.org_id == tx.org_id,
                _m.group_id == bindparam("_group_id"),
                _m.member_key == bindparam("_member_key"),
            ),
            [{"_group_id": row.group_id, "_member_key": row.member_key} for row in unknown],
        )
        group_ids = {GroupId(row.group_id) for row in unknown}
        group_versions.raise_versions(tx, group_ids)
        _let_go(tx, {GroupId(row.group_id) for row in unknown if row.kept is not None})
        new = {
            (GroupId(row.group_id), member_key(keys[row.member_key]), *keys[row.member_key])
            for row in unknown
        }
        member_rows.insert(tx, source_id, list(new))
    return [keys[row.member_key] for row in unknown]


def _waiting(tx: Tx, source_id: SourceId, names: Collection[str]) -> list[Any]:
    """The rows that wait for these names, of groups that are locked: whoever changes one of these at the
    same moment, and may take such a row away, comes before or after all that is done with it here.

    Raises MoreToLock; see ``group_versions.hold``.
    """
    of_source = {"org_id": tx.org_id, "source_id": source_id, "keys": list(names)}
    found = source_counts.UNKNOWN.all(tx.beside, of_source)
    if not found or tx.beside.dialect.name != "postgresql":
        return found
    group_ids = {GroupId(row.group_id) for row in found}
    if tx.locked:
        group_versions.hold(tx, group_ids)
    else:
        lock_groups(tx.beside, tx.org_id, group_ids)
    again = source_counts.UNKNOWN.all(tx.beside, of_source)
    return [row for row in again if row.group_id in group_ids]


def _let_go(tx: Tx, group_ids: Collection[GroupId]) -> None:
    """Members who were kept while nobody was known who was named instead of them leave; see ``replace``.

    ``group_ids``: of groups in which somebody appears who was. Nobody leaves where all Account Admins would:
    whoever appears is not to be refused for it.
    """
    if not group_ids:
        return
    of_groups = (_m.org_id == tx.org_id) & among(tx.conn, _m.group_id, group_ids)
    kept = of_groups & _m.kept.is_not(None) & _m.kept.is_(true())
    done: dict[GroupId, Change] = defaultdict(Change)
    for row in tx.conn.execute(select(_m.group_id, _m.person_id, _m.child_id).where(kept)):
        if row.person_id:
            done[GroupId(row.group_id)].people_removed.append(PersonId(row.person_id))
        else:
            done[GroupId(row.group_id)].groups_removed.append(GroupId(row.child_id))
    if not done or _may_not_leave(tx, done.values()):
        return
    tx.conn.execute(delete(group_members).where(kept))
    _show(tx, done)


def _may_not_leave(tx: Tx, changes: Iterable[Change]) -> bool:
    people = {person_id for change in changes for person_id in change.people_removed}
    children = [group_id for change in changes for group_id in change.groups_removed]
    if children:
        below = tx.conn.execute(people_below(tx.conn, tx.org_id, children))
        people.update(PersonId(row.person_id) for row in below)
    return bool(admins.last_of(tx, people))
