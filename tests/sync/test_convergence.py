"""After any history, one complete run makes the state that of the directory (V14)."""

from __future__ import annotations

import random

import pytest

from scimd.connector_api import Unreachable
from scimd.db.tables import assertions, group_members, groups
from scimd.org.runs import plan_batches
from tests.sync.world import Person, Script, World, world


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_batches, "BATCH", 7)


def _move(script: Script, chance: random.Random) -> None:
    """Something that happens in directories."""
    ids = sorted(script.people)
    match chance.randrange(9):
        case 0 | 1:
            n = chance.randrange(40, 90)
            script.people.setdefault(f"x{n:04}", Person(f"user{n:04}", f"user{n:04}@acme.example"))
        case 2:
            script.people.pop(chance.choice(ids), None)
        case 3:
            few = chance.sample(ids, 4)
            turned = [script.people[key] for key in (*few[1:], few[0])]
            script.people.update(zip(few, turned, strict=True))
        case 4:
            script.people[chance.choice(ids)].more["title"] = str(chance.random())
        case 5:
            one = script.people[chance.choice(ids)]
            one.more["active"] = not one.more.get("active", True)
        case 6:
            members = chance.sample(ids, chance.randrange(8))
            script.groups[f"g{chance.randrange(4)}"] = (f"Group {chance.randrange(99)}", members)
        case 7 if script.groups:
            script.groups.pop(chance.choice(sorted(script.groups)))
        case _:
            # The id changes, the person does not.
            key = chance.choice(ids)
            script.people[f"{key}r"] = script.people.pop(key)


async def _carried_through(acme: World) -> None:
    for _ in range(6):
        run = await acme.sync()
        while run.state == "held":
            run = await acme.approve(run)
        if run.state == "done" and run.changes == 0:
            return
    raise AssertionError(f"it does not settle: {run.counts}, {await acme.said(run)}")


async def _is_the_directory(acme: World) -> None:
    people = {row.person_id: row for row in await acme.rows(assertions) if row.state == "live"}
    expected = {key: (one.user_name, one.more.get("active", True)) for key, one in acme.script.people.items()}
    assert {row.external_id: (row.user_name, row.active) for row in people.values()} == expected
    living = {row.id: row for row in await acme.rows(groups) if row.state == "live"}
    assert {row.external_id: row.display_name for row in living.values()} == {
        key: name for key, (name, _) in acme.script.groups.items()
    }
    stored: dict[str, set[str]] = {key: set() for key in acme.script.groups}
    for row in await acme.rows(group_members):
        if row.group_id in living and row.person_id in people:
            stored[living[row.group_id].external_id].add(people[row.person_id].external_id)
    wanted = {key: set(members) & set(acme.script.people) for key, (_, members) in acme.script.groups.items()}
    assert stored == wanted


@pytest.mark.parametrize("seed", range(3))
async def test_any_history_of_runs_ends_in_what_the_directory_says(database_url: str, seed: int) -> None:
    chance = random.Random(seed)
    async with world(database_url, invite="never", limits={"removals_count": 3}) as acme:
        acme.script.fill(40)
        for _ in range(6):
            for _ in range(chance.randrange(1, 12)):
                _move(acme.script, chance)
            if chance.random() < 0.3:
                acme.script.fault, acme.script.fault_at_page = Unreachable("down"), 1
                assert (await acme.sync()).state == "failed"
                acme.script.fault = None
            await acme.sync()
        await _carried_through(acme)
        await _is_the_directory(acme)
        written = await acme.written()
        assert (await acme.sync()).changes == 0
        assert await acme.written() == written


async def test_ring_longer_than_a_batch_is_applied_as_one(database_url: str) -> None:
    async with world(database_url, limits={"addresses_count": 20}) as acme:
        acme.script.fill(30)
        await acme.sync()
        ids = sorted(acme.script.people)[3:23]
        turned = [acme.script.people[key] for key in (*ids[1:], ids[0])]
        acme.script.people.update(zip(ids, turned, strict=True))
        run = await acme.sync()
        assert (run.state, run.counts["updated"]) == ("done", 20)
        await _is_the_directory(acme)
        assert (await acme.sync()).changes == 0
