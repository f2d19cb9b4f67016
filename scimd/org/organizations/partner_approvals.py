"""Partner approval: in organizations that require it, nobody comes in before a partner has said yes.

Approval is a local fact: no identity provider gives it, and none takes it away.
"""

from __future__ import annotations

from sqlalchemy import update

from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId
from scimd.core.standing import Status
from scimd.db.last_changed import not_before
from scimd.db.tables import people
from scimd.org import permissions
from scimd.org.authentication import links
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand


async def approve(door: Door, ctx: Context, person_id: PersonId) -> None:
    """Approve the person, who then queues for a seat. Approving twice changes nothing.

    Raises Forbidden without ``partner.approve``, NotFound.
    """
    permissions.require(ctx, "partner.approve")

    def body(tx: Tx) -> None:
        row = by_hand.locked(tx, person_id)
        if row.approved:
            return
        tx.conn.execute(
            update(people)
            .where(people.c.org_id == tx.org_id, people.c.id == person_id)
            .values(approved=True, changed_at=not_before(row.changed_at, tx.now))
        )
        waits = row.welcome != "invitation" and not row.accepted
        # Who is Inactive is sent theirs when they are brought back.
        if waits and row.sign_in_address and row.status != Status.INACTIVE:
            links.owe_set_password(tx, person_id, row.sign_in_address)
        tx.touch([person_id])
        tx.record(
            Event(EventKind.PERSON_APPROVED, "person", person_id, {"approved": False}, {"approved": True})
        )

    await door.run(ctx, body)
