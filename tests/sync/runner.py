"""A process of its own that syncs: ``python -m tests.sync.runner URL BATCH INSIDE_S BETWEEN_S FROM_BATCH``.

Says ``inside`` on standard output within each batch's transaction and ``between`` after it, and waits
there for so long, inside from a batch on, that a test can meet it; between batches until SIGUSR1 at the
latest. Ends with the run's state, or what it was refused with.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
import time

from scimd.core.errors import Refusal
from scimd.org.leases import Lease
from scimd.org.runs import plan_batches
from scimd.org.runs.runs import RunId
from scimd.org.sources import sources
from scimd.org.tx import Tx
from scimd.sync import run as sync_run
from scimd.sync.apply import Progress
from tests.sync.world import opened


async def main(url: str, batch: int, inside_s: float, between_s: float, from_batch: float) -> None:
    plan_batches.BATCH = batch
    told: list[int] = []
    numbers = itertools.count(1)
    signal.signal(signal.SIGUSR1, lambda number, _: told.append(number))
    original = plan_batches.apply_batch

    def slow(tx: Tx, run_id: RunId, lease: Lease, *, size: int = batch) -> plan_batches.Batch:
        print("inside", flush=True)
        time.sleep(inside_s if next(numbers) >= from_batch else 0)
        return original(tx, run_id, lease, size=min(size, batch))

    def report(progress: Progress) -> None:
        if progress.stage == "applying":
            print("between", flush=True)
            end = time.monotonic() + between_s
            # A signal that another thread is given does not wake this one.
            while not told and time.monotonic() < end:
                time.sleep(0.02)

    plan_batches.apply_batch = slow
    async with opened(url) as door:
        (source,) = await sources.list_sources(door)
        try:
            print((await sync_run.sync_source(door, source, report=report)).state, flush=True)
        except Refusal as exc:
            print(type(exc).__name__, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:6])))
