"""The relay: sends the mails that transactions owe, each once, and again only where it must."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from scimd import log
from scimd.core.languages import moment, span
from scimd.core.links import sign
from scimd.core.people import OrgId
from scimd.org import deliveries
from scimd.org.deliveries import Delivery
from scimd.org.invitations import InvitedTo
from scimd.org.tx import Door
from scimd.outbox import notification
from scimd.outbox.mail import Mailer, MailRefused, MailUnavailable, compose, one_line

logger = log.get(__name__)
_BATCH = 20
_PATHS = {
    "invitation": "invitation",
    "set_password": "set-password",
    "confirm_address": "confirm-address",
}


async def run_once(door: Door, mailer: Mailer, public_url: str, org_id: OrgId | None = None) -> int:
    """Send what is due, of one organization or of all; gives how many mails left.

    A server that does not answer ends the round: the rest is due still, and tried in the next one.
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
    failed: MailUnavailable | None = None
    for delivery in batch:
        if failed is not None:
            await deliveries.put_off(door, delivery, str(failed))
            continue
        try:
            await mailer.send(_message(door, delivery, mailer.sender, public_url))
        except MailRefused as exc:
            logger.warning("mail_refused", delivery=delivery.id, org=delivery.org_id, why=str(exc))
            await deliveries.refused(door, delivery, str(exc))
        except MailUnavailable as exc:
            failed = exc
            await deliveries.put_off(door, delivery, str(exc))
        else:
            # The server has it: even a stop asked for right now must not make it a second mail.
            await asyncio.shield(deliveries.sent(door, delivery))
            sent += 1
    if failed is not None:
        raise failed
    return sent


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
