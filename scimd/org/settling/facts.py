"""Facts of many people, loaded in a handful of statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import BindParameter, Connection, Row, bindparam, select

from scimd.core.people import OrgId, PersonId, RoleName, SourceId
from scimd.core.roles import VALUED_BY, ValueAttribute
from scimd.core.standing import (
    AssertionFact,
    Facts,
    GateFact,
    InvitationState,
    ManualGrant,
    Reinstatement,
    Thing,
    ValueFact,
)
from scimd.db.among import one_of
from scimd.db.prepared import Prepared, ahead
from scimd.db.tables import NEWEST_LAST, assertions, gates, grants, invitations, people, slots
from scimd.org.groups.group_nesting import memberships
from scimd.org.invitations.invitation_upkeep import BY_SCIMD, Pending
from scimd.org.rulebook import RuleBook
from scimd.org.settling.newcomers import Newcomer
from scimd.org.tx import Tx

_org: BindParameter[str] = bindparam("org_id")
_a, _g, _i = assertions.c, grants.c, invitations.c
_PEOPLE = Prepared(select(people).where(people.c.org_id == _org, one_of(people.c.id)).order_by(people.c.id))
_ASSERTIONS = Prepared(
    select(_a.person_id, _a.source_id, _a.active, _a.state, _a.deleted).where(
        _a.org_id == _org, one_of(_a.person_id)
    )
)
_GRANTS = Prepared(select(grants).where(_g.org_id == _org, one_of(_g.person_id), _g.until.is_(None)))
_GATES = Prepared(select(gates).where(gates.c.org_id == _org, one_of(gates.c.person_id)))
_INVITATIONS = Prepared(
    select(
        _i.person_id, _i.status, _i.ended_by, _i.id, _i.address, _i.sent_at, _i.reactivates, _i.source_id,
        _i.void,
    )
    .where(_i.org_id == _org, one_of(_i.person_id))
    .order_by(*NEWEST_LAST)
)  # fmt: skip
_SLOTS = Prepared(
    select(slots.c.person_id, slots.c.kind, slots.c.target, slots.c.held).where(
        slots.c.org_id == _org, one_of(slots.c.person_id)
    )
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is stored of people: their rows, their open grants, their facts. Deleted ones included."""

    rows: Mapping[PersonId, Row[Any]]
    grants: Mapping[PersonId, list[Row[Any]]]
    facts: Mapping[PersonId, Facts]
    #: Their open invitations.
    pending: Mapping[PersonId, Pending]
    #: The limited things for which they wait.
    waits: Mapping[PersonId, frozenset[Thing]]


def load(tx: Tx, person_ids: Collection[PersonId]) -> dict[PersonId, Facts]:
    """The facts of those people who exist."""
    rows = people_rows(tx.conn, tx.org_id, person_ids)
    return dict(gather(tx.conn, tx.book, rows).facts)


def people_rows(conn: Connection, org_id: OrgId, person_ids: Collection[PersonId]) -> list[Row[Any]]:
    return _PEOPLE.all(conn, {"org_id": org_id, "keys": person_ids})


_NOBODY: Mapping[PersonId, Newcomer] = {}


def gather(
    conn: Connection,
    book: RuleBook,
    rows: Iterable[Row[Any]],
    *,
    new: Mapping[PersonId, Newcomer] = _NOBODY,
    blank: Collection[PersonId] = frozenset(),
) -> Loaded:
    """The facts of the people of these rows: at most ten statements, whatever their number.

    ``new``: those who were made in this transaction, whom one source asserts. ``blank``: those of whom
    nothing but assertions is there.
    """
    org_id = book.org_id
    found = {PersonId(row.id): row for row in rows}
    stored = [person_id for person_id in found if person_id not in new]
    ids = [person_id for person_id in found if person_id not in blank]
    if ids:
        of_ids = {"org_id": org_id, "keys": ids}
        of_all = {"org_id": org_id, "keys": stored}
        ahead(conn, (_ASSERTIONS, of_all), (_GRANTS, of_ids), (_GATES, of_ids), (_INVITATIONS, of_ids))
    asserted = _assertions(conn, org_id, stored)
    asserted |= {person_id: [new[person_id].asserted] for person_id in found if person_id in new}
    valued = _values(conn, book, list(found))
    open_grants = _grants(conn, org_id, ids)
    closed, reinstated = _gates(conn, org_id, ids)
    invited, by_hand, pending = _invitations(conn, org_id, ids)
    member = memberships(conn, org_id, ids) if ids else {}
    held, waits = _slots(conn, book, ids)
    alike: dict[Any, Facts] = {}
    facts = {
        person_id: _newcomer(new[person_id], valued.get(person_id, ()), alike)
        if person_id in new and person_id in blank
        else Facts(
            service_account=row.kind == "service",
            has_address=row.sign_in_address is not None,
            assertions=tuple(asserted.get(person_id, ())),
            memberships=tuple(member.get(person_id, ())),
            values=tuple(valued.get(person_id, ())),
            grants=tuple(
                _manual(grant) for grant in open_grants.get(person_id, ()) if grant.origin == "manual"
            ),
            gates=tuple(closed.get(person_id, ())),
            reinstated=tuple(reinstated.get(person_id, ())),
            approved=row.approved,
            accepted=row.accepted,
            invitation=invited.get(person_id, "none"),
            invited_by_hand=person_id in by_hand,
            welcome=row.welcome,
            has_seat=row.has_seat,
            slots=held.get(person_id, frozenset()),
        )
        for person_id, row in found.items()
    }
    return Loaded(found, open_grants, facts, pending, waits)


