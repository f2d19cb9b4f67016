"""May this person come in now? The narrower of what is stored and what the facts say."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from scimd.core.people import OrgId, PersonId
from scimd.core.standing import Cause, CauseKind, Standing, Status, standing
from scimd.db.tables import people, unsettled
from scimd.org.rulebook import RuleBooks
from scimd.org.settling import facts

#: The cause that a job writes down soon (``gates.end_expired``).
_OVER = str(Cause(CauseKind.DEACTIVATED, "expiry"))


def fresh_standing(conn: Connection, books: RuleBooks, org_id: OrgId, person_id: PersonId) -> Standing | None:
    """The standing worked out from the facts as they are; None for nobody."""
    book = books.of(conn, org_id)
    rows = facts.people_rows(conn, org_id, [person_id])
    found = facts.gather(conn, book, rows).facts.get(person_id)
    return None if found is None else standing(found, book.rules)


def is_over(expires_at: datetime | None, now: datetime) -> bool:
    """Whether the end of a service account, its person's *expires_at*, has come, written down or not."""
    return expires_at is not None and expires_at <= now


def why_not(
    conn: Connection, books: RuleBooks, org_id: OrgId, person_id: PersonId, now: datetime
) -> str | None:
    """The strongest cause that keeps the person out; None for whoever may come in.

    Of a person who is marked as unsettled both the stored and the fresh standing must allow it.
    """
    row = conn.execute(
        select(people.c.status, people.c.causes, people.c.expires_at).where(
            people.c.org_id == org_id, people.c.id == person_id, people.c.deleted_at.is_(None)
        )
    ).first()
    if row is None:
        return "deleted"
    if row.status != Status.ACTIVE:
        return str(row.causes[0]) if row.causes else str(row.status)
    if is_over(row.expires_at, now):
        return _OVER
    if not _is_marked(conn, org_id, person_id):
        return None
    fresh = fresh_standing(conn, books, org_id, person_id)
    if fresh is None:
        return "deleted"
    return None if fresh.may_enter else str(fresh.causes[0])


def _is_marked(conn: Connection, org_id: OrgId, person_id: PersonId) -> bool:
    mark = select(unsettled.c.turn).where(unsettled.c.org_id == org_id, unsettled.c.person_id == person_id)
    return conn.execute(mark).first() is not None
