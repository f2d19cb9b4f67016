"""Replicas of one installation on PostgreSQL, each ``scimd serve`` with processes of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.daemon import Daemon

_CONFIG = """
[server]
port = PORT
processes = 1
[database]
url = "{database}"
timeout = "60s"
[secrets]
key = ["env:SCIMD_TEST_KEY"]
[mail]
to = "folder"
folder = "mails"
[[organization]]
name = "acme"
domains = ["acme.example"]
[[organization.source]]
name = "okta"
[[organization.source.rule]]
number = 1
scim_role = "boss"
project = "Bosses"
team = "Bosses"
[[organization]]
name = "other"
"""


def test_replicas_that_start_at_once_on_an_empty_database_all_serve(
    daemons: Callable[..., Daemon], tmp_path: Path, empty_postgres_url: str
) -> None:
    replicas = []
    for n in range(3):
        folder = tmp_path / str(n)
        folder.mkdir()
        replicas.append(daemons(folder, _CONFIG.format(database=empty_postgres_url)))
    with ThreadPoolExecutor(len(replicas)) as threads:
        for started in [threads.submit(replica.start) for replica in replicas]:
            started.result()
    assert {row["name"] for row in replicas[0].ok("org", "list")} == {"acme", "other", "system"}
    assert [replica.stop() for replica in replicas] == [0, 0, 0]
