"""Sessions and attempts to sign in: listed, filtered, ended. One's own, and everybody's."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from scimd.admin.bulk import bulk
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Flag, Listed, ListQuery, Output, Text
from scimd.core.errors import NotFound
from scimd.core.people import SessionId
from scimd.org.authentication import sessions, sign_in_reads


class Session(Output):
    id: str
    person_id: str
    display_name: str
    device: str = Field(description="Browser and operating system, as `Firefox on Linux`.")
    user_agent: str
    ip: str
    started_at: datetime
    last_active_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    origin: str | None = Field(description="The application that reported it; null: scimd's own.")


class LoginAttempt(Output):
    id: str
    person_id: str | None = Field(description="Null: nobody has that address.")
    address: str
    ip: str
    success: bool
    reason: str
    origin: str | None = Field(description="The application that reported it; null: scimd's own.")
    at: datetime


class SessionQuery(ListQuery):
    person: Text | None = Field(None, description="A user's id.")
    live: Flag | None = Field(True, description="Neither ended, nor expired, nor idle for too long.")
    sort: Literal["started", "-started", "last_active", "-last_active"] = "-last_active"


class OwnSessionQuery(ListQuery):
    live: Flag | None = Field(True, description="Neither ended, nor expired, nor idle for too long.")
    sort: Literal["started", "-started", "last_active", "-last_active"] = "-last_active"


class AttemptQuery(ListQuery):
    person: Text | None = Field(None, description="A user's id.")
    address: Text | None = Field(None, description="The whole address that was typed, whatever the case.")
    ip: Text | None = None
    success: Flag | None = None
    sort: Literal["at", "-at"] = "-at"


@endpoint("GET", "/sessions", needs=("users.manage", "audit.read"))
async def index(call: Call, query: SessionQuery) -> Listed[Session]:
    """List sessions."""
    found = await sign_in_reads.list_sessions(
        call.door, call.org_id, call.window, person_id=query.person, live=query.live
    )
    return Listed.of(found, Session.of)


@endpoint("DELETE", "/sessions/{id}", needs=("users.manage",), refuses=(NotFound,))
async def end(call: Call) -> None:
    """End a session.

    It is over at its next request. Ending twice changes nothing.
    """
    await sessions.end(call.door, call.ctx, SessionId(call.id))


end_many = bulk(end, "/sessions/end")


@endpoint("GET", "/me/sessions")
async def own(call: Call, query: OwnSessionQuery) -> Listed[Session]:
    """List one's own sessions."""
    found = await sign_in_reads.list_sessions(
        call.door, call.org_id, call.window, person_id=call.ctx.actor.id, live=query.live
    )
    return Listed.of(found, Session.of)


@endpoint("DELETE", "/me/sessions/{id}", refuses=(NotFound,))
async def end_own(call: Call) -> None:
    """End one of one's own sessions."""
    await sessions.end_own(call.door, call.ctx, SessionId(call.id))


@endpoint("GET", "/login-attempts", needs=("audit.read",))
async def attempts(call: Call, query: AttemptQuery) -> Listed[LoginAttempt]:
    """List attempts to sign in, of 90 days."""
    found = await sign_in_reads.list_attempts(
        call.door,
        call.org_id,
        call.window,
        person_id=query.person,
        address=query.address,
        ip=query.ip,
        success=query.success,
    )
    return Listed.of(found, LoginAttempt.of)
