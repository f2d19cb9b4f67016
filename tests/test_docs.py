"""What the pages under docs/ point at is there: files, headings, commands with their options, config."""

import re
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from scimd import config
from scimd.cli import app

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text("utf-8") for path in sorted(DOCS.rglob("*.md"))}
DECISIONS = sorted(name for name in PAGES if name.startswith("decisions/"))


def _links() -> list[tuple[str, str]]:
    return [
        (page, link)
        for page, text in PAGES.items()
        for link in re.findall(r"\]\(([^)\s]+)\)", text)
        if "://" not in link
    ]


def _anchors(text: str) -> set[str]:
    """The headings as GitHub links to them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(("page", "link"), _links())
def test_what_a_page_links_to_is_there(page: str, link: str) -> None:
    file, _, anchor = link.partition("#")
    target = (DOCS / page).parent / file if file else DOCS / page
    assert target.exists()
    if anchor:
        assert anchor in _anchors(target.read_text("utf-8"))


def _commands() -> list[tuple[str, str]]:
    found = set()
    for page, text in PAGES.items():
        blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for line in lines + re.findall(r"`([^`\n]+)`", prose):
            command = re.sub(r"\s+#.*", "", line).removeprefix("$ ").strip()
            if re.match(r"scimd [a-z]", command):
                found.add((page, command))
    return sorted(found)


@cache
def _tree() -> Any:
    """All commands, which Typer would build anew each time."""
    return typer.main.get_command(app)


@pytest.mark.parametrize(("page", "line"), _commands())
def test_a_command_that_a_page_names_exists_with_its_options(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    command = _tree()
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        command = command.commands.get(words.pop(0))
        assert command is not None
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= options


def _configs() -> list[tuple[str, str]]:
    blocks = [(page, re.findall(r"```toml\n(.*?)```", text, re.DOTALL)) for page, text in PAGES.items()]
    return [(page, block) for page, many in blocks for block in many if block.startswith("[[organization]]")]


@pytest.mark.parametrize(("page", "block"), _configs())
def test_an_organization_in_a_page_is_a_valid_config(page: str, block: str) -> None:
    assert config.Config(**tomllib.loads(block)).organization


@pytest.mark.parametrize("page", DECISIONS)
def test_a_decision_says_context_choice_alternatives_and_consequence(page: str) -> None:
    parts = re.findall(r"^\*\*(\w+)\.\*\*", PAGES[page], re.MULTILINE)
    assert parts == ["Context", "Choice", "Alternatives", "Consequence"]


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(Path(page).name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for page in DECISIONS:
        assert PAGES[page].startswith(f"# {int(Path(page).name[:4])}. ")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z_/]+\.py)`", PAGES["architecture.md"]))))
def test_a_file_that_the_tour_names_is_there(path: str) -> None:
    assert (ROOT / path).is_file() or (ROOT / "scimd" / path).is_file()


def _warnings() -> set[str]:
    call = re.compile(r"""log(?:ger)?\.(?:warning|error|exception|critical)\(\s*"([a-z_]+)\"""")
    files = [path for part in ("scimd", "connectors") for path in (ROOT / part).rglob("*.py")]
    return {name for path in files for name in call.findall(path.read_text("utf-8"))}


@pytest.mark.parametrize("event", sorted(_warnings()))
def test_an_event_that_warns_stands_in_the_table(event: str) -> None:
    rows = [line for line in PAGES["operations.md"].splitlines() if line.startswith("| `")]
    assert any(f"`{event}`" in row.split("|")[1] for row in rows)
