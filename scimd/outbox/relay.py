"""The relay: sends the mails that transactions owe, each once, and again only where it must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from email.message import EmailMessage
from functools import partial
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from scimd import log
from scimd.core.errors import DatabaseUnavailable, Overloaded, StorageFull
from scimd.core.languages import moment, span
from scimd.core.links import sign
from scimd.core.people import OrgId
from scimd.org.invitations.invitations import InvitedTo
from scimd.org.mails import deliveries
from scimd.org.mails.deliveries import Delivery
from scimd.org.tx import Door
from scimd.outbox import notification
from scimd.outbox.mail import (
    Mailer,
    MailPutOff,
    MailRefused,
    MailUnanswered,
    MailUnavailable,
    compose,
    one_line,
)

logger = log.get(__name__)
_BATCH = 20
#: Pauses before what became of a mail is written again.
_AGAIN_S, _AGAIN_AT_MOST_S = 0.1, 2.0
#: How long a stop waits for it.
_AT_THE_END_S = 3.0
P = ParamSpec("P")
T = TypeVar("T")
_PATHS = {
    "invitation": "invitation",
    "set_password": "set-password",
    "confirm_address": "confirm-address",
}


async def run_once(door: Door, mailer: Mailer, public_url: str, org_id: OrgId | None = None) -> int:
    """Send what is due, of one organization or of all; gives how many mails left.

    A server that is away or takes nothing ends the round: the rest of the batch is put off, all else is due.
    """
    sent = 0
    try:
        for org in [org_id] if org_id is not None else await deliveries.organizations_with_due(door):
            while batch := await deliveries.take_due(door, org, _BATCH):
                sent += await _send_all(door, mailer, public_url, batch)
    except MailUnavailable as exc:
        logger.warning("mail_server_unavailable", why=str(exc))
    finally:
        await mailer.rest()
    return sent


async def _send_all(door: Door, mailer: Mailer, public_url: str, batch: list[Delivery]) -> int:
    sent = 0
    away: MailUnavailable | None = None
    for delivery in batch:
        if away is not None:
            await _written(deliveries.put_off, door, delivery, str(away))
            continue
        match await _written(deliveries.begin, door, delivery, mailer.longest_s):
            case "leave":
                continue
            case "refused":
                why = deliveries.NEVER_ANSWERED
                logger.warning("mail_refused", delivery=delivery.id, org=delivery.org_id, why=why)
                continue
        try:
            message = _made(door, delivery, mailer.sender, public_url)
            await mailer.send(message, partial(_hand_over, door, delivery))
        except _TakenByAnother:
            continue
        except MailRefused as exc:
            logger.warning("mail_refused", delivery=delivery.id, org=delivery.org_id, why=str(exc))
            await _written(deliveries.refused, door, delivery, str(exc))
        except MailPutOff as exc:
            logger.info("mail_put_off", delivery=delivery.id, org=delivery.org_id, why=str(exc))
            await _written(deliveries.put_off, door, delivery, str(exc))
        except MailUnavailable as exc:
            away = exc
            lost = isinstance(exc, MailUnanswered)
            await _written(deliveries.put_off, door, delivery, str(exc), unanswered=lost)
        else:
            await _to_the_end(_written(deliveries.sent, door, delivery))
            sent += 1
    if away is not None:
        raise away
    return sent


class _TakenByAnother(Exception):
    """The mail is not ours any more."""


async def _hand_over(door: Door, delivery: Delivery) -> None:
    if not await _written(deliveries.hand_over, door, delivery):
        raise _TakenByAnother


async def _written(write: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **options: P.kwargs) -> T:
    """What became of a mail, written down; again and again while the database is away.

    Nothing else knows what the mail server said: who left now would send what has arrived once more.
    """
    pause_s = _AGAIN_S
    while True:
        try:
            return await write(*args, **options)
        except (DatabaseUnavailable, Overloaded, StorageFull) as exc:
            if pause_s == _AGAIN_S:
                logger.warning("mail_not_noted", code=exc.code, why=exc.detail)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _AGAIN_AT_MOST_S)


async def _to_the_end(noting: Coroutine[Any, Any, None]) -> None:
    """The server has the mail: even a stop asked for right now must not make it a second one."""
    task = asyncio.ensure_future(noting)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_AT_THE_END_S)
        task.cancel()
        raise


def _made(door: Door, delivery: Delivery, sender: str, public_url: str) -> EmailMessage:
    """The mail; one that a defect of ours keeps from being made waits alone."""
    try:
        return _message(door, delivery, sender, public_url)
    except (MailRefused, MailUnavailable):
        raise
    except Exception as exc:
        logger.exception("mail_failed", delivery=delivery.id, org=delivery.org_id)
        raise MailPutOff(f"the mail could not be made: {type(exc).__name__}") from exc


def _message(door: Door, delivery: Delivery, sender: str, public_url: str) -> EmailMessage:
    """The mail, with its link made here: the token stands in no table and no log."""
    delivery, language, now = _in_lines(delivery), delivery.language, door.clock()
    values: dict[str, Any] = {"delivery": delivery, "public_url": public_url}
    if delivery.link is not None:
        token = sign(delivery.link, door.keys.live(delivery.link.purpose))
        values["url"] = f"{public_url}/{_PATHS[delivery.template]}/{token}"
    if delivery.expires_at is not None:
        values["until"] = moment(delivery.expires_at, language)
        values["span"] = span(delivery.expires_at - now, language)
    if "at" in delivery.told:
        values["at"] = moment(datetime.fromisoformat(delivery.told["at"]), language)
    if delivery.template == "notification":
        values |= notification.words(delivery, values["at"])
    return compose(
        delivery.template,
        values,
        language=language,
        sender=sender,
        name=delivery.display_name,
        address=delivery.address,
        message_id=f"<{delivery.id}@{urlsplit(public_url).hostname}>",
        date=now,
    )


def _in_lines(delivery: Delivery) -> Delivery:
    """No name begins a line of its own in the text part, where it could say anything.

    The inviter's message may: it is shown as theirs.
    """
    return replace(
        delivery,
        organization=one_line(delivery.organization),
        display_name=one_line(delivery.display_name),
        invited_by=one_line(delivery.invited_by or ""),
        team=one_line(delivery.team or ""),
        role=one_line(delivery.role or ""),
        projects=tuple(InvitedTo(one_line(each.name), one_line(each.role)) for each in delivery.projects),
        told={key: one_line(text) if isinstance(text, str) else text for key, text in delivery.told.items()},
    )
