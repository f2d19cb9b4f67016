"""The standing as stored: read back from rows, compared with the new one, written in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from sqlalchemy import Row, bindparam, func, select, update

from scimd.core.events import EventKind, changes
from scimd.core.people import GroupId, PersonId, ProjectId, RoleName, SourceId
from scimd.core.resource import StoredUser
from scimd.core.standing import Cause, CauseKind, Grant, Origin, Standing, Status
from scimd.db.among import among, one_of
from scimd.db.last_changed import not_before
from scimd.db.prepared import Prepared, Rewriting
from scimd.db.tables import assertions, grants, group_members, people, status_spans
from scimd.db.types import Ready
from scimd.org.groups import group_versions
from scimd.org.rulebook import RuleBook
from scimd.org.tx import Tx


def grant_of(row: Row[Any]) -> Grant:
    """An open span as the grant that it stores."""
    return Grant(
        row.kind,
        row.target,
        RoleName(row.project_role) if row.project_role else None,
        Origin(
            row.origin,
            row.origin_by,
            SourceId(row.source_id) if row.source_id else None,
            GroupId(row.group_id) if row.group_id else None,
            row.rule,
        ),
        row.dormant,
    )


def standing_of(row: Row[Any], open_grants: Iterable[Row[Any]]) -> Standing | None:
    """What was settled before, as far as rows hold it; None for somebody who never was settled."""
    if row.rules_version == 0:
        return None
    status = Status(row.status)
    return Standing(
        status=status,
        causes=tuple(Cause.parse(text) for text in row.causes),
        owner=SourceId(row.owner_source_id) if row.owner_source_id else None,
        roles=tuple(RoleName(name) for name in row.roles),
        projects={},
        team=row.team_id,
        licences=frozenset(),
        wants_seat=row.wants_seat,
        status_with_seat=status,
        needs_invitation=False,
        lapsed=row.lapsed,
        grants=frozenset(grant_of(grant) for grant in open_grants),
    )


def extension_of(standing: Standing, has_seat: bool) -> bytes:
    """scimd's SCIM extension. Ids only: names change without settling anybody."""
    body: dict[str, Any] = {
        "status": str(standing.status),
        "causes": [str(cause) for cause in standing.causes],
        "team": standing.team,
        "licences": sorted(standing.licences),
        "projects": _shown(standing.projects),
        "seat": has_seat,
    }
    return orjson.dumps({name: value for name, value in body.items() if value not in (None, [])})


def _shown(projects: Mapping[ProjectId, RoleName]) -> list[dict[str, str]]:
    return [{"value": project, "role": role} for project, role in sorted(projects.items())]


def projects_of(extension: bytes) -> dict[ProjectId, RoleName]:
    """The projects of the standing of which the extension was made."""
    shown = orjson.loads(extension).get("projects", ())
    return {ProjectId(each["value"]): RoleName(each["role"]) for each in shown}


def with_projects(extension: bytes, projects: Mapping[ProjectId, RoleName]) -> bytes:
    """The extension of a standing that differs in its projects alone, of which both have some."""
    return orjson.dumps({**orjson.loads(extension), "projects": _shown(projects)})


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is written of a standing, whoever stands so."""

    standing: Standing
    has_seat: bool
    #: The columns of ``people``; and the same as they are written, JSON as text.
    columns: Mapping[str, Any]
    stored: Mapping[str, Any]
    #: The columns of its open grants, but for whose they are and since when.
    grants: Mapping[Grant, Mapping[str, Any]]
    #: What the event that brings somebody in says of it, and the events of what they were given.
    brought: Mapping[str, Any]
    given: Sequence[tuple[EventKind, Mapping[str, Any] | None]]


def drawn(book: RuleBook, standing: Standing, has_seat: bool) -> Drawn:
    """Worked out once for one of the book's standings: newcomers of a source are alike."""
    key = (id(standing), has_seat)
    found: Drawn | None = book.drawn.get(key)
    if found is None:
        found = book.drawn[key] = _draw(book, standing, has_seat)
    return found


