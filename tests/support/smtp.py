"""A real SMTP server for the tests: it keeps what it is sent, refuses when told to, and can be down."""

from __future__ import annotations

import asyncio
import email
import email.policy
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.guard import free_port
from tests.support.patience import AT_MOST_S, until

Stage = Literal["MAIL", "RCPT", "DATA"]


@dataclass(frozen=True, slots=True)
class Received:
    """A mail that the server accepted: the envelope, and the message as parsed."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage


class _Controller(Controller):
    #: Whether it takes addresses outside ASCII (RFC 6531), when it is next asked.
    smtputf8 = True

    def factory(self) -> SMTP:
        return SMTP(self.handler, **self.SMTP_kwargs | {"enable_SMTPUTF8": self.smtputf8})


class SmtpServer:
    """``messages`` holds what was accepted, oldest first; ``host`` and ``port`` never change."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.messages: list[Received] = []
        self.port = free_port()
        self._refusals: dict[Stage, str] = {}
        self._full: dict[str, str] = {}
        #: While set, mails are taken and kept, and nobody is told.
        self.silent = threading.Event()
        #: How long it works on a mail that it has taken before it says so.
        self.works_for_s = 0.0
        self._controller: _Controller | None = None
        self.start()

    def start(self) -> None:
        """Listen (again)."""
        self._controller = _Controller(
            self, hostname=self.host, port=self.port, server_hostname="mail.test", ready_timeout=AT_MOST_S
        )
        self._controller.start()

    def stop(self) -> None:
        """Be down: connections are refused until ``start``."""
        if self._controller:
            self._controller.stop()
            self._controller = None

    def of_ascii_alone(self) -> None:
        """Offer no SMTPUTF8 from the next connection on."""
        assert self._controller is not None
        self._controller.smtputf8 = False

    def refuse(self, reply: str, at: Stage = "RCPT") -> None:
        """Answer ``reply`` ("451 4.3.0 Try again later", "550 5.1.1 No such user") at that stage."""
        self._refusals[at] = reply

    def refuse_mailbox(self, address: str, reply: str) -> None:
        """Answer ``reply`` for this recipient, and take the others."""
        self._full[address] = reply

    def accept(self) -> None:
        """Take everything again."""
        self._refusals.clear()
        self._full.clear()

    def wait_for(self, count: int) -> list[Received]:
        """The messages, once there are ``count``; AssertionError when they do not come."""
        until(lambda: len(self.messages) >= count, f"fewer than {count} mails came")
        return list(self.messages)

    # The three hooks have the names and arguments that aiosmtpd calls.

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self._refusals:
            return self._refusals["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "RCPT" in self._refusals:
            return self._refusals["RCPT"]
        if address in self._full:
            return self._full[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if "DATA" in self._refusals:
            return self._refusals["DATA"]
        assert isinstance(envelope.content, bytes)
        assert envelope.mail_from is not None
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.messages.append(Received(envelope.mail_from, tuple(envelope.rcpt_tos), message))
        await asyncio.sleep(self.works_for_s)
        while self.silent.is_set():
            await asyncio.sleep(0.02)
        return "250 OK"


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    """A mail server that is up and takes everything."""
    server = SmtpServer()
    yield server
    server.silent.clear()
    server.stop()
