"""The sources that the file declares, brought into the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select, update

from scimd.config import Source as SourceConfig
from scimd.core.errors import NotFound, NotUnique
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, RoleName, SourceId
from scimd.db.tables import sources
from scimd.org.generation import bump
from scimd.org.grants import bindings
from scimd.org.grants.value_bindings import bind_values
from scimd.org.sources.source_states import change_state
from scimd.org.sources.sources import (
    NewSource,
    SourceRecord,
    as_json,
    find,
    make,
    mark_source,
    write_rules,
)
from scimd.org.tokens import jwt_issuers
from scimd.org.tx import Tx
from scimd.org.users.refolding import refold

#: What a source's digests rest on; where it changes, every entry is looked at again.
_READING = ("mapping", "join", "settings", "groups", "connector")
#: What its groups give rests on: by which connector they come decides whether each is a project.
_GIVING = ("rule", "groups", "connector")


def differs(known: SourceRecord, wanted: SourceConfig) -> bool:
    """Whether the file says something else of the source than what counts."""
    return known.config != as_json(wanted) or known.declared_in != "file"


def read_otherwise(known: SourceRecord, wanted: SourceConfig) -> tuple[str, ...]:
    """By which of its keys the file would have the source's next run read otherwise than the last."""
    after = as_json(wanted)
    return tuple(key for key in _READING if known.config.get(key) != after[key])


def to_read_otherwise(
    conn: Connection, org_id: OrgId, wanted: Sequence[SourceConfig]
) -> dict[str, tuple[str, ...]]:
    """The connectors of which the file would have the next run read otherwise, and by which of their keys."""
    found = {}
    for source in wanted:
        known = _known(conn, org_id, source.name)
        if known is not None and source.connector != "scim" and (keys := read_otherwise(known, source)):
            found[source.name] = keys
    return found


def as_declared(known: SourceRecord, wanted: SourceConfig) -> SourceRecord:
    """The source as it would be read, were it as the file has it; its state and its doings are its own."""
    return replace(
        known,
        kind="scim" if wanted.connector == "scim" else "connector",
        connector=None if wanted.connector == "scim" else wanted.connector,
        config=as_json(wanted),
        declared_in="file",
        config_version=known.config_version + bool(read_otherwise(known, wanted)),
    )


def differing(conn: Connection, org_id: OrgId, wanted: Sequence[SourceConfig]) -> list[tuple[str, ...]]:
    """The names of those of which the file says something else; together what can only change together.

    One is new where there is none of its name. Those that change places, or issuers, need each other's.
    """
    known = {name: _known(conn, org_id, name) for name in (source.name for source in wanted)}
    found: list[str] = []
    places: list[str] = []
    for source in wanted:
        there = known[source.name]
        if there is not None and not differs(there, source):
            continue
        moves = source.priority is not None and (there is None or there.priority != source.priority)
        changes_hands = _issuer(there.config if there else {}) != _issuer(as_json(source))
        (places if moves or changes_hands else found).append(source.name)
    return [*((name,) for name in found), *([tuple(places)] if places else [])]


def _known(conn: Connection, org_id: OrgId, name: str) -> SourceRecord | None:
    try:
        return find(conn, org_id, name)
    except NotFound:
        return None


def declare(
    tx: Tx, wanted: Sequence[SourceConfig], held: Collection[str] = ()
) -> tuple[bool, tuple[str, ...]]:
    """Make or bring up to date what the file declares: (whether anything changed, what it names no more).

    Those that are ``held`` stay as they are; connectors among them that had left the file are read again.
    """
    changed = _take_back(tx, [source.name for source in wanted if source.name in held])
    regrouping: list[SourceId] = []
    stated = _stated(wanted)
    counting = [source for source in wanted if source.name not in held]
    _let_go_of_issuers(tx, counting)
    for source in counting:
        changed |= _declare_one(tx, source, stated, regrouping)
    _one_source_per_priority(tx)
    # Last: binding asks for the rules as all of these changes have left them.
    for source_id in regrouping:
        bindings.rebind(tx, source_id)
    return changed, release(tx, [source.name for source in wanted])


def declare_new(tx: Tx, wanted: Sequence[SourceConfig], name: str) -> None:
    """Make this one of them; the others stay as they are. Raises NotUnique where one of those would have to
    give it its place or issuer first.
    """
    stated = _stated(wanted)
    for source in wanted:
        if source.name == name:
            make(tx, _as_new(source, stated))
    _one_source_per_priority(tx)


def _stated(wanted: Sequence[SourceConfig]) -> frozenset[int]:
    """The places that the file gives."""
    return frozenset(source.priority for source in wanted if source.priority is not None)


def release(tx: Tx, names: Sequence[str]) -> tuple[str, ...]:
    """What the file names no more is the hands' again; gives these, and connectors that left it before.

    What they said stays. A connector is read no more: its settings are the file's to say.
    """
    column = sources.c
    unnamed = (column.org_id == tx.org_id) & column.ended_at.is_(None) & column.name.not_in(names)
    of_file = column.declared_in == "file"
    left = select(column.id, column.name, of_file.label("of_file")).where(
        unnamed, of_file | (column.kind == "connector")
    )
    rows = tx.conn.execute(left.order_by(column.name)).all()
    tx.conn.execute(update(sources).where(unnamed, of_file).values(declared_in="database", next_run_at=None))
    for row in rows:
        if row.of_file:
            after = {"name": row.name, "declared_in": "database"}
            note = "the config file does not name it any more"
            tx.record(Event(EventKind.SOURCE_CHANGED, "source", row.id, {"declared_in": "file"}, after, note))
    return tuple(row.name for row in rows)


