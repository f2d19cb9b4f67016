"""kill -9 of each process, under load: what was acknowledged is there, and the next run ends the work."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.clients import Scim, idp, seats, standing_is_right, token
from tests.e2e.stored import count, let_leases_run_out
from tests.support.daemon import KEY, Cli, Daemon, Here
from tests.support.patience import AT_MOST_S, until

_SEATS = 30
_WRITERS = 8

CONFIG = """
[server]
port = PORT
public_url = "http://127.0.0.1:PORT"
[database]
url = "{database}"
[secrets]
key = ["env:SCIMD_TEST_KEY"]
[mail]
to = "folder"
folder = "mails"
[log]
format = "json"
[[organization]]
name = "acme"
seats = {seats}
{sources}
"""


def leads(folder: Path) -> list[str]:
    """Host, process and name of whoever does the jobs."""
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'scimd.db'}?mode=ro", uri=True)) as conn:
        rows = conn.execute("SELECT holder FROM leases WHERE name = 'jobs'").fetchall()
    return [part for (holder,) in rows for part in holder.split("/")]


class Writer(threading.Thread):
    """Creates people, and renames each, until the server goes away; keeps what was acknowledged."""

    def __init__(self, daemon: Daemon, token_text: str, name: str) -> None:
        super().__init__(name=name)
        self._scim = idp(daemon, token_text)
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.refused: list[Any] = []

    def run(self) -> None:
        with self._scim as scim, contextlib.suppress(OSError, http.client.HTTPException):
            for number in itertools.count():
                self._write(scim, f"{self.name}-{number}")

    def _write(self, scim: Scim, name: str) -> None:
        status, user = scim.create(name)
        if status != 201:
            self.refused.append(user)
            return
        self.acknowledged[user["userName"]] = user
        status, renamed = scim.patch(user["id"], displayName=f"Renamed {name}")
        if status == 200:
            self.acknowledged[user["userName"]] = renamed
        else:
            self.refused.append(renamed)


def test_killed_server_keeps_every_acknowledged_write(
    daemons: Callable[..., Daemon], database_url: str, tmp_path: Path
) -> None:
    daemon: Daemon = daemons(tmp_path, CONFIG.format(database=database_url, seats=_SEATS, sources=""))
    daemon.start()
    text = token(daemon)
    acknowledged: dict[str, dict[str, Any]] = {}
    for round_ in range(3):
        writers = [Writer(daemon, text, f"w{round_}{n}") for n in range(_WRITERS)]
        for writer in writers:
            writer.start()
        until(
            lambda writers=writers: sum(len(writer.acknowledged) for writer in writers) >= 40,  # type: ignore[misc]
            "too few writes are acknowledged",
        )
        daemon.kill()
        for writer in writers:
            writer.join(AT_MOST_S)
            assert not writer.is_alive()
            # Whoever answers may outlive the process that writes by a moment, and says so.
            assert {refused["status"] for refused in writer.refused} <= {"503"}
            acknowledged |= writer.acknowledged

        daemon.start()
        with idp(daemon, text) as scim:
            stored = scim.everybody()
        for name, user in acknowledged.items():
            assert stored[name]["id"] == user["id"]
            # The last PATCH may have been carried out without its answer having come back.
            names = (user.get("displayName"), f"Renamed {name.partition('@')[0]}")
            assert stored[name].get("displayName") in names
    assert seats(daemon, "acme") == _SEATS
    standing_is_right(daemon)


def is_running(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_killed_worker_is_started_again_and_a_killed_server_takes_its_worker_with_it(
    daemons: Callable[..., Daemon], tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'scimd.db'}"
    write_directory(tmp_path / "directory", 10)
    daemon: Daemon = daemons(
        tmp_path,
        CONFIG.format(database=database, seats=100, sources=SOURCE.format(folder=tmp_path, more=SCHEDULE)),
    )
    daemon.start()
    (first,) = until(lambda: daemon.children("scimd-worker"), "there is no worker")
    for _ in range(2):  # one that was forked off, and one that took its place
        until(lambda: str(first) in leads(tmp_path), "nobody leads")  # noqa: B023 - asked at once
        os.kill(first, signal.SIGKILL)
        (first,) = until(
            lambda: [pid for pid in daemon.children("scimd-worker") if pid != first],  # noqa: B023
            "the worker did not come back",
        )
    # The new one does the work of the one that was killed, and need not wait for its leases to run out.
    until(lambda: str(first) in leads(tmp_path), "nobody leads")
    until(lambda: daemon.ok("user", "list"), "nobody was brought in")
    let_go = [line for line in daemon.output.read_text().splitlines() if "leases_let_go" in line]
    assert len(let_go) == 2
    assert all(json.loads(line)["leases"] >= 1 for line in let_go)

    family = daemon.children()
    daemon.kill()
    until(lambda: not any(map(is_running, family)), "somebody goes on without the server")


def test_killed_answerer_is_started_again_while_the_other_answers(
    daemons: Callable[..., Daemon], database_url: str, tmp_path: Path
) -> None:
    config = CONFIG.replace("[server]", "[server]\nprocesses = 2")
    daemon: Daemon = daemons(tmp_path, config.format(database=database_url, seats=_SEATS, sources=""))
    daemon.start()
    text = token(daemon)
    first = set(until(lambda: daemon.children("scimd-answerer"), "nobody answers"))
    assert len(first) == 2
    acknowledged: list[str] = []

    def created(name: str) -> str | None:
        """On a new connection; the first may have been handed to the one who was just being killed."""
        with idp(daemon, text) as scim, contextlib.suppress(OSError, http.client.HTTPException):
            status, user = scim.create(name)
            assert status in (201, 409)
            return str(user.get("userName", name))
        return None

    for number, pid in enumerate(sorted(first)):
        os.kill(pid, signal.SIGKILL)
        acknowledged.append(until(lambda name=f"p{number}": created(name), "nobody answers any more"))  # type: ignore[misc]
        until(
            lambda: len(daemon.children("scimd-answerer")) == 2,
            "whoever answered did not come back",
        )
    assert first.isdisjoint(daemon.children("scimd-answerer"))
    with idp(daemon, text) as scim:
        assert [name.partition("@")[0] for name in acknowledged] == ["p0", "p1"]
        assert len(scim.everybody()) == 2
    assert daemon.stop() == 0
    standing_is_right(daemon)


PUSHED = """
[[organization.source]]
name = "idp"
state = "active"
"""


def test_whoever_takes_anothers_place_has_the_config_and_the_keys_of_the_start(
    daemons: Callable[..., Daemon], database_url: str, tmp_path: Path
) -> None:
    on_sqlite = database_url.startswith("sqlite")
    key = tmp_path / ("scimd.db.key" if on_sqlite else "key")
    key.touch(0o600)
    key.write_text(KEY)
    config = (
        CONFIG.format(database=database_url, seats=_SEATS, sources=PUSHED)
        .replace("[server]", "[server]\nprocesses = 2")
        .replace("[log]", '[invitations]\nmail_delay = "1s"\nmail_delay_at_most = "1s"\n[log]')
        .replace('["env:SCIMD_TEST_KEY"]', "[]" if on_sqlite else f'["file:{key}"]')
    )
    daemon: Daemon = daemons(tmp_path, config)
    daemon.start()
    text, written = token(daemon), daemon.file.read_text()
    other = tmp_path / "other.db"
    key.unlink()
    there: set[str] = set()

    def created(name: str) -> bool:
        """Whether somebody answered. Whoever was killed may have been handed the connection."""
        with idp(daemon, text) as scim, contextlib.suppress(OSError, http.client.HTTPException):
            status, user = scim.create(name)
            assert status in (201, 409), user
            there.add(f"{name}@acme.example")
            assert set(scim.everybody()) == there
        return f"{name}@acme.example" in there

    for name, edited in (
        ("elsewhere", written.replace(database_url, f"sqlite:///{other}")),
        ("cut", "[server\n"),
    ):
        daemon.file.write_text(edited)
        for pid in until(lambda: _all_three(daemon), "not all of them came back"):
            os.kill(pid, signal.SIGKILL)
        until(lambda name=name: created(name), "nobody answers any more")  # type: ignore[misc]
    until(
        lambda: len(list((tmp_path / "mails").glob("*.eml"))) == len(there),
        "the new worker does not work in the same database",
    )
    assert not other.exists()
    daemon.file.write_text(written)
    key.write_text(KEY)
    key.chmod(0o600)
    assert daemon.stop() == 0
    standing_is_right(daemon)


def _all_three(daemon: Daemon) -> list[int]:
    """Two who answer and the worker, once they are all there."""
    found = [*daemon.children("scimd-answerer"), *daemon.children("scimd-worker")]
    return found if len(found) == 3 else []


SOURCE = """
[[organization.source]]
name = "hr"
connector = "file"
state = "active"
{more}
[organization.source.settings]
path = "{folder}/directory"
"""
SCHEDULE = 'schedule = "2s"'


def write_directory(folder: Path, people: int) -> None:
    folder.mkdir(exist_ok=True)
    lines: list[dict[str, Any]] = [
        {"id": f"x{n:04}", "userName": f"user{n:04}", "emails": f"user{n:04}@acme.example"}
        for n in range(people)
    ]
    (folder / "users.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    groups = [
        {"id": "g1", "displayName": "Engineering", "members": [line["id"] for line in lines[::2]]},
        {"id": "g2", "displayName": "All", "members": ["g1", *(line["id"] for line in lines[1::2])]},
    ]
    (folder / "groups.jsonl").write_text("".join(json.dumps(group) + "\n" for group in groups))


def outcome(cli: Cli) -> dict[str, tuple[Any, ...]]:
    """Everybody's standing as far as people see it, without ids and times."""
    return {
        row["user_name"]: (
            row["status"],
            row["causes"],
            row["has_seat"],
            sorted(each["name"] for each in row["projects"]),
        )
        for row in cli.ok("user", "list", "--limit", "10000")
    }


