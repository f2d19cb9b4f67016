"""Forgotten passwords: a mail with a link for whoever may have one, and one answer for everybody."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import func, select

from scimd.core.people import OrgId, PersonId, address_key
from scimd.core.standing import Status
from scimd.db.tables import links, organizations, people
from scimd.org import lately
from scimd.org.authentication import attempts, sessions, sign_in
from scimd.org.authentication.links import owe_set_password
from scimd.org.settling import admission
from scimd.org.tx import Door, Tx

#: Every answer takes this long: the work behind it takes a fraction, and more for some than for others.
_TAKES_S = 0.4
_PER_HOUR = 3
_ORGANIZATIONS = 5


async def ask(door: Door, address: str, *, org_slug: str | None, ip: str) -> None:
    """Owe the mail where the address is somebody's who may come in, here or in the named organization.

    Whether it is, nobody learns. Raises TooManyRequests, alike for known and unknown addresses.
    """
    outcome, _ = await asyncio.gather(
        _ask(door, sign_in.as_text(address), org_slug, ip), asyncio.sleep(_TAKES_S), return_exceptions=True
    )
    if isinstance(outcome, BaseException):
        raise outcome


async def _ask(door: Door, address: str, org_slug: str | None, ip: str) -> None:
    for org_id, person_id in await _who(door, address, org_slug):
        ctx = sessions.arriving(door, org_id, person_id or "", address)

        def body(tx: Tx, person_id: PersonId | None = person_id) -> None:
            attempt_id = attempts.begin(tx, person_id, address, ip)
            attempts.close(tx, attempt_id, success=False, reason="asked for a new password")
            if person_id is not None and _may(tx, person_id):
                owe_set_password(tx, person_id, _address(tx, person_id))

        await door.run(ctx, body)


async def _who(door: Door, address: str, org_slug: str | None) -> list[tuple[OrgId, PersonId | None]]:
    """Whose address it is, by organization; of nobody's the operators' own keeps the count."""
    living = (people.c.org_id == organizations.c.id) & (people.c.sign_in_key == address_key(address))
    query = (
        select(organizations.c.id, people.c.id.label("person_id"))
        .join(people, living & people.c.deleted_at.is_(None))
        # Who only waits there could not use a link.
        .order_by(people.c.status != Status.ACTIVE, organizations.c.slug)
        .limit(_ORGANIZATIONS)
    )
    if org_slug is not None:
        query = query.where(organizations.c.slug == org_slug)
    found = await door.read(lambda conn: conn.execute(query).all())
    if found:
        return [(OrgId(row.id), PersonId(row.person_id)) for row in found]
    system = select(organizations.c.id).where(organizations.c.kind == "system")
    org_id = await door.read(lambda conn: conn.execute(system).scalar())
    return [] if org_id is None else [(OrgId(org_id), None)]


def _may(tx: Tx, person_id: PersonId) -> bool:
    """Whoever may come in, three times an hour: the mailbox is not to be filled by strangers."""
    made = select(func.count()).where(
        links.c.org_id == tx.org_id,
        links.c.person_id == person_id,
        links.c.purpose == "set_password",
        lately.happened(links.c.created_at, tx.now, timedelta(hours=1)),
    )
    few = tx.conn.execute(made).scalar_one() < _PER_HOUR
    return few and admission.why_not(tx.conn, tx.books, tx.org_id, person_id, tx.now) is None


def _address(tx: Tx, person_id: PersonId) -> str:
    """As stored, not as typed: two spellings of one address may be two mailboxes."""
    query = select(people.c.sign_in_address).where(people.c.org_id == tx.org_id, people.c.id == person_id)
    return str(tx.conn.execute(query).scalar_one())
