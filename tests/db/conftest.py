"""An SQLite file of a test's own, by its path and by its url."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scimd.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"
