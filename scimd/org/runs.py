"""Runs: what a sync read, planned, held and did; one row per run, one per change.

reading → failed                    the directory could not be read whole, or the process died
        → planned → applying …      a dry plan, until somebody applies it (or it expires)
        → applying → done           every change is applied
                   → partial        … but for some, each with its reason
                   → held           a limit tripped: the removals wait for an admin
        → held                      the same, where nothing else may go on
held    → applying                  approved
        → expired | refused         too old; or config or rules moved under it
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, Select, func, select, update

from scimd.core.errors import NotFound
from scimd.core.people import OrgId, PersonId, RunId, SourceId
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.core.sync import diff
from scimd.core.sync.plan import Change, Plan, Seats
from scimd.db.among import among
from scimd.db.prepared import Prepared
from scimd.db.tables import people, rules, run_changes, runs, seat_pools, sources
from scimd.org.tx import Door, Tx
from scimd.org.windows import Slice, Window, cut

Trigger = Literal["schedule", "manual", "cli"]
State = Literal["reading", "planned", "held", "applying", "done", "partial", "failed", "refused", "expired"]
#: A plan that nobody applied or approved within this time is refused.
PLAN_LASTS = timedelta(hours=24)
_WINDOW = timedelta(hours=24)
_DONE = ("create", "update", "link", "deactivate", "delete", "rename", "members")
_SAID = {
    "create": "created",
    "update": "updated",
    "link": "linked",
    "deactivate": "deactivated",
    "delete": "deleted",
    "rename": "renamed",
    "members": "members_changed",
}
_LEFT = {
    "staged": "held",
    "waiting": "waiting",
    "failed": "failed",
    "skipped": "skipped",
    "planned": "planned",
}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """``counts`` is the report's summary: what happened, or in a plan what would, by name.

    Groups have a prefix (``groups_renamed``). ``situations`` says what the read found.
    """

    org_id: OrgId
    id: RunId
    source_id: SourceId
    source_name: str
    trigger: Trigger
    state: State
    started_by: str
    started_at: datetime
    planned_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    full: bool
    complete: bool
    counts: Mapping[str, int]
    situations: Mapping[str, int]
    trips: tuple[str, ...]
    seats: Mapping[str, int | None]
    mails: int
    fingerprint: str | None
    config_version: int
    rules_version: int
    place: int
    error: str | None
    error_kind: str | None
    approved_by: str | None
    approved_at: datetime | None

    @property
    def changes(self) -> int:
        """How many changes were applied, or in a plan would be; what failed or waits is none."""
        return sum(
            number
            for name, number in self.counts.items()
            if name.removeprefix("groups_") in _SAID.values() or name == "held"
        )


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """One line of a report. ``old`` and ``new`` hold the values that differ, by SCIM path."""

    n: int
    kind: Literal["user", "group"]
    situation: str
    action: str
    removal: bool
    external_id: str | None
    name: str
    target_id: str | None
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    reason: str
    outcome: str
    detail: str | None
    applied_at: datetime | None


# ------------------------------------------------------------------------------ reads


def _query() -> Select[Any]:
    return select(runs, sources.c.name.label("source_name")).join(
        sources, (sources.c.org_id == runs.c.org_id) & (sources.c.id == runs.c.source_id)
    )


def record_of(row: Row[Any]) -> RunRecord:
    counts = row.counts
    return RunRecord(
        org_id=OrgId(row.org_id),
        id=RunId(row.id),
        source_id=SourceId(row.source_id),
        source_name=row.source_name,
        trigger=row.trigger,
        state=row.state,
        started_by=row.started_by,
        started_at=row.started_at,
        planned_at=row.planned_at,
        finished_at=row.finished_at,
        expires_at=row.expires_at,
        full=row.full,
        complete=row.complete,
        counts=counts.get("summary", {}),
        situations=counts.get("situations", {}),
        trips=tuple(row.trips),
        seats=row.seats,
        mails=counts.get("mails", 0),
        fingerprint=row.fingerprint,
        config_version=row.config_version,
        rules_version=row.rules_version,
        place=row.place,
        error=row.error,
        error_kind=row.error_kind,
        approved_by=row.approved_by,
        approved_at=row.approved_at,
    )


async def list_runs(
    door: Door,
    org_id: OrgId,
    source_id: SourceId | None = None,
    *,
    limit: int = 50,
    after: str | None = None,
    state: State | None = None,
) -> list[RunRecord]:
    """The newest runs first; ``after`` is the id of the last one seen."""
    query = _query().where(runs.c.org_id == org_id).order_by(runs.c.id.desc()).limit(limit)
    if source_id is not None:
        query = query.where(runs.c.source_id == source_id)
    if after is not None:
        query = query.where(runs.c.id < after)
    if state is not None:
        query = query.where(runs.c.state == state)
    return await door.read(lambda conn: [record_of(row) for row in conn.execute(query)])


async def window(
    door: Door,
    org_id: OrgId,
    part: Window,
    *,
    source_id: str | None = None,
    state: State | None = None,
) -> Slice[RunRecord]:
    """Runs by the time at which they began (``started``)."""
    query = _query().where(runs.c.org_id == org_id)
    if source_id is not None:
        query = query.where(runs.c.source_id == source_id)
    if state is not None:
        query = query.where(runs.c.state == state)
    return await door.read(lambda conn: cut(conn, query, part, {}, runs.c.id).map(record_of))


async def get_run(door: Door, org_id: OrgId, run_id: str) -> RunRecord:
    """Raises NotFound."""
    return await door.read(lambda conn: find(conn, org_id, run_id))


def find(conn: Connection, org_id: OrgId, run_id: str) -> RunRecord:
    row = conn.execute(_query().where(runs.c.org_id == org_id, runs.c.id == run_id)).first()
    if row is None:
        raise NotFound("run", run_id)
    return record_of(row)


def unfinished(conn: Connection, org_id: OrgId, source_id: SourceId) -> RunRecord | None:
    """The run that was being applied when its process died."""
    query = _query().where(runs.c.org_id == org_id, runs.c.source_id == source_id, runs.c.state == "applying")
    row = conn.execute(query.order_by(runs.c.id).limit(1)).first()
    return record_of(row) if row else None


async def changes(
    door: Door,
    org_id: OrgId,
    run_id: str,
    *,
    after: int = 0,
    limit: int = 200,
    outcome: str | None = None,
    action: str | None = None,
) -> list[ChangeRecord]:
    """A page of a run's changes in the plan's order; ``after`` is the last ``n`` seen."""
    column = run_changes.c
    query = (
        select(run_changes)
        .where(column.org_id == org_id, column.run_id == run_id, column.n > after)
        .order_by(column.n)
        .limit(limit)
    )
    if outcome is not None:
        query = query.where(column.outcome == outcome)
    if action is not None:
        query = query.where(column.action == action)
    return await door.read(lambda conn: [_change(row) for row in conn.execute(query)])


async def changes_window(
    door: Door,
    org_id: OrgId,
    run_id: RunId,
    part: Window,
    *,
    outcome: str | None = None,
    action: str | None = None,
) -> Slice[ChangeRecord]:
    """A run's changes in the plan's order."""
    column = run_changes.c
    query = select(run_changes).where(column.org_id == org_id, column.run_id == run_id)
    if outcome is not None:
        query = query.where(column.outcome == outcome)
    if action is not None:
        query = query.where(column.action == action)
    return await door.read(lambda conn: cut(conn, query, part, {}, column.n).map(_change))


async def every_change(door: Door, org_id: OrgId, run_id: str) -> AsyncIterator[ChangeRecord]:
    """All changes of a run, page by page; memory does not grow with the run."""
    after = 0
    while page := await changes(door, org_id, run_id, after=after, limit=500):
        for change in page:
            yield change
        after = page[-1].n


def _change(row: Row[Any]) -> ChangeRecord:
    old, new = row.old, row.new
    payload = row.payload or {}
    if new is None and row.action in ("create", "link", "wait") and "document" in payload:
        # A newcomer's values are kept once, in what applying needs.
        new = diff.flat(orjson.loads(payload["document"]))
    if payload.get("add"):
        new = {**(new or {}), "members": payload["add"]}
    if payload.get("remove"):
        old = {**(old or {}), "members": payload["remove"]}
    return ChangeRecord(
        row.n, row.kind, row.situation, row.action, row.removal, row.external_id, row.name, row.target_id,
        old, new, row.reason, row.outcome, row.detail, row.applied_at,
    )  # fmt: skip


# ------------------------------------------------------------------------------ what a plan rests on


@dataclass(frozen=True, slots=True)
class Ground:
    """What of the organization a plan looks at, beside the people of its source."""

    seats: Seats
    rules_version: int
    removed_before: int
    #: Account Admins who can sign in now.
    admins: frozenset[PersonId]


def ground(conn: Connection, org_id: OrgId, source_id: SourceId, now: datetime) -> Ground:
    pool = conn.execute(select(seat_pools).where(seat_pools.c.org_id == org_id)).first()
    admins = conn.execute(
        select(people.c.id, people.c.roles).where(
            people.c.org_id == org_id, people.c.status == "active", people.c.primary_role != "user"
        )
    )
    return Ground(
        seats=Seats(pool.seat_limit, pool.used) if pool else Seats(None, 0),
        rules_version=rules_version(conn, org_id, source_id),
        removed_before=_removed_since(conn, org_id, source_id, now - _WINDOW),
        admins=frozenset(PersonId(row.id) for row in admins if ACCOUNT_ADMIN in row.roles),
    )


def rules_version(conn: Connection, org_id: OrgId, source_id: SourceId) -> int:
    """The generation at which the source's rules last changed: the organization's own counts tokens too."""
    row = conn.execute(
        select(func.max(rules.c.since_generation), func.max(rules.c.until_generation)).where(
            rules.c.org_id == org_id, rules.c.source_id == source_id
        )
    ).one()
    return max((number for number in row if number is not None), default=0)


def _removed_since(conn: Connection, org_id: OrgId, source_id: SourceId, since: datetime) -> int:
    """People whom runs removed since, leaving out what an admin approved."""
    return conn.execute(
        select(func.count(func.distinct(run_changes.c.target_id)))
        .select_from(run_changes)
        .join(runs, (runs.c.org_id == run_changes.c.org_id) & (runs.c.id == run_changes.c.run_id))
        .where(
            runs.c.org_id == org_id,
            runs.c.source_id == source_id,
            runs.c.started_at >= since - PLAN_LASTS,
            runs.c.approved_at.is_(None),
            run_changes.c.removal,
            run_changes.c.kind == "user",
            run_changes.c.outcome == "applied",
            run_changes.c.applied_at >= since,
        )
    ).scalar_one()


def seat_holders(conn: Connection, org_id: OrgId, person_ids: Sequence[PersonId]) -> set[PersonId]:
    """Which of these people hold a seat."""
    query = select(people.c.id).where(
        people.c.org_id == org_id, people.c.has_seat, among(conn, people.c.id, person_ids)
    )
    return {PersonId(person_id) for person_id in conn.execute(query).scalars()}


# ------------------------------------------------------------------------------ a run's life


def begin(tx: Tx, source_id: SourceId, trigger: Trigger, started_by: str, config_version: int) -> RunId:
    """Open a run. Whoever calls this holds the source's lease, so a run still *reading* was cut off."""
    tx.conn.execute(
        update(runs)
        .where(runs.c.org_id == tx.org_id, runs.c.source_id == source_id, runs.c.state == "reading")
        .values(
            state="failed",
            finished_at=tx.now,
            error="The process that ran it ended in the middle.",
            error_kind="interrupted",
        )
    )
    run_id = RunId(tx.new_id())
    tx.conn.execute(
        runs.insert().values(
            org_id=tx.org_id,
            id=run_id,
            source_id=source_id,
            trigger=trigger,
            state="reading",
            started_by=started_by,
            started_at=tx.now,
            counts={},
            trips=[],
            seats={},
            config_version=config_version,
            rules_version=0,
        )
    )
    return run_id


