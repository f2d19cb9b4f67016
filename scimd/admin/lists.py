"""Lists on the wire: windows from parameters, cursors, and whole lists as CSV or JSON."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from scimd.admin.endpoints import Call, Endpoint
from scimd.admin.models import Download, Listed, ListQuery, Output, Page
from scimd.core import cells
from scimd.http.limits import whole_field
from scimd.http.statuses import FieldFault, InvalidRequest
from scimd.org.tokens.sealing import NotSealedHere, seal, unseal
from scimd.org.windows import Place, Window

_PURPOSE = "api cursor"
_EXPORTED_AT_ONCE = 500
_PAGING = frozenset(("limit", "cursor", "total", "format"))
_CSV, _JSON = "text/csv", "application/json"

#: Of an Accept field each media range with its weight (RFC 9110 §12.4.2).
_ACCEPTED = re.compile(
    r"(?:^|,)\s*([-\w.+*]+/[-\w.+*]+)\s*(?:;(?!\s*q=)[^,;]*)*(?:;\s*q=([01](?:\.\d{0,3})?))?[^,]*",
    re.IGNORECASE | re.ASCII,
)

Turn = Callable[[Call], Awaitable[Listed[Any]]]


def window_of(row: Endpoint, call: Call, query: ListQuery) -> Window:
    """Which part of the list is asked for. Raises InvalidRequest for a cursor that is none."""
    after = _opened(row, call, query) if query.cursor else None
    return Window(query.limit, after, getattr(query, "sort", None) or "", query.total)


def page_of(row: Endpoint, call: Call, query: ListQuery, found: Listed[Any]) -> Output:
    assert row.answer is not None  # noqa: S101 - lists have rows
    following = _sealed(row, call, query, found.next) if found.next else None
    page: type[Page[Any]] = Page[row.answer]  # type: ignore[name-defined]
    return page.model_construct(items=found.rows, next=following, total=found.total)


# ------------------------------------------------------------------------------ cursors


def _owner(row: Endpoint, call: Call, query: ListQuery) -> str:
    """A cursor goes on in one list of one organization, with the same filters and the same order."""
    asked = {name: str(value) for name, value in query if name not in _PAGING}
    digest = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
    where = " ".join(f"{name}={value}" for name, value in sorted(call.path.items()))
    return f"{call.org_id} {row.path} {where} {digest}"


def _sealed(row: Endpoint, call: Call, query: ListQuery, place: Place) -> str:
    key = {"at": place.key.isoformat()} if isinstance(place.key, datetime) else place.key
    sealed = seal(call.door.keys, _PURPOSE, orjson.dumps([key, place.id]), _owner(row, call, query))
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _opened(row: Endpoint, call: Call, query: ListQuery) -> Place:
    text = query.cursor or ""
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        key, row_id = orjson.loads(unseal(call.door.keys, _PURPOSE, sealed, _owner(row, call, query)))
    except (NotSealedHere, binascii.Error) as exc:
        why = "was not given by this list for these filters and this sort; begin without one"
        raise InvalidRequest((FieldFault("cursor", why),)) from exc
    return Place(datetime.fromisoformat(key["at"]) if isinstance(key, dict) else key, row_id)


# ------------------------------------------------------------------------------ files


def file_wanted(request: web.Request, query: ListQuery) -> str | None:
    """``csv`` or ``json`` where the whole list is asked for as a file."""
    return query.format or ("csv" if _prefers_csv(whole_field(request, "Accept") or "") else None)


def _prefers_csv(accept: str) -> bool:
    """Whether CSV is named, and wanted more than JSON, which whoever names none gets (RFC 9110 §12.5.1)."""
    weights = {kind.lower(): float(q or 1) for kind, q in _ACCEPTED.findall(accept)}
    csv = weights.get(_CSV, 0.0)
    if _JSON in weights:
        return csv > weights[_JSON]
    return csv > 0 and csv >= weights.get("application/*", weights.get("*/*", 0.0))


async def whole(row: Endpoint, call: Call, query: ListQuery, kind: str, turn: Turn) -> Download:
    """The list from its beginning to its end. The first part is read at once: it may be refused."""
    noun = "-".join(part for part in row.path.split("/") if part and not part.startswith("{"))
    name = f"{noun}-{call.visit.organization.slug}.{kind}"
    return Download(name, _CSV if kind == "csv" else _JSON, await written(row, call, query, kind, turn))


async def written(row: Endpoint, call: Call, query: ListQuery, kind: str, turn: Turn) -> AsyncIterator[str]:
    """The text of such a file, piece by piece."""
    start = replace(call, window=Window(_EXPORTED_AT_ONCE, None, getattr(query, "sort", None) or ""))
    first = await turn(start)
    return (_csv if kind == "csv" else _json)(row, _parts(start, first, turn))


async def _parts(call: Call, found: Listed[Any], turn: Turn) -> AsyncIterator[list[Output]]:
    yield found.rows
    while found.next is not None:
        found = await turn(replace(call, window=replace(call.window, after=found.next)))
        yield found.rows


async def _csv(row: Endpoint, parts: AsyncIterator[list[Output]]) -> AsyncIterator[str]:
    assert row.answer is not None  # noqa: S101 - lists have rows
    names = list(row.answer.model_fields)
    yield cells.line(names)
    async for part in parts:
        yield "".join(cells.line(_cells(each, names)) for each in part)


def _cells(row: Output, names: list[str]) -> list[object]:
    plain = row.model_dump(mode="json")
    return [_told(plain[name]) for name in names]


def _told(value: Any) -> object:
    """In a cell a thing is called by its name, with the role in it: ``General (member)``."""
    if isinstance(value, list):
        return [_told(each) for each in value]
    if isinstance(value, dict) and value.keys() in ({"id", "name"}, {"id", "name", "role"}):
        return f"{value['name']} ({value['role']})" if "role" in value else value["name"]
    return value


async def _json(row: Endpoint, parts: AsyncIterator[list[Output]]) -> AsyncIterator[str]:
    yield '{"items":['
    comma = ""
    async for part in parts:
        for each in part:
            yield f"{comma}\n{each.model_dump_json()}"
            comma = ","
    yield "\n]}\n"
