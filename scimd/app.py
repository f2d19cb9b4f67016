"""The composition root: the one place where the parts are put together.

``opened(config)`` gives a door for as long as it is needed; ``serve`` answers HTTP and owns the
worker process; ``work`` is that worker: the scheduler, the sync, the relay, settling.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import importlib.util
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from scimd import log
from scimd.config import Config, ConfigError
from scimd.config import load as load_config
from scimd.core.errors import Refusal
from scimd.db import migrate
from scimd.db.engine import Database, Tuning, render_ahead
from scimd.org import audit, declared_organizations, organizations, promotion, scribes, settle
from scimd.org.secrets import Keyring, load_or_make_key_file
from scimd.org.tx import Door, DoorSettings
from scimd.sync import registry

if TYPE_CHECKING:
    from aiohttp import web

logger = log.get(__name__)
T = TypeVar("T")

#: How ``serve`` starts its worker: past the commands, whose modules would weigh on it for good.
BESIDE_SERVER = "--beside-server"
#: It writes in batches, of people who lie side by side, and nobody waits for what it reads.
_WORKERS_CACHE_KIB = 4096
_CACHE_KIB = Tuning().cache_kib
#: Each thread would have an arena of its own, and give little of it back.
_ARENAS = 2
_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1  # malloc.h
#: More than an answer of a hundred people, which would be asked of the system anew each time.
_LARGE = 1 << 20
#: Loaded before the fork: the edges, the jobs, and what of libraries is only loaded when first used.
_AHEAD = (
    "scimd.scim.app",
    "scimd.admin.app",
    "scimd.web.app",
    "scimd.jobs",
    "scimd.outbox.mail",
    "apscheduler.executors.asyncio",
    "apscheduler.triggers.interval",
    "encodings.unicode_escape",
    "uvloop",  # not for every platform
)
#: How long a worker has to finish what it does.
_PATIENCE_S = 8.0
_KEY_IS_MISSING = (
    "secrets.key: must be set on PostgreSQL, where several processes share it. Make one with "
    '`openssl rand -base64 48` and name it: key = ["file:/etc/scimd/key"]'
)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a process's main coroutine to its end: on uvloop, where it is installed."""
    try:
        import uvloop  # not for every platform
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def keyring(config: Config, *, make: bool) -> Keyring:
    """The keys behind links and cookies.

    On SQLite without ``secrets.key`` they live in ``<database>.key``, which is made (mode 0600) when
    ``make``. On PostgreSQL several processes share them, so they must be given: ConfigError.
    """
    if config.secrets.key:
        try:
            return Keyring([secret.reveal().encode() for secret in config.secrets.key])
        except ValueError as exc:
            raise ConfigError([f"secrets.key: {exc}"]) from exc
    if config.database.url.startswith("sqlite"):
        path = Path(config.database.url.removeprefix("sqlite:///") + ".key")
        return Keyring([load_or_make_key_file(path, make=make)])
    raise ConfigError([_KEY_IS_MISSING])


def door_settings(config: Config) -> DoorSettings:
    inv, sign_in = config.invitations, config.sign_in
    return DoorSettings(
        invitation_valid_s=inv.valid_for.total_seconds(),
        set_password_valid_s=inv.set_password_valid_for.total_seconds(),
        mail_delay_s=inv.mail_delay.total_seconds(),
        mail_delay_at_most_s=inv.mail_delay_at_most.total_seconds(),
        invitations_per_actor=inv.per_actor,
        invitations_per_organization=inv.per_organization,
        session_idle_s=sign_in.session_idle.total_seconds(),
        session_absolute_s=sign_in.session_absolute.total_seconds(),
        sign_in_attempts=sign_in.attempts,
        second_factor=sign_in.second_factor,
    )


@asynccontextmanager
async def opened(
    config: Config, *, make_key: bool = False, cache_kib: int = _CACHE_KIB
) -> AsyncIterator[Door]:
    """A door on the configured database; the schema must be there. Closes the database at the end.

    ``cache_kib``: of SQLite; see ``Tuning``.
    """
    try:
        db = Database.open(
            config.database.url,
            Tuning(
                pool_size=config.database.pool_size,
                timeout_s=config.database.timeout.total_seconds(),
                writer_queue=config.database.writer_queue,
                cache_kib=cache_kib,
            ),
        )
    except ValueError as exc:
        raise ConfigError([f"database.url: {exc}"]) from exc
    try:
        yield Door(
            db,
            keyring(config, make=make_key),
            door_settings(config),
            settle=settle.settle,
            write_events=audit.write_events,
            promote=promotion.promote,
        )
    finally:
        await db.aclose()


