"""What a run leaves on its source: when the next one is due, failures, quarantine, digests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.sql import ColumnElement

from scimd.core.events import Event, EventKind
from scimd.core.notifications import QUARANTINE_AT_MOST
from scimd.core.people import OrgId, PersonId, RunId, SourceId
from scimd.db.locks import lock_rows
from scimd.db.tables import assertions, sources
from scimd.org import permissions, timekeeping
from scimd.org.runs import runs
from scimd.org.runs.runs import RunRecord
from scimd.org.sources.source_states import change_state, end_quarantine, unpaused
from scimd.org.sources.sources import SourceRecord, find
from scimd.org.tx import Actor, Context, Door, Tx


@dataclass(frozen=True, slots=True)
class After:
    """How the source stands after a run."""

    failures: int
    next_run_at: datetime | None
    quarantined_since: datetime | None
    quarantine_cause: str | None


def run_failed(tx: Tx, source: SourceRecord, run_id: RunId, kind: str, why: str, after: After) -> RunRecord:
    """Close a run that could not read its directory. The first failure in a row is an event."""
    record = runs.fail(tx, run_id, kind, why)
    if source.failures == 0:
        values = {"source": source.name, "kind": kind}
        tx.record(Event(EventKind.RUN_FAILED, "run", run_id, after=values, note=why))
    _write(tx, source, after)
    return record


def run_closed(tx: Tx, source: SourceRecord, run: RunRecord, after: After) -> None:
    """What a run that read its directory whole leaves. One that changed nothing leaves no event."""
    if run.state == "held":
        values: dict[str, Any] = {"source": source.name, "held": run.counts.get("held", 0)}
        tx.record(Event(EventKind.RUN_HELD, "run", run.id, after=values, note="; ".join(run.trips)))
    elif run.changes:
        tx.record(Event(EventKind.RUN_FINISHED, "run", run.id, after={"source": source.name, **run.counts}))
    now = {"last_success_at": tx.now} | ({"last_full_at": tx.now} if run.full else {})
    _write(tx, source, after, **now)
    # What the newest run saw is what counts.
    runs.end_waiting(tx, run.source_id, "expired", f"The newer run {run.id} took its place.", before=run.id)


def _write(tx: Tx, source: SourceRecord, after: After, **more: Any) -> None:
    was, now = source.quarantined_since, after.quarantined_since
    if now is not None and was is None:
        tx.record(_event(EventKind.SOURCE_QUARANTINED, source, after.quarantine_cause or ""))
    if now is not None and was is not None and after.quarantine_cause != source.quarantine_cause:
        tx.record(_event(EventKind.SOURCE_QUARANTINE_CAUSE, source, after.quarantine_cause or ""))
    if now is None and was is not None:
        tx.record(_event(EventKind.SOURCE_RECOVERED, source, source.quarantine_cause or ""))
    tx.conn.execute(
        update(sources)
        .where(sources.c.org_id == source.org_id, sources.c.id == source.id)
        .values(
            failures=after.failures,
            next_run_at=after.next_run_at,
            quarantined_since=after.quarantined_since,
            quarantine_cause=after.quarantine_cause,
            **more,
        )
    )


def _event(kind: EventKind, source: SourceRecord, note: str) -> Event:
    return Event(kind, "source", source.id, after={"source": source.name}, note=note)


def refresh_digests(tx: Tx, source_id: SourceId, seen: Sequence[tuple[PersonId, bytes]]) -> None:
    """Remember entries that differ in what no mapping reads: the next run need not map them.

    Writes no version and no event; nothing of the person changed.
    """
    column = assertions.c
    statement = (
        update(assertions)
        .where(
            column.org_id == tx.org_id,
            column.source_id == source_id,
            column.person_id == bindparam("_person"),
            column.state == "live",
        )
        .values(digest=bindparam("_digest"))
    )
    if seen:
        tx.conn.execute(statement, [{"_person": person_id, "_digest": digest} for person_id, digest in seen])


# ------------------------------------------------------------------------------ out of quarantine


async def recover(door: Door, ctx: Context, source_id: SourceId) -> SourceRecord:
    """End a source's quarantine by hand, or since it answers again: it is read in the next turn.

    One that quarantine paused is what it was before. A source without trouble stays as it is.
    Raises NotFound, and Forbidden, also where it was in shadow and the caller lacks what it can give.
    """
    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> SourceRecord:
        source = find(tx.conn, tx.org_id, source_id)
        if source.quarantined_since is not None:
            _recover(tx, source)
        return find(tx.conn, tx.org_id, source_id)

    return await door.run(ctx, body)


def _recover(tx: Tx, source: SourceRecord) -> None:
    mine = (sources.c.org_id == tx.org_id) & (sources.c.id == source.id)
    if tx.conn.execute(select(sources.c.paused_by_quarantine).where(mine)).scalar_one():
        change_state(tx, source, unpaused(source))  # ends it, too
    else:
        end_quarantine(tx, source)


async def pause_long_quarantined(door: Door, troubles: timekeeping.Troubles | None = None) -> int:
    """Pause the sources that are in quarantine for 28 days; gives how many."""
    since = door.clock() - QUARANTINE_AT_MOST
    long = (sources.c.quarantined_since <= since) & (sources.c.state != "paused")
    query = select(sources.c.org_id).where(long, sources.c.ended_at.is_(None)).distinct()

    async def pause(door: Door, org_id: OrgId) -> int:
        ctx = Context(org_id, Actor("job", "quarantine", "quarantine"), "job", "quarantine")
        mine = select(sources.c.id).where(sources.c.org_id == org_id, long, sources.c.ended_at.is_(None))
        found = await door.read(lambda conn: [SourceId(each) for each in conn.execute(mine).scalars()])
        for source_id in found:
            await door.run(ctx, partial(_pause, source_id, since))
        return len(found)

    return await timekeeping.each(
        door, troubles, lambda conn: [OrgId(each) for each in conn.execute(query).scalars()], pause
    )


def _pause(source_id: SourceId, since: datetime, tx: Tx) -> None:
    mine = (sources.c.org_id == tx.org_id) & (sources.c.id == source_id)
    lock_rows(tx.conn, select(sources.c.id).where(mine))
    source = find(tx.conn, tx.org_id, source_id)
    # Somebody may have mended it since it was found.
    if source.quarantined_since is None or source.quarantined_since > since or source.state == "paused":
        return
    change_state(tx, source, "paused")
    tx.conn.execute(update(sources).where(mine).values(paused_by_quarantine=True))


# ------------------------------------------------------------------------------ what is due


@dataclass(frozen=True, slots=True)
class _Planned:
    """A connector source that is read on a schedule, and when next."""

    org_id: OrgId
    id: SourceId
    schedule: str
    next_run_at: datetime | None
    last_success_at: datetime | None
    troubled: bool


def _planned(conn: Connection, which: ColumnElement[bool]) -> list[_Planned]:
    """The longest waiting first."""
    column = sources.c
    rows = conn.execute(
        select(
            column.org_id,
            column.id,
            column.config,
            column.next_run_at,
            column.last_success_at,
            column.failures,
            column.quarantined_since,
        )
        .where(
            column.kind == "connector",
            column.declared_in == "file",
            column.ended_at.is_(None),
            column.state != "paused",
            which,
        )
        .order_by(column.next_run_at, column.id)
    )
    return [
        _Planned(
            OrgId(row.org_id),
            SourceId(row.id),
            row.config["schedule"],
            row.next_run_at,
            row.last_success_at,
            bool(row.failures or row.quarantined_since),
        )
        for row in rows
        if row.config.get("schedule")
    ]


async def due_sources(
    door: Door, following: Callable[[str, datetime], datetime]
) -> list[tuple[OrgId, SourceId]]:
    """The sources whose next run is due, or that never had one, the longest waiting first.

    One whose schedule is another than before gets its next run by that.
    """
    now, column = door.clock(), sources.c
    waiting = column.next_run_at.is_(None) | (column.next_run_at <= now)
    found = []
    for each in await door.read(lambda conn: _planned(conn, waiting)):
        if each.next_run_at is None and each.last_success_at is not None:
            await _plan(door, each, following(each.schedule, now))
        else:
            found.append((each.org_id, each.id))
    return found


class Latest(Protocol):
    """The latest time for which a run of such a schedule is ever planned."""

    def __call__(self, schedule: str, now: datetime, *, troubled: bool) -> datetime: ...


async def bring_forward(door: Door, latest: Latest) -> None:
    """Have sources read now whose next run was planned while the clock was ahead. A job."""
    now = door.clock()
    for each in await door.read(lambda conn: _planned(conn, sources.c.next_run_at > now)):
        if each.next_run_at and each.next_run_at > latest(each.schedule, now, troubled=each.troubled):
            await _plan(door, each, now)


async def _plan(door: Door, source: _Planned, at: datetime) -> None:
    """Unless a run has planned the next one meanwhile."""
    column = sources.c
    same = column.next_run_at.is_not_distinct_from(source.next_run_at)
    mine = (column.org_id == source.org_id) & (column.id == source.id) & same
    await door.db.write(
        lambda conn: conn.execute(update(sources).where(mine).values(next_run_at=at)) and None
    )
