"""The real program: ``scimd serve`` in processes of its own on a free port, and the CLI beside it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from scimd.cli import app
from tests.support.guard import free_port
from tests.support.patience import AT_MOST_S, ENVIRONMENT

KEY = "k" * 48


def _as_from_a_terminal() -> None:
    """Also where the tests themselves run under nohup, or in the background."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Cli:
    """``scimd`` as a command, with one config file."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        self.file = folder / "scimd.toml"
        self.file.write_text(config, encoding="utf-8")

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SCIMD_")}
        return kept | ENVIRONMENT | {"SCIMD_TEST_KEY": KEY, "COLUMNS": "200"}

    def run(self, *words: str, timeout_s: float = 2 * AT_MOST_S) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scimd", *words, "--config", str(self.file)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def ok(self, *words: str, codes: tuple[int, ...] = (0,), timeout_s: float = 2 * AT_MOST_S) -> Any:
        """Run with --json and give the document; any other exit code fails the test with the output."""
        done = self.run(*words, "--json", timeout_s=timeout_s)
        assert done.returncode in codes, (
            f"scimd {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return json.loads(done.stdout)


class Here(Cli):
    """The same in this process, which spares the seconds that a start takes."""

    def run(self, *words: str, timeout_s: float = 2 * AT_MOST_S) -> subprocess.CompletedProcess[str]:
        """Without a time limit: nobody else could end it."""
        with pytest.MonkeyPatch.context() as patch:
            for name in os.environ.keys() - self.environment().keys():
                patch.delenv(name)
            for name, value in self.environment().items():
                patch.setenv(name, value)
            patch.setattr(logging, "basicConfig", lambda **_: None)
            patch.chdir(self.folder)
            done = CliRunner().invoke(app, [*words, "--config", str(self.file)])
        structlog.reset_defaults()
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


class Daemon(Here):
    """A running ``scimd serve``. ``url`` answers once it is ready; commands run in this process."""

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        port: int | None = None,
        words: tuple[str, ...] = (),
        redirected: str = "",
    ) -> None:
        """``redirected``: as the shell is told where its standard streams lead."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(folder, config.replace("PORT", str(self.port)))
        self.words = words or ("serve", "--config", str(self.file))
        self.redirected = redirected
        self.output = folder / f"serve-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Daemon:
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", f'exec "$0" "$@" {self.redirected}', sys.executable, "-m", "scimd", *self.words],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_as_from_a_terminal,
            )
        end = time.monotonic() + AT_MOST_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError, urllib.error.URLError):
                if urllib.request.urlopen(f"{self.url}/healthz", timeout=AT_MOST_S).status == 200:
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"scimd did not start:\n{self.output.read_text('utf-8', 'replace')}")

    def children(self, name: str | None = None) -> list[int]:
        """The processes that the server started; those of one name, as ``ps`` has it."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii")
        return [pid for pid in map(int, text.split()) if name in (None, _name_of(pid))]

    def stop(self) -> int:
        """SIGTERM; gives the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(AT_MOST_S)

    def kill(self) -> None:
        """SIGKILL to the server alone; the others have to notice by themselves."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(AT_MOST_S)


def _name_of(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
    return ""


@pytest.fixture
def daemons() -> Iterator[Callable[..., Daemon]]:
    """Makes Daemons, and ends whatever of them still runs."""
    made: list[Daemon] = []

    def make(*args: Any, **kwargs: Any) -> Daemon:
        made.append(Daemon(*args, **kwargs))
        return made[-1]

    yield make
    for daemon in made:
        daemon.kill()
        if daemon.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(daemon.process.pid, signal.SIGKILL)
