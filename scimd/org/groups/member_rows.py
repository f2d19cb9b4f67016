"""Who is in a group: rows that come and go one by one, whatever the size of the group.

A member is named by a SCIM id or by the source's external id. One that is not known yet is kept as
named, and becomes a member when its entry appears (``pending_members``). A row of somebody whom the
source asserts no more stays, hidden: it shows again when they return.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeAlias

import orjson
from sqlalchemy import (
    BindParameter,
    Connection,
    Insert,
    Select,
    Update,
    bindparam,
    literal_column,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import ReturningDelete

from scimd.core.people import GroupId, OrgId, PersonId, SourceId
from scimd.db.among import json_rows, one_of, rows_given, unindexed
from scimd.db.engine import LostRace
from scimd.db.locks import insert_ignore
from scimd.db.prepared import Listing, Prepared, ahead
from scimd.db.tables import assertions, group_members, groups, merged_people
from scimd.org.groups.group_nesting import people_below
from scimd.org.settling import unsettled
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
    kept: int = 0  # who would have left, had anybody been known who was named

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    @property
    def added(self) -> int:
        return len(self.people_added) + len(self.groups_added) + self.unknown_added

    @property
    def people(self) -> list[PersonId]:
        """All who came or went."""
        return [*self.people_added, *self.people_removed]

    @property
    def removed(self) -> int:
        return len(self.people_removed) + len(self.groups_removed) + self.unknown_removed


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to be in a group and who is not, by SCIM ids or external ids; the rest stays as it is.

    ``users``: those of ``remove`` who stay where they are groups.
    """

    group_id: GroupId
    add: Collection[str] = ()
    remove: Collection[str] = ()
    users: Collection[str] = ()


def change(tx: Tx, source_id: SourceId, many: Sequence[Wanted]) -> list[Change]:
    """Add and remove members, by statements on those named alone; a change each, in order.

    The groups' rows are locked already. Whom the changes concern is for the caller to have settled
    (``touch``).
    """
    targets = _targets(tx, source_id, _keys(many))
    wanted = []
    for each in many:
        add = _by_key(targets, each.add)
        gone = set(each.remove).difference(name for name in each.users if targets.get(name, _NOBODY)[1])
        remove = (_by_key(targets, gone).keys() | gone) - add.keys()
        wanted.append((each.group_id, add, remove))
    return _write(tx, source_id, wanted)


def asked_of(
    org_id: OrgId, source_id: SourceId, many: Sequence[Wanted]
) -> tuple[Prepared, Mapping[str, Any]]:
    """What ``change`` asks first; see ``prepared.ahead``."""
    return _PEOPLE_BY_ID, {"org_id": org_id, "source_id": source_id, "keys": _keys(many)}


def _keys(many: Sequence[Wanted]) -> list[str]:
    return sorted({key for each in many for key in (*each.add, *each.remove)})


_in_group = (group_members.c.org_id == bindparam("org_id")) & (
    group_members.c.group_id == bindparam("group_id")
)
_HELD = Listing(
    select(group_members.c.member_key, group_members.c.person_id, group_members.c.child_id).where(_in_group)
)


