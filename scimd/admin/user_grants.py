"""What a hand gives to users and takes from them: roles, projects, team, licences.

What a source's rule gives is refused with the source's name: it would come back at the next look.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from scimd.admin.bulk import AT_MOST, bulk, in_rows
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Id, Input, Name, Rows, Text
from scimd.admin.users import User
from scimd.core.errors import (
    InvalidValue,
    NotAllowedNow,
    NotFound,
    OwnAccount,
    OwnedBySource,
    PoolLimitReached,
    Protected,
    SeatLimitReached,
)
from scimd.core.people import LicenceId, PersonId, ProjectId, RoleName, TeamId
from scimd.core.roles import MEMBER
from scimd.org.grants import assignments
from scimd.org.users import user_reads

_REFUSES = (
    NotFound,
    InvalidValue,
    NotAllowedNow,
    OwnedBySource,
    Protected,
    PoolLimitReached,
    SeatLimitReached,
)
_ROLES = (*_REFUSES, OwnAccount)


class GivenRole(Input):
    role: Name = Field(description="A role's name.")


class TakenRole(Input):
    id: Id
    role: Text = Field(description="A role's name.")


class TakenRoles(Input):
    items: Annotated[list[TakenRole], Field(min_length=1, max_length=AT_MOST)]


class GivenProject(Input):
    project: Id = Field(description="A project's id.")
    role: Name = Field(MEMBER, description="`owner`, `member` or `viewer`, or one of your own.")


class ProjectRole(Input):
    role: Name = Field(MEMBER, description="`owner`, `member` or `viewer`, or one of your own.")


class TakenProject(Input):
    id: Id
    project: Id = Field(description="A project's id.")


class TakenProjects(Input):
    items: Annotated[list[TakenProject], Field(min_length=1, max_length=AT_MOST)]


class GivenTeam(Input):
    team: Id = Field(description="A team's id.")


async def _shown(call: Call, person_id: str) -> User:
    return User.of(await user_reads.get_user(call.door, call.org_id, person_id))


# ------------------------------------------------------------------------------ roles


@endpoint("PUT", "/users/{id}/role", needs=("users.manage",), refuses=_ROLES)
async def set_role(call: Call, body: GivenRole) -> User:
    """Set a user's role.

    It takes the place of every role that a hand gave, and is the primary one. Nobody gives what they
    lack themselves, or changes their own.
    """
    await assignments.set_role(call.door, call.ctx, PersonId(call.id), RoleName(body.role))
    return await _shown(call, call.id)


@endpoint("POST", "/users/{id}/roles", needs=("users.manage",), refuses=_ROLES)
async def add_role(call: Call, body: GivenRole) -> User:
    """Add a role to a user's set."""
    await assignments.add_role(call.door, call.ctx, PersonId(call.id), RoleName(body.role))
    return await _shown(call, call.id)


@endpoint("DELETE", "/users/{id}/roles/{role}", needs=("users.manage",), refuses=_ROLES)
async def remove_role(call: Call) -> User:
    """Take a role from a user that a hand gave."""
    await assignments.remove_role(call.door, call.ctx, PersonId(call.id), RoleName(call.path["role"]))
    return await _shown(call, call.id)


set_role_many = bulk(set_role, "/users/set-role")
add_role_many = bulk(add_role, "/users/add-role")


@endpoint("POST", "/users/remove-role", needs=("users.manage",))
async def remove_role_many(call: Call, body: TakenRoles) -> Rows[User]:
    """Take roles from users that a hand gave: many at once."""

    async def one(row: TakenRole) -> User:
        found: User = await remove_role(replace(call, path=row.model_dump()))
        return found

    return await in_rows(body.items, one)


# ------------------------------------------------------------------------------ projects


@endpoint("POST", "/users/{id}/projects", needs=("projects.manage",), refuses=_REFUSES)
async def add_project(call: Call, body: GivenProject) -> User:
    """Let a user take part in a project, by hand.

    A stronger role that a group gives still wins.
    """
    person_id, project_id = PersonId(call.id), ProjectId(body.project)
    await assignments.set_project(call.door, call.ctx, person_id, project_id, RoleName(body.role))
    return await _shown(call, call.id)


@endpoint("PUT", "/users/{id}/projects/{project}", needs=("projects.manage",), refuses=_REFUSES)
async def set_project(call: Call, body: ProjectRole) -> User:
    """Set a user's role in a project, and let them take part in it if they do not."""
    person_id, project_id = PersonId(call.id), ProjectId(call.path["project"])
    await assignments.set_project(call.door, call.ctx, person_id, project_id, RoleName(body.role))
    return await _shown(call, call.id)


@endpoint("DELETE", "/users/{id}/projects/{project}", needs=("projects.manage",), refuses=_REFUSES)
async def remove_project(call: Call) -> User:
    """Take a user out of a project into which a hand put them.

    Somebody whose role needs a project keeps the last one.
    """
    project_id = ProjectId(call.path["project"])
    await assignments.remove_project(call.door, call.ctx, PersonId(call.id), project_id)
    return await _shown(call, call.id)


add_project_many = bulk(add_project, "/users/add-project")


@endpoint("POST", "/users/remove-project", needs=("projects.manage",))
async def remove_project_many(call: Call, body: TakenProjects) -> Rows[User]:
    """Take users out of projects: many at once."""

    async def one(row: TakenProject) -> User:
        found: User = await remove_project(replace(call, path=row.model_dump()))
        return found

    return await in_rows(body.items, one)


# ------------------------------------------------------------------------------ team, licences


@endpoint("PUT", "/users/{id}/team", needs=("users.manage",), refuses=_REFUSES)
async def set_team(call: Call, body: GivenTeam) -> User:
    """Put a user into a team by hand. Each is in one."""
    await assignments.set_team(call.door, call.ctx, PersonId(call.id), TeamId(body.team))
    return await _shown(call, call.id)


@endpoint("DELETE", "/users/{id}/team", needs=("users.manage",), refuses=_REFUSES)
async def remove_team(call: Call) -> User:
    """Take a user out of the team into which a hand put them.

    From then on rules decide.
    """
    await assignments.set_team(call.door, call.ctx, PersonId(call.id), None)
    return await _shown(call, call.id)


set_team_many = bulk(set_team, "/users/set-team")
remove_team_many = bulk(remove_team, "/users/remove-team")


@endpoint("PUT", "/users/{id}/licences/{licence}", needs=("seats.manage",), refuses=_REFUSES)
async def give_licence(call: Call) -> User:
    """Give a user a licence by hand."""
    await assignments.give_licence(call.door, call.ctx, PersonId(call.id), LicenceId(call.path["licence"]))
    return await _shown(call, call.id)


@endpoint("DELETE", "/users/{id}/licences/{licence}", needs=("seats.manage",), refuses=_REFUSES)
async def take_licence(call: Call) -> User:
    """Take back a licence that a hand gave."""
    await assignments.take_licence(call.door, call.ctx, PersonId(call.id), LicenceId(call.path["licence"]))
    return await _shown(call, call.id)
