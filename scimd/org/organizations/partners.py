"""Partners: organizations of their own whose people approve newcomers of others.

A partner sees of those organizations nothing but the queue: name, address and source of people who
wait for approval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from scimd.core.errors import NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId, RoleName
from scimd.db.locks import insert_ignore
from scimd.db.tables import organizations as table
from scimd.db.tables import partner_queues, people, roles, sources
from scimd.org import permissions
from scimd.org.organizations import organizations, partner_approvals
from scimd.org.organizations.organizations import NewOrganization, OrganizationRecord
from scimd.org.tx import Actor, Claim, Context, Door, DoorName, Tx

#: The role of a partner's people that lets them approve.
APPROVER = RoleName("approver")


@dataclass(frozen=True, slots=True)
class Queue:
    """One partner and one organization whose queue it sees."""

    partner: str
    organization: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who waits for approval, as far as the partner may see them."""

    organization: str
    person_id: PersonId
    display_name: str
    address: str | None
    source: str | None
    since: datetime


async def create(
    door: Door,
    slug: str,
    display_name: str | None,
    actor: Actor,
    door_name: DoorName = "cli",
    once: Claim | None = None,
) -> OrganizationRecord:
    """Make a partner: an organization with the role *approver*, without seats to count.

    Raises NotUnique, InvalidValue.
    """
    new = NewOrganization(slug, display_name, default_project=None, kind="partner")
    made = await organizations.create(door, new, actor, door_name, once)
    ctx = Context(made.id, actor, door_name, made.id)
    await door.run(ctx, _make_role)
    return made


def _make_role(tx: Tx) -> None:
    row = {
        "org_id": tx.org_id,
        "name": APPROVER,
        "label": "Approver",
        "permissions": ["partner.approve"],
        "may_hold_projects": False,
        "built_in": False,
    }
    tx.conn.execute(insert_ignore(tx.conn, roles), row)


async def assign(door: Door, ctx: Context, partner_slug: str) -> None:
    """Show the queue of ``ctx``'s organization to the partner. An operator's; twice changes nothing.

    Raises Forbidden, NotFound, NotAllowedNow for an organization that is no partner.
    """
    permissions.require_operator(ctx, "organization.manage")
    partner = await _partner(door, partner_slug)

    def body(tx: Tx) -> None:
        row = {"org_id": partner.id, "customer_id": tx.org_id, "since": tx.now}
        if tx.conn.execute(insert_ignore(tx.conn, partner_queues), row).rowcount:
            after = {"partner": partner.slug}
            tx.record(Event(EventKind.PARTNER_ASSIGNED, "organization", tx.org_id, after=after))

    await door.run(ctx, body)


async def unassign(door: Door, ctx: Context, partner_slug: str) -> None:
    """Take the queue away from the partner again. Raises NotFound where it never saw it."""
    permissions.require_operator(ctx, "organization.manage")
    partner = await _partner(door, partner_slug)

    def body(tx: Tx) -> None:
        mine = (partner_queues.c.org_id == partner.id) & (partner_queues.c.customer_id == tx.org_id)
        if tx.conn.execute(partner_queues.delete().where(mine)).rowcount == 0:
            raise NotFound("queue of this partner", partner.slug)
        before = {"partner": partner.slug}
        tx.record(Event(EventKind.PARTNER_UNASSIGNED, "organization", tx.org_id, before=before))

    await door.run(ctx, body)


async def _partner(door: Door, slug: str) -> OrganizationRecord:
    found = await organizations.by_slug(door, slug)
    if found.kind != "partner":
        raise NotAllowedNow(f"{slug} is not a partner. Make one with: scimd partner create NAME")
    return found


async def list_queues(door: Door) -> list[Queue]:
    """Which partner sees which organization's queue."""
    partner, customer = table.alias(), table.alias()
    query = (
        select(partner.c.slug.label("partner"), customer.c.slug.label("customer"), partner_queues.c.since)
        .join(partner, partner.c.id == partner_queues.c.org_id)
        .join(customer, customer.c.id == partner_queues.c.customer_id)
        .order_by(partner.c.slug, customer.c.slug)
    )
    rows = await door.read(lambda conn: conn.execute(query).all())
    return [Queue(row.partner, row.customer, row.since) for row in rows]


async def queue(door: Door, partner_id: OrgId, *, limit: int = 200) -> list[Waiting]:
    """Who waits for this partner's approval, the longest waiting first."""
    person = people.c
    query = (
        select(person.id, person.display_name, person.sign_in_address, person.created_at)
        .add_columns(table.c.slug, sources.c.name.label("source"))
        .join(partner_queues, partner_queues.c.customer_id == person.org_id)
        .join(table, table.c.id == person.org_id)
        .outerjoin(sources, (sources.c.org_id == person.org_id) & (sources.c.id == person.owner_source_id))
        .where(
            partner_queues.c.org_id == partner_id,
            table.c.approval_required,
            person.approved.is_(False),
            person.deleted_at.is_(None),
            person.status == "pending",
        )
        .order_by(person.created_at, person.id)
        .limit(limit)
    )
    rows = await door.read(lambda conn: conn.execute(query).all())
    return [_waiting(row) for row in rows]


def _waiting(row: Row[Any]) -> Waiting:
    return Waiting(
        row.slug, PersonId(row.id), row.display_name, row.sign_in_address, row.source, row.created_at
    )


async def approve(door: Door, ctx: Context, org_slug: str, person_id: PersonId) -> None:
    """A partner's word on somebody in its queue: acts in their organization, in the caller's name.

    Raises Forbidden without ``partner.approve``; NotFound for an organization whose queue the partner
    does not see, as for one that is not there.
    """
    permissions.require(ctx, "partner.approve")
    query = (
        select(table.c.id)
        .join(partner_queues, partner_queues.c.customer_id == table.c.id)
        .where(partner_queues.c.org_id == ctx.org_id, table.c.slug == org_slug)
    )
    found = await door.read(lambda conn: conn.execute(query).scalar())
    if found is None:
        raise NotFound("organization", org_slug)
    there = replace(ctx, org_id=OrgId(found), permissions=frozenset({"partner.approve"}))
    await partner_approvals.approve(door, there, person_id)
