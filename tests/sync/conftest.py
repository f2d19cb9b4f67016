from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.sync.world import World, world


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[World]:
    """Twelve people, not synced yet."""
    async with world(database_url, invite="never") as found:
        found.script.fill(12)
        yield found