def migrate_schema(config: Config) -> str:
    """Bring the schema up to this version; gives the revision."""
    try:
        migrate.upgrade(config.database.url)
        return migrate.current(config.database.url) or ""
    except (migrate.SchemaTooNew, ValueError) as exc:
        raise ConfigError([f"database.url: {exc}"]) from exc


def require_schema(config: Config) -> None:
    """Make the schema in an empty database; refuse an older or a newer one with the way out."""
    try:
        state = migrate.check(config.database.url)
    except ValueError as exc:
        raise ConfigError([f"database.url: {exc}"]) from exc
    if state == "behind":
        raise ConfigError(["database.url: the schema is older than this scimd. Run: scimd migrate"])
    if state != "current":  # empty, or newer, which upgrade says in words
        migrate_schema(config)


def prove(config: Config) -> None:
    """Whatever can be wrong with the config is found here, before a port is bound.

    Raises ConfigError: each source's settings are parsed by its connector, its mapping compiled and
    its mapping tests run.
    """
    faults = [
        f"organization {organization.name}, source {source.name}: {fault}"
        for organization in config.organization
        for source in organization.source
        for fault in registry.faults_of(source)
    ]
    if faults:
        raise ConfigError(faults)


def make_app(config: Config, door: Door, pipe: Connection | None = None) -> web.Application:
    """The aiohttp application: SCIM under /scim/v2, health, the REST API and the page.

    ``pipe`` leads to whoever makes entries of the request log, if that is another process.
    """
    # Here and not above: half of what scimd weighs, which no other command than `serve` needs.
    from scimd.admin import app as admin_app
    from scimd.http import app as http_app
    from scimd.scim import app as scim_app
    from scimd.web import app as web_app

    app = http_app.make(config, door)
    scim_app.add(app, config, door, pipe)
    admin_app.add(app, config, door)
    web_app.add(app, config, door)
    return app


class Forked:
    """The first worker, forked off before there are threads: it waits until it is wanted.

    What both processes have loaded by then is in memory once. One that is started later, in place of
    one that died, has it for itself.
    """

    def __init__(self, config: Config) -> None:
        # What is loaded stays as it is: a collection would write to all of it.
        gc.collect()
        gc.freeze()
        ear, self._voice = os.pipe()
        #: To its thread that makes entries of the request log.
        self.scribes, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._voice)
            self.scribes.close()
            _become_worker(config, ear, theirs)
        theirs.close()
        os.close(ear)

    async def live(self) -> int:
        """Let it work until it ends; gives how it ended. Where this is cancelled it is ended."""
        os.write(self._voice, b".")
        ended = asyncio.ensure_future(asyncio.to_thread(os.waitpid, self.pid, 0))
        try:
            _, status = await asyncio.shield(ended)
        except asyncio.CancelledError:
            os.kill(self.pid, signal.SIGTERM)
            if not (await asyncio.wait((ended,), timeout=_PATIENCE_S))[0]:
                os.kill(self.pid, signal.SIGKILL)
                await ended
            raise
        finally:
            os.close(self._voice)
        return os.waitstatus_to_exitcode(status)


def _become_worker(config: Config, ear: int, pipe: Connection) -> NoReturn:
    """The forked process. Standard input is the other end of what the server holds."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # until it works, it is the server's to end it
        os.dup2(ear, 0)
        os.close(ear)
        if os.read(0, 1):
            threading.Thread(target=_make_entries, args=(config, pipe), name="scribe", daemon=True).start()
            run(work(config, parent=True))
        status = 0
    except BaseException:
        logger.exception("worker_failed")
    finally:
        os._exit(status)


def _make_entries(config: Config, pipe: Connection) -> None:
    keys = keyring(config, make=False)
    scribes.serve(pipe, scribes.scribe_of(keys, config.server.public_url, config.scim.log_body_bytes))


def serve_with_worker(config: Config, config_path: Path | None) -> None:
    """Serve as a process of its own, whose worker is forked off where the system can."""
    _spare_memory()
    load_ahead(config)
    forked = Forked(config) if config.server.worker and hasattr(os, "fork") else None
    run(serve(config, config_path, forked=forked))


def load_ahead(config: Config) -> None:
    """Load what serves and works before anything is forked off: then it is in memory once.

    A module that is loaded afterwards costs more than itself: each name in it is counted at the one
    string that all modules share, and that string's page is copied. So it is with what is only made when
    first used. Opens nothing that stays open, and starts no thread.
    """
    for name in _AHEAD:
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)
    prove(config)
    _migrate_aside(config)
    migrate_schema(config)
    render_ahead(config.database.url)


def _migrate_aside(config: Config) -> None:
    """Migrate in a process of its own, where there is something to: what that loads goes with it.

    What fails there has changed nothing, and fails here again, where it can be said.
    """
    try:
        state = migrate.check(config.database.url)
    except (Refusal, ValueError):
        return
    if state not in ("empty", "behind") or not hasattr(os, "fork"):
        return
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            migrate_schema(config)
            status = 0
        finally:
            os._exit(status)
    os.waitpid(pid, 0)


def _spare_memory() -> None:
    """Let threads share arenas: of Python's, one works at a time. Only glibc has these switches.

    What is large goes back to the system when it is given up. Left to itself, glibc takes a body of 5 MB
    for a sign that such are usual, and keeps them all from then on.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE)


