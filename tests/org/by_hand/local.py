"""Local people, as admins make them, and short ways to look at what became of them."""

from __future__ import annotations

from typing import Any

from scimd.core.people import PersonId
from scimd.db.tables import events, links, people
from scimd.org.authentication import links as one_time
from scimd.org.tx import Tx
from scimd.org.users import admin_reads, local_people
from scimd.org.users.local_people import NewPerson
from tests.org.house import House

PASSWORD = "lattice umbrella forty gnomes"


async def kinds(acme: House, person_id: str) -> list[str]:
    return [row.kind for row in await acme.rows(events, target_id=person_id)]


async def added(acme: House, name: str = "ann", **more: Any) -> PersonId:
    new = NewPerson(email=f"{name}@home.example", **more)
    return await local_people.add(acme.door, acme.as_admin(), new)


async def active(acme: House, name: str = "ann", **more: Any) -> PersonId:
    person_id = await added(acme, name, **more)
    await let_in(acme, person_id)
    return person_id


async def let_in(acme: House, person_id: PersonId) -> None:
    """They have accepted."""
    await acme.run(lambda tx: _accept(tx, person_id), acme.as_admin())


def _accept(tx: Tx, person_id: PersonId) -> None:
    tx.conn.execute(people.update().where(people.c.id == person_id).values(accepted=True))
    tx.touch([person_id])


async def clean(acme: House) -> None:
    """V16: what is stored is what follows from the facts."""
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def set_password_token(acme: House, person_id: PersonId) -> str:
    (row,) = [
        r
        for r in await acme.rows(links, person_id=person_id)
        if r.expires_at > acme.clock.now and not r.used_at
    ]
    return await acme.run(lambda tx: one_time.token(tx, "set_password", row.id, "mail"), acme.as_admin())
