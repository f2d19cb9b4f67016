"""What ``scimd serve`` has loaded when it forks: all that it needs, and nothing that few have a use for."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from scimd.admin import app as admin_app
from tests.support.interpreter import run_python

_SELDOM = {"alembic", "cel_expr_python", "dns", "psycopg", "rich", "segno", "typer", "webauthn"}
_LOADED = """
import asyncio, json, sys
import scimd.__main__
from scimd import app, config, opening

loaded = config.load(None)
app.load_ahead(loaded)
ahead = set(sys.modules)

async def started():
    async with opening.opened(loaded, make_key=True) as door:
        app.make_app(loaded, door)

app.run(started())
print(json.dumps({"ahead": sorted(ahead), "later": sorted(set(sys.modules) - ahead)}))
"""


def _loaded(folder: Path) -> dict[str, list[str]]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SCIMD_", "COV_"))}
    env |= {"SCIMD_DATABASE__URL": f"sqlite:///{folder}/scimd.db"}
    done = run_python(_LOADED, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_serve_loads_its_modules_before_it_forks_and_no_library_that_few_need(tmp_path: Path) -> None:
    loaded = _loaded(tmp_path)
    assert not _SELDOM & {name.partition(".")[0] for name in loaded["ahead"]}
    assert not loaded["later"]


_INTERRUPTED = """
import importlib.abc, os, signal, sys

class AtCtrlC(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "scimd.core":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, AtCtrlC())
from scimd.__main__ import main
sys.argv[1:] = WORDS
main()
"""


@pytest.mark.parametrize("words", [["serve"], ["user", "list"], ["--version"]])
def test_who_is_interrupted_while_it_loads_ends_without_a_traceback(tmp_path: Path, words: list[str]) -> None:
    code = _INTERRUPTED.replace("WORDS", repr(words))
    done = run_python(code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


_INTERRUPTED_LATER = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from scimd import __main__
from scimd.cli import common
common.load = lambda _: os.kill(os.getpid(), signal.SIGINT)
sys.argv[1:] = ["user", "list"]
__main__.main()
"""


def test_a_command_that_is_interrupted_says_so_once_it_is_loaded(tmp_path: Path) -> None:
    done = run_python(_INTERRUPTED_LATER, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: Interrupted.\n")


async def test_a_page_that_is_made_when_asked_for_is_made_once() -> None:
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return b"page"

    show: Any = admin_app._fixed(make, "text/html")
    request: Any = None
    answers: list[web.Response] = [await show(request), await show(request)]
    assert [answer.body for answer in answers] == [b"page", b"page"]
    assert len(made) == 1
