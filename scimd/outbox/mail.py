"""Mails: made from templates, and handed to a mail server or written into a folder.

A mail is an ``EmailMessage``, which refuses line breaks in headers and encodes names of any script.
It has an HTML and a text part that say the same; styles are inlined, nothing is loaded from outside.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.policy import SMTPUTF8 as WIRE_UTF8
from email.utils import format_datetime, parseaddr
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import aiosmtplib
import css_inline
from aiosmtplib.protocol import normalize_message_line_endings
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from scimd import translations
from scimd.config import Mail
from scimd.core.languages import Language
from scimd.core.people import address as one_address


class MailRefused(Exception):
    """The server will never take this mail; the text is its reason."""


class MailPutOff(Exception):
    """The server does not take this mail now; the text is its reason. Others it may take."""


class MailUnavailable(Exception):
    """Nothing could be sent now; the text says why."""


class MailUnanswered(MailUnavailable):
    """The server was given all of the mail and did not answer: it may have taken it."""


MailFailure = MailRefused | MailPutOff | MailUnavailable
#: Awaited right before the server gets the mail's text: only from then on may the mail arrive.
HandOver = Callable[[], Awaitable[None]]


class Mailer(Protocol):
    """``sender`` is the From of every mail; no mail takes longer than ``longest_s``."""

    sender: str
    longest_s: float

    async def send(self, message: EmailMessage, hand_over: HandOver) -> None:
        """Send one mail to its one recipient.

        Raises MailRefused, MailPutOff and MailUnavailable, and what ``hand_over`` raises: then the server
        has not got it.
        """
        ...

    async def rest(self) -> None:
        """Nothing more is to send for now."""
        ...


@asynccontextmanager
async def mailer_from(mail: Mail) -> AsyncIterator[Mailer]:
    """The mailer that the config asks for."""
    mailer: Mailer = FolderMailer(mail) if mail.to == "folder" else SmtpMailer(mail)
    try:
        yield mailer
    finally:
        await mailer.rest()


# ------------------------------------------------------------------------------ making


@cache
def templates(language: Language) -> Environment:
    """The templates as they speak that language."""
    environment = Environment(
        loader=PackageLoader("scimd.outbox"),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    translations.install(environment, language)
    return environment


def compose(
    template: str,
    values: Mapping[str, Any],
    *,
    language: Language,
    sender: str,
    name: str,
    address: str,
    message_id: str,
    date: Any,
) -> EmailMessage:
    """Render ``<template>.html`` and ``.txt``; the text's first line is the subject."""
    said = templates(language)
    text = said.get_template(f"{template}.txt").render(values)
    subject, _, body = text.partition("\n")
    html = css_inline.inline(
        said.get_template(f"{template}.html").render(values), load_remote_stylesheets=False
    )
    message = EmailMessage()
    message["From"] = _own_mailbox(sender)
    message["To"] = _mailbox(name, address)
    message["Subject"] = one_line(subject)
    message["Date"] = format_datetime(date)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(body.strip() + "\n")
    message.add_alternative(html, subtype="html")
    # Before the parts are there it would go to the first of them.
    message["Content-Language"] = language
    return message


def _mailbox(name: str, address: str) -> Address:
    """Exactly one mailbox. Raises MailRefused for what is not one address."""
    if one_address(address) != address:
        raise MailRefused("the stored address is not one mail address")
    local_part, _, domain = address.rpartition("@")
    try:
        # As one text it is read, but may be of ASCII alone; by its parts it may be of any script, unread.
        plain = Address(one_line(name), addr_spec=f"{_BEYOND_ASCII.sub('x', local_part)}@{domain}")
        return plain if local_part.isascii() else Address(one_line(name), local_part, domain)
    except (ValueError, IndexError) as exc:
        raise MailRefused("the stored address is not one that mail can be sent to") from exc


_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


def _own_mailbox(sender: str) -> Address:
    name, address = parseaddr(sender)
    try:
        return Address(name, addr_spec=address)
    except (ValueError, IndexError) as exc:
        raise MailUnavailable("mail.sender of the config is not an address") from exc


def one_line(text: str) -> str:
    """Without line breaks, control and direction marks, and nothing that a reader would decode."""
    kept = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else c for c in text)
    return " ".join(kept.replace("=?", "= ?").split())[:200]


# ------------------------------------------------------------------------------ sending