def _draw(book: RuleBook, standing: Standing, has_seat: bool) -> Drawn:
    causes = [str(cause) for cause in standing.causes]
    columns = {
        "status": str(standing.status),
        "causes": causes,
        "owner_source_id": standing.owner,
        "primary_role": standing.roles[0],
        "roles": list(standing.roles),
        "team_id": standing.team,
        "wants_seat": standing.wants_seat,
        "has_seat": has_seat,
        "lapsed": standing.lapsed,
        "extension": extension_of(standing, has_seat),
    }
    ready = {name: Ready(orjson.dumps(columns[name]).decode()) for name in ("causes", "roles")}
    given = changes(PersonId(""), None, standing)
    return Drawn(
        standing,
        has_seat,
        columns,
        {**columns, **ready, "rules_version": book.rules.version},
        {grant: _grant(book, grant) for grant in standing.grants},
        {
            "status": columns["status"],
            "causes": causes,
            "roles": columns["roles"],
            "owner": standing.owner,
            "seat": has_seat,
        },
        [(event.kind, event.after) for event in given if event.kind not in IN_CREATED],
    )


def seated(book: RuleBook, decided: Standing) -> Standing:
    """The standing of the same facts with a seat held."""
    key = (id(decided), "seated")
    found: tuple[Standing, Standing] | None = book.drawn.get(key)
    if found is None:
        causes = tuple(cause for cause in decided.causes if cause.kind is not CauseKind.WAITING_FOR_SEAT)
        after = replace(decided, status=decided.status_with_seat, causes=causes)
        found = book.drawn[key] = (decided, after)
    return found[1]


