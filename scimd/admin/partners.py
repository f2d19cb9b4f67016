"""Partners: who sees whose queue, and the queue itself for a partner's people."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from scimd.admin.bulk import AT_MOST, in_rows
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Id, Input, Listed, ListQuery, Name, Nothing, Output, Rows, Text
from scimd.admin.organization import OrganizationLine, operator_of
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.core.people import PersonId
from scimd.org.organizations import partners
from scimd.org.windows import part

_MANAGE = ("organization.manage",)
_APPROVE = ("partner.approve",)


class Queue(Output):
    partner: str = Field(description="The partner's slug.")
    organization: str = Field(description="The slug of the organization whose newcomers it approves.")
    since: datetime


class Waiting(Output):
    """Somebody who waits for approval, as far as a partner may see them."""

    organization: str
    person_id: str
    display_name: str
    address: str | None
    source: str | None = Field(description="Null: by hand.")
    since: datetime


class NewPartner(Input):
    slug: Text = Field(description="Small letters, digits and dashes.")
    display_name: Name | None = None


class Assigned(Input):
    partner: Id = Field(description="The partner's slug.")


class Approved(Input):
    organization: Id = Field(description="The slug of their organization.")
    id: Id


class Approvals(Input):
    items: Annotated[list[Approved], Field(min_length=1, max_length=AT_MOST)]


class PartnerQuery(ListQuery):
    sort: Literal["partner", "-partner"] = "partner"


class ApprovalQuery(ListQuery):
    sort: Literal["since", "-since"] = "since"


# ------------------------------------------------------------------------------ for operators


@endpoint("GET", "/partner-queues", needs=_MANAGE, of_installation=True)
async def index(call: Call, query: PartnerQuery) -> Listed[Queue]:
    """List which partner sees which organization's queue."""
    found = await partners.list_queues(call.door)
    return Listed.of(part(found, call.window, lambda row: f"{row.partner} {row.organization}"), Queue.of)


@endpoint("POST", "/partners", needs=_MANAGE, refuses=(InvalidValue, NotUnique), of_installation=True)
async def create(call: Call, body: NewPartner) -> OrganizationLine:
    """Make a partner: an organization of people with the role *approver*."""
    made = await partners.create(
        call.door, body.slug, body.display_name, operator_of(call), "api", call.ctx.once
    )
    return OrganizationLine.of(made)


@endpoint(
    "POST",
    "/organization/partners",
    needs=_MANAGE,
    refuses=(NotFound, NotAllowedNow),
    operators_only=True,
)
async def assign(call: Call, body: Assigned) -> None:
    """Show the organization's approval queue to a partner."""
    await partners.assign(call.door, call.ctx, body.partner)


@endpoint(
    "DELETE",
    "/organization/partners/{partner}",
    needs=_MANAGE,
    refuses=(NotFound, NotAllowedNow),
    operators_only=True,
)
async def unassign(call: Call) -> None:
    """Take the organization's approval queue away from a partner."""
    await partners.unassign(call.door, call.ctx, call.path["partner"])


# ------------------------------------------------------------------------------ for a partner's people


@endpoint("GET", "/approvals", needs=_APPROVE)
async def queue(call: Call, query: ApprovalQuery) -> Listed[Waiting]:
    """List who waits for the partner's approval."""
    found = await partners.queue(call.door, call.org_id, limit=10_000)
    by = part(found, call.window, lambda row: f"{row.since.isoformat()} {row.person_id}")
    return Listed.of(by, Waiting.of)


@endpoint("POST", "/approvals/{organization}/{id}/approve", needs=_APPROVE, refuses=(NotFound,))
async def approve(call: Call) -> None:
    """Approve somebody, who then queues for a seat in their organization."""
    await partners.approve(call.door, call.ctx, call.path["organization"], PersonId(call.id))


@endpoint("POST", "/approvals/approve", needs=_APPROVE)
async def approve_many(call: Call, body: Approvals) -> Rows[Nothing]:
    """Approve many at once."""

    async def one(row: Approved) -> None:
        await partners.approve(call.door, call.ctx, row.organization, PersonId(row.id))

    return await in_rows(body.items, one, 204)
