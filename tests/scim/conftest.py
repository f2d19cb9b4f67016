"""A server per test, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.scim.serving import Client, Installation, installed


@pytest.fixture
async def scimd(database_url: str) -> AsyncIterator[Installation]:
    async with installed(database_url) as running:
        yield running


@pytest.fixture
async def idp(scimd: Installation) -> Client:
    """A token of a source without profile, in an organization of its own."""
    return await scimd.client(await scimd.organization("acme"))
