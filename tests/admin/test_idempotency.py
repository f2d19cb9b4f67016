"""A write with an Idempotency-Key happens once, whatever happens to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from scimd.db.tables import idempotency_keys, teams
from scimd.org import idempotency
from tests.admin import probe
from tests.admin.client import Client, signed_in
from tests.web.site import Site, site


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[Site]:
    probe.RAN.clear()
    async with site(database_url, api=probe.PROBES) as found:
        yield found


async def _kept(acme: Site) -> int:
    query = select(func.count()).select_from(idempotency_keys)
    return await acme.door.read(lambda conn: conn.execute(query).scalar_one())


async def test_repetition_gets_the_same_answer_and_does_nothing(api: Client) -> None:
    first = await api.post("/probes", {"name": "a"}, Idempotency_Key="k-1")
    again = await api.post("/probes", {"name": "a"}, Idempotency_Key="k-1")
    assert (again.status, again.raw) == (201, first.raw)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert probe.RAN == ["a"]


async def test_another_request_under_the_key_is_refused(api: Client) -> None:
    await api.post("/probes", {"name": "a"}, Idempotency_Key="k-1")
    for path, body in (("/probes", {"name": "b"}), ("/probes?organization=acme", {"name": "a"})):
        answer = await api.post(path, body, Idempotency_Key="k-1")
        assert (answer.status, answer.json["code"]) == (422, "idempotency_key_reused")
    assert probe.RAN == ["a"]


async def test_key_belongs_to_whoever_sent_it(acme: Site, api: Client) -> None:
    await api.post("/probes", {"name": "a"}, Idempotency_Key="k-1")
    async with signed_in(acme, "other@acme.example") as other:
        answer = await other.post("/probes", {"name": "b"}, Idempotency_Key="k-1")
        assert answer.status == 201


async def test_parallel_repetitions_happen_once(api: Client) -> None:
    answers = await asyncio.gather(
        *(api.post("/probes", {"name": "a"}, Idempotency_Key="k-1") for _ in range(8))
    )
    assert probe.RAN == ["a"]
    assert {answer.status for answer in answers} <= {201, 409}
    for answer in answers:
        if answer.status == 409:
            assert (answer.json["code"], answer.headers["Retry-After"]) == ("request_in_progress", "1")
    assert len({answer.raw for answer in answers if answer.status == 201}) == 1


async def test_refused_request_is_tried_again(api: Client) -> None:
    await api.post("/probes", {"name": "a"})
    assert (await api.post("/probes", {"name": "A"}, Idempotency_Key="k-1")).status == 409
    for row in (await api.get("/probes")).json["items"]:
        await api.send("DELETE", f"/probes/{row['id']}")
    assert (await api.post("/probes", {"name": "A"}, Idempotency_Key="k-1")).status == 201


async def test_crash_between_commit_and_answer_does_not_double_the_effect(
    acme: Site, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> None:
        raise RuntimeError("the process died here")

    with monkeypatch.context() as broken:
        broken.setattr(idempotency, "keep", dies)
        assert (await api.post("/probes", {"name": "a"}, Idempotency_Key="k-1")).status == 500
    assert (await api.post("/probes", {"name": "a"}, Idempotency_Key="k-1")).json["code"] == (
        "request_in_progress"
    )
    acme.clock.ahead += timedelta(minutes=3)
    answer = await api.post("/probes", {"name": "a"}, Idempotency_Key="k-1")
    assert (answer.status, answer.json["code"]) == (409, "answer_lost")
    assert probe.RAN == ["a"]


async def test_crash_before_the_commit_leaves_no_key(
    acme: Site, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise RuntimeError("the process died here")

    with monkeypatch.context() as broken:
        broken.setattr(acme.door, "_write_events", dies)
        assert (await api.post("/probes", {"name": "a"}, Idempotency_Key="k-1")).status == 500
    assert await _kept(acme) == 0
    assert (await api.post("/probes", {"name": "a"}, Idempotency_Key="k-1")).status == 201


async def test_many_under_one_key_happen_once(acme: Site, api: Client) -> None:
    body = {"items": [{"name": "a"}, {"name": "a"}, {"name": "b"}]}
    first = await api.post("/probes/many", body, Idempotency_Key="k-1")
    assert [row["status"] for row in first.json["results"]] == [201, 409, 201]
    assert (await api.post("/probes/many", body, Idempotency_Key="k-1")).raw == first.raw
    count = select(func.count()).where(teams.c.org_id == acme.org_id)
    assert await acme.door.read(lambda conn: conn.execute(count).scalar_one()) == 2


async def test_answer_is_sealed_where_it_lies_and_forgotten_after_a_day(acme: Site, api: Client) -> None:
    await api.post("/probes", {"name": "secret-name"}, Idempotency_Key="k-1")
    query = select(idempotency_keys.c.answer)
    stored = await acme.door.read(lambda conn: bytes(conn.execute(query).scalar_one()))
    assert b"secret-name" not in stored
    acme.clock.ahead += timedelta(hours=23)
    assert await idempotency.forget(acme.door) == 0
    acme.clock.ahead += timedelta(hours=1)
    assert await idempotency.forget(acme.door) == 1
    assert await _kept(acme) == 0


async def test_key_is_free_again_after_a_day_with_the_job_off(acme: Site) -> None:
    async with signed_in(acme) as api:
        assert (await api.post("/probes", {"name": "a"}, Idempotency_Key="k-1")).status == 201
    acme.clock.ahead += timedelta(hours=24)
    async with signed_in(acme) as api:
        assert (await api.post("/probes", {"name": "b"}, Idempotency_Key="k-1")).status == 201
    assert probe.RAN == ["a", "b"]


async def test_key_is_visible_ascii(api: Client) -> None:
    for key in ("", "a b", "x" * 256, "é"):
        answer = await api.post("/probes", {"name": "a"}, Idempotency_Key=key)
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, "Idempotency-Key"), key
