"""One person with every reason for what they have, as admins look at them, and the check of them all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, union

from scimd.core.errors import NotFound
from scimd.core.events import grant_values
from scimd.core.people import Document, OrgId, PersonId, SourceId, address_key
from scimd.core.resource import unpack
from scimd.core.standing import Facts, Grant, Standing, Thing, standing
from scimd.db.tables import assertions, people, pools, seat_pools, slots, sources, unsettled
from scimd.org.grants import bindings
from scimd.org.identities import merged
from scimd.org.rulebook import RuleBook
from scimd.org.settling import standing_rows
from scimd.org.settling.facts import Loaded, gather
from scimd.org.tx import Door
from scimd.org.users import user_reads
from scimd.org.users.user_reads import UserRow

_p = people.c


@dataclass(frozen=True, slots=True)
class AssertionRow:
    source_id: SourceId
    source_name: str
    external_id: str | None
    user_name: str
    active: bool
    state: str
    document: Document
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class PersonPage:
    """One person: as stored, the facts, and what follows from them with every reason."""

    person: UserRow
    assertions: tuple[AssertionRow, ...]
    facts: Facts
    standing: Standing
    unsettled: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One person whose stored standing is not what follows from the facts; or with nobody's id, what else
    is stored and does not follow."""

    person_id: PersonId
    what: str
    stored: str
    recomputed: str

    def __str__(self) -> str:
        whose = f"{self.person_id}: " if self.person_id else ""
        return f"{whose}{self.what} is stored as {self.stored}, and follows as {self.recomputed}"


# ------------------------------------------------------------------------------ one


def _listed(org_id: OrgId) -> Select[Any]:
    return select(people).where(_p.org_id == org_id, _p.deleted_at.is_(None))


def _is(org_id: OrgId, who: str, *, deleted: bool = False) -> ColumnElement[bool]:
    """Whom an id, local user name or address means: each looked for by its own index, not by a walk."""
    found = people.alias().c
    there = found.deleted_at.is_not(None) if deleted else found.deleted_at.is_(None)
    called = (found.id == who, found.local_user_name == who, found.sign_in_key == address_key(who))
    return _p.id.in_(union(*(select(found.id).where(found.org_id == org_id, there, each) for each in called)))


async def find_person(door: Door, org_id: OrgId, who: str, *, deleted: bool = False) -> PersonId:
    """The id of the person whom an id, local user name or address means. Raises NotFound.

    ``deleted``: among those who were deleted and can be restored; of several the last one deleted.
    """
    meant = _is(org_id, who, deleted=deleted)
    query = select(_p.id).where(_p.org_id == org_id, meant).order_by(_p.deleted_at.desc())

    def body(conn: Connection) -> str | None:
        found = conn.execute(query).scalar()
        return found if found or deleted else _living(conn, org_id, merged.into(conn, org_id, who))

    found = await door.read(body)
    if found is None:
        raise NotFound("person", who)
    return PersonId(found)


def _living(conn: Connection, org_id: OrgId, person_id: PersonId | None) -> str | None:
    query = select(_p.id).where(_p.org_id == org_id, _p.id == person_id, _p.deleted_at.is_(None))
    return conn.execute(query).scalar() if person_id else None


async def show_person(door: Door, org_id: OrgId, who: str) -> PersonPage:
    """One person by id, local user name or address. Raises NotFound."""

    def body(conn: Connection) -> PersonPage:
        found = conn.execute(_listed(org_id).where(_is(org_id, who))).first()
        if found is None and (kept := merged.into(conn, org_id, who)):
            found = conn.execute(_listed(org_id).where(_p.id == kept)).first()
        if found is None:
            raise NotFound("person", who)
        book = door.books.of(conn, org_id)
        facts = gather(conn, book, [found]).facts[PersonId(found.id)]
        mark = select(unsettled.c.turn).where(unsettled.c.org_id == org_id, unsettled.c.person_id == found.id)
        return PersonPage(
            person=user_reads.find(conn, org_id, found.id),
            assertions=_assertions(conn, org_id, found.id),
            facts=facts,
            standing=standing(facts, book.rules),
            unsettled=conn.execute(mark).first() is not None,
        )

    return await door.read(body)


def _assertions(conn: Connection, org_id: OrgId, person_id: str) -> tuple[AssertionRow, ...]:
    query: Select[Any] = (
        select(assertions, sources.c.name)
        .join(sources, (sources.c.org_id == assertions.c.org_id) & (sources.c.id == assertions.c.source_id))
        .where(assertions.c.org_id == org_id, assertions.c.person_id == person_id)
        .order_by(sources.c.priority)
    )
    return tuple(
        AssertionRow(
            SourceId(row.source_id),
            row.name,
            row.external_id,
            row.user_name,
            row.active,
            row.state,
            unpack(bytes(row.document)),
            row.changed_at,
        )
        for row in conn.execute(query)
    )


