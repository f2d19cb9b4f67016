"""A list by POST, at the root and below each endpoint (RFC 7644 §3.4.3); the list at the root itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from aiohttp import web
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    Not,
    Present,
    ValuePath,
)

from scimd.core.attributes import GROUP, ResourceKind
from scimd.core.resource import PARAMETERS, Resources, render_list
from scimd.org.reading import reads
from scimd.org.reading.keyset import Position
from scimd.org.reading.reads import ListedGroups, ListedUsers
from scimd.scim import catalogue
from scimd.scim.documents import check_message
from scimd.scim.errors import ScimError, invalid_filter, invalid_path, invalid_value, shown
from scimd.scim.exchange import Exchange, answer
from scimd.scim.listing import Pages, Sorting, list_query, sorted_by
from scimd.scim.values import Rules

_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
Endpoint = Callable[[Exchange], Awaitable[web.Response]]


def within(listing: Endpoint) -> Endpoint:
    """The search at one endpoint: its list, with the parameters from the body."""

    async def search(ex: Exchange) -> web.Response:
        return await listing(await _asked(ex))

    return search


def everything(kinds: Sequence[ResourceKind]) -> Endpoint:
    """The list at the root, over all resource types: one behind the other (RFC 7644 §3.4.2.1)."""
    names = ",".join(kind.name for kind in kinds)

    async def listing(ex: Exchange) -> web.Response:
        pages = Pages(ex, names)
        parts = _parts(ex, pages, kinds)
        found = await (_by_cursor if pages.by_cursor else _by_index)(pages, parts)
        start = None if pages.by_cursor else pages.paging.start_index
        return answer(200, render_list(found.resources, found.total, start, found.next_cursor))

    return listing


@dataclass(frozen=True, slots=True)
class _Found:
    total: int
    resources: Resources
    next_cursor: str | None = None


#: What is asked of a type: the index at which a page begins, or the place behind which; how many.
_Ask: TypeAlias = Callable[
    [int, int, Position | None], Awaitable[ListedUsers | ListedGroups | catalogue.Listed]
]
_NOTHING = Resources(0, ())


@dataclass(frozen=True, slots=True)
class _Part:
    """The resources of one type that fit."""

    kind: str
    ask: _Ask


async def _by_index(pages: Pages, parts: Sequence[_Part]) -> _Found:
    start, wanted = pages.paging.start_index, pages.paging.count
    total, resources = 0, _NOTHING
    for part in parts:
        found = await part.ask(max(1, start - total), wanted - resources.count, None)
        total += found.total
        resources += found.resources
    return _Found(total, resources)


async def _by_cursor(pages: Pages, parts: Sequence[_Part]) -> _Found:
    """All are asked at each page: those that are not at hand only for how many there are."""
    wanted, cursor = pages.paging.count, pages.cursor
    total, resources = 0, _NOTHING
    following: tuple[str, Position | None] | None = None
    begun = cursor is None
    for part in parts:
        here = cursor is not None and cursor.kind == part.kind
        begun = begun or here
        rest = wanted - resources.count if begun else 0
        found = await part.ask(1, rest, cursor.position if here and cursor else None)
        total += found.total
        resources += found.resources
        more = begun and wanted > 0 and (found.end is not None or (rest == 0 and found.total > 0))
        if more and following is None:
            following = part.kind, found.end
    return _Found(total, resources, pages.following(*following, total) if following else None)


def _parts(ex: Exchange, pages: Pages, kinds: Sequence[ResourceKind]) -> list[_Part]:
    """Of what is sorted by an attribute, types without it come last, and first when descending (§3.4.2.3).

    Raises for what none has.
    """
    having = [kind for kind in kinds if _sorts(ex, kind)]
    if not having:
        path = ex.query["sortBy"]
        known = [kind for kind in kinds if sorted_by(path, kind) is not None]
        if not known:
            raise invalid_path(path, "no type of resource has such an attribute; see /Schemas")
        Sorting.parse(ex.query, known[0])
    descending = ex.query.get("sortOrder", "").lower() == "descending"
    ordered = sorted(kinds, key=lambda kind: kind not in having, reverse=descending)
    unsorted = replace(ex, query={name: value for name, value in ex.query.items() if name != "sortBy"})
    return [_part(ex if kind in having else unsorted, pages, kind, kinds) for kind in ordered]


def _sorts(ex: Exchange, kind: ResourceKind) -> bool:
    try:
        Sorting.parse(ex.query, kind)
    except ScimError:
        return False
    return True


def _part(ex: Exchange, pages: Pages, kind: ResourceKind, kinds: Sequence[ResourceKind]) -> _Part:
    meant = Beside(kind, [each for each in kinds if each is not kind]).visit
    if kind.name in ("Role", "Entitlement"):
        return _Part(kind.name, partial(catalogue.listed, ex, kind.name, meant))
    read = reads.scim_groups if kind is GROUP else reads.scim_users
    query = list_query(ex, kind, pages.paging, meant)

    async def ask(start_index: int, count: int, after: Position | None) -> ListedUsers | ListedGroups:
        here = replace(query, start_index=start_index, count=count, after=after)
        return await read(ex.door, ex.ctx, here, ex.view(kind))

    return _Part(kind.name, ask)


_ALL = Present(AttrPath("id"))
_NONE = Not(_ALL)


class Beside(FilterVisitor[FilterNode]):
    """A filter over several types, as one of them is asked: what only others have is unassigned in it.

    RFC 7644 §3.4.2.1. Raises invalidFilter for what none has.
    """

    def __init__(self, kind: ResourceKind, others: Sequence[ResourceKind]) -> None:
        self._kind = kind
        self._others = others

    def _foreign(self, path: AttrPath) -> bool:
        named = path.uri, path.attr, path.sub_attr
        if self._kind.resolve(*named) is not None:
            return False
        if not any(each.resolve(*named) for each in self._others):
            raise invalid_filter(f"No type of resource has an attribute {shown(str(path))}; see /Schemas.")
        return True

    def visit_comparison(self, node: Comparison) -> FilterNode:
        if not self._foreign(node.attr_path):
            return node
        return _ALL if (node.op is CompareOperator.ne) != (node.value is None) else _NONE

    def visit_present(self, node: Present) -> FilterNode:
        return _NONE if self._foreign(node.attr_path) else node

    def visit_not(self, node: Not) -> FilterNode:
        return Not(self.visit(node.expr))

    def visit_logical_expr(self, node: LogicalExpr) -> FilterNode:
        return LogicalExpr(node.op, tuple(map(self.visit, node.terms)))

    def visit_value_path(self, node: ValuePath) -> FilterNode:
        return _NONE if self._foreign(node.attr_path) else node


async def _asked(ex: Exchange) -> Exchange:
    body = await ex.message()
    check_message(_URN, body, ex.rules)
    return replace(ex, query=_parameters(body, ex.rules))


def _parameters(body: Mapping[str, Any], rules: Rules) -> Mapping[str, str]:
    """A SearchRequest as the query parameters that it stands for."""
    given = {key.lower(): value for key, value in body.items() if value is not None}
    return {name: _text(name, given[name.lower()], rules) for name in PARAMETERS if name.lower() in given}


def _text(name: str, value: Any, rules: Rules) -> str:
    if name in ("startIndex", "count") and not (rules.tolerant and isinstance(value, str)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid_value(name, "must be a whole number")
        return str(value)
    if name in ("attributes", "excludedAttributes") and isinstance(value, list):
        if not all(isinstance(each, str) for each in value):
            raise invalid_value(name, "must be an array of strings")
        return ",".join(value)
    if not isinstance(value, str):
        raise invalid_value(name, "must be a string")
    return value
