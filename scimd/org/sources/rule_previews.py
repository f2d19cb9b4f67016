"""Who would gain and who would lose by other rules of a source, worked out beside what is stored.

Nothing is written, so that nobody waits for it: what each group and each value would give is decided by
the same functions that decide it when the rules are changed (``org.grants.bindings``), and handed to the same
pure standing. A thing that a rule would make has no id yet; its name stands for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row, select

from scimd.core.facts import Facts
from scimd.core.people import GroupId, OrgId, PersonId, RoleName, fold
from scimd.core.roles import Effect
from scimd.core.standing import Grant, Standing
from scimd.core.sync.seat_figures import SeatMove, Seats, moves, seat_move
from scimd.db.tables import assertions, licences, projects, teams
from scimd.org.grants import bindings
from scimd.org.grants.projects import decided, left_by
from scimd.org.labels import names_in, of_grant
from scimd.org.rulebook import RuleBook, SourceBook, by_value, rule_of, with_source
from scimd.org.runs import plan_ground
from scimd.org.settling import standing_rows
from scimd.org.settling.facts import gather, people_rows
from scimd.org.sources.held_changes import Tally, limits_of
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Door

_AT_ONCE = 500
End: TypeAlias = Literal["remove", "keep"]
#: So many people a preview looks at that somebody waits for; a change looks at all.
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

    ``looked_at`` is less than ``concerned`` where the source has more people than a preview looks at;
    all other figures are of those looked at. ``seats``: as of a plan (``core.sync.seat_figures``).
    ``held``: a sentence for each limit that it is over.
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
    groups: Mapping[GroupId, tuple[Effect, ...]]
    #: What a rule would make, by what stands for its id.
    names: Mapping[str, str]
    concerned: tuple[PersonId, ...]
    #: What becomes of the source's people where it ends (``org.sources.source_ends``).
    end: End | None = None


def wished(
    conn: Connection, book: RuleBook, source: SourceRecord, rules: Sequence[Mapping[str, Any]]
) -> Wish:
    """What would be, if these were the source's rules."""
    things = Looked(conn, source.org_id)
    found = tuple(rule_of(source.id, rule) for rule in rules)
    valued = {
        rule.number: list(bindings.effects_of(things, rule, rule.value[1])) for rule in found if rule.value
    }
    as_wished = replace(book.source(source.id), rules=found, value_effects=by_value(found, valued))
    given = bindings.bound_again(conn, source.org_id, as_wished, things)
    return Wish(
        source,
        tuple(rules),
        book.rules.version,
        with_source(book, as_wished),
        {group_id: tuple(effects) for group_id, effects in given},
        things.names,
        _concerned(conn, source),
    )


def ended(conn: Connection, book: RuleBook, source: SourceRecord, people: End) -> Wish:
    """What would be without the source, whose people are removed or kept."""
    return Wish(source, (), book.rules.version, book, {}, {}, _concerned(conn, source), people)


def _concerned(conn: Connection, source: SourceRecord) -> tuple[PersonId, ...]:
    column = assertions.c
    query = select(column.person_id).where(
        column.org_id == source.org_id, column.source_id == source.id, column.state != "history"
    )
    return tuple(PersonId(each) for each in conn.execute(query.order_by(column.person_id)).scalars())


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
    ids, tally, counts = wish.concerned[:at_most], Tally(), Counter[str]()
    seat_moves, shown = Counter[SeatMove](), list[_Difference]()
    for first in range(0, len(ids), _AT_ONCE):
        portion = ids[first : first + _AT_ONCE]
        found = await door.read(partial(_compared, wish=wish, person_ids=portion))
        for each in found:
            tally.add(each.row, each.stored, each.after, wish.book.rules)
        seat_moves += moves(each.seat_move for each in found)
        moved = [difference for each in found for difference in each.difference()]
        counts["moving"] += len(moved)
        counts["gaining"] += sum(bool(each.gains) for each in moved)
        counts["losing"] += sum(bool(each.loses) for each in moved)
        shown += moved[: NAMED - len(shown)]
    targets = {thing[1] for each in shown for thing in (*each.gains, *each.loses)}

    def told(conn: Connection) -> tuple[tuple[Moved, ...], tuple[str, ...], Seats]:
        def names_of(ids: Iterable[str]) -> Mapping[str, str]:
            return {**wish.names, **names_in(conn, wish.source.org_id, list(ids))}

        names = names_of(targets)
        held = tally.over(limits_of(conn, wish.book), names_of)
        return tuple(each.told(names) for each in shown), held, plan_ground.seats(conn, wish.source.org_id)

    people, held, seats = await door.read(told)
    return Preview(
        concerned=len(wish.concerned),
        looked_at=len(ids),
        moving=counts["moving"],
        gaining=counts["gaining"],
        losing=counts["losing"],
        new_admins=tally.new_admins,
        seats=seats.told(seat_moves),
        held=held,
        people=people,
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    """One person as stored, and as they would be."""

    row: Row[Any]
    stored: list[Grant]
    after: Standing

    def difference(self) -> Iterator[_Difference]:
        old, new = _live(self.stored), _live(self.after.grants)
        if old != new:
            yield _Difference(PersonId(self.row.id), self.row.display_name, new - old, old - new)

    @property
    def seat_move(self) -> SeatMove | None:
        row = self.row
        return seat_move(holds=row.has_seat, wanted=row.wants_seat, wants=self.after.wants_seat)


def _compared(conn: Connection, *, wish: Wish, person_ids: Sequence[PersonId]) -> list[_Compared]:
    loaded = gather(conn, wish.book, people_rows(conn, wish.source.org_id, person_ids))
    return [
        _Compared(
            row,
            [standing_rows.grant_of(each) for each in loaded.grants.get(person_id, ())],
            wish.book.standing(_as_wished(loaded.facts[person_id], wish)),
        )
        for person_id, row in loaded.rows.items()
    ]


def _as_wished(facts: Facts, wish: Wish) -> Facts:
    """The same person, whose groups of this source give what they would; or who is without the source."""
    kept = wish.end == "keep"
    reinstated = any(each.source_id == wish.source.id for each in facts.reinstated)
    return replace(
        facts,
        assertions=tuple(
            replace(each, state="history" if kept and (each.active or reinstated) else "gone")
            if wish.end and each.source_id == wish.source.id and each.state == "live"
            else each
            for each in facts.assertions
        ),
        memberships=tuple(
            replace(each, effects=wish.groups.get(each.group_id, ()))
            if each.source_id == wish.source.id
            else each
            for each in facts.memberships
        ),
    )


def _live(grants: Iterable[Grant]) -> frozenset[_Thing]:
    return frozenset((grant.kind, grant.target, grant.project_role) for grant in grants if not grant.dormant)
