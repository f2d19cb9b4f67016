"""Groups as sources push them: stored always, whatever they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from sqlalchemy import Row, bindparam, select, update

from scimd.core.attributes import GROUP, fold_document
from scimd.core.attributes.rows import INDEXED
from scimd.core.errors import InvalidValue, NotFound, NotUnique, Refusal
from scimd.core.events import Event, EventKind
from scimd.core.people import DecisionId, Document, GroupId, RunId, SourceId, fold
from scimd.core.resource import as_stored, pack, unpack
from scimd.db.among import among
from scimd.db.last_changed import not_before
from scimd.db.locks import lock_rows
from scimd.db.prepared import Locking, Prepared
from scimd.db.tables import groups
from scimd.org.grants import bindings, projects
from scimd.org.groups import chosen_members, group_names, group_versions, member_rows, pending_members
from scimd.org.groups.chosen_members import Leaving
from scimd.org.groups.group_names import Called
from scimd.org.groups.member_events import tell_members
from scimd.org.rulebook import SourceBook
from scimd.org.settling import unsettled
from scimd.org.tx import Tx
from scimd.org.users.incoming import too_long

GroupOutcome: TypeAlias = Literal["created", "updated", "unchanged", "refused"]


@dataclass(frozen=True, slots=True)
class AssertGroup:
    """What a source says of one group now. ``document``: complete, without members.

    ``members``: SCIM ids or external ids, all of them; None leaves them as they are.
    """

    document: Document
    external_id: str | None
    members: tuple[str, ...] | None = None
    group_id: GroupId | None = None
    digest: bytes | None = None
    entry_name: str | None = None
    run_id: RunId | None = None


@dataclass(frozen=True, slots=True)
class AssertedGroup:
    group_id: GroupId | None
    outcome: GroupOutcome
    refusal: Refusal | None = None
    decision_id: DecisionId | None = None


def record_groups(tx: Tx, many: Sequence[AssertGroup], *, fresh: bool = False) -> list[AssertedGroup]:
    """Record what ``tx.ctx.source_id`` says of these groups; a bad one is refused alone.

    ``fresh``: the caller creates, so that one which is there already is a double. Names may swap within
    ``many``, and a new group may have the name that another gave up.
    """
    source = tx.book.source(tx.ctx.source_id)
    new: list[Called] = []
    renamed: list[Called] = []
    outcomes = []
    for wish in many:
        try:
            outcomes.append(_record(tx, source, wish, new, renamed, fresh=fresh))
        except (InvalidValue, NotFound, NotUnique) as refusal:
            outcomes.append(AssertedGroup(None, "refused", refusal))
    if shown := [each.group_id for each in renamed if each.name != each.before]:
        group_versions.renamed(tx, shown)
    group_names.follow(tx, source, renamed)
    for each in new:
        bindings.bind(tx, source, each.group_id, each.external_id, each.name)
    return outcomes


def _record(
    tx: Tx,
    source: SourceBook,
    wish: AssertGroup,
    new: list[Called],
    renamed: list[Called],
    *,
    fresh: bool,
) -> AssertedGroup:
    """``new`` and ``renamed``: what they give is for the caller to write."""
    name, wish = _name(wish.document), _bounded(wish)
    row = _find(tx, source, wish)
    if row is not None and fresh:
        raise NotUnique("externalId", wish.external_id or "", holder=f"the group {row.id}")
    _must_be_free(tx, source, name, row.id if row is not None else None)
    if row is not None and row.external_id != wish.external_id:
        _must_be_nobodys(tx, source, wish.external_id)
    if row is None:
        group_id = _create(tx, source, wish, name)
        new.append(Called(group_id, wish.external_id, name))
        return AssertedGroup(group_id, "created")
    group_id = GroupId(row.id)
    told = _update(tx, source, row, wish, name)
    if row.external_id != wish.external_id:
        pending_members.resolve_group(tx, source.id, group_id, wish.external_id)
    if told and (row.display_name, row.external_id) != (name, wish.external_id):
        renamed.append(Called(group_id, wish.external_id, name, row.display_name))
        # It may give less than before.
        member_rows.touch_below(tx, [group_id], unsettled.LEAVERS)
    moved = False
    if wish.members is not None:
        moved = change_members(tx, group_id, (), (), replace=wish.members)
    return AssertedGroup(group_id, "updated" if told or moved else "unchanged")


def _name(document: Document) -> str:
    name = document.get("displayName")
    if not isinstance(name, str) or not name.strip():
        raise InvalidValue("displayName", "it must be a string that is not empty")
    if "\x00" in name:
        raise InvalidValue("displayName", "it contains the character NUL, which cannot be stored")
    if len(name) > INDEXED:
        raise too_long("displayName")
    return name


def _bounded(wish: AssertGroup) -> AssertGroup:
    """What can be stored of it. Raises InvalidValue."""
    if wish.external_id is not None and len(wish.external_id) > INDEXED:
        raise too_long("externalId")
    return wish if wish.members is None else replace(wish, members=tuple(_named(wish.members)))


def _named(members: Sequence[str]) -> Sequence[str]:
    """Without names that are nobody's, since none is as long."""
    if not members or max(map(len, members)) <= INDEXED:
        return members
    return [each for each in members if len(each) <= INDEXED]


