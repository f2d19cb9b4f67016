"""Where what commands say goes, and what they say where it cannot go there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_commands import Terminal, terminal  # noqa: F401 - a fixture


@pytest.fixture
def acme(terminal: Terminal) -> Terminal:  # noqa: F811
    terminal.json("org", "create", "acme", "--seats", "5")
    terminal.json("user", "add", "umit@acme.example", "--display-name", "Ümit Öz")
    return terminal


def scimd(
    acme: Terminal, *words: str, to: str | None = None, **env: str
) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own; its output goes into the file ``to``."""
    command = [sys.executable, "-m", "scimd", *words, "--config", str(acme.file)]
    with open(to or os.devnull, "wb") as file:
        out = file if to else subprocess.PIPE
        return subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, env=os.environ | env, timeout=60, check=False
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


@pytest.mark.parametrize("words", [("user", "list", "--json"), ("user", "list"), ("user", "export")])
def test_a_full_output_is_one_sentence(acme: Terminal, words: tuple[str, ...]) -> None:
    done = scimd(acme, *words, to="/dev/full")
    assert done.returncode == 1
    assert b"standard output: No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


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
