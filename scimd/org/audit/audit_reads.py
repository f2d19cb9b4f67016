"""The audit as admins read it: who did what to whom, when, by which door, with which values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, select

from scimd.core.people import OrgId
from scimd.db.tables import events
from scimd.org.ids import first_id
from scimd.org.tx import Door
from scimd.org.windows import Slice, Window, cut, narrowed

_e = events.c


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """``before`` and ``after`` None: nothing noted, or ``erased``."""

    id: str
    at: datetime
    kind: str
    actor_kind: str
    actor_id: str
    actor_name: str
    door: str
    target_kind: str
    target_id: str
    correlation_id: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    note: str
    erased: bool


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """What the audit is narrowed to; ``since`` inclusive, ``until`` exclusive."""

    kind: str | None = None
    actor: str | None = None
    target: str | None = None
    correlation: str | None = None
    door: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_entries(door: Door, org_id: OrgId, only: EntryFilter, window: Window) -> Slice[EntryRecord]:
    """By time, which is the order of the ids."""
    query = _filtered(org_id, only)
    return await door.read(lambda conn: cut(conn, query, window, {}, _e.id).map(_record))


def _filtered(org_id: OrgId, only: EntryFilter) -> Select[Any]:
    query = narrowed(
        select(events).where(_e.org_id == org_id),
        (_e.kind, only.kind),
        (_e.actor_id, only.actor),
        (_e.target_id, only.target),
        (_e.correlation_id, only.correlation),
        (_e.door, only.door),
    )
    if only.since is not None:
        query = query.where(_e.id >= first_id(only.since))
    return query.where(_e.id < first_id(only.until)) if only.until is not None else query


def _record(row: Row[Any]) -> EntryRecord:
    body = row.body or {}
    return EntryRecord(
        id=row.id,
        at=row.at,
        kind=row.kind,
        actor_kind=row.actor_kind,
        actor_id=row.actor_id,
        actor_name=row.actor_name,
        door=row.door,
        target_kind=row.target_kind,
        target_id=row.target_id,
        correlation_id=row.correlation_id,
        before=body.get("before"),
        after=body.get("after"),
        note=body.get("note") or "",
        erased=row.body is None,
    )
