"""The report of a run, as CSV and as JSON: a line per change, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any

import orjson

from scimd.core import cells
from scimd.org.runs import run_changes
from scimd.org.runs.run_changes import ChangeRecord
from scimd.org.runs.runs import RunRecord
from scimd.org.tx import Door

COLUMNS = (
    "n", "kind", "what", "name", "external_id", "situation", "action", "outcome", "reason", "detail",
    "attribute", "old", "new", "applied_at",
)  # fmt: skip
_WORDS = {
    "create": "created",
    "update": "updated",
    "link": "linked",
    "deactivate": "deactivated",
    "drop": "dropped",
    "delete": "deleted",
    "rename": "renamed",
    "members": "members changed",
}


def what(change: ChangeRecord) -> str:
    """What became of it, in a word: created, updated, deactivated, held, waiting, failed, skipped, …"""
    match change.outcome:
        case "applied" | "planned":
            word = _WORDS.get(change.action, change.action)
            return (
                word
                if change.outcome == "applied"
                else f"to be {word}"
                if change.action in _WORDS
                else "waiting"
            )
        case "staged":
            return "held"
        case other:
            return other


async def csv_of(door: Door, run: RunRecord) -> AsyncIterator[str]:
    """A line per changed attribute; a change without values has one line."""
    yield cells.line(COLUMNS)
    async for change in run_changes.every(door, run.org_id, run.id):
        yield "".join(cells.line(row) for row in _rows(change))


async def json_of(door: Door, run: RunRecord) -> AsyncIterator[str]:
    """One object: the run, and ``changes``."""
    head = orjson.dumps(
        {field.name: getattr(run, field.name) for field in fields(run)}, default=_plain
    ).decode()
    yield head[:-1] + ',"changes":['
    comma = ""
    async for change in run_changes.every(door, run.org_id, run.id):
        row = {"what": what(change)} | {field.name: getattr(change, field.name) for field in fields(change)}
        yield comma + "\n" + orjson.dumps(row, default=_plain).decode()
        comma = ","
    yield "]}\n"


def _plain(value: Any) -> Any:
    return dict(value)


def _rows(change: ChangeRecord) -> list[tuple[object, ...]]:
    old, new = change.old or {}, change.new or {}
    head = (
        change.n, change.kind, what(change), change.name, change.external_id, change.situation, change.action,
        change.outcome, change.reason, change.detail,
    )  # fmt: skip
    at = change.applied_at.isoformat() if change.applied_at else ""
    paths = sorted({*old, *new}) or [""]
    return [(*head, path, _text(old.get(path)), _text(new.get(path)), at) for path in paths]


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
