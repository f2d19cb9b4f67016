"""The organization's generation, by which all that is cached of its rules is cached."""

from __future__ import annotations

from sqlalchemy import update

from scimd.db.tables import organizations
from scimd.org.tx import Tx


def bump(tx: Tx) -> int:
    """Raise it to a number that it never had; gives that. Whoever began before goes on under the rules as
    they were."""
    org = organizations.c
    statement = update(organizations).where(org.id == tx.org_id).values(generation=org.generation + tx.step)
    tx.forget_book()
    return int(tx.conn.execute(statement.returning(org.generation)).scalar_one())
