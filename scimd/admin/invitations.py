"""Invitations: the list, and what can be done with one that was made."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from scimd.admin.bulk import bulk
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Listed, ListQuery, Output, Search
from scimd.core.errors import InvitationClosed, NotAllowedNow, NotFound, SeatLimitReached
from scimd.core.people import InvitationId
from scimd.org import invitation_list, invitations

Status = Literal["pending", "accepted", "declined", "expired", "cancelled"]


class Invitation(Output):
    id: str
    person_id: str
    display_name: str
    address: str
    status: Status = Field(description="By the clock.")
    staged: bool = Field(description="Its mail waits for the source's release.")
    message: str | None
    invited_by: str
    source_id: str | None
    created_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    delivery: str | None = Field(description="What became of the newest mail.")
    why: str | None = Field(description="Why the mail was refused.")


class CopiedLink(Output):
    url: str = Field(description="For the invited person only. It does not prove their address.")


class InvitationQuery(ListQuery):
    q: Search | None = Field(None, description="A part of a name or an address.")
    status: Status | None = None
    sort: Literal["created", "-created", "address", "-address", "expires", "-expires"] = "-created"


_CHANGES = (NotFound, InvitationClosed, NotAllowedNow)


@endpoint("GET", "/invitations", needs=("invitations.manage", "users.read"))
async def index(call: Call, query: InvitationQuery) -> Listed[Invitation]:
    """List invitations."""
    found = await invitation_list.window(call.door, call.org_id, call.window, status=query.status, q=query.q)
    return Listed.of(found, Invitation.of)


@endpoint("GET", "/invitations/{id}", needs=("invitations.manage", "users.read"), etag=True)
async def show(call: Call) -> Invitation:
    """Show an invitation."""
    return Invitation.of(await invitation_list.get(call.door, call.org_id, call.id))


@endpoint(
    "POST",
    "/invitations/{id}/resend",
    needs=("invitations.manage",),
    refuses=(*_CHANGES, SeatLimitReached),
)
async def resend(call: Call) -> Invitation:
    """Send an invitation again.

    Older links die. An expired one is open again, and takes a seat again.
    """
    return Invitation.of(await invitations.resend(call.door, call.ctx, InvitationId(call.id)))


@endpoint("POST", "/invitations/{id}/withdraw", needs=("invitations.manage",), refuses=_CHANGES)
async def withdraw(call: Call) -> Invitation:
    """Withdraw an invitation.

    It is kept as cancelled, and its seat is free.
    """
    return Invitation.of(await invitations.withdraw(call.door, call.ctx, InvitationId(call.id)))


@endpoint(
    "POST",
    "/invitations/{id}/copy-link",
    needs=("invitations.manage",),
    refuses=(*_CHANGES, SeatLimitReached),
)
async def copy_link(call: Call) -> CopiedLink:
    """Make a link to hand over.

    Audited each time. An expired invitation is renewed. Accepting by this link does not verify the
    address.
    """
    token = await invitations.copy_link(call.door, call.ctx, InvitationId(call.id))
    return CopiedLink(url=f"{call.config.server.public_url.rstrip('/')}/invitation/{token}")


resend_many = bulk(resend, "/invitations/resend")
withdraw_many = bulk(withdraw, "/invitations/withdraw")
