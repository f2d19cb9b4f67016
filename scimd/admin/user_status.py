"""What a hand decides about a user's access: gates, deletion, password, approval, source, organization."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import Field

from scimd.admin.bulk import bulk
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Id, Input, Output, Text
from scimd.admin.users import User
from scimd.core.errors import (
    NotAllowedNow,
    NotFound,
    NotUnique,
    OwnAccount,
    OwnedBySource,
    PoolLimitReached,
    Protected,
    SeatLimitReached,
)
from scimd.core.people import PersonId
from scimd.org.authentication import second_factors
from scimd.org.identities import detaching, moving
from scimd.org.organizations import partner_approvals
from scimd.org.tx import Context, Door
from scimd.org.users import gates, local_people, user_reads

_CLOSES = (NotFound, OwnAccount, Protected)
_OPENS = (NotFound, NotAllowedNow, PoolLimitReached, SeatLimitReached)
_MANAGE = ("users.manage",)


class Detaching(Input):
    source: Text = Field(description="The source's name.")


class Moving(Input):
    to: Id = Field(description="The slug of the organization to move to.")


class Moved(Output):
    id: str = Field(description="Of the new user, in the other organization.")
    organization: str


async def _done(call: Call, change: Callable[[Door, Context, PersonId], Awaitable[None]]) -> User:
    await change(call.door, call.ctx, PersonId(call.id))
    return User.of(await user_reads.get_user(call.door, call.org_id, call.id))


# ------------------------------------------------------------------------------ gates


@endpoint("POST", "/users/{id}/deactivate", needs=_MANAGE, refuses=_CLOSES)
async def deactivate(call: Call) -> User:
    """Deactivate a user.

    Access and seat go at once; account and grants stay, and no push undoes it.
    """
    return await _done(call, gates.deactivate)


@endpoint("POST", "/users/{id}/reactivate", needs=_MANAGE, refuses=_OPENS)
async def reactivate(call: Call) -> User:
    """Reactivate a user whom an admin deactivated.

    What lay dormant comes back, if there is a seat.
    """
    return await _done(call, gates.reactivate)


@endpoint("POST", "/users/{id}/disable", needs=_MANAGE, refuses=_CLOSES)
async def disable(call: Call) -> User:
    """Disable a user: signed out and locked, until they are enabled."""
    return await _done(call, gates.disable)


@endpoint("POST", "/users/{id}/enable", needs=_MANAGE, refuses=_OPENS)
async def enable(call: Call) -> User:
    """Enable a user who was disabled."""
    return await _done(call, gates.enable)


@endpoint("DELETE", "/users/{id}", needs=_MANAGE, refuses=(*_CLOSES, OwnedBySource, NotAllowedNow))
async def delete(call: Call) -> None:
    """Delete a user; they can be restored for 30 days.

    Whom a source asserts is deleted there. An Account Admin is given another role first.
    """
    await gates.delete(call.door, call.ctx, PersonId(call.id))


@endpoint("POST", "/users/{id}/restore", needs=_MANAGE, refuses=(*_OPENS, NotUnique))
async def restore(call: Call) -> User:
    """Restore a user who was deleted within the last 30 days."""
    return await _done(call, gates.restore)


deactivate_many = bulk(deactivate, "/users/deactivate")
reactivate_many = bulk(reactivate, "/users/reactivate")
disable_many = bulk(disable, "/users/disable")
enable_many = bulk(enable, "/users/enable")
delete_many = bulk(delete, "/users/delete")
restore_many = bulk(restore, "/users/restore")

# ------------------------------------------------------------------------------ the rest


@endpoint("POST", "/users/{id}/reset-password", needs=_MANAGE, refuses=(NotFound, NotAllowedNow))
async def reset_password(call: Call) -> None:
    """Force a password reset.

    The password and all sessions end now; a link to set a new password goes by mail.
    """
    await local_people.reset_password(call.door, call.ctx, [PersonId(call.id)])


@endpoint(
    "POST", "/users/{id}/reset-second-factors", needs=_MANAGE, refuses=(NotFound, OwnAccount, NotAllowedNow)
)
async def reset_second_factors(call: Call) -> None:
    """Take all second factors from a user who lost theirs.

    They are signed out everywhere, and told by mail. A password that is too short to stand alone is
    dead; a link to set another goes by mail.
    """
    await second_factors.reset(call.door, call.ctx, [PersonId(call.id)])


@endpoint("POST", "/users/{id}/approve", needs=("partner.approve",), refuses=(NotFound,))
async def approve(call: Call) -> User:
    """Approve a user of one's own organization, who then queues for a seat.

    A partner's people approve by their queue instead.
    """
    return await _done(call, partner_approvals.approve)


@endpoint(
    "POST",
    "/users/{id}/detach",
    needs=_MANAGE,
    refuses=(NotFound, OwnAccount, PoolLimitReached, SeatLimitReached, Protected),
)
async def detach(call: Call, body: Detaching) -> User:
    """Detach a user from a source.

    What the source said becomes history, and the profile a local one.
    """
    await detaching.detach(call.door, call.ctx, PersonId(call.id), body.source)
    return User.of(await user_reads.get_user(call.door, call.org_id, call.id))


@endpoint(
    "POST",
    "/users/{id}/move",
    needs=_MANAGE,
    refuses=(
        NotFound,
        NotAllowedNow,
        OwnedBySource,
        NotUnique,
        PoolLimitReached,
        SeatLimitReached,
        OwnAccount,
        Protected,
    ),
    operators_only=True,
)
async def move(call: Call, body: Moving) -> Moved:
    """Move a user without a source to another organization.

    A new user there, with the role User and the default project; the one here is deleted. They sign in
    anew, by a link to set a password.
    """
    moved = await moving.move(call.door, call.ctx, PersonId(call.id), body.to)
    return Moved(id=moved, organization=body.to)


reset_password_many = bulk(reset_password, "/users/reset-password")
reset_second_factors_many = bulk(reset_second_factors, "/users/reset-second-factors")
approve_many = bulk(approve, "/users/approve")
detach_many = bulk(detach, "/users/detach")
