"""Invitations: made for one or many addresses, listed, and what can be done with one that was made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from scimd.admin.bulk import bulk
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import (
    WHOLE,
    Id,
    Input,
    Listed,
    ListQuery,
    LongText,
    Name,
    Output,
    Refused,
    Rows,
    Search,
    Text,
)
from scimd.admin.users import Projects, UserProject, projects_of
from scimd.core.errors import (
    InvalidValue,
    InvitationClosed,
    NotAllowedNow,
    NotFound,
    PoolLimitReached,
    SeatLimitReached,
)
from scimd.core.people import UNSET, InvitationId, RoleName, TeamId
from scimd.core.roles import USER
from scimd.http import statuses
from scimd.org.invitations import invitation_changes, invitation_list, inviting
from scimd.org.invitations.inviting import AT_ONCE, Wish

Status = Literal["pending", "accepted", "declined", "expired", "cancelled"]


class Invitation(Output):
    id: str
    person_id: str
    display_name: str
    address: str
    status: Status = Field(description="By the clock.")
    staged: bool = Field(description="Its mail waits for the source's release.")
    role: str = Field(description="The person's, by now; so are team and projects.")
    team: str | None
    projects: list[UserProject]
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
    person: Text | None = Field(None, description="A user's id.")
    sort: Literal["created", "-created", "address", "-address", "expires", "-expires"] = "-created"


_CHANGES = (NotFound, InvitationClosed, NotAllowedNow)


@endpoint("GET", "/invitations", needs=("invitations.manage", "users.read"))
async def index(call: Call, query: InvitationQuery) -> Listed[Invitation]:
    """List invitations."""
    found = await invitation_list.window(
        call.door, call.org_id, call.window, status=query.status, q=query.q, person=query.person
    )
    return Listed.of(found, Invitation.of)


@endpoint("GET", "/invitations/{id}", needs=("invitations.manage", "users.read"), etag=True)
async def show(call: Call) -> Invitation:
    """Show an invitation."""
    return Invitation.of(await invitation_list.get(call.door, call.org_id, call.id))


@endpoint(
    "POST",
    "/invitations/{id}/resend",
    needs=("invitations.manage",),
    refuses=(*_CHANGES, PoolLimitReached, SeatLimitReached),
)
async def resend(call: Call) -> Invitation:
    """Send an invitation again.

    Older links die. An expired one is open again, and takes a seat again.
    """
    return Invitation.of(await invitation_changes.resend(call.door, call.ctx, InvitationId(call.id)))


@endpoint("POST", "/invitations/{id}/withdraw", needs=("invitations.manage",), refuses=_CHANGES)
async def withdraw(call: Call) -> Invitation:
    """Withdraw an invitation.

    It is kept as cancelled, and its seat is free.
    """
    return Invitation.of(await invitation_changes.withdraw(call.door, call.ctx, InvitationId(call.id)))


@endpoint(
    "POST",
    "/invitations/{id}/copy-link",
    needs=("invitations.manage",),
    refuses=(*_CHANGES, PoolLimitReached, SeatLimitReached),
)
async def copy_link(call: Call) -> CopiedLink:
    """Make a link to hand over.

    Audited each time. An expired invitation is renewed. Accepting by this link does not verify the
    address. It is dead once the person has other permissions, or another source asserts them.
    """
    token = await invitation_changes.copy_link(call.door, call.ctx, InvitationId(call.id))
    return CopiedLink(url=f"{call.config.server.public_url.rstrip('/')}/invitation/{token}")


resend_many = bulk(resend, "/invitations/resend")
withdraw_many = bulk(withdraw, "/invitations/withdraw")


# ------------------------------------------------------------------------------ inviting


class NewInvitations(Input):
    emails: Annotated[list[Text], Field(min_length=1, max_length=AT_ONCE)]
    team: Id | None = Field(None, description="A team's id; needed where the organization uses teams.")
    role: Name = USER
    projects: Projects | None = Field(None, description="Null: the organization's default project.")
    message: LongText | None = Field(None, description="A personal message in the mail.")
    valid_for_s: Annotated[int, Field(ge=60, le=90 * 86400), WHOLE] | None = Field(
        None, description="How many seconds the link works; null: as the installation has it."
    )


class Invited(Output):
    email: str
    person_id: str
    invitation_id: str | None = Field(description="Null: it follows when a partner has approved them.")


class InvitationChange(Input):
    role: Name | None = Field(None, description="Absent, or null: as it is.")
    projects: Projects | None = Field(None, description="In place of all; absent, or null: as they are.")
    message: LongText | None = Field(None, description="Empty, or null: none; absent: as it is.")


@endpoint("POST", "/invitations", needs=("invitations.manage",), refuses=(InvalidValue,))
async def invite(call: Call, body: NewInvitations) -> Rows[Invited]:
    """Invite one or many addresses.

    Answered row by row: a member already, invited already, deprovisioned by a source, no seat free, too
    many within the hour, and the others are invited all the same.
    """
    wish = Wish(
        TeamId(body.team) if body.team else None,
        RoleName(body.role),
        projects_of(body.projects),
        body.message,
        body.valid_for_s,
    )
    found = await inviting.invite(call.door, call.ctx, body.emails, wish)
    done = [row.person_id for row in found if row.person_id]
    newest = await invitation_list.newest_of(call.door, call.org_id, done)
    rows: list[Invited | Refused | None] = []
    for row in found:
        if row.refusal is not None:
            rows.append(Refused(statuses.of_refusal(row.refusal)))
        else:
            person_id = str(row.person_id)
            rows.append(Invited(email=row.email, person_id=person_id, invitation_id=newest.get(person_id)))
    return Rows(rows, 201, "emails")


@endpoint(
    "PATCH",
    "/invitations/{id}",
    needs=("invitations.manage",),
    refuses=(*_CHANGES, InvalidValue, PoolLimitReached, SeatLimitReached),
    etag=True,
)
async def change(call: Call, body: InvitationChange) -> Invitation:
    """Change role, projects or message of a pending invitation.

    Its address is fixed: withdraw it, and invite the other one.
    """
    await inviting.edit(
        call.door,
        call.ctx,
        InvitationId(call.id),
        role=RoleName(body.role) if body.role else None,
        projects=None if body.projects is None else projects_of(body.projects) or {},
        message=body.given().get("message", UNSET),
        check=call.unchanged(Invitation.of),
    )
    return Invitation.of(await invitation_list.get(call.door, call.org_id, call.id))


@endpoint("DELETE", "/invitations/{id}", needs=("invitations.manage",), refuses=(NotFound,))
async def delete(call: Call) -> None:
    """Delete an invitation from the list.

    One that is pending is withdrawn by it. The audit keeps it.
    """
    await invitation_changes.hide(call.door, call.ctx, InvitationId(call.id))


delete_many = bulk(delete, "/invitations/delete")
