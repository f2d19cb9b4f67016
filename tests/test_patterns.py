"""No regular expression of ours takes longer than its input is long (A9)."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator

import pytest

import connectors
import scimd

_LENGTH = 50_000
#: Runs of these, and of pairs of them, are what nested repetition chokes on.
_RUNS = [
    "a",
    "0",
    " ",
    ".",
    "-",
    ":",
    ",",
    '"',
    "\\",
    "@",
    "/",
    "=",
    "\n",
    "a.",
    "a-",
    "a ",
    "a,",
    '\\"',
    "a@",
    "%4",
    "0:",
]
#: Modules that cannot be imported here, for a library that is an extra.
_EXTRAS = ("connectors.ldap",)


def _patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    for package in (scimd, connectors):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.startswith(_EXTRAS) or module.name.endswith("__main__"):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                    yield f"{module.name}.{name}", value


PATTERNS = dict(_patterns())


def test_the_patterns_are_found() -> None:
    assert "scimd.scim.listing._BY_NAME" in PATTERNS
    assert len(PATTERNS) > 20


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_is_linear(name: str) -> None:
    pattern = PATTERNS[name]
    began = time.process_time()
    for run in _RUNS:
        text = run * (_LENGTH // len(run))
        for tried in (text, text + "\x00", "a" + text + "!"):
            pattern.match(tried)
            pattern.fullmatch(tried)
    assert time.process_time() - began < 2
    # One search goes on from each place, which is quadratic where a match cannot fail early.
    began = time.process_time()
    for run in _RUNS:
        pattern.search(run * (2_000 // len(run)) + "\x00")
    assert time.process_time() - began < 2
