"""Mails that a relay had taken as it died: whoever leads next sends them at once, and none twice."""

from __future__ import annotations

from scimd.config import Config
from scimd.jobs import Jobs
from scimd.org.mails import deliveries
from scimd.org.mails.deliveries import Delivery
from tests.org.acme import House
from tests.outbox.test_relay import pushed, run
from tests.support.smtp import SmtpServer


async def _taken(acme: House, people: int = 1) -> list[Delivery]:
    for number in range(people):
        await pushed(acme, f"p{number}@acme.example")
    return await deliveries.take_due(acme.door, acme.org.id, people)


async def _led_by_another(acme: House) -> None:
    another = Jobs(acme.door, Config(), mailer=None)  # type: ignore[arg-type]  # it sends nothing yet
    await another._try_to_lead()
    assert another._lease is not None


async def test_what_was_taken_and_not_handed_over_is_sent_by_whoever_leads_next(
    acme: House, smtp: SmtpServer
) -> None:
    _, begun = await _taken(acme, 2)
    assert await deliveries.begin(acme.door, begun, 60.0) == "send"
    assert await run(acme, smtp) == 0
    await _led_by_another(acme)
    assert await run(acme, smtp) == 2


async def test_whoever_lives_on_sends_nothing_that_was_taken_over(acme: House, smtp: SmtpServer) -> None:
    first, begun = await _taken(acme, 2)
    assert await deliveries.begin(acme.door, begun, 60.0) == "send"
    await _led_by_another(acme)
    assert await run(acme, smtp) == 2
    assert await deliveries.begin(acme.door, first, 60.0) == "leave"
    assert not await deliveries.hand_over(acme.door, begun)


async def test_what_the_old_one_went_on_with_is_left_to_it(acme: House, smtp: SmtpServer) -> None:
    (begun,) = await _taken(acme)
    await _led_by_another(acme)
    assert await deliveries.begin(acme.door, begun, 60.0) == "send"
    assert await run(acme, smtp) == 0
    assert await deliveries.hand_over(acme.door, begun)


async def test_what_was_handed_over_or_put_off_waits_as_before(acme: House, smtp: SmtpServer) -> None:
    handed, put_off = await _taken(acme, 2)
    assert await deliveries.hand_over(acme.door, handed)
    await deliveries.put_off(acme.door, put_off, "450 4.2.1 Later")
    await _led_by_another(acme)
    assert await run(acme, smtp) == 0
