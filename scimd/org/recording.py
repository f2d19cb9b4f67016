"""Recording what a source says of users: many at once, each refused alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from scimd.core.errors import NotUnique, Protected
from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId
from scimd.core.resource import unpack
from scimd.core.sync.match import losers
from scimd.db.among import among, one_of
from scimd.db.prepared import Prepared
from scimd.db.tables import assertions, gates, people
from scimd.org import admins, member_rows, names, notices, returning
from scimd.org.candidates import Near
from scimd.org.incoming import Asserted, AssertUser, Work, columns, prepare
from scimd.org.matching import find_people
from scimd.org.rulebook import SourceBook
from scimd.org.tx import Tx


def record_users(tx: Tx, many: Sequence[AssertUser], *, fresh: bool = False) -> list[Asserted]:
    """Record what ``tx.ctx.source_id`` says of these users, and have the people settled.

    A handful of statements, whatever their number (meant for up to 200). A row that is bad, collides
    or is a double is refused alone; ``fresh`` refuses those that the source asserts already. Names
    and external ids may swap and ring within ``many``. One outcome each, in order.
    """
    source = tx.book.source(tx.ctx.source_id)
    rows = [prepare(wish, source.users) for wish in many]
    work = [row for row in rows if row.refusal is None]
    found = find_people(tx, source, work, fresh=fresh)
    work = [row for row in work if row.refusal is None]
    _protect_last_admins(tx, work)
    _contest(tx, work, found)
    work = [row for row in work if row.refusal is None]
    changed = [row for row in work if not row.same() or row.outcome in ("returned", "linked")]
    moved = set(changed)
    _write(tx, source, changed)
    _note(tx, source, [row for row in work if row not in moved])
    _touch(tx, source, changed)
    return [row.result() for row in rows]


def record_apart(tx: Tx, source: SourceBook, wish: AssertUser) -> PersonId:
    """Record the entry as a new person, whoever the rules of matching would take it for."""
    row = prepare(wish, source.users)
    if row.refusal is not None:
        raise row.refusal
    row.person_id = PersonId(tx.new_id())
    _write(tx, source, [row])
    _touch(tx, source, [row])
    return row.person_id


# ------------------------------------------------------------------------------ who may not


def _protect_last_admins(tx: Tx, work: Sequence[Work]) -> None:
    """In a sync the row that would take the last admin away is refused alone; SCIM is refused whole."""
    if tx.ctx.door == "scim":
        return
    leaving = [row for row in work if not row.keys.active and row.was_live and row.old and row.old.active]
    kept = admins.last_of(tx, [row.id for row in leaving]) if leaving else set()
    for row in leaving:
        if row.id in kept:
            row.refuse(Protected(row.keys.display_name, "no other Account Admin could sign in"))


def _contest(tx: Tx, work: Sequence[Work], found: Near) -> None:
    """Refuse who wants a userName or an external id that another entry keeps."""
    by_id = {row.id: row for row in work}
    while True:
        taken = _lose(
            by_id,
            lambda row: row.keys.user_name_key,
            lambda row: row.old.user_name_key if row.was_live and row.old else None,
            {row.user_name_key: row.person_id for row in found.by_person.values() if _holds(row)},
        )
        doubled = _lose(
            by_id,
            lambda row: row.keys.external_id,
            lambda row: row.old.external_id if row.was_live and row.old else None,
            {row.external_id: row.person_id for row in found.by_person.values() if _holds(row)},
        )
        if not taken and not doubled:
            return
        for person_id in taken | doubled:
            row = by_id.pop(person_id)
            name = "userName" if person_id in taken else "externalId"
            value = row.keys.user_name if person_id in taken else str(row.keys.external_id)
            row.refuse(NotUnique(name, value))


def _holds(row: Any) -> bool:
    return bool(row.state == "live")


def _lose(
    by_id: Mapping[PersonId, Work],
    want: Callable[[Work], str | None],
    hold: Callable[[Work], str | None],
    holders: Mapping[str | None, str],
) -> set[PersonId]:
    others = {
        key: PersonId(holder) for key, holder in holders.items() if key is not None and holder not in by_id
    }
    return losers(
        {person_id: want(row) for person_id, row in by_id.items()},
        {person_id: hold(row) for person_id, row in by_id.items()},
        others,
        list(by_id),
    )


# ------------------------------------------------------------------------------ writing


_INSERT, _INSERT_PEOPLE = Prepared(assertions.insert()), Prepared(people.insert())


def _write(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    created = [row for row in rows if row.outcome == "created"]
    known = [row for row in rows if row.outcome != "created"]
    if created:
        _make_people(tx, source, created)
    _bring_back(tx, source, [row for row in known if row.outcome == "returned"])
    inserted = [row for row in rows if row.old is None]
    replaced = [row for row in known if row.old is not None]
    if replaced:
        _park(tx, source, replaced)
        _replace(tx, source, replaced)
    if inserted:
        _INSERT.many(tx.conn, [_row(tx, source, row) for row in inserted])
    tx.counts[source.id, "user_count"] += sum(not row.was_live for row in rows)
    _lift_reinstatements(tx, source, [row for row in known if row.keys.active])


def _make_people(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    local = names.local_names(tx, [row.keys.user_name for row in rows])
    _INSERT_PEOPLE.many(
        tx.conn,
        [
            {
                "org_id": tx.org_id,
                "id": row.id,
                "kind": "person",
                "local_user_name": name,
                "display_name": row.keys.display_name,
                "approved": not tx.book.rules.approval_required,
                "profile": {},
                # The narrowest there is, until it is settled a moment later.
                "status": "pending",
                "causes": [],
                "primary_role": "user",
                "roles": ["user"],
                "rules_version": 0,
                "created_by": f"source {source.name}",
                "created_at": tx.now,
                "changed_at": tx.now,
            }
            for row, name in zip(rows, local, strict=True)
        ],
    )
    tx.created.update(row.id for row in rows)


def _row(tx: Tx, source: SourceBook, row: Work) -> dict[str, Any]:
    return columns(row) | {
        "org_id": tx.org_id,
        "source_id": source.id,
        "person_id": row.id,
        "state": "live",
        "created_at": tx.now,
        "changed_at": tx.now,
    }


def _bring_back(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    """Take off tombstones; whoever may be somebody else begins anew."""
    if not rows:
        return
    ids = [row.id for row in rows]
    column = people.c
    query = select(people).where(
        column.org_id == tx.org_id, among(tx.conn, column.id, ids), column.deleted_at.is_not(None)
    )
    returning.restore(tx, tx.conn.execute(query).all())
    returning.begin_anew(tx, [row.id for row in rows if not row.keeps], source.id)
    member_rows.shown_again(tx, source.id, ids)


def _park(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    """Keys that swap or ring are let go by all before the first is written."""
    names_held = {row.old.user_name_key: row.id for row in rows if row.was_live and row.old}
    ids_held = {
        row.old.external_id: row.id for row in rows if row.was_live and row.old and row.old.external_id
    }
    moving = {
        holder
        for row in rows
        for holder in (names_held.get(row.keys.user_name_key), ids_held.get(row.keys.external_id))
        if holder is not None and holder != row.id
    }
    if moving:
        column = assertions.c
        tx.conn.execute(
            update(assertions)
            .where(
                column.org_id == tx.org_id,
                column.source_id == source.id,
                among(tx.conn, column.person_id, list(moving)),
            )
            # No userName begins with a control character that is folded with it.
            .values(user_name_key="\x01" + column.person_id, external_id=None)
        )


_REPLACED = (
    "external_id", "user_name", "user_name_key", "active", "document", "folded", "sign_in_key",
    "employee_number_key", "digest", "entry_name", "seen_run_id", "display_name_key", "family_name_key",
    "given_name_key", "email_key",
)  # fmt: skip


_REPLACE = Prepared(
    update(assertions)
    .where(
        assertions.c.org_id == bindparam("_org_id"),
        assertions.c.source_id == bindparam("_source_id"),
        assertions.c.person_id == bindparam("_person_id"),
    )
    .values(
        state="live",
        deleted=False,
        gone_at=None,
        version=bindparam("_version"),
        changed_at=bindparam("_changed_at"),
        **{name: bindparam(f"_{name}") for name in _REPLACED},
    )
)


def _replace(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    of_source = {"_org_id": tx.org_id, "_source_id": source.id}
    _REPLACE.many(tx.conn, [of_source | _replacement(tx, row) for row in rows])


def _replacement(tx: Tx, row: Work) -> dict[str, Any]:
    old = row.old
    assert old is not None  # noqa: S101 - only rows with one are replaced
    moved = old.document != row.packed
    values = {f"_{name}": value for name, value in columns(row).items()}
    return values | {
        "_person_id": row.id,
        "_version": old.version + moved,
        "_changed_at": tx.now if moved or not row.was_live else old.changed_at,
    }


_LIFT = Prepared(
    gates.delete().where(
        gates.c.org_id == bindparam("org_id"),
        gates.c.kind == "reinstated",
        gates.c.source_id == bindparam("source_id"),
        one_of(gates.c.person_id),
    )
)


def _lift_reinstatements(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    """The source says active again: an admin's word against its deactivation is not needed any more."""
    if rows:
        _LIFT.run(tx.conn, {"org_id": tx.org_id, "source_id": source.id, "keys": [row.id for row in rows]})


