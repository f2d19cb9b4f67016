"""Projects as groups make and name them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select, update

from scimd.core.events import Event, EventKind
from scimd.core.people import GroupId, OrgId, PersonId, ProjectId, SourceId, fold
from scimd.core.sync.match import losers
from scimd.db.among import among
from scimd.db.tables import groups, projects
from scimd.org.decisions.decisions import NewDecision, Option, answered, open_item
from scimd.org.rulebook import SourceBook
from scimd.org.tx import Tx


def named(tx: Tx, name: str) -> ProjectId:
    """The living project of that name, made where there is none: an admin's rule names it."""
    found = _by_name(tx, name)
    return ProjectId(found.id) if found else make(tx, name)


def make(tx: Tx, name: str, made_by: GroupId | None = None) -> ProjectId:
    project_id = ProjectId(tx.new_id())
    tx.conn.execute(
        projects.insert().values(
            org_id=tx.org_id,
            id=project_id,
            name=name,
            name_key=fold(name),
            made_by_group_id=made_by,
            created_at=tx.now,
        )
    )
    after = {"name": name, "group": made_by}
    tx.record(Event(EventKind.PROJECT_CREATED, "project", project_id, after=after))
    return project_id


def _by_name(tx: Tx, name: str) -> Row[Any] | None:
    query: Select[Any] = select(projects.c.id, projects.c.made_by_group_id, projects.c.orphaned)
    return tx.conn.execute(
        query.where(
            projects.c.org_id == tx.org_id,
            projects.c.name_key == fold(name),
            projects.c.archived_at.is_(None),
        )
    ).first()


def for_group(tx: Tx, source: SourceBook, group_id: GroupId, name: str) -> ProjectId | None:
    """The project that a group is; None where its name is taken, and no admin said that it is the same.

    A project that a group of the same source left behind is taken up again.
    """
    found = _by_name(tx, name)
    if found is None:
        return make(tx, name, group_id)
    if _taken_up(tx, source, group_id, name, found):
        return ProjectId(found.id)
    if found.made_by_group_id == group_id:  # it was the group's before a rule named the group
        return ProjectId(found.id)
    return ProjectId(found.id) if is_same(tx, source, group_id, name, found.id) else None


def of_rule(tx: Tx, source: SourceBook, group_id: GroupId, name: str) -> ProjectId:
    """The project that a rule calls by the group's name: an admin said so, whoever made it.

    Where there is none it is made as the group's, and follows the group's name from then on.
    """
    found = _by_name(tx, name)
    if found is None:
        return make(tx, name, group_id)
    _taken_up(tx, source, group_id, name, found)
    return ProjectId(found.id)


def _taken_up(tx: Tx, source: SourceBook, group_id: GroupId, name: str, found: Row[Any]) -> bool:
    """Whether the project was left behind by a group of the source, and is this one's now."""
    if not found.orphaned or left_by(tx.conn, tx.org_id, [found.id]).get(found.id) != source.id:
        return False
    if decided(tx.conn, tx.org_id, group_id, name, found.id) == "separate":
        return False
    tx.conn.execute(
        update(projects)
        .where(projects.c.org_id == tx.org_id, projects.c.id == found.id)
        .values(made_by_group_id=group_id, orphaned=False, name=name)
    )
    return True


def left_by(conn: Connection, org_id: OrgId, project_ids: Collection[str]) -> dict[str, SourceId]:
    """Those of these projects that their group left behind, each with the source of that group."""
    query = (
        select(projects.c.id, groups.c.source_id)
        .join(groups, (groups.c.org_id == projects.c.org_id) & (groups.c.id == projects.c.made_by_group_id))
        .where(projects.c.org_id == org_id, projects.c.orphaned, among(conn, projects.c.id, project_ids))
    )
    return {row.id: SourceId(row.source_id) for row in conn.execute(query)}


def decided(conn: Connection, org_id: OrgId, group_id: GroupId, name: str, project_id: str) -> str | None:
    """The answer on the group of that name and this project; None where nobody answered."""
    subject = _subject(group_id, name)
    _, answer, facts = answered(conn, org_id, "group_name", [subject]).get(subject, (None, None, {}))
    # Of another project of that name nobody was asked yet.
    return answer if facts.get("project_id") == project_id else None


def _subject(group_id: GroupId, name: str) -> str:
    return f"{group_id} {fold(name)}"


def is_same(tx: Tx, source: SourceBook, group_id: GroupId, name: str, project_id: str) -> bool:
    """Whether an admin said that the group of that name is the project of that name; asks once."""
    said = decided(tx.conn, tx.org_id, group_id, name, project_id)
    if said is None:
        _ask(tx, source, group_id, name, project_id)
    return said == "use"


