"""Runs: what a sync read, planned, held and did; one row each. Their changes: ``org.runs.run_changes``.

reading → failed                    the directory could not be read whole, or the process died
        → planned → applying …      a dry plan, until somebody applies it (or it expires)
        → applying → done           every change is applied
                   → partial        … but for some, each with its reason
                   → held           a limit tripped: the removals wait for an admin
        → held                      the same, where nothing else may go on
held    → applying                  approved
        → expired                   a newer run took its place
        → refused                   too old; config or rules moved under it; or an admin said no
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from scimd.core.errors import NotFound
from scimd.core.people import OrgId, RunId, SourceId
from scimd.core.sync.plan import Plan
from scimd.db.tables import run_changes, runs, sources
from scimd.org.ids import head_after, uuid7_of
from scimd.org.runs import run_figures
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Door, Tx
from scimd.org.windows import Slice, Window, cut, narrowed

Trigger = Literal["schedule", "manual", "cli"]
State = Literal["reading", "planned", "held", "applying", "done", "partial", "failed", "refused", "expired"]
#: Of a plan that nobody has applied yet.
_WAITS: tuple[State, ...] = ("planned", "held")
#: Of a plan that counts no longer: nothing of it is applied any more.
OVER: tuple[State, ...] = ("refused", "expired")
#: A plan that nobody applied or approved within this time is refused.
PLAN_LASTS = timedelta(hours=24)
#: So long a run is kept with its changes; each source's newest, and its newest whole read, however old.
KEPT = timedelta(days=90)
_CHANGES_AT_ONCE = 5_000
_DONE = ("create", "update", "link", "deactivate", "drop", "delete", "rename", "members")
_SAID = {
    "create": "created",
    "update": "updated",
    "link": "linked",
    "deactivate": "deactivated",
    "drop": "dropped",
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
    def waits(self) -> bool:
        """A plan that nobody has applied yet."""
        return self.state in _WAITS

    def is_too_old(self, now: datetime) -> bool:
        """A plan that was made too long ago to be applied or approved."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def changes(self) -> int:
        """How many changes were applied, or in a plan would be; what failed or waits is none."""
        return sum(
            number
            for name, number in self.counts.items()
            if name.removeprefix("groups_") in _SAID.values() or name == "held"
        )


# ------------------------------------------------------------------------------ reads


def _query() -> Select[Any]:
    return select(runs, sources.c.name.label("source_name")).join(
        sources, (sources.c.org_id == runs.c.org_id) & (sources.c.id == runs.c.source_id)
    )


