"""Notices: mails that tell a person what was done with their account, owed where it is done.

They hold no link. What they tell of counts already, so that no staged source holds them; only whoever
could not come in yet is not told of an address that they never used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Row, Select, select

from scimd.core.people import PersonId
from scimd.db.among import among
from scimd.db.tables import deliveries, people
from scimd.org.tx import Tx

Notice = Literal["linked", "address_changed", "password_changed", "second_factor_changed"]


def linked(tx: Tx, source: str, person_ids: Sequence[PersonId]) -> None:
    """Tell people that a source manages them from now on."""
    if person_ids:
        _owe(tx, [("linked", row, row.sign_in_address, {"source": source}) for row in _rows(tx, person_ids)])


def address_changed(tx: Tx, row: Row[Any], new: str | None) -> None:
    """Tell both addresses, of somebody who has signed in or may. ``row``: the person as they were.

    Neither is told the other whole: a mailbox may be somebody else's by now.
    """
    if row.accepted or row.status == "active":
        told = {"old": veiled(row.sign_in_address), "new": veiled(new)}
        _owe(tx, [("address_changed", row, address, told) for address in (row.sign_in_address, new)])


def password_changed(tx: Tx, person_id: PersonId) -> None:
    """Tell a person that their password is another now. The first one, of an invitation, is no change."""
    _owe(tx, [("password_changed", row, row.sign_in_address, {}) for row in _rows(tx, [person_id])])


def second_factor_changed(tx: Tx, person_id: PersonId, what: str) -> None:
    """Tell a person what became of their second factors: ``what`` as "a passkey was added"."""
    told = {"what": what}
    rows = _rows(tx, [person_id])
    _owe(tx, [("second_factor_changed", row, row.sign_in_address, told) for row in rows])


def veiled(address: str | None) -> str | None:
    """``d…@acme.example``: enough for whoever has the address to know it."""
    if address is None:
        return None
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}…@{domain}"


def _rows(tx: Tx, person_ids: Sequence[PersonId]) -> Sequence[Row[Any]]:
    query: Select[Any] = select(people.c.id, people.c.sign_in_address).where(
        people.c.org_id == tx.org_id, among(tx.conn, people.c.id, person_ids), people.c.deleted_at.is_(None)
    )
    return tx.conn.execute(query.order_by(people.c.id)).all()


def _owe(tx: Tx, many: Iterable[tuple[Notice, Row[Any], str | None, Mapping[str, Any]]]) -> None:
    rows = [
        {
            "org_id": tx.org_id,
            "id": tx.new_id(),
            "kind": "mail",
            "template": template,
            "person_id": row.id,
            "address": address,
            "params": {**params, "at": tx.now.isoformat(timespec="minutes")},
            "state": "due",
            "first_change_at": tx.now,
            "due_at": tx.now,
            "created_at": tx.now,
        }
        for template, row, address, params in many
        if address
    ]
    if rows:
        tx.conn.execute(deliveries.insert(), rows)
