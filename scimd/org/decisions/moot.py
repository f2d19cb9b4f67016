"""Questions that are none any more, which a job closes.

collision       the entry was recorded, or left its source · whom it met has another address, or is gone
ambiguous       the entry was recorded, or left its source · fewer than two of those whom it may be are left
return          the person was purged, which closes it as a rule: who is deleted may be restored, or come back
shared_address  the person has an address, or is gone · what they follow now, a source's document or their
                own profile, brings another one
group_name      group or project is gone or called otherwise, or the group gives that project by now · a
                group of the source left the project behind; where the name may be the group's now, it has it

What is about entries and groups is closed with their source. That an entry left shows in a later read of a
connector alone: what an identity provider does not push again stays in question. Who was merged is who was
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, func, select

from scimd.core.people import DecisionId, OrgId, PersonId, address_key, fold
from scimd.db.among import among
from scimd.db.tables import (
    assertions,
    decisions,
    group_effects,
    groups,
    people,
    projects,
    run_changes,
    runs,
    sources,
)
from scimd.org.decisions.decisions import DecisionKind, close_moot
from scimd.org.grants.projects import left_by
from scimd.org.groups import group_names
from scimd.org.identities import merged
from scimd.org.settling import profiles
from scimd.org.tx import Actor, Context, Door, Tx

#: Items of one kind, and why each of them that no longer stands does not.
Items: TypeAlias = Sequence[Row[Any]]
Why: TypeAlias = dict[DecisionId, str]
_Rule: TypeAlias = Callable[[Connection, OrgId, Items], Why]

_AT_ONCE = 500
#: Kinds whose question ends with the source that it is about.
_OF_SOURCES = ("collision", "ambiguous", "group_name")
_SOURCE = "Its source is gone."
_RECORDED = "The source asserts the entry by now."
_LEFT = "The entry is no longer in the directory."
_GONE = "The person is gone."
_ADDRESS = "Whom the entry met has another address by now."
_FEW = "Fewer than two of those people are left."
_HAS_ONE = "The person has a sign-in address by now."
_NOT_WANTED = "What the address came from brings another one by now."
_GROUP = "The group is gone, or called otherwise."
_PROJECT = "The project is gone, or called otherwise."
_FREE = "The group that the project was made for has left it behind."
_GIVEN = "The group gives the project by now."


async def close_due(door: Door, org_id: OrgId) -> int:
    """Close the open questions that no longer stand; gives how many. A job."""
    ctx = Context(org_id, Actor("job", "questions", "questions"), "job", "questions")
    total, after = 0, ""
    while ids := await door.read(partial(_open_after, org_id=org_id, after=after)):
        after = ids[-1]
        if await door.read(partial(_moot, org_id=org_id, ids=ids)):
            total += await door.run(ctx, partial(_close, ids=ids))
    return total


def _open_after(conn: Connection, *, org_id: OrgId, after: str) -> list[DecisionId]:
    column = decisions.c
    query = select(column.id).where(column.org_id == org_id, column.state == "open", column.id > after)
    return [DecisionId(each) for each in conn.execute(query.order_by(column.id).limit(_AT_ONCE)).scalars()]


def _close(tx: Tx, *, ids: Sequence[DecisionId]) -> int:
    """Of those that were found: what happened since then is looked at again."""
    why = _moot(tx.conn, org_id=tx.org_id, ids=ids)
    closed = close_moot(tx, why)
    free = sorted(each for each, said in why.items() if said in (_PROJECT, _FREE))
    query = select(decisions.c.facts).where(
        decisions.c.org_id == tx.org_id, among(tx.conn, decisions.c.id, free)
    )
    if free and (waited := {facts["group_id"] for facts in tx.conn.execute(query).scalars()}):
        group_names.look_again(tx, waited)
    return len(closed)


def _moot(conn: Connection, *, org_id: OrgId, ids: Sequence[DecisionId]) -> Why:
    """Which of these open items no longer stand, and why: some statements for each kind."""
    column = decisions.c
    query = select(decisions).where(
        column.org_id == org_id, column.state == "open", among(conn, column.id, ids)
    )
    items = conn.execute(query.order_by(column.id)).all()
    found = _of_gone_sources(conn, org_id, [item for item in items if item.kind in _OF_SOURCES])
    for kind, rule in _RULES.items():
        if left := [item for item in items if item.kind == kind and item.id not in found]:
            found |= rule(conn, org_id, left)
    return found


def _of_gone_sources(conn: Connection, org_id: OrgId, items: Items) -> Why:
    living = select(sources.c.id).where(sources.c.org_id == org_id, sources.c.ended_at.is_(None))
    there = set(conn.execute(living).scalars())
    return {item.id: _SOURCE for item in items if item.source_id and item.source_id not in there}


# ------------------------------------------------------------------------------ entries


def _collisions(conn: Connection, org_id: OrgId, items: Items) -> Why:
    found = _entries(conn, org_id, items)
    now = merged.present(conn, org_id, [item.facts["person_id"] for item in items])
    there = _people(conn, org_id, now.values())
    for item in items:
        person = there.get(now[item.facts["person_id"]])
        if person is None or person.deleted_at is not None:
            found.setdefault(item.id, _GONE)
        elif person.sign_in_key != address_key(item.facts["address"]):
            found.setdefault(item.id, _ADDRESS)
    return found


def _ambiguous(conn: Connection, org_id: OrgId, items: Items) -> Why:
    found = _entries(conn, org_id, items)
    meant = {person_id for item in items for person_id in item.facts["person_ids"]}
    now = merged.present(conn, org_id, meant)
    there = _people(conn, org_id, now.values())
    # Whom the source itself dropped may be who is back, tombstoned or not.
    known = _known_to(conn, org_id, there)
    for item in items:
        left = {
            person_id
            for person_id in (now[each] for each in item.facts["person_ids"])
            if (person := there.get(person_id))
            and (person.deleted_at is None or (item.source_id, person_id) in known)
        }
        if len(left) < 2:
            found.setdefault(item.id, _FEW)
    return found


def _people(conn: Connection, org_id: OrgId, person_ids: Iterable[str]) -> Mapping[PersonId, Row[Any]]:
    query = select(people).where(people.c.org_id == org_id, among(conn, people.c.id, sorted(set(person_ids))))
    return {PersonId(row.id): row for row in conn.execute(query)}


def _known_to(conn: Connection, org_id: OrgId, person_ids: Iterable[str]) -> set[tuple[str, PersonId]]:
    column = assertions.c
    query = select(column.source_id, column.person_id).where(
        column.org_id == org_id, among(conn, column.person_id, sorted(person_ids)), column.state != "history"
    )
    return {(row.source_id, PersonId(row.person_id)) for row in conn.execute(query)}


def _entries(conn: Connection, org_id: OrgId, items: Items) -> Why:
    """Entries that their source asserts by now, and those that a later read of it did not show."""
    column, names = assertions.c, {item.id: _names(item) for item in items}
    source_ids = sorted({item.source_id for item in items})  # by which, with the name, an index finds them
    live: set[tuple[str, str, str]] = set()
    for named, key in (("external_id", column.external_id), ("user_name", column.user_name_key)):
        wanted = sorted({value for by, value in names.values() if by == named})
        query = select(column.source_id, key.label("name")).where(
            column.org_id == org_id,
            column.state == "live",
            among(conn, column.source_id, source_ids),
            among(conn, key, wanted),
        )
        live |= {(row.source_id, named, row.name) for row in conn.execute(query)}
    found = {item.id: _RECORDED for item in items if (item.source_id, *names[item.id]) in live}
    return {**_left(conn, org_id, items), **found}


def _names(item: Row[Any]) -> tuple[str, str]:
    """The entry by its external id, or by its userName where it has none."""
    external_id = item.facts["external_id"]
    return ("external_id", external_id) if external_id else ("user_name", fold(item.facts["user_name"]))


def _left(conn: Connection, org_id: OrgId, items: Items) -> Why:
    """Of connectors: who was not in the newest whole read, which began after the question was put."""
    newest = select(func.max(runs.c.id)).where(
        runs.c.org_id == org_id,
        runs.c.complete,
        runs.c.started_at > min(item.opened_at for item in items),
        among(conn, runs.c.source_id, sorted({item.source_id for item in items})),
    )
    query = select(runs.c.id, runs.c.source_id, runs.c.started_at).where(
        runs.c.org_id == org_id, runs.c.id.in_(newest.group_by(runs.c.source_id))
    )
    reads = {row.source_id: row for row in conn.execute(query)}
    if not reads:
        return {}
    change = run_changes.c
    met = select(change.run_id, change.external_id).where(
        change.org_id == org_id,
        among(conn, change.run_id, [read.id for read in reads.values()]),
        change.kind == "user",
        # One whose id could not be read may be any of them.
        change.external_id.is_(None) | among(conn, change.external_id, sorted(map(_external_id, items))),
    )
    seen = {(row.run_id, row.external_id) for row in conn.execute(met)}
    return {
        item.id: _LEFT
        for item in items
        if (read := reads.get(item.source_id))
        and read.started_at > item.opened_at
        and not {(read.id, None), (read.id, _external_id(item))} & seen
    }


def _external_id(item: Row[Any]) -> str:
    return item.facts["external_id"] or ""


# ------------------------------------------------------------------------------ people


def _returns(conn: Connection, org_id: OrgId, items: Items) -> Why:
    now = merged.present(conn, org_id, [item.facts["person_id"] for item in items])
    there = _people(conn, org_id, now.values())
    return {item.id: _GONE for item in items if now[item.facts["person_id"]] not in there}


def _shared_addresses(conn: Connection, org_id: OrgId, items: Items) -> Why:
    there = _people(conn, org_id, [item.facts["person_id"] for item in items])
    column = assertions.c
    query = select(column.source_id, column.person_id, column.sign_in_key).where(
        column.org_id == org_id, among(conn, column.person_id, sorted(there)), column.state == "live"
    )
    asserted = {(row.source_id, row.person_id): row.sign_in_key for row in conn.execute(query)}
    found: Why = {}
    for item in items:
        person = there.get(item.facts["person_id"])
        if person is None or person.deleted_at is not None:
            found[item.id] = _GONE
        elif person.sign_in_key is not None:
            found[item.id] = _HAS_ONE
        elif _brought(person, asserted) != address_key(item.facts["address"]):
            found[item.id] = _NOT_WANTED
    return found


def _brought(person: Row[Any], asserted: Mapping[tuple[str, str], str | None]) -> str | None:
    """The address that the owner's document has, or the own profile of who has no owner."""
    if person.owner_source_id is None:
        return profiles.own_keys(person).sign_in_key
    return asserted.get((person.owner_source_id, person.id))


