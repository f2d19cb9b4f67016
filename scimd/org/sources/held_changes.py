"""A change of rules that would take, or give, too much is held, like a sync that would.

What a directory takes by leaving people out, rules take by giving less: the same limits count. People
who would lose their access are its removals; a project, a role or a licence that people who stay would
lose is its group that loses members; one that nobody would have any more is its group that is gone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, select

from scimd.core.events import EventKind
from scimd.core.facts import Facts
from scimd.core.people import GroupId, PersonId
from scimd.core.roles import ACCOUNT_ADMIN, USER, Effect
from scimd.core.standing import Grant, Rules, Standing, Status
from scimd.core.sync.limits import Figures, GroupLoss, Limits, Trip, TripKind, check
from scimd.db.tables import unsettled
from scimd.org.grants import bindings
from scimd.org.labels import names_in
from scimd.org.rulebook import RuleBook
from scimd.org.settling import standing_rows
from scimd.org.settling.facts import gather, people_rows
from scimd.org.sources.sources import find
from scimd.org.tx import Door, Tx

_AT_ONCE = 500
#: Kind and target of what can be lost: a project's or a licence's id, a role's name.
Thing: TypeAlias = tuple[str, str]
NamesOf: TypeAlias = Callable[[Iterable[str]], Mapping[str, str]]


#: Of a source, by its id, or of people without one: how it is called in a sentence, and its limits.
LimitsOf: TypeAlias = Mapping[str | None, tuple[str, Limits]]
_Counted: TypeAlias = tuple[Row[Any], list[Grant], Standing]


@dataclass(frozen=True, slots=True)
class Change:
    """What a transaction makes of all that standing rests on, and whom it unsettles.

    It can be weighed when the transaction was rolled back, and nobody waits for it: ``gives`` is what each
    group gives under it, ``approved`` who counts as approved by it, ``limits`` those that it says.
    """

    book: RuleBook
    gives: Mapping[GroupId, tuple[Effect, ...]]
    approved: frozenset[str]
    limits: LimitsOf
    concerned: tuple[PersonId, ...]


def made_by(tx: Tx) -> Change | None:
    """The change that this transaction makes. None: of nobody's standing."""
    marked = select(unsettled.c.person_id).where(
        unsettled.c.org_id == tx.org_id, unsettled.c.marked_at == tx.now
    )
    concerned = {PersonId(each) for each in tx.conn.execute(marked).scalars()} | tx.touched | tx.leaving
    if not concerned:
        return None
    approved = (event.target_id for event in tx.events if event.kind == EventKind.PERSON_APPROVED)
    return Change(
        tx.book,
        bindings.given(tx.conn, tx.org_id),
        frozenset(approved),
        limits_of(tx.conn, tx.book),
        tuple(sorted(concerned)),
    )


async def over(door: Door, change: Change) -> tuple[str, ...]:
    """A sentence for each limit that the change is over, with what it takes from whom it unsettles.

    Looked at in portions, each read for itself: the figures are as of who is there meanwhile.
    """
    tally = Tally()
    for portion in _portions(change):
        tally.add_all(
            await door.read(partial(standings_after, change=change, portion=portion)), change.book.rules
        )
    return await door.read(lambda conn: _sentences(conn, change, tally))


def over_at_once(tx: Tx, change: Change) -> tuple[str, ...]:
    """The same within the transaction that makes it: whoever else writes waits for that."""
    tally = Tally()
    for portion in _portions(change):
        tally.add_all(standings_after(tx.conn, change=change, portion=portion), change.book.rules)
    return _sentences(tx.conn, change, tally)


def _portions(change: Change) -> Iterator[Sequence[PersonId]]:
    for first in range(0, len(change.concerned), _AT_ONCE):
        yield change.concerned[first : first + _AT_ONCE]


def standings_after(conn: Connection, *, change: Change, portion: Sequence[PersonId]) -> list[_Counted]:
    """People, what they have as stored, and their standing as it would be."""
    book = change.book
    loaded = gather(conn, book, people_rows(conn, book.org_id, portion))
    return [
        (
            row,
            [standing_rows.grant_of(each) for each in loaded.grants.get(person_id, ())],
            book.standing(_changed(loaded.facts[person_id], person_id, change)),
        )
        for person_id, row in loaded.rows.items()
    ]


def _changed(facts: Facts, person_id: PersonId, change: Change) -> Facts:
    memberships = tuple(
        replace(each, effects=change.gives.get(each.group_id, each.effects)) for each in facts.memberships
    )
    return replace(facts, memberships=memberships, approved=facts.approved or person_id in change.approved)


def _sentences(conn: Connection, change: Change, tally: Tally) -> tuple[str, ...]:
    return tally.over(change.limits, lambda ids: names_in(conn, change.book.org_id, list(ids)))


def refusal(held: Iterable[str], way_out: str) -> str:
    """``way_out``: what lets the change through."""
    return f"{' '.join(held)} It is held, and the old version stays. {way_out}"