def replace(tx: Tx, source_id: SourceId, group_id: GroupId, keys: Collection[str]) -> Change:
    """Make exactly these the members. Whoever is not known is kept as named.

    Where none of those named is known, nobody leaves who is: such a list is more often a mistake than
    the end of a group. They leave as soon as one of the named appears (``pending_members``).

    There may be 100,000 of them: while something is done at once with so many, no other thread has a turn.
    """
    of_group = {"org_id": tx.org_id, "group_id": group_id, "source_id": source_id}
    names, people, children = _HELD.columns(tx.conn, of_group)
    held, asked = set(names), set(keys)
    # A member's row that is known is found by their id: of a large group that changes little, mostly all.
    there = asked.intersection(held.intersection(people))
    known = there | _asserted_among(tx, source_id, asked - there)
    others = [key for key in keys if key not in known]
    wanted = _by_key(_targets(tx, source_id, others), others)
    coming = known - held
    add = {key: target for key, target in wanted.items() if key not in held and key not in known}
    gone = held.difference(known, wanted)
    leaving = [row for row in zip(names, people, children, strict=True) if row[0] in gone] if gone else []
    done = Change()
    if keys and not known and not any(map(any, wanted.values())):
        done.kept = len(leaving)
        leaving = [row for row in leaving if not any(row[1:])]
        done.kept -= len(leaving)
    if leaving:
        _REMOVE_OF_ONE.post(tx.conn, {**of_group, "keys": [key for key, _, _ in leaving]})
    if coming:
        _ADD_PEOPLE.post(tx.conn, {**of_group, "since": tx.now, "keys": sorted(coming)})
    insert(tx, source_id, [(group_id, key, *target) for key, target in add.items()])
    (_KEEP if done.kept else _KEPT_NO_MORE).post(tx.conn, of_group)
    done.people_added, done.groups_added, done.unknown_added = _sorted_out(add.values())
    done.people_added += map(PersonId, coming)
    tx.joined.update(done.people_added)
    done.people_removed, done.groups_removed, done.unknown_removed = _sorted_out(
        [(person_id, child_id) for _, person_id, child_id in leaving]
    )
    return done


_KEEP = Prepared(
    update(group_members)
    .where(_in_group)
    .values(kept=or_(group_members.c.person_id.is_not(None), group_members.c.child_id.is_not(None)))
)
_KEPT_NO_MORE = Prepared(
    update(group_members).where(_in_group, group_members.c.kept.is_not(None)).values(kept=null())
)


def _sorted_out(members: Collection[Target]) -> tuple[list[PersonId], list[GroupId], int]:
    """The people, the groups, and how many are neither."""
    people = [person_id for person_id, _ in members if person_id]
    nested = [child_id for person_id, child_id in members if child_id and not person_id]
    return people, nested, len(members) - len(people) - len(nested)


#: The person or the group that a name means; there may be 100,000 of them.
Target: TypeAlias = tuple[PersonId | None, GroupId | None]
_NOBODY: Target = (None, None)
_MANY = 1000


def member_key(target: Target) -> str:
    return target[0] or target[1] or ""


def _by_key(targets: Mapping[str, Target], names: Collection[str]) -> dict[str, Target]:
    """What the names mean, by the key of the member's row; who is not known has the name."""
    many = [(name, targets.get(name, _NOBODY)) for name in names]
    return {target[0] or target[1] or name: target for name, target in many}


def _targets(tx: Tx, source_id: SourceId, keys: Collection[str]) -> dict[str, Target]:
    """Those of the keys that name somebody whom the source asserts, or asserted, or one of its groups.

    Our own ids come first: whoever carries another's id as external id is not taken for them.
    """
    found: dict[str, Target] = {}
    for look, statement in _LOOKS:
        left = [key for key in keys if key not in found]
        if not left:
            break
        found |= look(tx, statement, {"org_id": tx.org_id, "source_id": source_id, "keys": left})
    return found


def must_be_asserted(tx: Tx, person_ids: Collection[PersonId]) -> None:
    """Of these, whom the body put into groups, none may have been merged into another before their lock
    was had: a merge takes along the memberships that it sees. Raises LostRace.
    """
    joined = tx.joined.intersection(person_ids)
    if joined and tx.ctx.source_id and joined - _asserted_among(tx, tx.ctx.source_id, sorted(joined)):
        raise LostRace


def are_known(tx: Tx, source_id: SourceId, names: Collection[str]) -> bool:
    """Whether any of these names is somebody's by now."""
    of_source = {"org_id": tx.org_id, "source_id": source_id, "keys": sorted(names)}
    ahead(tx.conn, *((statement, of_source) for _, statement in _LOOKS))
    return bool(_targets(tx, source_id, of_source["keys"]))


