"""Requests that come twice: the answer to the first was lost (F6), or two replicas got it at once (F17)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from scimd.core.errors import DatabaseUnavailable
from scimd.db import tables as t
from scimd.db.faults import OUTCOME_UNKNOWN
from scimd.org.users import admin_reads
from tests.doors.company import Answer, Company, Organization, company

ANN = {"userName": "ann@home.example", "externalId": "x-ann", "title": "Lead"}


async def kinds(doors: Company, org: Organization) -> Counter[str]:
    query = t.events.select().where(t.events.c.org_id == org.id)
    return Counter(row.kind for row in await doors.door.read(lambda conn: list(conn.execute(query))))


async def seats_used(doors: Company, org: Organization) -> int:
    query = t.seat_pools.select().where(t.seat_pools.c.org_id == org.id)
    return int(await doors.door.read(lambda conn: conn.execute(query).one().used))


async def losing_the_answer(
    doors: Company, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]
) -> Answer:
    """Each write is made, and what the database said of it never arrives, until the answer is there.

    Not the first alone: the request log writes by itself twice a second, and may come before.
    """
    write = doors.door.db.write

    async def lost(body: Any, **more: Any) -> Any:
        await write(body, **more)
        raise DatabaseUnavailable(why=OUTCOME_UNKNOWN)

    with monkeypatch.context() as patched:
        patched.setattr(doors.door.db, "write", lost)
        answer: Answer = await work()
    return answer


async def test_client_that_tries_again_after_a_lost_answer_makes_nothing_twice(
    open_doors: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F6: a create is a conflict or the same resource, all else is as if it had come once."""
    org = await open_doors.organization(seats_limit=5)

    async def twice(method: str, path: str, body: Any = None) -> tuple[Answer, Answer]:
        first = await losing_the_answer(
            open_doors, monkeypatch, lambda: open_doors.scim(org, method, path, body)
        )
        assert first.status == 503, first
        assert "may have been made or not" in first.json["detail"]
        return first, await open_doors.scim(org, method, path, body)

    used = await seats_used(open_doors, org)
    _, again = await twice("POST", "/Users", ANN)
    assert (again.status, again.json["scimType"]) == (409, "uniqueness")
    look_up = "/Users?filter=externalId%20eq%20%22x-ann%22"
    (ann,) = (await open_doors.scim(org, "GET", look_up)).json["Resources"]
    assert await seats_used(open_doors, org) == used + 1
    path = f"/Users/{ann['id']}"
    _, again = await twice("PUT", path, ANN | {"title": "Boss"})
    assert (again.status, again.json["title"]) == (200, "Boss")
    _, again = await twice("POST", "/Groups", {"displayName": "Ops", "externalId": "g-1"})
    assert again.status == 409
    (ops,) = (await open_doors.scim(org, "GET", "/Groups")).json["Resources"]
    one = {"op": "add", "path": "members", "value": [{"value": ann["id"]}]}
    _, again = await twice("PATCH", f"/Groups/{ops['id']}", {"Operations": [one]})
    assert again.status == 204
    _, again = await twice("DELETE", path)
    assert again.status == 404
    found = await kinds(open_doors, org)
    for kind in (
        "person.created",
        "person.updated",
        "person.deleted",
        "group.created",
        "group.members_changed",
    ):
        assert found[kind] == 1, kind
    assert await seats_used(open_doors, org) == used
    assert await admin_reads.check_standing(open_doors.door, org.id) == []


async def test_one_push_sent_to_two_replicas_at_once_has_one_effect(database_url: str) -> None:
    """F17."""
    async with company(database_url) as one, company(database_url) as two:
        org = await one.organization(seats_limit=5)
        used = await seats_used(one, org)

        async def to_both(method: str, path: str, body: Any = None) -> list[int]:
            answers = await asyncio.gather(*(each.scim(org, method, path, body) for each in (one, two)))
            return sorted(answer.status for answer in answers)

        assert await to_both("POST", "/Users", ANN) == [201, 409]
        (ann,) = (await two.scim(org, "GET", "/Users")).json["Resources"]
        path = f"/Users/{ann['id']}"
        assert await to_both("PUT", path, ANN | {"title": "Boss"}) == [200, 200]
        assert await to_both("POST", "/Groups", {"displayName": "Ops", "externalId": "g-1"}) == [201, 409]
        (ops,) = (await two.scim(org, "GET", "/Groups")).json["Resources"]
        member = {"op": "add", "path": "members", "value": [{"value": ann["id"]}]}
        assert await to_both("PATCH", f"/Groups/{ops['id']}", {"Operations": [member]}) == [204, 204]
        assert await seats_used(one, org) == used + 1
        off = {"Operations": [{"op": "replace", "value": {"active": False}}]}
        assert await to_both("PATCH", path, off) == [200, 200]
        assert await seats_used(one, org) == used
        assert await to_both("DELETE", path) == [204, 404]
        found = await kinds(one, org)
        assert (found["person.created"], found["person.updated"], found["person.deleted"]) == (1, 2, 1)
        assert (found["group.created"], found["group.members_changed"], found["seat.freed"]) == (1, 1, 1)
        assert await admin_reads.check_standing(one.door, org.id) == []