class Tally:
    """What a change does to people, by the source that owns them: each one's limits count."""

    def __init__(self) -> None:
        self._linked: Counter[str | None] = Counter()
        self._losing: Counter[str | None] = Counter()
        self._new_admins: Counter[str | None] = Counter()
        self._before: defaultdict[str | None, Counter[Thing]] = defaultdict(Counter)
        self._lost: defaultdict[str | None, Counter[Thing]] = defaultdict(Counter)
        self._left: defaultdict[str | None, Counter[Thing]] = defaultdict(Counter)

    def add(
        self, row: Row[Any], before: Iterable[Grant], after: Standing, rules: Rules, many: int = 1
    ) -> None:
        """Count one person, or so ``many`` who are alike: as stored, and as it would follow."""
        owner = row.owner_source_id
        old, new = _strengths(before, rules), _strengths(after.grants, rules)
        admin = ("role", ACCOUNT_ADMIN)
        self._new_admins[owner] += many * (admin in new and admin not in old)
        self._left[owner].update(dict.fromkeys(new, many))
        if not (row.has_seat or row.status == "active"):
            return
        self._linked[owner] += many
        self._before[owner].update(dict.fromkeys(old, many))
        if _is_out(row, after):
            self._losing[owner] += many  # with all that they have, which is counted so
        else:
            lost = (thing for thing, rank in old.items() if new.get(thing, -1) < rank)
            self._lost[owner].update(dict.fromkeys(lost, many))

    def beside(
        self,
        linked: Mapping[str | None, int],
        before: Mapping[tuple[str | None, Thing], int],
        left: Mapping[tuple[str | None, Thing], int],
    ) -> None:
        """Count people for whom nothing changes, by owner: the linked, what those have, and what all have."""
        self._linked.update(linked)
        for counts, more in ((self._before, before), (self._left, left)):
            for (owner, thing), many in more.items():
                counts[owner][thing] += many

    @property
    def takes(self) -> bool:
        """Whether anybody would lose anything that counts."""
        return any(self._losing.values()) or any(self._lost.values())

    def add_all(self, counted: Iterable[_Counted], rules: Rules) -> None:
        for row, before, after in counted:
            self.add(row, before, after, rules)

    @property
    def new_admins(self) -> int:
        return self._new_admins.total()

    def over(self, limits: LimitsOf, names_of: NamesOf) -> tuple[str, ...]:
        """A sentence for each limit that the change is over."""
        things = {target for lost in self._lost.values() for _, target in lost}
        names = names_of(things) if things else {}
        owners = sorted(self._linked.keys() | self._new_admins.keys(), key=str)
        return tuple(
            sentence
            for owner in owners
            for sentence in self._sentences(owner, *limits.get(owner, _WITHOUT_A_SOURCE), names)
        )

    def _sentences(
        self, owner: str | None, whose: str, limits: Limits, names: Mapping[str, str]
    ) -> Iterator[str]:
        trips = [trip for trip in check(self._figures(owner, names), limits) if _counts(trip)]
        if any(trip.kind.startswith("removals") for trip in trips):
            yield (
                f"The change would take the access of {self._losing[owner]} of {self._linked[owner]} people "
                f"{whose}, which is over the limits."
            )
        for trip in trips:
            if not trip.kind.startswith("removals"):
                yield f"Of people {whose}: {trip.why}."

    def _figures(self, owner: str | None, names: Mapping[str, str]) -> Figures:
        linked, before, lost = self._linked[owner], self._before[owner], self._lost[owner]
        losses = tuple(
            GroupLoss(target, names.get(target, target), before[kind, target], count, kind)
            for (kind, target), count in sorted(lost.items())
        )
        return Figures(
            linked=linked,
            seen=linked,
            removals=self._losing[owner],
            groups_linked=len(before),
            groups_seen=len(before),
            groups_removed=sum(thing not in self._left[owner] for thing in lost),
            losses=losses,
            new_admins=self._new_admins[owner],
            called="projects, roles and licences",
        )


def _is_out(row: Row[Any], after: Standing) -> bool:
    """Whether they lose their access, though it may be until they accept an invitation; or a seat for it."""
    if row.status == Status.ACTIVE:
        return after.status_with_seat != Status.ACTIVE
    return not after.wants_seat


def _counts(trip: Trip) -> bool:
    """That it is everyone is no trip of its own here: raised limits are the operator's word."""
    return trip.kind is not TripKind.EVERYONE


def may_be_lost(kind: str, target: str) -> bool:
    """Whether it counts. The role that everybody has gives nothing."""
    return kind != "team" and (kind, target) != ("role", USER)


def _strengths(grants: Iterable[Grant], rules: Rules) -> dict[Thing, int]:
    """What these give with effect, and how strongly."""
    found: dict[Thing, int] = {}
    for grant in grants:
        thing = (grant.kind, grant.target)
        if grant.dormant or not may_be_lost(*thing):
            continue
        rank = rules.project_ranks.get(grant.project_role, 0) if grant.project_role else 0
        found[thing] = max(rank, found.get(thing, 0))
    return found


_WITHOUT_A_SOURCE = ("without a source", Limits())


def limits_of(conn: Connection, book: RuleBook) -> LimitsOf:
    """Those of each source of the organization."""
    found = (find(conn, book.org_id, source_id) for source_id in book.sources)
    return {
        source.id: (f"of the source {source.name}", Limits(**source.declared().limits.model_dump()))
        for source in found
    }
