"""Teams: the list, one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Listed, ListQuery, Output, Search
from scimd.org import catalogue_reads


class Team(Output):
    id: str
    name: str
    people: int
    created_at: datetime


class TeamQuery(ListQuery):
    q: Search | None = Field(None, description="A part of the name.")
    sort: Literal["name", "-name", "created", "-created"] = "name"


@endpoint("GET", "/teams", needs=("users.read",))
async def index(call: Call, query: TeamQuery) -> Listed[Team]:
    """List teams."""
    found = await catalogue_reads.list_things(call.door, call.org_id, "team", call.window, q=query.q)
    return Listed.of(found, Team.of)


@endpoint("GET", "/teams/{id}", needs=("users.read",), etag=True)
async def show(call: Call) -> Team:
    """Show a team."""
    return Team.of(await catalogue_reads.get_thing(call.door, call.org_id, "team", call.id))