# ------------------------------------------------------------------------------ groups


def _group_names(conn: Connection, org_id: OrgId, items: Items) -> Why:
    group_ids = sorted({item.facts["group_id"] for item in items})
    project_ids = sorted({item.facts["project_id"] for item in items})
    living = select(groups.c.id, groups.c.display_name_key).where(
        groups.c.org_id == org_id, groups.c.state == "live", among(conn, groups.c.id, group_ids)
    )
    called = {row.id: row.display_name_key for row in conn.execute(living)}
    unarchived = select(projects.c.id, projects.c.name_key).where(
        projects.c.org_id == org_id, projects.c.archived_at.is_(None), among(conn, projects.c.id, project_ids)
    )
    named = {row.id: row.name_key for row in conn.execute(unarchived)}
    effect = group_effects.c
    giving = select(effect.group_id, effect.target).where(
        effect.org_id == org_id, effect.kind == "project", among(conn, effect.group_id, group_ids)
    )
    given = {(row.group_id, row.target) for row in conn.execute(giving)}
    left = left_by(conn, org_id, project_ids)
    found: Why = {}
    for item in items:
        group_id, project_id, name = (item.facts[each] for each in ("group_id", "project_id", "name"))
        if called.get(group_id) != fold(name):
            found[item.id] = _GROUP
        elif named.get(project_id) != fold(name):
            found[item.id] = _PROJECT
        elif (group_id, project_id) in given:
            found[item.id] = _GIVEN
        elif left.get(project_id) == item.source_id:
            found[item.id] = _FREE
    return found


_RULES: Mapping[DecisionKind, _Rule] = {
    "collision": _collisions,
    "ambiguous": _ambiguous,
    "return": _returns,
    "shared_address": _shared_addresses,
    "group_name": _group_names,
}
