"""Each promise of the threat model stands there once, with tests that exist or with the word "open"."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in TEXT.splitlines()
    if re.match(r"\| [VFA]\d+ \|", line)
]
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", TEXT)))
NUMBERS = [f"{letter}{n}" for letter, last in (("V", 22), ("F", 24), ("A", 47)) for n in range(1, last + 1)]


def _functions(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("test", TESTS)
def test_a_test_that_the_threat_model_names_exists(test: str) -> None:
    file, _, name = test.partition("::")
    assert (ROOT / file).is_file()
    assert name in _functions(ROOT / file)


def test_each_number_stands_there_once_and_in_order() -> None:
    assert [row[0] for row in ROWS] == NUMBERS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_promise_is_held_by_a_test_or_said_to_be_open(row: tuple[str, ...]) -> None:
    _, what, tests, open_ = row
    assert what
    assert "::" in tests or "→" in open_


def test_what_is_open_names_the_work_that_closes_it() -> None:
    named = set(re.findall(r"→ \*([^*]+)\*", TEXT))
    assert named <= {"organization", "later"}
