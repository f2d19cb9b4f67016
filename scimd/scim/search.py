"""/.search: a list by POST, at the root and below each endpoint (RFC 7644 §3.4.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

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
from scimd.org import reads
from scimd.org.reads import ListedGroups, ListedUsers, ListQuery
from scimd.scim.documents import check_message
from scimd.scim.errors import ScimError, invalid_value
from scimd.scim.exchange import Exchange, answer
from scimd.scim.listing import Pages, Sorting, list_query

_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
Endpoint = Callable[[Exchange], Awaitable[web.Response]]


def within(listing: Endpoint) -> Endpoint:
    """The search below one endpoint: its list, with the parameters from the body."""

    async def search(ex: Exchange) -> web.Response:
        return await listing(await _asked(ex))

    return search


async def everything(ex: Exchange) -> web.Response:
    """Users, then groups, as one list."""
    ex = await _asked(ex)
    pages = Pages(ex, "all")
    found = await (_by_cursor if pages.by_cursor else _by_index)(ex, pages)
    start = None if pages.by_cursor else pages.paging.start_index
    return answer(200, render_list(found.resources, found.total, start, found.next_cursor))


@dataclass(frozen=True, slots=True)
class _Found:
    total: int
    resources: Resources
    next_cursor: str | None = None


async def _by_index(ex: Exchange, pages: Pages) -> _Found:
    start, wanted = pages.paging.start_index, pages.paging.count
    user_query, group_query = _queries(ex, pages)
    users = await _users(ex, user_query)
    after = max(1, start - users.total)
    group_query = replace(group_query, start_index=after, count=wanted - users.resources.count)
    groups = await _groups(ex, group_query)
    return _Found(users.total + groups.total, users.resources + groups.resources)


async def _by_cursor(ex: Exchange, pages: Pages) -> _Found:
    """Both are asked at each page: whichever is not at hand only for how many there are."""
    wanted, cursor = pages.paging.count, pages.cursor
    user_query, group_query = _queries(ex, pages)
    position = cursor.position if cursor else None
    in_groups = cursor is not None and cursor.kind == GROUP.name
    user_query = replace(user_query, count=0) if in_groups else replace(user_query, after=position)
    users = await _users(ex, user_query)
    rest = wanted - users.resources.count
    group_query = replace(group_query, count=rest, after=position if in_groups else None)
    groups = await _groups(ex, group_query)
    total = users.total + groups.total
    following = None
    if users.end is not None:
        following = pages.following(ex.users.name, users.end, total)
    elif groups.end is not None or (groups.total and users.resources.count == wanted > 0):
        following = pages.following(GROUP.name, groups.end, total)
    return _Found(total, users.resources + groups.resources, following)


async def _users(ex: Exchange, query: ListQuery) -> ListedUsers:
    return await reads.scim_users(ex.door, ex.ctx, query, ex.view(ex.users))


async def _groups(ex: Exchange, query: ListQuery) -> ListedGroups:
    return await reads.scim_groups(ex.door, ex.ctx, query, ex.view(GROUP))


def _queries(ex: Exchange, pages: Pages) -> tuple[ListQuery, ListQuery]:
    """A query per resource type."""
    return _query(ex, pages, ex.users, GROUP), _query(ex, pages, GROUP, ex.users)


def _query(ex: Exchange, pages: Pages, kind: ResourceKind, other: ResourceKind) -> ListQuery:
    ex = _sorted_by_its_own(ex, kind, other)
    return list_query(ex, kind, pages.paging, Beside(kind, other).visit)


def _sorted_by_its_own(ex: Exchange, kind: ResourceKind, other: ResourceKind) -> Exchange:
    """What only the other type has gives this one no order. Raises for what neither has."""
    try:
        Sorting.parse(ex.query, kind)
    except ScimError:
        Sorting.parse(ex.query, other)
        return replace(ex, query={name: value for name, value in ex.query.items() if name != "sortBy"})
    return ex


_ALL = Present(AttrPath("id"))
_NONE = Not(_ALL)


class Beside(FilterVisitor[FilterNode]):
    """A filter over several types, as one of them is asked: what only the other has is unassigned in it.

    RFC 7644 §3.4.2.1. What neither has stays, and is refused where it is bound.
    """

    def __init__(self, kind: ResourceKind, other: ResourceKind) -> None:
        self._kind = kind
        self._other = other

    def _foreign(self, path: AttrPath) -> bool:
        named = path.uri, path.attr, path.sub_attr
        return self._kind.resolve(*named) is None and self._other.resolve(*named) is not None

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
    return replace(ex, query=_parameters(body))


def _parameters(body: Mapping[str, Any]) -> Mapping[str, str]:
    """A SearchRequest as the query parameters that it stands for."""
    given = {key.lower(): value for key, value in body.items() if value is not None}
    return {name: _text(name, given[name.lower()]) for name in PARAMETERS if name.lower() in given}


def _text(name: str, value: Any) -> str:
    if name in ("startIndex", "count"):
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid_value(name, "a whole number is wanted")
        return str(value)
    if name in ("attributes", "excludedAttributes") and isinstance(value, list):
        if not all(isinstance(each, str) for each in value):
            raise invalid_value(name, "an array of strings is wanted")
        return ",".join(value)
    if not isinstance(value, str):
        raise invalid_value(name, "a string is wanted")
    return value
