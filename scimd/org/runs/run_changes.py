"""The changes of a run: planned, staged, applied, or left with a reason; one row each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import Row, Select, select

from scimd.core.people import OrgId, RunId
from scimd.core.sync import diff
from scimd.core.sync.plan import Change
from scimd.db.prepared import Prepared
from scimd.db.tables import run_changes
from scimd.org.tx import Door, Tx
from scimd.org.windows import Slice, Window, cut, narrowed


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


_ADD = Prepared(run_changes.insert())


def add(tx: Tx, run_id: RunId, first: int, part: Iterable[Change]) -> None:
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


async def list_changes(
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
    n = run_changes.c.n
    query = _listed(org_id, run_id, outcome, action).where(n > after).order_by(n).limit(limit)
    return await door.read(lambda conn: [_saved(row) for row in conn.execute(query)])


async def window(
    door: Door,
    org_id: OrgId,
    run_id: RunId,
    part: Window,
    *,
    outcome: str | None = None,
    action: str | None = None,
) -> Slice[ChangeRecord]:
    """A run's changes in the plan's order."""
    query = _listed(org_id, run_id, outcome, action)
    return await door.read(lambda conn: cut(conn, query, part, {}, run_changes.c.n).map(_saved))


def _listed(org_id: OrgId, run_id: str, outcome: str | None, action: str | None) -> Select[Any]:
    column = run_changes.c
    query = select(run_changes).where(column.org_id == org_id, column.run_id == run_id)
    return narrowed(query, (column.outcome, outcome), (column.action, action))


async def every(door: Door, org_id: OrgId, run_id: str) -> AsyncIterator[ChangeRecord]:
    """All changes of a run, page by page; memory does not grow with the run."""
    after = 0
    while page := await list_changes(door, org_id, run_id, after=after, limit=500):
        for change in page:
            yield change
        after = page[-1].n


def unsaved(changes: Iterable[Change]) -> list[ChangeRecord]:
    """The changes of a plan that is only shown, as a report has them."""
    return [_change(change, n, None) for n, change in enumerate(changes, start=1)]


def _saved(row: Row[Any]) -> ChangeRecord:
    return _change(row, row.n, row.applied_at)


def _change(row: Row[Any] | Change, n: int, applied_at: datetime | None) -> ChangeRecord:
    old, new = row.old, row.new
    payload = row.payload or {}
    if row.action in ("create", "link", "wait") and "document" in payload:
        # A newcomer's values are kept once, in what applying needs.
        new = {**diff.flat(orjson.loads(payload["document"])), **(new or {})}
    if payload.get("add"):
        new = {**(new or {}), "members": payload["add"]}
    if payload.get("remove"):
        old = {**(old or {}), "members": payload["remove"]}
    return ChangeRecord(
        n, row.kind, row.situation, row.action, row.removal, row.external_id, row.name, row.target_id,
        old, new, row.reason, row.outcome, row.detail, applied_at,
    )  # fmt: skip
