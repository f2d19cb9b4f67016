"""The last Account Admin who can sign in is kept, at every door."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Row, select

from scimd.core.access import is_account_admin, protect_last_account_admin
from scimd.core.people import PersonId
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.core.standing import Standing
from scimd.db.among import among
from scimd.db.locks import lock_rows
from scimd.db.tables import people
from scimd.org.tx import Tx


def protect(
    tx: Tx,
    rows: Mapping[PersonId, Row[Any]],
    before: Mapping[PersonId, Standing | None],
    after: Mapping[PersonId, Standing],
) -> None:
    """Raise Protected if this settling leaves no Account Admin who can sign in."""
    were = {person_id for person_id, old in before.items() if old is not None and is_account_admin(old)}
    are = {person_id for person_id, new in after.items() if is_account_admin(new)}
    lost = sorted(were - are)
    if not lost or are:
        return
    others = _others(tx, rows)
    protect_last_account_admin(others | were, others, rows[lost[0]].display_name)


def _others(tx: Tx, apart_from: Collection[PersonId]) -> set[PersonId]:
    """Account Admins besides, locked: two who take away each other's last colleague must meet."""
    return {person_id for person_id in _admins(tx) if person_id not in apart_from}


def _admins(tx: Tx) -> set[PersonId]:
    column = people.c
    query = select(column.id, column.roles).where(
        column.org_id == tx.org_id,
        column.status == "active",
        column.deleted_at.is_(None),
        column.primary_role != "user",
    )
    return {
        PersonId(row.id)
        for row in lock_rows(tx.conn, query.order_by(column.id))
        if ACCOUNT_ADMIN in row.roles
    }


def last_of(tx: Tx, person_ids: Collection[PersonId]) -> set[PersonId]:
    """Those of these people who may not be taken away together: all Account Admins are among them."""
    column = people.c
    held = tx.conn.execute(
        select(column.id, column.roles).where(
            column.org_id == tx.org_id,
            among(tx.conn, column.id, list(person_ids)),
            column.status == "active",
            column.primary_role != "user",
        )
    )
    concerned = {PersonId(row.id) for row in held if ACCOUNT_ADMIN in row.roles}
    return concerned if concerned and _admins(tx) <= concerned else set()
