"""Recording what a source says of users: many at once, each refused alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from scimd.core.errors import NotUnique, Protected
from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId
from scimd.core.resource import StoredUser, meta_part, unpack
from scimd.core.standing import AssertionFact
from scimd.core.sync.match import losers
from scimd.db.among import among, one_of
from scimd.db.last_changed import not_before
from scimd.db.prepared import Prepared, Rewriting
from scimd.db.tables import assertions, gates, people
from scimd.org.groups import group_versions, pending_members
from scimd.org.identities.candidates import Near
from scimd.org.identities.matching import find_people
from scimd.org.mails import notices
from scimd.org.organizations import admins
from scimd.org.rulebook import SourceBook
from scimd.org.settling import arrivals, standing_kept
from scimd.org.settling.newcomers import Newcomer
from scimd.org.tx import Tx
from scimd.org.users import names, returning
from scimd.org.users.incoming import Asserted, AssertUser, Work, columns, prepare


def record_users(
    tx: Tx, many: Sequence[AssertUser], *, fresh: bool = False, stored: Sequence[Row[Any]] = ()
) -> list[Asserted]:
    """Record what ``tx.ctx.source_id`` says of these users, and have the people settled.

    A handful of statements, whatever their number (meant for up to 200). A row that is bad, collides
    or is a double is refused alone; ``fresh`` refuses those that the source asserts already. Names
    and external ids may swap and ring within ``many``. ``stored`` is what the caller has loaded of
    them already, by ``candidates.of_person`` and under their locks. One outcome each, in order.
    """
    source = tx.book.source(tx.ctx.source_id)
    rows = [prepare(wish, source.users) for wish in many]
    work = [row for row in rows if row.refusal is None]
    found = find_people(tx, source, work, fresh=fresh, stored=stored)
    work = [row for row in work if row.refusal is None]
    _protect_last_admins(tx, work)
    _contest(tx, work, found)
    work = [row for row in work if row.refusal is None]
    changed = [row for row in work if not row.same() or row.outcome in ("returned", "linked")]
    moved = set(changed)
    _write(tx, source, changed)
    _note(tx, source, [row for row in work if row not in moved])
    _touch(tx, source, changed)
    _show(tx, changed)
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
    if len(work) == 1 and all(held.person_id == work[0].id for held in found.by_person.values()):
        return  # nobody else is near
    if not found.by_person and _differ(work):
        return  # nobody is near, and none of them another
    if all(_keeps_names(row) for row in work):
        return  # each has its own already
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
            row.refuse(NotUnique(name, value, holder=_holder(row, found, name)))


def _holder(row: Work, found: Near, name: str) -> str | None:
    """Who keeps the name, where that is none of the same call."""
    if name == "userName":
        near = found.by_user_name.get(row.keys.user_name_key, ())
    else:
        near = found.by_external_id.get(row.keys.external_id or "", ())
    held = [each.person_id for each in near if _holds(each) and each.person_id != row.person_id]
    return f"the user {held[0]}" if held else None


def _keeps_names(row: Work) -> bool:
    old, keys = row.old, row.keys
    return bool(
        old is not None
        and row.was_live
        and (old.user_name_key, old.external_id) == (keys.user_name_key, keys.external_id)
    )


def _differ(work: Sequence[Work]) -> bool:
    external_ids = [row.keys.external_id for row in work if row.keys.external_id is not None]
    user_names = {row.keys.user_name_key for row in work}
    return len(set(external_ids)) == len(external_ids) and len(user_names) == len(work)


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


_INSERT = Prepared(assertions.insert())
_ARRIVALS = ("created", "linked", "returned")


def _write(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    created = [row for row in rows if row.outcome == "created"]
    known = [row for row in rows if row.outcome != "created"]
    if created:
        _make_people(tx, source, created)
    _bring_back(tx, source, [row for row in known if row.outcome == "returned"])
    if shown := [row.id for row in known if row.old is not None and not row.was_live]:
        group_versions.shown_again(tx, source.id, shown)
    arrived = [row for row in rows if row.outcome in _ARRIVALS]
    arrivals.approve(tx, source, {row.id: row.keys for row in arrived})
    inserted = [row for row in rows if row.old is None]
    replaced = [row for row in known if row.old is not None]
    if replaced:
        _replace(tx, source, replaced, _park(tx, source, replaced))
    if inserted:
        # What is read behind the document of somebody who was there already is written when they are settled.
        tx.regrouped.update(row.id for row in inserted if row.outcome != "created")
        _INSERT.many(tx.beside, [_row(tx, source, row) for row in inserted])
    tx.came(source.id, "user", sum(not row.was_live for row in rows))
    _lift_reinstatements(tx, source, [row for row in known if row.keys.active])


def _make_people(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    """Their rows are written when they are settled; see ``newcomers``."""
    local = [row.local_name for row in rows if row.survey and not row.survey.name_held]
    if len(set(local)) < len(rows):
        local = names.local_names(tx, [row.keys.user_name for row in rows])
    for row, name in zip(rows, local, strict=True):
        columns = {
            "org_id": tx.org_id,
            "id": row.id,
            "kind": "person",
            "local_user_name": name,
            **names.shown_as(row.keys.display_name),
            "approved": not tx.book.rules.approval_required or arrivals.approved(tx.book, source, row.keys),
            "created_by": f"source {source.name}",
            "created_at": tx.now,
            "changed_at": tx.now,
        }
        asserted = AssertionFact(source.id, row.keys.active)
        tx.newcomers.waiting[row.id] = Newcomer(columns, asserted)
        tx.created.add(row.id)


def _row(tx: Tx, source: SourceBook, row: Work) -> dict[str, Any]:
    # Nobody has seen anything under the id of somebody who is new.
    version = 1 if row.outcome == "created" else tx.step
    return columns(row) | {
        "org_id": tx.org_id,
        "source_id": source.id,
        "person_id": row.id,
        "state": "live",
        "version": version,
        "meta": meta_part(row.id, tx.now, tx.now, version),
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
    anew = [row for row in rows if not row.keeps]
    approved = {row.id for row in anew if arrivals.stays_approved(tx, row)}
    returning.begin_anew(tx, [row.id for row in anew], source.id, approved)


def _park(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> set[PersonId]:
    """Keys that swap or ring are let go by all before the first is written; gives who let go."""
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
        tx.alone()  # of two calls, the first one meets the other's name
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
    return moving


_REPLACED = (
    "external_id", "user_name", "user_name_key", "active", "document", "folded", "sign_in_key",
    "employee_number_key", "digest", "entry_name", "seen_run_id", "display_name_key", "family_name_key",
    "given_name_key", "email_key", "other_email_key", "version", "changed_at", "meta", "state", "deleted",
    "gone_at",
)  # fmt: skip

#: Made anew where anything of theirs moved; what is stored of them is not read for that.
_MADE = ("folded", "meta")
_of_one = (
    (assertions.c.org_id == bindparam("_org_id"))
    & (assertions.c.source_id == bindparam("_source_id"))
    & (assertions.c.person_id == bindparam("_person_id"))
)
#: Only what differs: SQLite writes every index of a column that is set anew, changed or not.
_REPLACE = Rewriting(assertions, _of_one, _REPLACED)


def _replace(tx: Tx, source: SourceBook, rows: Sequence[Work], parked: Collection[PersonId]) -> None:
    of_source = {"_org_id": tx.org_id, "_source_id": source.id}
    _REPLACE.many(
        tx.conn,
        [({**of_source, "_person_id": row.id}, _replacement(tx, row, row.id in parked)) for row in rows],
    )


def _replacement(tx: Tx, row: Work, parked: bool) -> dict[str, Any]:
    """The columns that differ from what is stored."""
    old = row.old
    assert old is not None  # noqa: S101 - only rows with one are replaced
    moved = old.document != row.packed
    wanted = columns(row, folded=moved)
    if moved or not row.was_live:
        version = old.version + moved * tx.step
        changed_at = not_before(old.changed_at, tx.now)
        meta = meta_part(row.id, old.created_at, changed_at, version)
        wanted |= {"version": version, "changed_at": changed_at, "meta": meta}
    if not row.was_live:
        wanted |= {"state": "live", "deleted": False, "gone_at": None}
    if parked:
        return wanted
    return {name: value for name, value in wanted.items() if name in _MADE or getattr(old, name) != value}


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
    # Who was active before had it lifted by the push that made them so.
    ids = [row.id for row in rows if not (row.was_live and row.old and row.old.active)]
    if ids:
        _LIFT.post(tx.conn, {"org_id": tx.org_id, "source_id": source.id, "keys": ids})


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


def _show(tx: Tx, rows: Sequence[Work]) -> None:
    """Keep what a call about one of them is answered with."""
    for row in rows:
        old = row.old
        if row.outcome == "created":
            tx.shown[row.id] = StoredUser(row.id, row.packed, 1, 1, tx.now, tx.now)
        elif row.outcome == "updated" and old is not None:
            moved = old.document != row.packed
            changed_at = not_before(old.changed_at, tx.now) if moved else old.changed_at
            tx.shown[row.id] = StoredUser(
                row.id, row.packed, old.version + moved * tx.step, old.rest, old.created_at, changed_at,
                extension=old.extension,
            )  # fmt: skip


# ------------------------------------------------------------------------------ what follows

_KINDS = {
    "created": EventKind.PERSON_CREATED,
    "updated": EventKind.PERSON_UPDATED,
    "linked": EventKind.PERSON_LINKED,
    "returned": EventKind.PERSON_RETURNED,
}


def _touch(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    kept = [row for row in rows if _keeps_standing(tx, source, row)]
    standing_kept.follow(tx, source.id, [(row.old, row.keys) for row in kept if row.old is not None])
    short = set(kept)
    for row in rows:
        tx.record(_event(source, row))
        if row in short:
            continue
        tx.touched.add(row.id)
        tx.profiles[row.id, source.id] = row.keys
        if row.outcome == "linked":
            tx.linked.add(row.id)
        if _brings_the_same_address(row):
            tx.same_address.add((row.id, source.id))
        if row.wish.place:
            tx.places[row.id] = row.wish.place
        if not row.keys.active:
            tx.leaving.add(row.id)
            if row.was_live and row.old is not None and row.old.active:
                tx.departures[source.id] += tx.ctx.door == "scim"
    # Somebody who was here before this source first asserted them.
    met = [row.id for row in rows if row.old is None and row.outcome in ("linked", "returned")]
    if met and tx.book.rules.sources[source.id].state != "shadow":
        notices.linked(tx, source.name, met)
    renamed = [row.id for row in rows if _shows_otherwise(source, row)]
    if renamed:
        group_versions.named_again(tx, source.id, renamed)
    if source.kind == "connector":
        pending_members.name_again(tx, source.id, dict(_called_otherwise(rows)))
    named = [row for row in rows if _may_be_awaited(row)]
    pending_members.resolve(tx, source.id, {row.id: row.keys.external_id for row in named})


def _brings_the_same_address(row: Work) -> bool:
    """Not of somebody who may be another one now: they have what the directory gives."""
    stays = row.outcome == "updated" or (row.outcome == "returned" and row.keeps)
    return stays and row.old is not None and row.old.sign_in_key == row.keys.sign_in_key


def _shows_otherwise(source: SourceBook, row: Work) -> bool:
    return row.was_live and row.old is not None and group_versions.names_anew(source.id, row.old, row.keys)


def _called_otherwise(rows: Sequence[Work]) -> Iterator[tuple[PersonId, str]]:
    """Those who have another external id than before, with the old one."""
    for row in rows:
        old = row.old.external_id if row.old is not None else None
        if old is not None and old != row.keys.external_id:
            yield row.id, old


def _may_be_awaited(row: Work) -> bool:
    """Whether a group may have named them before the source did: by an external id that is new, or theirs."""
    if row.outcome == "created" and row.survey is not None:
        return row.survey.awaited
    return not row.was_live or row.old is None or row.old.external_id != row.keys.external_id


def _keeps_standing(tx: Tx, source: SourceBook, row: Work) -> bool:
    if row.outcome != "updated" or row.old is None or not row.was_live:
        return False
    return standing_kept.keeps(tx, source.id, row.old, row.keys)


def _event(source: SourceBook, row: Work) -> Event:
    before: dict[str, Any] = {}
    after: dict[str, Any] = {"source": source.name}
    if row.outcome == "updated" and row.old is not None:
        old, new = row.wish.before or unpack(row.old.document), row.wish.document
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
