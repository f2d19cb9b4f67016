from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.org.acme import House, house


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    """A door and one organization, on each of the two databases."""
    async with house(database_url) as found:
        yield found
