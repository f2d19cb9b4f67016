"""/Groups (RFC 7644 §3.3-3.6). A change of members costs what changes, never the group."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from scimd.core.attributes import GROUP
from scimd.core.people import Document, GroupId
from scimd.core.resource import Shown, StoredGroup, etag, group_location, render_group
from scimd.org.groups import scim_groups
from scimd.org.groups.groups import AssertGroup
from scimd.org.groups.scim_groups import GroupChange
from scimd.org.reading import reads
from scimd.scim import members_patch, patch
from scimd.scim.documents import document_of
from scimd.scim.etag import is_unchanged
from scimd.scim.exchange import Exchange, answer, missing
from scimd.scim.listing import Pages, list_query
from scimd.scim.operations import operations_of
from scimd.scim.values import refuse_single

#: From so many members on, their ids are taken beside the loop: it takes some 2 ms.
_LARGE = 5000


async def create(ex: Exchange) -> web.Response:
    """POST /Groups. A member that is not known yet is kept, and resolved when it appears."""
    body = await ex.body(GROUP, "create")
    document = document_of(GROUP, body, ex.rules)
    wanted = AssertGroup(document, document.get("externalId"), await _members(ex, body))
    stored = await scim_groups.create_group(ex.door, ex.ctx, wanted)
    return await _shown(ex, stored, 201)


async def read(ex: Exchange) -> web.Response:
    """GET /Groups/{id}; without members where they are not wanted, at the cost of a user."""
    found = await reads.scim_group(ex.door, ex.ctx, _id(ex), ex.view(GROUP))
    if found is None:
        raise missing(GROUP, ex.id)
    if is_unchanged(ex.header, found.tag):
        return answer(304, headers={"ETag": found.tag})
    return answer(200, found.body, _head(ex, found))


async def replace(ex: Exchange) -> web.Response:
    """PUT /Groups/{id}: the whole resource, members included."""
    body = await ex.body(GROUP, "replace")
    fresh = document_of(GROUP, body, ex.rules)
    members = await _members(ex, body)
    change = GroupChange(document=lambda stored: fresh, add=(), remove=(), replace=members)
    return await _shown(ex, await _change(ex, change))


async def modify(ex: Exchange) -> web.Response:
    """PATCH /Groups/{id}: 204, unless the profile or a projection asks for the resource."""
    given = await ex.body(GROUP, "patch")
    operations = operations_of(given, ex.settings.max_operations, ex.profile.rules)
    rest, members = members_patch.split(operations, ex.rules, ex.settings.base_url)
    gone_over = ex.may_go_over(operations, len(members.chosen))

    def document(stored: Document) -> Document:
        return patch.apply(GROUP, stored, rest, ex.profile.rules, gone_over)

    change = GroupChange(
        document=document if rest else None,
        add=tuple(members.add),
        remove=tuple(members.remove),
        replace=None if members.replace is None else tuple(members.replace),
        chosen=tuple(members.chosen),
        users=tuple(members.users),
    )
    stored = await _change(ex, change)
    if ex.profile.group_patch_answers or "attributes" in ex.query or "excludedAttributes" in ex.query:
        return await _shown(ex, stored)
    return answer(204, headers={"ETag": etag(stored.version)})


async def fill_in(ex: Exchange) -> web.Response:
    """The members that a POST of a bulk request had to leave open."""
    body = await ex.body(GROUP, "create")
    stored = await _change(ex, GroupChange(add=await _members(ex, body)))
    return answer(204, headers={"ETag": etag(stored.version)})


async def delete(ex: Exchange) -> web.Response:
    """DELETE /Groups/{id}."""
    await scim_groups.delete_group(ex.door, ex.ctx, _id(ex), if_match=ex.precondition())
    return answer(204)


async def listing(ex: Exchange) -> web.Response:
    """GET /Groups with filter, sort, page and projection."""
    view = ex.view(GROUP)
    pages = Pages(ex, "groups")
    query = pages.of(list_query(ex, GROUP, pages.paging), GROUP)
    found = await reads.scim_groups(ex.door, ex.ctx, query, view)
    return answer(200, pages.answer(found.resources, found.total, found.end, GROUP, moves=found.moves))


async def _change(ex: Exchange, change: GroupChange) -> StoredGroup:
    return await scim_groups.change_group(ex.door, ex.ctx, _id(ex), change, if_match=ex.precondition())


async def _shown(ex: Exchange, stored: StoredGroup, status: int = 200) -> web.Response:
    """The group with its members, which a change does not read, unless they are not wanted."""
    view = ex.view(GROUP)
    found = None
    if view.projection.wants("members"):
        found = await reads.scim_group(ex.door, ex.ctx, GroupId(stored.group_id), view)
    if found is None:  # or gone already
        rendered = render_group(stored, view.base_url, view.projection)
        found = Shown(etag(stored.version), rendered, stored.group_id)
    return answer(status, found.body, _head(ex, found))


def _head(ex: Exchange, shown: Shown) -> dict[str, str]:
    return {"Location": group_location(shown.id, ex.settings.base_url), "ETag": shown.tag}


async def _members(ex: Exchange, body: Mapping[str, Any]) -> tuple[str, ...]:
    given = next((value for key, value in body.items() if key.lower() == "members"), None)
    if given is not None and not isinstance(given, list):
        refuse_single("members", ex.rules)
    if isinstance(given, list) and len(given) >= _LARGE:
        return tuple(await asyncio.to_thread(members_patch.member_ids, given, ex.rules))
    return tuple(members_patch.member_ids(given, ex.rules))


def _id(ex: Exchange) -> GroupId:
    return GroupId(ex.id or "")
