"""Who would gain and who would lose by other rules of a source, worked out beside what is stored.

Nothing is written, so that nobody waits for it: what each group and each value would give is decided by
the same functions that decide it when the rules are changed (``org.grants.bindings``), and handed to the same
pure standing. A thing that a rule would make has no id yet; its name stands for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row, bindparam, case, distinct, func, or_, select

from scimd.core.facts import Facts, MembershipFact
from scimd.core.people import GroupId, OrgId, PersonId, RoleName, SourceId, fold
from scimd.core.roles import Effect, ValueAttribute
from scimd.core.standing import Grant, Standing, Status
from scimd.core.sync.seat_figures import SeatMove, Seats, seat_move
from scimd.db.among import one_of, rows_of
from scimd.db.prepared import Prepared
from scimd.db.tables import assertions, grants, licences, people, projects, teams, unsettled
from scimd.org.grants import bindings, value_bindings
from scimd.org.grants.projects import decided, left_by
from scimd.org.groups import group_nesting
from scimd.org.labels import names_in, of_grant
from scimd.org.rulebook import RuleBook, SourceBook, by_value, rule_of, with_source
from scimd.org.runs import plan_ground
from scimd.org.settling import standing_rows
from scimd.org.settling.facts import gather
from scimd.org.sources import held_changes
from scimd.org.sources.held_changes import Tally, limits_of
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Door

_AT_ONCE = 500
_a, _g, _p = assertions.c, grants.c, people.c
#: Of people, what is asked of them here.
_PEOPLE = Prepared(
    select(
        _p.id, _p.display_name, _p.kind, _p.sign_in_address, _p.approved, _p.accepted, _p.welcome,
        _p.has_seat, _p.wants_seat, _p.status, _p.owner_source_id,
    )
    .where(_p.org_id == bindparam("org_id"), one_of(_p.id))
    .order_by(_p.id)
)  # fmt: skip
End: TypeAlias = Literal["remove", "keep"]
#: So many people a preview looks at that somebody waits for; a change looks at all whom it concerns.
LOOKED_AT = 5_000
#: So many people a preview names.
NAMED = 200


@dataclass(frozen=True, slots=True)
class Moved:
    """One person, with what they gain and lose, such as ``project Alpha as owner``."""

    person_id: PersonId
    display_name: str
    gains: tuple[str, ...]
    loses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """Who would gain and lose, which are ``moving``; ``people`` names the first of them.

    ``concerned``: all whom the source knows. ``looked_at`` is less where more of them may move than a
    preview looks at; all other figures are of those looked at. ``seats``: as of a plan
    (``core.sync.seat_figures``). ``held``: a sentence for each limit that it is over.
    """

    concerned: int
    looked_at: int
    moving: int
    gaining: int
    losing: int
    new_admins: int
    seats: Mapping[str, int | None]
    held: tuple[str, ...]
    people: tuple[Moved, ...]


@dataclass(slots=True)
class Looked:
    """Projects, teams and licences as they are; what is missing is called by a name of its own."""

    conn: Connection
    org_id: OrgId
    #: Of what is not there yet.
    names: dict[str, str] = field(default_factory=dict)
    _projects: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    _teams: dict[str, str] = field(default_factory=dict)
    _licences: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        column = projects.c
        living = select(column.name_key, column.id, column.made_by_group_id).where(
            column.org_id == self.org_id, column.archived_at.is_(None)
        )
        self._projects = {row.name_key: (row.id, row.made_by_group_id) for row in self.conn.execute(living)}
        self._teams, self._licences = self._of(teams), self._of(licences)

    def _of(self, table: Any) -> dict[str, str]:
        query = select(table.c.name_key, table.c.id).where(table.c.org_id == self.org_id)
        return {row.name_key: row.id for row in self.conn.execute(query)}

    def _missing(self, kind: str, name: str) -> str:
        made = f"a new {kind} {fold(name)}"
        self.names.setdefault(made, name)
        return made

    def project(self, name: str) -> str:
        known = self._projects.get(fold(name)) or (self._missing("project", name), None)
        self._projects[fold(name)] = known
        return known[0]

    def project_of_rule(self, source: SourceBook, group_id: GroupId, name: str) -> str:
        known = self._projects.get(fold(name)) or (self._missing("project", name), group_id)
        self._projects[fold(name)] = known
        return known[0]

    def project_of(self, source: SourceBook, group_id: GroupId, name: str) -> str | None:
        """As ``projects.for_group`` finds it."""
        known = self._projects.get(fold(name))
        if known is None:
            known = self._missing("project", name), group_id
            self._projects[fold(name)] = known
        project_id, made_by = known
        if made_by == group_id:
            return project_id
        said = decided(self.conn, self.org_id, group_id, name, project_id)
        if said is not None:
            return project_id if said == "use" else None
        left = left_by(self.conn, self.org_id, [project_id]) if made_by else {}
        return project_id if left.get(project_id) == source.id else None

    def team(self, name: str) -> str:
        return self._teams.get(fold(name)) or self._missing("team", name)

    def licence(self, name: str) -> str:
        return self._licences.get(fold(name)) or self._missing("licence", name)


# ------------------------------------------------------------------------------ as it would be


@dataclass(frozen=True, slots=True)
class Wish:
    """The rules as they would be. ``generation``: of the organization when it was looked at."""

    source: SourceRecord
    rules: tuple[Mapping[str, Any], ...]
    generation: int
    book: RuleBook
    #: Of the groups that give something else then.
    groups: Mapping[GroupId, tuple[Effect, ...]]
    #: What a rule would make, by what stands for its id.
    names: Mapping[str, str]
    #: How many people the source knows, and those of them for whom something else may follow.
    concerned: int
    touched: tuple[PersonId, ...]
    #: What becomes of the source's people where it ends (``org.sources.source_ends``).
    end: End | None = None


def wished(
    conn: Connection, book: RuleBook, source: SourceRecord, rules: Sequence[Mapping[str, Any]]
) -> Wish:
    """What would be, if these were the source's rules."""
    things, before = Looked(conn, source.org_id), book.source(source.id)
    found = tuple(rule_of(source.id, rule) for rule in rules)
    after, moved, attributes = before, dict[GroupId, list[Effect]](), set[ValueAttribute]()
    if found != before.rules:  # rules that are as they were bind nothing anew
        valued = {
            rule.number: list(bindings.effects_of(things, rule, rule.value[1]))
            for rule in found
            if rule.value
        }
        after = replace(before, rules=found, value_effects=by_value(found, valued))
        empowered = bindings.empowered(before, after)
        given = bindings.bound_again(conn, source.org_id, after, things)
        moved = bindings.given_otherwise(conn, source.org_id, source.id, given, empowered)
        attributes = value_bindings.moved(before, after, empowered)
    concerned = _concerned(conn, source)
    touched = _touched(conn, source, moved, attributes)
    return Wish(
        source,
        tuple(rules),
        book.rules.version,
        with_source(book, after),
        {group_id: tuple(effects) for group_id, effects in moved.items()},
        things.names,
        len(concerned),
        tuple(person_id for person_id in concerned if person_id in touched),
    )


