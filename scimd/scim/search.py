"""/.search: a list by POST, at the root and below each endpoint (RFC 7644 §3.4.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from scimd.core.attributes import GROUP
from scimd.core.resource import PARAMETERS, Resources, render_list
from scimd.org import reads
from scimd.org.reads import ListedGroups, ListedUsers, ListQuery
from scimd.scim.errors import ScimError, invalid_value
from scimd.scim.exchange import Exchange, answer
from scimd.scim.listing import Pages, list_query

Endpoint = Callable[[Exchange], Awaitable[web.Response]]


def within(listing: Endpoint) -> Endpoint:
    """The search below one endpoint: its list, with the parameters from the body."""

    async def search(ex: Exchange) -> web.Response:
        return await listing(replace(ex, query=_parameters(await ex.message())))

    return search


async def everything(ex: Exchange) -> web.Response:
    """Users, then groups, as one list. An attribute that only one of them has finds none of the other."""
    ex = replace(ex, query=_parameters(await ex.message()))
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
    if group_query is not None:
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
    if user_query is not None:
        user_query = replace(user_query, count=0) if in_groups else replace(user_query, after=position)
    users = await _users(ex, user_query)
    if group_query is not None:
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


async def _users(ex: Exchange, query: ListQuery | None) -> ListedUsers:
    if query is None:
        return ListedUsers(0, Resources.of([]))
    return await reads.scim_users(ex.door, ex.ctx, query, ex.view(ex.users))


async def _groups(ex: Exchange, query: ListQuery | None) -> ListedGroups:
    if query is None:
        return ListedGroups(0, Resources.of([]))
    return await reads.scim_groups(ex.door, ex.ctx, query, ex.view(GROUP))


def _queries(ex: Exchange, pages: Pages) -> tuple[ListQuery | None, ListQuery | None]:
    """A query per resource type; None where the type lacks an attribute that the other has."""
    found: list[ListQuery | None] = []
    refused: list[ScimError] = []
    for kind in (ex.users, GROUP):
        try:
            found.append(list_query(ex, kind, pages.paging))
        except ScimError as exc:
            refused.append(exc)
            found.append(None)
    if len(refused) == len(found):
        raise refused[0]
    return found[0], found[1]


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
