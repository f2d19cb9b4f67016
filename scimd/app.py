"""The composition root: the one place where the parts are put together.

``serve`` holds the port and owns the other processes; ``answer`` is one who answers HTTP; ``work`` is the
worker: the scheduler, the sync, the relay, settling.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from scimd import log
from scimd.config import Config, ConfigError
from scimd.core.errors import Refusal
from scimd.db import migrate
from scimd.db.engine import render_ahead
from scimd.opening import leads_nowhere, migrate_schema, opened, prove
from scimd.org import leases
from scimd.org.declared import declared_held, declared_organizations
from scimd.org.organizations import organizations
from scimd.org.request_log import scribes
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Door
from scimd.processes import calls, children, connections, family, memory
from scimd.processes.family import Ends, Forked

if TYPE_CHECKING:
    from aiohttp import web

logger = log.get(__name__)
T = TypeVar("T")

#: How ``serve`` starts others in place of those that died: past the commands, whose modules would weigh.
WORK_BESIDE_SERVER = "--work-beside-server"
ANSWER_BESIDE_SERVER = "--answer-beside-server"
#: Python's default lets a busy thread keep the interpreter for 5 ms at a time; see docs/decisions/0004.
_SWITCH_S = 0.0005
#: As ``opening.CACHES_KIB``. One who answers for others writes little itself; the worker writes in batches,
#: of people who lie side by side, and nobody waits for what it reads.
_ANSWERERS_CACHES_KIB = 6144, 1536
_WORKERS_CACHES_KIB = 2048, 2048
#: Loaded before the fork: the edges, the jobs, and what of libraries is only loaded when first used.
_AHEAD = (
    "scimd.scim.app",
    "scimd.admin.app",
    "scimd.web.app",
    "scimd.jobs",
    "scimd.outbox.mail",
    "apscheduler.executors.asyncio",
    "encodings.unicode_escape",
    "uvloop",  # not for every platform
)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a process's main coroutine to its end: on uvloop, where it is installed; kept small meanwhile."""

    async def kept_small() -> T:
        async with memory.gives_back():
            return await main

    try:
        import uvloop  # not for every platform
    except ImportError:
        return asyncio.run(kept_small())
    return uvloop.run(kept_small())


def make_app(
    config: Config, door: Door, pipe: Connection | None = None, shelf: IO[bytes] | None = None
) -> web.Application:
    """The aiohttp application: SCIM under /scim/v2, health, the REST API and the page.

    ``pipe`` leads to whoever keeps the request log, if that is another process; ``shelf`` is
    where several count together.
    """
    # Here and not above: half of what scimd weighs, which no other command than `serve` needs.
    from scimd.admin import app as admin_app
    from scimd.http import app as http_app
    from scimd.scim import app as scim_app
    from scimd.web import app as web_app

    app = http_app.make(config, door)
    scim_app.add(app, config, door, pipe, shelf)
    admin_app.add(app, config, door)
    web_app.add(app, config, door)
    return app


def _fork(config: Config) -> Forked:
    return family.fork(
        family.answering(config.server.processes),
        partial(_answer, config),
        partial(_work, config) if config.server.worker else None,
    )


def _work(config: Config, holder: str, desks: Sequence[Connection]) -> None:
    """The forked worker."""
    run(work(config, parent=True, desks=desks, holder=holder))


def _answer(config: Config, ends: Ends, scribes: Connection | None) -> None:
    """One who answers, forked or not."""
    run(answer(config, ends, scribes))


def _keep_entries(config: Config, door: Door, desks: Iterable[Connection]) -> None:
    """Make and write entries of the request log for those who answer, in a thread for each."""
    loop = asyncio.get_running_loop()
    scribe = scribes.scribe_of(door.keys, config.server.public_url, config.scim.log_body_bytes)

    def write(portion: scribes.Portion, made: scribes.Made) -> scribes.Kept:
        return asyncio.run_coroutine_threadsafe(scribes.written(door, portion, made), loop).result()

    for pipe in desks:
        threading.Thread(target=scribes.serve, args=(pipe, scribe, write), name="scribe", daemon=True).start()


