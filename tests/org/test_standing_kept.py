"""The short way through settling leaves behind what settling in full would."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest

from scimd.core.errors import NotUnique
from scimd.core.people import PersonId, SourceId, keys_of
from scimd.core.resource import unpack
from scimd.db import tables as t
from scimd.org import reads, scim_groups, standing_kept
from scimd.org.scim_groups import GroupChange
from scimd.org.tx import Tx
from tests.org.house import House, house, user

NAMES = ["ann", "bob", "cid", "dee"]
_LOOKED_AT = (t.people, t.grants, t.status_spans, t.invitations, t.deliveries, t.waiting, t.seat_pools)


async def _stored(acme: House) -> dict[str, list[Any]]:
    return {table.name: sorted(map(str, await acme.rows(table))) for table in _LOOKED_AT}


async def _settled_in_full(acme: House, person_id: str) -> None:
    """Settle somebody as if each of their documents had just been written."""
    rows = await acme.rows(t.assertions, person_id=person_id)

    def body(tx: Tx) -> None:
        for row in rows:
            tx.profiles[PersonId(person_id), SourceId(row.source_id)] = keys_of(unpack(row.document))
        tx.touch([PersonId(person_id)])

    await acme.run(body)


def _change(chance: random.Random) -> dict[str, Any]:
    name = chance.choice(NAMES)
    return chance.choice(
        [
            {"title": str(chance.random())},
            {"title": str(chance.random())},
            {"displayName": f"{name} {chance.random()}"},
            {"name": {"familyName": name}},
            {"active": chance.random() < 0.5},
            {"emails": [{"value": f"{name}@acme.example", "primary": True}]},
            {"emails": [{"value": f"{name.upper()}@acme.example", "primary": True}]},
            {"emails": [], "userName": f"{name}-{chance.random()}"},
            {"externalId": f"x-{chance.random()}"},
        ]
    )


@pytest.mark.parametrize("seed", range(4))
async def test_settling_in_full_changes_nothing_after_the_short_way(
    database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, short = random.Random(seed), 0
    keeps = standing_kept.keeps

    def counting(*args: Any) -> bool:
        nonlocal short
        kept = keeps(*args)
        short += kept
        return kept

    monkeypatch.setattr(standing_kept, "keeps", counting)
    async with house(database_url, seats_=3) as acme:
        inviting = await acme.source("entra", invite="immediate", config={"join": ["mail"]})
        contexts = [acme.as_scim(), acme.as_scim(inviting)]
        met: list[tuple[Any, str]] = []
        for name in NAMES:
            for ctx in contexts if chance.random() < 0.5 else [chance.choice(contexts)]:
                (made,) = await acme.push(user(name), ctx=ctx)
                met += [(ctx, made.person_id)] if made.person_id else []
        for _ in range(40):
            ctx, person_id = chance.choice(met)
            with suppress(NotUnique):
                await acme.change(person_id, ctx, **_change(chance))
            before = await _stored(acme)
            await _settled_in_full(acme, person_id)
            assert await _stored(acme) == before
            acme.clock.forward(minutes=chance.choice([0, 1, 7]))
        assert await reads.check_standing(acme.door, acme.org_id) == []
    assert short >= 5


@pytest.mark.parametrize("seed", range(2))
async def test_settling_in_full_changes_nothing_after_a_change_of_groups_that_give_nothing(
    database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, short = random.Random(seed), 0
    regroup = standing_kept.regroup

    def counting(tx: Tx, person_ids: Any) -> set[PersonId]:
        nonlocal short
        left = regroup(tx, person_ids)
        short += len(person_ids) - len(left)
        return left

    monkeypatch.setattr(standing_kept, "regroup", counting)
    async with house(database_url, seats_=3) as acme:
        config = {"groups": {"default": "none"}}
        acme.scim = await acme.source("entra", invite="immediate", config=config)
        ids = [(await acme.create(name, active=name != "dee")).person_id for name in NAMES]
        rooms = [await acme.group(f"G{n}") for n in range(3)]
        rooms.append(await acme.group("of groups", rooms[0]))
        giving = await acme.group("giving")
        await acme.execute(
            t.group_effects.insert().values(
                org_id=acme.org_id, group_id=giving, rule=1, kind="role", target="org_admin"
            )
        )
        before_all = [(await acme.person(each)).rest for each in ids]
        for _ in range(30):
            person_id, room = chance.choice(ids), chance.choice([*rooms, giving])
            change = chance.choice([GroupChange(add=(person_id,)), GroupChange(remove=(person_id,))])
            rest = (await acme.person(person_id)).rest
            known = (await acme.rows(t.groups, id=room))[0].version
            changed = await scim_groups.change_group(acme.door, acme.as_scim(), room, change)
            assert (await acme.person(person_id)).rest == rest + (changed.version - known)
            if changed.version == known:  # nobody came or went, and no mail is put off
                continue
            before = await _stored(acme)
            await _settled_in_full(acme, person_id)
            assert await _stored(acme) == before
            rows = await acme.rows(t.group_members, person_id=person_id)
            (asserted,) = await acme.rows(t.assertions, person_id=person_id)
            assert set(filter(None, (asserted.in_groups or "").split(","))) == {row.group_id for row in rows}
            assert asserted.person_rest == (await acme.person(person_id)).rest
            acme.clock.forward(minutes=chance.choice([0, 1, 7]))
        assert [(await acme.person(each)).rest for each in ids] > before_all
        assert await reads.check_standing(acme.door, acme.org_id) == []
    assert short >= 5
