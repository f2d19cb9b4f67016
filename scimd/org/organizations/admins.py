"""The last Account Admin who can sign in is kept, at every door. A service account signs in nowhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Row, Select, select

from scimd.core.access import is_account_admin, protect_last_account_admin
from scimd.core.people import OrgId, PersonId
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.core.standing import Standing
from scimd.db.locks import lock_row
from scimd.db.tables import grants, people, seat_pools
from scimd.org.tx import Tx


def protect(
    tx: Tx,
    rows: Mapping[PersonId, Row[Any]],
    before: Mapping[PersonId, Standing | None],
    after: Mapping[PersonId, Standing],
) -> None:
    """Raise Protected if this settling leaves no Account Admin who can sign in."""
    were = {person_id for person_id, old in before.items() if old and _is_one(rows[person_id], old)}
    are = {person_id for person_id, new in after.items() if _is_one(rows[person_id], new)}
    lost = sorted(were - are)
    if not lost or are:
        return
    others = _others(tx, rows)
    protect_last_account_admin(others | were, others, rows[lost[0]].display_name)


def _is_one(row: Row[Any], standing: Standing) -> bool:
    return is_account_admin(standing) and row.kind == "person"


def _others(tx: Tx, apart_from: Collection[PersonId]) -> set[PersonId]:
    """Account Admins besides, as they are when nobody else is taking one away.

    Two who take away each other's last colleague meet in the row of the seats, which comes after all
    people in the order of locks: to lock those admins here would be another order than anybody's.
    """
    lock_row(tx.conn, seat_pools, org_id=tx.org_id)
    return _admins(tx) - set(apart_from)


def ids(org_id: OrgId) -> Select[Any]:
    """Who can sign in as an Account Admin now, be it by their primary role or by another of their set."""
    return (
        select(people.c.id)
        .join(grants, (grants.c.org_id == people.c.org_id) & (grants.c.person_id == people.c.id))
        .where(
            grants.c.org_id == org_id,
            grants.c.kind == "role",
            grants.c.target == ACCOUNT_ADMIN,
            grants.c.until.is_(None),
            grants.c.dormant.is_(False),
            people.c.kind == "person",
            people.c.status == "active",
            people.c.deleted_at.is_(None),
        )
    )


def _admins(tx: Tx) -> set[PersonId]:
    return {PersonId(person_id) for person_id in tx.conn.execute(ids(tx.org_id)).scalars()}


def last_of(tx: Tx, person_ids: Collection[PersonId]) -> set[PersonId]:
    """Those of these people who may not be taken away together: all Account Admins are among them."""
    found = _admins(tx)
    return found if found.issubset(person_ids) else set()
