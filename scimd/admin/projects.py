"""Projects: the list, one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Flag, Listed, ListQuery, Output, Search
from scimd.org import catalogue_reads


class Project(Output):
    id: str
    name: str
    people: int = Field(description="How many take part now.")
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
