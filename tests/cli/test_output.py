"""Where what commands say goes, and what they say where it cannot go there."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update

from scimd.cli import common
from scimd.cli.rule import print_preview
from scimd.core.people import PersonId
from scimd.db.tables import people
from scimd.org.decisions import decisions
from scimd.org.decisions.decisions import NewDecision, Option
from scimd.org.organizations import organizations
from scimd.org.sources.rule_previews import Moved, Preview
from scimd.org.tx import Actor, Context, Door
from tests.cli.test_commands import Terminal, terminal  # noqa: F401 - a fixture
from tests.support.patience import AT_MOST_S


@pytest.fixture
def acme(terminal: Terminal) -> Terminal:  # noqa: F811
    terminal.json("org", "create", "acme", "--seats", "5")
    terminal.json("user", "add", "umit@acme.example", "--display-name", "Ümit Öz")
    return terminal


def scimd(
    acme: Terminal, *words: str | bytes, to: str | None = None, **env: str
) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own; its output goes into the file ``to``."""
    command = [sys.executable, "-m", "scimd", *words, "--config", str(acme.file)]
    with open(to or os.devnull, "wb") as file:
        out = file if to else subprocess.PIPE
        return subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, env=os.environ | env, timeout=AT_MOST_S, check=False
        )


@pytest.mark.parametrize("place", ["missing/x.csv", "."])
def test_an_export_that_cannot_be_written_is_one_sentence(acme: Terminal, tmp_path: Path, place: str) -> None:
    said = acme.refused("user", "export", "-o", str(tmp_path / place))
    assert "cannot be written: " in said


def test_of_an_export_into_a_file_standard_output_holds_nothing_but_json(
    acme: Terminal, tmp_path: Path
) -> None:
    done = acme.run("user", "export", "--json", "-o", str(tmp_path / "x.json"))
    assert (done.exit_code, done.stdout) == (0, "")
    assert "Written: " in done.stderr
    (row,) = json.loads((tmp_path / "x.json").read_text())["items"]
    assert row["display_name"] == "Ümit Öz"


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        (("status=active", "status=pending"), "--filter status: is given more than once"),
        (("organization=beta",), "--filter organization: name the organization by --org"),
    ],
)
def test_an_export_takes_no_filter_without_effect(acme: Terminal, filters: tuple[str, ...], why: str) -> None:
    words = [word for each in filters for word in ("--filter", each)]
    assert why in acme.refused("user", "export", *words)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("user", "list", "--json"), ("user", "list"), ("user", "export")])
