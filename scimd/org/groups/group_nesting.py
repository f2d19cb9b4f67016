"""Who is in which groups, directly and through other groups: up from people, down from groups.

Nested groups count transitively, at most ``DEPTH`` of them from a person upward. Each group counts
once, by its shortest path, so that cycles end by themselves. A deleted group passes nothing on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import Any, TypeVar

from sqlalchemy import CTE, Connection, Row, Select, bindparam, literal_column, select, true
from sqlalchemy.sql import ColumnElement

from scimd.core.people import GroupId, OrgId, PersonId, RoleName, SourceId
from scimd.core.roles import Effect
from scimd.core.standing import MembershipFact
from scimd.db.among import among, one_of
from scimd.db.prepared import Prepared, ahead
from scimd.db.tables import group_effects, group_members, groups

DEPTH = 10
K = TypeVar("K")
_m, _e, _g = group_members.c, group_effects.c, groups.c


def _direct_memberships(*more: ColumnElement[Any]) -> Select[Any]:
    """People's own groups, and whether these are in others."""
    above = group_members.alias("above")
    nested = select(above.c.group_id).where(above.c.org_id == _g.org_id, above.c.child_id == _g.id).exists()
    return (
        select(_m.person_id, _m.group_id, _g.source_id, _g.display_name, nested.label("nested"), *more)
        .join_from(
            group_members, groups, (_g.org_id == _m.org_id) & (_g.id == _m.group_id) & (_g.state == "live")
        )
        .where(_m.org_id == bindparam("org_id"), one_of(_m.person_id))
    )


_DIRECT = Prepared(_direct_memberships())
#: With a row for each effect; the effect's columns are None where the group gives nothing.
_DIRECT_WITH_EFFECTS = Prepared(
    _direct_memberships(_e.rule, _e.kind, _e.target, _e.project_role).outerjoin(
        group_effects, (_e.org_id == _g.org_id) & (_e.group_id == _g.id)
    )
)
_EFFECTS = Prepared(select(group_effects).where(_e.org_id == bindparam("org_id"), one_of(_e.group_id)))
_LIVING = Prepared(
    select(_g.id, _g.source_id, _g.display_name).where(
        _g.org_id == bindparam("org_id"), _g.state == "live", one_of(_g.id)
    )
)


def _edges() -> Prepared:
    """The edges from child to parent that are reachable from the seeds, ``keys``.

    Each group is come to once: where a hundred are in each other, ways through them are without number. How
    far one counts is for ``_above`` to see.
    """
    of_seeds = select(_m.org_id, _m.child_id, _m.group_id).where(
        _m.org_id == bindparam("org_id"), one_of(_m.child_id)
    )
    up = of_seeds.with_only_columns(_m.org_id, _m.group_id).cte("up", recursive=True)
    up = up.union(_edges_from(up).with_only_columns(_m.org_id, _m.group_id))
    found = of_seeds.union(_edges_from(up)).subquery()
    return Prepared(select(found.c.child_id, found.c.group_id))


def _edges_from(found: CTE) -> Select[Any]:
    """Those of the groups that were found so far."""
    is_child = (_m.org_id == found.c.org_id) & (_m.child_id == found.c.group_id)
    return select(_m.org_id, _m.child_id, _m.group_id).select_from(found).join(group_members, is_child)


_EDGES = _edges()


@dataclass(frozen=True, slots=True)
class _Group:
    source_id: SourceId
    name: str
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class _Reached:
    group_id: GroupId
    path: tuple[GroupId, ...]


def memberships(
    conn: Connection,
    org_id: OrgId,
    ids: Collection[PersonId],
    source_id: SourceId | None = None,
    *,
    with_effects: bool = True,
) -> Mapping[PersonId, list[MembershipFact]]:
    """All memberships of people in living groups (of one source, if said), the direct ones first.

    ``with_effects`` False leaves out what the groups give.
    """
    statement = _DIRECT_WITH_EFFECTS if with_effects else _DIRECT
    rows = statement.all(conn, {"org_id": org_id, "keys": ids})
    if not any(row.nested for row in rows):  # no group is in another, as nearly always
        return _flat(rows, source_id, with_effects=with_effects)
    direct: dict[PersonId, set[GroupId]] = defaultdict(set)
    for row in rows:
        direct[PersonId(row.person_id)].add(GroupId(row.group_id))
    return through(conn, org_id, direct, source_id, with_effects=with_effects)


