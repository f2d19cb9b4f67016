"""Processes that another one starts, keeps alive and ends.

The first of each are forked off before there are threads or a loop: what parent and child have loaded by
then is in memory once. One that takes the place of one that died is a new Python, for nobody forks a
process with threads. Either way its standard input is a pipe that ends with its parent; such a
new one finds in it what it is handed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pickle
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

from scimd import log

logger = log.get(__name__)

#: How long a child has to finish what it does.
PATIENCE_S = 8.0
_LONGEST_PAUSE_S = 30.0
#: Who lives for so long has not failed at once.
_LIVED_S = 60.0
#: So much later than a child's, at most, our own signal to end arrives.
_ASKED_S = 0.5
#: Bytes, of how long it is what a child is handed.
_LENGTH = 4


class Closable(Protocol):
    def close(self) -> None: ...


class Family:
    """The forked children of this process, and what it shares with each of them."""

    def __init__(self) -> None:
        # What is loaded stays as it is: a collection would write to all of it.
        gc.collect()
        gc.freeze()
        self._shared: dict[Closable, None] = {}
        self._voices: list[int] = []

    def share(self, *things: Closable) -> None:
        """Both ends of what will go between this process and a child; whoever needs none closes it."""
        self._shared.update(dict.fromkeys(things))

    def fork(self, name: str, main: Callable[[], None], *, keeps: Sequence[Closable]) -> Forked:
        """A child that waits until it is wanted, and then runs ``main``. ``keeps``: its own ends."""
        ear, voice = os.pipe()
        pid = os.fork()
        if pid == 0:
            for each in (*self._voices, voice):
                os.close(each)
            for thing in self._shared:
                if thing not in keeps:
                    thing.close()
            _become(name, main, ear)
        os.close(ear)
        self._voices.append(voice)
        for thing in keeps:
            del self._shared[thing]
            thing.close()
        return Forked(pid, voice)


class Forked:
    """A child that waits until it is wanted."""

    def __init__(self, pid: int, voice: int) -> None:
        self._pid = pid
        self._voice = voice

    async def live(self, patience_s: float) -> int:
        """Let it work until it ends; gives how it ended. Where this is cancelled it is ended."""
        with contextlib.suppress(BrokenPipeError):  # it died before it was wanted, as is seen below
            os.write(self._voice, b".")
        ended = asyncio.ensure_future(asyncio.to_thread(os.waitpid, self._pid, 0))
        try:
            _, status = await asyncio.shield(ended)
        except asyncio.CancelledError:
            self._send(signal.SIGTERM)
            if not (await asyncio.wait((ended,), timeout=patience_s))[0]:
                self._send(signal.SIGKILL)
                await ended
            raise
        finally:
            os.close(self._voice)
        return os.waitstatus_to_exitcode(status)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself, in this moment
            os.kill(self._pid, number)


def _become(name: str, main: Callable[[], None], ear: int) -> NoReturn:
    """The forked process. Standard input is the other end of what the parent holds."""
    status = 1
    try:
        be(name)
        os.dup2(ear, 0)
        os.close(ear)
        if os.read(0, 1):
            main()
        status = 0
    except BaseException:
        logger.exception("child_failed")
    finally:
        os._exit(status)


def be(name: str) -> None:
    """Have this process listed under a name of its own (``ps -o comm``), where the system keeps one.

    What a terminal sends reaches the whole family: it is the parent's to end a child.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"scimd-{name}", "ascii")


async def live_anew(
    arguments: Sequence[str], handing: object, *, files: Sequence[int] = (), patience_s: float
) -> int:
    """A child as a new process of scimd, until it ends, with these open files. As ``Forked.live``.

    ``handing``: what ``handed`` gives it. It may hold secrets: others see arguments and environments.
    """
    said = pickle.dumps(handing, protocol=5)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scimd",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        env=os.environ.copy(),
        pass_fds=tuple(files),
        start_new_session=True,  # what a terminal sends would end it before it can be deaf to that (``be``)
    )
    assert process.stdin is not None  # noqa: S101 - for the type checker; it was asked for
    try:
        # What it does not take, since it died, is nobody's loss.
        process.stdin.write(len(said).to_bytes(_LENGTH) + said)
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), timeout=patience_s)
            except TimeoutError:
                process.kill()
                await process.wait()


def handed() -> Any:
    """What the parent hands this process; no more of standard input is read, see ``parent_gone``."""
    return pickle.loads(_read(int.from_bytes(_read(_LENGTH))))  # noqa: S301 - from our own process


def _read(length: int) -> bytes:
    read = bytearray()
    while len(read) < length:
        part = os.read(0, length - len(read))
        if not part:
            raise SystemExit(1)  # the parent is gone already
        read += part
    return bytes(read)


async def unless_it_hangs(living: Coroutine[Any, Any, int], hangs: asyncio.Event) -> int:
    """As ``living``, which is cancelled where it hangs: however it ends then, it counts as killed.

    Also where this is cancelled meanwhile its end is waited for: nobody else would see to it.
    """
    life, hanging = asyncio.ensure_future(living), asyncio.ensure_future(hangs.wait())
    try:
        await asyncio.wait((life, hanging), return_when=asyncio.FIRST_COMPLETED)
    finally:
        hanging.cancel()
        life.cancel()
        await _end_of(life)
    return -signal.SIGKILL if life.cancelled() else life.result()


async def _end_of(life: asyncio.Future[int]) -> None:
    cancelled: asyncio.CancelledError | None = None
    while not life.done():
        try:
            await asyncio.wait((life,))
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled


async def keep(name: str, live: Callable[[bool], Awaitable[int]], ending: asyncio.Event) -> None:
    """Have it live, and again when it dies, with growing pauses up to 30 s, until ``ending``.

    ``live`` is told of the first. That it could not be started (no more processes, no more files), or that
    its end could not be waited for, is a death as any other. Whoever ends as if asked to was most likely
    sent what is being sent to all of the family (systemd does so): our own signal is waited for.
    """
    pause, first = 0.0, True
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        status: int | None = None
        try:
            status = await live(first)
        except Exception:
            logger.exception(f"{name}_lost")
        if status in (0, -signal.SIGTERM):  # the latter before it could listen
            await _within(_ASKED_S, ending)
        if ending.is_set():
            return
        lived = loop.time() - began > _LIVED_S
        pause = 0.0 if first else 0.5 if lived else min(max(pause, 0.5) * 2, _LONGEST_PAUSE_S)
        first = False
        logger.warning(f"{name}_died", status=status, again_in_s=pause)
        await _within(pause, ending)
        if ending.is_set():
            return


async def _within(seconds: float, ending: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ending.wait(), seconds)


async def parent_gone(then: Callable[[], object]) -> None:
    """Call ``then`` when standard input ends, whose other end the parent holds, also if it is killed."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
    then()
