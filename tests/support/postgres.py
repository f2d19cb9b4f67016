"""A real PostgreSQL of the test run's own, and fresh databases in it.

Each xdist worker starts one when its first test asks (about a second), which is simpler than sharing
one between processes and nothing is left behind: see :class:`tests.support.guard.Guard`.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.support.guard import Guard, free_port
from tests.support.patience import AT_MOST_S
from tests.support.requirement import program, require

USER = "scimd"

# $1 the folder, $2... the server. Data survive "keep" only, with which the server can be started again.
_RUN = """
dir=$1; shift
"$@" </dev/null >"$dir/log" 2>&1 & server=$!
read -r word
kill -INT $server; wait $server
[ "$word" = keep ] || rm -rf "$dir"
"""

# One server takes about 100 MB, and there is one for each xdist worker.
_ROOM_BYTES = 2 * 1024**3

_FAST = {"fsync": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "lc_messages": "C",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "10s",
}


def binaries() -> Path | None:
    """The folder that holds initdb: Debian's newest version, else what PATH or pg_config names."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if debian:
        return debian[-1].parent
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    if config := shutil.which("pg_config"):
        out = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True)
        folder = Path(out.stdout.strip())
        return folder if (folder / "initdb").exists() else None
    return None


def quick_folder() -> str | None:
    """A file system in memory with room to spare, if there is one: it makes databases 25 times as fast."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK | os.X_OK) or shutil.disk_usage(memory).free < _ROOM_BYTES:
        return None
    return str(memory)


def _other_user() -> str | None:
    """Whom to become, since initdb and postgres refuse root; None for whoever is not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class PostgresServer:
    """A server with trust authentication on 127.0.0.1:``port`` and on a socket in ``folder``.

    By default a crash of the machine may lose its data (fsync off, in memory where that is roomy),
    which no test can notice, while commits stay synchronous. ``durable=True`` keeps them on disk, for
    measuring what durability costs.
    """

    def __init__(self, bin_dir: Path, *, durable: bool = False) -> None:
        self._bin = bin_dir
        self._durable = durable
        self._numbers = itertools.count(1)
        self._user = _other_user()
        self.port = 0
        self._guard: Guard | None = None
        self._connection: psycopg.Connection | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="scimd-pg-", dir=None if durable else quick_folder()))
        try:
            self._initdb()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _initdb(self) -> None:
        if self._user:
            entry = pwd.getpwnam(self._user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        options = ["-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        command = self._as_user("initdb", "-D", str(self.folder / "data"), *options)
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder)

    def _as_user(self, name: str, *args: str) -> list[str]:
        become: list[str] = []
        if self._user:
            group = str(pwd.getpwnam(self._user).pw_gid)
            become = ["setpriv", f"--reuid={self._user}", f"--regid={group}", "--clear-groups"]
        return [*become, str(self._bin / name), *args]

    def start(self, *, attempts: int = 3) -> None:
        """Start, on another port when the one found free was taken in between; raises RuntimeError."""
        for _ in range(attempts):
            self.port = self.port or free_port()
            settings = _SETTINGS | ({} if self._durable else _FAST)
            options = [option for key, value in settings.items() for option in ("-c", f"{key}={value}")]
            command = self._as_user("postgres", "-D", str(self.folder / "data"), "-p", str(self.port))
            (self.folder / "log").unlink(missing_ok=True)
            self._guard = Guard(_RUN, str(self.folder), *command, "-k", str(self.folder), *options)
            if self._is_ready():
                return
            self.stop()
            self.port = 0
        raise RuntimeError(f"PostgreSQL did not start:\n{self.log()}")

    def _is_ready(self, timeout_s: float = AT_MOST_S) -> bool:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            log = self.log()
            if "database system is ready to accept connections" in log:
                return True
            if "FATAL" in log:
                return False
            time.sleep(0.02)
        return False

    def log(self) -> str:
        """What the server has said since it was started."""
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def stop(self) -> None:
        """Stop without losing data; ``start`` then takes the same port."""
        self._hang_up()
        if self._guard:
            self._guard.release("keep")
            self._guard = None

    def close(self) -> None:
        """Stop and remove everything."""
        self._hang_up()
        if self._guard:
            self._guard.release()
            self._guard = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The address, as ``database.url`` of the config takes it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str | None = None) -> str:
        """Make a database, a copy of ``template`` if given (nobody may be connected to it); gives its URL."""
        name = f"{template or 'empty'}_{next(self._numbers)}"
        # Copying files is the quicker of two strategies from PostgreSQL 15 on, and the only one before.
        major = int((self.folder / "data" / "PG_VERSION").read_text().split(".")[0])
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}" + (" STRATEGY file_copy" if major >= 15 else ""))
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template or "template0")))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove the database at ``url``, ending whoever is still in it."""
        name = url.rpartition("/")[2]
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self.url("postgres"), autocommit=True)
        self._connection.execute(statement)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """This worker's server, started when first asked for."""
    found = binaries()
    require(found, "PostgreSQL is not installed")
    require(os.geteuid() != 0 or program("setpriv"), "PostgreSQL refuses root, and setpriv is missing")
    assert found is not None
    server = PostgresServer(found)
    try:
        server.start()
        yield server
    finally:
        server.close()
