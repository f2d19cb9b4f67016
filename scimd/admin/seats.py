"""Seats: how many there are, are used, and are waited for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Output
from scimd.org import organizations


class Seats(Output):
    limit: int | None = Field(description="Null: no limit.")
    used: int
    free: int | None
    waiting: int = Field(description="People who wait for a seat.")
    policy: Literal["hold", "reject", "allow"] = Field(description="What a push finds where none is free.")
    get_more_url: str | None


@endpoint("GET", "/seats", needs=("users.read", "seats.manage"))
async def show(call: Call) -> Seats:
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
