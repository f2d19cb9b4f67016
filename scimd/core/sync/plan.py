"""The plan of a reconcile: a value. A dry run is this plan; there is no other kind.

What was found about people and groups goes in; ordered changes with old and new values, reasons,
counts, seats, mails, the limits' verdict and a fingerprint come out. The order:

1. people who are removed (gone, out of scope, turned inactive): keys and seats become free;
2. groups that are gone;
3. groups: renames and members of the known ones, names that swap or go round together; then new
   ones with their members, whose names others may have given up. They come before people, so that
   a new person is settled once, with all that the groups give, and knows the rule that orders the
   wait for a seat;
4. people who are there already. Names and addresses that swap or go round in a ring stand together
   and are applied as one;
5. people who return, are linked, or are new, by ``place``: rule number, then external id;
6. entries that failed.

Every change is *planned*, *staged* (held by a limit), *skipped* or *failed*.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal

import orjson

from scimd.core.people import GroupId, PersonId, fold
from scimd.core.sync.found import GroupFound, PersonFound, Values
from scimd.core.sync.limits import Figures, Limits, Trip, TripKind, check
from scimd.core.sync.policy import REACTIONS, Action, Situation
from scimd.core.sync.rings import rings
from scimd.core.sync.seat_figures import Seats, moves

Outcome = Literal["planned", "staged", "applied", "waiting", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan. ``payload`` is what applying it needs beyond old and new."""

    kind: Literal["user", "group"]
    situation: Situation
    action: Action
    external_id: str | None
    name: str
    reason: str
    #: It counts as one in the limits.
    removal: bool = False
    #: It takes something from somebody: what a doubtful read must not do.
    takes: bool = False
    #: That is members, of groups or of a value that rules name, and nobody's access.
    takes_members: bool = False
    loses_address: bool = False
    reactivates: bool = False
    target_id: str | None = None
    old: Values | None = None
    new: Values | None = None
    payload: Values = field(default_factory=dict)
    outcome: Outcome = "planned"
    detail: str | None = None

    @property
    def writes(self) -> bool:
        """Whether applying it would change something, rather than only say something."""
        return self.outcome in ("planned", "staged") and self.action is not Action.WAIT


@dataclass(frozen=True, slots=True)
class Basis:
    """What a plan rests on, beside what was found."""

    figures: Figures  # without what the plan itself counts: removals, groups removed
    limits: Limits
    seats: Seats
    config_version: int
    rules_version: int
    #: How many entries were only counted, by situation: unchanged, and out of scope and unknown.
    unchanged: Mapping[str, int] = field(default_factory=dict)
    #: Why this run removes nobody, or None: a quarantine, many entries that failed.
    no_removals: str | None = None
    #: Why nobody may be taken for gone, whoever approves: an entry without a name. Others' say what they say.
    unnamed: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    changes: tuple[Change, ...]
    counts: Mapping[str, Mapping[str, int]]
    seats: Mapping[str, int | None]
    mails: int
    trips: tuple[Trip, ...]
    fingerprint: str

    @property
    def writes(self) -> bool:
        return any(change.writes for change in self.changes)

    @property
    def held(self) -> bool:
        """A limit tripped, and what it holds waits for an admin."""
        return any(change.outcome == "staged" for change in self.changes)


def make(people: Iterable[PersonFound], groups: Iterable[GroupFound], basis: Basis) -> Plan:
    """Order what was found, check the limits, stage what they hold."""
    people, groups = list(people), list(groups)
    trips = check(_figures(people, groups, basis.figures), basis.limits)
    hold = _Hold(trips, basis, people)
    changes = hold.judge(_ordered(people, groups))
    return Plan(
        changes=changes,
        counts=_counts(changes, basis.unchanged),
        seats=_seats(people, basis.seats),
        mails=_mails(people, changes, basis.seats),
        trips=trips,
        fingerprint=_fingerprint(changes, basis),
    )


# ------------------------------------------------------------------------------ figures


