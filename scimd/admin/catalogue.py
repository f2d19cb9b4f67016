"""What people are given: projects, teams, licences, roles, seats."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Flag, Listed, ListQuery, Output, Search
from scimd.org import catalogue_reads, custom_roles, organizations


class Project(Output):
    id: str
    name: str
    people: int = Field(description="How many take part now.")
    group_id: str | None = Field(description="The group that made it; its name follows the group's.")
    orphaned: bool = Field(description="That group is gone.")
    archived_at: datetime | None
    created_at: datetime


class Team(Output):
    id: str
    name: str
    people: int
    created_at: datetime


class Licence(Output):
    id: str
    name: str
    people: int
    created_at: datetime


class Role(Output):
    name: str
    label: str
    permissions: list[str]
    may_hold_projects: bool
    built_in: bool
    people: int = Field(description="How many hold it, live or dormant.")


class Roles(Output):
    items: list[Role]


class Seats(Output):
    limit: int | None = Field(description="Null: no limit.")
    used: int
    free: int | None
    waiting: int = Field(description="People who wait for a seat.")
    policy: Literal["hold", "reject", "allow"] = Field(description="What a push finds where none is free.")
    get_more_url: str | None


class ThingQuery(ListQuery):
    q: Search | None = Field(None, description="A part of the name.")
    sort: Literal["name", "-name", "created", "-created"] = "name"


class ProjectQuery(ThingQuery):
    archived: Flag = Field(False, description="The archived ones instead.")


@endpoint("GET", "/projects", needs=("users.read", "projects.manage"))
async def list_projects(call: Call, query: ProjectQuery) -> Listed[Project]:
    """List projects."""
    found = await catalogue_reads.list_projects(
        call.door, call.org_id, call.window, q=query.q, archived=query.archived
    )
    return Listed.of(found, Project.of)


@endpoint("GET", "/projects/{id}", needs=("users.read", "projects.manage"), etag=True)
async def show_project(call: Call) -> Project:
    """Show a project."""
    return Project.of(await catalogue_reads.get_project(call.door, call.org_id, call.id))


@endpoint("GET", "/teams", needs=("users.read",))
async def list_teams(call: Call, query: ThingQuery) -> Listed[Team]:
    """List teams."""
    found = await catalogue_reads.list_things(call.door, call.org_id, "team", call.window, q=query.q)
    return Listed.of(found, Team.of)


@endpoint("GET", "/teams/{id}", needs=("users.read",), etag=True)
async def show_team(call: Call) -> Team:
    """Show a team."""
    return Team.of(await catalogue_reads.get_thing(call.door, call.org_id, "team", call.id))


@endpoint("GET", "/licences", needs=("users.read", "seats.manage"))
async def list_licences(call: Call, query: ThingQuery) -> Listed[Licence]:
    """List licences."""
    found = await catalogue_reads.list_things(call.door, call.org_id, "licence", call.window, q=query.q)
    return Listed.of(found, Licence.of)


@endpoint("GET", "/licences/{id}", needs=("users.read", "seats.manage"), etag=True)
async def show_licence(call: Call) -> Licence:
    """Show a licence."""
    return Licence.of(await catalogue_reads.get_thing(call.door, call.org_id, "licence", call.id))


@endpoint("GET", "/roles", needs=("users.read",))
async def list_roles(call: Call) -> Roles:
    """List the roles of the organization.

    All of them, for they are few.
    """
    found = await custom_roles.list_roles(call.door, call.org_id)
    return Roles(items=[Role.of(role) for role in found])


@endpoint("GET", "/seats", needs=("users.read", "seats.manage"))
async def show_seats(call: Call) -> Seats:
    """Show how many seats there are, are used, and are waited for."""
    found = await organizations.by_slug(call.door, call.visit.organization.slug)
    return Seats(
        limit=found.seats,
        used=found.seats_used,
        free=None if found.seats is None else max(0, found.seats - found.seats_used),
        waiting=found.seats_waited_for,
        policy=found.seats_on_scim,
        get_more_url=found.get_more_seats_url,
    )
