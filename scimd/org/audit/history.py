"""What happened to one person, group or source, as the audit has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from scimd.core.people import OrgId
from scimd.db.tables import events
from scimd.org.tx import Door


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """``before`` and ``after`` None: nothing noted, or erased since."""

    at: datetime
    kind: str
    actor_name: str
    door: str
    correlation_id: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


async def of_target(door: Door, org_id: OrgId, target_id: str, *, limit: int = 50) -> list[HistoryRecord]:
    """The newest events first."""
    event = events.c
    query = (
        select(events)
        .where(event.org_id == org_id, event.target_id == target_id)
        .order_by(event.id.desc())
        .limit(limit)
    )
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


def _record(row: Any) -> HistoryRecord:
    body = row.body or {}
    return HistoryRecord(
        at=row.at,
        kind=row.kind,
        actor_name=row.actor_name,
        door=row.door,
        correlation_id=row.correlation_id,
        before=_noted(body.get("before")),
        after=_noted(body.get("after")),
    )


def _noted(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None