# ------------------------------------------------------------------------------ all

_BATCH = 500


async def check_standing(door: Door, org_id: OrgId) -> list[Difference]:
    """Work out every settled person's standing from scratch and compare it with what is stored.

    So too what groups give by rules, which is a fact to that standing.
    """
    found: list[Difference] = []
    after: str | None = ""
    while after is not None:
        after, differences = await door.read(partial(_check, door=door, org_id=org_id, after=after))
        found += differences
    found += await door.read(lambda conn: _check_seats(conn, org_id))
    found += await door.read(lambda conn: _check_pools(conn, org_id))
    return found + await door.read(lambda conn: _check_groups(conn, door.books.of(conn, org_id)))


def _check(conn: Connection, *, door: Door, org_id: OrgId, after: str) -> tuple[str | None, list[Difference]]:
    marked = select(unsettled.c.person_id).where(unsettled.c.org_id == org_id)
    query = (
        select(people)
        .where(_p.org_id == org_id, _p.id > after, _p.id.not_in(marked))
        .order_by(_p.id)
        .limit(_BATCH)
    )
    rows = list(conn.execute(query))
    if not rows:
        return None, []
    book = door.books.of(conn, org_id)
    loaded, rules = gather(conn, book, rows), book.rules
    return rows[-1].id, [
        difference
        for person_id, facts in loaded.facts.items()
        for difference in _differences(loaded, person_id, standing(facts, rules))
    ]


def _differences(loaded: Loaded, person_id: PersonId, fresh: Standing) -> list[Difference]:
    row = loaded.rows[person_id]
    before = standing_rows.standing_of(row, loaded.grants.get(person_id, ()))
    if before is None:
        return [Difference(person_id, "standing", "nothing", str(fresh.status))]
    pairs: dict[str, tuple[Any, Any]] = {
        "status": (before.status, fresh.status),
        "causes": (before.causes, fresh.causes),
        "owner": (before.owner, fresh.owner),
        "roles": (before.roles, fresh.roles),
        "team": (before.team, fresh.team),
        "out of the list": (before.lapsed, fresh.lapsed),
        "wish for a seat": (before.wants_seat, fresh.wants_seat),
        "limited things": (sorted(_slots(loaded, person_id)), sorted(fresh.slots)),
        "grants": (_only(before.grants, fresh.grants), _only(fresh.grants, before.grants)),
        "extension": (bytes(row.extension or b""), standing_rows.extension_of(fresh, row.has_seat)),
    }
    return [
        Difference(person_id, what, repr(old), repr(new)) for what, (old, new) in pairs.items() if old != new
    ]


def _slots(loaded: Loaded, person_id: PersonId) -> frozenset[Thing]:
    """What the person holds of limited things, and for which they wait."""
    return loaded.facts[person_id].slots | loaded.waits.get(person_id, frozenset())


def _only(grants: frozenset[Grant], others: frozenset[Grant]) -> list[dict[str, Any]]:
    """The grants that the others lack, in a fixed order."""
    return sorted((grant_values(grant) for grant in grants - others), key=repr)


def _check_seats(conn: Connection, org_id: OrgId) -> list[Difference]:
    """The pool's count is the number of people who hold a seat."""
    held = conn.execute(select(func.count()).where(_p.org_id == org_id, _p.has_seat)).scalar_one()
    used = conn.execute(select(seat_pools.c.used).where(seat_pools.c.org_id == org_id)).scalar()
    return [] if used in (None, held) else [Difference(PersonId(""), "seats used", str(used), str(held))]


def _check_pools(conn: Connection, org_id: OrgId) -> list[Difference]:
    """Each pool's count is the number of people who hold one of it."""
    held = (
        select(func.count())
        .select_from(slots)
        .where(
            slots.c.org_id == pools.c.org_id,
            slots.c.kind == pools.c.kind,
            slots.c.target == pools.c.target,
            slots.c.held,
        )
        .correlate(pools)
        .scalar_subquery()
    )
    query = select(pools.c.kind, pools.c.target, pools.c.used, held.label("held"))
    rows = conn.execute(query.where(pools.c.org_id == org_id, pools.c.used != held))
    return [Difference(PersonId(""), f"{r.kind} {r.target} used", str(r.used), str(r.held)) for r in rows]


def _check_groups(conn: Connection, book: RuleBook) -> list[Difference]:
    """Groups give by the rules what these say."""
    return [
        Difference(
            PersonId(""), f"what group {each.name} gives by rules", repr(each.gives), repr(each.should)
        )
        for source in book.sources.values()
        for each in bindings.astray(conn, book.org_id, source)
    ]