def _figures(people: Sequence[PersonFound], groups: Sequence[GroupFound], base: Figures) -> Figures:
    removed = [person for person in people if person.removal]
    gives_admin = any(one.becomes_admin for one in people) or any(one.gives_admin for one in groups)
    return replace(
        base,
        # What no change of this plan brings (a source in shadow gives no role) is nothing to approve.
        new_admins=base.new_admins if gives_admin else 0,
        removals=len(removed),
        elsewhere=sum(person.elsewhere for person in removed),
        reactivations=sum(person.turns_active for person in people),
        addresses=sum(person.loses_address for person in people),
        groups_removed=sum(1 for group in groups if group.situation is Situation.GONE),
        admins_removed=sum(1 for person in removed if person.ends_access and person.is_admin),
    )


def _mails(people: Sequence[PersonFound], changes: Sequence[Change], seats: Seats) -> int:
    """How many are invited if the plan is applied as it is: nobody whose coming is held, or who waits."""
    planned = [each.external_id for each in changes if each.kind == "user" and each.outcome == "planned"]
    found = {person.external_id: person for person in people}
    going = [found[external_id] for external_id in planned if external_id in found]
    seated = [person for person in going if person.seat == "wanted"]
    seated = seated[: seats.left(moves(person.seat for person in going))]
    kept = [person for person in going if person.seat != "wanted"]
    return sum(person.wants_mail for person in (*seated, *kept))


def _seats(people: Sequence[PersonFound], seats: Seats) -> dict[str, int | None]:
    """``*_if_held``: without the removals."""
    told = seats.told(moves(person.seat for person in people))
    held = seats.told(moves(person.seat for person in people if not person.leaves))
    return told | {f"{name}_if_held": held[name] for name in ("after", "waiting")}


def _counts(changes: Sequence[Change], unchanged: Mapping[str, int]) -> dict[str, dict[str, int]]:
    situations = Counter(f"{change.kind}.{change.situation}" for change in changes) + Counter(unchanged)
    return {
        "situations": dict(sorted(situations.items())),
        "actions": dict(sorted(Counter(f"{change.kind}.{change.action}" for change in changes).items())),
        "outcomes": dict(sorted(Counter(change.outcome for change in changes).items())),
    }


def _fingerprint(changes: Sequence[Change], basis: Basis) -> str:
    state = [
        (change.kind, change.action, change.external_id, change.target_id, change.payload.get("version"))
        for change in changes
    ]
    raw = orjson.dumps((basis.config_version, basis.rules_version, state))
    return blake2b(raw, digest_size=16).hexdigest()


# ------------------------------------------------------------------------------ order


def _ordered(people: Sequence[PersonFound], groups: Sequence[GroupFound]) -> list[Change]:
    turning = _rings_of_people(each for each in people if each.situation is Situation.LINKED_CHANGED)
    called = _rings_of_groups(groups)
    removed: list[PersonFound] = []
    staying: list[PersonFound] = []
    coming: list[PersonFound] = []
    failed: list[PersonFound] = []
    for person in people:
        if person.situation is Situation.FAILED:
            failed.append(person)
        elif person.situation is Situation.LINKED_CHANGED:
            (removed if person.leaves and person.person_id not in turning else staying).append(person)
        else:
            (removed if person.leaves else coming).append(person)
    # By sort of removal: a batch applies changes of one sort.
    removed.sort(key=lambda person: (person.situation is Situation.LINKED_CHANGED, *_by_id(person)))
    staying.sort(key=lambda person: (turning.get(person.person_id or PersonId(""), ""), *_by_id(person)))
    coming.sort(key=lambda person: (person.place, *_by_id(person)))
    gone = sorted((group for group in groups if group.situation is Situation.GONE), key=_by_id)
    broken = sorted((group for group in groups if group.situation is Situation.FAILED), key=_by_id)
    kept = sorted(
        (group for group in groups if group.situation not in (Situation.GONE, Situation.FAILED)),
        key=lambda each: (each.group_id is None, called.get(each.group_id or GroupId(""), ""), *_by_id(each)),
    )
    return [
        *(_person(person, turning) for person in removed),
        *(_group(group, called) for group in gone),
        *(_group(group, called) for group in kept),
        *(_person(person, turning) for person in staying),
        *(_person(person, turning) for person in coming),
        *(_person(person, turning) for person in sorted(failed, key=_by_id)),
        *(_group(group, called) for group in broken),
    ]