_mine = (
    (groups.c.org_id == bindparam("org_id"))
    & (groups.c.source_id == bindparam("source_id"))
    & (groups.c.state == "live")
)
_LOCK = Locking(select(groups).where(_mine, groups.c.id == bindparam("id")))
_LOCK_BY_EXTERNAL_ID = Locking(select(groups).where(_mine, groups.c.external_id == bindparam("external_id")))
_KNOWN_BY = Prepared(select(groups.c.id).where(_mine, groups.c.external_id == bindparam("external_id")))
_NAMED = Prepared(select(groups.c.id).where(_mine, groups.c.unique_name_key == bindparam("key")))


def _find(tx: Tx, source: SourceBook, wish: AssertGroup) -> Row[Any] | None:
    """The living group that is meant, locked."""
    of_source = {"org_id": tx.org_id, "source_id": source.id}
    rows: list[Row[Any]]
    if wish.group_id is not None:
        rows = _LOCK.all(tx.conn, {**of_source, "id": wish.group_id})
        if not rows:
            raise NotFound("group", wish.group_id)
        return rows[0]
    if wish.external_id is None:
        return None
    rows = _LOCK_BY_EXTERNAL_ID.all(tx.conn, {**of_source, "external_id": wish.external_id})
    return rows[0] if rows else None


def _must_be_free(tx: Tx, source: SourceBook, name: str, own_id: str | None) -> None:
    """A SCIM source has each name once. The unique index says it too, to those who come at once."""
    if source.kind != "scim":
        return
    holder = _NAMED.first(tx.conn, {"org_id": tx.org_id, "source_id": source.id, "key": fold(name)})
    if holder is not None and holder.id != own_id:
        raise NotUnique("displayName", name, holder=f"the group {holder.id}")


def _must_be_nobodys(tx: Tx, source: SourceBook, external_id: str | None) -> None:
    """A group that is there takes no other's external id. The unique index says it too."""
    if external_id is None:
        return
    keys = {"org_id": tx.org_id, "source_id": source.id, "external_id": external_id}
    holder = _KNOWN_BY.first(tx.conn, keys)
    if holder is not None:
        raise NotUnique("externalId", external_id, holder=f"the group {holder.id}")


def _columns(source: SourceBook, wish: AssertGroup, name: str) -> dict[str, Any]:
    return {
        "external_id": wish.external_id,
        "display_name": name,
        "display_name_key": fold(name),
        "unique_name_key": fold(name) if source.kind == "scim" else None,
        "document": pack(wish.document, GROUP),
        "folded": fold_document(wish.document, GROUP),
        "digest": wish.digest,
        "entry_name": wish.entry_name,
        "seen_run_id": wish.run_id,
    }


def _create(tx: Tx, source: SourceBook, wish: AssertGroup, name: str) -> GroupId:
    group_id = GroupId(tx.new_id())
    tx.conn.execute(
        groups.insert().values(
            org_id=tx.org_id,
            id=group_id,
            source_id=source.id,
            state="live",
            created_at=tx.now,
            changed_at=tx.now,
            **_columns(source, wish, name),
        )
    )
    tx.came(source.id, "group", 1)
    after = {"displayName": name, "source": source.name, "members": len(wish.members or ())}
    tx.record(Event(EventKind.GROUP_CREATED, "group", group_id, after=after))
    pending_members.resolve_group(tx, source.id, group_id, wish.external_id)
    if wish.members:
        (done,) = member_rows.change(tx, source.id, [member_rows.Wanted(group_id, wish.members)])
        member_rows.touch(tx, done)
    return group_id