def test_killed_sync_is_finished_by_the_next_one(tmp_path: Path, database_url: str) -> None:
    people, places = 1500, (0.02, 0.4, 0.8)
    write_directory(tmp_path / "directory", people)

    def company(folder: Path, url: str) -> Cli:
        folder.mkdir()
        source = SOURCE.format(folder=tmp_path, more="")
        config = CONFIG.format(database=url, seats=700, sources=source)
        return Here(folder, config.replace("PORT", "1"))

    undisturbed = company(tmp_path / "calm", f"sqlite:///{tmp_path / 'calm.db'}")
    undisturbed.ok("sync", "hr")
    wanted = outcome(undisturbed)
    assert len(wanted) == people

    disturbed = company(tmp_path / "wild", database_url)
    disturbed.ok("migrate")
    seen: list[int] = []
    for place in places:
        seen.append(killed_at(disturbed, database_url, place * people))
        if place == places[0]:  # whoever dies cannot give the lease back: it has to run out
            busy = disturbed.run("sync", "hr")
            assert busy.returncode == 1
            assert "is running already" in busy.stderr
        let_leases_run_out(database_url)
    print(f"killed with {seen} of {people} people stored")
    assert 0 < seen[0] < people
    disturbed.ok("sync", "hr")
    assert outcome(disturbed) == wanted
    assert sum(has_seat for _, _, has_seat, _ in wanted.values()) == 700
    standing_is_right(disturbed)


def killed_at(cli: Cli, database: str, people: float) -> int:
    """Begin a sync and kill it once so many people are stored; gives how many are."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scimd", "sync", "hr", "--json", "--config", str(cli.file)],
        cwd=cli.folder,
        env=cli.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(
        lambda: count(database, "people") >= people or process.poll() is not None,
        "the sync does not get on",
    )
    process.kill()
    process.wait(AT_MOST_S)
    return count(database, "people")
