"""What groups give, bound to ids when a group appears or the rules change, and then left alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Row, Select, select

from scimd.core.people import GroupId, ProjectId, SourceId, fold
from scimd.core.roles import MEMBER, Effect, SourceRule
from scimd.db.among import among
from scimd.db.tables import group_effects, groups
from scimd.org import member_rows, named, projects, unsettled
from scimd.org.rulebook import SourceBook
from scimd.org.tx import Tx

#: The number of the rule that nobody wrote: each group is a project of its name.
DEFAULT = 0


def matches(rule: SourceRule, external_id: str | None, name: str) -> bool:
    """By the group's external id, or by a shell pattern on its name, whatever the case."""
    if rule.pattern is None:
        return rule.group is not None and rule.group == external_id
    return fnmatchcase(fold(name), fold(rule.pattern))


def bind(tx: Tx, source: SourceBook, group_id: GroupId, external_id: str | None, name: str) -> None:
    """Write what a new group gives. The default stands in where no rule names the group."""
    ruled = [rule for rule in source.rules if matches(rule, external_id, name)]
    effects = [effect for rule in ruled for effect in effects_of(tx, rule, name)]
    if not ruled and source.groups_are_projects:
        project_id = projects.for_group(tx, source, group_id, name)
        effects = [Effect(DEFAULT, "project", project_id, MEMBER)] if project_id else []
    _insert(tx, group_id, effects)


def effects_of(tx: Tx, rule: SourceRule, name: str) -> Iterable[Effect]:
    """What the rule gives, with the things that it names made where they are missing."""
    if rule.project:
        project_id = projects.named(tx, rule.project.replace("{name}", name))
        yield Effect(rule.number, "project", project_id, rule.project_role)
    if rule.role:
        yield Effect(rule.number, "role", rule.role)
    if rule.team:
        yield Effect(rule.number, "team", named.team_named(tx, rule.team))
    if rule.licence:
        yield Effect(rule.number, "licence", named.licence_named(tx, rule.licence))


def _insert(tx: Tx, group_id: GroupId, effects: Sequence[Effect]) -> None:
    if effects:
        tx.conn.execute(
            group_effects.insert(),
            [
                {
                    "org_id": tx.org_id,
                    "group_id": group_id,
                    "rule": effect.rule,
                    "kind": effect.kind,
                    "target": effect.target,
                    "project_role": effect.project_role,
                }
                for effect in effects
            ],
        )


def rebind_renamed(tx: Tx, source: SourceBook, row: Row[Any], external_id: str | None, name: str) -> None:
    """A group is called otherwise: where other rules name it than before, it gives what these say."""

    def ruled(external_id: str | None, name: str) -> list[int]:
        return [rule.number for rule in source.rules if matches(rule, external_id, name)]

    if ruled(row.external_id, row.display_name) == ruled(external_id, name):
        return  # what a rule made of the old name stays: a rename is no new group
    group_id = GroupId(row.id)
    own = _defaults(tx, [group_id]).get(row.id)
    unbind(tx, [group_id])
    _bind_again(tx, source, group_id, external_id, name, own)


def unbind(tx: Tx, group_ids: Sequence[GroupId]) -> None:
    """These groups give nothing any more."""
    column = group_effects.c
    tx.conn.execute(
        group_effects.delete().where(column.org_id == tx.org_id, among(tx.conn, column.group_id, group_ids))
    )


def give_project(tx: Tx, group_id: GroupId, project_id: ProjectId) -> None:
    """The answer to a name that collided: the group gives this project."""
    column = group_effects.c
    tx.conn.execute(
        group_effects.delete().where(
            column.org_id == tx.org_id,
            column.group_id == group_id,
            column.rule == DEFAULT,
            column.kind == "project",
        )
    )
    _insert(tx, group_id, [Effect(DEFAULT, "project", project_id, MEMBER)])
    member_rows.touch_below(tx, [group_id], unsettled.JOINERS)


def rebind(tx: Tx, source_id: SourceId) -> None:
    """The source's rules changed: bind all its groups anew, and have everybody in them settled.

    A project that a group made by default stays that group's while the default holds for it. Call
    it after the generation was raised.
    """
    source = tx.book.source(source_id)
    made = _groups(tx, source_id)
    ids = [GroupId(row.id) for row in made]
    if not ids:
        return
    kept = _defaults(tx, ids)
    unbind(tx, ids)
    for row in made:
        _bind_again(tx, source, GroupId(row.id), row.external_id, row.display_name, kept.get(row.id))
    member_rows.touch_below(tx, ids, unsettled.LEAVERS)


def _bind_again(
    tx: Tx, source: SourceBook, group_id: GroupId, external_id: str | None, name: str, own: str | None
) -> None:
    """``own``: the project that the group was by default."""
    ruled = any(matches(rule, external_id, name) for rule in source.rules)
    if own and not ruled and source.groups_are_projects:
        _insert(tx, group_id, [Effect(DEFAULT, "project", own, MEMBER)])
    else:
        bind(tx, source, group_id, external_id, name)


def _groups(tx: Tx, source_id: SourceId) -> Sequence[Row[Any]]:
    query: Select[Any] = select(groups.c.id, groups.c.external_id, groups.c.display_name).where(
        groups.c.org_id == tx.org_id, groups.c.source_id == source_id, groups.c.state == "live"
    )
    return tx.conn.execute(query.order_by(groups.c.id)).all()


def _defaults(tx: Tx, group_ids: Sequence[GroupId]) -> dict[str, str]:
    column = group_effects.c
    query = select(column.group_id, column.target).where(
        column.org_id == tx.org_id,
        column.rule == DEFAULT,
        column.kind == "project",
        among(tx.conn, column.group_id, group_ids),
    )
    return {row.group_id: row.target for row in tx.conn.execute(query)}
