"""Return: somebody who was gone or Inactive is there again, or may be somebody else of that name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select, update

from scimd.core.events import Event, EventKind
from scimd.core.people import DecisionId, PersonId, SourceId
from scimd.db.among import among
from scimd.db.tables import decisions, grants, people, pictures
from scimd.org import labels
from scimd.org.authentication import credentials, sessions
from scimd.org.decisions.decisions import NewDecision, Option, close_moot, open_item
from scimd.org.grants import manual_grants
from scimd.org.invitations import invitation_upkeep
from scimd.org.tx import Tx
from scimd.org.users.names import local_names


def restore(tx: Tx, rows: Sequence[Row[Any]]) -> None:
    """Take the tombstones off these people, with a new local name where theirs is another's by now."""
    if not rows:
        return
    column = people.c
    taken = set(
        tx.conn.execute(
            select(column.local_user_name).where(
                column.org_id == tx.org_id,
                column.deleted_at.is_(None),
                among(tx.conn, column.local_user_name, [row.local_user_name for row in rows]),
            )
        ).scalars()
    )
    renamed = [row for row in rows if row.local_user_name in taken]
    names = dict(
        zip((row.id for row in renamed), local_names(tx, [r.local_user_name for r in renamed]), strict=True)
    )
    for row in rows:
        tx.conn.execute(
            update(people)
            .where(column.org_id == tx.org_id, column.id == row.id)
            .values(
                deleted_at=None,
                local_user_name=names.get(row.id, row.local_user_name),
                # Another may hold it by now; settling gives it back where it is free.
                sign_in_address=None,
                sign_in_key=None,
            )
        )
        tx.record(Event(EventKind.PERSON_RESTORED, "person", row.id))


def begin_anew(
    tx: Tx, person_ids: Sequence[PersonId], source_id: SourceId, approved: Collection[PersonId] = ()
) -> None:
    """Names and addresses are recycled: whoever comes back under one gets what the directory gives.

    Credentials, second factors, picture and the proof of the address are dropped, and the approval but
    of those in ``approved``; what became of invitations is forgotten; what a hand gave waits as an item.
    """
    if not person_ids:
        return
    credentials.drop_all(tx, person_ids)
    of_others = (pictures.c.org_id == tx.org_id) & among(tx.conn, pictures.c.person_id, person_ids)
    tx.conn.execute(pictures.delete().where(of_others))
    sessions.end_for(tx, person_ids, "returned")
    tx.conn.execute(
        update(people)
        .where(people.c.org_id == tx.org_id, among(tx.conn, people.c.id, person_ids))
        .values(accepted=False, address_verified_at=None, welcome="invitation")
    )
    invitation_upkeep.forget(tx, person_ids)
    if tx.book.rules.approval_required:
        doubtful = [person_id for person_id in person_ids if person_id not in approved]
        tx.conn.execute(
            update(people)
            .where(people.c.org_id == tx.org_id, among(tx.conn, people.c.id, doubtful))
            .values(approved=False)
        )
    by_person: dict[str, list[Mapping[str, Any]]] = {}
    for row in _take_back(tx, person_ids):
        by_person.setdefault(row.person_id, []).append(manual_grants.as_kept(row))
    if not by_person:
        return
    for person_id, before in _asked_before(tx, by_person).items():
        by_person[person_id] = _with_earlier(before, by_person[person_id])
    targets = {each["target"] for given in by_person.values() for each in given}
    names = labels.names_in(tx.conn, tx.org_id, targets | by_person.keys())
    for person_id, given in by_person.items():
        open_item(tx, _same_person(person_id, names, given, source_id))


def _asked_before(tx: Tx, person_ids: Collection[str]) -> dict[str, list[Mapping[str, Any]]]:
    """What the open questions of an earlier return would give back; they are closed, to be put anew."""
    column = decisions.c
    query = select(column.id, column.subject, column.facts, column.opened_at).where(
        column.org_id == tx.org_id,
        column.kind == "return",
        column.state == "open",
        among(tx.conn, column.subject, sorted(person_ids)),
    )
    rows = {DecisionId(row.id): row for row in tx.conn.execute(query)}
    closed = close_moot(tx, dict.fromkeys(rows, "They are back once more: it is asked anew."))
    return {
        row.subject: [
            each
            for each in row.facts["grants"]
            # A role of that name by now is another one; the new question cannot tell that any more.
            if not (
                each["kind"] == "role" and manual_grants.role_was_deleted(tx, each["target"], row.opened_at)
            )
        ]
        for row in (rows[each] for each in closed)
    }


def _with_earlier(
    before: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """What hands gave both times; of one thing, and of the one team, what was given last."""
    last = {
        (each["kind"], "" if each["kind"] == "team" else each["target"]): each for each in (*before, *given)
    }
    return list(last.values())


def _take_back(tx: Tx, person_ids: Sequence[PersonId]) -> Sequence[Row[Any]]:
    """End every grant by hand; gives the spans that it ended."""
    column = grants.c
    query = select(grants).where(
        column.org_id == tx.org_id,
        among(tx.conn, column.person_id, person_ids),
        column.origin == "manual",
        column.until.is_(None),
    )
    rows = tx.conn.execute(query.order_by(column.id)).all()
    manual_grants.end(tx, rows)
    return rows


def _same_person(
    person_id: str, names: Mapping[str, str], given: Sequence[Mapping[str, Any]], source_id: SourceId
) -> NewDecision:
    what = ", ".join(
        sorted(labels.of_grant(names, each["kind"], each["target"], each["project_role"]) for each in given)
    )
    return NewDecision(
        kind="return",
        subject=person_id,
        question=f"{names[person_id]} is back. Same person? Give back: {what}.",
        options=(
            Option("give_back", "The same person", f"Gives back: {what}."),
            Option("keep_new", "Somebody else", "Only what the directory gives."),
        ),
        facts={
            "person_id": person_id,
            "grants": list(given),
        },
        source_id=source_id,
    )
