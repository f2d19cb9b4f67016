"""People as admins look at them: the list, one person with every reason, and the check of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, union

from scimd.core.errors import NotFound
from scimd.core.events import grant_values
from scimd.core.people import Document, OrgId, PersonId, SourceId, address_key
from scimd.core.resource import unpack
from scimd.core.standing import Facts, Grant, Standing, Thing, standing
from scimd.db.among import among
from scimd.db.tables import assertions, people, pools, projects, seat_pools, slots, sources, unsettled
from scimd.org.grants import bindings
from scimd.org.identities import merged
from scimd.org.rulebook import RuleBook
from scimd.org.settling import standing_rows
from scimd.org.settling.facts import Loaded, gather
from scimd.org.tx import Door
from scimd.org.users.user_reads import goes_by, owner_of

_p = people.c


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One line of the list. ``projects``: names of those in which the person takes part now.

    ``owner`` answers for a service account.
    """

    id: PersonId
    display_name: str
    local_user_name: str
    sign_in_address: str | None
    status: str
    causes: tuple[str, ...]
    primary_role: str
    has_seat: bool
    source_id: SourceId | None
    source_name: str | None
    projects: tuple[str, ...]
    owner: str | None
    created_at: datetime
    changed_at: datetime


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

    person: PersonRow
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


# ------------------------------------------------------------------------------ list


async def list_people(
    door: Door,
    org_id: OrgId,
    *,
    search: str | None = None,
    status: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[PersonRow]:
    """People who are there, in the order in which they came; ``after``: the last one of the page before.

    Without those who are here only by an invitation that is over: the list of invitations has them.

    ``search`` is a part of a name or an address, whatever the case.
    """

    def body(conn: Connection) -> list[PersonRow]:
        query = _listed(org_id).where(_p.lapsed.is_(False)).order_by(_p.id).limit(limit)
        if status is not None:
            query = query.where(_p.status == status)
        if after is not None:
            query = query.where(_p.id > after)
        if search:
            query = query.where(goes_by(search))
        return _rows(conn, door.books.of(conn, org_id), list(conn.execute(query)))

    return await door.read(body)


def _listed(org_id: OrgId) -> Select[Any]:
    return select(people).where(_p.org_id == org_id, _p.deleted_at.is_(None))


def _rows(conn: Connection, book: RuleBook, rows: Sequence[Row[Any]]) -> list[PersonRow]:
    loaded = gather(conn, book, rows)
    names = _project_names(conn, book.org_id, loaded)
    return [
        PersonRow(
            id=PersonId(row.id),
            display_name=row.display_name,
            local_user_name=row.local_user_name,
            sign_in_address=row.sign_in_address,
            status=row.status,
            causes=tuple(row.causes),
            primary_role=row.primary_role,
            has_seat=row.has_seat,
            source_id=row.owner_source_id,
            source_name=_source_name(book, row.owner_source_id),
            projects=tuple(
                sorted(
                    {names[grant.target] for grant in _live_projects(loaded, row.id) if grant.target in names}
                )
            ),
            owner=owner_of(row),
            created_at=row.created_at,
            changed_at=row.changed_at,
        )
        for row in rows
    ]


def _source_name(book: RuleBook, source_id: str | None) -> str | None:
    if source_id is None:
        return None
    found = book.sources.get(SourceId(source_id))
    return found.name if found else "a source that has ended"


def _live_projects(loaded: Loaded, person_id: str) -> list[Row[Any]]:
    grants = loaded.grants.get(PersonId(person_id), ())
    return [grant for grant in grants if grant.kind == "project" and not grant.dormant]


def _project_names(conn: Connection, org_id: OrgId, loaded: Loaded) -> Mapping[str, str]:
    ids = {grant.target for person_id in loaded.rows for grant in _live_projects(loaded, person_id)}
    if not ids:
        return {}
    query = select(projects.c.id, projects.c.name).where(
        projects.c.org_id == org_id, among(conn, projects.c.id, ids)
    )
    return {row.id: row.name for row in conn.execute(query)}


# ------------------------------------------------------------------------------ one


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
            person=_rows(conn, book, [found])[0],
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