def through(
    conn: Connection,
    org_id: OrgId,
    direct: Mapping[K, Collection[GroupId]],
    source_id: SourceId | None = None,
    *,
    with_effects: bool = True,
) -> Mapping[K, list[MembershipFact]]:
    """The same from the groups in which each is directly; what the keys are is the caller's."""
    if not direct:
        return {}
    seeds = {group_id for ids_of_groups in direct.values() for group_id in ids_of_groups}
    if not with_effects:  # for a read of people's groups, which are in no other nearly always
        of_seeds = {"org_id": org_id, "keys": seeds}
        ahead(conn, (_EDGES, of_seeds), (_LIVING, of_seeds))
    parents = _parents(conn, org_id, seeds)
    reachable = seeds.union(*parents.values()) if parents else seeds
    effects = _effects(conn, org_id, reachable) if with_effects else {}
    known = _groups(conn, org_id, reachable, source_id, effects)
    # People share groups: what is above each group is walked once.
    above: dict[GroupId, list[_Reached]] = {}
    return {person_id: _facts(sorted(own), known, parents, above) for person_id, own in direct.items()}


def _flat(
    rows: Sequence[Row[Any]], source_id: SourceId | None, *, with_effects: bool
) -> Mapping[PersonId, list[MembershipFact]]:
    """Memberships where no group is in another, from the rows that say all of them."""
    own: dict[PersonId, set[GroupId]] = {}
    effects: dict[GroupId, dict[tuple[int, str], Effect]] = {}
    known: dict[GroupId, Row[Any]] = {}
    for row in rows:
        if source_id is not None and row.source_id != source_id:
            continue
        own.setdefault(PersonId(row.person_id), set()).add(row.group_id)
        known[row.group_id] = row
        if with_effects and row.rule is not None:
            role = RoleName(row.project_role) if row.project_role else None
            given = effects.setdefault(row.group_id, {})
            given[row.rule, row.kind] = Effect(row.rule, row.kind, row.target, role)
    facts = {
        group_id: MembershipFact(
            SourceId(row.source_id), group_id, row.display_name, (), tuple(effects.get(group_id, {}).values())
        )
        for group_id, row in known.items()
    }
    return {person_id: [facts[group_id] for group_id in sorted(ids)] for person_id, ids in own.items()}


def _parents(conn: Connection, org_id: OrgId, seeds: Collection[GroupId]) -> dict[GroupId, set[GroupId]]:
    found: dict[GroupId, set[GroupId]] = defaultdict(set)
    for row in _EDGES.all(conn, {"org_id": org_id, "keys": seeds}):
        found[GroupId(row.child_id)].add(GroupId(row.group_id))
    return found


def _effects(conn: Connection, org_id: OrgId, ids: Collection[GroupId]) -> Mapping[str, list[Effect]]:
    found: dict[str, list[Effect]] = defaultdict(list)
    for row in _EFFECTS.all(conn, {"org_id": org_id, "keys": ids}):
        role = RoleName(row.project_role) if row.project_role else None
        found[row.group_id].append(Effect(row.rule, row.kind, row.target, role))
    return found


def _groups(
    conn: Connection,
    org_id: OrgId,
    ids: Collection[GroupId],
    source_id: SourceId | None,
    effects: Mapping[str, list[Effect]],
) -> dict[GroupId, _Group]:
    return {
        GroupId(row.id): _Group(SourceId(row.source_id), row.display_name, tuple(effects.get(row.id, ())))
        for row in _LIVING.all(conn, {"org_id": org_id, "keys": ids})
        if source_id is None or row.source_id == source_id
    }


