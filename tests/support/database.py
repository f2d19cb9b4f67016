"""Databases of a test's own. They are copies of one that has scimd's schema: making it each time is dear."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from scimd.db import migrate
from tests.support.patience import AT_MOST_S
from tests.support.postgres import PostgresServer, quick_folder


def pytest_configure() -> None:
    """Let ``tmp_path`` be in memory where that is roomy: what SQLite writes is then there at once."""
    if folder := quick_folder():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scimd.db"
        migrate.upgrade(f"sqlite:///{file}")
        return file.read_bytes()


def ready(url: str) -> None:
    """Put the schema where SQLite's file is still to be made. The fixtures' databases have it."""
    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:") and not file.exists():
        file.touch(mode=0o600)
        file.write_bytes(_migrated())


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a database with scimd's schema."""
    url = postgres_server.create_database()
    migrate.upgrade(url)
    return url.rpartition("/")[2]


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A fresh PostgreSQL database with scimd's schema, dropped after the test."""
    url = postgres_server.create_database(postgres_template)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database with scimd's schema, once on each of the two; whoever connects to it has time."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'scimd.db'}"
        ready(url)
        return url
    return f"{request.getfixturevalue('postgres_url')}?connect_timeout={AT_MOST_S}"


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh PostgreSQL database in which nothing is."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database in which nothing is, once on each of the two."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'scimd.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url
