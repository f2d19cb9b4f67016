"""Versions of groups: raised where a group shows other members than before, or shows them otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import BigInteger, Row, bindparam, select, update

from scimd.core.people import GroupId, Keys, PersonId, SourceId
from scimd.db import last_changed
from scimd.db.among import among, one_of, unindexed
from scimd.db.engine import MoreToLock
from scimd.db.prepared import Prepared
from scimd.db.tables import group_members, groups
from scimd.org.tx import Tx, lock_groups

_g, _m = groups.c, group_members.c
_RAISE = Prepared(
    update(groups)
    .where(_g.org_id == bindparam("_org_id"), one_of(_g.id), _g.state == "live")
    .values(
        version=_g.version + bindparam("_by", type_=BigInteger),
        changed_at=last_changed.not_before_stored(_g.changed_at),
    )
)
_GROUPS_OF = Prepared(
    select(_m.group_id).where(
        _m.org_id == bindparam("org_id"),
        unindexed(_m.source_id) == bindparam("source_id"),
        one_of(_m.person_id),
    )
)


def raise_versions(tx: Tx, group_ids: Collection[GroupId], by: int = 1) -> None:
    """These groups show other members than before, each after so many changes."""
    if group_ids:
        _RAISE.post(tx.beside, {"_org_id": tx.org_id, "keys": group_ids, "_now": tx.now, "_by": by * tx.step})


def raise_each(tx: Tx, changes: Mapping[GroupId, int]) -> None:
    """The same of groups that changed different numbers of times."""
    for by in set(changes.values()):
        raise_versions(tx, [group_id for group_id, times in changes.items() if times == by], by)


def shown_again(tx: Tx, source_id: SourceId, person_ids: Collection[PersonId]) -> None:
    """Members whom the source asserts, or asserts no more, show in their groups otherwise than before."""
    raise_each(tx, _groups_of(tx, source_id, person_ids))


def lock_of(tx: Tx, source_id: SourceId, person_ids: Collection[PersonId]) -> None:
    """Lock the source's groups of these people, as a change of members does before anybody."""
    if tx.beside.dialect.name == "postgresql" and (found := _groups_of(tx, source_id, person_ids)):
        lock_groups(tx.beside, tx.org_id, found.keys())


def named_again(tx: Tx, source_id: SourceId, person_ids: Collection[PersonId]) -> None:
    """Members have another name in the source's groups than before. Raises MoreToLock; see ``hold``."""
    named_again_in(tx, {source_id: person_ids})


def named_again_in(tx: Tx, of_source: Mapping[SourceId, Collection[PersonId]]) -> None:
    """The same in several sources: their groups are learnt together, for one more try and not one each."""
    found: Counter[GroupId] = Counter()
    for source_id, person_ids in sorted(of_source.items()):
        found += _groups_of(tx, source_id, person_ids)
    hold(tx, found)
    raise_each(tx, found)


def renamed(tx: Tx, group_ids: Collection[GroupId]) -> None:
    """The groups in which these are members show their new names. Raises MoreToLock; see ``hold``."""
    above = parents(tx, group_ids)
    if above:
        hold(tx, {*above, *group_ids})
        raise_versions(tx, above)


def _groups_of(tx: Tx, source_id: SourceId, person_ids: Collection[PersonId]) -> Counter[GroupId]:
    """The source's groups of these people: of each person a change, whoever else changes with them."""
    of_source = {"org_id": tx.org_id, "source_id": source_id, "keys": person_ids}
    return Counter(map(GroupId, _GROUPS_OF.column(tx.beside, of_source)))


def hold(tx: Tx, group_ids: Collection[GroupId]) -> None:
    """Have these groups locked before anybody: a change of members locks its group, and then people.

    On PostgreSQL only the next try of the body can do so, which MoreToLock asks for; SQLite locks nothing.
    """
    if tx.beside.dialect.name == "postgresql" and not tx.groups_first.issuperset(group_ids):
        tx.groups_first.update(group_ids)
        raise MoreToLock


def names_anew(source_id: SourceId, old: Row[Any], keys: Keys) -> bool:
    """Whether by its new word about somebody the source's groups show another name (``org.reading.reads``).

    ``old`` is a row of ``candidates.near``, of a live assertion.
    """
    if old.owner_source_id != source_id:
        return False
    return _shown(old.display_name, old.user_name) != _shown(keys.display_name, keys.user_name)


def _shown(display_name: str, user_name: str) -> str | None:
    return display_name if display_name != user_name else None


def parents(tx: Tx, group_ids: Collection[GroupId]) -> set[GroupId]:
    """The groups in which these are members."""
    query = select(_m.group_id).where(_m.org_id == tx.org_id, among(tx.beside, _m.child_id, group_ids))
    return {GroupId(group_id) for group_id in tx.beside.execute(query).scalars()}
