"""Roles: what each allows, and how many hold it."""

from __future__ import annotations

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Output
from scimd.org import custom_roles


class Role(Output):
    name: str
    label: str
    permissions: list[str]
    may_hold_projects: bool
    built_in: bool
    people: int = Field(description="How many hold it, live or dormant.")


class Roles(Output):
    items: list[Role]


@endpoint("GET", "/roles", needs=("users.read",))
async def index(call: Call) -> Roles:
    """List the roles of the organization.

    All of them, for they are few.
    """
    found = await custom_roles.list_roles(call.door, call.org_id)
    return Roles(items=[Role.of(role) for role in found])