_ADD = Prepared(run_changes.insert())


def add_changes(tx: Tx, run_id: RunId, first: int, part: Iterable[Change]) -> None:
    """Write changes ``first``, ``first + 1``, … of a plan that is being saved."""
    rows = [
        {
            "org_id": tx.org_id,
            "run_id": run_id,
            "n": n,
            "kind": change.kind,
            "situation": change.situation.value,
            "action": change.action.value,
            "removal": change.removal,
            "external_id": change.external_id,
            "name": change.name,
            "target_id": change.target_id,
            "old": dict(change.old) if change.old is not None else None,
            "new": dict(change.new) if change.new is not None else None,
            "payload": dict(change.payload),
            "reason": change.reason,
            "outcome": change.outcome,
            "detail": change.detail,
        }
        for n, change in enumerate(part, start=first)
    ]
    _ADD.many(tx.conn, rows)


def planned(tx: Tx, run_id: RunId, plan: Plan, state: State, rules_version: int) -> None:
    """Close the plan: from now on it can be shown, applied, or held."""
    unchanged = sum(n for name, n in plan.counts["situations"].items() if name == "user.linked-unchanged")
    kept = {"situations": dict(plan.counts["situations"]), "mails": plan.mails, "unchanged": unchanged}
    values: dict[str, Any] = {
        "state": state,
        "complete": True,
        "planned_at": tx.now,
        "expires_at": tx.now + PLAN_LASTS,
        "counts": kept | {"summary": summary(tx.conn, tx.org_id, run_id, unchanged)},
        "trips": [trip.why for trip in plan.trips],
        "seats": dict(plan.seats),
        "fingerprint": plan.fingerprint,
        "rules_version": rules_version,
    }
    _set(tx, run_id, values)


