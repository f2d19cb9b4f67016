"""/.search: a list by POST, at the root and below each endpoint (RFC 7644 §3.4.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from scimd.core.attributes import GROUP, ResourceKind
from scimd.core.resource import render_group, render_list, render_user
from scimd.org import reads
from scimd.org.reads import ListQuery
from scimd.scim.errors import ScimError, invalid_value
from scimd.scim.exchange import PARAMETERS, Exchange, answer
from scimd.scim.listing import list_query

Endpoint = Callable[[Exchange], Awaitable[web.Response]]


def within(listing: Endpoint) -> Endpoint:
    """The search below one endpoint: its list, with the parameters from the body."""

    async def search(ex: Exchange) -> web.Response:
        return await listing(replace(ex, query=_parameters(await ex.message())))

    return search


async def everything(ex: Exchange) -> web.Response:
    """Users, then groups, as one list. An attribute that only one of them has finds none of the other."""
    ex = replace(ex, query=_parameters(await ex.message()))
    user_query, group_query = _queries(ex)
    rendered: list[bytes] = []
    total, start, wanted = 0, 1, 0
    if user_query is not None:
        users = await reads.scim_users(ex.door, ex.ctx, user_query)
        shown = ex.projection(ex.users)
        rendered += (render_user(each, ex.settings.base_url, shown) for each in users.resources)
        total, start, wanted = users.total, user_query.start_index, user_query.count
    if group_query is not None:
        start, wanted = group_query.start_index, group_query.count
        rest = replace(group_query, start_index=max(1, start - total), count=wanted - len(rendered))
        groups = await reads.scim_groups(ex.door, ex.ctx, rest)
        shown = ex.projection(GROUP)
        rendered += (render_group(each, ex.settings.base_url, shown) for each in groups.resources)
        total += groups.total
    return answer(200, render_list(rendered, total, start))


def _queries(ex: Exchange) -> tuple[ListQuery | None, ListQuery | None]:
    """A query per resource type; None where the type lacks an attribute that the other has."""
    found: list[ListQuery | None] = []
    refused: list[ScimError] = []
    for kind in (ex.users, GROUP):
        try:
            found.append(_query(ex, kind))
        except ScimError as exc:
            refused.append(exc)
            found.append(None)
    if len(refused) == len(found):
        raise refused[0]
    return found[0], found[1]


def _query(ex: Exchange, kind: ResourceKind) -> ListQuery:
    return list_query(ex, kind, ex.projection(kind))


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