_a, _g, _m = assertions.c, groups.c, group_members.c
_ASSERTED = Listing(
    select(_a.person_id).where(
        _a.org_id == bindparam("org_id"),
        unindexed(_a.source_id) == bindparam("source_id"),
        _a.state != "history",
        one_of(_a.person_id),
    )
)


def _asserted_among(tx: Tx, source_id: SourceId, keys: Collection[str]) -> set[str]:
    """Those that are ids of people whom the source asserts, or asserted: of a large group, mostly all."""
    if not keys:
        return set()
    (found,) = _ASSERTED.columns(tx.conn, {"org_id": tx.org_id, "source_id": source_id, "keys": keys})
    return set(found)


_PEOPLE_BY_ID, _PEOPLE_BY_EXTERNAL_ID = (
    Listing(
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
_PEOPLE_BY_OLD_ID = Listing(
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
    Listing(
        select(_g.id, by.label("key")).where(
            _g.org_id == bindparam("org_id"),
            source == bindparam("source_id"),
            _g.state == "live",
            one_of(by),
        )
    )
    for source, by in ((unindexed(_g.source_id), _g.id), (_g.source_id, _g.external_id))
)


def _people_by(tx: Tx, statement: Listing, of_source: Mapping[str, Any]) -> dict[str, Target]:
    """Of several with one name, the one whom the source asserts now."""
    rows = list(_named(tx, statement, of_source))
    found: dict[str, Target] = {key: (person_id, None) for person_id, key, _ in rows}
    if len(found) < len(rows):
        found |= {key: (person_id, None) for person_id, key, state in rows if state == "live"}
    return found


def _groups_by(tx: Tx, statement: Listing, of_source: Mapping[str, Any]) -> dict[str, Target]:
    return {key: (None, group_id) for group_id, key in _named(tx, statement, of_source)}


def _named(tx: Tx, statement: Listing, of_source: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    if len(of_source["keys"]) < _MANY:
        return statement.raw(tx.conn, of_source)
    return zip(*statement.columns(tx.conn, of_source), strict=True)


_LOOKS = (
    (_people_by, _PEOPLE_BY_ID),
    (_groups_by, _GROUPS_BY_ID),
    (_people_by, _PEOPLE_BY_EXTERNAL_ID),
    (_groups_by, _GROUPS_BY_EXTERNAL_ID),
    (_people_by, _PEOPLE_BY_OLD_ID),
)


def _remove() -> Prepared:
    def statement(conn: Connection) -> ReturningDelete[Any]:
        named = select(*json_rows(conn, "rows", 2))
        mine = group_members.delete().where(
            _m.org_id == bindparam("org_id"), tuple_(_m.group_id, _m.member_key).in_(named)
        )
        return mine.returning(_m.group_id, _m.member_key, _m.person_id, _m.child_id)

    return Prepared(statement)


_NEW = ("org_id", "group_id", "member_key", "source_id", "person_id", "child_id", "since")


def _given(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=_m[name].type)


def _adding(conn: Connection) -> Insert:
    group_id, member_key, person_id, child_id = json_rows(conn, "rows", 4)
    rows = select(
        _given("org_id"), group_id, member_key, _given("source_id"), person_id, child_id, _given("since")
    )
    return _inserting(conn, rows)


def _adding_people(conn: Connection) -> Insert:
    ids = rows_given(conn).subquery()
    rows = select(
        _given("org_id"),
        _given("group_id"),
        ids.c.key,
        _given("source_id"),
        ids.c.key.label("person_id"),
        null(),
        _given("since"),
    )
    return _inserting(conn, rows)


def _inserting(conn: Connection, rows: Select[Any]) -> Insert:
    # SQLite reads ON CONFLICT after a bare FROM as a join's ON.
    every = rows.where(literal_column("true"))
    return insert_ignore(conn, group_members).from_select(_NEW, every, include_defaults=False)


def _naming_again(conn: Connection) -> Update:
    named = tuple_(_m.group_id, _m.member_key).in_(select(*json_rows(conn, "rows", 2)))
    mine = (_m.org_id == bindparam("org_id")) & named & _m.kept.is_(true())
    return update(group_members).where(mine).values(kept=null())


#: Of those who were not in already, the second says who they are.
_ADD = Prepared(_adding)
_ADD_PEOPLE = Prepared(_adding_people)
_ADD_TOLD = Prepared(lambda conn: _adding(conn).returning(_m.group_id, _m.member_key))
_REMOVE = _remove()
_NAME_AGAIN = Prepared(_naming_again)
_REMOVE_OF_ONE = Prepared(group_members.delete().where(_in_group, one_of(_m.member_key)))


def _write(
    tx: Tx,
    source_id: SourceId,
    wanted: Sequence[tuple[GroupId, Mapping[str, Target], Collection[str]]],
) -> list[Change]:
    """``wanted``: whom to add to each group, by member key, and the keys of those to take out."""
    many = [Change() for _ in wanted]
    place: dict[tuple[str, str], int] = {}
    for n, (group_id, add, remove) in enumerate(wanted):
        for key in (*add, *remove):
            if place.setdefault((group_id, key), n) != n:
                tx.alone()
    _remove_rows(tx, [(group_id, key) for group_id, _, remove in wanted for key in remove], many, place)
    rows = [(group_id, key, *target) for group_id, add, _ in wanted for key, target in add.items()]
    told = _ADD_TOLD.raw(tx.conn, _rows(tx, source_id, rows)) if rows else []
    for group_id, key in told:
        n = place[group_id, key]
        person_id, child_id = wanted[n][1][key]
        if person_id:
            many[n].people_added.append(person_id)
            tx.joined.add(person_id)
        elif child_id:
            many[n].groups_added.append(child_id)
        else:
            many[n].unknown_added += 1
            tx.unknown.setdefault(source_id, set()).add(key)
    if len(told) < len(rows):
        # Of those who were kept (``replace``), whoever is added by name stays when the others go.
        there = {(group_id, key) for group_id, key, *_ in rows}.difference(map(tuple, told))
        _NAME_AGAIN.post(tx.conn, {"org_id": tx.org_id, "rows": orjson.dumps(sorted(there)).decode()})
    return many


def _remove_rows(
    tx: Tx, rows: list[tuple[GroupId, str]], many: Sequence[Change], place: Mapping[tuple[str, str], int]
) -> None:
    if not rows:
        return
    named = {"org_id": tx.org_id, "rows": orjson.dumps(sorted(rows)).decode()}
    for group_id, key, person_id, child_id in _REMOVE.raw(tx.conn, named):
        done = many[place[group_id, key]]
        if person_id:
            done.people_removed.append(person_id)
        elif child_id:
            done.groups_removed.append(child_id)
        else:
            done.unknown_removed += 1


_Row: TypeAlias = tuple[GroupId, str, PersonId | None, GroupId | None]


def insert(tx: Tx, source_id: SourceId, new: Sequence[_Row]) -> None:
    """Write rows of group, member key, person and child."""
    if new:
        _ADD.post(tx.conn, _rows(tx, source_id, new))
        if names := {key for _, key, person_id, child_id in new if not (person_id or child_id)}:
            tx.unknown.setdefault(source_id, set()).update(names)


def _rows(tx: Tx, source_id: SourceId, new: Sequence[_Row]) -> dict[str, Any]:
    # By their key, so that rows that lie side by side are written one after the other.
    rows = orjson.dumps(sorted(new, key=_PLACE)).decode()
    return {"org_id": tx.org_id, "source_id": source_id, "since": tx.now, "rows": rows}


_PLACE = itemgetter(0, 1)


# ------------------------------------------------------------------------------ whom it concerns


def touch(tx: Tx, done: Change) -> None:
    """Have all whom the change concerns settled."""
    tx.touch(done.people_added)
    tx.regrouped.update(done.people_added, done.people_removed)
    tx.leaving.update(done.people_removed)
    touch_nested(tx, done)


def touch_nested(tx: Tx, done: Change) -> None:
    """Those of them who are in groups that came or went."""
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
