"""The log of SCIM requests. Its values are pseudonyms (docs/request-log.md)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import WHOLE, Listed, ListQuery, Moment, Name, Output, Text
from scimd.core.people import SourceId, TokenId
from scimd.org.request_log import request_log
from scimd.org.request_log.request_log import Wanted
from scimd.org.request_log.request_people import sought
from scimd.org.windows import Place, Slice

_NEEDS = ("sources.manage", "audit.read")


class ScimRequest(Output):
    id: str
    at: datetime
    token_id: str | None
    token_name: str
    source_id: str | None
    source_name: str
    profile: str
    correlation_id: str
    method: str
    path: str
    query: str | None
    status: int
    scim_type: str | None
    detail: str | None
    duration_us: int
    resource_kind: str | None
    resource_id: str | None
    dropped: int = Field(description="So many entries before this one were lost.")


class ScimRequestDetail(ScimRequest):
    pattern: str
    headers: dict[str, str]
    transforms: list[dict[str, str]] = Field(description="What the profile changed, and why.")
    ignored: list[dict[str, str]]
    request: str | None = Field(description="The body, as JSON text.")
    response: str | None
    omitted: list[str] = Field(
        description="Bodies that were not kept, as they are too large or could not be read."
    )


class ScimRequestQuery(ListQuery):
    source: Text | None = Field(None, description="A source's id.")
    token: Text | None = Field(None, description="A token's id.")
    status: Annotated[int, Field(ge=1, le=599), WHOLE] | None = Field(
        None, description="4 and 5 stand for all of 4xx and 5xx."
    )
    method: Text | None = None
    resource: Text | None = Field(None, description="A resource's id.")
    person: Name | None = Field(
        None,
        description="A user's userName, externalId, id or address: what was asked of them by their id, and "
        "what says so by a pseudonym, also of somebody who never arrived.",
    )
    correlation: Text | None = Field(None, description="The request's id in answers and audit.")
    since: Moment | None = None
    until: Moment | None = None
    only: Literal["errors", "writes"] | None = None


@endpoint("GET", "/scim-requests", needs=_NEEDS)
async def index(call: Call, query: ScimRequestQuery) -> Listed[ScimRequest]:
    """List SCIM requests, the newest first."""
    wanted = Wanted(
        source_id=SourceId(query.source) if query.source else None,
        token_id=TokenId(query.token) if query.token else None,
        status=query.status,
        method=query.method,
        correlation_id=query.correlation,
        resource_id=query.resource,
        person=await sought(call.door, call.org_id, query.person) if query.person is not None else None,
        since=query.since,
        until=query.until,
        only=query.only,
    )
    after = call.window.after
    page = await request_log.list_requests(
        call.door,
        call.org_id,
        wanted,
        before=None if after is None else str(after.id),
        limit=call.window.limit,
    )
    place = None if page.older is None else Place(None, page.older)
    total = await request_log.count(call.door, call.org_id, wanted) if call.window.total else None
    return Listed.of(Slice(page.requests, place, total), ScimRequest.of)


@endpoint("GET", "/scim-requests/{id}", needs=_NEEDS)
async def show(call: Call) -> ScimRequestDetail:
    """Show a SCIM request with its bodies, and what the profile changed of it.

    By its id, or by the `X-Request-Id` of its answer.
    """
    return ScimRequestDetail.of(await request_log.get_request(call.door, call.org_id, call.id))
