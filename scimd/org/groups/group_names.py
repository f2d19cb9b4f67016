"""Groups that are called otherwise than they were: what they give now, and where their projects go.

Such a group gives what it would give if it were new, but for two things. What does not hang on its name is
bound already and stays; so does the project that a hand gave it. And a project that it made goes with it,
unless others give that project too: it stays as it is called, with them, for whoever is in a group of one
name is to be in no project of another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, literal, select, union_all

from scimd.core.people import GroupId, ProjectId, fold
from scimd.core.roles import Effect, SourceRule
from scimd.db.among import among
from scimd.db.locks import lock_rows
from scimd.db.tables import group_effects, groups, value_effects
from scimd.org.grants import bindings, projects
from scimd.org.grants.bindings import DEFAULT, NAME
from scimd.org.groups import member_rows
from scimd.org.rulebook import SourceBook
from scimd.org.settling import unsettled
from scimd.org.tx import Tx


@dataclass(frozen=True, slots=True)
class Called:
    """A group as it is called now. ``before``: its last name; empty for a new one."""

    group_id: GroupId
    external_id: str | None
    name: str
    before: str = ""


def follow(tx: Tx, source: SourceBook, many: Sequence[Called]) -> None:
    """Write what these groups give that were called otherwise. Names may swap and ring among them."""
    if not many:
        return
    given = _given(tx, many)
    kept = {each.group_id: _kept(source, each, given[each.group_id]) for each in many}
    made = _renamed(tx, source, many, given, kept)
    # Whom rules name first: what they leave behind, the others may take up.
    for each in sorted(many, key=lambda each: not _rules(source, each)):
        before = given[each.group_id]
        stays = list(_stays(tx, source, each, kept[each.group_id], made))
        after = [*stays, *_gives_besides(tx, source, each, {effect.rule for effect in before}, stays)]
        gives = {effect.target for effect in after}
        projects.leave_behind(
            tx, [one for one in made.held if (each.group_id, one) in made.own and one not in gives]
        )
        if set(after) != set(before):
            bindings.unbind(tx, [each.group_id])
            bindings.insert(tx, each.group_id, after)


@dataclass(frozen=True, slots=True)
class _Made:
    """The projects that these groups made, once they are renamed with them.

    ``own``: groups, each with a project that it made. ``left``: those that others give too, and keep.
    ``held``: those that keep their names, as ``projects.follow`` tells it.
    """

    own: Collection[tuple[str, str]]
    left: Collection[str]
    held: Mapping[str, ProjectId | None]


def _renamed(
    tx: Tx,
    source: SourceBook,
    many: Sequence[Called],
    given: Mapping[str, list[Effect]],
    kept: Mapping[GroupId, Sequence[Effect]],
) -> _Made:
    made = projects.made_by(tx, list(kept))
    names = _names(source, many, given, made)
    left = _left(tx, [row for row in made if fold(names[row.id]) != row.name_key], kept)
    for project_id, heir in left.items():
        projects.hand_on(tx, project_id, heir)
    held = projects.follow(tx, source, [row for row in made if row.id not in left], names)
    return _Made({(row.made_by_group_id, row.id) for row in made}, left.keys(), held)


def _stays(tx: Tx, source: SourceBook, each: Called, kept: Iterable[Effect], made: _Made) -> Iterator[Effect]:
    """Of what does not hang on the group's name, what the group still gives."""
    for effect in kept:
        if effect.rule != DEFAULT or (each.group_id, effect.target) not in made.own:
            yield effect
            continue
        holder = made.held.get(effect.target)
        if effect.target in made.left or (holder is None and effect.target in made.held):
            continue
        if holder is not None and projects.is_same(tx, source, each.group_id, each.name, holder):
            effect = replace(effect, target=holder)
        yield effect


def look_again(tx: Tx, group_ids: Collection[GroupId]) -> None:
    """A name that these groups waited for may be free."""
    column = groups.c
    query = select(column.id, column.source_id, column.external_id, column.display_name).where(
        column.org_id == tx.org_id, column.state == "live", among(tx.conn, column.id, group_ids)
    )
    for row in lock_rows(tx.conn, query.order_by(column.id)):
        group_id = GroupId(row.id)
        called = Called(group_id, row.external_id, row.display_name, row.display_name)
        follow(tx, tx.book.source(row.source_id), [called])
        member_rows.touch_below(tx, [group_id], unsettled.LEAVERS)


