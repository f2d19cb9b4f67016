"""The README's commands exist, with the options that it gives them, and its files are there."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from scimd import config
from scimd.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
INLINE = re.findall(r"`([^`\n]+)`", README)
LINES = [line for _, block in BLOCKS for line in block.splitlines()] + INLINE
COMMANDS = sorted(
    {re.sub(r"\s+#.*", "", line).strip() for line in LINES if re.match(r"\s*(\.venv/bin/)?scimd \w", line)}
)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_readme_exists_with_its_options(line: str):
    words = shlex.split(line)[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        command = command.commands.get(words.pop(0))
        assert command is not None, line
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= options


def test_the_readme_names_commands_at_all():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_a_file_that_the_readme_links_is_there(link: str):
    assert (ROOT / link).exists()


@pytest.mark.parametrize("block", [block for language, block in BLOCKS if language == "toml"])
def test_the_readmes_config_is_valid(block: str):
    assert config.Config(**tomllib.loads(block)).organization


@pytest.mark.parametrize("target", ["run", "test"])
def test_the_two_commands_are_there(target: str):
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