def _ask(tx: Tx, source: SourceBook, group_id: GroupId, name: str, project_id: str) -> None:
    open_item(
        tx,
        NewDecision(
            kind="group_name",
            subject=_subject(group_id, name),
            question=(
                f"{source.name} brings the group {name!r}, and there is a project of that name. "
                "Is it the same?"
            ),
            options=(
                Option("use", "The same", f"Members of the group take part in the project {name!r}."),
                Option(
                    "separate",
                    "Another one",
                    "The group gives no project until a rule names it.",
                ),
            ),
            facts={"group_id": group_id, "project_id": project_id, "name": name},
            source_id=source.id,
        ),
    )


def made_by(tx: Tx, group_ids: Collection[GroupId]) -> Sequence[Row[Any]]:
    """The living projects that these groups made: id, name, name_key, made_by_group_id."""
    column = projects.c
    query: Select[Any] = select(column.id, column.name, column.name_key, column.made_by_group_id).where(
        column.org_id == tx.org_id,
        column.archived_at.is_(None),
        among(tx.conn, column.made_by_group_id, group_ids),
    )
    return tx.conn.execute(query.order_by(column.id)).all()


def follow(
    tx: Tx, source: SourceBook, rows: Sequence[Row[Any]], names: Mapping[str, str]
) -> dict[str, ProjectId | None]:
    """Rename these projects, by id, as the groups that made them were; names may swap and ring among them.

    Gives those that keep their names because another project has the new one, each with that project; None
    where that one was left behind, and is the group's now in place of this.
    """
    rows = [row for row in rows if row.name != names[row.id]]
    if not rows:
        return {}
    wanted = {PersonId(row.id): fold(names[row.id]) for row in rows}
    held = {PersonId(row.id): row.name_key for row in rows}
    lost = losers(wanted, held, _others(tx, set(wanted.values()), set(wanted)), list(wanted))
    moving = [row for row in rows if row.id not in lost]
    _park(tx, [row.id for row in moving])
    for row in moving:
        name = names[row.id]
        tx.conn.execute(
            update(projects)
            .where(projects.c.org_id == tx.org_id, projects.c.id == row.id)
            .values(name=name, name_key=fold(name))
        )
        tx.record(Event(EventKind.PROJECT_RENAMED, "project", row.id, {"name": row.name}, {"name": name}))
    kept = {row.id: _by_name(tx, names[row.id]) for row in rows if row.id in lost}
    exchanged = _exchanged(tx, source, [row for row in rows if row.id in lost], names)
    return {
        project_id: None if project_id in exchanged else ProjectId(holder.id)
        for project_id, holder in kept.items()
        if holder
    }


def _exchanged(tx: Tx, source: SourceBook, rows: Sequence[Row[Any]], names: Mapping[str, str]) -> set[str]:
    """Of these projects, those that are left behind now by groups that take up others, which were so far.

    One that is left behind so may be what the next group takes up.
    """
    done: set[str] = set()
    going = True
    while going:
        going = False
        for row in rows:
            found = _by_name(tx, names[row.id]) if row.id not in done else None
            if found and _taken_up(tx, source, GroupId(row.made_by_group_id), names[row.id], found):
                hand_on(tx, row.id, found.made_by_group_id)
                leave_behind(tx, [row.id])
                done.add(row.id)
                going = True
    return done


def hand_on(tx: Tx, project_id: str, group_id: GroupId | None) -> None:
    """From now on the project is that group's, or nobody's."""
    tx.conn.execute(
        update(projects)
        .where(projects.c.org_id == tx.org_id, projects.c.id == project_id)
        .values(made_by_group_id=group_id, orphaned=False)
    )


def _others(tx: Tx, keys: Collection[str], apart_from: Collection[str]) -> dict[str, PersonId]:
    column = projects.c
    query = select(column.id, column.name_key).where(
        column.org_id == tx.org_id, column.archived_at.is_(None), among(tx.conn, column.name_key, keys)
    )
    return {row.name_key: row.id for row in tx.conn.execute(query) if row.id not in apart_from}


def _park(tx: Tx, project_ids: Collection[str]) -> None:
    if len(project_ids) > 1:
        column = projects.c
        tx.conn.execute(
            update(projects)
            .where(column.org_id == tx.org_id, among(tx.conn, column.id, project_ids))
            .values(name_key="\x01" + column.id)
        )


def orphan(tx: Tx, group_ids: Collection[GroupId]) -> None:
    """The groups that made these projects are gone. The projects stay, marked."""
    _orphan(tx, among(tx.conn, projects.c.made_by_group_id, group_ids))


def leave_behind(tx: Tx, project_ids: Collection[str]) -> None:
    """The groups that made these projects give others now. The projects stay, marked."""
    if project_ids:
        _orphan(tx, among(tx.conn, projects.c.id, project_ids))


def _orphan(tx: Tx, which: ColumnElement[bool]) -> None:
    column = projects.c
    rows = tx.conn.execute(
        update(projects)
        .where(column.org_id == tx.org_id, which, column.orphaned.is_(False))
        .values(orphaned=True)
        .returning(column.id, column.name)
    ).all()
    for row in rows:
        tx.record(Event(EventKind.PROJECT_ORPHANED, "project", row.id, after={"name": row.name}))