def _note(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    """The sync's own notes on entries that did not change."""
    noted = [
        {
            "_person_id": row.id,
            "_digest": row.wish.digest,
            "_entry_name": row.wish.entry_name,
            "_seen_run_id": row.wish.run_id,
        }
        for row in rows
        if row.old is not None
        and (row.old.digest, row.old.entry_name, row.old.seen_run_id)
        != (row.wish.digest, row.wish.entry_name, row.wish.run_id)
    ]
    for row in rows:
        row.outcome = "unchanged"
    if noted:
        tx.conn.execute(
            update(assertions)
            .where(
                assertions.c.org_id == tx.org_id,
                assertions.c.source_id == source.id,
                assertions.c.person_id == bindparam("_person_id"),
            )
            .values(
                digest=bindparam("_digest"),
                entry_name=bindparam("_entry_name"),
                seen_run_id=bindparam("_seen_run_id"),
            ),
            noted,
        )


# ------------------------------------------------------------------------------ what follows

_KINDS = {
    "created": EventKind.PERSON_CREATED,
    "updated": EventKind.PERSON_UPDATED,
    "linked": EventKind.PERSON_LINKED,
    "returned": EventKind.PERSON_RETURNED,
}


def _touch(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    for row in rows:
        tx.touched.add(row.id)
        tx.profiles[row.id, source.id] = row.keys
        if row.wish.place:
            tx.places[row.id] = row.wish.place
        if not row.keys.active:
            tx.leaving.add(row.id)
            if row.was_live and row.old is not None and row.old.active:
                tx.departures[source.id] += tx.ctx.door == "scim"
        tx.record(_event(source, row))
    # Somebody who was here before this source first asserted them.
    met = [row.id for row in rows if row.old is None and row.outcome in ("linked", "returned")]
    if tx.book.rules.sources[source.id].state != "shadow":
        notices.linked(tx, source.name, met)
    appeared = [row for row in rows if not row.was_live]
    member_rows.resolve(tx, source.id, {row.id: row.keys.external_id for row in appeared})


def _event(source: SourceBook, row: Work) -> Event:
    before: dict[str, Any] = {}
    after: dict[str, Any] = {"source": source.name}
    if row.outcome == "updated" and row.old is not None:
        old, new = unpack(row.old.document), row.wish.document
        moved = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        before = {key: old.get(key) for key in moved}
        after |= {key: new.get(key) for key in moved}
    else:
        after |= {
            "userName": row.keys.user_name,
            "externalId": row.keys.external_id,
            "active": row.keys.active,
        }
    return Event(_KINDS[row.outcome], "person", row.id, before or None, after)
