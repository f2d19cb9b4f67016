"""``scimd serve --demo``, as a stranger meets it: in an empty folder, with what it prints."""

from __future__ import annotations

import csv
import email
import email.policy
import json
import os
import re
import subprocess
import unicodedata
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients import Browser, link_in, seats, standing_is_right
from tests.support.daemon import Cli, Daemon
from tests.support.guard import free_port
from tests.support.patience import AT_MOST_S, until


class Demo(Daemon):
    """The demo in a folder where nothing is; commands reach it by the --config that it printed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.file = folder / ".demo" / "scimd.toml"
        self.words, self.redirected = ("serve", "--demo"), ""
        self.output = folder.with_suffix(".log")
        self.process = None

    def environment(self) -> dict[str, str]:
        return super().environment() | {"SCIMD_SERVER__PORT": str(self.port)}

    def start(self) -> Demo:
        self.output.write_bytes(b"")
        super().start()
        until(lambda: "Ask it something" in self.said(), "it says nothing")
        return self

    def said(self) -> str:
        return self.output.read_text("utf-8", "replace")

    def printed(self, label: str) -> str:
        found = re.search(rf"^\s*{re.escape(label)}\s+(.+)$", self.said(), re.M)
        assert found, self.said()
        return found[1].strip()

    def curls(self) -> list[str]:
        return re.findall(r"^\s*(curl .+)$", self.said(), re.M)

    def mails(self) -> list[EmailMessage]:
        folder = self.folder / ".demo" / "mails"
        return [
            email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            for file in sorted(folder.glob("*.eml"))
        ]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    empty = tmp_path / "clone"
    empty.mkdir()
    made = Demo(empty)
    try:
        yield made.start()
    finally:
        made.kill()


def paste(line: str) -> Any:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=AT_MOST_S, check=True)
    return json.loads(done.stdout)


def processes_that_name(text: str) -> list[str]:
    """Command lines and folders of this machine's processes in which ``text`` stands."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            where = os.readlink(process / "cwd")
        except OSError:
            continue
        if "scimd" in line and where.startswith(text):
            found.append(line)
    return found


def scripts(names: list[str]) -> set[str]:
    """The writing systems of the letters: LATIN, GREEK, CJK, …"""
    letters = {letter for name in names for letter in name if letter.isalpha()}
    return {unicodedata.name(letter).split()[0] for letter in letters}


def test_all_that_the_demo_prints_works_when_pasted(demo: Demo) -> None:
    the_sign_in_link_opens_the_page_and_signs_in_once(demo)
    assert demo.printed("SCIM base URL") == f"{demo.url}/scim/v2"
    assert ".demo/mails" in demo.printed("Mails")
    assert ".eml" in demo.printed("Mails")

    few, engineers, ada = (paste(line) for line in demo.curls())
    assert len(few["Resources"]) == 2
    assert few["totalResults"] == 40
    assert {user["title"] for user in engineers["Resources"]} == {"Engineer"}
    assert ada["userName"] == "ada@meridian.example"
    assert ada["meta"]["location"] == f"{demo.url}/scim/v2/Users/{ada['id']}"
    assert all(demo.printed("SCIM token") in line for line in demo.curls())

    words = demo.printed("CLI").split()
    assert words[0].endswith("scimd")
    assert words[-2:] == ["--config", ".demo/scimd.toml"]
    # Once in a process of its own, as a terminal has it; what follows runs in this one.
    listed = Cli.run(demo, "org", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout) == demo.ok("org", "list")
    # All fifty seats are taken, so Ada is stored and waits; nobody is ever above the limit.
    assert seats(demo, "meridian") == 50
    assert demo.ok("user", "show", "ada@meridian.example")["person"]["causes"] == ["waiting_for_seat"]

    with (demo.folder / ".demo/directory/users.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 300
    people = demo.ok("user", "list", "--limit", "1000")
    assert len([row for row in people if row["source"] and row["source"]["name"] == "directory"]) == 300
    names = [row["display_name"] for row in people]
    assert scripts(names) >= {"LATIN", "GREEK", "CYRILLIC", "ARABIC", "DEVANAGARI", "CJK"}
    assert sum(row["has_seat"] for row in people) == 50
    standing_is_right(demo)


def the_sign_in_link_opens_the_page_and_signs_in_once(demo: Demo) -> None:
    link = demo.printed("Page, sign in once by")
    admin = Browser()
    for _ in range(2):  # looking spends nothing
        opened = admin.get(link)
        assert opened.status == 200
        assert "admin@meridian.example" in opened.text
    assert admin.get(f"{demo.url}/runs").path == "/sign-in"
    entered = admin.post(link)
    assert entered.status == 200, entered.text
    runs = admin.get(f"{demo.url}/runs")
    assert (runs.status, runs.path) == (200, "/runs")
    assert "directory" in runs.text
    assert Browser().post(link).status in (404, 410)


def test_an_invitation_by_the_sync_is_accepted_and_the_next_demo_starts_afresh(demo: Demo) -> None:
    until(demo.mails, "there is no mail")
    mail = demo.mails()[0]
    body = mail.get_body(("plain",))
    assert body is not None
    address = mail["To"].addresses[0].addr_spec
    assert demo.ok("user", "show", address)["person"]["status"] == "pending"

    link = link_in(body.get_content(), "invitation")
    invited = Browser()
    assert address in invited.get(link).text
    weak = invited.post(link, name="", password="password")
    assert weak.status == 422
    accepted = invited.post(link, name="Somebody Else", password="four unlikely words in a row")
    assert (accepted.status, accepted.path) == (200, "/welcome"), accepted.text
    shown = demo.ok("user", "show", address)
    assert shown["person"]["status"] == "active"
    assert shown["person"]["source"]["name"] == "directory"
    assert Browser().post(link, name="", password="four unlikely words in a row").status == 410

    assert demo.stop() == 0
    assert processes_that_name(str(demo.folder)) == []

    marker = demo.folder / ".demo" / "mails" / "old.eml"
    marker.write_text("of the demo before", encoding="utf-8")
    first_link = demo.printed("Page, sign in once by")
    demo.start()
    assert not marker.exists()
    assert demo.printed("Page, sign in once by") != first_link
    assert demo.ok("user", "show", address)["person"]["status"] == "pending"
    assert len(demo.ok("run", "list")) == 1
