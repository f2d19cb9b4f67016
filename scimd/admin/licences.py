"""Licences: the list, one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Listed, ListQuery, Output, Search
from scimd.org import catalogue_reads


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