def finish(tx: Tx, run_id: RunId, state: State) -> RunRecord:
    """Write the end of a run with its counts."""
    counts = dict(tx.conn.execute(_of(tx.org_id, run_id, runs.c.counts)).scalar_one())
    counts["summary"] = summary(tx.conn, tx.org_id, run_id, counts.get("unchanged", 0))
    _set(tx, run_id, {"state": state, "finished_at": tx.now, "counts": counts})
    return find(tx.conn, tx.org_id, run_id)


def fail(tx: Tx, run_id: RunId, kind: str, why: str) -> RunRecord:
    """Nothing was changed: the read failed, and here is the sentence."""
    _set(tx, run_id, {"state": "failed", "finished_at": tx.now, "error": why, "error_kind": kind})
    return find(tx.conn, tx.org_id, run_id)


def set_state(tx: Tx, run_id: RunId, state: State, **more: Any) -> None:
    _set(tx, run_id, {"state": state, **more})


def _set(tx: Tx, run_id: RunId, values: Mapping[str, Any]) -> None:
    tx.conn.execute(update(runs).where(runs.c.org_id == tx.org_id, runs.c.id == run_id).values(**values))


def _of(org_id: OrgId, run_id: RunId, *columns: Any) -> Select[Any]:
    return select(*columns).where(runs.c.org_id == org_id, runs.c.id == run_id)


def summary(conn: Connection, org_id: OrgId, run_id: RunId, unchanged: int) -> dict[str, int]:
    """What happened, counted: by action where it was applied (or is planned), else by outcome."""
    column = run_changes.c
    rows = conn.execute(
        select(column.kind, column.action, column.outcome, func.count().label("number"))
        .where(column.org_id == org_id, column.run_id == run_id)
        .group_by(column.kind, column.action, column.outcome)
    ).all()
    found = {"created": 0, "updated": 0, "deactivated": 0, "held": 0, "failed": 0, "skipped": 0}
    found["unchanged"] = unchanged
    for row in rows:
        done = row.outcome in ("applied", "planned") and row.action in _DONE
        name = _SAID[row.action] if done else "waiting" if row.action == "wait" else _LEFT[row.outcome]
        name = f"groups_{name}" if row.kind == "group" and done else name
        found[name] = found.get(name, 0) + row.number
    return found
