"""Teams: listed, made, renamed, deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Input, Listed, ListQuery, Name, Output, Search
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.org.grants import catalogue_reads, named


class Team(Output):
    id: str
    name: str
    people: int = Field(description="How many have it now.")
    created_at: datetime

    @classmethod
    def of_named(cls, record: named.NamedRecord) -> Team:
        return cls(id=record.id, name=record.name, people=record.used, created_at=record.created_at)


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


class NewTeam(Input):
    name: Name


_MANAGE = ("users.manage",)


@endpoint("POST", "/teams", needs=_MANAGE, refuses=(InvalidValue, NotUnique), status=201)
async def create(call: Call, body: NewTeam) -> Team:
    """Make a team."""
    return Team.of_named(await named.create(call.door, call.ctx, "team", body.name))


@endpoint("PATCH", "/teams/{id}", needs=_MANAGE, refuses=(NotFound, InvalidValue, NotUnique), etag=True)
async def change(call: Call, body: NewTeam) -> Team:
    """Rename a team.

    Rules that name it make a new one of the old name.
    """
    check = call.unchanged(Team.of_named)
    return Team.of_named(await named.rename(call.door, call.ctx, "team", call.id, body.name, check))


@endpoint("DELETE", "/teams/{id}", needs=_MANAGE, refuses=(NotFound, NotAllowedNow))
async def delete(call: Call) -> None:
    """Delete a team that nobody has and no rule gives."""
    await named.delete(call.door, call.ctx, "team", call.id)
