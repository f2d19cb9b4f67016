"""What keeps processes small."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scimd import app
from scimd.processes import memory
from tests.support.interpreter import run_python
from tests.support.requirement import require

#: What is given up lies between what is kept: half of 40 MB.
_HOLES = """
import asyncio
from pathlib import Path
from scimd.processes import memory

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

async def main():
    kept = [bytes([1]) * 8192 for _ in range(5000)]
    del kept[::2]
    before = resident_mib()
    memory._GIVES_BACK_EVERY_S = 3600.0
    async with memory.gives_back():
        await asyncio.sleep(0.05)
        unasked = resident_mib()
    memory._GIVES_BACK_EVERY_S = 0.01
    async with memory.gives_back():
        for _ in range(500):
            await asyncio.sleep(0.01)
            if resident_mib() < before - 8:
                break
    print(before - unasked, before - resident_mib())

asyncio.run(main())
"""


def test_what_lies_between_is_given_back() -> None:
    require(sys.platform == "linux", "only glibc is asked")
    done = run_python(_HOLES)
    assert done.returncode == 0, done.stderr
    unasked, given = map(float, done.stdout.split())
    assert unasked < 1
    assert given > 8


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    async with memory.gives_back():
        assert len(asyncio.all_tasks() - before) == 1
    assert asyncio.all_tasks() == before


def test_each_process_gives_back_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    @asynccontextmanager
    async def told() -> AsyncIterator[None]:
        said.append("begins")
        yield
        said.append("ends")

    async def main() -> str:
        said.append("works")
        return "done"

    monkeypatch.setattr(memory, "gives_back", told)
    assert app.run(main()) == "done"
    assert said == ["begins", "works", "ends"]
