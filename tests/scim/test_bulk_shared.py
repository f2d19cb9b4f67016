"""Operations of a bulk request that share transactions leave what one after the other leaves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from scimd.core.attributes import GROUP_URN
from scimd.core.errors import Refusal
from scimd.scim import bulk
from tests.scim.bulk_worlds import Maker, World, begin_anew, served, sharing
from tests.scim.serving import Installation

pytestmark = pytest.mark.usefixtures("by_ones")
_RULES = (
    [{"number": 1, "pattern": "G0", "role": "account-admin", "may_give_account_admin": True}],
    [{"number": 1, "pattern": "G1", "role": "manager"}, {"number": 2, "pattern": "*", "team": "{name}"}],
    [{"number": 1, "pattern": "G0", "project": "Apollo"}, {"number": 2, "pattern": "G1", "licence": "Pro"}],
)


@pytest.fixture
async def scimd(database_url: str) -> AsyncIterator[Installation]:
    async with served(database_url) as running:
        yield running


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    return sharing(monkeypatch)


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no operations share a transaction."""
    monkeypatch.setattr(bulk._Bulk, "_window", lambda self, ordered, place: ())


async def world(scimd: Installation, slug: str, chance: random.Random) -> World:
    seats = chance.choice((None, None, 2, 2, 5, 10, 40, 300, 5000))
    policy = chance.choice(("hold", "hold", "reject", "allow"))
    domain = f"{slug}.example"
    default = chance.choice(("General", "General", None))
    org = await scimd.organization(
        f"acme-{slug}", seats=seats, seats_on_scim=policy, default_project=default, domains=(domain,)
    )
    rules = chance.choice((None, None, *_RULES))
    config: dict[str, Any] = {"groups": {"default": chance.choice(("project", "none"))}}
    more: dict[str, Any] = {"invite": chance.choice(("immediate", "never"))}
    made = World(scimd, org, domain, {})
    if rules is not None:
        config["rule"] = rules
        more["ceiling"] = "manager"
    if rules is _RULES[2]:
        await made.limit("Apollo", "Pro", chance.choice((1, 3, 100)))
    made.clients["idp"] = await scimd.client(
        org, config=config, profile=chance.choice(("default", "default", "rfc", "entra", "okta")), **more
    )
    made.clients["other"] = await scimd.client(org, "other", config={"join": ["mail"]}, invite=more["invite"])
    return made


async def prepared(made: World, chance: random.Random) -> None:
    """Local people, somebody of another source, and groups."""
    for n in range(chance.choice((0, 0, 3))):
        with suppress(Refusal):
            await made.add_local(f"l{n}")
    for n in range(chance.choice((0, 0, 2))):
        said = made.meant({"userName": f"p{n}@dom", "emails": [{"value": f"p{n}@dom", "primary": True}]})
        await made.clients["other"].post("/Users", said)
    rooms: list[dict[str, Any]] = []
    for n in range(4):
        data = {"schemas": [GROUP_URN], "displayName": f"G{n}"}
        rooms.append({"method": "POST", "path": "/Groups", "of": f"G{n}", "data": data})
    if chance.random() < 0.3:
        rooms[2]["data"]["members"] = [{"value": "bulkId:1"}]
    if chance.random() < 0.3:
        rooms[3]["data"]["members"] = [{"value": f"x-u{n}"} for n in (1, 3, 5)]
    await made.bulk(rooms, None)


async def between(made: World, chance: random.Random) -> None:
    """What comes between two requests."""
    with suppress(Refusal):
        match chance.randrange(8):
            case 0:
                await made.merge(f"u{chance.randrange(8)}", f"u{chance.randrange(8)}")
            case 1:
                await made.disable(f"u{chance.randrange(8)}")
            case 2:
                for n in range(6):
                    await made.log_in(f"u{n}")


async def played(made: World, seed: int, bodies: int) -> dict[str, Any]:
    chance = random.Random(seed)
    await prepared(made, chance)
    mood = chance.choice(("crowded", "crowded", "plain", "plain", "scarce"))
    maker, answers = Maker(chance, crowded=mood == "crowded", scarce=mood == "scarce"), []
    answers.append(await made.bulk([maker.post() for _ in range(chance.choice((2, 10, 40)))], None))
    for _ in range(bodies):
        stop = chance.choice((None, None, None, 1, 2, 5))
        answers.append(await made.bulk(maker.operations(chance.choice((3, 8, 20, 45))), stop))
        await between(made, chance)
    return await made.left(answers)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, left in one.items():
        if left != other[name]:
            both = (
                (left - other[name], other[name] - left) if isinstance(left, Counter) else (left, other[name])
            )
            found[name] = both
    return found


async def compared(scimd: Installation, monkeypatch: pytest.MonkeyPatch, seed: int, bodies: int = 4) -> None:
    left = []
    for side in "ab":
        begin_anew(scimd)
        made = await world(scimd, f"{side}{seed:05}", random.Random(seed))
        with monkeypatch.context() as patch:
            if side == "b":
                one_by_one(patch)
            left.append(await played(made, seed, bodies))
    assert differences(*left) == {}, seed


@pytest.mark.parametrize("seed", range(8))
async def test_random_requests_leave_what_one_by_one_leaves(
    scimd: Installation, monkeypatch: pytest.MonkeyPatch, shared: Counter[str], seed: int
) -> None:
    await compared(scimd, monkeypatch, seed)
    assert shared.total() > 0


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 1400, 20))
async def test_many_random_requests_leave_what_one_by_one_leaves(
    scimd: Installation, monkeypatch: pytest.MonkeyPatch, shared: Counter[str], first: int
) -> None:
    for seed in range(first, first + 20):
        await compared(scimd, monkeypatch, seed)
    assert shared.total() > 0
