from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher

from scimd.org.authentication import passwords
from scimd.sync import registry
from tests.doors.company import Company, company
from tests.sync.world import Point


@pytest.fixture(autouse=True)
def _cheap_and_scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories that a test holds in its hands; what a password costs is no matter here."""
    monkeypatch.setattr(registry, "_found", lambda: {"scripted": Point()})
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
async def open_doors(database_url: str) -> AsyncIterator[Company]:
    """The whole application, on each of the two databases."""
    async with company(database_url) as found:
        yield found
