"""Mails: made from templates, and handed to a mail server or written into a folder.

A mail is an ``EmailMessage``, which refuses line breaks in headers and encodes names of any script.
It has an HTML and a text part that say the same; styles are inlined, nothing is loaded from outside.
"""

from __future__ import annotations

import asyncio
import os
import re
import unicodedata
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime, parseaddr
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import aiosmtplib
import css_inline
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from scimd import translations
from scimd.config import Mail
from scimd.core.languages import Language
from scimd.core.people import address as one_address


class MailRefused(Exception):
    """The server will never take this mail; the text is its reason."""


class MailUnavailable(Exception):
    """It could not be sent now; the text says why."""


class Mailer(Protocol):
    """``sender`` is the From of every mail."""

    sender: str

    async def send(self, message: EmailMessage) -> None:
        """Send one mail to its one recipient. Raises MailRefused and MailUnavailable, nothing else."""
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
    try:
        return Address(one_line(name), addr_spec=address)
    except (ValueError, IndexError) as exc:
        raise MailRefused("the stored address is not one that mail can be sent to") from exc


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

    def __init__(self, mail: Mail) -> None:
        self.sender = mail.sender
        self._folder = mail.folder or Path()

    async def send(self, message: EmailMessage) -> None:
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as exc:
            raise MailUnavailable(f"the folder {self._folder} cannot be written: {exc.strerror}") from exc

    def _write(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        to = re.sub(r"[^a-zA-Z0-9.@-]+", "_", message["To"].addresses[0].addr_spec)[:80]
        mail_id = re.sub(r"[^a-zA-Z0-9-]+", "", message["Message-ID"].partition("@")[0])
        path = self._folder / f"{to}-{mail_id}.eml"
        draft = path.with_suffix(".part")
        # It holds links that let people in: nobody else reads it.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(message.as_bytes(policy=WIRE))
        draft.replace(path)

    async def rest(self) -> None:
        """A folder needs no rest."""


class SmtpMailer:
    """Sends over one connection that is kept while there is more to send."""

    def __init__(self, mail: Mail) -> None:
        self.sender = mail.sender
        self._mail = mail
        self._client: aiosmtplib.SMTP | None = None

    async def send(self, message: EmailMessage) -> None:
        sender = message["From"].addresses[0].addr_spec
        recipient = message["To"].addresses[0].addr_spec
        timeout_s = self._mail.timeout.total_seconds()
        try:
            # Each answer has the time-out; all of it together has three.
            async with asyncio.timeout(3 * timeout_s):
                client = await self._connected(timeout_s)
                await client.send_message(message, sender=sender, recipients=[recipient])
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as exc:
            await self._drop(exc)
            raise _verdict(exc) from exc

    async def _connected(self, timeout_s: float) -> aiosmtplib.SMTP:
        if self._client is not None and self._client.is_connected:
            return self._client
        mail = self._mail
        client = aiosmtplib.SMTP(
            hostname=mail.host,
            port=mail.port,
            username=mail.user,
            password=mail.password.reveal() if mail.password else None,
            timeout=timeout_s,
            use_tls=mail.tls == "tls",
            start_tls=mail.tls == "starttls",
        )
        await client.connect()
        self._client = client
        return client

    async def _drop(self, exc: BaseException) -> None:
        """After an answer of the server the connection is good; after anything else it is not."""
        if not isinstance(exc, aiosmtplib.SMTPResponseException | aiosmtplib.SMTPRecipientsRefused):
            client, self._client = self._client, None
            if client is not None:
                client.close()

    async def rest(self) -> None:
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            # Whatever goes wrong in saying goodbye, all mails have been answered for.
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await client.quit()


def _verdict(exc: BaseException) -> MailRefused | MailUnavailable:
    """5xx on this recipient or this mail is for ever; all else is tried again.

    A refused sender, password or greeting is ours to mend, and must not cost anybody their mail.
    """
    match exc:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[first, *_]):
            return _by_code(first.code, first.message)
        case aiosmtplib.SMTPDataError():
            return _by_code(exc.code, exc.message)
        case aiosmtplib.SMTPNotSupported():
            return MailRefused("the mail server takes no addresses outside ASCII")
        case aiosmtplib.SMTPResponseException():
            return MailUnavailable(f"{exc.code} {one_line(exc.message)}")
        case ValueError():
            return MailRefused("the stored address is not one that mail can be sent to")
        case TimeoutError():
            return MailUnavailable("the mail server did not answer in time")
        case _:
            return MailUnavailable(one_line(str(exc)) or type(exc).__name__)


def _by_code(code: int, message: str) -> MailRefused | MailUnavailable:
    text = f"{code} {one_line(message)}"
    return MailRefused(text) if 500 <= code < 600 else MailUnavailable(text)
