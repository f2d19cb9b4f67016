"""Roles: what each allows, and how many hold it; and roles of the organization's own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Input, Listed, ListQuery, Name, Output
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique, OwnAccount
from scimd.core.people import RoleName
from scimd.core.roles import OrgRole, Permission
from scimd.org.grants import custom_roles
from scimd.org.windows import part


class Role(Output):
    name: str
    label: str
    permissions: list[str]
    may_hold_projects: bool
    built_in: bool
    people: int = Field(description="How many hold it, live or dormant.")


class RoleValues(Input):
    label: Name
    permissions: Annotated[list[Permission], Field(max_length=100)]
    may_hold_projects: bool = True


class NewRole(RoleValues):
    name: Name = Field(description="Small letters, digits, dashes.")


class RoleQuery(ListQuery):
    sort: Literal["name", "-name"] = "name"


@endpoint("GET", "/roles", needs=("users.read",))
async def index(call: Call, query: RoleQuery) -> Listed[Role]:
    """List the roles of the organization."""
    found = await custom_roles.list_roles(call.door, call.org_id)
    return Listed.of(part(found, call.window, lambda row: row.name), Role.of)


@endpoint("GET", "/roles/{name}", needs=("users.read",), etag=True)
async def show(call: Call) -> Role:
    """Show a role."""
    return await _shown(call, call.path["name"])


async def _shown(call: Call, name: str) -> Role:
    return Role.of(await custom_roles.get(call.door, call.org_id, RoleName(name)))


def _of(name: str, values: RoleValues) -> OrgRole:
    return OrgRole(RoleName(name), values.label, frozenset(values.permissions), values.may_hold_projects)


@endpoint("POST", "/roles", needs=("organization.manage",), refuses=(InvalidValue, NotUnique))
async def create(call: Call, body: NewRole) -> Role:
    """Make a role.

    Nobody puts into it what they may not do themselves.
    """
    await custom_roles.create(call.door, call.ctx, _of(body.name, body))
    return await _shown(call, body.name)


@endpoint(
    "PUT",
    "/roles/{name}",
    needs=("organization.manage",),
    refuses=(NotFound, InvalidValue, NotAllowedNow, OwnAccount),
    etag=True,
    needs_if_match=True,
)
async def replace(call: Call, body: RoleValues) -> Role:
    """Replace what a role of one's own is.

    It counts at the next request of everybody who holds it.
    """
    name = call.path["name"]
    await custom_roles.change(call.door, call.ctx, _of(name, body), call.unchanged(Role.of))
    return await _shown(call, name)


@endpoint("DELETE", "/roles/{name}", needs=("organization.manage",), refuses=(NotFound, NotAllowedNow))
async def delete(call: Call) -> None:
    """Delete a role of one's own that nobody holds and no rule gives."""
    await custom_roles.delete(call.door, call.ctx, RoleName(call.path["name"]))
