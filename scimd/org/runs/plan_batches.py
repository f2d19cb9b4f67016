"""Applying a plan: calls of the door, in batches, each batch one transaction.

A batch proves the lease, looks whether the source may still be changed, applies its changes, writes
what became of each, and moves the run's place; all of it commits as one. So a run that was killed
goes on after its last batch, and nothing is done twice.

A batch holds changes of one sort (removals, groups, people), at most ``BATCH``, but for a ring of
names that change hands, of people or of groups, which is never split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from sqlalchemy import Column, ColumnElement, Connection, Row, Table, bindparam, func, select, true, update

from scimd.core.errors import NotAllowedNow, StateMoved
from scimd.core.people import GroupId, PersonId, RunId
from scimd.db.among import among
from scimd.db.prepared import Prepared
from scimd.db.tables import assertions, groups, run_changes, runs, sources
from scimd.org import leases
from scimd.org.groups.groups import AssertGroup, change_members, drop_groups, record_groups
from scimd.org.leases import Lease
from scimd.org.runs import approvals
from scimd.org.runs.plan_ground import rules_version
from scimd.org.runs.runs import RunRecord, find, finish, set_state
from scimd.org.runs.sync_reads import group_mark, member_keys
from scimd.org.sources.sources import find as find_source
from scimd.org.sources.sources import must_not_be_paused, that_it_left
from scimd.org.tx import Tx
from scimd.org.users.people import Asserted, AssertUser, DropUser, drop_users, record_users

BATCH = 200
_PERSON_REMOVALS, _GROUPS_GONE, _GROUPS, _PEOPLE = range(4)


@dataclass(frozen=True, slots=True)
class _Result:
    outcome: str
    detail: str | None = None
    target_id: str | None = None
    action: str | None = None


def apply_batch(tx: Tx, run_id: RunId, lease: Lease, *, size: int = BATCH) -> int:
    """Apply the next batch of a run; gives how many changes that were, 0 when none is left.

    Raises LeaseLost, and NotAllowedNow when the source was paused or ended meanwhile.
    """
    leases.hold(tx, lease)
    run = find(tx.conn, tx.org_id, run_id)
    _may_change(tx.conn, run)
    rows = _next(tx.conn, run, size)
    if not rows:
        return 0
    moved_of, apply = _APPLY[_sort(rows[0])]
    moved = moved_of(tx, run, rows)
    going = [row for row in rows if row.n not in moved]
    done = dict(zip((row.n for row in going), apply(tx, run, going), strict=True))
    results = [done.get(row.n) or _Result("skipped", moved[row.n]) for row in rows]
    _write(tx, run, rows, results)
    return len(rows)


def skip(tx: Tx, run_id: RunId, lease: Lease, why: str) -> None:
    """Give up on the next change alone: applying it raised what nobody foresaw."""
    leases.hold(tx, lease)
    run = find(tx.conn, tx.org_id, run_id)
    rows = _next(tx.conn, run, 1)[:1]
    _write(tx, run, rows, [_Result("failed", why) for _ in rows])


def _may_change(conn: Connection, run: RunRecord) -> None:
    row = conn.execute(
        select(sources.c.name, sources.c.state, sources.c.ended_at).where(
            sources.c.org_id == run.org_id, sources.c.id == run.source_id
        )
    ).one()
    if row.ended_at is not None or row.state == "paused":
        raise NotAllowedNow(f"The source {row.name} was {'ended' if row.ended_at else 'paused'}.")


# ------------------------------------------------------------------------------ what comes next


def _next(conn: Connection, run: RunRecord, size: int) -> Sequence[Row[Any]]:
    """The next rows of one sort; longer than ``size`` only to keep a ring whole."""
    column = run_changes.c
    query = (
        select(run_changes)
        .where(
            column.org_id == run.org_id,
            column.run_id == run.id,
            column.outcome == "planned",
            column.n > run.place,
        )
        .order_by(column.n)
    )
    rows = conn.execute(query.limit(size + 1)).all()
    if len(rows) > size and _ring(rows[size]) and _ring(rows[size]) == _ring(rows[size - 1]):
        ring = _ring(rows[size])
        rows = [row for i, row in enumerate(conn.execute(query)) if i < size or _ring(row) == ring]
    else:
        rows = rows[:size]
    sort = _sort(rows[0]) if rows else None
    end = next((i for i, row in enumerate(rows) if _sort(row) != sort), len(rows))
    return rows[:end]


def _ring(row: Row[Any]) -> str | None:
    return (row.payload or {}).get("ring")


def _sort(row: Row[Any]) -> int:
    if row.kind == "group":
        return _GROUPS_GONE if row.action == "delete" else _GROUPS
    return _PERSON_REMOVALS if row.situation in ("gone", "out-of-scope") else _PEOPLE


def left(conn: Connection, run: RunRecord) -> int:
    """How many changes of the run wait to be applied. Costs their number: ask once, not per batch."""
    column = run_changes.c
    return conn.execute(
        select(func.count()).where(
            column.org_id == run.org_id, column.run_id == run.id, column.outcome == "planned"
        )
    ).scalar_one()


_c = run_changes.c
_WRITE = Prepared(
    update(run_changes)
    .where(_c.org_id == bindparam("_org_id"), _c.run_id == bindparam("_run_id"), _c.n == bindparam("_n"))
    .values(
        outcome=bindparam("_outcome"),
        detail=bindparam("_detail"),
        target_id=bindparam("_target"),
        action=bindparam("_action"),
        applied_at=bindparam("_at"),
    )
)


def _write(tx: Tx, run: RunRecord, rows: Sequence[Row[Any]], results: Sequence[_Result]) -> None:
    _WRITE.many(
        tx.conn,
        [
            {
                "_org_id": run.org_id,
                "_run_id": run.id,
                "_n": row.n,
                "_outcome": result.outcome,
                "_detail": result.detail,
                "_target": result.target_id or row.target_id,
                "_action": result.action or row.action,
                "_at": tx.now if result.outcome == "applied" else None,
            }
            for row, result in zip(rows, results, strict=True)
        ],
    )
    if rows:
        set_state(tx, run.id, "applying", place=rows[-1].n)


# ------------------------------------------------------------------------------ people


def _remove_people(tx: Tx, run: RunRecord, rows: Sequence[Row[Any]]) -> list[_Result]:
    dropped = drop_users(tx, [DropUser(PersonId(row.target_id), deleted=False) for row in rows])
    return [
        _Result("failed", result.refusal.detail) if result.refusal else _Result("applied")
        for result in dropped
    ]


def _living(
    tx: Tx, run: RunRecord, table: Table, key: Column[Any], value: Column[Any], rows: Sequence[Row[Any]]
) -> dict[str, Any]:
    """A column of those whom the rows are about, by key, as far as the source has them now."""
    query = select(key, value).where(
        table.c.org_id == tx.org_id,
        table.c.source_id == run.source_id,
        table.c.state == "live",
        among(tx.conn, key, [row.target_id for row in rows]),
    )
    return {row[0]: row[1] for row in tx.conn.execute(query)}


def _moved_people(tx: Tx, run: RunRecord, rows: Sequence[Row[Any]]) -> dict[int, str]:
    """Of a plan that waited, the changes that no longer fit: the person changed since, or is gone."""
    if run.approved_at is None or not rows:
        return {}
    versions = _living(tx, run, assertions, assertions.c.person_id, assertions.c.version, rows)
    return {
        row.n: "gone already"
        if row.target_id not in versions
        else "the person changed since the plan was made"
        for row in rows
        if versions.get(row.target_id) != row.payload["version"]
    }


def _moved_known(tx: Tx, run: RunRecord, rows: Sequence[Row[Any]]) -> dict[int, str]:
    """The same among changes of which some are about newcomers."""
    return _moved_people(tx, run, [row for row in rows if _is_known(row)])


def _assert_people(tx: Tx, run: RunRecord, rows: Sequence[Row[Any]]) -> list[_Result]:
    recorded = record_users(tx, [_wish(run, row) for row in rows])
    return [_said(row, asserted) for row, asserted in zip(rows, recorded, strict=True)]


def _wish(run: RunRecord, row: Row[Any]) -> AssertUser:
    return AssertUser(
        document=orjson.loads(row.payload["document"]),
        external_id=row.external_id,
        person_id=PersonId(row.target_id) if _is_known(row) else None,
        digest=_digest(row.payload),
        entry_name=row.payload.get("entry"),
        run_id=run.id,
        place=row.payload.get("place", ""),
    )


def _is_known(row: Row[Any]) -> bool:
    return row.target_id is not None and row.situation == "linked-changed"


_BECAME = {"created": "create", "linked": "link", "returned": "update", "updated": "update"}


def _said(row: Row[Any], asserted: Asserted) -> _Result:
    if asserted.refusal is not None:
        waits = asserted.decision_id is not None or row.action == "wait"
        return _Result("waiting" if waits else "failed", asserted.refusal.detail)
    became = _BECAME.get(asserted.outcome) if row.situation != "linked-changed" else None
    return _Result("applied", None, asserted.person_id, became)


def _digest(payload: Mapping[str, Any]) -> bytes | None:
    text = payload.get("digest")
    return bytes.fromhex(text) if text else None


# ------------------------------------------------------------------------------ groups


def _remove_groups(tx: Tx, run: RunRecord, rows: Sequence[Row[Any]]) -> list[_Result]:
    drop_groups(tx, [GroupId(row.target_id) for row in rows])
    return [_Result("applied") for _ in rows]


def _moved_groups(tx: Tx, run: RunRecord, rows: Sequence[Row[Any]]) -> dict[int, str]:
    """The same for groups: who was to come and go says nothing where others are in it than were then."""
    known = [row for row in rows if row.target_id is not None]
    if run.approved_at is None or not known:
        return {}
    names = _living(tx, run, groups, groups.c.id, groups.c.display_name, known)
    moved: dict[int, str] = {}
    for row in known:
        if row.target_id not in names:
            moved[row.n] = "gone already"
            continue
        keys = member_keys(tx.conn, tx.org_id, run.source_id, GroupId(row.target_id))
        if group_mark(names[row.target_id], keys) != row.payload.get("mark"):
            moved[row.n] = "the group changed since the plan was made"
    return moved


def _assert_groups(tx: Tx, run: RunRecord, rows: Sequence[Row[Any]]) -> list[_Result]:
    """New groups with all their members; of known ones only the members that differ."""
    many = [
        AssertGroup(
            document=orjson.loads(row.payload["document"]),
            external_id=row.external_id,
            members=tuple(row.payload["add"]) if row.target_id is None else None,
            group_id=GroupId(row.target_id) if row.target_id else None,
            digest=_digest(row.payload),
            entry_name=row.payload.get("entry"),
            run_id=run.id,
        )
        for row in rows
    ]
    results = []
    for row, asserted in zip(rows, record_groups(tx, many), strict=True):
        if asserted.refusal is not None:
            waits = asserted.decision_id is not None
            results.append(_Result("waiting" if waits else "failed", asserted.refusal.detail))
            continue
        if row.target_id is not None and (row.payload["add"] or row.payload["remove"]):
            change_members(tx, GroupId(row.target_id), row.payload["add"], row.payload["remove"])
        results.append(_Result("applied", None, asserted.group_id))
    return results


_Moved: TypeAlias = Callable[[Tx, RunRecord, Sequence[Row[Any]]], dict[int, str]]
_Apply: TypeAlias = Callable[[Tx, RunRecord, Sequence[Row[Any]]], list[_Result]]
#: By sort: which of the changes no longer fit, with why, and what applies the others.
_APPLY: Mapping[int, tuple[_Moved, _Apply]] = {
    _PERSON_REMOVALS: (_moved_people, _remove_people),
    _GROUPS_GONE: (_moved_groups, _remove_groups),
    _GROUPS: (_moved_groups, _assert_groups),
    _PEOPLE: (_moved_known, _assert_people),
}


# ------------------------------------------------------------------------------ plans that wait


def let_go(tx: Tx, run_id: RunId, lease: Lease) -> RunRecord:
    """Start a plan that waits. Unless an admin has approved it already, ``tx.ctx.actor`` does so here.

    Raises NotAllowedNow for a run that waits for nothing, or whose source is paused, and StateMoved when it
    is too old, or when mapping, rules or config moved since, or the source left the config file; the plan is
    then *expired* or *refused*.
    """
    leases.hold(tx, lease)
    run = find(tx.conn, tx.org_id, run_id)
    if not run.waits:
        raise NotAllowedNow(f"The run {run_id} is {run.state}; there is nothing to apply.")
    why = _moved(tx, run)
    if why is not None:
        raise StateMoved(why)
    must_not_be_paused(find_source(tx.conn, run.org_id, run.source_id))
    column = run_changes.c
    tx.conn.execute(
        update(run_changes)
        .where(column.org_id == tx.org_id, column.run_id == run_id, column.outcome == "staged")
        .values(outcome="planned", detail=None)
    )
    if run.approved_at is None:
        approvals.write(tx, run)
    set_state(tx, run_id, "applying", place=0)
    return find(tx.conn, tx.org_id, run_id)


def let_stand(tx: Tx, run_id: RunId, lease: Lease) -> RunRecord | None:
    """Whether a run that was cut off may go on: None, or the run as it was ended here.

    What it rests on may have moved while nobody worked on it; then the rest of it is skipped. Nor does it
    remove anybody any more, unless an admin approved that: they may be back, and whoever asks reads next.
    """
    leases.hold(tx, lease)
    run = find(tx.conn, tx.org_id, run_id)
    why = _moved(tx, run) or _overtaken(tx, run)
    if why is None:
        if run.approved_at is None:
            _leave(tx, run, run_changes.c.removal, "The run was cut off; the next one sees who is gone.")
        return None
    said = f"The run was cut off. {why}. What was left of it was not applied."
    _leave(tx, run, true(), said)
    set_state(tx, run_id, "applying", error=said, error_kind="moved")
    return finish(tx, run_id, "partial")


def _leave(tx: Tx, run: RunRecord, which: ColumnElement[bool], said: str) -> None:
    """Skip these of the changes that wait to be applied."""
    column = run_changes.c
    tx.conn.execute(
        update(run_changes)
        .where(column.org_id == tx.org_id, column.run_id == run.id, column.outcome == "planned", which)
        .values(outcome="skipped", detail=said)
    )


def _overtaken(tx: Tx, run: RunRecord) -> str | None:
    """A plan that was made later may have been applied meanwhile."""
    column = runs.c
    newer = select(column.id).where(
        column.org_id == tx.org_id,
        column.source_id == run.source_id,
        column.id > run.id,
        column.state.in_(("done", "partial", "held")),
    )
    return "A later plan was applied meanwhile" if tx.conn.execute(newer.limit(1)).first() else None


def _moved(tx: Tx, run: RunRecord) -> str | None:
    if run.is_too_old(tx.now):
        return f"The plan {run.id} is older than 24 hours"
    source = find_source(tx.conn, run.org_id, run.source_id)
    if source.left_the_file:
        return that_it_left(source)
    if source.config_version != run.config_version:
        return "The source's mapping, scope or joins changed since the plan was made"
    rules = rules_version(tx.conn, run.org_id, run.source_id)
    return "The source's rules changed since the plan was made" if rules != run.rules_version else None