async def serve(
    config: Config,
    config_path: Path | None,
    *,
    forked: Forked | None = None,
    before_worker: Callable[[Door, str], Coroutine[Any, Any, None]] | None = None,
    ready: Callable[[Door], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Migrate, declare, bind, answer until SIGTERM or SIGINT; in-flight requests are answered first.

    ``before_worker`` is awaited with the door and the bound address once requests are taken,
    ``ready`` once the worker is started too.
    """
    # Python's default lets a busy thread keep the interpreter for 5 ms at a time; see docs/decisions/0004.
    sys.setswitchinterval(0.0005)
    prove(config)
    migrate_schema(config)
    async with opened(config, make_key=True) as door, contextlib.AsyncExitStack() as stack:
        await organizations.ensure_system(door)
        for declared in await declared_organizations.declare(door, config.organization):
            if declared.held:
                logger.error("config_change_held", organization=declared.slug, why=declared.held)
            if declared.left_out:
                # They stay as they are: what a source gave is taken away by an admin, not by an editor.
                logger.warning(
                    "sources_not_in_the_file", organization=declared.slug, sources=declared.left_out
                )
        address = await _bound(config, door, stack, forked.scribes if forked else None)
        logger.info("serving", address=address, public_url=config.server.public_url)
        # What is loaded by now stays: no collection needs to look at it again.
        gc.collect()
        gc.freeze()
        stop = _stop_signals()
        if before_worker is not None:
            await _unless(stop, before_worker(door, address))
        if config.server.worker:
            worker = asyncio.create_task(_keep_worker(config_path, forked))
            stack.push_async_callback(_cancelled, worker)
        if ready is not None:
            await _unless(stop, ready(door))
        await stop.wait()
        logger.info("stopping")


async def _bound(
    config: Config, door: Door, stack: contextlib.AsyncExitStack, pipe: Connection | None
) -> str:
    from aiohttp import web  # as in make_app

    from scimd.http.app import Runner

    runner = Runner(
        make_app(config, door, pipe), shutdown_timeout=config.server.shutdown_timeout.total_seconds()
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, config.server.host, config.server.port).start()
    except OSError as exc:
        where = f"{config.server.host}:{config.server.port}"
        raise ConfigError([f"server.port: {where} cannot be bound: {exc.strerror or exc}"]) from exc
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def work_beside_server(config_path: Path | None) -> None:
    """The worker's process. Its config is the one that the server has just accepted."""
    config = load_config(config_path)
    log.configure(config.log.level, config.log.format)
    run(work(config, parent=True))


async def work(config: Config, *, parent: bool) -> None:
    """Run the jobs until told to stop; with ``parent``, also when standard input ends.

    ``serve`` holds the other end of that pipe, so no worker outlives a server that was killed.
    """
    # As in make_app: no other command needs these.
    from scimd.jobs import Jobs
    from scimd.outbox.mail import mailer_from

    async with opened(config, cache_kib=_WORKERS_CACHE_KIB) as door, mailer_from(config.mail) as mailer:
        jobs = Jobs(door, config, mailer)
        stop = _stop_signals()
        watcher = asyncio.create_task(_parent_gone(stop)) if parent else None
        await jobs.start()
        logger.info("working")
        await stop.wait()
        await jobs.stop()
        if watcher:
            await _cancelled(watcher)


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
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


async def _parent_gone(stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
    stop.set()


async def _keep_worker(config_path: Path | None, forked: Forked | None) -> None:
    """Start the worker, and start it again when it dies, with growing pauses up to 30 s."""
    if forked is not None:
        logger.warning("worker_died", status=await forked.live(), again_in_s=0)
    command = [sys.executable, "-m", "scimd", BESIDE_SERVER, *([str(config_path)] if config_path else [])]
    pause = 0.5
    while True:
        loop = asyncio.get_running_loop()
        began = loop.time()
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, env=os.environ.copy()
        )
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await _gone(process)
        pause = 0.5 if loop.time() - began > 60 else min(pause * 2, 30)
        logger.warning("worker_died", status=status, again_in_s=pause)
        await asyncio.sleep(pause)


async def _gone(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), timeout=_PATIENCE_S)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
