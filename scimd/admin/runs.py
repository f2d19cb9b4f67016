"""Runs over REST: the list, one, its changes, its report as CSV or JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import fields
from typing import Any

import orjson
from aiohttp import web

from scimd.core.errors import InvalidValue
from scimd.http.guard import signed_in
from scimd.http.keys import DOOR
from scimd.http.visits import SEE_RUNS, visit_of
from scimd.org import runs
from scimd.org.runs import RunRecord
from scimd.sync import report

_PAGE, _PAGE_AT_MOST = 100, 500


@signed_in(*SEE_RUNS)
async def index(request: web.Request) -> web.StreamResponse:
    """``{"runs": […], "next": id | null}``, the newest first; ``after`` and ``limit`` page."""
    visit, limit = await visit_of(request), _limit(request)
    found = await runs.list_runs(
        request.app[DOOR], visit.org_id, limit=limit + 1, after=request.query.get("after") or None
    )
    after = found[limit - 1].id if len(found) > limit else None
    return _json({"runs": [_plain(row) for row in found[:limit]], "next": after})


@signed_in(*SEE_RUNS)
async def show(request: web.Request) -> web.StreamResponse:
    return _json(_plain(await _run(request)))


@signed_in(*SEE_RUNS)
async def changes(request: web.Request) -> web.StreamResponse:
    """``{"changes": […], "next": n | null}`` in the plan's order; filters ``outcome`` and ``action``."""
    run, limit = await _run(request), _limit(request)
    found = await runs.changes(
        request.app[DOOR],
        run.org_id,
        run.id,
        after=_number(request, "after", 0),
        limit=limit + 1,
        outcome=request.query.get("outcome") or None,
        action=request.query.get("action") or None,
    )
    after = found[limit - 1].n if len(found) > limit else None
    return _json({"changes": [_plain(row) for row in found[:limit]], "next": after})


@signed_in(*SEE_RUNS)
async def report_csv(request: web.Request) -> web.StreamResponse:
    run = await _run(request)
    return await _stream(request, report.csv_of(request.app[DOOR], run), "text/csv", f"{_name(run)}.csv")


@signed_in(*SEE_RUNS)
async def report_json(request: web.Request) -> web.StreamResponse:
    run = await _run(request)
    pieces = report.json_of(request.app[DOOR], run)
    return await _stream(request, pieces, "application/json", f"{_name(run)}.json")


async def _run(request: web.Request) -> RunRecord:
    visit = await visit_of(request)
    return await runs.get_run(request.app[DOOR], visit.org_id, request.match_info["id"])


def _name(run: RunRecord) -> str:
    """Of a source's slug and a time: safe in a header and as a file."""
    return f"scimd-{run.source_name}-{run.started_at:%Y%m%d-%H%M%S}"


async def _stream(
    request: web.Request, pieces: AsyncIterator[str], kind: str, name: str
) -> web.StreamResponse:
    """Page by page, so that memory does not grow with the run."""
    response = web.StreamResponse()
    response.content_type, response.charset = kind, "utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    await response.prepare(request)
    async for piece in pieces:
        await response.write(piece.encode())
    await response.write_eof()
    return response


def _limit(request: web.Request) -> int:
    return min(_number(request, "limit", _PAGE), _PAGE_AT_MOST) or _PAGE


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidValue(name, "must be a whole number")
    return int(text)


def _plain(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _json(body: Mapping[str, Any]) -> web.Response:
    text = orjson.dumps(body, default=dict)
    return web.Response(body=text, content_type="application/json", charset="utf-8")
