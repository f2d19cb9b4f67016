"""Databases of a test's own. They are copies of one that has scimd's schema: making it each time is dear.

So is compiling statements anew for each: see :class:`CompiledOnce`.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Hashable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Compiled

from scimd.db import compiled, migrate
from tests.support.patience import AT_MOST_S
from tests.support.postgres import PostgresServer, quick_folder


def pytest_configure() -> None:
    """Let ``tmp_path`` be in memory where that is roomy: what SQLite writes is then there at once."""
    if folder := quick_folder():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)


_REAL = compiled.CompiledCache


class CompiledOnce(_REAL):
    """One cache for all connections of this process, where scimd has one for each.

    Each test opens connections of its own: a third of a test's time would go by with compiling what the
    test before has compiled.
    """

    _all = _REAL(1_000_000)
    _turn = threading.Lock()

    def get(self, key: Hashable, default: Compiled | None = None) -> Compiled | None:  # type: ignore[override]
        with self._turn:
            return self._all.get(_alike(key), default)

    def __setitem__(self, key: Hashable, made: Compiled) -> None:
        with self._turn:
            self._all[_alike(key)] = made


def _alike(key: Any) -> Hashable:
    """SQLAlchemy's key begins with the dialect, of which each engine has one of its own."""
    dialect, *more = key
    return (dialect.name, dialect.paramstyle, *more)


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """In this process; a scimd of its own compiles as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "CompiledCache", CompiledOnce)
        yield


@pytest.fixture
def compiled_by_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compiled is kept as it is where scimd runs."""
    monkeypatch.setattr(compiled, "CompiledCache", _REAL)


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
