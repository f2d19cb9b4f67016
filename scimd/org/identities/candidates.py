"""Who might be the person behind an entry: what is stored, loaded for core/sync/match to judge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, select
from sqlalchemy.sql import ColumnElement

from scimd.core.people import Keys, OrgId, PersonId, SourceId
from scimd.core.sync.match import AddressHolder, Candidates, LocalPerson, MatchRules, OtherSource, SameSource
from scimd.db.among import among, one_of, unindexed
from scimd.db.prepared import Locking, Prepared
from scimd.db.tables import assertions, domains, grants, group_members, people, sources, status_spans
from scimd.org.organizations.domains import of_address
from scimd.org.rulebook import RuleBook, SourceBook

#: What ``join`` may name, and the column by which it meets.
JOINS = {
    "mail": assertions.c.sign_in_key,
    "employeeNumber": assertions.c.employee_number_key,
    "userName": assertions.c.user_name_key,
}


def join_key(join: str, keys: Keys) -> str | None:
    """The value by which an entry meets others; joins are those of ``JOINS``."""
    if join == "employeeNumber":
        return keys.employee_number_key
    return keys.sign_in_key if join == "mail" else keys.user_name_key


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry is looked for by. ``person_id``: the caller knows whose it is."""

    keys: Keys
    person_id: PersonId | None = None