def _facts(
    own: list[GroupId],
    known: Mapping[GroupId, _Group],
    parents: Mapping[GroupId, set[GroupId]],
    above: dict[GroupId, list[_Reached]],
) -> list[MembershipFact]:
    best: dict[GroupId, tuple[GroupId, ...]] = {group_id: () for group_id in own if group_id in known}
    for group_id in list(best):
        if group_id not in above:
            above[group_id] = _above(group_id, known, parents)
        for reached in above[group_id]:
            held = best.get(reached.group_id)
            if held is None or (len(reached.path), reached.path) < (len(held), held):
                best[reached.group_id] = reached.path
    return [
        _fact(known[group_id], group_id, tuple(known[each].name for each in path))
        for group_id, path in sorted(best.items(), key=lambda item: (len(item[1]), item[0]))
    ]


def _fact(group: _Group, group_id: GroupId, path: tuple[str, ...]) -> MembershipFact:
    return MembershipFact(group.source_id, group_id, group.name, path, group.effects)


_NONE: frozenset[GroupId] = frozenset()


def _above(
    seed: GroupId, known: Mapping[GroupId, _Group], parents: Mapping[GroupId, set[GroupId]]
) -> list[_Reached]:
    """Everything over one group, nearest first, each with the groups through which it is reached."""
    paths: dict[GroupId, tuple[GroupId, ...]] = {seed: ()}
    level = [seed]
    for _ in range(DEPTH - 1):
        level = sorted(
            {
                parent: paths.setdefault(parent, (*paths[child], child))
                for child in level
                for parent in sorted(parents.get(child, _NONE).difference(paths))
                if parent in known
            }
        )
        if not level:
            break
    return [_Reached(group_id, path) for group_id, path in paths.items() if group_id != seed]


# ------------------------------------------------------------------------------ all of a source


