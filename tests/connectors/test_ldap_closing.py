"""A read of a directory that is given up: by whoever waits for it, or by closing the source."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from connectors.ldap.connector import LdapConnector
from connectors.ldap.session import Session
from connectors.ldap.source import LdapSource
from scimd.connector_api import ConnectorError, Deadline, Incomplete
from scimd.connector_testing import RecordingLog, read_whole
from tests.connectors.proxy import SpoilingProxy
from tests.connectors.test_ldap import no_reading_thread_left, read, settings
from tests.support.openldap import OpenLdap
from tests.support.patience import AT_MOST_S, eventually

pytestmark = pytest.mark.usefixtures("python_ldap")


@pytest.fixture
def directory(openldap: Callable[..., OpenLdap]) -> OpenLdap:
    return openldap(users=200)


def opened(directory: OpenLdap, **changed: Any) -> LdapSource:
    config = LdapConnector.parse(settings(directory, **changed))
    return LdapConnector.open(config, RecordingLog(), Deadline.after(AT_MOST_S))


async def ends_at_once(reading: asyncio.Task[Any], by: type[BaseException]) -> None:
    async with asyncio.timeout(AT_MOST_S / 2):  # by itself it ends later
        with pytest.raises(by):
            await reading
    await no_reading_thread_left()


#: Where it hangs: before the server has said anything, and in the middle of what it says.
hanging = pytest.mark.parametrize("after_bytes", [0, 60_000])


@hanging
async def test_cancelling_ends_the_thread_at_once(directory: OpenLdap, after_bytes: int) -> None:
    with SpoilingProxy(directory.url, "silence", after_bytes) as proxy:
        reading = asyncio.create_task(read(settings(directory, url=f"ldap://{proxy.address}")))
        await eventually(proxy.has_spoilt)
        reading.cancel()
        await ends_at_once(reading, asyncio.CancelledError)


@hanging
async def test_closing_the_source_ends_a_read_that_hangs(directory: OpenLdap, after_bytes: int) -> None:
    with SpoilingProxy(directory.url, "silence", after_bytes) as proxy:
        source = opened(directory, url=f"ldap://{proxy.address}")
        reading = asyncio.create_task(read_whole(source))
        await eventually(proxy.has_spoilt)
        await source.aclose()
        await ends_at_once(reading, ConnectorError)


async def test_closing_the_source_between_two_searches_ends_the_read(
    directory: OpenLdap, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, end = opened(directory), Session.__aexit__

    async def end_all(session: Session, *of: object) -> None:
        await end(session, *of)
        await source.aclose()

    monkeypatch.setattr(Session, "__aexit__", end_all)
    with pytest.raises(Incomplete, match="closed while it was read"):
        await read_whole(source)
