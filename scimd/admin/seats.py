"""Seats: how many there are, are used, and are waited for."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import WHOLE, Input, Listed, ListQuery, Output
from scimd.core.errors import NotAllowedNow
from scimd.org.grants import seat_history
from scimd.org.organizations import organizations
from scimd.org.windows import part


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
    return await _shown(call)


async def _shown(call: Call) -> Seats:
    found = await organizations.by_slug(call.door, call.visit.organization.slug)
    return Seats(
        limit=found.seats,
        used=found.seats_used,
        free=None if found.seats is None else max(0, found.seats - found.seats_used),
        waiting=found.seats_waited_for,
        policy=found.seats_on_scim,
        get_more_url=found.get_more_seats_url,
    )


class SeatLimit(Input):
    limit: Annotated[int, Field(ge=0, le=1_000_000_000), WHOLE] | None = Field(description="Null: no limit.")


class SeatDay(Output):
    day: date
    used: int = Field(description="The most of that day.")
    limit: int | None = Field(description="Null: no limit.")
    waited_for: int = Field(description="The most of that day.")


class HistoryQuery(ListQuery):
    days: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(90, description="So many days back.")
    sort: Literal["day", "-day"] = "day"


@endpoint("PUT", "/seats", needs=("seats.manage",), refuses=(NotAllowedNow,))
async def replace(call: Call, body: SeatLimit) -> Seats:
    """Set how many seats there are.

    Whoever waits takes what is free now; a limit below what is used evicts nobody. One that the
    config file declares is refused (409).
    """
    await organizations.set_seats(call.door, call.ctx, body.limit)
    return await _shown(call)


@endpoint("GET", "/seats/history", needs=("users.read", "seats.manage"))
async def history(call: Call, query: HistoryQuery) -> Listed[SeatDay]:
    """List the most seats used on each day.

    They are looked at every five minutes: what came and went in between is not counted. Days on which
    scimd did not run are left out.
    """
    found = await seat_history.history(call.door, call.org_id, days=query.days)
    return Listed.of(part(found, call.window, lambda row: row.day.isoformat()), SeatDay.of)