#: What whoever is brought in by an event is not told of besides.
IN_CREATED = frozenset(
    {EventKind.PERSON_STATUS_CHANGED, EventKind.PERSON_OWNER_CHANGED, EventKind.PERSON_ROLES_CHANGED}
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One settled person. ``profile``: columns of ``people`` that follow the owner's document."""

    person_id: PersonId
    row: Row[Any]
    before: Standing | None
    after: Standing
    has_seat: bool
    drawn: Drawn
    profile: dict[str, Any] = field(default_factory=dict)
    regrouped: bool = False

    def columns(self) -> dict[str, Any]:
        """What of the person's row differs from what is stored."""
        wanted = {**self.drawn.columns, **self.profile}
        return {name: value for name, value in wanted.items() if getattr(self.row, name) != value}


_STANDING_COLUMNS = (
    "status", "causes", "owner_source_id", "primary_role", "roles", "team_id", "wants_seat", "has_seat",
    "lapsed", "extension", "display_name", "display_name_key", "sign_in_address", "sign_in_key",
    "address_verified_at", "rest", "rules_version", "changed_at",
)  # fmt: skip


#: Only what differs: SQLite writes every index of a column that is set anew, changed or not.
_UPDATE_PEOPLE = Rewriting(
    people, (people.c.org_id == bindparam("_org_id")) & (people.c.id == bindparam("_id")), _STANDING_COLUMNS
)
_INSERT_GRANTS, _INSERT_SPANS = Prepared(grants.insert()), Prepared(status_spans.insert())
_END_SPANS = Prepared(
    update(status_spans)
    .where(
        status_spans.c.org_id == bindparam("org_id"),
        one_of(status_spans.c.person_id),
        status_spans.c.until.is_(None),
    )
    .values(until=bindparam("now"))
)
_CLOSE_GRANTS = Prepared(
    update(grants)
    .where(grants.c.org_id == bindparam("org_id"), one_of(grants.c.id))
    .values(until=bindparam("now"))
)


_in_groups = (
    select(func.aggregate_strings(group_members.c.group_id, ","))
    .where(group_members.c.org_id == assertions.c.org_id, group_members.c.person_id == assertions.c.person_id)
    .correlate(assertions)
    .scalar_subquery()
)
_asserted = (assertions.c.org_id == bindparam("_org_id")) & (
    assertions.c.person_id == bindparam("_person_id")
)
#: What every source's clients read behind its document; of whoever is in other groups, the groups too.
_RAISE = Prepared(update(assertions).where(_asserted).values(person_rest=bindparam("_rest")))
REGROUP = Prepared(
    update(assertions).where(_asserted).values(person_rest=bindparam("_rest"), in_groups=_in_groups)
)


def write(tx: Tx, settled: Sequence[tuple[Outcome, Sequence[Row[Any]]]]) -> None:
    """Bring people's rows, open grants and status spans to their outcomes: a few statements for all.

    Each outcome comes with the person's open spans as they are stored.
    """
    waiting = tx.newcomers.waiting
    changed = [
        # Of somebody who is not written yet all is.
        (outcome, {**outcome.drawn.stored, **outcome.profile})
        if outcome.person_id in waiting
        else (outcome, outcome.columns())
        for outcome, _ in settled
    ]
    _write_people(tx, changed)
    moved = {"status", "causes"}
    _write_status(tx, [each for each, columns in changed if each.before is None or moved & columns.keys()])
    _write_grants(tx, settled)


def _write_people(tx: Tx, changed: Sequence[tuple[Outcome, dict[str, Any]]]) -> None:
    version, waiting = tx.book.rules.version, tx.newcomers.waiting
    new: list[tuple[PersonId, Mapping[str, Any]]] = []
    known: list[tuple[PersonId, Mapping[str, Any]]] = []
    for outcome, columns in changed:
        row, person_id = outcome.row, outcome.person_id
        if person_id in waiting:  # nobody has seen anything of them
            new.append((person_id, columns))
            continue
        values = {**columns, "changed_at": not_before(row.changed_at, tx.now)} if columns else {}
        if outcome.regrouped or "extension" in columns:
            values["rest"] = row.rest + tx.step
        if row.rules_version != version:
            values["rules_version"] = version
        known.append((person_id, values))
    rows = new + known
    _park_addresses(tx, rows, changed)
    tx.newcomers.write(tx.beside, new)
    _UPDATE_PEOPLE.many(tx.conn, [({"_org_id": tx.org_id, "_id": each}, values) for each, values in known])
    tx.free_addresses.clear()
    _show(tx, rows)
    _follow(tx, [outcome for outcome, _ in changed], dict(rows))
    _name_anew(tx, changed)


def _follow(tx: Tx, outcomes: Sequence[Outcome], written: Mapping[PersonId, Mapping[str, Any]]) -> None:
    """Bring what is read behind people's documents to what was written of them."""
    raised: list[dict[str, Any]] = []
    regrouped: list[dict[str, Any]] = []
    for outcome in outcomes:
        person_id = outcome.person_id
        rest = written[person_id].get("rest")
        if outcome.regrouped or rest is not None:
            row = {"_org_id": tx.org_id, "_person_id": person_id, "_rest": rest or outcome.row.rest}
            (regrouped if outcome.regrouped else raised).append(row)
    _RAISE.many(tx.conn, raised)
    REGROUP.many(tx.conn, regrouped)


def _name_anew(tx: Tx, changed: Sequence[tuple[Outcome, dict[str, Any]]]) -> None:
    """A source's groups name those whom it owns: of whoever passes on, the groups of both show another."""
    of_source: dict[SourceId, list[PersonId]] = {}
    for outcome, columns in changed:
        if "owner_source_id" in columns and outcome.person_id not in tx.created:
            for source_id in (outcome.row.owner_source_id, columns["owner_source_id"]):
                if source_id is not None:
                    of_source.setdefault(source_id, []).append(outcome.person_id)
    group_versions.named_again_in(tx, of_source)


def _show(tx: Tx, rows: Sequence[tuple[PersonId, Mapping[str, Any]]]) -> None:
    """Whoever was written is answered as settling left them."""
    for person_id, values in rows:
        shown = tx.shown.get(person_id)
        if shown is not None and ("extension" in values or "rest" in values):
            tx.shown[person_id] = StoredUser(
                shown.person_id, shown.document, shown.version, values.get("rest", shown.rest),
                shown.created_at, shown.changed_at, shown.groups, values.get("extension", shown.extension),
            )  # fmt: skip


def _park_addresses(
    tx: Tx,
    rows: Sequence[tuple[PersonId, Mapping[str, Any]]],
    changed: Sequence[tuple[Outcome, dict[str, Any]]],
) -> None:
    """Addresses that swap or ring are let go by all before the first is written."""
    held = {
        outcome.row.sign_in_key: outcome.person_id
        for outcome, columns in changed
        if "sign_in_key" in columns and outcome.row.sign_in_key is not None
    }
    if not held:
        return
    moving = [
        held[key]
        for person_id, values in rows
        if (key := values.get("sign_in_key")) in held and held[key] != person_id
    ]
    if moving:
        tx.alone()
        tx.conn.execute(
            update(people)
            .where(people.c.org_id == tx.org_id, among(tx.conn, people.c.id, moving))
            .values(sign_in_key=None)
        )


def _write_status(tx: Tx, outcomes: Sequence[Outcome]) -> None:
    old = [outcome.person_id for outcome in outcomes if outcome.before is not None]
    if old:
        _END_SPANS.post(tx.conn, {"org_id": tx.org_id, "keys": old, "now": tx.now})
    _INSERT_SPANS.many(tx.conn, [_span(tx, outcome) for outcome in outcomes])


def _span(tx: Tx, outcome: Outcome) -> dict[str, Any]:
    return {
        "org_id": tx.org_id,
        "id": tx.new_id(),
        "person_id": outcome.person_id,
        "status": outcome.drawn.columns["status"],
        "causes": outcome.drawn.stored["causes"],
        "rules_version": tx.book.rules.version,
        "since": tx.now,
    }


def _write_grants(tx: Tx, settled: Sequence[tuple[Outcome, Sequence[Row[Any]]]]) -> None:
    """Close the spans that no longer hold, open those that do; one that falls dormant or wakes is both."""
    closed: list[str] = []
    opened: list[dict[str, Any]] = []
    for outcome, rows in settled:
        # A list: a hand may have given the same thing twice.
        stored = [(grant_of(row), row.id) for row in rows]
        after = outcome.drawn.grants
        closed += [row_id for grant, row_id in stored if grant not in after]
        there = {grant for grant, _ in stored}
        opened += [
            _opened(tx, outcome.person_id, columns) for grant, columns in after.items() if grant not in there
        ]
    _move_grants(tx, closed, opened)


def regive(tx: Tx, closed: Sequence[str], opened: Iterable[tuple[PersonId, Grant]]) -> None:
    """Close these spans, by their ids, and open those of these grants."""
    _move_grants(tx, closed, [_opened(tx, each, _grant(tx.book, grant)) for each, grant in opened])


def _move_grants(tx: Tx, closed: Sequence[str], opened: Sequence[dict[str, Any]]) -> None:
    if closed:
        _CLOSE_GRANTS.post(tx.conn, {"org_id": tx.org_id, "keys": closed, "now": tx.now})
    _INSERT_GRANTS.many(tx.conn, opened)


def _opened(tx: Tx, person_id: PersonId, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {**columns, "org_id": tx.org_id, "id": tx.new_id(), "person_id": person_id, "since": tx.now}


def _grant(book: RuleBook, grant: Grant) -> dict[str, Any]:
    origin = grant.origin
    return {
        "kind": grant.kind,
        "target": grant.target,
        "project_role": grant.project_role,
        "origin": origin.kind,
        "origin_by": origin.by,
        "source_id": origin.source_id,
        "group_id": origin.group_id,
        "rule": origin.rule,
        "dormant": grant.dormant,
        "rules_version": book.rules.version,
    }