def serve_with_children(config: Config, config_path: Path | None) -> None:
    """Serve as a process of its own, whose children are forked off where the system can."""
    # Until `serve` listens for it, Ctrl-C ends us as SIGTERM does. Python's exception may come within what
    # ignores all exceptions, and would be lost.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    memory.spare()
    load_ahead(config, config_path)
    forked = _fork(config) if hasattr(os, "fork") else None
    run(serve(config, config_path, forked=forked))


def load_ahead(config: Config, config_path: Path | None = None) -> None:
    """Load what serves and works before anything is forked off: then it is in memory once.

    A module that is loaded afterwards costs more than itself: each name in it is counted at the one
    string that all modules share, and that string's page is copied. So it is with what is only made when
    first used. Opens nothing that stays open, and starts no thread.
    """
    memory.load(_AHEAD)
    prove(config, config_path)
    _migrate_aside(config)
    migrate_schema(config)
    render_ahead(config.database.url)


def _migrate_aside(config: Config) -> None:
    """Migrate in a process of its own, where there is something to: what that loads goes with it.

    What fails there has changed nothing, and fails here again, where it can be said.
    """
    try:
        state = migrate.check(config.database.url)
    except (Refusal, migrate.NotForUs, ValueError):
        return
    if state in ("empty", "behind"):
        memory.aside(partial(migrate_schema, config))


