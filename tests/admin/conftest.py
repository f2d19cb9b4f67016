from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.admin.client import Client, signed_in
from tests.web.site import Site, site


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[Site]:
    """The whole application with the organization ``acme``, on each of the two databases."""
    async with site(database_url) as found:
        yield found


@pytest.fixture
async def api(acme: Site) -> AsyncIterator[Client]:
    """An Account Admin of ``acme``."""
    async with signed_in(acme) as client:
        yield client
