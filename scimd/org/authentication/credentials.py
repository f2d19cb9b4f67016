"""Stored credentials: one Argon2id hash per person, and which kinds of second factors there are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId
from scimd.db.among import among
from scimd.db.locks import upsert
from scimd.db.tables import credentials, recovery_codes, second_factors
from scimd.org.tx import Tx


def set_password(tx: Tx, person_id: PersonId, hashed: str, *, short: bool = False) -> None:
    """Store the hash; it replaces an older one. ``short``: it needs a second factor beside it."""
    statement = upsert(
        tx.conn, credentials, key=("org_id", "person_id", "kind"), update=("secret", "short", "changed_at")
    )
    row = {"org_id": tx.org_id, "person_id": person_id, "kind": "password"}
    tx.conn.execute(statement, {**row, "secret": hashed, "short": short, "changed_at": tx.now})
    tx.record(Event(EventKind.PASSWORD_SET, "person", person_id))


def drop_password(tx: Tx, person_id: PersonId) -> None:
    """No password fits any more, until a new one is set by a link."""
    mine = (credentials.c.org_id == tx.org_id) & (credentials.c.person_id == person_id)
    done = tx.conn.execute(credentials.delete().where(mine, credentials.c.kind == "password"))
    if done.rowcount:
        tx.record(Event(EventKind.PASSWORD_DROPPED, "person", person_id))


def drop_all(tx: Tx, person_ids: Sequence[PersonId]) -> None:
    """Nothing by which these people came in opens anything any more: password, second factors, codes."""
    for person_id in person_ids:
        drop_password(tx, person_id)
    gone: dict[str, list[str]] = {}
    for table in (recovery_codes, second_factors):
        mine = (table.c.org_id == tx.org_id) & among(tx.conn, table.c.person_id, person_ids)
        for row in tx.conn.execute(table.delete().where(mine).returning(*table.c)):
            if table is second_factors:
                gone.setdefault(row.person_id, []).append(row.kind)
    for owner, kinds in sorted(gone.items()):
        before = {"kinds": sorted(kinds)}
        tx.record(Event(EventKind.SECOND_FACTOR_REMOVED, "person", owner, before=before))


def password_of(conn: Connection, org_id: OrgId, person_id: PersonId) -> str | None:
    """The stored hash; None for somebody without a password."""
    return conn.execute(
        select(credentials.c.secret).where(
            credentials.c.org_id == org_id,
            credentials.c.person_id == person_id,
            credentials.c.kind == "password",
        )
    ).scalar_one_or_none()


def has_short_password(conn: Connection, org_id: OrgId, person_id: PersonId) -> bool:
    """Whether the person's password is good enough beside a second factor only."""
    query = select(credentials.c.short).where(
        credentials.c.org_id == org_id,
        credentials.c.person_id == person_id,
        credentials.c.kind == "password",
    )
    return bool(conn.execute(query).scalar())


def kinds_of(conn: Connection, org_id: OrgId, person_id: PersonId) -> tuple[str, ...]:
    """What completes a sign-in of this person; empty: they have no second factor."""
    query = select(second_factors.c.kind).where(
        second_factors.c.org_id == org_id, second_factors.c.person_id == person_id
    )
    return tuple(sorted(set(conn.execute(query).scalars())))
