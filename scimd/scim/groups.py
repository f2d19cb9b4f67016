"""/Groups (RFC 7644 §3.3-3.6). A change of members costs what changes, never the group."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from scimd.core.attributes import GROUP
from scimd.core.people import Document, GroupId
from scimd.core.resource import Projection, Resources, StoredGroup, etag, group_location, render_group
from scimd.org import reads, scim_groups
from scimd.org.groups import AssertGroup
from scimd.org.scim_groups import GroupChange
from scimd.scim import members_patch, patch
from scimd.scim.documents import document_of
from scimd.scim.etag import if_match, is_unchanged
from scimd.scim.exchange import Exchange, answer, missing
from scimd.scim.listing import Pages, list_query

#: From so many members on, a group takes longer than others should wait: some 2 ms.
_LARGE = 2000


async def create(ex: Exchange) -> web.Response:
    """POST /Groups. A member that is not known yet is kept, and resolved when it appears."""
    body = await ex.body(GROUP, "create")
    document = document_of(GROUP, body, ex.rules)
    wanted = AssertGroup(document, document.get("externalId"), _members(ex, body))
    stored = await scim_groups.create_group(ex.door, ex.ctx, wanted)
    return await _shown(ex, stored, 201)


async def read(ex: Exchange) -> web.Response:
    """GET /Groups/{id}; without members where they are not wanted, at the cost of a user."""
    projection = ex.projection(GROUP)
    stored = await reads.scim_group(ex.door, ex.ctx, _id(ex), with_members=projection.wants("members"))
    if stored is None:
        raise missing(GROUP, ex.id)
    tag = etag(stored.version)
    if is_unchanged(ex.header("If-None-Match"), tag):
        return answer(304, headers={"ETag": tag})
    return answer(200, await _rendered(ex, stored, projection), _head(ex, stored))


async def replace(ex: Exchange) -> web.Response:
    """PUT /Groups/{id}: the whole resource, members included."""
    body = await ex.body(GROUP, "replace")
    fresh = document_of(GROUP, body, ex.rules)
    change = GroupChange(document=lambda stored: fresh, add=(), remove=(), replace=_members(ex, body))
    return await _shown(ex, await _change(ex, change))


async def modify(ex: Exchange) -> web.Response:
    """PATCH /Groups/{id}: 204, unless the profile or a projection asks for the resource."""
    given = await ex.body(GROUP, "patch")
    operations = patch.operations_of(
        given, ex.settings.max_operations, allow_none=ex.profile.rules.allow_none
    )
    rest, members = members_patch.split(operations, ex.rules)

    def document(stored: Document) -> Document:
        return patch.apply(GROUP, stored, rest, ex.profile.rules)

    change = GroupChange(
        document=document if rest else None,
        add=tuple(members.add),
        remove=tuple(members.remove),
        replace=None if members.replace is None else tuple(members.replace),
    )
    stored = await _change(ex, change)
    if ex.profile.group_patch_answers or "attributes" in ex.query or "excludedAttributes" in ex.query:
        return await _shown(ex, stored)
    return answer(204, headers={"ETag": etag(stored.version)})


async def delete(ex: Exchange) -> web.Response:
    """DELETE /Groups/{id}."""
    await scim_groups.delete_group(ex.door, ex.ctx, _id(ex), if_match=if_match(ex.header("If-Match")))
    return answer(204)


async def listing(ex: Exchange) -> web.Response:
    """GET /Groups with filter, sort, page and projection."""
    projection = ex.projection(GROUP)
    pages = Pages(ex, "groups")
    query = pages.of(list_query(ex, GROUP, projection, pages.paging), GROUP)
    found = await reads.scim_groups(ex.door, ex.ctx, query)
    rendered = [render_group(each, ex.settings.base_url, projection) for each in found.resources]
    return answer(200, pages.answer(Resources.of(rendered), found.total, found.end, GROUP))


async def _change(ex: Exchange, change: GroupChange) -> StoredGroup:
    return await scim_groups.change_group(
        ex.door, ex.ctx, _id(ex), change, if_match=if_match(ex.header("If-Match"))
    )


async def _shown(ex: Exchange, stored: StoredGroup, status: int = 200) -> web.Response:
    """The group with its members, which a change does not read, unless they are not wanted."""
    projection = ex.projection(GROUP)
    if projection.wants("members") and stored.members is None:
        again = await reads.scim_group(ex.door, ex.ctx, GroupId(stored.group_id), with_members=True)
        stored = again or stored
    body = await _rendered(ex, stored, projection)
    return answer(status, body, _head(ex, stored))


def _head(ex: Exchange, stored: StoredGroup) -> dict[str, str]:
    location = group_location(stored.group_id, ex.settings.base_url)
    return {"Location": location, "ETag": etag(stored.version)}


async def _rendered(ex: Exchange, stored: StoredGroup, projection: Projection) -> bytes:
    """The group as JSON; a large one beside the loop, which others wait for."""
    if stored.members is None or len(stored.members) < _LARGE:
        return render_group(stored, ex.settings.base_url, projection)
    return await asyncio.to_thread(render_group, stored, ex.settings.base_url, projection)


def _members(ex: Exchange, body: Mapping[str, Any]) -> tuple[str, ...]:
    given = next((value for key, value in body.items() if key.lower() == "members"), None)
    return tuple(members_patch.member_ids(given, ex.rules))


def _id(ex: Exchange) -> GroupId:
    return GroupId(ex.id or "")
