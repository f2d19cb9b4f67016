from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.org.house import House, house


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found
