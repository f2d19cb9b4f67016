"""What ends scimd: what is under way is answered, nobody new is, and the whole family ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.clients import idp, token
from tests.e2e.test_kill import CONFIG, is_running
from tests.support.daemon import Daemon
from tests.support.patience import AT_MOST_S, until


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("whole_group", "number"),
    [(False, signal.SIGTERM), (True, signal.SIGTERM), (True, signal.SIGHUP), (True, signal.SIGINT)],
)
def test_request_under_way_is_answered_and_everybody_ends(
    daemons: Callable[..., Daemon], tmp_path: Path, processes: int, whole_group: bool, number: signal.Signals
) -> None:
    """``whole_group``: the signal goes to all processes at once, as from systemd or a terminal."""
    config = CONFIG.replace("[server]", f"[server]\nprocesses = {processes}")
    url = f"sqlite:///{tmp_path / 'scimd.db'}"
    daemon: Daemon = daemons(tmp_path, config.format(database=url, seats=10, sources=""))
    daemon.start()
    assert daemon.process is not None
    text = token(daemon)
    with idp(daemon, text) as scim:
        assert scim.create("early")[0] == 201
    until(lambda: len(daemon.children()) == (3 if processes == 2 else 1), "somebody is missing")
    family = daemon.children()

    with contextlib.closing(sqlite3.connect(tmp_path / "scimd.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # so that nobody can write
        with idp(daemon, text) as scim:
            assert scim.everybody().keys() == {"early@acme.example"}
            scim.ask("POST", "/Users", scim.somebody("late"))
            until(scim.is_read, "nobody reads it")
            if whole_group:
                os.killpg(daemon.process.pid, number)
            else:
                daemon.process.send_signal(number)
            until(lambda: _is_refused(daemon.port), "the port is still open")
            other.execute("ROLLBACK")
            assert scim.answer()[0] == 201
    assert daemon.process.wait(AT_MOST_S) == 0, daemon.output.read_text("utf-8")
    until(lambda: not any(map(is_running, family)), "somebody goes on")
    said = daemon.output.read_text("utf-8")
    assert "Traceback" not in said, said
    assert "_died" not in said, said  # nobody is taken for dead, and started again
    if not (whole_group and number == signal.SIGTERM):  # what a terminal sends is the first process's to take
        assert "request_log_made_here" not in said  # the worker ends last

    daemon.start()
    with idp(daemon, text) as scim:
        assert scim.everybody().keys() == {"early@acme.example", "late@acme.example"}


def test_who_is_being_started_again_says_nothing_of_what_a_terminal_sends(
    daemons: Callable[..., Daemon], tmp_path: Path
) -> None:
    """A new Python ends with a traceback if it meets Ctrl-C while it loads."""
    url = f"sqlite:///{tmp_path / 'scimd.db'}"
    daemon: Daemon = daemons(tmp_path, CONFIG.format(database=url, seats=10, sources=""))
    daemon.start()
    assert daemon.process is not None
    (worker,) = until(lambda: daemon.children("scimd-worker"), "there is no worker")
    others = set(daemon.children()) - {worker}
    os.kill(worker, signal.SIGKILL)
    (new,) = until(lambda: set(daemon.children()) - others - {worker}, "the worker did not come back")
    until(lambda: os.getsid(new) == new, "what a terminal sends reaches it")
    os.killpg(daemon.process.pid, signal.SIGINT)
    assert daemon.process.wait(AT_MOST_S) == 0
    said = daemon.output.read_text("utf-8")
    assert "worker_died" in said
    assert "Traceback" not in said, said


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=AT_MOST_S).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it waited to be accepted when the port was closed
        pass
    return False
