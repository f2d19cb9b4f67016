"""How often a write waits for PostgreSQL: what it will need is asked along, what it writes is posted."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from scimd.core.people import GroupId, PersonId
from scimd.db.wire import Wire
from scimd.org.groups import scim_groups
from scimd.org.groups.scim_groups import GroupChange
from scimd.org.users import people
from tests.org.house import house, user


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """An entry for each time that a thread waits for the server."""
    many: list[None] = []
    exchange = Wire._exchange

    def counted(wire: Wire) -> object:
        many.append(None)
        return exchange(wire)

    monkeypatch.setattr(Wire, "_exchange", counted)
    return many


async def test_each_write_waits_a_few_times(postgres_url: str, waited: list[None]) -> None:
    async with house(postgres_url) as acme:
        ctx = acme.as_scim()
        made = [await people.create_user(acme.door, ctx, user(f"p{n}")) for n in range(3)]
        group_id = GroupId(await acme.group("Ops", made[0].person_id))

        async def renamed(n: int) -> None:
            id_ = PersonId(made[n].person_id)
            await people.change_user(acme.door, ctx, id_, lambda document, _: {**document, "title": f"T{n}"})

        async def joined(n: int) -> None:
            await scim_groups.change_group(acme.door, ctx, group_id, GroupChange(add=(made[n].person_id,)))

        await renamed(0)
        await joined(1)
        del waited[:]
        await people.create_user(acme.door, ctx, user("new"))
        assert len(waited) == 3
        del waited[:]
        await renamed(1)
        assert len(waited) == 3
        del waited[:]
        await joined(2)
        assert len(waited) == 5


async def test_writes_take_one_plan_and_reads_weigh_theirs(postgres_url: str) -> None:
    mode = text("SELECT current_setting('plan_cache_mode')")
    async with house(postgres_url) as acme:
        assert await acme.door.db.write(lambda conn: conn.execute(mode).scalar_one()) == "force_generic_plan"
        assert await acme.door.db.read(lambda conn: conn.execute(mode).scalar_one()) == "auto"


async def test_rows_that_change_often_have_room_on_their_page(postgres_url: str) -> None:
    roomy = text("SELECT relname FROM pg_class WHERE reloptions @> ARRAY['fillfactor=80'] ORDER BY relname")
    async with house(postgres_url) as acme:
        found = await acme.door.db.read(lambda conn: list(conn.execute(roomy).scalars()))
        assert found == ["assertions", "groups", "people"]
