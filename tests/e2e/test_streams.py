"""Standard streams that are closed, full or read by nobody stop nothing and alter nothing (F22)."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.clients import idp, token
from tests.e2e.test_kill import CONFIG, is_running
from tests.support.daemon import Daemon
from tests.support.patience import AT_MOST_S, until

_FAMILY = ["scimd-answerer", "scimd-answerer", "scimd-worker"]


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>fifo", "<&-", "<&- >&- 2>&-"])
def test_whoever_dies_is_replaced_and_everybody_is_answered_wherever_the_streams_lead(
    daemons: Callable[..., Daemon], tmp_path: Path, fifo: Path, redirected: str
) -> None:
    config = CONFIG.replace("[server]", "[server]\nprocesses = 2").format(
        database=f"sqlite:///{tmp_path / 'scimd.db'}", seats=10, sources=""
    )
    daemon: Daemon = daemons(tmp_path, config, redirected=redirected)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    daemon.start()
    os.close(reader)

    def is_whole(without: set[int]) -> bool:
        named = [name for name in dict.fromkeys(_FAMILY) for _ in set(daemon.children(name)) - without]
        return named == _FAMILY

    first = set(until(lambda: is_whole(set()) and daemon.children(), "somebody is missing"))
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    until(lambda: is_whole(first), "who died was not replaced")

    assert b" 400 Bad Request" in _answer_to_noise(daemon.port)  # and it is logged
    assert _status_of_a_wrong_client(daemon.port) == 401
    with idp(daemon, token(daemon)) as scim:
        assert scim.create("ada")[0] == 201

    family = daemon.children()
    daemon.kill()
    until(lambda: not any(map(is_running, family)), "somebody goes on without the server")


def _answer_to_noise(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), AT_MOST_S) as noisy:
        noisy.sendall(b"NOISE\r\n\r\n")
        return noisy.recv(1000)


def _status_of_a_wrong_client(port: int) -> int:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=AT_MOST_S)) as asked:
        asked.request(
            "POST", "/oauth/token", "grant_type=client_credentials&client_id=a&client_secret=b", form
        )
        return asked.getresponse().status