def _listed(org_id: OrgId, source_id: str | None, state: State | None) -> Select[Any]:
    query = _query().where(runs.c.org_id == org_id)
    return narrowed(query, (runs.c.source_id, source_id), (runs.c.state, state))


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
    query = _listed(org_id, source_id, state).order_by(runs.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(runs.c.id < after)
    return await door.read(lambda conn: [record_of(row) for row in conn.execute(query)])


async def to_approve(door: Door, org_id: OrgId) -> list[RunRecord]:
    """The plans that are held and can be approved, the newest first: one of a source, since each takes the
    place of the one before it. None of a source that left the config file."""
    column = runs.c
    waits = (column.org_id == org_id) & (column.state == "held") & column.approved_at.is_(None)
    still = column.expires_at.is_(None) | (column.expires_at > door.clock())
    query = _query().where(waits, still, sources.c.declared_in == "file").order_by(column.id.desc())
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
    query = _listed(org_id, source_id, state)
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


# ------------------------------------------------------------------------------ a run's life


def begin(
    tx: Tx, source_id: SourceId, trigger: Trigger, started_by: str, config_version: int, *, full: bool
) -> RunId:
    """Open a run. Whoever calls this holds the source's lease, so a run still *reading* was cut off.

    Of two runs of a source the one with the greater id was begun later, also where the clock was put back.
    """
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
    others = select(runs.c.id).where(runs.c.org_id == tx.org_id, runs.c.source_id == source_id)
    last: str | None = tx.conn.execute(others.order_by(runs.c.id.desc()).limit(1)).scalar()
    if last is not None and last >= run_id:
        run_id = RunId(uuid7_of(head_after(last), tx.chance.bytes(10)))
    tx.conn.execute(
        runs.insert().values(
            org_id=tx.org_id,
            id=run_id,
            source_id=source_id,
            trigger=trigger,
            state="reading",
            started_by=started_by,
            started_at=tx.now,
            full=full,
            counts={},
            trips=[],
            seats={},
            config_version=config_version,
            rules_version=0,
        )
    )
    return run_id


def planned(tx: Tx, run_id: RunId, plan: Plan, state: State, rules_version: int) -> None:
    """Close the plan: from now on it can be shown, applied, or held."""
    unchanged = _unchanged(plan)
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


def unsaved(
    source: SourceRecord, plan: Plan, state: State, now: datetime, by: str, rules_version: int, *, full: bool
) -> RunRecord:
    """A plan that is only shown, as if it were stored; it has no id."""
    counted = Counter((each.kind, str(each.action), str(each.outcome)) for each in plan.changes)
    return RunRecord(
        org_id=source.org_id,
        id=RunId(""),
        source_id=source.id,
        source_name=source.name,
        trigger="cli",
        state=state,
        started_by=by,
        started_at=now,
        planned_at=now,
        finished_at=None,
        expires_at=None,
        full=full,
        complete=True,
        counts=_summed(((*key, n) for key, n in counted.items()), _unchanged(plan)),
        situations=plan.counts["situations"],
        trips=tuple(trip.why for trip in plan.trips),
        seats=plan.seats,
        mails=plan.mails,
        fingerprint=plan.fingerprint,
        config_version=source.config_version,
        rules_version=rules_version,
        place=0,
        error=None,
        error_kind=None,
        approved_by=None,
        approved_at=None,
    )


def _unchanged(plan: Plan) -> int:
    return plan.counts["situations"].get("user.linked-unchanged", 0)


def finish(tx: Tx, run_id: RunId, state: State | Callable[[Mapping[str, int]], State]) -> RunRecord:
    """Write the end of a run with its counts; ``state`` may follow from their summary.

    Seats and mails are counted anew: until now they were what the plan foresaw.
    """
    kept = tx.conn.execute(_of(tx.org_id, run_id, runs.c.counts, runs.c.seats)).one()
    counts = dict(kept.counts)
    counts["summary"] = summary(tx.conn, tx.org_id, run_id, counts.get("unchanged", 0))
    ended = state(counts["summary"]) if callable(state) else state
    counts["mails"] = run_figures.mails(tx.conn, tx.org_id, run_id)
    seats = run_figures.seats(tx.conn, tx.org_id, run_id, kept.seats, held=ended == "held")
    _set(tx, run_id, {"state": ended, "finished_at": tx.now, "counts": counts, "seats": seats})
    return find(tx.conn, tx.org_id, run_id)


def fail(tx: Tx, run_id: RunId, kind: str, why: str) -> RunRecord:
    """Nothing was changed: the read failed, and here is the sentence."""
    _set(tx, run_id, {"state": "failed", "finished_at": tx.now, "error": why, "error_kind": kind})
    return find(tx.conn, tx.org_id, run_id)


def set_state(tx: Tx, run_id: RunId, state: State, **more: Any) -> None:
    _set(tx, run_id, {"state": state, **more})


def end_waiting(tx: Tx, source_id: SourceId, state: State, why: str, *, before: RunId | None = None) -> None:
    """Plans of the source wait no more; ``before``: those that are older than this run."""
    column = runs.c
    waits = (column.org_id == tx.org_id) & (column.source_id == source_id) & column.state.in_(_WAITS)
    if before is not None:
        waits &= column.id < before
    tx.conn.execute(update(runs).where(waits).values(state=state, finished_at=tx.now, error=why))


# ------------------------------------------------------------------------------ and its end


async def forget(door: Door) -> int:
    """Delete runs older than 90 days with their changes; gives how many. A job.

    Kept are each source's newest run, its newest that read the directory whole (by which
    ``org.decisions.moot`` tells who is there), and what is still read, held or applied. In portions, so that
    nobody waits for long: a run goes when its changes are gone.
    """
    before = door.clock() - KEPT
    old = await door.read(lambda conn: conn.execute(_over(before)).all())
    for row in old:
        while not await door.db.write(partial(_forget_part, org_id=OrgId(row.org_id), run_id=RunId(row.id))):
            pass
    return len(old)


def _over(before: datetime) -> Select[Any]:
    newest = select(func.max(runs.c.id)).group_by(runs.c.org_id, runs.c.source_id)
    return (
        select(runs.c.org_id, runs.c.id)
        .where(
            runs.c.started_at < before,
            runs.c.state.not_in(("reading", "held", "applying")),
            runs.c.id.not_in(newest),
            runs.c.id.not_in(newest.where(runs.c.complete)),
        )
        .order_by(runs.c.id)
    )


def _forget_part(conn: Connection, *, org_id: OrgId, run_id: RunId) -> bool:
    """Delete the first changes of the run, or the run that has none left; True for the latter."""
    column = run_changes.c
    mine = (column.org_id == org_id) & (column.run_id == run_id)
    first = conn.execute(select(func.min(column.n)).where(mine)).scalar()
    if first is None:
        conn.execute(delete(runs).where(runs.c.org_id == org_id, runs.c.id == run_id))
        return True
    conn.execute(delete(run_changes).where(mine, column.n < first + _CHANGES_AT_ONCE))
    return False


# ------------------------------------------------------------------------------ what all of them need


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
    return _summed((tuple(row) for row in rows), unchanged)


def _summed(rows: Iterable[tuple[str, str, str, int]], unchanged: int) -> dict[str, int]:
    found = {"created": 0, "updated": 0, "deactivated": 0, "held": 0, "failed": 0, "skipped": 0}
    found["unchanged"] = unchanged
    for kind, action, outcome, number in rows:
        done = outcome in ("applied", "planned") and action in _DONE
        name = _SAID[action] if done else "waiting" if action == "wait" else _LEFT[outcome]
        name = f"groups_{name}" if kind == "group" and done else name
        found[name] = found.get(name, 0) + number
    return found
