"""/Roles and /Entitlements: short lists that nobody writes by SCIM, filtered and sorted in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

import orjson
from aiohttp import web
from scim2_models.path import FilterNode

from scimd.core import catalogue as core
from scimd.core.attributes import Resolved, ResourceKind
from scimd.core.resource import Resources
from scimd.org.reading import catalogue
from scimd.org.reading.keyset import Position
from scimd.scim.exchange import Exchange, answer, missing
from scimd.scim.filters import Evaluator, comparable, values_of
from scimd.scim.listing import Pages, Sorting

_KINDS = {"Role": core.ROLE, "Entitlement": core.ENTITLEMENT}
#: Places of these lists have no time; a cursor holds one all the same.
_NEVER = datetime.fromtimestamp(0, UTC)
What = Literal["Role", "Entitlement"]
Document = dict[str, Any]


async def roles(ex: Exchange) -> web.Response:
    """GET /Roles."""
    return await _listing(ex, "Role")


async def role(ex: Exchange) -> web.Response:
    """GET /Roles/{id}."""
    return await _one(ex, "Role")


async def entitlements(ex: Exchange) -> web.Response:
    """GET /Entitlements."""
    return await _listing(ex, "Entitlement")


async def entitlement(ex: Exchange) -> web.Response:
    """GET /Entitlements/{id}."""
    return await _one(ex, "Entitlement")


async def _resources(ex: Exchange, what: What) -> tuple[ResourceKind, list[Document]]:
    kind = _KINDS[what][ex.profile.catalogue]
    base = f"{ex.settings.base_url}{kind.endpoint}/"
    found = await catalogue.offered(ex.door, ex.ctx, what)
    return kind, [core.resource(each, kind, base + quote(each.value, safe="")) for each in found]


async def _one(ex: Exchange, what: What) -> web.Response:
    kind, resources = await _resources(ex, what)
    for each in resources:
        if each["id"] == ex.id:
            return answer(200, _rendered(ex, kind, each))
    raise missing(kind, ex.id)


@dataclass(frozen=True, slots=True)
class Listed:
    """``end``: the place of the last one, where more follow."""

    total: int
    resources: Resources
    end: Position | None


async def _listing(ex: Exchange, what: What) -> web.Response:
    pages = Pages(ex, what)
    after = pages.cursor.position if pages.cursor else None
    found = await listed(ex, what, lambda node: node, pages.paging.start_index, pages.paging.count, after)
    kind = _KINDS[what][ex.profile.catalogue]
    return answer(200, pages.answer(found.resources, found.total, found.end, kind))


async def listed(
    ex: Exchange,
    what: What,
    meant: Callable[[FilterNode], FilterNode],
    start_index: int,
    count: int,
    after: Position | None,
) -> Listed:
    """A page of what the request asks for.

    ``meant``: from the filter as it was sent to what it means for this kind.
    """
    kind, resources = await _resources(ex, what)
    if "filter" in ex.query:
        node = meant(ex.profile.read_filter(ex.query["filter"]))
        # Also where nothing is there to be filtered: an unknown name is refused.
        Evaluator(kind, {}, tolerant=ex.rules.tolerant).visit(node)
        resources = [
            each for each in resources if Evaluator(kind, each, tolerant=ex.rules.tolerant).visit(node)
        ]
    if (sorting := Sorting.parse(ex.query, kind)) is not None:
        resources = _sorted(resources, sorting)
    first = start_index - 1 if after is None else _behind(resources, after)
    page = resources[first : first + count]
    more = page and first + len(page) < len(resources)
    end = Position(None, _NEVER, page[-1]["id"]) if more else None
    return Listed(len(resources), Resources.of([_rendered(ex, kind, each) for each in page]), end)


def _behind(resources: list[Document], after: Position) -> int:
    return next((n + 1 for n, each in enumerate(resources) if each["id"] == after.id), len(resources))


def _sorted(resources: list[Document], sorting: Sorting) -> list[Document]:
    """Unassigned values last, and first when descending (RFC 7644 §3.4.2.3)."""
    return sorted(resources, key=lambda each: _sort_key(each, sorting.by), reverse=sorting.descending)


def _sort_key(resource: Mapping[str, Any], by: Resolved) -> tuple[bool, Any]:
    convert = comparable(by)
    values = [value for each in values_of(resource, by) if (value := convert(each)) is not None]
    return (False, values[0]) if values else (True, "")


def _rendered(ex: Exchange, kind: ResourceKind, resource: Document) -> bytes:
    return orjson.dumps(ex.projection(kind).select(resource))
