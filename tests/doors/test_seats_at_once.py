"""64 at once by every door against 10 free seats: 10 get one, nobody else (V1, V2, lesson 19)."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from scimd.db import tables as t
from scimd.org.users import admin_reads
from tests.doors.company import Company, Organization, company
from tests.doors.rush import KINDS, Asking, Got, prepared

FREE = 10
BY_HAND = ("invite", "import", "by-hand")


async def seats(doors: Company, org: Organization) -> Any:
    query = t.seat_pools.select().where(t.seat_pools.c.org_id == org.id)
    return await doors.door.read(lambda conn: conn.execute(query).one())


async def sell(doors: Company, org: Organization) -> int:
    """Leave ten seats free; gives the limit."""
    limit = (await seats(doors, org)).used + FREE
    assert (await doors.api(org, "PUT", "/seats", {"limit": limit})).done
    return int(limit)


async def watched(doors: Company, org: Organization, limit: int, over: asyncio.Event) -> int:
    """Look at the pool again and again; gives how often."""
    looks = 0
    while not over.is_set():
        assert (await seats(doors, org)).used <= limit
        looks += 1
        await asyncio.sleep(0)
    return looks


async def came_out_right(doors: Company, org: Organization, limit: int, got: list[Got], policy: str) -> None:
    pool = await seats(doors, org)
    assert (pool.seat_limit, pool.used) == (limit, limit)
    query = t.people.select().where(t.people.c.org_id == org.id)
    people = await doors.door.read(lambda conn: list(conn.execute(query)))
    assert sum(row.has_seat for row in people) == limit
    refused = [each for each in got if each.status >= 400]
    assert {each.status for each in refused} <= {403, 409}, got
    assert all(f"{limit} of {limit} used" in each.detail for each in refused), refused
    waiting = sum("waiting_for_seat" in row.causes for row in people)
    if policy == "reject":
        assert (len(refused), waiting) == (len(got) - FREE, 0)
    else:
        assert {each.kind for each in refused} <= set(BY_HAND)
        assert len(refused) + waiting == len(got) - FREE
    assert await admin_reads.check_standing(doors.door, org.id) == []


@pytest.mark.parametrize(
    ("kinds", "policy"),
    [
        (KINDS, "hold"),
        (KINDS, "reject"),
        (("import",), "hold"),
        (("by-hand", "by-push"), "hold"),
        (("by-hand", "by-push"), "reject"),
    ],
    ids=["all-hold", "all-reject", "imports", "reactivations-hold", "reactivations-reject"],
)
async def test_64_at_once_take_the_10_free_seats_and_no_more(
    open_doors: Company, kinds: tuple[str, ...], policy: str
) -> None:
    org = await open_doors.organization(seats_on_scim=policy)
    who = await prepared(open_doors, org, kinds, -(-64 // len(kinds)))
    limit = await sell(open_doors, org)
    over = asyncio.Event()
    watch = asyncio.create_task(watched(open_doors, org, limit, over))
    try:
        got = await Asking(open_doors, org.api_token, org.scim_token).all_at_once(who[:64])
    finally:
        over.set()
        assert await watch
    await came_out_right(open_doors, org, limit, got, policy)


async def test_two_processes_give_out_no_seat_twice(postgres_url: str) -> None:
    async with company(postgres_url) as doors:
        orgs = {policy: await doors.organization(seats_on_scim=policy) for policy in ("hold", "reject")}
        who = {policy: (await prepared(doors, org, KINDS, 13))[:64] for policy, org in orgs.items()}
        limits = {policy: await sell(doors, org) for policy, org in orgs.items()}
        crowds = [
            [(org.api_token, org.scim_token, who[policy][n::2]) for policy, org in orgs.items()]
            for n in range(2)
        ]
        processes = await asyncio.gather(*(begun(postgres_url, crowd) for crowd in crowds))
        said = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
        for n, (policy, org) in enumerate(orgs.items()):
            got = [Got(**each) for out, _ in said for each in json.loads(out)[n]]
            assert len(got) == 64
            await came_out_right(doors, org, limits[policy], got, policy)


async def begun(url: str, crowd: Any) -> asyncio.subprocess.Process:
    """Another process, ready to ask."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.doors.rush", url, json.dumps(crowd)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    while (line := await asyncio.wait_for(process.stdout.readline(), 120)) != b"ready\n":
        assert line, "it ended early"
    return process
