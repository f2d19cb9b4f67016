"""What nobody is refused for and an admin has to know of: mass deactivations, seats above the limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scimd import log
from scimd.db import tables as t
from tests.org.house import House, house, user


async def alarms(acme: House, kind: str = "source.alarm") -> list[dict[str, Any]]:
    rows = await acme.rows(t.events, kind=kind)
    return [row.body["after"] for row in sorted(rows, key=lambda row: row.id)]


async def test_scim_deactivations_above_the_limit_within_an_hour_raise_one_alarm(database_url: str) -> None:
    async with house(database_url) as acme:
        people = [(await acme.create(f"p{n}")).person_id for n in range(14)]
        for person_id in people[:3]:
            await acme.change(person_id, active=False)
        for person_id in people[3:5]:
            await acme.delete(person_id)
        assert await alarms(acme) == []
        for person_id in people[5:9]:
            await acme.change(person_id, active=False)
        (alarm,) = await alarms(acme)
        assert alarm == {"people": 14, "left": 6, "limit": 5, "source": "okta"}
        left = {(await acme.person(each)).status for each in people[:9]}
        assert left == {"inactive"}, "applied, all of them"
        await acme.change(people[0], active=True)
        assert (await acme.person(people[0])).status == "active", "restorable"


async def test_deactivations_of_several_hours_raise_none(database_url: str) -> None:
    async with house(database_url) as acme:
        people = [(await acme.create(f"p{n}")).person_id for n in range(20)]
        for n, person_id in enumerate(people[:10]):
            await acme.change(person_id, active=False)
            if n % 4 == 3:
                acme.clock.forward(hours=1)
        assert await alarms(acme) == []


async def test_what_a_sync_drops_is_held_by_its_plan_and_raises_no_alarm(database_url: str) -> None:
    async with house(database_url) as acme:
        hr = await acme.source("hr", kind="connector", connector="ldap")
        ctx = acme.as_sync(hr)
        made = await acme.push(*(user(f"p{n}") for n in range(8)), ctx=ctx)
        await acme.drop(*(str(each.person_id) for each in made), ctx=ctx)
        assert await alarms(acme) == []


async def test_seats_above_the_limit_by_the_policy_allow_are_told(database_url: str) -> None:
    async with house(database_url, seats_=1, seats_on_scim="allow") as acme:
        await acme.create("ann")
        assert await alarms(acme, "seats.over_limit") == []
        bob = await acme.create("bob")
        assert await alarms(acme, "seats.over_limit") == [{"used": 2, "limit": 1}]
        assert (await acme.person(bob.person_id)).has_seat
        await acme.change(bob.person_id, title="Smith")
        assert len(await alarms(acme, "seats.over_limit")) == 1


async def test_what_is_logged_of_a_transaction_says_for_which_call(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url) as acme:
        calls = [replace(acme.as_scim(), correlation_id=name) for name in ("first", "second")]
        said = [await acme.run(lambda _: log.CORRELATION.get(None), ctx) for ctx in calls]
        assert said == ["first", "second"], "within it, in whichever thread"

        async def write(*_: Any, **__: Any) -> str | None:
            return log.CORRELATION.get(None)

        monkeypatch.setattr(acme.door.db, "write", write)
        assert [await acme.run(lambda _: None, ctx) for ctx in calls] == ["first", "second"], "around it"
        assert log.CORRELATION.get(None) is None
