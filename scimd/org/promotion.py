"""Promotion: whatever is free goes to those who wait for it, before any newcomer has it."""

from __future__ import annotations

from scimd.core.people import OrgId
from scimd.org import pools, seats
from scimd.org.tx import Door


async def promote(door: Door, org_id: OrgId) -> int:
    """Give free seats, and what else is limited and free, to those who wait longest; gives to how many.

    Follows at once on the transaction that freed something, and runs as a job besides.
    """
    return await seats.promote(door, org_id) + await pools.promote(door, org_id)