class FolderMailer:
    """Writes each mail as an ``.eml`` file; a repeated one takes the place of the first."""

    longest_s = 60.0

    def __init__(self, mail: Mail) -> None:
        self.sender = mail.sender
        self._folder = mail.folder or Path()

    async def send(self, message: EmailMessage, hand_over: HandOver) -> None:
        await hand_over()
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as exc:
            raise MailUnavailable(f"the folder {self._folder} cannot be written: {exc.strerror}") from exc

    def _write(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        to = re.sub(r"[^a-zA-Z0-9.@-]+", "_", message["To"].addresses[0].addr_spec)[:80]
        mail_id = re.sub(r"[^a-zA-Z0-9-]+", "", message["Message-ID"].partition("@")[0])
        path = self._folder / f"{to}-{mail_id}.eml"
        policy = WIRE if message["To"].addresses[0].addr_spec.isascii() else WIRE_UTF8
        draft = path.with_suffix(".part")
        # It holds links that let people in: nobody else reads it.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(message.as_bytes(policy=policy))
        draft.replace(path)

    async def rest(self) -> None:
        """A folder needs no rest."""


#: How long a server may work on a mail that it has in full before it answers (RFC 5321 §4.5.3.2.6).
#: Giving up sooner does not take the mail back: it would come several times.
ANSWER_S = 600.0


class _Client(aiosmtplib.SMTP):
    """Knows whether the server has all of a mail and owes its answer, and waits for that one longer."""

    limit: asyncio.Timeout
    answer_s: float
    hand_over: HandOver
    answer_owed = False

    async def data(self, message: str | bytes, /, **options: Any) -> aiosmtplib.SMTPResponse:
        begun = await self.execute_command(b"DATA", **options)
        if begun.code != aiosmtplib.SMTPStatus.start_input:
            raise aiosmtplib.SMTPDataError(begun.code, begun.message)
        await self.hand_over()
        if self.protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        octets = message.encode("ascii") if isinstance(message, str) else message
        lines = re.sub(rb"(?m)^\.", b"..", normalize_message_line_endings(octets))
        self.limit.reschedule(asyncio.get_running_loop().time() + self.answer_s)
        self.protocol.write(lines + b".\r\n")
        self.answer_owed = True
        answer = await self.protocol.read_response()
        # The first digit says it (RFC 5321 §4.2.1); what has none of these says nothing of the mail.
        self.answer_owed = answer.code // 100 not in (2, 4, 5)
        if answer.code // 100 != 2:
            raise aiosmtplib.SMTPDataError(answer.code, answer.message)
        return answer

    async def rcpt(self, recipient: str, /, **options: Any) -> aiosmtplib.SMTPResponse:
        try:
            return await super().rcpt(recipient, **options)
        except aiosmtplib.SMTPRecipientRefused as exc:
            if exc.code // 100 != 2:
                raise
            return aiosmtplib.SMTPResponse(exc.code, exc.message)

    async def rset(self, **options: Any) -> aiosmtplib.SMTPResponse:
        """What the server said of the mail counts, whether or not it answers this."""
        try:
            return await super().rset(**options)
        except aiosmtplib.SMTPTimeoutError as exc:
            raise aiosmtplib.SMTPServerDisconnected(exc.message) from exc


#: How long an answer to the goodbye is waited for: mails that fall due meanwhile wait, too.
_GOODBYE_S = 2.0
#: So many answers that may tell of the server's own trouble, and no mail taken in between, say that they do.
_IN_A_ROW = 3


class SmtpMailer:
    """Sends over one connection that is kept while there is more to send."""

    def __init__(self, mail: Mail, *, answer_s: float = ANSWER_S) -> None:
        self.sender = mail.sender
        self._mail = mail
        self._timeout_s, self._answer_s = mail.timeout.total_seconds(), answer_s
        # Until the server has the mail each answer has the time-out, and all of it together has three.
        self._before_s = 3 * self._timeout_s
        self.longest_s = self._before_s + answer_s
        self._client: _Client | None = None
        self._put_off_in_a_row = 0

    async def send(self, message: EmailMessage, hand_over: HandOver) -> None:
        sender = message["From"].addresses[0].addr_spec
        recipient = message["To"].addresses[0].addr_spec
        try:
            async with asyncio.timeout(self._before_s) as limit:
                while True:
                    used = self._client is not None and self._client.is_connected
                    client = await self._connected()
                    client.limit, client.hand_over = limit, hand_over
                    try:
                        await client.send_message(message, sender=sender, recipients=[recipient])
                        break
                    except aiosmtplib.SMTPException as exc:
                        if not used or not _has_ended(client, exc):
                            raise
                        self._hang_up()
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as exc:
            raise self._given_up(exc) from exc
        except BaseException:
            self._hang_up()  # a server that waits for a mail would take the next command for its text
            raise
        self._put_off_in_a_row = 0

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _connected(self) -> _Client:
        if self._client is not None and self._client.is_connected:
            return self._client
        mail = self._mail
        client = _Client(
            hostname=mail.host,
            port=mail.port,
            username=mail.user,
            password=mail.password.reveal() if mail.password else None,
            timeout=self._timeout_s,
            use_tls=mail.tls == "tls",
            start_tls=mail.tls == "starttls",
        )
        client.answer_s = self._answer_s
        try:
            await client.connect()
        except OSError:
            raise
        except ValueError as exc:  # of the host, of the server's words: none of it is the mail's
            raise aiosmtplib.SMTPException(str(exc)) from exc
        self._client = client
        return client

    def _given_up(self, exc: BaseException) -> MailFailure:
        """After a refusal of the server the connection is good; after anything else it is not."""
        unanswered = self._client is not None and self._client.answer_owed
        if unanswered or _code(exc) // 100 not in (4, 5):
            self._hang_up()
        return MailUnanswered(_UNANSWERED) if unanswered else self._of_the_server(_verdict(exc))

    def _of_the_server(self, verdict: MailFailure) -> MailFailure:
        """A server that asks to slow down says so to each mail; one that is greylisted hears it alone."""
        if not isinstance(verdict, MailPutOff) or _OF_ONE_MAIL.search(str(verdict)):
            return verdict
        self._put_off_in_a_row += 1
        if self._put_off_in_a_row < _IN_A_ROW:
            return verdict
        return MailUnavailable(f"the mail server takes nothing for now: {verdict}")

    async def rest(self) -> None:
        self._put_off_in_a_row = 0
        try:
            if self._client is not None and self._client.is_connected:
                # Whatever goes wrong in saying goodbye, all mails have been answered for.
                with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                    await self._client.quit(timeout=min(self._timeout_s, _GOODBYE_S))
        finally:
            self._hang_up()


#: 4.1.x and 4.2.x are of the recipient's address and mailbox (RFC 3463 §3.2, §3.3). Greylisting, which each
#: new recipient meets, has no code of its own: servers give it 4.7.1, which is also "too many messages".
_OF_ONE_MAIL = re.compile(r"^4\d\d 4\.[12]\.|gr[ae]y-?list", re.IGNORECASE)
#: What is said to the sender's address is about that, but for this (RFC 1870 §6.1, RFC 3463 §3.3, §3.4).
_TOO_LARGE = re.compile(r"\b5\.(2\.3|3\.4)\b|message size", re.IGNORECASE)
_UNANSWERED = "the mail server did not say whether it took the mail"


def _verdict(exc: BaseException) -> MailFailure:
    """5xx on this recipient or this mail is for ever, 4xx is for now; all else is tried again.

    A refused sender, password or greeting is ours to mend, and must not cost anybody their mail.
    """
    match exc:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[first, *_]):
            return _by_code(first.code, first.message)
        case aiosmtplib.SMTPDataError():
            return _by_code(exc.code, exc.message)
        case aiosmtplib.SMTPSenderRefused(code=552) if _TOO_LARGE.search(exc.message):
            return _by_code(exc.code, exc.message)
        case aiosmtplib.SMTPNotSupported():
            return MailRefused("the mail server takes no addresses outside ASCII")
        case aiosmtplib.SMTPResponseException(code=-1):
            return MailUnavailable(f"the mail server's answer is no SMTP: {one_line(exc.message)}")
        case aiosmtplib.SMTPResponseException():
            return MailUnavailable(f"{exc.code} {one_line(exc.message)}")
        case ssl.SSLCertVerificationError():  # a ValueError, too
            return MailUnavailable(f"the mail server's certificate does not hold: {exc.verify_message}")
        case aiosmtplib.SMTPServerDisconnected():
            return MailUnavailable("the mail server closed the connection")
        case TimeoutError():
            return MailUnavailable("the mail server did not answer in time")
        case ValueError():
            return MailRefused("the stored address is not one that mail can be sent to")
        case _:
            return MailUnavailable(one_line(str(exc)) or type(exc).__name__)


def _has_ended(client: _Client, exc: aiosmtplib.SMTPException) -> bool:
    """Whether a connection that served for other mails has ended before it got this one: servers take so many
    over one."""
    if isinstance(exc, aiosmtplib.SMTPSenderRefused):
        return exc.code == aiosmtplib.SMTPStatus.domain_unavailable
    return isinstance(exc, aiosmtplib.SMTPServerDisconnected) and not client.answer_owed


def _code(exc: BaseException) -> int:
    """What the server answered; -1: nothing that it means by SMTP."""
    match exc:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[first, *_]):
            return first.code
        case aiosmtplib.SMTPResponseException():
            return exc.code
        case _:
            return -1


def _by_code(code: int, message: str) -> MailFailure:
    text = f"{code} {one_line(message)}"
    if 500 <= code < 600:
        return MailRefused(text)
    # 421: the server closes the connection, whatever it was asked (RFC 5321 §3.8).
    if 400 <= code < 500 and code != aiosmtplib.SMTPStatus.domain_unavailable:
        return MailPutOff(text)
    return MailUnavailable(text)
