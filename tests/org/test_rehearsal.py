"""A call that is rehearsed: told as if it were done, and nothing of it stays."""

from __future__ import annotations

import asyncio
from functools import partial

from sqlalchemy import select, update

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


async def test_a_rehearsal_leaves_the_connection_as_it_was(database_url: str) -> None:
    """The driver has PostgreSQL forget all prepared statements at a ROLLBACK that it sees."""
    async with house(database_url) as acme:
        runs: list[str] = []

        def look(tx: Tx, by: str) -> None:
            runs.append(by)
            for _ in range(10):  # so often that the driver prepares it
                tx.conn.execute(select(people.c.id).where(people.c.org_id == tx.org_id)).all()

        async def rehearsed(by: str) -> None:
            await rehearse(acme.door, lambda door: door.run(acme.as_admin(), partial(look, by=by)))

        for n in range(8):  # whichever of the connections it is
            await rehearsed(f"rehearsed {n}")
            await acme.run(partial(look, by=f"done {n}"))
        assert runs == [f"{how} {n}" for n in range(8) for how in ("rehearsed", "done")]
