"""Who is held back: by account and by where they come from."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from scimd.core.errors import TooManyRequests
from scimd.org.authentication import attempts
from scimd.org.tx import Tx
from tests.org.house import House, house


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


async def fail(acme: House, ip: str, address: str = "ann@acme.example") -> None:
    await acme.run(lambda tx: attempts.begin(tx, None, address, ip), acme.as_admin())


@pytest.mark.parametrize(
    ("ips", "elsewhere"),
    [
        ([f"2001:db8:1:2::{n:x}" for n in range(1, 11)], "2001:db8:1:3::1"),
        (["203.0.113.9", "::ffff:203.0.113.9"] * 5, "203.0.113.10"),
    ],
)
async def test_a_line_counts_as_one_address_whatever_it_numbers_itself(
    acme: House, ips: list[str], elsewhere: str
) -> None:
    for ip in ips:
        await fail(acme, ip)
    with pytest.raises(TooManyRequests):
        await fail(acme, ips[0])
    await fail(acme, elsewhere)


async def test_the_wait_that_is_told_is_that_of_the_limit(acme: House) -> None:
    await fail(acme, "203.0.113.9", "bob@acme.example")
    acme.clock.forward(minutes=10)
    for _ in range(acme.door.settings.sign_in_attempts):
        await fail(acme, "203.0.113.9")
    with pytest.raises(TooManyRequests) as refused:
        await fail(acme, "203.0.113.9")
    assert refused.value.retry_after_s == 15 * 60


async def test_of_several_at_once_one_is_the_first(acme: House) -> None:
    """Else each would leave the count to the other, and none would be counted."""

    def body(tx: Tx) -> list[int]:
        since, ip = tx.now, "203.0.113.9"
        many = [attempts.begin(tx, None, "ann@acme.example", ip) for _ in range(3)]
        one_of_all = [attempts.is_first(tx, each, since) for each in many]
        attempts.close(tx, many[0], success=False, reason="wrong")
        return [one_of_all.count(True), *(attempts.is_first(tx, each, since) for each in many[1:])]

    assert await acme.run(body, acme.as_admin()) == [1, False, False]
