"""Children that are forked off: each waits, each ends with its parent, and one that died is seen."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from scimd import app
from scimd.config import Config
from scimd.core.errors import StorageFull
from scimd.http.rates import SharedBuckets
from scimd.org.tokens.secrets import Keyring
from scimd.processes import children, connections, family
from tests.support.interpreter import run_python
from tests.support.patience import eventually

#: In a process of its own: what is forked here would have the tests' memory, and their threads.
_PARENT = """
import asyncio, os, signal, time
from scimd.processes import children

family = children.Family()
dead = family.fork("dead", lambda: None, keeps=())
alive = family.fork("alive", lambda: os.write(1, b"at work\\n"), keeps=())
os.kill(dead._pid, signal.SIGKILL)
os.waitid(os.P_PID, dead._pid, os.WEXITED | os.WNOWAIT)  # it is dead by now

async def main():
    print(await dead.live(1.0), await alive.live(1.0), flush=True)

asyncio.run(main())
"""


def test_child_that_died_before_it_was_wanted_is_seen_and_the_others_work() -> None:
    done = run_python(_PARENT)
    assert done.stdout.splitlines() == ["at work", f"{-signal.SIGKILL} 0"], done.stderr


_ENDED_BY_ITSELF = """
import asyncio, os, signal, time
from scimd.processes import children

child = children.Family().fork("child", lambda: time.sleep(600), keeps=())

async def main():
    living = asyncio.ensure_future(child.live(1.0))
    await asyncio.sleep(0.1)
    os.kill(child._pid, signal.SIGTERM)
    while os.path.exists(f"/proc/{child._pid}"):  # until it is waited for, which this loop is not told
        time.sleep(0.01)
    living.cancel()
    try:
        await living
    except asyncio.CancelledError:
        print("ended", flush=True)

asyncio.run(main())
"""


def test_child_that_ends_as_it_is_told_to_end_is_no_fault() -> None:
    done = run_python(_ENDED_BY_ITSELF)
    assert done.stdout == "ended\n", done.stderr


def test_child_that_nobody_wants_ends_with_its_parent() -> None:
    parent = (
        "import os\nfrom scimd.processes import children\n"
        "print(children.Family().fork('x', print, keeps=())._pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    done = run_python(parent)
    assert done.returncode == -signal.SIGKILL
    # Its output would still be open, had it not ended: then there would be no end of the parent's.
    assert done.stdout.strip().isdigit()


class Kept:
    """A child that ends as it is told, and the pauses before it lives again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.lives: list[bool] = []
        self.paused: list[float] = []
        self.ending = asyncio.Event()
        monkeypatch.setattr(asyncio, "wait_for", self.pause)

    async def live(self, first: bool) -> int:
        self.lives.append(first)
        if len(self.statuses) == 1:
            self.ending.set()
        return self.statuses.pop(0)

    async def pause(self, waited: Coroutine[Any, Any, bool], seconds: float) -> None:
        self.paused.append(seconds)
        waited.close()
        raise TimeoutError


