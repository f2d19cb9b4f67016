"""What lists hold now, for tests that look at them beside their own subject."""

from __future__ import annotations

from collections.abc import Sequence

from scimd.core.people import OrgId
from scimd.db import tables as t
from scimd.org.authentication import sign_in_reads
from scimd.org.authentication.sign_in_reads import AttemptRecord
from scimd.org.invitations import invitation_list
from scimd.org.invitations.invitation_list import InvitationRecord
from scimd.org.tx import Door
from scimd.org.windows import Window
from tests.org.house import House


async def attempts_of(door: Door, org_id: OrgId) -> Sequence[AttemptRecord]:
    """The newest first."""
    return (await sign_in_reads.list_attempts(door, org_id, Window(sort="-at"))).rows


async def invitations_of(door: Door, org_id: OrgId) -> Sequence[InvitationRecord]:
    """The newest first, without hidden ones."""
    return (await invitation_list.window(door, org_id, Window(sort="-created"))).rows


async def projects_of(acme: House, person_id: str) -> set[str]:
    """The names of the projects in which the person takes part now."""
    names = {row.id: row.name for row in await acme.rows(t.projects)}
    return {
        names[row.target]
        for row in await acme.rows(t.grants, person_id=person_id, kind="project")
        if row.until is None and not row.dormant
    }


async def member_ids(acme: House, group_id: str) -> set[str]:
    """The ids of those who are shown in the group."""
    return {member["value"] for member in await acme.shown_members(group_id)}
