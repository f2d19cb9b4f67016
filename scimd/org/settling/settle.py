"""Settling: from the facts of the touched people to what is stored, in the transaction that touched them.

Locks people in the order of their ids, loads their facts, asks standing(), and writes the difference:
people, grants, status spans, seats, invitations, sessions, events. Of what is limited, seats come last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, bindparam, select

from scimd.core.events import Event, EventKind, changes
from scimd.core.people import PersonId, SourceId
from scimd.core.standing import Facts, Grant, Standing, Status
from scimd.db.among import one_of
from scimd.db.prepared import Locking
from scimd.db.tables import people
from scimd.org.authentication import sessions
from scimd.org.grants import pools, seats
from scimd.org.groups import member_rows
from scimd.org.invitations import invitation_upkeep
from scimd.org.organizations import admins
from scimd.org.settling import arrivals, profiles, standing_rows, unsettled
from scimd.org.settling.facts import Loaded, gather
from scimd.org.settling.standing_rows import Outcome
from scimd.org.sources import source_counts
from scimd.org.tx import Tx
from scimd.org.users import mass_leaving

_PEOPLE = Locking(
    select(people).where(people.c.org_id == bindparam("org_id"), one_of(people.c.id)).order_by(people.c.id)
)


def settle(tx: Tx) -> None:
    """Settle the people whom the body touched, or mark them where they are too many for one call."""
    touched = tx.touched | tx.leaving | tx.regrouped
    if len(touched) > tx.settings.settle_at_once:
        tx.alone()  # alone, each may be few enough
        unsettled.mark(tx, touched)
        touched &= unsettled.admins(tx)
    if touched:
        settle_people(tx, touched)
    _count(tx)
    mass_leaving.watch(tx)


def _count(tx: Tx) -> None:
    """The pool's and the sources' counters, last: every push meets in these rows."""
    seats.write_taken(tx)
    source_counts.write(tx)


def settle_people(tx: Tx, person_ids: Collection[PersonId]) -> None:
    """Settle these people now.

    Raises SeatLimitReached, PoolLimitReached, and Protected for the last Account Admin.
    """
    loaded = _load(tx, person_ids)
    facts = _hopeful(tx, loaded)
    decided = {person_id: tx.book.standing(known) for person_id, known in facts.items()}
    profile = profiles.follow(
        tx,
        [
            profiles.Owned(person_id, loaded.rows[person_id], after.owner)
            for person_id, after in decided.items()
        ],
    )
    _correct(tx, loaded, facts, decided, profile)
    _lapse(tx, loaded, facts, decided)
    names = _names(loaded.rows, profile)
    pools.allot(tx, pools.Settling(loaded, facts, decided, names))
    before = {
        person_id: standing_rows.standing_of(row, loaded.grants.get(person_id, ()))
        for person_id, row in loaded.rows.items()
    }
    admins.protect(tx, loaded.rows, before, decided)
    seated = _seats(tx, loaded.rows, decided, names)
    outcomes = [
        _outcome(tx, row, before[person_id], decided[person_id], person_id in seated, profile)
        for person_id, row in loaded.rows.items()
    ]
    standing_rows.write(tx, [(outcome, loaded.grants.get(outcome.person_id, ())) for outcome in outcomes])
    _tell(tx, outcomes, loaded)


def _outcome(
    tx: Tx,
    row: Row[Any],
    before: Standing | None,
    decided: Standing,
    seated: bool,
    profile: Mapping[PersonId, dict[str, Any]],
) -> Outcome:
    after = standing_rows.seated(tx.book, decided) if seated else decided
    has_seat = seated or (row.has_seat and decided.wants_seat)
    return Outcome(
        PersonId(row.id),
        row,
        before,
        after,
        has_seat,
        standing_rows.drawn(tx.book, after, has_seat),
        profile.get(PersonId(row.id), {}),
        row.id in tx.regrouped,
    )


def _load(tx: Tx, person_ids: Collection[PersonId]) -> Loaded:
    """Rows and facts, the rows locked. Of somebody new nothing has to be asked."""
    new = tx.newcomers.waiting
    known = [person_id for person_id in person_ids if person_id not in new]
    rows: list[Row[Any]] = []
    if known:
        rows = _PEOPLE.all(tx.beside, {"org_id": tx.org_id, "keys": known})
        deleted = [PersonId(row.id) for row in rows if row.deleted_at is not None]
        member_rows.must_be_asserted(tx, deleted)
    # Their ids were made now: in order after all others.
    rows += [new[person_id].row for person_id in sorted(person_ids) if person_id in new]
    return gather(tx.beside, tx.book, rows, new=new, blank=tx.created - tx.regrouped)


# ------------------------------------------------------------------------------ deciding


def _hopeful(tx: Tx, loaded: Loaded) -> dict[PersonId, Facts]:
    """The facts of each, with the address that they will have.

    Who has a new document is decided as if its address were theirs, which it mostly is; where it
    turns out otherwise (another holds it, or another source owns the person) they are decided anew.
    """
    hopeful = {person_id for (person_id, _), keys in tx.profiles.items() if keys.sign_in_key}
    found = dict(loaded.facts)
    alike: dict[int, Facts] = {}  # newcomers have theirs in common
    for person_id, facts in loaded.facts.items():
        if person_id in hopeful and not facts.has_address:
            with_address = alike.get(id(facts))
            if with_address is None:
                with_address = alike[id(facts)] = replace(facts, has_address=True)
            found[person_id] = with_address
    return found


def _correct(
    tx: Tx,
    loaded: Loaded,
    facts: dict[PersonId, Facts],
    decided: dict[PersonId, Standing],
    profile: Mapping[PersonId, Mapping[str, Any]],
) -> None:
    for person_id, known in facts.items():
        columns = profile.get(person_id)
        stored = loaded.facts[person_id].has_address
        has = stored if columns is None else columns["sign_in_address"] is not None
        if has != known.has_address:
            facts[person_id] = replace(known, has_address=has)
            decided[person_id] = tx.book.standing(facts[person_id])


def _lapse(tx: Tx, loaded: Loaded, facts: dict[PersonId, Facts], decided: dict[PersonId, Standing]) -> None:
    """Whoever comes back after too long is approved no more, whether or not the job has said so already."""
    if not tx.book.rules.approval_required:
        return
    back = [
        person_id
        for person_id, row in loaded.rows.items()
        if row.status == "inactive" and row.approved and decided[person_id].status != "inactive"
    ]
    for person_id in arrivals.lapse_of(tx, back):
        facts[person_id] = replace(facts[person_id], approved=False)
        decided[person_id] = tx.book.standing(facts[person_id])


def _names(
    rows: Mapping[PersonId, Row[Any]], profile: Mapping[PersonId, Mapping[str, Any]]
) -> dict[PersonId, str]:
    """How a refusal calls each of them."""
    found: dict[PersonId, str] = {}
    for person_id, row in rows.items():
        shown = profile.get(person_id)
        if shown:
            found[person_id] = shown["sign_in_address"] or shown["display_name"]
        else:
            found[person_id] = row.sign_in_address or row.display_name
    return found


# ------------------------------------------------------------------------------ seats


def _seats(
    tx: Tx,
    rows: Mapping[PersonId, Row[Any]],
    decided: Mapping[PersonId, Standing],
    names: Mapping[PersonId, str],
) -> frozenset[PersonId]:
    wanting: dict[PersonId, str] = {}
    freed: list[PersonId] = []
    content: list[PersonId] = []
    waited: set[PersonId] = set()
    for person_id, row in rows.items():
        wants = decided[person_id].wants_seat
        if wants and not row.has_seat:
            if row.wants_seat:  # who waits already asks for nothing new
                tx.refuse_without_seat.discard(person_id)
                waited.add(person_id)
            wanting[person_id] = names[person_id]
        elif row.has_seat and not wants:
            freed.append(person_id)
        elif not wants and row.wants_seat:
            content.append(person_id)
    given = seats.allot(tx, wanting, freed, content)
    new = _come_in(tx, rows)
    for kind, person_ids in (
        (EventKind.SEAT_FREED, freed),
        (EventKind.SEAT_TAKEN, sorted(given.seated)),
        (EventKind.SEAT_WAITING, sorted(given.waiting - waited)),
    ):
        for person_id in person_ids:
            if person_id not in new:
                tx.record(Event(kind, "person", person_id))
    return given.seated


# ------------------------------------------------------------------------------ telling


#: What brings somebody in, and says all that settling makes of them: each comes in by one event and
#: their grants.
_BRINGS_IN = frozenset({EventKind.PERSON_CREATED, EventKind.ADMIN_CREATED})


def _come_in(tx: Tx, rows: Mapping[PersonId, Row[Any]]) -> frozenset[str]:
    """Who was never settled and comes in by an event of this transaction."""
    if all(row.rules_version for row in rows.values()):
        return frozenset()
    return frozenset(event.target_id for event in tx.events if event.kind in _BRINGS_IN)


def _tell(tx: Tx, outcomes: list[Outcome], loaded: Loaded) -> None:
    new = _come_in(tx, loaded.rows)
    _complete_created(tx, {each.person_id: each for each in outcomes if each.person_id in new})
    for outcome in outcomes:
        person_id, given = outcome.person_id, _given(outcome, loaded)
        if person_id in new and outcome.before is None and not given:
            told = [Event(kind, "person", person_id, None, after) for kind, after in outcome.drawn.given]
        else:
            told = changes(person_id, outcome.before, outcome.after, given)
            if person_id in new:
                told = [event for event in told if event.kind not in standing_rows.IN_CREATED]
        tx.events += told
    ended = [
        outcome.person_id
        for outcome in outcomes
        if outcome.before is not None
        and outcome.before.status is not outcome.after.status
        and outcome.after.status is Status.INACTIVE
    ]
    lost = [
        outcome.person_id
        for outcome in outcomes
        if outcome.before is not None and outcome.before.may_enter and not outcome.after.may_enter
    ]
    sessions.end_for(tx, sorted({*ended, *lost}), "access ended")
    invitation_upkeep.follow(tx, [_follow_up(tx, outcome) for outcome in outcomes], loaded.pending)


def _given(outcome: Outcome, loaded: Loaded) -> list[Grant]:
    """What a hand gave to somebody new, and told when it did."""
    if outcome.before is not None:
        return []
    return [standing_rows.grant_of(row) for row in loaded.grants.get(outcome.person_id, ())]


def _complete_created(tx: Tx, new: Mapping[str, Outcome]) -> None:
    if not new:
        return
    for n, event in enumerate(tx.events):
        outcome = new.get(event.target_id)
        if outcome is not None and event.kind in _BRINGS_IN:
            after = {**(event.after or {}), **outcome.drawn.brought}
            tx.events[n] = Event(
                event.kind, event.target_kind, event.target_id, event.before, after, event.note
            )


def _follow_up(tx: Tx, outcome: Outcome) -> invitation_upkeep.FollowUp:
    row, after = outcome.row, outcome.after
    source = tx.book.rules.sources.get(SourceId(after.owner)) if after.owner else None
    before = outcome.before
    return invitation_upkeep.FollowUp(
        person_id=outcome.person_id,
        address=outcome.profile.get("sign_in_address", row.sign_in_address),
        display_name=outcome.profile.get("display_name", row.display_name),
        source_id=source.id if source else None,
        source_state=source.state if source else None,
        invite=source.invite if source else "immediate",
        before=invitation_upkeep.Before(before.status, row.has_seat) if before else None,
        after=after,
    )
