"""A pause changes nothing of what a source gives, whoever it is by; its end gives back what was before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from scimd.config import Source
from scimd.core.notifications import QUARANTINE_AT_MOST
from scimd.core.people import PersonId, SourceId
from scimd.db.tables import deliveries, events, sources, unsettled
from scimd.org.declared import declared_sources
from scimd.org.sources import source_states, source_upkeep
from scimd.org.sources.sources import SourceRecord, find
from scimd.org.users import admin_reads
from tests.org.house import House, house


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url, seats_=5) as found:
        yield found


async def by_hand(acme: House, source: SourceId) -> None:
    await source_states.pause(acme.door, acme.as_admin(), source)


async def by_quarantine(acme: House, source: SourceId) -> None:
    since = acme.clock() - QUARANTINE_AT_MOST - timedelta(minutes=1)
    await acme.run(
        lambda tx: tx.conn.execute(
            update(sources)
            .where(sources.c.id == source)
            .values(quarantined_since=since, quarantine_cause="the password is wrong")
        )
    )
    assert await source_upkeep.pause_long_quarantined(acme.door) == 1


async def resume(acme: House, source: SourceId) -> SourceRecord:
    return await source_states.resume(acme.door, acme.as_admin(), source)


async def recover(acme: House, source: SourceId) -> SourceRecord:
    return await source_upkeep.recover(acme.door, acme.as_admin(), source)


PAUSES = pytest.mark.parametrize(
    ("pause", "undo"), [(by_hand, resume), (by_quarantine, recover), (by_quarantine, resume)]
)
Pause = Callable[[House, SourceId], Awaitable[None]]
Undo = Callable[[House, SourceId], Awaitable[SourceRecord]]


async def gives_nothing(acme: House, person: PersonId) -> None:
    assert await acme.rows(unsettled) == []
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []
    row = await acme.person(person)
    assert (row.status, row.has_seat, row.causes[0]) == ("pending", False, "shadow:trial")


@PAUSES
async def test_what_is_paused_in_shadow_gives_nothing_until_somebody_takes_it_out(
    acme: House, pause: Pause, undo: Undo
) -> None:
    trial = await acme.source("trial", state="shadow", kind="connector", connector="ldap")
    ann = (await acme.create("ann", ctx=acme.as_sync(trial))).person_id
    await pause(acme, trial)
    assert [row.state for row in await acme.rows(sources, id=trial)] == ["paused"]
    await gives_nothing(acme, ann)
    assert (await undo(acme, trial)).state == "shadow"
    await gives_nothing(acme, ann)
    await pause(acme, trial)
    await source_states.set_state(acme.door, acme.as_admin(), trial, "active")
    assert [row.person_id for row in await acme.rows(unsettled)] == [ann]


@PAUSES
async def test_what_is_paused_while_staged_keeps_its_mails(acme: House, pause: Pause, undo: Undo) -> None:
    hr = await acme.source("hr", state="staged", kind="connector", connector="ldap", invite="immediate")
    await acme.create("ann", ctx=acme.as_sync(hr))
    await pause(acme, hr)
    assert (await undo(acme, hr)).state == "staged"
    await pause(acme, hr)
    assert [row.state for row in await acme.rows(deliveries)] == ["staged"]
    await source_states.set_state(acme.door, acme.as_admin(), hr, "active")
    assert [row.state for row in await acme.rows(deliveries)] == ["due"]


@PAUSES
async def test_whoever_a_pause_meets_keeps_what_they_have(acme: House, pause: Pause, undo: Undo) -> None:
    hr = await acme.source("hr", kind="connector", connector="ldap")
    ann = (await acme.create("ann", ctx=acme.as_sync(hr))).person_id
    await pause(acme, hr)
    assert await acme.rows(unsettled) == []
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []
    assert (await acme.person(ann)).status == "active"
    assert (await undo(acme, hr)).state == "active"


async def activate(acme: House, source: SourceId) -> SourceRecord:
    return await source_states.set_state(acme.door, acme.as_admin(), source, "active")


async def by_file(acme: House, source: SourceId) -> SourceRecord:
    for state in ("paused", "active"):  # only what it did not say before counts
        stated = Source.model_validate({"name": "hr", "connector": "ldap", "state": state})
        await acme.run(lambda tx, stated=stated: declared_sources.declare(tx, [stated]))  # type: ignore[misc]
    return await acme.run(lambda tx: find(tx.conn, tx.org_id, source))


@pytest.mark.parametrize("undo", [resume, recover, activate, by_file])
async def test_whoever_ends_a_pause_by_quarantine_ends_the_quarantine(acme: House, undo: Undo) -> None:
    hr = await acme.source("hr", kind="connector", connector="ldap")
    await by_quarantine(acme, hr)
    source = await undo(acme, hr)
    assert (source.state, source.quarantined_since, source.failures) == ("active", None, 0)
    assert len([row for row in await acme.rows(events) if row.kind == "source.recovered"]) == 1
    assert await source_upkeep.pause_long_quarantined(acme.door) == 0
