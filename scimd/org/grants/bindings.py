"""What groups give, bound to ids when a group appears or the rules change, and then left alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Protocol

from sqlalchemy import Connection, Row, Select, select

from scimd.core.people import GroupId, OrgId, ProjectId, RoleName, SourceId, fold
from scimd.core.roles import MEMBER, Effect, SourceRule
from scimd.db.among import among
from scimd.db.tables import group_effects, groups
from scimd.org.grants import named, projects
from scimd.org.groups import member_rows
from scimd.org.rulebook import SourceBook
from scimd.org.settling import unsettled
from scimd.org.tx import Tx

#: The number of the rule that nobody wrote: each group is a project of its name.
DEFAULT = 0
#: Stands in a rule's project for the name of the group, or for the value.
NAME = "{name}"


def matches(rule: SourceRule, external_id: str | None, name: str) -> bool:
    """By the group's external id, or by a shell pattern on its name, whatever the case."""
    if rule.pattern is None:
        return rule.group is not None and rule.group == external_id
    return fnmatchcase(fold(name), fold(rule.pattern))


class Things(Protocol):
    """What rules name, as ids."""

    def project(self, name: str) -> str: ...

    def project_of(self, source: SourceBook, group_id: GroupId, name: str) -> str | None:
        """The project that the group is by default; None where its name is taken."""

    def project_of_rule(self, source: SourceBook, group_id: GroupId, name: str) -> str:
        """The project that a rule calls by the group's name; the group's where it is made for it."""

    def team(self, name: str) -> str: ...

    def licence(self, name: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Made:
    """They are made where they are missing."""

    tx: Tx

    def project(self, name: str) -> str:
        return projects.named(self.tx, name)

    def project_of(self, source: SourceBook, group_id: GroupId, name: str) -> str | None:
        return projects.for_group(self.tx, source, group_id, name)

    def project_of_rule(self, source: SourceBook, group_id: GroupId, name: str) -> str:
        return projects.of_rule(self.tx, source, group_id, name)

    def team(self, name: str) -> str:
        return named.team_named(self.tx, name)

    def licence(self, name: str) -> str:
        return named.licence_named(self.tx, name)


def bind(tx: Tx, source: SourceBook, group_id: GroupId, external_id: str | None, name: str) -> None:
    """Write what a new group gives."""
    insert(tx, group_id, given_by(Made(tx), source, group_id, external_id, name))


def given_by(
    things: Things, source: SourceBook, group_id: GroupId, external_id: str | None, name: str
) -> list[Effect]:
    """What the group gives. The default stands in where no rule names it."""
    ruled = [rule for rule in source.rules if matches(rule, external_id, name)]
    if ruled or not source.groups_are_projects:
        return [effect for rule in ruled for effect in ruled_by(things, rule, source, group_id, name)]
    project_id = things.project_of(source, group_id, name)
    return [Effect(DEFAULT, "project", project_id, MEMBER)] if project_id else []


def ruled_by(
    things: Things, rule: SourceRule, source: SourceBook, group_id: GroupId, name: str
) -> Iterable[Effect]:
    """What the rule gives the group. A project that is called by the group's name is the group's own."""
    if not (rule.project and NAME in rule.project):
        return effects_of(things, rule, name)
    project_id = things.project_of_rule(source, group_id, rule.project.replace(NAME, name))
    own = Effect(rule.number, "project", project_id, rule.project_role)
    return [own, *effects_of(things, replace(rule, project=None), name)]


def effects_of(things: Things, rule: SourceRule, name: str) -> Iterable[Effect]:
    """What the rule gives whatever has this name."""
    if rule.project:
        project_id = things.project(rule.project.replace(NAME, name))
        yield Effect(rule.number, "project", project_id, rule.project_role)
    if rule.role:
        yield Effect(rule.number, "role", rule.role)
    if rule.team:
        yield Effect(rule.number, "team", things.team(rule.team))
    if rule.licence:
        yield Effect(rule.number, "licence", things.licence(rule.licence))


def insert(tx: Tx, group_id: GroupId, effects: Sequence[Effect]) -> None:
    """From now on the group gives this too."""
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
    insert(tx, group_id, [Effect(DEFAULT, "project", project_id, MEMBER)])
    member_rows.touch_below(tx, [group_id], unsettled.JOINERS)


def rebind(tx: Tx, source_id: SourceId, empowered: Collection[int] = ()) -> None:
    """The source's rules changed: bind those of its groups anew that give something else, or by one of the
    rules that are ``empowered``, and have everybody in them settled.

    A project that a group made by default stays that group's while the default holds for it. Call
    it after the generation was raised.
    """
    given = bound_again(tx.conn, tx.org_id, tx.book.source(source_id), Made(tx))
    moved = given_otherwise(tx.conn, tx.org_id, source_id, given, empowered)
    if not moved:
        return
    unbind(tx, list(moved))
    for group_id, effects in moved.items():
        insert(tx, group_id, effects)
    member_rows.touch_below(tx, list(moved), unsettled.LEAVERS)


def empowered(before: SourceBook, after: SourceBook) -> frozenset[int]:
    """The rules that may give Account Admin in one of the two alone: something else may follow from what
    they give, though it is the same."""
    old, new = (
        frozenset(rule.number for rule in each.rules if rule.may_give_account_admin)
        for each in (before, after)
    )
    return old ^ new


def given_otherwise(
    conn: Connection,
    org_id: OrgId,
    source_id: SourceId,
    given: Iterable[tuple[GroupId, list[Effect]]],
    empowered: Collection[int],
) -> dict[GroupId, list[Effect]]:
    """Of what groups of the source would give: that of those that give something else now."""
    column = group_effects.c
    query = (
        select(column.group_id, column.rule, column.kind, column.target, column.project_role)
        .join(groups, (groups.c.org_id == column.org_id) & (groups.c.id == column.group_id))
        .where(column.org_id == org_id, groups.c.source_id == source_id)
    )
    present: defaultdict[str, set[Effect]] = defaultdict(set)
    for group_id, rule, kind, target, role in conn.execute(query):
        present[group_id].add(Effect(rule, kind, target, RoleName(role) if role else None))
    return {
        group_id: effects
        for group_id, effects in given
        if present[group_id] != set(effects) or any(each.rule in empowered for each in effects)
    }


def bound_again(
    conn: Connection, org_id: OrgId, source: SourceBook, things: Things
) -> Iterator[tuple[GroupId, list[Effect]]]:
    """What each of the source's groups gives under the rules of this book."""
    made = _groups(conn, org_id, source.id)
    kept = _defaults(conn, org_id, [GroupId(row.id) for row in made])
    for row in made:
        group_id, own = GroupId(row.id), kept.get(row.id)
        yield (
            group_id,
            _given_again(things, source, group_id, row.external_id, row.display_name, own),
        )


def would_give(
    conn: Connection,
    org_id: OrgId,
    source: SourceBook,
    things: Things,
    groups: Iterable[tuple[GroupId, str, str]],
) -> Iterator[tuple[GroupId, list[Effect]]]:
    """What groups, each with its external id and its name, would give; of some the id is made up."""
    found = list(groups)
    kept = _defaults(conn, org_id, [group_id for group_id, _, _ in found])
    for group_id, external_id, name in found:
        yield group_id, _given_again(things, source, group_id, external_id, name, kept.get(group_id))


def _given_again(
    things: Things,
    source: SourceBook,
    group_id: GroupId,
    external_id: str | None,
    name: str,
    own: str | None,
) -> list[Effect]:
    """``own``: the project that the group was by default; it stays that while the default holds."""
    ruled = any(matches(rule, external_id, name) for rule in source.rules)
    if own and not ruled and source.groups_are_projects:
        return [Effect(DEFAULT, "project", own, MEMBER)]
    return given_by(things, source, group_id, external_id, name)


def given(conn: Connection, org_id: OrgId) -> dict[GroupId, tuple[Effect, ...]]:
    """What each living group of the organization gives, as stored."""
    column = group_effects.c
    query = (
        select(groups.c.id, column.rule, column.kind, column.target, column.project_role)
        .outerjoin(group_effects, (column.org_id == groups.c.org_id) & (column.group_id == groups.c.id))
        .where(groups.c.org_id == org_id, groups.c.state == "live")
    )
    found: dict[GroupId, tuple[Effect, ...]] = {}
    for group_id, *effect in conn.execute(query):
        found[group_id] = found.get(group_id, ()) + (() if effect[0] is None else (Effect(*effect),))
    return found


@dataclass(frozen=True, slots=True)
class Astray:
    """A group that gives by rules something else than these say. What is not a role goes by its kind: what
    a rule calls by its name may be called otherwise since."""

    name: str
    gives: list[str]
    should: list[str]


def astray(conn: Connection, org_id: OrgId, source: SourceBook) -> Iterator[Astray]:
    """The source's groups of which this is so."""
    column = group_effects.c
    query = (
        select(column.group_id, column.rule, column.kind, column.target)
        .join(groups, (groups.c.org_id == column.org_id) & (groups.c.id == column.group_id))
        .where(column.org_id == org_id, groups.c.source_id == source.id, column.rule != DEFAULT)
    )
    gives: dict[str, set[str]] = {}
    for effect in conn.execute(query):
        gives.setdefault(effect.group_id, set()).add(_by(effect.rule, effect.kind, effect.target))
    said = {rule.number: set(_said(rule)) for rule in source.rules}
    for row in _groups(conn, org_id, source.id):
        ruled = [rule.number for rule in source.rules if matches(rule, row.external_id, row.display_name)]
        should, found = set[str]().union(*(said[number] for number in ruled)), gives.get(row.id, set())
        if should != found:
            yield Astray(row.display_name, sorted(found), sorted(should))


def _said(rule: SourceRule) -> Iterator[str]:
    given = {"project": rule.project, "role": rule.role, "team": rule.team, "licence": rule.licence}
    return (_by(rule.number, kind, what) for kind, what in given.items() if what)


def _by(rule: int, kind: str, target: str) -> str:
    return f"rule {rule}: {kind} {target}" if kind == "role" else f"rule {rule}: {kind}"


def _groups(conn: Connection, org_id: OrgId, source_id: SourceId) -> Sequence[Row[Any]]:
    query: Select[Any] = select(groups.c.id, groups.c.external_id, groups.c.display_name).where(
        groups.c.org_id == org_id, groups.c.source_id == source_id, groups.c.state == "live"
    )
    return conn.execute(query.order_by(groups.c.id)).all()


def _defaults(conn: Connection, org_id: OrgId, group_ids: Sequence[GroupId]) -> Mapping[str, str]:
    column = group_effects.c
    query = select(column.group_id, column.target).where(
        column.org_id == org_id,
        column.rule == DEFAULT,
        column.kind == "project",
        among(conn, column.group_id, group_ids),
    )
    return {row.group_id: row.target for row in conn.execute(query)}