@dataclass(slots=True)
class Near:
    """The source's own assertions that any of the entries meets, in whatever state."""

    by_person: dict[PersonId, Row[Any]] = field(default_factory=dict)
    by_external_id: dict[str, list[Row[Any]]] = field(default_factory=lambda: defaultdict(list))
    by_user_name: dict[str, list[Row[Any]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, row: Row[Any]) -> None:
        if row.person_id not in self.by_person:
            self.by_person[PersonId(row.person_id)] = row
            self.by_user_name[row.user_name_key].append(row)
            if row.external_id is not None:
                self.by_external_id[row.external_id].append(row)


def _near(key: ColumnElement[Any]) -> Prepared:
    column, person = assertions.c, people.c
    return Prepared(
        select(
            *(each for each in column if each is not column.folded),
            person.deleted_at,
            person.status,
            # What tells whether a change leaves the standing as it is; see ``standing_kept``.
            person.causes,
            person.owner_source_id,
            person.rules_version,
            person.wants_seat,
            person.has_seat,
            person.rest,
            person.extension,
            person.display_name,
            person.sign_in_address,
            person.sign_in_key.label("held_sign_in_key"),
        )
        .join(people, (people.c.org_id == column.org_id) & (people.c.id == column.person_id))
        .where(column.org_id == bindparam("org_id"), column.source_id == bindparam("source_id"), one_of(key))
    )


_BY_EXTERNAL_ID = _near(assertions.c.external_id)
_BY_USER_NAME = _near(assertions.c.user_name_key)
_BY_PERSON = _near(assertions.c.person_id)


#: People by their ids, locked in this order, before what is said of them is read for a change.
LOCK = Locking(
    select(people.c.id)
    .where(people.c.org_id == bindparam("org_id"), one_of(people.c.id))
    .order_by(people.c.id)
)


def of_people(
    conn: Connection, org_id: OrgId, source_id: SourceId, person_ids: Collection[PersonId]
) -> dict[PersonId, Row[Any]]:
    """The source's own assertions of these people, as ``near`` gives them."""
    statement, of_all = asked_of_people(org_id, source_id, person_ids)
    return {PersonId(row.person_id): row for row in statement.all(conn, of_all)}


def asked_of_people(
    org_id: OrgId, source_id: SourceId, person_ids: Collection[PersonId]
) -> tuple[Prepared, Mapping[str, Any]]:
    """What ``of_people`` asks; see ``prepared.ahead``."""
    return _BY_PERSON, {"org_id": org_id, "source_id": source_id, "keys": person_ids}


def near(
    conn: Connection,
    org_id: OrgId,
    source_id: SourceId,
    entries: Iterable[Entry],
    stored: Iterable[Row[Any]] = (),
) -> Near:
    """At most three statements, each by an index. ``stored`` was loaded already, under its lock."""
    entries = list(entries)
    found = Near()
    for each in stored:
        found.add(each)
    of_source = {"org_id": org_id, "source_id": source_id}

    def look(statement: Prepared, values: set[Any]) -> None:
        if values:
            for row in statement.all(conn, {**of_source, "keys": values}):
                found.add(row)

    look(_BY_PERSON, {e.person_id for e in entries} - {None} - found.by_person.keys())
    # A key that an entry's own person has already is nobody else's: most changes ask no further.
    own = [(entry.keys, found.by_person.get(entry.person_id or PersonId(""))) for entry in entries]
    look(
        _BY_EXTERNAL_ID,
        {keys.external_id for keys, row in own if not _has(row, "external_id", keys)} - {None},
    )
    look(_BY_USER_NAME, {keys.user_name_key for keys, row in own if not _has(row, "user_name_key", keys)})
    return found


def _has(row: Row[Any] | None, name: str, keys: Keys) -> bool:
    return row is not None and row.state == "live" and getattr(row, name) == getattr(keys, name)


def same_source(conn: Connection, org_id: OrgId, found: Near) -> dict[PersonId, SameSource]:
    """The rows of ``near`` as candidates; detached assertions are none."""
    away = [
        person_id
        for person_id, row in found.by_person.items()
        if row.state == "live" and not row.active and row.deleted_at is None
    ]
    since = _inactive_since(conn, org_id, away) if away else {}
    return {
        person_id: SameSource(
            person_id=person_id,
            external_id=row.external_id,
            user_name_key=row.user_name_key,
            live=row.state == "live",
            active=row.active,
            inactive=row.status == "inactive",
            tombstoned=row.deleted_at is not None,
            since=row.deleted_at or row.gone_at or since.get(person_id),
        )
        for person_id, row in found.by_person.items()
        if row.state != "history"
    }


_INACTIVE = Prepared(
    select(status_spans.c.person_id, status_spans.c.since).where(
        status_spans.c.org_id == bindparam("org_id"),
        one_of(status_spans.c.person_id),
        status_spans.c.until.is_(None),
        status_spans.c.status == "inactive",
    )
)


def _inactive_since(
    conn: Connection, org_id: OrgId, person_ids: Collection[PersonId]
) -> dict[PersonId, datetime]:
    rows = _INACTIVE.all(conn, {"org_id": org_id, "keys": person_ids})
    return {PersonId(row.person_id): row.since for row in rows}


# ------------------------------------------------------------------------------ one look before all others


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there that an entry, or any of several, could meet: mostly nothing, and nothing is loaded."""

    #: The source asserts, or asserted, its external id or userName.
    near: bool = True
    #: Somebody has its sign-in address.
    address_held: bool = True
    #: Another organization has proven the domain of its sign-in address.
    closed: bool = True
    #: Somebody has the local user name that it would get.
    name_held: bool = True
    #: A group of the source waits for a member of its external id.
    awaited: bool = True
    #: How often the source's groups had named members who were nobody's (``org.sources.source_counts``).
    unknown_named: int = 0


_Meets: TypeAlias = Callable[[ColumnElement[Any], str], ColumnElement[bool]]


def _survey(meets: _Meets) -> Prepared:
    asserted, person, member = assertions.c, people.c, group_members.c
    org_id: BindParameter[str] = bindparam("org_id")
    source_id: BindParameter[str] = bindparam("source_id")
    in_source = (asserted.org_id == org_id) & (asserted.source_id == source_id)
    living = (person.org_id == org_id) & person.deleted_at.is_(None)
    in_groups = (member.org_id == org_id) & (member.source_id == source_id)
    proven_elsewhere = (domains.c.org_id != org_id) & domains.c.verified_at.is_not(None)
    waits = in_groups & member.person_id.is_(None) & member.child_id.is_(None)

    def there(column: ColumnElement[Any], *where: ColumnElement[bool]) -> ColumnElement[bool]:
        return select(column).where(*where).exists()

    by_external_id = there(asserted.state, in_source, meets(asserted.external_id, "external_id"))
    by_user_name = there(asserted.state, in_source, meets(asserted.user_name_key, "user_name_key"))
    looks: Select[Any] = select().add_columns(
        (by_external_id | by_user_name).label("near"),
        there(person.id, living, meets(person.sign_in_key, "sign_in_key")).label("address_held"),
        there(domains.c.org_id, proven_elsewhere, meets(domains.c.domain_key, "domain")).label("closed"),
        there(person.id, living, meets(person.local_user_name, "local_name")).label("name_held"),
        there(member.group_id, waits, meets(member.member_key, "external_id")).label("awaited"),
        select(sources.c.unknown_named)
        .where(sources.c.org_id == org_id, sources.c.id == source_id)
        .scalar_subquery()
        .label("unknown_named"),
    )
    return Prepared(looks)


_SURVEY = _survey(lambda column, name: column == bindparam(name))
_SURVEY_ALL = _survey(one_of)


def survey(
    conn: Connection, org_id: OrgId, source_id: SourceId, entries: Sequence[Keys], local_names: Sequence[str]
) -> Survey:
    """One statement in place of five, for entries that most likely are new: what any of them could meet."""
    of_source = {"org_id": org_id, "source_id": source_id}
    if len(entries) == 1:
        (keys,) = entries
        found = {
            "external_id": keys.external_id,
            "user_name_key": keys.user_name_key,
            "sign_in_key": keys.sign_in_key,
            "domain": of_address(keys.sign_in_key) if keys.sign_in_key else None,
            "local_name": local_names[0],
        }
        row = _SURVEY.first(conn, of_source | found)
    else:
        every = {
            "external_id": [keys.external_id for keys in entries if keys.external_id is not None],
            "user_name_key": [keys.user_name_key for keys in entries],
            "sign_in_key": [keys.sign_in_key for keys in entries if keys.sign_in_key is not None],
            "domain": {of_address(keys.sign_in_key) for keys in entries if keys.sign_in_key is not None},
            "local_name": local_names,
        }
        row = _SURVEY_ALL.first(conn, of_source | every)
    return Survey(
        near=bool(row.near),
        address_held=bool(row.address_held),
        closed=bool(row.closed),
        name_held=bool(row.name_held),
        awaited=bool(row.awaited),
        unknown_named=row.unknown_named,
    )


# ------------------------------------------------------------------------------ beyond the source


@dataclass(frozen=True, slots=True)
class Beyond:
    """Candidates outside the source, by the key that meets them."""

    joined: Mapping[tuple[str, str], tuple[OtherSource, ...]]
    holders: Mapping[str, AddressHolder]
    local: Mapping[str, LocalPerson]


_HOLDERS = Prepared(
    select(
        people.c.id, people.c.sign_in_key, people.c.status, people.c.accepted, people.c.address_verified_at
    ).where(
        people.c.org_id == bindparam("org_id"), people.c.deleted_at.is_(None), one_of(people.c.sign_in_key)
    )
)


def beyond(
    conn: Connection, book: RuleBook, source: SourceBook, entries: Sequence[Entry], *, unheld: bool = False
) -> Beyond:
    """``unheld``: nobody has any of their addresses, as is known already."""
    joined = _joined(conn, book, source, entries) if len(book.sources) > 1 else {}
    addresses = {entry.keys.sign_in_key for entry in entries} - {None}
    if unheld or not addresses:
        return Beyond(joined, {}, {})
    held = _HOLDERS.all(conn, {"org_id": book.org_id, "keys": addresses})
    if not held:
        return Beyond(joined, {}, {})
    sources_of = _sources_of(conn, book.org_id, [PersonId(row.id) for row in held])
    without = [row for row in held if not sources_of.get(PersonId(row.id))]
    privileged = _privileged(conn, book, [PersonId(row.id) for row in without]) if without else set()
    return Beyond(
        joined,
        {row.sign_in_key: _holder(row, sources_of.get(PersonId(row.id), ()), book, source) for row in held},
        {row.sign_in_key: _local(row, privileged) for row in without},
    )


def _joined(
    conn: Connection, book: RuleBook, source: SourceBook, entries: Sequence[Entry]
) -> dict[tuple[str, str], tuple[OtherSource, ...]]:
    column = assertions.c
    own = assertions.alias("own")
    found: dict[tuple[str, str], list[OtherSource]] = defaultdict(list)
    for join in source.join:
        values = {join_key(join, entry.keys) for entry in entries} - {None}
        if join not in JOINS or not values:
            continue
        taken = (
            select(own.c.person_id)
            .where(
                own.c.org_id == column.org_id,
                own.c.source_id == source.id,
                own.c.person_id == column.person_id,
                own.c.state == "live",
            )
            .exists()
        )
        query = (
            select(JOINS[join].label("key"), column.person_id, people.c.status, taken.label("taken"))
            .join(people, (people.c.org_id == column.org_id) & (people.c.id == column.person_id))
            .where(
                column.org_id == book.org_id,
                column.source_id != source.id,
                column.state != "history",
                people.c.deleted_at.is_(None),
                among(conn, JOINS[join], [str(value) for value in values]),
            )
        )
        for row in conn.execute(query):
            one = OtherSource(PersonId(row.person_id), join, row.status == "inactive", bool(row.taken))
            found[join, row.key].append(one)
    return {key: tuple(each) for key, each in found.items()}


_a, _g = assertions.c, grants.c
_SOURCES_OF = Prepared(
    select(_a.person_id, _a.source_id).where(
        _a.org_id == bindparam("org_id"), _a.state != "history", one_of(_a.person_id)
    )
)
_ROLES = Prepared(
    select(_g.person_id, _g.target).where(
        _g.org_id == bindparam("org_id"),
        unindexed(_g.kind) == "role",
        _g.until.is_(None),
        one_of(_g.person_id),
    )
)


def _sources_of(
    conn: Connection, org_id: OrgId, person_ids: Collection[PersonId]
) -> dict[PersonId, list[SourceId]]:
    found: dict[PersonId, list[SourceId]] = defaultdict(list)
    for row in _SOURCES_OF.all(conn, {"org_id": org_id, "keys": person_ids}):
        found[PersonId(row.person_id)].append(SourceId(row.source_id))
    return found


def _privileged(conn: Connection, book: RuleBook, person_ids: Collection[PersonId]) -> set[PersonId]:
    """Those with a grant, dormant or not, of a role that has permissions."""
    powerful = {name for name, role in book.rules.roles.items() if role.permissions}
    rows = _ROLES.all(conn, {"org_id": book.org_id, "keys": person_ids})
    return {PersonId(row.person_id) for row in rows if row.target in powerful}


def _holder(
    row: Row[Any], sources_of: Sequence[SourceId], book: RuleBook, source: SourceBook
) -> AddressHolder:
    names = sorted(
        (book.sources[each].priority, book.sources[each].name) for each in sources_of if each in book.sources
    )
    managed_by = names[0][1] if names else "a source that has ended" if sources_of else None
    return AddressHolder(PersonId(row.id), managed_by, source.id in sources_of)


def _local(row: Row[Any], privileged: set[PersonId]) -> LocalPerson:
    return LocalPerson(
        PersonId(row.id),
        PersonId(row.id) in privileged,
        row.address_verified_at is not None,
        row.accepted,
        row.status == "inactive",
    )


# ------------------------------------------------------------------------------ together


def candidates_of(
    entry: Entry, found: Near, known: Mapping[PersonId, SameSource], outside: Beyond, source: SourceBook
) -> Candidates:
    """What ``identify`` needs for one entry."""
    keys = entry.keys
    rows = [
        *found.by_external_id.get(keys.external_id or "", ()),
        *found.by_user_name.get(keys.user_name_key, ()),
    ]
    people_met = dict.fromkeys(PersonId(row.person_id) for row in rows)
    joined: list[OtherSource] = []
    for join in source.join:
        key = join_key(join, keys)
        joined += outside.joined.get((join, key), ()) if key else ()
    address = keys.sign_in_key or ""
    local = outside.local.get(address)
    return Candidates(
        same_source=tuple(known[person_id] for person_id in people_met if person_id in known),
        other_sources=tuple(joined),
        local=(local,) if local else (),
        holder=outside.holders.get(address),
    )


def match_rules(book: RuleBook, source: SourceBook, now: datetime) -> MatchRules:
    return MatchRules(source.join, book.verified_domains, now)


def gather(
    conn: Connection,
    book: RuleBook,
    source: SourceBook,
    entries: Sequence[Entry],
    found: Near,
    *,
    unheld: bool = False,
) -> list[Candidates]:
    """Candidates for each entry, in order. ``unheld``: see ``beyond``."""
    known = same_source(conn, book.org_id, found)
    outside = beyond(conn, book, source, entries, unheld=unheld)
    return [candidates_of(entry, found, known, outside, source) for entry in entries]


def local_person(conn: Connection, book: RuleBook, row: Row[Any]) -> LocalPerson | None:
    """This row of ``people`` as a local candidate; None where a source asserts, or asserted, them."""
    person_id = PersonId(row.id)
    if _sources_of(conn, book.org_id, [person_id]):
        return None
    return _local(row, _privileged(conn, book, [person_id]))
