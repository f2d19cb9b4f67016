"""The audit (T3, V17): one order, no gap, nothing changed unseen."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, delete, text, update

from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId
from scimd.db.tables import events, published, walks
from scimd.org import timekeeping
from scimd.org.audit import audit, verifying
from scimd.org.audit.audit_reads import EntryFilter, list_entries
from scimd.org.ids import first_id, in_order, uuid7
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.tx import Tx
from scimd.org.windows import Window
from tests.org.acme import OPERATOR, House


def many(count: int) -> Any:
    def body(tx: Tx) -> None:
        for n in range(count):
            after = {"n": n, "text": "Zoë — 静か", "float": 1.5, "none": None, "list": [1, {"b": 2, "a": 1}]}
            tx.record(Event(EventKind.PERSON_UPDATED, "person", f"p-{n}", {"n": n - 1}, after))

    return body


async def test_events_keep_actor_door_and_correlation_and_their_order(acme: House) -> None:
    await acme.door.run(acme.ctx, many(300))
    rows = [row for row in await acme.rows(events) if row.kind == "person.updated"]
    assert [row.target_id for row in sorted(rows, key=lambda row: row.id)] == [f"p-{n}" for n in range(300)]
    assert {(row.actor_name, row.door, row.correlation_id, row.audience) for row in rows} == {
        ("root (CLI)", "cli", "c-1", "feed")
    }


def test_ids_sort_by_microsecond_and_place() -> None:
    """The order of the audit, and its parts by time, rest on ids alone."""
    chance = random.Random(7)
    begin = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    moments = sorted(begin + timedelta(microseconds=chance.randrange(10**7)) for _ in range(2000))
    for shift in (timedelta(0), timedelta(microseconds=1), timedelta(milliseconds=1)):
        ids = [
            uuid7(moment + shift, (in_order(moment + shift, place) | bits).to_bytes(10, "big"))
            for moment in moments
            for place, bits in ((0, 2**40 - 1), (1, 0), (70_000, 2**40 - 1))
        ]
        assert ids == sorted(ids)
        for n in range(0, len(moments), 7):
            first = first_id(moments[n] + shift)
            earlier = bisect_left(moments, moments[n])
            assert bisect_left(ids, first) == 3 * earlier


async def test_a_part_by_time_begins_and_ends_to_the_microsecond(acme: House) -> None:
    moments = [acme.clock.now + timedelta(microseconds=n) for n in range(4)]
    for n, moment in enumerate(moments):
        acme.clock.now = moment
        event = Event(EventKind.PERSON_UPDATED, "person", f"q-{n}")
        await acme.door.run(acme.ctx, lambda tx, event=event: tx.record(event))  # type: ignore[misc]
    only = EntryFilter(kind="person.updated", since=moments[1], until=moments[3])
    found = await list_entries(acme.door, acme.org.id, only, Window())
    assert [row.target_id for row in found.rows] == ["q-1", "q-2"]


async def test_a_call_that_fails_leaves_no_event(acme: House) -> None:
    before = len(await acme.rows(events))

    def body(tx: Tx) -> None:
        many(3)(tx)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await acme.door.run(acme.ctx, body)
    assert len(await acme.rows(events)) == before


async def test_published_once_each_and_verified(acme: House) -> None:
    await acme.door.run(acme.ctx, many(2500))
    total = len(await acme.rows(events))
    assert await audit.publish(acme.door, acme.org.id) == total
    assert await audit.publish(acme.door, acme.org.id) == 0
    await acme.door.run(acme.ctx, many(1))
    found = await verifying.verify(acme.door, acme.org.id)
    assert (found.ok, found.published, found.unpublished, found.erased) == (True, total, 1, 0)


async def test_each_batch_begins_where_the_one_before_ended_and_who_came_late_is_the_next_calls(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_BATCH", 40)
    begun: list[str] = []
    look = audit._next

    def noted(conn: Connection, org_id: OrgId, now: datetime, within: timedelta, first: str) -> audit._Batch:
        begun.append(first)
        return look(conn, org_id, now, within, first)

    monkeypatch.setattr(audit, "_next", noted)
    await acme.door.run(acme.ctx, many(100))
    ids = sorted(row.id for row in await acme.rows(events))
    assert await audit.publish(acme.door, acme.org.id) == len(ids)
    assert begun == ["", ids[39], ids[79]]
    acme.clock.now -= timedelta(minutes=30)
    await acme.door.run(acme.ctx, many(3))
    acme.clock.now += timedelta(minutes=30)
    assert await audit.publish(acme.door, acme.org.id) == 3
    assert (await verifying.verify(acme.door, acme.org.id)).ok


async def test_a_part_of_which_all_is_chained_is_counted_and_who_came_late_there_is_found(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour after a first sync, each of 800,000 events was looked up in the chain once a minute."""
    monkeypatch.setattr(audit, "_LOOKED", 7)
    await acme.door.run(acme.ctx, many(20))
    await audit.publish(acme.door, acme.org.id)
    ids = sorted(row.id for row in await acme.rows(events))
    begun: list[str] = []
    chain = audit._NEXT

    class Noted:
        def all(self, conn: Connection, parameters: dict[str, Any]) -> list[Any]:
            begun.append(parameters["first"])
            return chain.all(conn, parameters)

    monkeypatch.setattr(audit, "_NEXT", Noted())
    assert await audit.publish(acme.door, acme.org.id) == 0
    last = ids[(len(ids) - 1) // 7 * 7]
    assert begun == [last]
    acme.clock.now -= timedelta(minutes=30)
    await acme.door.run(acme.ctx, many(3))
    acme.clock.now += timedelta(minutes=30)
    assert await audit.publish(acme.door, acme.org.id) == 3


async def test_two_publishers_at_once_make_one_chain(acme: House) -> None:
    await acme.door.run(acme.ctx, many(500))
    counts = await asyncio.gather(*(audit.publish(acme.door, acme.org.id) for _ in range(6)))
    assert sum(counts) == len(await acme.rows(events))
    assert (await verifying.verify(acme.door, acme.org.id)).ok


async def test_events_after_the_clock_was_put_back_are_chained_at_once(acme: House) -> None:
    acme.clock.pass_by(hours=24)
    await acme.door.run(acme.ctx, many(3))
    await timekeeping.publish_all(acme.door)
    acme.clock.now -= timedelta(hours=24)
    await acme.door.run(acme.ctx, many(4))
    assert await timekeeping.publish_all(acme.door, within=audit.RECENT) == 4
    found = await verifying.verify(acme.door, acme.org.id)
    assert (found.ok, found.unpublished) == (True, 0)


async def test_what_was_left_out_is_chained_by_the_sweep(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written while the clock was far behind, of two organizations, and no worker ran."""
    monkeypatch.setattr(audit, "_SWEPT", 10)
    monkeypatch.setattr(audit, "_BATCH", 4)
    other = await organizations.create(acme.door, NewOrganization("other"), OPERATOR)
    both = [acme.ctx, replace(acme.ctx, org_id=other.id)]
    for ctx in both:
        await acme.door.run(ctx, many(12))
    await timekeeping.publish_all(acme.door)
    acme.clock.now -= timedelta(hours=5)
    for ctx in both:
        await acme.door.run(ctx, many(6))
    acme.clock.now += timedelta(hours=5)
    await acme.door.run(acme.ctx, many(1))
    assert await timekeeping.publish_all(acme.door) == 1
    all_events = len(await acme.rows(events))
    assert sum([await audit.sweep(acme.door) for _ in range(all_events // 10 + 1)]) == 12
    assert [await audit.sweep(acme.door) for _ in range(all_events // 10 + 1)] == [0] * (all_events // 10 + 1)
    for ctx in both:
        found = await verifying.verify(acme.door, ctx.org_id)
        assert (found.ok, found.unpublished) == (True, 0)


async def test_the_sweep_goes_on_where_it_was_whoever_goes_on(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place is stored: a worker that starts each day comes to the end as one that stays."""
    monkeypatch.setattr(audit, "_SWEPT", 10)
    await acme.door.run(acme.ctx, many(25))
    ids = sorted(row.id for row in await acme.rows(events))
    places = []
    for _ in range(len(ids) // 10 + 2):
        await audit.sweep(acme.door)
        places += [(row.last_org_id, row.last_id) for row in await acme.rows(walks)]
    assert places == [(acme.org.id, ids[9]), (acme.org.id, ids[19]), ("", ""), (acme.org.id, ids[9])]


async def test_who_was_swept_moves_no_look_and_the_chain_goes_on_after_them(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event of long ago is the chain's last; the next one is looked for from the newest event on."""
    await timekeeping.publish_all(acme.door)
    acme.clock.now -= timedelta(days=300)
    await acme.door.run(acme.ctx, many(1))
    acme.clock.now += timedelta(days=300)
    for _ in range(3):
        acme.clock.pass_by(days=3)
        await acme.door.run(acme.ctx, many(2))
        await timekeeping.publish_all(acme.door)
    newest = acme.clock.now
    assert await audit.sweep(acme.door) == 1
    begun: list[str] = []
    chain = audit._NEXT

    class Noted:
        def all(self, conn: Connection, parameters: dict[str, Any]) -> list[Any]:
            begun.append(parameters["first"])
            return chain.all(conn, parameters)

    monkeypatch.setattr(audit, "_NEXT", Noted())
    acme.clock.pass_by(minutes=1)
    await acme.door.run(acme.ctx, many(3))
    assert await audit.publish(acme.door, acme.org.id, within=audit.RECENT) == 3
    assert begun == [first_id(newest - audit.RECENT)]
    found = await verifying.verify(acme.door, acme.org.id)
    assert (found.ok, found.unpublished) == (True, 0)


async def test_what_waited_while_no_worker_ran_is_found_behind_events_of_the_future(acme: House) -> None:
    await timekeeping.publish_all(acme.door)
    acme.clock.pass_by(days=30)
    await acme.door.run(acme.ctx, many(3))
    await timekeeping.publish_all(acme.door)
    acme.clock.now -= timedelta(days=30) - timedelta(minutes=1)
    await acme.door.run(acme.ctx, many(4))
    assert await timekeeping.publish_all(acme.door) == 4
    acme.clock.pass_by(minutes=1)
    await acme.door.run(acme.ctx, many(5))
    acme.clock.pass_by(hours=5)
    await acme.door.run(acme.ctx, many(1))
    assert await timekeeping.publish_all(acme.door) == 6


async def published_events(acme: House) -> None:
    await acme.door.run(acme.ctx, many(5))
    await audit.publish(acme.door, acme.org.id)


async def test_a_changed_event_is_found(acme: House) -> None:
    await published_events(acme)
    await acme.write(
        lambda conn: (
            conn.execute(update(events).where(events.c.target_id == "p-2").values(actor_name="somebody else"))
            and None
        )
    )
    found = await verifying.verify(acme.door, acme.org.id)
    assert len(found.faults) == 1
    assert "was changed" in found.faults[0]


@pytest.mark.parametrize("salt", [{}, {"salt": None}, {"salt": b"0" * 16}])
async def test_changed_values_are_found(acme: House, salt: dict[str, Any]) -> None:
    await published_events(acme)
    (row,) = await acme.rows(events, target_id="p-2")
    await acme.write(
        lambda conn: (
            conn.execute(
                update(events).where(events.c.id == row.id).values(body={"after": "nothing"}, **salt)
            )
            and None
        )
    )
    found = await verifying.verify(acme.door, acme.org.id)
    assert [fault for fault in found.faults if "values" in fault and row.id in fault]


async def test_a_removed_event_and_a_removed_entry_are_found(acme: House) -> None:
    await published_events(acme)
    (row,) = await acme.rows(events, target_id="p-2")
    await acme.write(lambda conn: conn.execute(delete(events).where(events.c.id == row.id)) and None)
    assert any("missing" in fault for fault in (await verifying.verify(acme.door, acme.org.id)).faults)
    await acme.write(
        lambda conn: conn.execute(delete(published).where(published.c.event_id == row.id)) and None
    )
    assert any("missing" in fault for fault in (await verifying.verify(acme.door, acme.org.id)).faults)


async def test_all_is_gone_through_and_of_many_faults_the_first_are_told(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_BATCH", 30)
    await acme.door.run(acme.ctx, many(100))
    total = await audit.publish(acme.door, acme.org.id)
    await acme.write(lambda conn: conn.execute(update(events).values(actor_name="another")) and None)
    found = await verifying.verify(acme.door, acme.org.id)
    assert (found.published, len(found.faults)) == (total, 21)
    assert found.faults[-1] == f"{total - 20} more like these were found; the first 20 are listed."


async def test_parts_tell_what_the_whole_tells(acme: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_BATCH", 10)
    monkeypatch.setattr(verifying, "_PART", 20)
    await acme.door.run(acme.ctx, many(50))
    total = await audit.publish(acme.door, acme.org.id)
    await acme.door.run(acme.ctx, many(1))
    for seq in (20, 41):  # the last of a part, the first of one
        (row,) = await acme.rows(published, seq=seq)
        changed = update(events).where(events.c.id == row.event_id).values(actor_name="another")
        await acme.write(lambda conn, changed=changed: conn.execute(changed) and None)  # type: ignore[misc]
    gone = delete(published).where(published.c.seq == 30)
    await acme.write(lambda conn: conn.execute(gone) and None)
    told: list[int] = []
    whole = await verifying.verify(acme.door, acme.org.id, told.append)
    assert (whole.published, whole.next, told[:2]) == (total - 1, None, [20, 40])
    assert [fault.split(":")[0] for fault in whole.faults] == [
        "Entry 20",
        "Entry 30 is missing",
        "Entry 31",
        "Entry 41",
    ]
    parts = [await verifying.verify_part(acme.door, acme.org.id, 0)]
    while parts[-1].next is not None:
        parts.append(await verifying.verify_part(acme.door, acme.org.id, parts[-1].next))
    assert sum(part.published for part in parts) == whole.published
    assert tuple(fault for part in parts for fault in part.faults) == whole.faults
    assert [part.unpublished for part in parts] == [0] * (len(parts) - 1) + [1 + 1]
    beyond = await verifying.verify_part(acme.door, acme.org.id, 2**31 - 1)
    assert (beyond.published, beyond.faults) == (0, (f"Entry {2**31 - 1} is missing.",))


async def test_values_are_what_their_text_means_and_text_that_means_nothing_is_a_change(acme: House) -> None:
    await published_events(acme)
    (row,) = await acme.rows(events, target_id="p-1")

    async def write(body: str) -> None:
        value = ":body" if acme.door.db.dialect == "sqlite" else "CAST(:body AS JSONB)"
        change = text(f"UPDATE events SET body = {value} WHERE id = :id")
        await acme.write(lambda conn: conn.execute(change, {"id": row.id, "body": body}) and None)

    stored = orjson.dumps(row.body).decode()
    await write(f" {stored} ")
    assert (await verifying.verify(acme.door, acme.org.id)).ok
    # PostgreSQL takes nothing that is no JSON: there the very text, within a text.
    await write(stored[1:] if acme.door.db.dialect == "sqlite" else orjson.dumps(stored).decode())
    (fault,) = (await verifying.verify(acme.door, acme.org.id)).faults
    assert row.id in fault


async def test_half_of_what_erasing_takes_is_a_change(acme: House) -> None:
    await published_events(acme)
    for n, gone in enumerate(("salt", "body")):
        (row,) = await acme.rows(events, target_id=f"p-{n}")
        half = update(events).where(events.c.id == row.id).values({gone: None})
        await acme.write(lambda conn, half=half: conn.execute(half) and None)  # type: ignore[misc]
    found = await verifying.verify(acme.door, acme.org.id)
    assert (len(found.faults), found.erased) == (2, 0)


async def test_erased_values_are_erased_and_not_changed(acme: House) -> None:
    await published_events(acme)
    (row,) = await acme.rows(events, target_id="p-2")
    await acme.write(
        lambda conn: (
            conn.execute(update(events).where(events.c.id == row.id).values(salt=None, body=None)) and None
        )
    )
    found = await verifying.verify(acme.door, acme.org.id)
    assert (found.ok, found.erased) == (True, 1)


async def test_each_organization_has_a_chain_of_its_own(acme: House) -> None:
    other = await organizations.create(acme.door, NewOrganization("other"), OPERATOR)
    await acme.door.run(acme.ctx, many(3))
    assert await timekeeping.publish_all(acme.door) == 5
    assert await timekeeping.publish_all(acme.door) == 0
    assert (await verifying.verify(acme.door, other.id)).published == 1
    assert (await verifying.verify(acme.door, acme.org.id)).published == 4