def _by_id(found: PersonFound | GroupFound) -> tuple[str, str]:
    return found.external_id or "", found.name


def _rings_of_people(people: Iterable[PersonFound]) -> dict[PersonId, PersonId]:
    return rings((each.person_id, each.gives_up, each.takes) for each in people if each.person_id is not None)


def _rings_of_groups(groups: Iterable[GroupFound]) -> dict[GroupId, GroupId]:
    return rings(
        (each.group_id, (fold(each.old["displayName"]),), (fold(each.name),))
        for each in groups
        if each.group_id is not None and each.renamed and each.old is not None
    )


# ------------------------------------------------------------------------------ changes


def _person(person: PersonFound, rings: Mapping[PersonId, PersonId]) -> Change:
    action = REACTIONS[person.situation]
    if person.leaves:
        action = Action.DEACTIVATE if person.ends_access else Action.DROP if person.dropped else Action.UPDATE
    payload: dict[str, Any] = {"entry": person.entry_name, "version": person.version}
    if person.document is not None:
        payload["document"] = person.document
        payload["digest"] = person.digest.hex() if person.digest else None
    extra = {
        "place": person.place,
        "ring": rings.get(person.person_id) if person.person_id else None,
        "held_by": person.held_by,
        "becomes_admin": person.becomes_admin,
    }
    payload.update((key, value) for key, value in extra.items() if value)
    failed = person.situation is Situation.FAILED
    return Change(
        "user",
        person.situation,
        action,
        person.external_id,
        person.name,
        person.reason,
        removal=person.removal,
        takes=person.leaves or bool(person.loses),
        takes_members=person.elsewhere or bool(person.loses),
        loses_address=person.loses_address,
        reactivates=person.turns_active,
        target_id=person.person_id,
        old=person.old,
        new=person.new,
        payload=payload,
        outcome="failed" if failed else "planned",
        detail=person.reason if failed else None,
    )


def _group(group: GroupFound, rings: Mapping[GroupId, GroupId]) -> Change:
    payload: dict[str, Any] = {"entry": group.entry_name, "version": group.version}
    if group.document is not None:
        payload["document"] = group.document
        payload["digest"] = group.digest.hex() if group.digest else None
        payload["add"], payload["remove"] = list(group.add), list(group.remove)
    if group.mark is not None:
        payload["mark"] = group.mark
    if group.group_id is not None and group.group_id in rings:
        payload["ring"] = rings[group.group_id]
    if group.gives_admin:
        payload["becomes_admin"] = True
    failed = group.situation is Situation.FAILED
    takes = group.situation is Situation.GONE or bool(group.remove)
    return Change(
        "group",
        group.situation,
        _group_action(group),
        group.external_id,
        group.name,
        group.reason,
        removal=group.situation is Situation.GONE,
        takes=takes,
        takes_members=takes,
        target_id=group.group_id,
        old=group.old,
        new=group.new,
        payload=payload,
        outcome="failed" if failed else "planned",
        detail=group.reason if failed else None,
    )


def _group_action(group: GroupFound) -> Action:
    match group.situation:
        case Situation.GONE:
            return Action.DELETE
        case Situation.FAILED:
            return Action.FAIL
        case Situation.NEW | Situation.RETURNED:
            return Action.CREATE
        case _ if group.renamed:
            return Action.RENAME
        case _ if group.add or group.remove:
            return Action.MEMBERS
        case _:
            return Action.UPDATE


_HELD_GROUP = "its name is that of a group whose removal {}"
_HELD_NAME = "the user name or the address is held by somebody whose change {}"
#: What becomes of whoever takes a name from somebody so judged, whatever of these they were before; and why.
_SPREADING: tuple[tuple[Outcome, tuple[Outcome, ...], str], ...] = (
    ("skipped", ("planned", "staged"), "is skipped"),
    ("staged", ("planned",), "waits"),
)


