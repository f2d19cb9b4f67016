"""Mail servers that misbehave: what becomes of a mail, of the others, and of the connection (V15, F14)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scimd import config
from scimd.outbox import relay
from scimd.outbox.mail import SmtpMailer
from tests.org.acme import House
from tests.outbox.test_relay import PUBLIC, pushed
from tests.support.certificates import self_signed
from tests.support.patience import AT_MOST_S, eventually

GOOD = {
    "greeting": "220 mail.test",
    "EHLO": "250-mail.test\r\n250 SIZE 10000",
    "MAIL": "250 OK",
    "RCPT": "250 OK",
    "DATA": "354 Go on",
    ".": "250 OK",
    "RSET": "250 OK",
    "QUIT": "221 Bye",
    "STARTTLS": "220 Go on",
}
#: What a server does in place of an answer.
SILENCE, MORE_AND_MORE = "silence", "more and more"


class Server:
    """Answers by the verb as it is told. ``takes``: how many mails it was given; ``open``: connections."""

    def __init__(self, told: Mapping[str, str], tls: ssl.SSLContext | None = None) -> None:
        self._answers, self._tls = {**GOOD, **told}, tls
        self.port = self.takes = self.open = 0
        self.asked: list[str] = []
        #: So many mails it takes over one connection; what it says before it ends that, if anything; and
        #: whether it is given one more before that.
        self.at_most, self.takes_leave, self.has_one_more = 1000, "", False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open, had = self.open + 1, 0
        try:
            await self._say(writer, "greeting")
            while line := await reader.readline():
                verb = line[:8].split()[0].decode().upper()
                self.asked.append(verb)
                if verb == "MAIL" and had == self.at_most and not self.has_one_more:
                    writer.write(self.takes_leave.encode())
                    break
                await self._say(writer, verb)
                if verb == "STARTTLS" and self._tls is not None:
                    await writer.start_tls(self._tls)
                elif verb == "DATA" and self._answers[verb].startswith("354"):
                    while (await reader.readline()) not in (b".\r\n", b""):
                        pass
                    self.takes, had = self.takes + 1, had + 1
                    if had > self.at_most:
                        break
                    await self._say(writer, ".")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter, verb: str) -> None:
        answer = self._answers[verb]
        if answer == SILENCE:
            await asyncio.sleep(AT_MOST_S)
        while answer == MORE_AND_MORE:
            writer.write(b"250-more\r\n" * 1000)
            await writer.drain()
        writer.write(answer.encode() + b"\r\n")
        await writer.drain()


@asynccontextmanager
async def server(tls: ssl.SSLContext | None = None, /, **told: str) -> AsyncIterator[Server]:
    """``dot``: the answer to a mail."""
    found = Server({"." if verb == "dot" else verb: answer for verb, answer in told.items()}, tls)
    async with await asyncio.start_server(found.talk, "127.0.0.1", 0) as listening:
        found.port = listening.sockets[0].getsockname()[1]
        yield found


def mailer(
    found: Server, *, timeout: str = f"{AT_MOST_S}s", tls: str = "none", host: str = "127.0.0.1"
) -> SmtpMailer:
    said = {"host": host, "port": found.port, "tls": tls, "sender": "noreply@acme.example"}
    return SmtpMailer(config.Mail.model_validate({**said, "timeout": timeout}))


async def run(acme: House, by: SmtpMailer) -> int:
    return await relay.run_once(acme.door, by, PUBLIC)


async def looks(acme: House) -> tuple[str, int, str]:
    """How the one mail stands: its state, hand-overs without an answer, and why."""
    (mail,) = await acme.mails()
    return mail.state, mail.unanswered, mail.last_error or ""


async def test_a_certificate_that_does_not_hold_costs_nobody_their_mail(acme: House, tmp_path: Path) -> None:
    await pushed(acme)
    async with server(self_signed(tmp_path, "other.test"), EHLO="250-mail.test\r\n250 STARTTLS") as bad:
        assert await run(acme, mailer(bad, tls="starttls")) == 0
    state, unanswered, why = await looks(acme)
    assert (state, unanswered) == ("due", 0)
    assert "certificate does not hold: self-signed" in why


@pytest.mark.parametrize("code", ["200", "251", "252"])
async def test_a_mail_that_was_taken_in_other_words_is_not_sent_again(acme: House, code: str) -> None:
    """By its first digit (RFC 5321 §4.2.1)."""
    await pushed(acme)
    async with server(dot=f"{code} Queued", RCPT=f"{code} Perhaps") as odd:
        assert await run(acme, mailer(odd)) == 1
        acme.clock.pass_by(days=1)
        assert (await run(acme, mailer(odd)), odd.takes) == (0, 1)


@pytest.mark.parametrize("answer", ["354 More", "hello", "", MORE_AND_MORE])
async def test_what_says_nothing_of_a_mail_is_no_answer(acme: House, answer: str) -> None:
    await pushed(acme)
    async with server(dot=answer) as odd:
        for _ in range(4):
            await run(acme, mailer(odd))
            acme.clock.pass_by(days=1)
        assert odd.takes == 2
        await eventually(lambda: not odd.open)
    assert (await looks(acme))[:2] == ("refused", 2)


@pytest.mark.parametrize("at", [{"RCPT": "550 5.1.1 No such user"}, {"dot": "554 5.7.1 No"}])
async def test_a_refusal_counts_though_the_server_falls_silent_after_it(
    acme: House, at: dict[str, str]
) -> None:
    await pushed(acme)
    async with server(**at, RSET=SILENCE) as odd:
        await run(acme, mailer(odd, timeout="1s"))
    assert (await looks(acme))[::2] == ("refused", *at.values())


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("552 5.3.4 Too big", "refused"),
        ("552 Message size exceeds fixed maximum message size", "refused"),
        ("552 5.2.2 The quota of this sender is used up", "due"),
    ],
)
async def test_a_mail_that_is_too_large_for_the_server_is_refused_for_good(
    acme: House, answer: str, state: str
) -> None:
    await pushed(acme)
    async with server(MAIL=answer) as small:
        await run(acme, mailer(small))
    assert (await looks(acme))[::2] == (state, answer)


@pytest.mark.parametrize("at", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"])
async def test_a_stop_does_not_wait_for_a_server_that_does_not_answer(acme: House, at: str) -> None:
    await pushed(acme)
    async with server(**{at: SILENCE}) as silent:
        sending = asyncio.create_task(run(acme, mailer(silent)))
        await eventually(lambda: silent.asked[-1:] == [at] or (at == "greeting" and silent.open))
        sending.cancel()
        await asyncio.wait({sending}, timeout=AT_MOST_S / 2)
        assert sending.done()
    assert (await looks(acme))[0] == ("sent" if at == "QUIT" else "due")


@pytest.mark.parametrize("answer", ["500 What?", "what?", SILENCE, MORE_AND_MORE])
async def test_the_connection_ends_whatever_is_said_to_the_goodbye(acme: House, answer: str) -> None:
    await pushed(acme)
    async with server(QUIT=answer) as clinging:
        assert await asyncio.wait_for(run(acme, mailer(clinging)), AT_MOST_S / 2) == 1
        if answer != SILENCE:  # its other end does not look
            await eventually(lambda: not clinging.open)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"MAIL": "hello"}, "the mail server's answer is no SMTP: Malformed SMTP response line: hello"),
        ({"EHLO": MORE_AND_MORE}, "the mail server's answer is no SMTP: Response too long"),
        ({"DATA": "250 OK"}, "250 OK"),
        ({"MAIL": "421 4.3.2 Closing"}, "421 4.3.2 Closing"),
    ],
)
async def test_nothing_more_is_said_to_a_server_that_makes_no_sense(
    acme: House, told: dict[str, str], why: str
) -> None:
    await pushed(acme)
    async with server(**told) as odd:
        await run(acme, mailer(odd))
        assert "QUIT" not in odd.asked
        await eventually(lambda: not odd.open)
    assert await looks(acme) == ("due", 0, why)


@pytest.mark.parametrize("leave", ["421 4.7.0 Too many messages over this connection\r\n", ""])
async def test_a_server_that_takes_so_many_over_one_connection_gets_them_over_several(
    acme: House, leave: str
) -> None:
    for n in range(5):
        await pushed(acme, f"p{n}@acme.example")
    async with server() as counting:
        counting.at_most, counting.takes_leave = 2, leave
        assert await run(acme, mailer(counting)) == 5
        assert counting.takes == 5


async def test_a_mail_that_a_connection_ended_with_is_not_sent_again_at_once(acme: House) -> None:
    """It may have been taken."""
    for n in range(2):
        await pushed(acme, f"p{n}@acme.example")
    async with server() as counting:
        counting.at_most, counting.has_one_more = 1, True
        await run(acme, mailer(counting))
        assert counting.takes == 2
    assert sorted((mail.state, mail.unanswered) for mail in await acme.mails()) == [("due", 1), ("sent", 1)]


async def test_a_host_that_is_none_costs_nobody_their_mail(acme: House) -> None:
    await pushed(acme)
    async with server() as found:
        by = mailer(found, host=f"{'a' * 64}.example")  # no part of a name is so long
    assert await run(acme, by) == 0
    assert (await looks(acme))[:2] == ("due", 0)


async def test_a_server_that_takes_its_leave_at_once_is_away(acme: House) -> None:
    await pushed(acme)
    async with server() as away:
        away.at_most = 0
        assert await run(acme, mailer(away)) == 0
        assert away.asked.count("MAIL") == 1
    assert await looks(acme) == ("due", 0, "the mail server closed the connection")