async def serve(
    config: Config,
    config_path: Path | None,
    *,
    forked: Forked | None = None,
    before_worker: Callable[[Door, str], Coroutine[Any, Any, None]] | None = None,
    ready: Callable[[Door], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Migrate, declare, bind, answer until SIGTERM or SIGINT; in-flight requests are answered first.

    ``forked``: after ``load_ahead``. ``before_worker`` is awaited with the door and the bound address once
    requests are taken, ``ready`` once the worker is started too.
    """
    sys.setswitchinterval(_SWITCH_S)
    if forked is None:  # else it is done
        prove(config, config_path)
        migrate_schema(config)
    beside = forked if forked is not None and forked.answerers else None
    async with (
        opened(config, make_key=True, only_writes=beside is not None) as door,
        contextlib.AsyncExitStack() as stack,
    ):
        await organizations.ensure_system(door)
        await _declare(config, door)
        stop = _stop_signals()
        answering = await stack.enter_async_context(contextlib.AsyncExitStack())
        if beside is not None:
            port = _port(config)
            kept = _answerers_kept(config, door, port, beside, stop)
            answering.push_async_callback(_cancelled, *(asyncio.create_task(each) for each in kept))
            answering.callback(port.close)
            address = _url(*port.address)
        else:
            address = await _bound(config, door, answering, forked.scribes if forked else None)
        logger.info("serving", address=address, public_url=config.server.public_url)
        # What is loaded by now stays: no collection needs to look at it again.
        gc.collect()
        gc.freeze()
        if before_worker is not None:
            await _unless(stop, before_worker(door, address))
        if config.server.worker:
            worker = asyncio.create_task(_worker_kept(config, door, forked, stop))
            stack.push_async_callback(_cancelled, worker)
        if ready is not None:
            await _unless(stop, ready(door))
        await stop.wait()
        logger.info("stopping")
        # Before the worker, which makes the last entries of the request log.
        await answering.aclose()


async def _declare(config: Config, door: Door) -> None:
    """Bring the database to what the file says, as far as nothing of it is held."""
    done = await declared_organizations.release(door, config.organization)
    done += await declared_organizations.declare(door, config.organization)
    for what in await leads_nowhere(config, door):
        logger.warning("config_leads_nowhere", what=what)
    for declared in done:
        if declared.held:
            logger.error(
                "config_change_held",
                organization=declared.slug,
                what=declared_held.called(declared.held),
                why=" ".join(dict.fromkeys(declared.held.values())),
                hint=declared_held.way_out(declared.slug, declared.held.values()),
            )
        if declared.left_out:
            # They stay as they are: what a source gave is taken away by an admin, not by an editor.
            logger.warning("sources_not_in_the_file", organization=declared.slug, sources=declared.left_out)


def _port(config: Config) -> connections.Port:
    try:
        return connections.Port(_listened_at(config), config.server.port)
    except OSError as exc:
        raise _cannot_be_bound(config, exc) from exc


def _listened_at(config: Config) -> str | None:
    """None is all addresses of the machine. A socket at "::" would be asked by IPv6 alone."""
    return None if config.server.host == "::" else config.server.host


def _cannot_be_bound(config: Config, exc: OSError) -> ConfigError:
    where = _url(config.server.host, config.server.port).removeprefix("http://")
    # The name is nobody's, or the address is not of this machine.
    of_host = isinstance(exc, socket.gaierror) or exc.errno == errno.EADDRNOTAVAIL
    key = "server.host" if of_host else "server.port"
    return ConfigError([f"{key}: {where} cannot be bound: {exc.strerror or exc}"])


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _bound(
    config: Config, door: Door, stack: contextlib.AsyncExitStack, pipe: Connection | None
) -> str:
    from aiohttp import web  # as in make_app

    from scimd.http.app import Runner

    runner = Runner(make_app(config, door, pipe), shutdown_timeout=_shutdown_s(config))
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, _listened_at(config), config.server.port).start()
    except OSError as exc:
        raise _cannot_be_bound(config, exc) from exc
    return _url(*runner.addresses[0][:2])


async def answer(
    config: Config, ends: Ends, scribes: Connection | None = None, keys: Keyring | None = None
) -> None:
    """Answer on the connections that the first process hands over, until told to stop or until it is gone.

    ``keys``: as in ``opened``.
    """
    from scimd.http.app import Runner  # as in make_app

    sys.setswitchinterval(_SWITCH_S)
    loop = asyncio.get_running_loop()
    async with (
        opened(config, keys=keys, caches_kib=_ANSWERERS_CACHES_KIB) as door,
        contextlib.AsyncExitStack() as stack,
    ):
        if door.db.dialect == "sqlite":
            transport, door.elsewhere = await loop.create_unix_connection(calls.Elsewhere, sock=ends.calls)
            stack.callback(transport.close)
        app = make_app(config, door, scribes, ends.shelf)
        runner = Runner(app, shutdown_timeout=_shutdown_s(config))
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - for the type checker; setup() made it
        stack.push_async_callback(runner.cleanup)
        gc.collect()
        gc.freeze()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        watcher = asyncio.create_task(children.parent_gone(stop.set))
        stack.push_async_callback(_cancelled, watcher)
        taking = connections.Taking(ends.connections, runner.server, stop.set)
        taking.begin()
        await stop.wait()
        taking.stop()


def _answerers_kept(
    config: Config,
    door: Door,
    port: connections.Port,
    forked: Forked,
    ending: asyncio.Event,
) -> Iterable[Coroutine[Any, Any, None]]:
    """Those who answer, each kept alive."""
    # Its own requests under way come first.
    patience_s = _shutdown_s(config) + children.PATIENCE_S
    loop = asyncio.get_running_loop()

    async def live(first: bool, child: children.Forked, its_first: Ends) -> int:
        with contextlib.ExitStack() as stack:
            ours, theirs = (its_first, None) if first else family.ends(its_first.shelf)
            if theirs is not None:
                stack.callback(theirs.close)
            seen = port.join(ours.connections)
            stack.callback(port.leave, seen)
            transport, _ = await loop.create_unix_connection(partial(calls.Desk, door), sock=ours.calls)
            stack.callback(transport.close)
            if theirs is None:
                return await children.unless_it_hangs(child.live(patience_s), seen.hangs)
            living = children.live_anew(
                (ANSWER_BESIDE_SERVER, *map(str, theirs.files)),
                _Handed(config, door.keys),
                files=theirs.files,
                patience_s=patience_s,
            )
            return await children.unless_it_hangs(living, seen.hangs)

    for child, ends in forked.answerers:
        yield children.keep(family.ANSWERER, partial(live, child=child, its_first=ends), ending)


def _shutdown_s(config: Config) -> float:
    return config.server.shutdown_timeout.total_seconds()


@dataclass(frozen=True, slots=True)
class _Handed:
    """What one who takes another's place is handed: what was read when ``serve`` started.

    The file, and the files with secrets, may say something else by now, which counts from the next start on.
    """

    config: Config
    keys: Keyring
    #: Of a worker: by which its leases are known, and those of the one that died.
    holder: str | None = None
    after: str | None = None


def _handed(name: str) -> _Handed:
    """Become a child of this name, by what the parent hands it."""
    handed: _Handed = children.handed()
    log.configure(handed.config.log.level, handed.config.log.format)
    memory.spare()
    children.be(name)
    return handed


def _live(main: Coroutine[Any, Any, None]) -> None:
    """As ``run``; what ends it is logged, as in a child that was forked off."""
    try:
        run(main)
    except Exception:
        logger.exception("child_failed")
        sys.exit(1)


def answer_beside_server(files: Sequence[str]) -> None:
    """The process of one who answers in place of one that died."""
    handed = _handed(family.ANSWERER)
    _live(answer(handed.config, Ends.of_files(*map(int, files)), keys=handed.keys))


def work_beside_server() -> None:
    """The worker's process, in place of one that died, or where none could be forked off."""
    handed = _handed(family.WORKER)
    _live(work(handed.config, parent=True, keys=handed.keys, holder=handed.holder, after=handed.after))


async def work(
    config: Config,
    *,
    parent: bool,
    desks: Sequence[Connection] = (),
    keys: Keyring | None = None,
    holder: str | None = None,
    after: str | None = None,
) -> None:
    """Run the jobs until told to stop; with ``parent``, also when standard input ends.

    ``serve`` holds the other end of that pipe, so no worker outlives a server that was killed. ``desks``:
    pipes from those who answer, whose entries of the request log are made and written here. ``keys``,
    ``holder``: as in ``opened``. ``after``: the holder that died, whose place it takes.
    """
    # As in make_app: no other command needs these.
    from scimd.jobs import Jobs
    from scimd.outbox.mail import mailer_from

    async with (
        opened(config, keys=keys, caches_kib=_WORKERS_CACHES_KIB, holder=holder) as door,
        mailer_from(config.mail) as mailer,
    ):
        jobs = Jobs(door, config, mailer)
        stop = _stop_signals()
        watcher = asyncio.create_task(children.parent_gone(stop.set)) if parent else None
        _keep_entries(config, door, desks)
        if after is not None:
            with contextlib.suppress(Refusal):  # its leases run out by themselves
                logger.info("leases_let_go", leases=await leases.let_go(door, after))
        await jobs.start()
        logger.info("working")
        await stop.wait()
        await jobs.stop()
        if watcher:
            await _cancelled(watcher)


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup, and in a child
            loop.add_signal_handler(number, stop.set)
    return stop


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Await ``work``, which is cancelled when the time to stop comes first."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        await _cancelled(working)
    else:
        working.result()


async def _worker_kept(config: Config, door: Door, forked: Forked | None, ending: asyncio.Event) -> None:
    last: str | None = None

    async def live(first: bool) -> int:
        nonlocal last
        if first and forked is not None and forked.worker is not None:
            last = forked.holder
            return await forked.worker.live(children.PATIENCE_S)
        before, last = last, secrets.token_hex(8)
        handing = _Handed(config, door.keys, holder=last, after=before)
        return await children.live_anew((WORK_BESIDE_SERVER,), handing, patience_s=children.PATIENCE_S)

    await children.keep(family.WORKER, live, ending)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them all, then wait for each. What went wrong in one is logged; the others end all the same."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("task_failed", exc_info=fault)