@dataclass(frozen=True, slots=True)
class NestedIds:
    """The parameter ``name`` of a statement that asks who is in groups through others: their ids.

    Of the ``groups`` (a select of their ids): everybody who is in one of them and not directly. Without
    ``people`` the other groups that are in them.
    """

    name: str
    groups: Select[Any]
    people: bool

    def has(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """The column is the id of one of these."""
        return one_of(column, self.name)


def nested_ids(
    conn: Connection, org_id: OrgId, source_id: SourceId, asked: Collection[NestedIds]
) -> dict[str, list[str]]:
    """The parameters that are asked for, of the living groups of a source.

    A database would go each way from group to group, also where groups are all in each other, ten deep.
    """
    if not asked:
        return {}
    nested = _Nested(conn, org_id, source_id)
    return {each.name: nested.asked_for(each) for each in asked}


class _Nested:
    """The groups of a source that are in others or have others in them.

    A set of them is a number, each group the bit at its place in ``ids``: many at once are as one. With
    10,000 groups all these numbers are 12 MB.
    """

    def __init__(self, conn: Connection, org_id: OrgId, source_id: SourceId) -> None:
        self.conn = conn
        self.org_id = org_id
        edges = select(_m.group_id, _m.child_id).where(_m.org_id == org_id, _m.child_id.is_not(None))
        nested = [(row[0], row[1]) for row in conn.execute(edges)]
        of_source = (_g.org_id == org_id, _g.source_id == source_id, _g.state == "live")
        either = among(conn, _g.id, {group_id for edge in nested for group_id in edge})
        self.ids: Sequence[str] = conn.execute(select(_g.id).where(*of_source, either)).scalars().all()
        self._place = {group_id: n for n, group_id in enumerate(self.ids)}
        self._inner: dict[int, list[int]] = defaultdict(list)
        self._outer: dict[int, list[int]] = defaultdict(list)
        for group_id, child_id in nested:
            outer, inner = self._place.get(group_id), self._place.get(child_id)
            if outer is not None and inner is not None:
                self._inner[outer].append(inner)
                self._outer[inner].append(outer)

    def asked_for(self, asked: NestedIds) -> list[str]:
        if not self._inner:
            return []
        top = asked.groups.where(among(self.conn, _g.id, [self.ids[n] for n in self._inner]))
        places = [self._place[group_id] for group_id in self.conn.execute(top).scalars()]
        tops = _together(1 << n for n in places)
        if not asked.people:
            return [self.ids[n] for n in _bits(_together(self._below[n] for n in places) & ~tops)]
        return [person_id for over, people in self._people if over & tops for person_id in people]

    @cached_property
    def _below(self) -> Sequence[int]:
        return _reached(self._inner, len(self.ids))

    @cached_property
    def _above(self) -> Sequence[int]:
        return _reached(self._outer, len(self.ids))

    @cached_property
    def _people(self) -> Sequence[tuple[int, list[str]]]:
        """People who are directly in the same groups, and all others in which they are through these."""
        members = select(_m.person_id, _m.group_id).where(
            _m.org_id == self.org_id,
            among(self.conn, _m.group_id, self.ids),
            _m.member_key == _m.person_id,
        )
        own: dict[str, int] = defaultdict(int)
        for person_id, group_id in self.conn.execute(members):
            own[person_id] |= 1 << self._place[group_id]
        people: dict[int, list[str]] = defaultdict(list)
        for person_id, groups_of in own.items():
            people[groups_of].append(person_id)
        return [
            (_together(self._above[n] for n in _bits(groups_of)) & ~groups_of, alike)
            for groups_of, alike in people.items()
        ]


def _reached(steps: Mapping[int, Collection[int]], size: int) -> Sequence[int]:
    """By place, what is reached from there, itself among it: all of one more step at once."""
    reached = [1 << n for n in range(size)]
    for _ in range(DEPTH - 1):
        further = list(reached)
        for n, nearest in steps.items():
            further[n] |= _together(reached[each] for each in nearest)
        if further == reached:
            break
        reached = further
    return reached


def _together(sets: Iterable[int]) -> int:
    return reduce(or_, sets, 0)


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


# ------------------------------------------------------------------------------ downward


def below(conn: Connection, org_id: OrgId, group_ids: Collection[GroupId]) -> CTE:
    """The groups themselves and all that are nested in them, however deep: a CTE of ``org_id``, ``group_id``.

    It carries the organization along so that SQLite, without statistics, has no other way into the
    member rows than by the groups found so far.
    """
    column = group_members.c
    down = (
        select(groups.c.org_id, groups.c.id.label("group_id"))
        .where(groups.c.org_id == org_id, among(conn, groups.c.id, group_ids))
        .cte("down", recursive=True)
    )
    further = (
        select(down.c.org_id, column.child_id)
        .select_from(down)
        .join(group_members, _in_group(down))
        .join(groups, (groups.c.org_id == down.c.org_id) & (groups.c.id == column.child_id))
        .where(column.child_id.is_not(None), groups.c.state == "live")
    )
    return down.union(further)


def _in_group(down: CTE) -> ColumnElement[bool]:
    return (group_members.c.org_id == down.c.org_id) & (group_members.c.group_id == down.c.group_id)


def people_below(conn: Connection, org_id: OrgId, group_ids: Collection[GroupId]) -> Select[tuple[str]]:
    """A select of everybody who is in one of the groups, directly or through others.

    A person's key is their id. SQLite takes "is not null" for a range of an index, and walks through all
    memberships for each group. PostgreSQL, to sort them out, reads all memberships in the order of people,
    unless each group is looked into by itself: it leaves a LATERAL with an OFFSET as it is.
    """
    down = below(conn, org_id, group_ids)
    column = group_members.c
    if conn.dialect.name == "postgresql":
        inside = select(column.person_id).where(_in_group(down), column.member_key == column.person_id)
        members = inside.offset(literal_column("0")).lateral("members")
        return select(members.c.person_id).distinct().select_from(down).join(members, true())
    return (
        select(column.person_id)
        .distinct()
        .select_from(down)
        .join(group_members, _in_group(down))
        .where(column.member_key == column.person_id)
    )
