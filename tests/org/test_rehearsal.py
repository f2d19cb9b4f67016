"""A call that is rehearsed: told as if it were done, and nothing of it stays."""

from __future__ import annotations

import asyncio

from sqlalchemy import update

from scimd.core.events import Event, EventKind
from scimd.db.tables import events, people
from scimd.org.rehearsal import rehearse
from scimd.org.tx import Tx
from tests.org.house import house


async def test_of_a_rehearsal_nothing_stays_and_whoever_writes_beside_it_is_not_undone(
    database_url: str,
) -> None:
    async with house(database_url) as acme:
        ann, ben = (await acme.create("ann")).person_id, (await acme.create("ben")).person_id
        ctx, before = acme.as_admin(), await acme.rows(events)
        runs: list[str] = []

        def rename(tx: Tx, person_id: str, name: str) -> str:
            runs.append(name)
            mine = (people.c.org_id == tx.org_id) & (people.c.id == person_id)
            tx.conn.execute(update(people).where(mine).values(display_name=name))
            tx.record(Event(EventKind.PERSON_UPDATED, "person", person_id))
            return name

        (told, seen), _ = await asyncio.gather(
            rehearse(acme.door, lambda door: door.run(ctx, lambda tx: rename(tx, ann, "Rehearsed"))),
            acme.door.run(ctx, lambda tx: rename(tx, ben, "Done")),
        )
        assert (told, [event.target_id for event in seen]) == ("Rehearsed", [ann])
        assert ((await acme.person(ann)).display_name, (await acme.person(ben)).display_name) == (
            "Ann",
            "Done",
        )
        (written,) = [row for row in await acme.rows(events) if row not in before]
        assert written.target_id == ben
        assert sorted(runs) == ["Done", "Rehearsed"]
