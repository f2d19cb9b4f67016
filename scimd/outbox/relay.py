"""The relay: sends the mails that transactions owe, each once, and again only where it must."""

from __future__ import annotations

import asyncio
from datetime import datetime
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from scimd import log
from scimd.core.links import sign
from scimd.core.people import OrgId
from scimd.org import deliveries
from scimd.org.deliveries import Delivery
from scimd.org.tx import Door
from scimd.outbox.mail import Mailer, MailRefused, MailUnavailable, compose

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


def _moment(at: datetime) -> str:
    return at.strftime("%A, %d %B %Y, %H:%M UTC")


def _message(door: Door, delivery: Delivery, sender: str, public_url: str) -> EmailMessage:
    """The mail, with its link made here: the token stands in no table and no log."""
    values: dict[str, Any] = {"delivery": delivery, "public_url": public_url}
    if delivery.link is not None:
        token = sign(delivery.link, door.keys.live(delivery.link.purpose))
        values["url"] = f"{public_url}/{_PATHS[delivery.template]}/{token}"
    if delivery.expires_at is not None:
        values["until"] = _moment(delivery.expires_at)
    if "at" in delivery.told:
        values["at"] = _moment(datetime.fromisoformat(delivery.told["at"]))
    return compose(
        delivery.template,
        values,
        sender=sender,
        name=delivery.display_name,
        address=delivery.address,
        message_id=f"<{delivery.id}@{urlsplit(public_url).hostname}>",
        date=door.clock(),
    )
