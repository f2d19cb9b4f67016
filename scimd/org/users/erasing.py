"""Erasing: what is left of people outside their own rows, before ``org.users.purging`` deletes these.

Changes of runs, groups' members in them, questions to decide, attempts to sign in before the address was
theirs, and the values of the audit's entries about them, but for what they had and when. The rows
stay and say that they were erased; attempts go. Who acted stays named: the audit's chain is over the
actor, and what others have says by whom.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Text,
    bindparam,
    case,
    cast,
    delete,
    literal,
    null,
    or_,
    select,
    tuple_,
    update,
)

from scimd.core.events import EventKind
from scimd.core.people import DecisionId, OrgId, PersonId, SourceId, address_key, fold
from scimd.db.among import among, rows_of
from scimd.db.tables import (
    api_tokens,
    assertions,
    decisions,
    deliveries,
    events,
    invitations,
    links,
    login_attempts,
    merged_people,
    people,
    run_changes,
    runs,
)
from scimd.org.decisions.decisions import close_moot, subjects_of
from scimd.org.settling import profiles
from scimd.org.tx import Context, Door, Tx

ERASED = "erased"
_GONE = "The person is gone."
#: So many changes of runs are looked at in one read, and so many events are erased in one transaction.
_LOOKED_AT = 1_000
_AT_ONCE = 1_000
#: Run and number of the last change that was looked at.
_Place: TypeAlias = tuple[str, int]
_c = run_changes.c
_ADDRESS = re.compile(r"[^\s\"'<>,;:()]+@[^\s\"'<>,;:()]+")
#: Not the payload, which of a group may be large: these are read one by one.
_SHOWN = (_c.run_id, _c.n, _c.kind, _c.target_id, _c.external_id, _c.name, _c.detail, _c.outcome)
#: These say what somebody had and when, and nothing of who they were: that is what an audit is kept for.
_STAY = tuple(
    kind
    for kind in EventKind
    if kind.partition(".")[0] in ("grant", "seat")
    or kind in (EventKind.PERSON_STATUS_CHANGED, EventKind.PERSON_ROLES_CHANGED)
)
#: Changes that may yet be applied.
_WAITS = ("planned", "staged")


@dataclass(frozen=True, slots=True)
class Traces:
    """What these people are known by in rows that are not their own.

    ``meant``: also the ids of those who were merged into them, and not their own where they were merged into
    somebody who stays. ``entries``: (source id, external id); ``names``: (source id, userName's key).
    """

    ids: frozenset[str]
    meant: frozenset[str]
    entries: frozenset[tuple[SourceId, str]]
    names: frozenset[tuple[SourceId, str]]
    addresses: frozenset[str]


async def erase(door: Door, ctx: Context, ids: Sequence[PersonId]) -> None:
    """Erase what others' rows hold of these people, in portions. What was erased before is not looked at."""
    org_id = ctx.org_id
    traces = await door.read(partial(_traces, org_id=org_id, ids=ids))
    place: _Place | None = ("", 0)
    while place is not None:
        place, changes = await door.read(partial(_changes, org_id=org_id, traces=traces, after=place))
        if changes:
            await door.run(ctx, partial(_erase_changes, changes=changes))
    about = await door.read(partial(_questions, org_id=org_id, traces=traces))
    told = await door.read(partial(_told_of, org_id=org_id, ids=traces.ids))
    while await door.run(ctx, partial(_erase_values, targets=[*told, *about])):
        pass
    # After the entries about them: that they were closed is told, and why.
    await door.run(ctx, partial(_erase_the_rest, traces=traces, about=about))


def _traces(conn: Connection, *, org_id: OrgId, ids: Sequence[PersonId]) -> Traces:
    person, said, was = people.c, assertions.c, merged_people.c
    rows = conn.execute(select(people).where(person.org_id == org_id, among(conn, person.id, ids))).all()
    known_by = (said.source_id, said.external_id, said.user_name_key)
    asserted = conn.execute(
        select(*known_by, said.sign_in_key, said.email_key, said.other_email_key).where(
            said.org_id == org_id, among(conn, said.person_id, ids)
        )
    ).all()
    addresses = {row.sign_in_key for row in rows} | {profiles.own_keys(row).sign_in_key for row in rows}
    for each in asserted:
        addresses |= {each.sign_in_key, each.email_key, each.other_email_key}
    for table in (invitations, links, deliveries):
        mine = (table.c.org_id == org_id) & among(conn, table.c.person_id, ids)
        found = conn.execute(select(table.c.address).where(mine).distinct()).scalars()
        addresses |= {address_key(each) for each in found if each}
    merged = conn.execute(
        select(was.id, was.person_id).where(
            was.org_id == org_id, or_(among(conn, was.id, ids), among(conn, was.person_id, ids))
        )
    ).all()
    theirs = frozenset(ids)
    into_them = {row.id for row in merged if row.person_id in theirs}
    elsewhere = {row.id for row in merged if row.person_id not in theirs}
    return Traces(
        ids=theirs,
        meant=theirs - elsewhere | into_them,
        entries=frozenset((SourceId(row.source_id), row.external_id) for row in asserted if row.external_id),
        names=frozenset((SourceId(row.source_id), row.user_name_key) for row in asserted),
        addresses=frozenset(each for each in addresses if each),
    )


# ------------------------------------------------------------------------------ changes of runs


def _changes(
    conn: Connection, *, org_id: OrgId, traces: Traces, after: _Place
) -> tuple[_Place | None, list[dict[str, Any]]]:
    """Where the next look begins, None at the end; and what is left of the changes that tell of them."""
    key = tuple_(_c.run_id, _c.n)
    part = (
        select(_c.run_id, _c.n)
        .where(_c.org_id == org_id, key > tuple_(*map(literal, after)))
        .order_by(_c.run_id, _c.n)
    )
    last = conn.execute(part.limit(1).offset(_LOOKED_AT - 1)).first()
    # An external id of one source may be another person's in the next.
    members: dict[str, set[str]] = {}
    for source_id, external_id in traces.entries:
        members.setdefault(source_id, set(traces.ids)).add(external_id)
    found: list[dict[str, Any]] = []
    for row in conn.execute(_may_tell(conn, org_id, traces, part.limit(_LOOKED_AT))).all():
        this = {"_run_id": row.run_id, "_n": row.n}
        if row.kind == "group":
            gone = members.get(row.source_id, traces.ids)
            if payload := _without(_payload(conn, org_id, row), gone):
                found.append({**this, "_payload": payload})
        elif _tells_of_them(conn, org_id, row, traces):
            found.append(this)
    return None if last is None else (last.run_id, last.n), found


def _may_tell(conn: Connection, org_id: OrgId, traces: Traces, part: Select[Any]) -> Select[Any]:
    """Those changes of this part that may be about them, without what is large."""
    seen = part.subquery()
    external_ids = sorted({external_id for _, external_id in traces.entries})
    return (
        select(*_SHOWN, runs.c.source_id)
        .join(seen, (seen.c.run_id == _c.run_id) & (seen.c.n == _c.n))
        .join(runs, (runs.c.org_id == _c.org_id) & (runs.c.id == _c.run_id))
        .where(
            _c.org_id == org_id,
            _c.reason != ERASED,
            or_(
                _c.kind == "group",
                among(conn, _c.target_id, sorted(traces.ids)),
                among(conn, _c.external_id, external_ids),
                # Entries that became nobody: few, or without an id.
                _c.target_id.is_(None) & (_c.external_id.is_(None) | _c.outcome.not_in(_WAITS)),
            ),
        )
    )


def _payload(conn: Connection, org_id: OrgId, row: Row[Any]) -> Mapping[str, Any]:
    query = select(_c.payload).where(_c.org_id == org_id, _c.run_id == row.run_id, _c.n == row.n)
    return conn.execute(query).scalar() or {}


def _without(payload: Mapping[str, Any], members: Set[str]) -> dict[str, Any] | None:
    """A group's change in which these neither come nor go; None where they do not anyway."""
    lists = {name: payload[name] for name in ("add", "remove") if payload.get(name)}
    if all(members.isdisjoint(each) for each in lists.values()):
        return None
    return {**payload, **{name: [each for each in was if each not in members] for name, was in lists.items()}}


def _tells_of_them(conn: Connection, org_id: OrgId, row: Row[Any], traces: Traces) -> bool:
    if row.target_id is not None:
        return row.target_id in traces.ids
    if (row.source_id, row.external_id) in traces.entries:
        return True
    if row.external_id is None and (row.source_id, fold(row.name)) in traces.names:
        return True
    if row.outcome in _WAITS:
        return False
    said = fold(f"{_payload(conn, org_id, row).get('document')} {row.detail}")
    return not traces.addresses.isdisjoint(each.rstrip(".") for each in _ADDRESS.findall(said))


_this = (_c.org_id == bindparam("_org_id")) & (_c.run_id == bindparam("_run_id")) & (_c.n == bindparam("_n"))
_WITHOUT_THEM = update(run_changes).where(_this).values(payload=bindparam("_payload"))
_ERASE = (
    update(run_changes)
    .where(_this)
    .values(
        external_id=None,
        name=ERASED,
        reason=ERASED,
        detail=None,
        old=null(),
        new=null(),
        payload=null(),
        inverse=null(),
        outcome=case(dict.fromkeys(_WAITS, "skipped"), value=_c.outcome, else_=_c.outcome),
    )
)


def _erase_changes(tx: Tx, *, changes: Sequence[Mapping[str, Any]]) -> None:
    """What was to be applied of them is not: whoever is in the directory now is found by the next read."""
    of_groups = [each for each in changes if "_payload" in each]
    whole = [each for each in changes if "_payload" not in each]
    for statement, many in ((_WITHOUT_THEM, of_groups), (_ERASE, whole)):
        if many:
            tx.conn.execute(statement, [{"_org_id": tx.org_id, **each} for each in many])


# ------------------------------------------------------------------------------ questions, attempts


def _questions(conn: Connection, *, org_id: OrgId, traces: Traces) -> list[DecisionId]:
    """The items about them, or about an entry that was theirs."""
    column = decisions.c
    ids = rows_of(conn, sorted(traces.meant)).subquery()
    named = select(ids.c.key).where(cast(column.facts, Text).contains(ids.c.key)).exists()
    known_by = traces.entries | traces.names
    subjects = {each for source, entry in known_by for each in subjects_of(source, entry)}
    theirs = among(conn, column.subject, sorted(subjects)) & column.state.in_(("answered", "moot"))
    query = select(column.id, column.kind, column.facts).where(column.org_id == org_id, or_(named, theirs))
    # An answer may be waiting for an entry that bears the name today, and is somebody else's.
    return [
        DecisionId(row.id)
        for row in conn.execute(query)
        if row.kind != "link" or row.facts.get("person_id") in traces.meant
    ]


def _erase_the_rest(tx: Tx, *, traces: Traces, about: Collection[DecisionId]) -> None:
    """Questions stay as items that say nothing, closed where they were open; attempts go."""
    column = decisions.c
    tx.conn.execute(
        update(decisions)
        .where(column.org_id == tx.org_id, among(tx.conn, column.id, sorted(about)))
        .values(subject=column.id, question=ERASED, options=[], facts={})
    )
    close_moot(tx, dict.fromkeys(about, _GONE))
    nobodys = login_attempts.c.person_id.is_(None)
    tried = among(tx.conn, login_attempts.c.address_key, sorted(traces.addresses))
    tx.conn.execute(delete(login_attempts).where(login_attempts.c.org_id == tx.org_id, nobodys, tried))


# ------------------------------------------------------------------------------ the audit


def _told_of(conn: Connection, *, org_id: OrgId, ids: Collection[str]) -> list[str]:
    """What entries about them, or about what is theirs, have as their target."""
    found = list(ids)
    for table in (invitations, api_tokens):
        mine = (table.c.org_id == org_id) & among(conn, table.c.person_id, sorted(ids))
        found += conn.execute(select(table.c.id).where(mine)).scalars()
    return found


def _erase_values(tx: Tx, *, targets: Sequence[str]) -> int:
    """Erase the values of some entries; gives of how many. The digest stays, and what the chain is over."""
    event = events.c
    mine = (event.org_id == tx.org_id) & among(tx.conn, event.target_id, targets) & event.body.is_not(None)
    ids = (
        tx.conn.execute(select(event.id).where(mine, event.kind.not_in(_STAY)).limit(_AT_ONCE))
        .scalars()
        .all()
    )
    these = (event.org_id == tx.org_id) & among(tx.conn, event.id, ids)
    tx.conn.execute(update(events).where(these).values(salt=None, body=null()))
    return len(ids)
