"""What a mail server and the database can do to a mail that is under way (V15, F14)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from scimd.core.errors import DatabaseUnavailable
from scimd.db.tables import deliveries, invitations
from scimd.org.mails import deliveries as door_deliveries
from scimd.outbox import relay
from scimd.outbox.mail import ANSWER_S, SmtpMailer, mailer_from
from tests.org.acme import House
from tests.org.looks import invitations_of
from tests.outbox.test_relay import PUBLIC, pushed, run, settings
from tests.support.patience import AT_MOST_S, eventually
from tests.support.smtp import SmtpServer, Stage


def recipients(smtp: SmtpServer) -> list[str]:
    return sorted(received.recipients[0] for received in smtp.messages)


async def due(acme: House, number: int) -> list[str]:
    """So many mails are due; gives whom they are for."""
    addresses = [f"m{n:02}@acme.example" for n in range(number)]
    for address in addresses:
        await pushed(acme, address)
    return addresses


async def states(acme: House) -> dict[str, tuple[str, int]]:
    return {row.address: (row.state, row.attempts) for row in await acme.mails()}


def away_once_it_has_a_mail(
    acme: House, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch, times: int = 4
) -> list[int]:
    """The database takes no write so often, from the first mail on; gives the list of what it refused."""
    write, refused = acme.door.db.write, []

    async def flaky(body: Callable[[Any], Any], **more: Any) -> Any:
        if smtp.messages and len(refused) < times:
            refused.append(1)
            raise DatabaseUnavailable
        return await write(body, **more)

    monkeypatch.setattr(acme.door.db, "write", flaky)
    return refused


# ------------------------------------------------------------------------------ the database is away


async def test_a_mail_that_was_taken_is_noted_once_the_database_is_back_and_the_rest_leaves(
    acme: House, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = await due(acme, 3)
    refused = away_once_it_has_a_mail(acme, smtp, monkeypatch)
    assert await run(acme, smtp) == 3
    assert len(refused) == 4
    acme.clock.pass_by(minutes=30)
    assert await run(acme, smtp) == 0
    assert recipients(smtp) == addresses
    assert set((await states(acme)).values()) == {("sent", 1)}


async def test_a_stop_while_the_database_is_away_leaves_no_second_mail(
    acme: House, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pushed(acme)
    refused = away_once_it_has_a_mail(acme, smtp, monkeypatch)
    sending = asyncio.create_task(run(acme, smtp))
    await eventually(lambda: refused)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert [row.state for row in await acme.mails()] == ["sent"]


async def test_a_refusal_is_noted_once_the_database_is_back(
    acme: House, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, refused = await due(acme, 2)
    smtp.refuse_mailbox(refused, "550 5.1.1 No such user")
    away_once_it_has_a_mail(acme, smtp, monkeypatch)
    await run(acme, smtp)
    assert await states(acme) == {taken: ("sent", 1), refused: ("refused", 1)}


# ------------------------------------------------------------------------------ one mailbox


async def test_an_address_outside_ascii_gets_its_mail_from_a_server_that_takes_it(
    acme: House, smtp: SmtpServer
) -> None:
    await pushed(acme, "jörg@acme.example")
    assert await run(acme, smtp) == 1
    (received,) = smtp.messages
    assert received.recipients == ("jörg@acme.example",)
    to = received.message["To"].addresses[0].addr_spec  # bytes above ASCII, as this parser reads them
    assert to.encode(errors="surrogateescape") == "jörg@acme.example".encode()


async def test_an_address_outside_ascii_is_refused_where_the_server_takes_none(
    acme: House, smtp: SmtpServer
) -> None:
    smtp.of_ascii_alone()
    await pushed(acme, "jörg@acme.example")
    assert await run(acme, smtp) == 0
    (mail,) = await acme.mails()
    assert (mail.state, mail.last_error) == ("refused", "the mail server takes no addresses outside ASCII")


@pytest.mark.parametrize("reply", ["452 4.2.2 mailbox full", "450 4.7.1 Greylisted", "451 4.3.0 Later"])
async def test_what_is_refused_for_now_waits_alone(acme: House, smtp: SmtpServer, reply: str) -> None:
    full, *others = await due(acme, 4)
    smtp.refuse_mailbox(full, reply)
    assert await run(acme, smtp) == 3
    assert recipients(smtp) == others
    (waits,) = await acme.mails(state="due")
    assert (waits.address, waits.last_error) == (full, reply)
    assert acme.clock.now < waits.due_at <= acme.clock.now + timedelta(minutes=1)
    smtp.accept()
    acme.clock.pass_by(minutes=1)
    assert await run(acme, smtp) == 1


async def test_a_server_that_takes_its_leave_is_away(acme: House, smtp: SmtpServer) -> None:
    first, *_ = await due(acme, 3)
    smtp.refuse_mailbox(first, "421 4.3.2 Shutting down")
    assert await run(acme, smtp) == 0
    assert set((await states(acme)).values()) == {("due", 1)}


@pytest.mark.parametrize(
    ("at", "reply"),
    [
        ("RCPT", "450 4.7.1 Error: too many messages"),
        ("DATA", "452 4.3.1 Insufficient storage"),
        ("DATA", "454 Throttling failure: Maximum sending rate exceeded"),
    ],
)
async def test_a_server_that_asks_to_slow_down_is_asked_three_times_in_a_round(
    acme: House, smtp: SmtpServer, at: Stage, reply: str
) -> None:
    await due(acme, 8)
    smtp.refuse(reply, at)
    assert await run(acme, smtp) == 0
    mails = await acme.mails()
    assert {row.state for row in mails} == {"due"}
    said = f"the mail server takes nothing for now: {reply}"
    assert sorted(row.last_error for row in mails) == sorted(2 * [reply] + 6 * [said])
    smtp.accept()
    acme.clock.pass_by(minutes=1)
    assert await run(acme, smtp) == 8


async def test_it_is_the_row_without_a_mail_taken_that_says_so(acme: House, smtp: SmtpServer) -> None:
    for n, address in enumerate(await due(acme, 12)):
        if n % 3:
            smtp.refuse_mailbox(address, "451 4.4.3 Your domain does not resolve")
    assert await run(acme, smtp) == 4


@pytest.mark.parametrize(
    "reply", ["452 4.2.2 Mailbox full", "450 4.7.1 Greylisted", "451 Greylisting in action"]
)
async def test_mailboxes_that_wait_each_for_themselves_end_no_round(
    acme: House, smtp: SmtpServer, reply: str
) -> None:
    for address in (await due(acme, 8))[:7]:
        smtp.refuse_mailbox(address, reply)
    assert await run(acme, smtp) == 1
    assert {row.last_error for row in await acme.mails(state="due")} == {reply}


# ------------------------------------------------------------------------------ what counts as handed over


async def test_stops_before_the_server_has_a_mail_do_not_count(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)
    asked = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        for _ in range(3):
            asked.clear()
            sending = asyncio.create_task(run(acme, smtp, port=server.sockets[0].getsockname()[1]))
            await asyncio.wait_for(asked.wait(), AT_MOST_S)
            sending.cancel()
            await asyncio.wait({sending})
            acme.clock.pass_by(minutes=30)
    assert [(row.state, row.unanswered) for row in await acme.mails()] == [("due", 0)]
    assert await run(acme, smtp) == 1


async def test_a_mail_counts_as_handed_over_before_its_text_is_sent(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)
    smtp.silent.set()
    sending = asyncio.create_task(run(acme, smtp))
    await eventually(lambda: smtp.messages)
    assert [row.unanswered for row in await acme.mails()] == [1]
    sending.cancel()
    await asyncio.wait({sending})


async def test_a_mail_that_another_relay_took_while_the_server_was_asked_is_not_handed_over(
    acme: House, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, kept = await due(acme, 2)
    asks = door_deliveries.hand_over
    taken = update(deliveries).where(deliveries.c.address == lost).values(attempts=2)

    async def late(door: Any, delivery: Any) -> bool:
        if delivery.address == lost:
            await acme.write(lambda conn: conn.execute(taken) and None)
        return await asks(door, delivery)

    monkeypatch.setattr(door_deliveries, "hand_over", late)
    assert await run(acme, smtp) == 1
    assert recipients(smtp) == [kept]
    assert await states(acme) == {lost: ("due", 2), kept: ("sent", 1)}


async def test_a_mail_that_cannot_be_made_waits_alone_and_is_sent_once_it_can(
    acme: House, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = await due(acme, 3)
    makes = relay._message

    def broken(door: Any, delivery: Any, *more: Any) -> Any:
        if delivery.address == first:
            raise KeyError("team")
        return makes(door, delivery, *more)

    with monkeypatch.context() as patched:
        patched.setattr(relay, "_message", broken)
        for sent in (2, 0, 0):
            assert await run(acme, smtp) == sent
            acme.clock.pass_by(minutes=30)
    (waits,) = await acme.mails(state="due")
    assert (waits.unanswered, waits.last_error) == (0, "the mail could not be made: KeyError")
    assert await run(acme, smtp) == 1


# ------------------------------------------------------------------------------ slow and silent


async def test_a_server_may_work_on_a_mail_for_longer_than_the_time_out(
    acme: House, smtp: SmtpServer
) -> None:
    """RFC 5321 §4.5.3.2.6: ten minutes."""
    assert ANSWER_S == 600
    await pushed(acme)
    smtp.works_for_s = 1.5
    mailer = SmtpMailer(settings(smtp, timeout="1s"))
    for _ in range(5):  # where the machine needs longer than that to connect, nothing was sent
        sent = await relay.run_once(acme.door, mailer, PUBLIC)
        acme.clock.pass_by(minutes=30)
        if sent:
            break
    await run(acme, smtp)
    assert recipients(smtp) == ["dana@acme.example"]


async def test_a_mail_without_an_answer_is_sent_once_more_and_no_further(
    acme: House, smtp: SmtpServer
) -> None:
    person = await pushed(acme)
    other = await pushed(acme, "lee@acme.example")
    never = update(invitations).values(expires_at=acme.clock.now + timedelta(days=365))
    await acme.write(lambda conn: conn.execute(never) and None)
    smtp.silent.set()
    for _ in range(8):
        await relay.run_once(acme.door, SmtpMailer(settings(smtp), answer_s=0.2), PUBLIC)
        acme.clock.pass_by(days=1)
    assert recipients(smtp) == 2 * ["dana@acme.example"] + 2 * ["lee@acme.example"]
    assert len({received.message["Message-ID"] for received in smtp.messages}) == 2
    rows = {row.person_id: row for row in await invitations_of(acme.door, acme.org.id)}
    for each in (person, other):
        assert rows[each].delivery == "refused"
        assert "may have arrived" in (rows[each].why or "")
    assert (await acme.kinds()).count("mail.refused") == 2


async def test_one_lost_answer_and_then_a_good_one(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)
    smtp.silent.set()
    await relay.run_once(acme.door, SmtpMailer(settings(smtp), answer_s=0.2), PUBLIC)
    (mail,) = await acme.mails()
    assert (mail.state, mail.unanswered) == ("due", 1)
    assert mail.last_error == "the mail server did not say whether it took the mail"
    smtp.silent.clear()
    acme.clock.pass_by(minutes=1)
    assert await run(acme, smtp) == 1


async def test_relays_that_die_with_a_mail_in_hand_do_not_send_it_for_ever(
    acme: House, smtp: SmtpServer
) -> None:
    await pushed(acme)
    smtp.silent.set()
    for _ in range(4):
        had = len(smtp.messages)
        dies = asyncio.create_task(run(acme, smtp))
        await eventually(lambda had=had, dies=dies: len(smtp.messages) > had or dies.done())  # type: ignore[misc]
        dies.cancel()
        await asyncio.wait({dies})
        acme.clock.pass_by(days=1)
    assert len(smtp.messages) == 2


async def test_a_relay_that_slept_sends_nothing_that_another_took(acme: House, smtp: SmtpServer) -> None:
    await due(acme, 2)
    batch = await door_deliveries.take_due(acme.door, acme.org.id, 20)
    acme.clock.pass_by(minutes=5)
    assert await run(acme, smtp) == 2
    async with mailer_from(settings(smtp)) as mailer:
        assert await relay._send_all(acme.door, mailer, PUBLIC, batch) == 0
    assert len(smtp.messages) == 2


async def test_while_a_mail_is_handed_over_nobody_else_takes_it(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)
    smtp.silent.set()
    first = asyncio.create_task(run(acme, smtp))
    await eventually(lambda: smtp.messages)
    acme.clock.pass_by(minutes=9)
    assert await run(acme, smtp) == 0
    smtp.silent.clear()
    assert await first == 1
    assert len(smtp.messages) == 1


async def test_lines_that_begin_with_a_dot_arrive(acme: House, smtp: SmtpServer) -> None:
    """RFC 5321 §4.5.2."""
    person = await pushed(acme)
    said = update(invitations).values(message="One.\n.\n..two\n.three")
    await acme.write(lambda conn: conn.execute(said) and None)
    assert await run(acme, smtp) == 1
    text = smtp.messages[0].message.get_body(("plain",))
    assert text is not None
    lines = text.get_content().splitlines()
    assert [line.strip() for line in lines if line.strip(" >").startswith(".")] != []
    assert (await acme.rows(deliveries, person_id=person))[0].state == "sent"
