"""Groups as sources push or bring them, and their members."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Listed, ListQuery, Output, Search, Text
from scimd.org.grants import catalogue_reads


class Group(Output):
    id: str
    external_id: str | None
    display_name: str
    source_id: str
    source_name: str
    members: int = Field(description="Direct ones, those not yet known among them.")
    created_at: datetime
    changed_at: datetime


class Member(Output):
    key: str = Field(description="What the source calls the member.")
    kind: Literal["user", "group", "unknown"]
    id: str | None
    name: str | None
    since: datetime


class GroupQuery(ListQuery):
    q: Search | None = Field(None, description="A part of the name.")
    source: Text | None = Field(None, description="A source's id.")
    sort: Literal["name", "-name", "created", "-created"] = "name"


@endpoint("GET", "/groups", needs=("users.read",))
async def index(call: Call, query: GroupQuery) -> Listed[Group]:
    """List groups."""
    found = await catalogue_reads.list_groups(
        call.door, call.org_id, call.window, q=query.q, source_id=query.source
    )
    return Listed.of(found, Group.of)


@endpoint("GET", "/groups/{id}", needs=("users.read",))
async def show(call: Call) -> Group:
    """Show a group."""
    return Group.of(await catalogue_reads.get_group(call.door, call.org_id, call.id))


@endpoint("GET", "/groups/{id}/members", needs=("users.read",))
async def members(call: Call) -> Listed[Member]:
    """List a group's direct members."""
    found = await catalogue_reads.list_members(call.door, call.org_id, call.id, call.window)
    return Listed.of(found, Member.of)
