"""Every list leaves as CSV and JSON (U19): by command here, over REST for each row of the table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from scimd import cli
from scimd.admin.table import TABLE
from scimd.cli import export
from tests.cli.test_commands import Terminal, terminal  # noqa: F401 - a fixture


@pytest.fixture
def acme(terminal: Terminal) -> Terminal:  # noqa: F811
    terminal.json("org", "create", "acme", "--seats", "5")
    terminal.json("user", "add", "ann@acme.example", "--display-name", "=cmd|'/C calc'!A0")
    terminal.json("token", "create", "--source", "okta")
    return terminal


def _nouns(app: Any, words: str = "") -> dict[str, set[str]]:
    """The commands of each noun, those of nouns below it among them."""
    found = {words: {command.name for command in app.registered_commands}} if words else {}
    for group in app.registered_groups:
        name = group.typer_instance.info.name
        found |= _nouns(group.typer_instance, f"{words} {name}".strip())
    return found


def test_each_noun_that_lists_exports() -> None:
    nouns = _nouns(cli.app)
    listing = {words for words, commands in nouns.items() if commands & {"list", "history"}}
    assert listing == set(export.LISTS)
    assert all(nouns[words] & {"export", "export-list"} for words in listing)
    of_nobody = {"/me/sessions", "/me/api-tokens", "/approvals"}
    within = {row.path for row in TABLE if row.is_list and row.parameters}
    assert {row.path for row in TABLE if row.is_list} == set(export.LISTS.values()) | within | of_nobody


def test_every_list_is_exported_whole(acme: Terminal) -> None:
    """U19."""
    for words in export.LISTS:
        command = "export-list" if words in ("source", "scim-log") else "export"
        more = ["--source", "okta"] if words == "rule" else []
        given = acme.run(*words.split(), command, *more)
        assert given.exit_code == 0, given.output
        header, *rows = csv.reader(io.StringIO(given.stdout))
        assert header, words
        document = json.loads(acme.run(*words.split(), command, *more, "--json").stdout)
        assert [len(row) for row in rows] == [len(header)] * len(document["items"])


def test_users_are_exported_filtered_and_without_formulas(acme: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    acme.run("user", "export", "--output", str(file))
    (row,) = csv.DictReader(io.StringIO(file.read_text("utf-8")))
    assert row["display_name"] == "'=cmd|'/C calc'!A0"
    assert (row["email"], row["projects"]) == ("ann@acme.example", "General (member)")
    items = json.loads(acme.run("user", "export", "--json", "--filter", "status=inactive").stdout)["items"]
    assert items == []
    wrong = acme.refused("user", "export", "--filter", "status=odd")
    assert "--filter status" in wrong
    assert "--filter colour" in acme.refused("user", "export", "--filter", "colour=red")
