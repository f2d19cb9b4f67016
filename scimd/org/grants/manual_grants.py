"""Grants by hand: given, ended, and given back to who had them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, select, update

from scimd.core.events import Event, EventKind, grant_values
from scimd.core.grants import Grant, Origin
from scimd.core.people import PersonId, RoleName
from scimd.core.roles import EffectKind
from scimd.db.among import among
from scimd.db.locks import hold_row
from scimd.db.tables import events, grants, licences, projects, roles, teams
from scimd.org.settling import standing_rows
from scimd.org.tx import Tx
from scimd.org.users import by_hand

_THINGS: Mapping[EffectKind, tuple[ColumnElement[Any], ColumnElement[Any]]] = {
    "role": (roles.c.org_id, roles.c.name),
    "project": (projects.c.org_id, projects.c.id),
    "team": (teams.c.org_id, teams.c.id),
    "licence": (licences.c.org_id, licences.c.id),
}


def is_there(tx: Tx, kind: EffectKind, target: str) -> bool:
    """Whether what a hand is about to give is there; then nobody deletes it until it is given."""
    org_id, key = _THINGS[kind]
    return hold_row(tx.conn, select(key).where(org_id == tx.org_id, key == target)) is not None


def give(
    tx: Tx, person_id: PersonId, kind: EffectKind, target: str, by: str, project_role: RoleName | None = None
) -> None:
    """Write a grant by hand as a fact, tell the audit, and have the person settled."""
    tx.conn.execute(
        grants.insert().values(
            org_id=tx.org_id,
            id=tx.new_id(),
            person_id=person_id,
            kind=kind,
            target=target,
            project_role=project_role,
            origin="manual",
            origin_by=by,
            rules_version=tx.book.rules.version,
            since=tx.now,
        )
    )
    after = grant_values(Grant(kind, target, project_role, Origin("manual", by)))
    tx.record(Event(EventKind.GRANT_GIVEN, "person", person_id, after=after))
    tx.created.discard(person_id)
    tx.touch([person_id])


def end(tx: Tx, rows: Sequence[Row[Any]]) -> None:
    """End these grants by hand, whole rows of ``grants``, tell the audit, and have who held them settled."""
    if not rows:
        return
    ended = among(tx.conn, grants.c.id, [row.id for row in rows])
    tx.conn.execute(update(grants).where(grants.c.org_id == tx.org_id, ended).values(until=tx.now))
    for row in rows:
        before = grant_values(standing_rows.grant_of(row))
        tx.record(Event(EventKind.GRANT_TAKEN, "person", row.person_id, before=before))
        tx.leaving.add(PersonId(row.person_id))


def as_kept(row: Row[Any]) -> dict[str, Any]:
    """A grant by hand as it is kept to be given back."""
    return {
        "kind": row.kind,
        "target": row.target,
        "project_role": row.project_role,
        "by": row.origin_by,
    }


def give_back(
    tx: Tx, person_id: PersonId, given: Sequence[Mapping[str, Any]], kept_since: datetime
) -> list[Mapping[str, Any]]:
    """Give from now on what hands gave, as ``as_kept`` tells it, by the same hands; gives what was.

    What a hand has given by now is not given twice; each is in one team, and a present one stays. What was
    deleted after ``kept_since`` is gone, whatever has its name by now. Raises Forbidden for a
    role that the caller could not give.
    """
    column = grants.c
    query = select(column.kind, column.target, column.project_role).where(
        column.org_id == tx.org_id,
        column.person_id == person_id,
        column.origin == "manual",
        column.until.is_(None),
    )
    held = {(row.kind, row.target, row.project_role) for row in tx.conn.execute(query)}
    in_team = any(kind == "team" for kind, _, _ in held)
    missing = [
        each
        for each in given
        if (each["kind"], each["target"], each["project_role"]) not in held
        and not (in_team and each["kind"] == "team")
        and is_there(tx, each["kind"], each["target"])
        and not (each["kind"] == "role" and role_was_deleted(tx, each["target"], kept_since))
    ]
    for each in missing:
        if each["kind"] == "role":
            by_hand.must_hold_role(tx.ctx, tx.book.rules, each["target"])
        role = RoleName(each["project_role"]) if each["project_role"] else None
        give(tx, person_id, each["kind"], each["target"], each["by"], role)
    return missing


def role_was_deleted(tx: Tx, role: str, since: datetime) -> bool:
    """Whether the role was deleted since then; one that was made of its name is another one."""
    event = events.c
    query = select(event.id).where(
        event.org_id == tx.org_id,
        event.target_id == role,
        event.kind == EventKind.ROLE_DELETED,
        event.at >= since,
    )
    return tx.conn.execute(query.limit(1)).first() is not None