def _update(tx: Tx, source: SourceBook, row: Row[Any], wish: AssertGroup, name: str) -> bool:
    """Write the document and the sync's notes where they differ; True where the document did."""
    columns = _columns(source, wish, name)
    columns["document"] = as_stored(row.document, columns["document"])
    changed = {key: value for key, value in columns.items() if getattr(row, key) != value}
    if not changed:
        return False
    told = "document" in changed or "external_id" in changed
    if told:
        changed |= {"version": row.version + tx.step, "changed_at": not_before(row.changed_at, tx.now)}
        renamed = "display_name" in changed
        kind = EventKind.GROUP_RENAMED if renamed else EventKind.GROUP_UPDATED
        before, after = unpack(row.document), wish.document
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        tx.record(
            Event(
                kind,
                "group",
                row.id,
                {key: before.get(key) for key in keys},
                {key: after.get(key) for key in keys},
            )
        )
    tx.conn.execute(
        update(groups).where(groups.c.org_id == tx.org_id, groups.c.id == row.id).values(**changed)
    )
    return told


def change_members(
    tx: Tx,
    group_id: GroupId,
    add: Sequence[str],
    remove: Sequence[str],
    *,
    replace: Sequence[str] | None = None,
) -> bool:
    """Add, remove, or replace by exactly these; True where anything changed, and the version then is.

    Costs what is named, not what the group holds (but for ``replace``). Raises NotFound.
    """
    source = tx.book.source(tx.ctx.source_id)
    if not _LOCK.all(tx.conn, {"org_id": tx.org_id, "source_id": source.id, "id": group_id}):
        raise NotFound("group", group_id)
    return change_locked(tx, member_rows.Wanted(group_id, _named(add), remove), replace)


def change_locked(
    tx: Tx, wanted: member_rows.Wanted, replace: Sequence[str] | None, chosen: Sequence[Leaving] = ()
) -> bool:
    """The same for a group that is locked. ``chosen``, each of which costs the group, come before."""
    source, group_id = tx.book.source(tx.ctx.source_id), wanted.group_id
    changes = []
    for each in chosen:
        before = member_rows.Wanted(group_id, each.add, each.remove, each.users)
        changes += _changed(tx, source.id, before, each.replace)
        changes.append(chosen_members.leave(tx, source.id, group_id, each))
    changes += _changed(tx, source.id, wanted, replace)
    for done in changes:
        member_rows.touch(tx, done)
    if not any(changes):
        return False
    group_versions.raise_versions(tx, [group_id])
    tell_members(tx, group_id, changes)
    return True


def _changed(
    tx: Tx,
    source_id: SourceId,
    wanted: member_rows.Wanted,
    replace: Sequence[str] | None,
) -> list[member_rows.Change]:
    changes = []
    if replace is not None:
        changes.append(member_rows.replace(tx, source_id, wanted.group_id, replace))
    if wanted.add or wanted.remove:
        changes += member_rows.change(tx, source_id, [wanted])
    return changes


def drop_groups(tx: Tx, group_ids: Sequence[GroupId]) -> list[bool]:
    """Delete these groups: what they gave goes, projects that they made stay, marked orphaned.

    One answer each, in order: False for one that is not there.
    """
    source = tx.book.source(tx.ctx.source_id)
    column = groups.c
    query = select(column.id, column.display_name, column.external_id).where(
        column.org_id == tx.org_id,
        column.source_id == source.id,
        column.state == "live",
        among(tx.conn, column.id, group_ids),
    )
    rows = lock_rows(tx.conn, query.order_by(column.id))
    found = {GroupId(row.id): row.display_name for row in rows}
    if found:
        ids = list(found)
        member_rows.touch_below(tx, ids, unsettled.LEAVERS)
        group_versions.raise_versions(tx, group_versions.parents(tx, ids))
        bindings.unbind(tx, ids)
        projects.orphan(tx, ids)
        tx.conn.execute(
            update(groups)
            .where(column.org_id == tx.org_id, among(tx.conn, column.id, ids))
            .values(state="gone", gone_at=tx.now, changed_at=tx.now)
        )
        if source.kind == "connector":
            names = {GroupId(row.id): row.external_id for row in rows if row.external_id}
            pending_members.name_groups_again(tx, source.id, names)
        tx.went(source.id, "group", len(found))
        for group_id, name in found.items():
            before = {"displayName": name, "source": source.name}
            tx.record(Event(EventKind.GROUP_DELETED, "group", group_id, before=before))
    return [group_id in found for group_id in group_ids]
