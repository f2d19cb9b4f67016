"""Where the real program listens."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.test_kill import CONFIG
from tests.support.daemon import Daemon
from tests.support.patience import AT_MOST_S


@pytest.mark.parametrize("processes", [1, 2])
def test_all_addresses_are_those_of_both_kinds(
    daemons: Callable[..., Daemon], tmp_path: Path, processes: int
) -> None:
    config = CONFIG.replace("[server]", f'[server]\nhost = "::"\nprocesses = {processes}')
    database = f"sqlite:///{tmp_path / 'scimd.db'}"
    daemon: Daemon = daemons(tmp_path, config.format(database=database, seats=1, sources=""))
    daemon.start()  # asks 127.0.0.1 whether it is there
    socket.create_connection(("::1", daemon.port), AT_MOST_S).close()