def _newcomer(new: Newcomer, valued: Sequence[ValueFact], alike: dict[Any, Facts]) -> Facts:
    """Of somebody of whom nothing else is there yet; one for all of whom the same is said."""
    key = (new.asserted.source_id, new.asserted.active, new.columns["approved"], *valued)
    found = alike.get(key)
    if found is None:
        found = alike[key] = Facts(
            has_address=False,
            assertions=(new.asserted,),
            values=tuple(valued),
            approved=new.columns["approved"],
        )
    return found


_Things: TypeAlias = Mapping[PersonId, frozenset[Thing]]


def _slots(conn: Connection, book: RuleBook, ids: Collection[PersonId]) -> tuple[_Things, _Things]:
    """What of the limited things each holds, and for which they wait; no statement where nothing is."""
    if not (book.rules.limited and ids):
        return {}, {}
    found: dict[bool, dict[PersonId, set[Thing]]] = {True: defaultdict(set), False: defaultdict(set)}
    for row in _SLOTS.all(conn, {"org_id": book.org_id, "keys": ids}):
        found[row.held][PersonId(row.person_id)].add((row.kind, row.target))
    held, waits = (
        {person_id: frozenset(things) for person_id, things in found[which].items()}
        for which in (True, False)
    )
    return held, waits


def _assertions(
    conn: Connection, org_id: OrgId, ids: Collection[PersonId]
) -> dict[PersonId, list[AssertionFact]]:
    found: dict[PersonId, list[AssertionFact]] = defaultdict(list)
    if not ids:
        return found
    for row in _ASSERTIONS.all(conn, {"org_id": org_id, "keys": ids}):
        fact = AssertionFact(SourceId(row.source_id), row.active, row.state, row.deleted)
        found[PersonId(row.person_id)].append(fact)
    return found


_VALUED = Prepared(
    select(_a.person_id, _a.source_id, _a.folded).where(_a.org_id == _org, one_of(_a.person_id))
)


def _values(
    conn: Connection, book: RuleBook, ids: Collection[PersonId]
) -> Mapping[PersonId, list[ValueFact]]:
    """The values that a rule of the source names; no statement where no source has such a rule."""
    ruled = {source.id: source.value_effects for source in book.sources.values() if source.value_effects}
    found: dict[PersonId, list[ValueFact]] = defaultdict(list)
    if not ruled:
        return found
    for row in _VALUED.all(conn, {"org_id": book.org_id, "keys": ids}):
        source_id = SourceId(row.source_id)
        effects = ruled.get(source_id)
        if not effects:
            continue
        for attribute, value in _told(row.folded):
            if (known := effects.get((attribute, value))) is not None:
                fact = ValueFact(source_id, attribute, *known)
                found[PersonId(row.person_id)].append(fact)
    return found


def _told(folded: Mapping[str, Any]) -> Iterator[tuple[ValueAttribute, str]]:
    """Each value of ``roles`` and ``entitlements`` in a folded document, once."""
    for attribute, name in VALUED_BY.items():
        values = [each.get("value") for each in folded.get(name) or () if isinstance(each, Mapping)]
        for value in dict.fromkeys(value for value in values if isinstance(value, str)):
            yield attribute, value


def _grants(conn: Connection, org_id: OrgId, ids: Collection[PersonId]) -> dict[PersonId, list[Row[Any]]]:
    found: dict[PersonId, list[Row[Any]]] = defaultdict(list)
    if not ids:
        return found
    for row in _GRANTS.all(conn, {"org_id": org_id, "keys": ids}):
        found[PersonId(row.person_id)].append(row)
    return found


def _manual(row: Row[Any]) -> ManualGrant:
    role = RoleName(row.project_role) if row.project_role else None
    return ManualGrant(row.kind, row.target, row.origin_by, role)


def _gates(
    conn: Connection, org_id: OrgId, ids: Collection[PersonId]
) -> tuple[Mapping[PersonId, list[GateFact]], Mapping[PersonId, list[Reinstatement]]]:
    closed: dict[PersonId, list[GateFact]] = defaultdict(list)
    reinstated: dict[PersonId, list[Reinstatement]] = defaultdict(list)
    if not ids:
        return closed, reinstated
    for row in _GATES.all(conn, {"org_id": org_id, "keys": ids}):
        person_id = PersonId(row.person_id)
        if row.kind == "reinstated":
            reinstated[person_id].append(Reinstatement(SourceId(row.source_id), row.by))
        else:
            closed[person_id].append(GateFact(row.kind, row.by, row.at))
    return closed, reinstated


def _invitations(
    conn: Connection, org_id: OrgId, ids: Collection[PersonId]
) -> tuple[dict[PersonId, InvitationState], set[PersonId], dict[PersonId, Pending]]:
    """The newest invitation of each, whom a hand invited once, and the open ones.

    One that scimd ended itself, or of whoever bore the name before, counts as none; so does one that has
    expired and was to bring back whom an admin deactivated: what it says is over with their return.
    """
    found: dict[PersonId, InvitationState] = {}
    by_hand: set[PersonId] = set()
    pending: dict[PersonId, Pending] = {}
    if not ids:
        return found, by_hand, pending
    for row in _INVITATIONS.all(conn, {"org_id": org_id, "keys": ids}):
        person_id = PersonId(row.person_id)
        over = row.ended_by == BY_SCIMD or (row.reactivates and row.status == "expired")
        gone = row.void or (over and row.status in ("cancelled", "expired"))
        found[person_id] = "none" if gone else row.status
        if row.source_id is None and not row.void:
            by_hand.add(person_id)
        if row.status == "pending":
            sent = row.sent_at is not None
            pending[person_id] = Pending(row.id, person_id, row.address, sent, row.reactivates)
    return found, by_hand, pending