class _Hold:
    """What the limits hold back, and what rests on that."""

    def __init__(self, trips: Sequence[Trip], basis: Basis, people: Sequence[PersonFound]) -> None:
        self._removals = next((trip.why for trip in trips if trip.holds_removals), None)
        self._losses = next((trip.why for trip in trips if trip.holds_losses), None)
        self._groups = {trip.subject: trip.why for trip in trips if trip.kind is TripKind.MEMBERS}
        self._tripped = {trip.kind: trip.why for trip in trips}
        self._all = trips[0].why if trips and not basis.limits.apply_additions else None
        self._never, self._unnamed = basis.no_removals, basis.unnamed
        self._holders = _holders(people)

    def judge(self, changes: Iterable[Change]) -> tuple[Change, ...]:
        """Each by itself; then whoever takes a name or an address over waits with whoever holds it."""
        judged = _after_those_of_their_name([self._alone(change) for change in changes])
        takers: dict[str | None, list[int]] = defaultdict(list)
        for n, change in enumerate(judged):
            if change.kind == "user":
                for holder in self._holders.get(change.external_id, ()):
                    takers[holder].append(n)
        for outcome, before, why in _SPREADING if takers else ():
            reached = [n for n, each in enumerate(judged) if each.kind == "user" and each.outcome == outcome]
            while reached:
                for n in takers.get(judged[reached.pop()].target_id, ()):
                    if judged[n].outcome in before:
                        judged[n] = replace(judged[n], outcome=outcome, detail=_HELD_NAME.format(why))
                        reached.append(n)
        return tuple(judged)

    def _alone(self, change: Change) -> Change:
        if change.outcome != "planned":
            return change
        if self._unnamed and change.takes and (change.kind == "group" or change.situation is Situation.GONE):
            return replace(change, outcome="skipped", detail=self._unnamed)
        if why := self._why(change):
            return replace(change, outcome="staged", detail=why)
        if self._never and change.takes:
            return replace(change, outcome="skipped", detail=self._never)
        return change

    def _why(self, change: Change) -> str | None:
        if self._removals and change.takes:
            # Members too: who is missing from a doubtful read is missing from its groups as well.
            return self._removals
        if change.kind == "group" and change.external_id in self._groups:
            return self._groups[change.external_id]
        if self._losses and change.takes_members:
            # What one group loses by a doubtful read, others lose too, in shares below the limit.
            return self._losses
        about = (
            (TripKind.ADDRESSES, change.loses_address),
            (TripKind.NEW_ADMINS, change.payload.get("becomes_admin")),
            (TripKind.REACTIVATIONS, change.reactivates),
        )
        return next((self._tripped[kind] for kind, so in about if so and kind in self._tripped), self._all)


def _after_those_of_their_name(judged: list[Change]) -> list[Change]:
    """A new group waits for the removal of the one of its name: it is that one made anew, and takes over
    the project that is left behind. Side by side they would be two groups, and the project nobody's.
    """
    whys = {outcome: why for outcome, _, why in _SPREADING}
    left = {
        fold(each.name): each.outcome
        for each in judged
        if each.kind == "group" and each.removal and each.outcome in whys
    }

    def one(change: Change) -> Change:
        outcome = left.get(fold(change.name)) if change.kind == "group" else None
        if outcome is None or change.target_id is not None or change.outcome != "planned":
            return change
        return replace(change, outcome=outcome, detail=_HELD_GROUP.format(whys[outcome]))

    return [one(change) for change in judged] if left else judged


def _holders(people: Sequence[PersonFound]) -> dict[str | None, frozenset[PersonId]]:
    """By external id: who holds the name or the address that somebody takes over."""
    giver = {key: person.person_id for person in people for key in person.gives_up}
    found = {}
    for person in people:
        holders = {giver.get(key) for key in person.takes} | {person.held_by}
        if others := frozenset(one for one in holders if one is not None and one != person.person_id):
            found[person.external_id] = others
    return found
