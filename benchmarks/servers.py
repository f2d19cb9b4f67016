"""scimd and the yardstick as processes, and what a load says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers
from benchmarks.client import Endpoint
from benchmarks.work import Subject
from tests.support.guard import free_port

_YARDSTICK = Path(__file__).with_name("yardstick.py")
_CONFIG = """
[server]
port = {port}
public_url = "http://127.0.0.1:{port}"
# A PUT of a group of 100,000 members is 5 MB.
max_body_bytes = 16777216
[database]
url = "{url}"
[secrets]
key = ["env:BENCH_KEY"]
[mail]
to = "folder"
folder = "mails"
"""


@dataclass(frozen=True, slots=True)
class Scimd:
    """A running scimd and its command line."""

    port: int
    config: Path
    pid: int

    def subject(self, organization: str) -> Subject:
        """A new organization under load, with seats and a token."""
        seats = ["--seats", "1000000"]
        _scimd(self.config, "org", "create", organization, *seats)
        said = _scimd(self.config, "token", "create", "--org", organization, "--source", "okta", "--json")
        token = json.loads(said[said.index("{") :])["token"]
        return Subject("scimd", Endpoint(self.port, "/scim/v2", token, (self.pid,)))


def _scimd(config: Path, *words: str) -> str:
    command = [sys.executable, "-m", "scimd", *words, "--config", str(config)]
    done = subprocess.run(
        command,
        cwd=config.parent,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise peers.NotRun(f"scimd {words[0]} {words[1]}: {done.stdout}{done.stderr}")
    return done.stdout


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SCIMD_")}
    return kept | {"BENCH_KEY": "k" * 48}


def start_scimd(stack: ExitStack, folder: Path, url: str) -> Scimd:
    """``scimd serve`` with those who answer, as many as it takes by itself, and its worker."""
    port = free_port()
    config = folder / "scimd.toml"
    config.write_text(_CONFIG.format(port=port, url=url), encoding="utf-8")
    command = [sys.executable, "-m", "scimd", "serve", "--config", str(config)]
    server = peers.started(stack, command, cwd=folder, env=_environment())
    peers.answering(server, port, "/healthz")
    return Scimd(port, config, server.process.pid)


def start_yardstick(stack: ExitStack, folder: Path, url: str) -> Subject:
    python = sys.executable
    if url.startswith("postgresql"):
        locked = str(Path(__file__).with_name("requirements.txt"))
        python = str(peers.venv("yardstick", "--require-hashes", "-r", locked))
    server = peers.started(stack, [python, str(_YARDSTICK), url], cwd=folder)
    return Subject("yardstick", Endpoint(peers.announced(server), pids=(server.process.pid,)))