def _given(tx: Tx, many: Sequence[Called]) -> Mapping[str, list[Effect]]:
    """What is bound so far, by group."""
    column = group_effects.c
    query = select(column.group_id, column.rule, column.kind, column.target, column.project_role).where(
        column.org_id == tx.org_id, among(tx.conn, column.group_id, [each.group_id for each in many])
    )
    given: dict[str, list[Effect]] = defaultdict(list)
    for row in tx.conn.execute(query):
        given[row.group_id].append(Effect(row.rule, row.kind, row.target, row.project_role))
    return given


def _rules(source: SourceBook, each: Called) -> list[SourceRule]:
    return [rule for rule in source.rules if bindings.matches(rule, each.external_id, each.name)]


def _by_name(rule: SourceRule) -> bool:
    return rule.project is not None and NAME in rule.project


def _kept(source: SourceBook, each: Called, effects: Iterable[Effect]) -> list[Effect]:
    """What does not hang on the group's name, or only as far as its project is renamed with it."""
    rules = {rule.number: rule for rule in _rules(source, each)}
    if not rules and source.groups_are_projects:
        return [effect for effect in effects if effect.rule == DEFAULT]
    return [
        effect
        for effect in effects
        if (rule := rules.get(effect.rule)) and not (effect.kind == "project" and _by_name(rule))
    ]


def _names(
    source: SourceBook, many: Sequence[Called], given: Mapping[str, list[Effect]], made: Sequence[Row[Any]]
) -> dict[str, str]:
    """What the projects that the groups made are to be called, by id.

    As the rule says by which the group gives it. One that the group gives no more goes on bearing its name
    if it did so far.
    """
    called = {each.group_id: each for each in many}
    said = {rule.number: rule.project for rule in source.rules} | {DEFAULT: NAME}
    names = {}
    for row in made:
        each = called[GroupId(row.made_by_group_id)]
        patterns = [
            said.get(effect.rule) or row.name
            for effect in given[each.group_id]
            if (effect.kind, effect.target) == ("project", row.id)
        ] or [NAME if row.name_key == fold(each.before) else row.name]
        fixed = any(NAME not in pattern for pattern in patterns)
        names[row.id] = row.name if fixed else min(patterns).replace(NAME, each.name)
    return names


def _left(
    tx: Tx, made: Sequence[Row[Any]], kept: Mapping[GroupId, Sequence[Effect]]
) -> dict[str, GroupId | None]:
    """Those of these projects that others give too, each with a group that is called like it, or None."""
    if not made:
        return {}
    ids, mine, left = [row.id for row in made], {row.id: row for row in made}, dict[str, GroupId | None]()
    effect, value = group_effects.c, value_effects.c
    by_group = (
        select(effect.target, effect.group_id, groups.c.display_name_key)
        .join(groups, (groups.c.org_id == effect.org_id) & (groups.c.id == effect.group_id))
        .where(effect.org_id == tx.org_id, effect.kind == "project", among(tx.conn, effect.target, ids))
    )
    by_value = select(value.target, literal(""), literal("")).where(
        value.org_id == tx.org_id, value.kind == "project", among(tx.conn, value.target, ids)
    )
    for target, group_id, name_key in sorted(map(tuple, tx.conn.execute(union_all(by_group, by_value)))):
        if group_id not in kept:
            namesake = GroupId(group_id) if name_key == mine[target].name_key else None
            left[target] = left.get(target) or namesake
    for group_id, effects in kept.items():
        for each in effects:
            if each.target in mine and mine[each.target].made_by_group_id != group_id:
                left.setdefault(each.target, None)
    return left


def _gives_besides(
    tx: Tx, source: SourceBook, each: Called, bound: Collection[int], stays: Sequence[Effect]
) -> list[Effect]:
    """``bound``: the rules of which all that does not hang on the name is bound already."""
    rules = _rules(source, each)
    if not rules and source.groups_are_projects and stays:
        return []
    if not rules:
        return bindings.given_by(bindings.Made(tx), source, each.group_id, each.external_id, each.name)
    found: list[Effect] = []
    for rule in rules:
        if rule.number in bound:
            project = rule.project if _by_name(rule) else None
            rule = replace(rule, role=None, team=None, licence=None, project=project)
        found += bindings.ruled_by(bindings.Made(tx), rule, source, each.group_id, each.name)
    return found
