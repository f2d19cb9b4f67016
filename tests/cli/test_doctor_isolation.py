"""The doctor shares no code with the server that it examines: one misreading cannot hide in both."""

from __future__ import annotations

import dis
import sys
from pathlib import Path
from types import CodeType

import pytest

from tests.support.interpreter import run_python

FOLDER = Path(__file__).parents[2] / "scimd" / "cli" / "doctor"
MODULES = sorted(FOLDER.rglob("*.py"))
ALLOWED = {*sys.stdlib_module_names, "aiohttp", "yarl", "typer", "rich", "jinja2"}
OWN = "scimd.cli.doctor"


def imported(file: Path) -> set[str]:
    """Every module that the file imports, wherever in it; a relative one shows as a stranger.

    Read from the byte code: CPython 3.11's ast.parse fails now and then when the collector runs in it
    (python/cpython#106905).
    """
    return _imported(compile(file.read_text(encoding="utf-8"), str(file), "exec"))


def _imported(code: CodeType) -> set[str]:
    names = {str(one.argval) for one in dis.get_instructions(code) if one.opname == "IMPORT_NAME"}
    return names.union(*(_imported(const) for const in code.co_consts if isinstance(const, CodeType)))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.stem)
def test_module_imports_nothing_of_the_server(file: Path) -> None:
    allowed_of_scimd = {"scimd.cli.common"} if file.name == "command.py" else set()
    strangers = {
        name
        for name in imported(file)
        if name.split(".")[0] not in ALLOWED
        and not f"{name}.".startswith(f"{OWN}.")
        and name not in allowed_of_scimd
    }
    assert strangers == set()


def test_module_does_not_import_by_name_at_run_time() -> None:
    for file in MODULES:
        text = file.read_text(encoding="utf-8")
        assert "importlib" not in text
        assert "__import__" not in text


def test_sequences_run_where_the_rest_of_scimd_does_not_exist() -> None:
    """Everything but the command loads with every other module of scimd barred."""
    program = f"""
import sys, types
before = set(sys.modules)
for name, path in (("scimd", []), ("scimd.cli", []), ({OWN!r}, [{str(FOLDER)!r}])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = path
from {OWN}.report import as_document
from {OWN}.sequences import SEQUENCES
server = ("scimd", "scim2_models", "pydantic", "sqlalchemy")
new = {{name for name in set(sys.modules) - before if name.split(".")[0] in server}}
strangers = [name for name in new - {{"scimd", "scimd.cli"}} if not name.startswith({OWN!r})]
print(len(SEQUENCES), strangers)
"""
    done = run_python(program)
    assert done.stdout.strip() == "6 []", done.stderr
