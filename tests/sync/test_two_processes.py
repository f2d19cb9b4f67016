"""Leases and crashes over real processes: one runner per source, nothing lost, nothing twice (V21, R14)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scimd.config import Source
from scimd.core.people import OrgId
from scimd.db.tables import events
from scimd.org import leases
from scimd.org.runs import runs
from scimd.org.runs.runs import RunRecord
from scimd.org.sources import sources
from scimd.org.tx import Door
from scimd.sync import run as sync_run
from tests.e2e.stored import let_leases_run_out
from tests.support.database import ready
from tests.support.patience import AT_MOST_S, eventually
from tests.sync.world import opened, organization, state_of

BATCH = 20


def directory(folder: Path, people: int, *, without: frozenset[int] = frozenset()) -> None:
    """A JSON Lines directory of people and two groups, one in the other."""
    lines: list[dict[str, Any]] = [
        {"id": f"x{n:04}", "userName": f"user{n:04}", "emails": f"user{n:04}@acme.example"}
        for n in range(people)
        if n not in without
    ]
    (folder / "users.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    everyone = [line["id"] for line in lines]
    groups = [
        {"id": "g1", "displayName": "Engineering", "members": everyone[::2]},
        {"id": "g2", "displayName": "All", "members": ["g1", *everyone[1::2]]},
    ]
    (folder / "groups.jsonl").write_text("".join(json.dumps(group) + "\n" for group in groups))


@asynccontextmanager
async def acme(url: str, folder: Path) -> AsyncIterator[tuple[Door, OrgId]]:
    ready(url)
    async with opened(url) as door:
        source = Source.model_validate(
            {"name": "hr", "connector": "file", "state": "active", "settings": {"path": str(folder)}}
            | {"groups": {"default": "project"}, "limits": {"removals_percent": 50, "removals_most": 9999}}
        )
        yield door, await organization(door, source)


async def begun(
    url: str, *, inside_s: float = 0, between_s: float = 0, from_batch: int = 1
) -> asyncio.subprocess.Process:
    numbers = [str(number) for number in (BATCH, inside_s, between_s, from_batch)]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.sync.runner", url, *numbers, stdout=asyncio.subprocess.PIPE
    )


async def until(process: asyncio.subprocess.Process, wanted: str, times: int = 1) -> None:
    while times:
        said = await line(process)
        assert said, "the runner ended early"
        times -= said == wanted


async def line(process: asyncio.subprocess.Process) -> str:
    """The next line that the runner says, but for the log."""
    assert process.stdout is not None
    while raw := await asyncio.wait_for(process.stdout.readline(), AT_MOST_S):
        text = raw.decode().strip()
        if not text.startswith("20"):
            return text
    return ""


async def last(process: asyncio.subprocess.Process) -> str:
    said = ""
    while text := await line(process):
        said = text
    await process.wait()
    return said


async def undisturbed(url: str, folder: Path) -> Any:
    async with acme(url, folder) as (door, org_id):
        (source,) = await sources.list_sources(door)
        assert (await sync_run.sync_source(door, source)).state == "done"
        return await door.read(lambda conn: state_of(conn, org_id))


async def again(door: Door, org_id: OrgId) -> Any:
    """Sync from here until the source is free, and give what it has come to."""
    source = await sources.get_source(door, org_id, "hr")

    async def synced() -> RunRecord | None:
        with contextlib.suppress(sync_run.Busy):
            return await sync_run.sync_source(door, source)
        return None

    run = await eventually(synced, "the source is not free")
    assert run.state == "done"
    return await door.read(lambda conn: state_of(conn, org_id))


@pytest.mark.parametrize("batches", [1, 4])
async def test_killed_in_mid_apply_another_process_ends_in_the_same_state(
    database_url: str, tmp_path: Path, batches: int
) -> None:
    directory(tmp_path, 150)
    expected = await undisturbed(f"sqlite:///{tmp_path / 'expected.db'}", tmp_path)
    async with acme(database_url, tmp_path) as (door, org_id):
        process = await begun(database_url, inside_s=10 * AT_MOST_S, from_batch=batches)
        await until(process, "inside", batches)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        let_leases_run_out(database_url)
        (cut_off,) = await runs.list_runs(door, org_id)
        assert cut_off.state == "applying"
        assert _comparable(await again(door, org_id)) == _comparable(expected)
        first, second = reversed(await runs.list_runs(door, org_id))
        assert (first.state, first.counts["created"]) == ("done", 150)
        assert second.changes == 0
        created = [row for row in await _events(door) if row.kind == "person.created"]
        assert len(created) == 150


def _comparable(state: Any) -> Any:
    """Of two databases: rows in one order, bytes as bytes."""
    persons, members = state
    return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in persons], sorted(
        members, key=repr
    )


async def _events(door: Door) -> list[Any]:
    return await door.read(lambda conn: list(conn.execute(events.select())))


async def test_leader_that_was_stopped_finds_its_late_writes_refused(
    database_url: str, tmp_path: Path
) -> None:
    directory(tmp_path, 150)
    expected = await undisturbed(f"sqlite:///{tmp_path / 'expected.db'}", tmp_path)
    async with acme(database_url, tmp_path) as (door, org_id):
        leader = await begun(database_url, between_s=AT_MOST_S)
        await until(leader, "between")
        await asyncio.sleep(0.5)  # a prolonging that was under way is through: nothing is open now
        leader.send_signal(signal.SIGSTOP)
        try:
            # Somebody else takes over once the lease has run out, and finishes.
            let_leases_run_out(database_url)
            assert _comparable(await again(door, org_id)) == _comparable(expected)
        finally:
            leader.send_signal(signal.SIGCONT)
            leader.send_signal(signal.SIGUSR1)
        assert await last(leader) == "LeaseLost"
        assert _comparable(await door.read(lambda conn: state_of(conn, org_id))) == _comparable(expected)
        created = [row for row in await _events(door) if row.kind == "person.created"]
        assert len(created) == 150


async def test_stopped_leader_cannot_renew_and_its_fence_is_old(database_url: str, tmp_path: Path) -> None:
    """The same without chance: the leader is stopped between two of its transactions."""
    directory(tmp_path, 5)
    async with acme(database_url, tmp_path) as (door, _):
        (source,) = await sources.list_sources(door)
        ctx = sync_run.context(door, source)
        first = await door.run(ctx, lambda tx: leases.take(tx, "source:x", "one"))
        assert first is not None
        assert await door.run(ctx, lambda tx: leases.take(tx, "source:x", "two")) is None
        let_leases_run_out(database_url)
        second = await door.run(ctx, lambda tx: leases.take(tx, "source:x", "two"))
        assert second is not None
        assert second.fence == first.fence + 1
        with pytest.raises(leases.LeaseLost):
            await door.run(ctx, lambda tx: leases.hold(tx, first))
        await door.run(ctx, lambda tx: leases.release(tx, first))  # what is lost is left alone
        assert (await door.run(ctx, lambda tx: leases.hold(tx, second))).fence == second.fence


async def test_what_a_dead_process_held_is_free_at_once_and_nothing_else(
    database_url: str, tmp_path: Path
) -> None:
    async with acme(database_url, tmp_path) as (door, _):
        (source,) = await sources.list_sources(door)
        ctx = sync_run.context(door, source)
        took = [await door.run(ctx, lambda tx, n=n: leases.take(tx, n, f"host/1/{n}")) for n in ("ab", "b")]  # type: ignore[misc]
        assert None not in took
        assert await leases.let_go(door, "b") == 1
        assert await leases.let_go(door, "b") == 0
        assert await door.run(ctx, lambda tx: leases.take(tx, "ab", "another")) is None
        assert await door.run(ctx, lambda tx: leases.take(tx, "b", leases.called(door))) is not None
        with pytest.raises(leases.LeaseLost):
            await door.run(ctx, lambda tx: leases.hold(tx, took[1]))  # type: ignore[arg-type]
        assert await leases.let_go(door, door.holder) == 1


async def test_lease_of_a_clock_that_was_ahead_is_taken_and_its_holder_fenced(
    database_url: str, tmp_path: Path
) -> None:
    """Its holder died; by what the row says it would lead for two hours more."""
    async with acme(database_url, tmp_path) as (door, _):
        (source,) = await sources.list_sources(door)
        ctx = sync_run.context(door, source)
        ahead = await door.run(ctx, lambda tx: leases.take(tx, "source:x", "ahead", for_s=7200))
        assert ahead is not None
        taken = await door.run(ctx, lambda tx: leases.take(tx, "source:x", "right"))
        assert taken is not None
        assert await door.run(ctx, lambda tx: leases.take(tx, "source:x", "third")) is None
        with pytest.raises(leases.LeaseLost):
            await door.run(ctx, lambda tx: leases.hold(tx, ahead))


async def test_two_processes_at_once_are_one_run(database_url: str, tmp_path: Path) -> None:
    directory(tmp_path, 60)
    async with acme(database_url, tmp_path) as (door, org_id):
        processes = [await begun(database_url, inside_s=0.1) for _ in range(2)]
        said = sorted([await last(process) for process in processes])
        assert said in (["Busy", "done"], ["done", "done"])  # both only where one came after the other
        done = [run for run in await runs.list_runs(door, org_id) if run.counts.get("created")]
        assert [run.counts["created"] for run in done] == [60]