def ended(conn: Connection, book: RuleBook, source: SourceRecord, people: End) -> Wish:
    """What would be without the source, whose people are removed or kept."""
    concerned = _concerned(conn, source)
    return Wish(source, (), book.rules.version, book, {}, {}, len(concerned), concerned, people)


def _concerned(conn: Connection, source: SourceRecord) -> tuple[PersonId, ...]:
    column = assertions.c
    query = select(column.person_id).where(
        column.org_id == source.org_id, column.source_id == source.id, column.state != "history"
    )
    return tuple(PersonId(each) for each in conn.execute(query.order_by(column.person_id)).scalars())


def _touched(
    conn: Connection,
    source: SourceRecord,
    moved: Collection[GroupId],
    attributes: Collection[ValueAttribute],
) -> set[str]:
    """Whoever is in groups that give something else, or may have a value that does. Of the others nothing
    follows but what is stored, unless they are still to be settled."""
    marked = select(unsettled.c.person_id).where(unsettled.c.org_id == source.org_id)
    queries = [marked]
    if moved:
        queries.append(group_nesting.people_below(conn, source.org_id, moved))
    if attributes:
        queries.append(value_bindings.holders(source.org_id, source.id, attributes))
    return set().union(*(conn.execute(query).scalars() for query in queries))


