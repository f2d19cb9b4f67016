from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.web.browser import chromium
from tests.web.site import Site, site


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[Site]:
    """The site, on each of the two databases."""
    async with site(database_url) as found:
        yield found


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A Chromium of its own."""
    async with chromium() as found:
        yield found
