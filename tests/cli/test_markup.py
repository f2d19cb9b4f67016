"""Names, addresses and paths are other people's: what they hold is text on a terminal, and no markup."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import scimd.cli

_FILES = sorted(Path(scimd.cli.__path__[0]).rglob("*.py"))


def _prints(tree: ast.AST) -> list[ast.Call]:
    """What is said through a console of rich, whose strings may be markup."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "print"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("out", "err", "console")
    ]


def _is_plain(call: ast.Call) -> bool:
    return any(
        word.arg == "markup" and isinstance(word.value, ast.Constant) and word.value.value is False
        for word in call.keywords
    )


def _is_escaped(said: ast.expr) -> bool:
    """Written here word by word, or escaped; a table's cells are its maker's."""
    match said:
        case ast.Constant() | ast.Name(id="table"):
            return True
        case ast.JoinedStr():
            return all(_is_escaped(each) for each in said.values)
        case ast.FormattedValue():
            return _is_escaped(said.value)
        case ast.Subscript(value=ast.Name(id=name)):
            return name.isupper() or name.startswith("_")  # a table of this module
        case ast.Call(func=ast.Name(id="escape")):
            return True
        case _:
            return False


@pytest.mark.parametrize("file", _FILES, ids=lambda file: str(file.relative_to(Path(scimd.cli.__path__[0]))))
def test_what_is_printed_is_escaped_or_plain(file: Path) -> None:
    wrong = [
        f"line {call.lineno}"
        for call in _prints(ast.parse(file.read_text(encoding="utf-8")))
        if not _is_plain(call) and not all(map(_is_escaped, call.args))
    ]
    assert not wrong
