"""Licences: listed, made, renamed, limited, deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import WHOLE, Input, Listed, ListQuery, Name, Output, Search
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.core.people import UNSET
from scimd.org.grants import catalogue_reads, named, pool_limits


class Licence(Output):
    id: str
    name: str
    people: int = Field(description="How many have it now.")
    limit: int | None = Field(description="How many may have it; null: any number.")
    waiting: int = Field(description="How many wait until fewer than `limit` have it.")
    created_at: datetime

    @classmethod
    def of_named(cls, record: named.NamedRecord) -> Licence:
        return cls(
            id=record.id,
            name=record.name,
            people=record.used,
            limit=record.limit,
            waiting=record.waiting,
            created_at=record.created_at,
        )


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


Limit = Annotated[int, Field(ge=0, le=pool_limits.LIMIT_AT_MOST), WHOLE]
_LIMIT = "How many people may have it; null: any number."


class NewLicence(Input):
    name: Name
    limit: Limit | None = Field(None, description=_LIMIT)


class LicenceChange(Input):
    name: Name | None = None
    limit: Limit | None = Field(None, description=f"{_LIMIT} One below `people` takes it from nobody.")


_MANAGE = ("seats.manage",)


@endpoint("POST", "/licences", needs=_MANAGE, refuses=(InvalidValue, NotUnique), status=201)
async def create(call: Call, body: NewLicence) -> Licence:
    """Make a licence."""
    return Licence.of_named(await named.create(call.door, call.ctx, "licence", body.name, body.limit))


@endpoint("PATCH", "/licences/{id}", needs=_MANAGE, refuses=(NotFound, InvalidValue, NotUnique), etag=True)
async def change(call: Call, body: LicenceChange) -> Licence:
    """Rename a licence, or limit how many have it.

    Rules that name it make a new one of the old name.
    """
    given = body.given()
    if "name" in given and given["name"] is None:
        raise InvalidValue("name", "cannot be emptied")
    changed = await named.change(
        call.door,
        call.ctx,
        "licence",
        call.id,
        name=given.get("name", UNSET),
        limit=given.get("limit", UNSET),
        check=call.unchanged(Licence.of_named),
    )
    return Licence.of_named(changed)


@endpoint("DELETE", "/licences/{id}", needs=_MANAGE, refuses=(NotFound, NotAllowedNow))
async def delete(call: Call) -> None:
    """Delete a licence that nobody has and no rule gives."""
    await named.delete(call.door, call.ctx, "licence", call.id)
