"""On PostgreSQL rows are locked in one order, so that nobody waits for each other in a ring."""

from __future__ import annotations

import asyncio

from psycopg import AsyncConnection

from scimd.core.people import PersonId
from scimd.org.users import people
from tests.org.house import house
from tests.support.patience import eventually

_WAITS = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


async def test_who_is_deleted_is_locked_after_their_groups_as_in_a_change_of_members(
    postgres_url: str,
) -> None:
    async with (
        house(postgres_url) as acme,
        await AsyncConnection.connect(postgres_url) as holder,
        await AsyncConnection.connect(postgres_url, autocommit=True) as onlooker,
    ):
        person_id = PersonId((await acme.create("ann")).person_id)
        group_id = await acme.group("Room", person_id, ctx=acme.as_scim())
        await holder.execute("SELECT id FROM groups WHERE id = %s FOR UPDATE", [group_id])
        gone = asyncio.create_task(people.delete_user(acme.door, acme.as_scim(), person_id))

        async def waits() -> bool:
            return await (await onlooker.execute(_WAITS)).fetchone() is not None

        await eventually(waits)
        await holder.execute("SELECT id FROM people WHERE id = %s FOR UPDATE NOWAIT", [person_id])
        await holder.commit()
        await gone
