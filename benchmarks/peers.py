"""The other SCIM servers that PyPI and npm hold, each in an environment of its own, as fast as it goes.

Environments are made once, below the user's cache folder, by the package managers' ordinary means.
A peer whose runtime is missing or that does not start is not run, and the results say why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Endpoint
from tests.support.guard import free_port
from tests.support.postgres import USER, PostgresServer

_PROGRAMS = Path(__file__).with_name("peer_programs")
_INSTALL_S = 600
_START_S = 60


class NotRun(Exception):
    """Why a peer is missing from the results."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A running peer; ``validates`` says whether it looks at what it is sent."""

    name: str
    endpoint: Endpoint
    validates: bool


def cache() -> Path:
    """Where the environments are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "scimd-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def running(server: PostgresServer | None) -> Iterator[tuple[list[Peer], dict[str, str]]]:
    """The peers that start, and for each of the others the reason; all are ended at the end."""
    missing: dict[str, str] = {}
    peers: list[Peer] = []
    with ExitStack() as stack:
        for name, (start, validates) in _STARTS.items():
            try:
                peers.append(Peer(name, start(stack, server), validates))
            except (NotRun, OSError, subprocess.SubprocessError) as exc:
                missing[name] = f"{exc}".strip().splitlines()[-1][:200]
        yield peers, missing


def venv(name: str, *packages: str) -> Path:
    """The Python of an environment that holds the packages (or, with ``-r``, what a file locks)."""
    folder = cache() / f"python-{name}"
    python = folder / "bin" / "python"
    _once(
        folder,
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "-q", "--only-binary", ":all:", *packages],
    )
    return python


def _node(name: str, *packages: str) -> Path:
    """A folder whose ``node_modules`` holds the packages."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise NotRun("node or npm is not installed")
    folder = cache() / f"node-{name}"
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    _once(folder, ["npm", "install", "--silent", "--no-audit", "--no-fund", *packages])
    return folder


def _once(folder: Path, *commands: list[str]) -> None:
    stamp = folder / ".installed"
    wanted = repr(commands)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    for command in commands:
        done = subprocess.run(
            command,
            cwd=folder if folder.exists() else folder.parent,
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
        if done.returncode:
            raise NotRun(f"could not be installed: {done.stderr.strip() or done.stdout.strip()}")
    stamp.write_text(wanted)


def started(
    stack: ExitStack, command: list[str], *, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a server that prints its port, if anything; what it complains of goes to our own stderr."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ | (env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def announced(process: subprocess.Popen[str]) -> int:
    """The port that a server prints when it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line.isdigit():
        raise NotRun(f"did not start: {line or 'it ended without a word'}")
    return int(line)


def answering(process: subprocess.Popen[str], port: int, path: str) -> None:
    """Wait until a server answers at all, whatever the status."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).close()
        except urllib.error.HTTPError as exc:
            exc.close()
        except OSError:
            time.sleep(0.1)
            continue
        return
    raise NotRun("did not start")


def _scim2_server(stack: ExitStack, _: PostgresServer | None) -> Endpoint:
    python = venv("scim2-server", "scim2-server[cursor]", "uvicorn[standard]")
    port = free_port()
    command = [str(python), "-m", "uvicorn", "--port", str(port), "--log-level", "error", "--no-access-log"]
    process = started(stack, [*command, "scim2_server_asgi:app"], cwd=_PROGRAMS)
    answering(process, port, "/v2/ServiceProviderConfig")
    return Endpoint(port, "/v2", pids=(process.pid,))


def _django(stack: ExitStack, server: PostgresServer | None) -> Endpoint:
    if server is None:
        raise NotRun("PostgreSQL is not installed")
    python = venv("django-scim2", "django-scim2", "psycopg[binary]", "gunicorn")
    url = server.create_database()
    stack.callback(server.drop_database, url)
    env = {
        "DJANGO_SETTINGS_MODULE": "django_site",
        "PYTHONPATH": str(_PROGRAMS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "BENCH_PORT": str(server.port),
        "BENCH_DB": url.rpartition("/")[2],
        "BENCH_USER": USER,
    }
    made = subprocess.run(
        [str(python), "-m", "django", "migrate", "--run-syncdb", "-v", "0"],
        env=os.environ | env,
        cwd=_PROGRAMS,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if made.returncode:
        raise NotRun(f"its tables could not be made: {made.stderr}")
    port = free_port()
    command = [str(python), "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "--log-level", "error"]
    command += ["-k", "gthread", "--workers", "4", "--threads", "4", "--keep-alive", "60"]
    process = started(stack, [*command, "django_site:application"], cwd=_PROGRAMS, env=env)
    answering(process, port, "/scim/v2/ServiceProviderConfig")
    return Endpoint(port, "/scim/v2", pids=(process.pid,))


def _scimmy(stack: ExitStack, _: PostgresServer | None) -> Endpoint:
    return _in_node(stack, "scimmy", "scimmy_app.mjs", "/scim", "scimmy", "scimmy-routers", "express")


def _polis(stack: ExitStack, _: PostgresServer | None) -> Endpoint:
    return _in_node(stack, "polis", "polis_app.mjs", "/scim", "@boxyhq/saml-jackson")


def _in_node(stack: ExitStack, name: str, program: str, path: str, *packages: str) -> Endpoint:
    folder = _node(name, *packages)
    # Node looks for packages beside the program, so the program goes there.
    shutil.copy(_PROGRAMS / program, folder / program)
    process = started(stack, ["node", program], cwd=folder, env={"NODE_ENV": "production"})
    return Endpoint(announced(process), path, pids=(process.pid,))


_Start = Callable[[ExitStack, PostgresServer | None], Endpoint]
_STARTS: dict[str, tuple[_Start, bool]] = {
    "scim2-server": (_scim2_server, True),
    "scimmy": (_scimmy, True),
    "Ory Polis": (_polis, False),
    "django-scim2": (_django, True),
}
