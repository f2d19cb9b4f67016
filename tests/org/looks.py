"""What lists hold now, for tests that look at them beside their own subject."""

from __future__ import annotations

from collections.abc import Sequence

from scimd.core.people import OrgId
from scimd.org import invitation_list, sign_in_reads
from scimd.org.invitation_list import InvitationRecord
from scimd.org.sign_in_reads import AttemptRecord
from scimd.org.tx import Door
from scimd.org.windows import Window


async def attempts_of(door: Door, org_id: OrgId) -> Sequence[AttemptRecord]:
    """The newest first."""
    return (await sign_in_reads.list_attempts(door, org_id, Window(sort="-at"))).rows


async def invitations_of(door: Door, org_id: OrgId) -> Sequence[InvitationRecord]:
    """The newest first, without hidden ones."""
    return (await invitation_list.window(door, org_id, Window(sort="-created"))).rows