def _take_back(tx: Tx, names: Sequence[str]) -> bool:
    """Have connectors that are back in the file be the file's again, and read by what counts of them."""
    known_ones = (_known(tx.conn, tx.org_id, name) for name in names)
    left = [known for known in known_ones if known and known.left_the_file and known.ending is None]
    for known in left:
        mine = (sources.c.org_id == tx.org_id) & (sources.c.id == known.id)
        tx.conn.execute(update(sources).where(mine).values(declared_in="file"))
        before, after = {"declared_in": "database"}, {"name": known.name, "declared_in": "file"}
        note = "the config file names it again; what it changes is held"
        tx.record(Event(EventKind.SOURCE_CHANGED, "source", known.id, before, after, note))
    return bool(left)


def _issuer(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    jwt = settings.get("jwt")
    return (jwt["issuer"], jwt["audience"]) if jwt else None


def _let_go_of_issuers(tx: Tx, wanted: Sequence[SourceConfig]) -> None:
    """An issuer may go from one of these sources to another, whichever of them comes first."""
    for source in wanted:
        known = _known(tx.conn, tx.org_id, source.name)
        if known is not None and _issuer(known.config) not in (None, _issuer(as_json(source))):
            jwt_issuers.declare(tx, known.id, None)


def _one_source_per_priority(tx: Tx) -> None:
    """Standing asks the first source that asserts somebody; there must be one."""
    query = (
        select(sources.c.priority)
        .where(sources.c.org_id == tx.org_id, sources.c.ended_at.is_(None))
        .group_by(sources.c.priority)
        .having(func.count() > 1)
    )
    doubled = tx.conn.execute(query).scalars().first()
    if doubled is not None:
        raise NotUnique("priority", str(doubled), holder="another source of the organization")


def _declare_one(tx: Tx, wanted: SourceConfig, stated: frozenset[int], regrouping: list[SourceId]) -> bool:
    known = _known(tx.conn, tx.org_id, wanted.name)
    if known is None:
        return make(tx, _as_new(wanted, stated)) is not None
    if not differs(known, wanted):
        return False
    after = as_json(wanted)
    # What a person did since with the state (a release, a pause) stands until the file says
    # something else than it said before.
    other_state = known.config.get("state") != after["state"]
    _update_declared(tx, known, wanted, after)
    if any(known.config.get(key) != after[key] for key in _GIVING):
        regrouping.append(known.id)
    if other_state:
        change_state(tx, find(tx.conn, tx.org_id, known.id), wanted.state)
    return True


def _update_declared(tx: Tx, known: SourceRecord, wanted: SourceConfig, after: dict[str, Any]) -> None:
    reads_anew = bool(read_otherwise(known, wanted))
    # What is in trouble is tried at its own times. Else the worker plans the next run by the new schedule.
    well = known.quarantined_since is None and not known.failures
    planned_anew = well and known.config.get("schedule") != after["schedule"]
    tx.conn.execute(
        update(sources)
        .where(sources.c.org_id == tx.org_id, sources.c.id == known.id)
        .values(
            config=after,
            declared_in="file",
            kind="scim" if wanted.connector == "scim" else "connector",
            connector=None if wanted.connector == "scim" else wanted.connector,
            invite=wanted.invite,
            ceiling=wanted.ceiling,
            priority=known.priority if wanted.priority is None else wanted.priority,
            config_version=known.config_version + int(reads_anew),
            next_run_at=None if planned_anew else sources.c.next_run_at,
        )
    )
    refold(tx, known.id, known.config.get("extension") or (), after["extension"])
    if known.config.get("jwt") != after["jwt"]:
        jwt_issuers.declare(tx, known.id, after["jwt"])
    generation = bump(tx)
    changed = sorted(key for key in after if known.config.get(key) != after[key])
    if write_rules(tx, known.id, after["rule"], generation):
        bind_values(tx, known.id)
        tx.record(
            Event(
                EventKind.RULES_CHANGED,
                "source",
                known.id,
                before={"rules": known.config.get("rule", [])},
                after={"rules": after["rule"]},
            )
        )
    if {"rule", "groups", "priority", "ceiling", "invite"} & set(changed):
        mark_source(tx, known.id)
    tx.record(Event(EventKind.SOURCE_CHANGED, "source", known.id, after={"changed": changed}))


def _as_new(wanted: SourceConfig, stated: frozenset[int]) -> NewSource:
    scim = wanted.connector == "scim"
    return NewSource(
        name=wanted.name,
        kind="scim" if scim else "connector",
        connector=None if scim else wanted.connector,
        state=wanted.state,
        invite=wanted.invite,
        priority=wanted.priority,
        ceiling=RoleName(wanted.ceiling),
        config=as_json(wanted),
        declared_in="file",
        kept_free=stated,
    )