def test_a_full_output_is_one_sentence(acme: Terminal, words: tuple[str, ...], unbuffered: str) -> None:
    done = scimd(acme, *words, to="/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (1, b"error: standard output: No space left on device\n")


def test_a_letter_that_the_terminal_lacks_ends_no_list(acme: Terminal) -> None:
    done = scimd(acme, "user", "list", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"?mit ?z" in done.stdout


def test_an_import_of_which_all_is_refused_says_so_to_programs_too(acme: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email,team\nq1@acme.example,NoSuchTeam\nnot-an-address,\n")
    first, second = acme.json("user", "import", str(file), "--yes", codes=(1,))
    assert (first["id"], first["done"]) == ("q1@acme.example", False)
    assert "NoSuchTeam" in first["detail"]
    assert second["detail"].startswith("line 3: email")
    file.write_text("email\nann@acme.example\nnot-an-address\n")
    assert [row["done"] for row in acme.json("user", "import", str(file), "--yes", codes=(1,))] == [
        True,
        False,
    ]


#: Sets a title, clears the screen, turns the writing, forges a row; C0, C1, DEL and a line's end.
STEERING = "\x1b]0;PWNED\x07\x1b[2JAda\x9b2J\x7f\u202eEve\r\nforged\u2028 \ue000"
SPELLED = r"\x1b]0;PWNED\x07\x1b[2JAda\x9b2J\x7f\u202eEve\r\nforged\u2028 \ue000"


@pytest.fixture
def steered(terminal: Terminal) -> Terminal:  # noqa: F811
    """With somebody whose name would steer a terminal."""
    terminal.json("org", "create", "acme", "--seats", "5")
    made = terminal.json("user", "add", "eve@acme.example")

    async def edited(door: Door) -> None:
        org = await organizations.by_slug(door, "acme")
        person = update(people).where(people.c.org_id == org.id, people.c.id == made["id"])
        await door.run(
            Context(org.id, Actor("operator", "cli", "cli"), "cli", "c"),
            lambda tx: tx.conn.execute(person.values(display_name=STEERING)),
        )

    common.run(terminal.file, lambda door, _: edited(door))
    return terminal


@pytest.mark.parametrize("words", [("list",), ("show", "eve@acme.example"), ("explain", "eve@acme.example")])
def test_what_a_name_holds_is_spelled_out_on_a_terminal(steered: Terminal, words: tuple[str, ...]) -> None:
    done = steered.run("user", *words)
    assert done.exit_code == 0
    assert SPELLED in done.stdout.replace("\n", "")
    assert all(one.isprintable() or one == "\n" for one in done.stdout)


def test_what_was_asked_for_is_spelled_out_in_an_error(steered: Terminal) -> None:
    assert SPELLED.removesuffix(r"\n") in steered.refused("user", "show", STEERING)


def test_programs_get_a_name_as_it_is(steered: Terminal) -> None:
    (row,) = steered.json("user", "list")
    assert row["display_name"] == STEERING


@pytest.mark.parametrize(
    "name", ["Ümit Öz", "山田\u3000太郎", "نیم\u200cفاصله", "क्\u200dष", ":x: 👩\u200d🚀"]
)
def test_a_name_is_written_as_it_is_in_every_script(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    common.said(None, name, json=False)
    assert capsys.readouterr().out == f"{name}\n"


def test_an_argument_in_another_encoding_is_one_sentence(acme: Terminal) -> None:
    """Whatever the command: it is said before one is looked for."""
    done = scimd(acme, "org", "create", "zz", "--display-name", b"M\xfcller")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.startswith(b"error: argument M\\xfcller")
    assert done.stderr.count(b"\n") == 1


def test_a_closed_output_is_one_sentence(acme: Terminal) -> None:
    command = '"$0" -m scimd user list --config "$1" >&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, str(acme.file)],
        capture_output=True,
        timeout=AT_MOST_S,
        check=False,
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert done.stderr.startswith(b"error: standard output: it is closed")


def test_a_preview_says_how_many_it_does_not_name(capsys: pytest.CaptureFixture[str]) -> None:
    ann = Moved(PersonId("p1"), "Ann", (), ("project Alpha as member",))
    seats = {"limit": 50, "before": 50, "freed": 50, "wanted": 0, "after": 0, "waiting": 0}
    print_preview(Preview(300, 300, 291, 0, 291, 0, seats, (), (ann,)), would=True)
    said = capsys.readouterr().out
    assert "0 would gain and 291 lose something. Seats: 50 used before, 0 after, of 50." in said
    assert said.endswith("\n… and 290 more.\n")


def test_questions_are_listed_page_by_page(acme: Terminal) -> None:
    async def asked(door: Door) -> None:
        org = await organizations.by_slug(door, "acme")
        ctx = common.context(door, org.id)
        for number in range(5):
            item = NewDecision(
                "collision", f"{number}", f"Question {number}?", (Option("no", "No", "."),), {}
            )
            await door.run(ctx, partial(decisions.open_item, new=item))
            await asyncio.sleep(0.002)  # ids of one millisecond are in no order

    common.run(acme.file, lambda door, _: asked(door))
    seen, after = [], ()
    for _ in range(3):
        said = acme.run("decide", "list", "--limit", "2", *after).stdout
        seen += [line for line in said.splitlines() if "Question" in line and "?" in line]
        after = ("--after", said.rpartition("--after ")[2].strip())
    assert [line.partition("Question ")[2][0] for line in seen] == list("43210")
    assert "There is more" not in said
    (first, *others) = acme.json("decide", "list")
    assert len(others) == 4
    assert "Answer it: scimd decide answer" in acme.run("decide", "show", first["id"]).stdout
    acme.run("decide", "answer", first["id"], "no")
    shown = acme.run("decide", "show", first["id"]).stdout
    assert "It was answered: no." in shown
    assert "Answer it" not in shown


def test_times_are_utc_and_say_so(acme: Terminal) -> None:
    done = scimd(acme, "audit", "list", TZ="America/New_York", COLUMNS="200")
    (entry,) = acme.json("audit", "list", "--limit", "1")
    at = datetime.fromisoformat(entry["at"])
    assert f"{at:%Y-%m-%d %H:%M:%S}Z".encode() in done.stdout