# ------------------------------------------------------------------------------ who moves

_Thing: TypeAlias = tuple[str, str, RoleName | None]


@dataclass(frozen=True, slots=True)
class _Difference:
    person_id: PersonId
    display_name: str
    gains: frozenset[_Thing]
    loses: frozenset[_Thing]

    def told(self, names: Mapping[str, str]) -> Moved:
        gains, loses = (
            tuple(sorted(of_grant(names, *thing) for thing in things)) for things in (self.gains, self.loses)
        )
        return Moved(self.person_id, self.display_name, gains, loses)


async def look(door: Door, wish: Wish, at_most: int | None = None) -> Preview:
    """Who would gain and lose: by portions, each read for itself, so that no reader is held for long.

    Of a portion nothing is kept but figures, and who is named.
    """
    ids, tally, counts = wish.touched[:at_most], Tally(), Counter[str]()
    seat_moves, shown = Counter[SeatMove | None](), list[_Difference]()
    for first in range(0, len(ids), _AT_ONCE):
        portion = _Portion(wish, NAMED - len(shown))
        await door.read(partial(portion.look, person_ids=ids[first : first + _AT_ONCE]))
        for each in portion.alike.values():
            tally.add(each.row, each.stored, each.after, wish.book.rules, each.count)
            gains, loses = each.difference
            seat_moves[each.seat_move] += each.count
            counts["moving"] += each.count * bool(gains or loses)
            counts["gaining"] += each.count * bool(gains)
            counts["losing"] += each.count * bool(loses)
        shown += portion.shown
    targets = {thing[1] for each in shown for thing in (*each.gains, *each.loses)}

    def told(conn: Connection) -> tuple[tuple[Moved, ...], tuple[str, ...], Seats]:
        def names_of(ids: Iterable[str]) -> Mapping[str, str]:
            return {**wish.names, **names_in(conn, wish.source.org_id, list(ids))}

        names = names_of(targets)
        if tally.takes and len(wish.touched) < wish.concerned:
            tally.beside(*_of_the_others(conn, wish))
        held = tally.over(limits_of(conn, wish.book), names_of)
        return tuple(each.told(names) for each in shown), held, plan_ground.seats(conn, wish.source.org_id)

    people, held, seats = await door.read(told)
    return Preview(
        concerned=wish.concerned,
        looked_at=wish.concerned - len(wish.touched) + len(ids),
        moving=counts["moving"],
        gaining=counts["gaining"],
        losing=counts["losing"],
        new_admins=tally.new_admins,
        seats=seats.told({move: count for move, count in seat_moves.items() if move}),
        held=held,
        people=people,
    )


@dataclass(slots=True)
class _Alike:
    """People of whom the same is stored, and for whom the same would follow; ``row``: of one of them."""

    row: Row[Any]
    stored: list[Grant]
    after: Standing
    difference: tuple[frozenset[_Thing], frozenset[_Thing]]
    count: int = 0

    @property
    def seat_move(self) -> SeatMove | None:
        row = self.row
        return seat_move(holds=row.has_seat, wanted=row.wants_seat, wants=self.after.wants_seat)


