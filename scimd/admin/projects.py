"""Projects: listed, made, renamed, archived; and who takes part, by whose word."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from scimd.admin.bulk import bulk
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import WHOLE, Flag, Input, Listed, ListQuery, Name, Output, Search
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique, OwnedBySource
from scimd.core.people import UNSET, ProjectId
from scimd.org.grants import catalogue_reads, pool_limits, project_upkeep


class Project(Output):
    id: str
    name: str
    people: int = Field(description="How many take part now.")
    limit: int | None = Field(description="How many may take part; null: any number.")
    waiting: int = Field(description="How many wait until fewer than `limit` take part.")
    group_id: str | None = Field(description="The group that made it; its name follows the group's.")
    orphaned: bool = Field(description="That group is gone.")
    archived_at: datetime | None
    created_at: datetime


class ProjectQuery(ListQuery):
    q: Search | None = Field(None, description="A part of the name.")
    sort: Literal["name", "-name", "created", "-created"] = "name"
    archived: Flag = Field(False, description="The archived ones instead.")


@endpoint("GET", "/projects", needs=("users.read", "projects.manage"))
async def index(call: Call, query: ProjectQuery) -> Listed[Project]:
    """List projects."""
    found = await catalogue_reads.list_projects(
        call.door, call.org_id, call.window, q=query.q, archived=query.archived
    )
    return Listed.of(found, Project.of)


@endpoint("GET", "/projects/{id}", needs=("users.read", "projects.manage"), etag=True)
async def show(call: Call) -> Project:
    """Show a project."""
    return Project.of(await catalogue_reads.get_project(call.door, call.org_id, call.id))


# ------------------------------------------------------------------------------ changing

_MANAGE = ("projects.manage",)


Limit = Annotated[int, Field(ge=0, le=pool_limits.LIMIT_AT_MOST), WHOLE]
_LIMIT = "How many people may take part; null: any number."


class NewProject(Input):
    name: Name
    limit: Limit | None = Field(None, description=_LIMIT)


class ProjectChange(Input):
    name: Name | None = None
    limit: Limit | None = Field(None, description=f"{_LIMIT} One below `people` removes nobody.")


async def _shown(call: Call, project_id: str) -> Project:
    return Project.of(await catalogue_reads.get_project(call.door, call.org_id, project_id))


@endpoint("POST", "/projects", needs=_MANAGE, refuses=(InvalidValue, NotUnique), status=201)
async def create(call: Call, body: NewProject) -> Project:
    """Make a project."""
    return await _shown(call, await project_upkeep.create(call.door, call.ctx, body.name, body.limit))


@endpoint(
    "PATCH",
    "/projects/{id}",
    needs=_MANAGE,
    refuses=(NotFound, InvalidValue, NotUnique, NotAllowedNow, OwnedBySource),
    etag=True,
)
async def change(call: Call, body: ProjectChange) -> Project:
    """Rename a project, or limit how many take part.

    The name of one that a living group made follows the group's.
    """
    given = body.given()
    if "name" in given and given["name"] is None:
        raise InvalidValue("name", "cannot be emptied")
    await project_upkeep.change(
        call.door,
        call.ctx,
        ProjectId(call.id),
        name=given.get("name", UNSET),
        limit=given.get("limit", UNSET),
        check=call.unchanged(Project.of),
    )
    return await _shown(call, call.id)


@endpoint("POST", "/projects/{id}/archive", needs=_MANAGE, refuses=(NotFound, NotAllowedNow))
async def archive(call: Call) -> Project:
    """Archive a project.

    Everybody's part in it goes dormant, and its name is free.
    """
    await project_upkeep.archive(call.door, call.ctx, ProjectId(call.id))
    return await _shown(call, call.id)


@endpoint("POST", "/projects/{id}/unarchive", needs=_MANAGE, refuses=(NotFound, NotUnique))
async def unarchive(call: Call) -> Project:
    """Bring back an archived project, with everybody's part in it."""
    await project_upkeep.unarchive(call.door, call.ctx, ProjectId(call.id))
    return await _shown(call, call.id)


archive_many = bulk(archive, "/projects/archive")


class ProjectMember(Output):
    """One reason for which somebody takes part."""

    person_id: str
    display_name: str
    status: str
    project_role: str | None
    origin: Literal["manual", "group", "default"]
    by: str = Field(description="The admin, or the group's name.")
    source: str | None
    rule: int | None
    dormant: bool = Field(description="Kept, and without effect for now.")
    waiting: bool = Field(description="Dormant until fewer than `limit` take part.")
    since: datetime


class MemberQuery(ListQuery):
    sort: Literal["since", "-since", "name", "-name"] = "since"


@endpoint("GET", "/projects/{id}/members", needs=("users.read", "projects.manage"))
async def members(call: Call, query: MemberQuery) -> Listed[ProjectMember]:
    """List who takes part in a project: a row for each reason."""
    found = await project_upkeep.members_window(call.door, call.org_id, call.id, call.window)
    return Listed.of(found, ProjectMember.of)
