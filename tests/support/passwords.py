"""Passwords whose hashes cost next to nothing, for tests that are about something else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, Type

from scimd.org.authentication import passwords

_REAL = (passwords._HASHER, passwords._NOBODY)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """In this process; a scimd of its own hashes as ever."""
    with pytest.MonkeyPatch.context() as patch:
        hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=Type.ID)
        patch.setattr(passwords, "_HASHER", hasher)
        patch.setattr(passwords, "_NOBODY", hasher.hash("nobody has this password"))
        yield


@pytest.fixture
def real_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes as they are where scimd runs."""
    monkeypatch.setattr(passwords, "_HASHER", _REAL[0])
    monkeypatch.setattr(passwords, "_NOBODY", _REAL[1])