class _Portion:
    """Some people, as stored and as they would be; the first who move are ``shown``, so many at most."""

    def __init__(self, wish: Wish, at_most: int) -> None:
        self._wish, self._at_most = wish, at_most
        self._given: dict[tuple[GroupId, tuple[str, ...]], MembershipFact] = {}
        self.alike: dict[Any, _Alike] = {}
        self.shown: list[_Difference] = []

    def look(self, conn: Connection, *, person_ids: Sequence[PersonId]) -> None:
        wish = self._wish
        loaded = gather(
            conn, wish.book, _PEOPLE.all(conn, {"org_id": wish.source.org_id, "keys": person_ids})
        )
        for person_id, row in loaded.rows.items():
            stored = loaded.grants.get(person_id, [])
            after = wish.book.standing(self._as_wished(loaded.facts[person_id]))
            given = frozenset((each.kind, each.target, each.project_role, each.dormant) for each in stored)
            # What follows is one and the same for equal facts.
            key = (row.owner_source_id, row.status, row.has_seat, row.wants_seat, given, id(after))
            alike = self.alike.get(key)
            if alike is None:
                alike = self.alike[key] = _alike(row, stored, after)
            alike.count += 1
            if any(alike.difference) and len(self.shown) < self._at_most:
                self.shown.append(_Difference(person_id, row.display_name, *alike.difference))

    def _as_wished(self, facts: Facts) -> Facts:
        """The same person, whose groups of this source give what they would; or who is without the source."""
        wish = self._wish
        if wish.end:
            facts = _without(facts, wish.source.id, wish.end)
        elif not wish.groups.keys().isdisjoint(each.group_id for each in facts.memberships):
            facts = replace(facts, memberships=tuple(map(self._membership, facts.memberships)))
        return facts

    def _membership(self, fact: MembershipFact) -> MembershipFact:
        effects = self._wish.groups.get(fact.group_id)
        if effects is None:
            return fact
        found = self._given.get((fact.group_id, fact.path))
        if found is None:
            found = self._given[fact.group_id, fact.path] = replace(fact, effects=effects)
        return found


def _alike(row: Row[Any], stored: Iterable[Row[Any]], after: Standing) -> _Alike:
    given = [standing_rows.grant_of(each) for each in stored]
    old, new = _live(given), _live(after.grants)
    return _Alike(row, given, after, (new - old, old - new))


def _without(facts: Facts, source_id: SourceId, end: End) -> Facts:
    reinstated = any(each.source_id == source_id for each in facts.reinstated)
    return replace(
        facts,
        assertions=tuple(
            replace(each, state="history" if end == "keep" and (each.active or reinstated) else "gone")
            if each.source_id == source_id and each.state == "live"
            else each
            for each in facts.assertions
        ),
        memberships=tuple(
            replace(each, effects=()) if each.source_id == source_id else each for each in facts.memberships
        ),
    )


def _live(grants: Iterable[Grant]) -> frozenset[_Thing]:
    return frozenset((grant.kind, grant.target, grant.project_role) for grant in grants if not grant.dormant)


# ------------------------------------------------------------------------------ who does not

_Counts: TypeAlias = Counter[Any]


def _of_the_others(conn: Connection, wish: Wish) -> tuple[_Counts, _Counts, _Counts]:
    """Of those whom the source knows and who are not touched, by owner: how many are linked; and how many
    have each thing, of the linked and of all."""
    everybody, touched = _stored(conn, wish), _stored(conn, wish, wish.touched)
    linked, before, left = (all_of_them - some for all_of_them, some in zip(everybody, touched, strict=True))
    return linked, before, left


def _stored(
    conn: Connection, wish: Wish, only: Sequence[PersonId] | None = None
) -> tuple[_Counts, _Counts, _Counts]:
    """The same of all whom the source knows, or ``only`` of these."""
    owner, is_linked = _p.owner_source_id, or_(_p.has_seat, _p.status == Status.ACTIVE)
    known = (
        select(owner)
        .join_from(assertions, people, (_p.org_id == _a.org_id) & (_p.id == _a.person_id))
        .where(_a.org_id == wish.source.org_id, _a.source_id == wish.source.id, _a.state != "history")
    )
    if only is not None:
        ids = rows_of(conn, only).subquery()
        known = known.join(ids, ids.c.key == _p.id)
    linked = known.add_columns(func.count()).where(is_linked).group_by(owner)
    person = func.count(distinct(_p.id)), func.count(distinct(case((is_linked, _p.id))))
    having = (
        known.join(grants, (_g.org_id == _p.org_id) & (_g.person_id == _p.id))
        .where(_g.until.is_(None), _g.dormant.is_(False))
        .add_columns(_g.kind, _g.target, *person)
        .group_by(owner, _g.kind, _g.target)
    )
    things = [(row[0], (row[1], row[2]), row[3], row[4]) for row in conn.execute(having)]
    things = [row for row in things if held_changes.may_be_lost(*row[1])]
    return (
        Counter({row[0]: row[1] for row in conn.execute(linked)}),
        Counter({(whose, thing): of_linked for whose, thing, _, of_linked in things}),
        Counter({(whose, thing): of_all for whose, thing, of_all, _ in things}),
    )
