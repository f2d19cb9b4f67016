"""SQLite's files that could only be read for a while: what is opened meanwhile writes again afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.db.schema import opened
from tests.support.patience import AT_MOST_S
from tests.support.requirement import program, require

# Whoever may do everything may write read-only files, too: in a process of its own that may not.
_SCRIPT = """
import asyncio, os, sys, threading
from dataclasses import replace
from pathlib import Path
from sqlalchemy import text
from scimd.core.errors import StorageFull
from scimd.db.engine import Database
from tests.db.schema import Busy, add, count
from tests.support.patience import AT_MOST_S, PATIENT, eventually

LONG = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT max(n) FROM c"
together = threading.Barrier(PATIENT.reader_threads)

def beside(conn):
    conn.execute(text(LONG))  # whoever takes long lets another begin
    together.wait(AT_MOST_S)

async def main():
    file, how, on_loop = Path(sys.argv[1]), sys.argv[3], sys.argv[2] == "loop"
    database = Database.open(f"sqlite:///{file}", replace(PATIENT, on_loop=on_loop))
    files = list(file.parent.glob(f"scimd.db{sys.argv[4]}"))
    def allow(mode):
        for each in files:
            each.chmod(mode)
    async def write(number):
        try:
            return await database.write(add(number), short=True)
        except StorageFull:
            return "full"
    if how == "started":
        allow(0o400)
    found = [await write(number) for number in (1, 2)]
    if how != "started":  # as by a disk's error: the writer opens the file anew
        await asyncio.gather(*(database.read(beside) for _ in range(PATIENT.reader_threads)))
        allow(0o400)
        database._doors.eye.close()
        writer = database._doors._writer
        (writer._writer if on_loop else writer._hand())._handle.close()
        if how == "spoilt and unseen":
            os.access = lambda *_: True
        found += [await write(number) for number in (3, 4)]
    found.append([await database.read(count), await database.glance(count)])
    found += await asyncio.gather(*(database.read(count) for _ in range(8)))
    busy = Busy()
    reading = asyncio.create_task(database.read(busy))
    await eventually(busy._begun.is_set)
    allow(0o600)
    await database.glance(count)
    busy.free.set()
    await reading
    print(found, [await write(number) for number in (5, 6, 7)], await database.glance(count))
    print("makeshift" if database._doors.eye._handle.raw is None else "kept")
    await database.aclose()

asyncio.run(main())
"""


@pytest.mark.parametrize("on", ["thread", "loop"])
@pytest.mark.parametrize(
    ("how", "which"),
    [
        ("started", "*"),
        ("started", "-wal"),
        ("started", "-shm"),
        ("spoilt", "*"),
        ("spoilt and unseen", "*"),
    ],
)
async def test_what_was_opened_while_the_files_could_only_be_read_writes_once_they_can_be_written(
    url: str, file: Path, how: str, which: str, on: str
) -> None:
    as_owner = []
    if os.geteuid() == 0:
        require(program("setpriv"), "root writes read-only files, and there is no setpriv")
        as_owner = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
    async with opened(url):  # another process has the log open
        done = subprocess.run(
            [*as_owner, sys.executable, "-c", _SCRIPT, str(file), on, how, which],
            capture_output=True,
            text=True,
            timeout=AT_MOST_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        first, there = (["full", "full"], 0) if how == "started" else ([1, 2, "full", "full"], 2)
        found = [*first, [there, there], *[there] * 8]
        assert done.stdout.splitlines()[-2:] == [f"{found} [5, 6, 7] {there + 3}", "kept"]
