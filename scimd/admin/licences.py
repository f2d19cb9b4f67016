"""Licences: listed, made, renamed, deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Input, Listed, ListQuery, Name, Output, Search
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.org import catalogue_reads, named


class Licence(Output):
    id: str
    name: str
    people: int
    created_at: datetime


class LicenceQuery(ListQuery):
    q: Search | None = Field(None, description="A part of the name.")
    sort: Literal["name", "-name", "created", "-created"] = "name"


@endpoint("GET", "/licences", needs=("users.read", "seats.manage"))
async def index(call: Call, query: LicenceQuery) -> Listed[Licence]:
    """List licences."""
    found = await catalogue_reads.list_things(call.door, call.org_id, "licence", call.window, q=query.q)
    return Listed.of(found, Licence.of)


@endpoint("GET", "/licences/{id}", needs=("users.read", "seats.manage"), etag=True)
async def show(call: Call) -> Licence:
    """Show a licence."""
    return Licence.of(await catalogue_reads.get_thing(call.door, call.org_id, "licence", call.id))


class NewLicence(Input):
    name: Name


_MANAGE = ("seats.manage",)


@endpoint("POST", "/licences", needs=_MANAGE, refuses=(InvalidValue, NotUnique), status=201)
async def create(call: Call, body: NewLicence) -> Licence:
    """Make a licence."""
    return Licence.of(await named.create(call.door, call.ctx, "licence", body.name))


@endpoint("PATCH", "/licences/{id}", needs=_MANAGE, refuses=(NotFound, InvalidValue, NotUnique), etag=True)
async def change(call: Call, body: NewLicence) -> Licence:
    """Rename a licence.

    Rules that name it make a new one of the old name.
    """
    check = call.unchanged(Licence.of)
    return Licence.of(await named.rename(call.door, call.ctx, "licence", call.id, body.name, check))


@endpoint("DELETE", "/licences/{id}", needs=_MANAGE, refuses=(NotFound, NotAllowedNow))
async def delete(call: Call) -> None:
    """Delete a licence that nobody has and no rule gives."""
    await named.delete(call.door, call.ctx, "licence", call.id)