async def test_whoever_dies_is_started_again_after_a_pause_that_grows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Kept(monkeypatch, 1, 1, 1, 1, 1)
    await children.keep("worker", kept.live, kept.ending)
    assert kept.lives == [True, False, False, False, False]
    assert kept.paused[:4] == [0.0, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("status", [0, -signal.SIGTERM])
async def test_whoever_ends_as_if_asked_to_is_not_started_before_our_own_signal_can_arrive(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    kept = Kept(monkeypatch, status, 1)
    await children.keep("worker", kept.live, kept.ending)
    assert kept.paused[0] == 0.5


_INTERRUPTED = """
import os, signal, sys
from scimd import app

class Ignoring:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def loading(*_):
    Ignoring()
    print("goes on", flush=True)
    sys.exit()

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
app.load_ahead = loading
app.serve_with_children(None, None)
"""


def test_ctrl_c_while_serve_starts_ends_it_whatever_it_does_right_then() -> None:
    done = run_python(_INTERRUPTED)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


async def living_until_cancelled(ended: list[str]) -> int:
    """Does not end at once, and then says so."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        ended.append("yes")
    return 0


async def test_whoever_hangs_is_ended_and_counts_as_killed() -> None:
    ended: list[str] = []
    hangs = asyncio.Event()
    life = asyncio.create_task(children.unless_it_hangs(living_until_cancelled(ended), hangs))
    await asyncio.sleep(0)
    hangs.set()
    assert await life == -signal.SIGKILL
    life = asyncio.create_task(children.unless_it_hangs(living_until_cancelled(ended), asyncio.Event()))
    await asyncio.sleep(0.01)
    life.cancel()
    with pytest.raises(asyncio.CancelledError):
        await life
    assert ended == ["yes", "yes"]


async def test_whoever_hangs_is_ended_also_where_all_are_to_end_meanwhile() -> None:
    ended: list[str] = []
    hangs, may_end = asyncio.Event(), asyncio.Event()

    async def living() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("asked to")
            await may_end.wait()
            ended.append("yes")
        return 0

    life = asyncio.create_task(children.unless_it_hangs(living(), hangs))
    await asyncio.sleep(0)
    hangs.set()
    await eventually(lambda: ended)
    life.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await life
    assert ended == ["asked to", "yes"]


async def test_another_takes_the_place_of_one_who_answers_and_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    port, ending, ended = connections.Port("127.0.0.1", 0), asyncio.Event(), []

    class Hanging:
        async def live(self, patience_s: float) -> int:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("the first")
            return 0

    async def anew(*_: object, **__: object) -> int:
        ended.append("the next")
        ending.set()
        return 0

    monkeypatch.setattr(children, "live_anew", anew)
    with SharedBuckets.shelf() as shelf:
        ours, theirs = family.ends(shelf)
        forked = family.Forked(None, "", ((Hanging(), ours),), None)  # type: ignore[arg-type]
        door: Any = SimpleNamespace(keys=None)
        (kept,) = app._answerers_kept(Config(), door, port, forked, ending)
        keeping = asyncio.ensure_future(kept)
        await eventually(lambda: port.answerers)
        port.answerers[0].hangs.set()
        with structlog.testing.capture_logs() as said:
            await keeping
        port.close()
        theirs.close()
    assert ended == ["the first", "the next"]
    assert [(line["event"], line["status"]) for line in said] == [("answerer_died", -signal.SIGKILL)]


async def test_whoever_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(monkeypatch, 1, 1, 1)
    live, faults = kept.live, [None, OSError(errno.EAGAIN, "Resource temporarily unavailable")]

    async def failing(first: bool) -> int:
        status = await live(first)
        if faults and (fault := faults.pop(0)):
            raise fault
        return status

    with structlog.testing.capture_logs() as said:
        await children.keep("worker", failing, kept.ending)
    assert kept.lives == [True, False, False]
    assert [line["event"] for line in said] == ["worker_died", "worker_lost", "worker_died"]


async def test_what_fails_at_the_end_keeps_no_other_from_ending() -> None:
    ended: list[str] = []

    async def failing() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    tasks = [asyncio.create_task(failing()), asyncio.create_task(living_until_cancelled(ended))]
    await asyncio.sleep(0)
    with structlog.testing.capture_logs() as said:
        await app._cancelled(*tasks)
    assert ended == ["yes"]
    assert [line["event"] for line in said] == ["task_failed"]


def test_what_ends_somebody_who_took_anothers_place_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: object, **__: object) -> None:
        raise StorageFull

    monkeypatch.setattr(app, "_handed", lambda _: app._Handed(Config(), Keyring([b"k" * 48])))
    monkeypatch.setattr(app, "work", failing)
    with structlog.testing.capture_logs() as said, pytest.raises(SystemExit) as ended:
        app.work_beside_server()
    assert ended.value.code == 1
    assert [(line["event"], line["exc_info"]) for line in said] == [("child_failed", True)]


async def test_nobody_is_started_while_the_family_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(monkeypatch, -signal.SIGKILL)
    await children.keep("worker", kept.live, kept.ending)
    assert kept.lives == [True]
