"""For the application whose members scimd manages: may this person in, and what the application reports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field

from scimd.admin.bulk import AT_MOST
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Id, Input, Moment, Output, Query, Text
from scimd.admin.users import Named, UserProject
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound
from scimd.core.people import PersonId, SessionId
from scimd.org.authentication import access
from scimd.org.authentication.access import Attempt

_READ = (access.READ,)
_REPORT = (access.REPORT,)


class Access(Output):
    id: str
    may_enter: bool = Field(description="What to go by.")
    status: Literal["active", "pending", "inactive"]
    causes: list[str] = Field(description="Why they may not, the strongest first.")
    display_name: str
    address: str | None
    roles: list[str] = Field(description="The whole set, the primary one first.")
    projects: list[UserProject]
    licences: list[Named]
    team: Named | None

    @classmethod
    def of_record(cls, found: access.Access) -> Self:
        team = Named(id=found.team_id, name=found.team or "") if found.team_id else None
        values = {name: getattr(found, name) for name in cls.model_fields if name != "team"}
        return cls.model_validate({**values, "team": team})


class AddressQuery(Query):
    address: Text = Field(description="The address to sign in with, whatever its case.")


class ReportedAttempt(Input):
    address: Text = Field(description="As it was typed.")
    ip: Text
    success: bool
    reason: Text = Field("", description="Such as `wrong password`.")


class ReportedAttempts(Input):
    items: Annotated[list[ReportedAttempt], Field(min_length=1, max_length=AT_MOST)]


class ReportedSession(Input):
    person: Id = Field(description="A user's id.")
    ip: Text
    user_agent: Text = ""
    expires_at: Moment = Field(description="Within 90 days.")


class AppSession(Output):
    id: str
    person_id: str
    live: bool = Field(description="Neither ended, nor expired, and the person may come in.")
    started_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None


@endpoint("GET", "/access", needs=_READ, refuses=(NotFound,), etag=True)
async def by_address(call: Call, query: AddressQuery) -> Access:
    """Tell a person's access, by their address."""
    return Access.of_record(await access.of_address(call.door, call.ctx, query.address))


@endpoint("GET", "/access/{id}", needs=_READ, etag=True)
async def show(call: Call) -> Access:
    """Tell a person's access.

    Made to be asked at each request of the application: send the ETag in If-None-Match.
    """
    return Access.of_record(await access.of_person(call.door, call.ctx, call.id))


@endpoint("POST", "/access/sign-ins", needs=_REPORT)
async def report_sign_ins(call: Call, body: ReportedAttempts) -> None:
    """Report attempts to sign in to the application.

    All or none. They are listed beside scimd's own, with the service's name as their origin, and hold
    nobody back from scimd itself.
    """
    many = [Attempt(each.address, each.ip, each.success, each.reason) for each in body.items]
    await access.report_attempts(call.door, call.ctx, many)


@endpoint(
    "POST",
    "/access/sessions",
    needs=_REPORT,
    refuses=(NotFound, InvalidValue, NotAllowedNow),
    status=201,
)
async def begin_session(call: Call, body: ReportedSession) -> AppSession:
    """Report a session of the application.

    Admins see and end it beside scimd's own; what ends a person's sessions ends it, too.
    """
    begun = await access.begin_session(
        call.door, call.ctx, PersonId(body.person), body.ip, body.user_agent, body.expires_at
    )
    return AppSession.of(begun)


@endpoint("GET", "/access/sessions/{id}", needs=_REPORT)
async def show_session(call: Call) -> AppSession:
    """Tell whether a session of the application is live."""
    return AppSession.of(await access.session(call.door, call.ctx, SessionId(call.id)))


@endpoint("DELETE", "/access/sessions/{id}", needs=_REPORT, refuses=(NotFound,))
async def end_session(call: Call) -> None:
    """Report that a session of the application is over."""
    await access.end_session(call.door, call.ctx, SessionId(call.id))
