"""What an organization decided, loaded whole and kept by its generation.

Whoever changes sources, rules, roles, domains or the default project, archives a project, or sets or
lifts a limit raises ``organizations.generation`` in the same transaction. Every use asks for the present
generation first, so that nothing that decides access is taken from a stale book. Generations go on by
chance: a number that a fail-over lost is not met again with other rules behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row, bindparam, select

from scimd.core.approval import AutoApprove
from scimd.core.attributes import USER, ResourceKind
from scimd.core.errors import NotFound
from scimd.core.extensions import users_with
from scimd.core.people import OrgId, ProjectId, RoleName, SourceId, fold
from scimd.core.roles import (
    BUILT_IN,
    MEMBER,
    PROJECT_RANKS,
    Effect,
    OrgRole,
    SourceRule,
    ValueAttribute,
)
from scimd.core.seats import Policy
from scimd.core.standing import Facts, Rules, SourceRules, Standing, standing
from scimd.db.prepared import Prepared
from scimd.db.tables import (
    decisions,
    domains,
    organizations,
    pools,
    projects,
    roles,
    rules,
    sources,
    value_effects,
)

_ORGANIZATIONS_KEPT = 1000
_DECISIONS_KEPT = 1000
_ORGANIZATION = Prepared(select(organizations).where(organizations.c.id == bindparam("org_id")))
#: By attribute and folded value: the value as the rule spells it, and what it gives.
ValueEffects: TypeAlias = Mapping[tuple[ValueAttribute, str], tuple[str, tuple[Effect, ...]]]
_GENERATION = Prepared(select(organizations.c.generation).where(organizations.c.id == bindparam("org_id")))


@dataclass(frozen=True, slots=True)
class SourceBook:
    """A source as far as people and groups are concerned."""

    id: SourceId
    name: str
    kind: Literal["scim", "connector"]
    priority: int
    #: The attributes by which it meets other sources, in order.
    join: tuple[str, ...]
    #: Whether each group that no rule names is a project of its name.
    groups_are_projects: bool
    rules: tuple[SourceRule, ...]
    #: What a user of this source may have: the attribute table and the source's own extensions.
    users: ResourceKind = USER
    value_effects: ValueEffects = field(default_factory=dict)
    #: An admin linked an entry that is still to come.
    has_links: bool = False
    auto_approve: AutoApprove = "never"


@dataclass(frozen=True, slots=True)
class RuleBook:
    org_id: OrgId
    rules: Rules
    sources: Mapping[SourceId, SourceBook]
    verified_domains: frozenset[str]
    seats_on_scim: Policy
    get_more_seats_url: str | None
    #: What followed from which facts under these rules: newcomers of one source are all alike.
    decided: dict[Facts, Standing] = field(default_factory=dict, repr=False, compare=False)
    #: What is written of such standings, by which and of whom (``settling.standing_rows``); it holds them.
    drawn: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def standing(self, facts: Facts) -> Standing:
        """``core.standing``, which is pure and asks not who it is: worked out once for equal facts."""
        found = self.decided.get(facts)
        if found is None:
            if len(self.decided) >= _DECISIONS_KEPT:
                self.decided.clear()
                self.drawn.clear()
            found = self.decided[facts] = standing(facts, self.rules)
        return found

    def source(self, source_id: SourceId | None) -> SourceBook:
        """Raises NotFound for a source that has ended or is another organization's."""
        found = self.sources.get(source_id) if source_id else None
        if found is None:
            raise NotFound("source", source_id or "")
        return found

    def source_named(self, name: str) -> SourceBook:
        """Raises NotFound."""
        for each in self.sources.values():
            if each.name == name:
                return each
        raise NotFound("source", name)


class RuleBooks:
    """The newest book of each organization that this process has seen. Safe to share between threads."""

    def __init__(self) -> None:
        self._kept: dict[OrgId, RuleBook] = {}

    def of(self, conn: Connection, org_id: OrgId) -> RuleBook:
        """The book as of this transaction; one statement where it is known already."""
        kept = self._kept.get(org_id)
        if kept is not None:
            present = _GENERATION.first(conn, {"org_id": org_id})
            if present is not None and present.generation == kept.rules.version:
                return kept
        row = _ORGANIZATION.first(conn, {"org_id": org_id})
        if row is None:
            raise NotFound("organization", org_id)
        return _load(conn, row)

    @staticmethod
    def asked_of(org_id: OrgId) -> tuple[Prepared, Mapping[str, Any]]:
        """What ``of`` asks of a book that is known; see ``prepared.ahead``."""
        return _GENERATION, {"org_id": org_id}

    def seen(self, conn: Connection, org_id: OrgId) -> RuleBook:
        """The same for a body that only reads: what it sees is committed, and is remembered at once.

        In a process that only answers there is no commit after which it would be.
        """
        book, kept = self.of(conn, org_id), self._kept.get(org_id)
        if book is not kept:
            present = _GENERATION.first(conn, {"org_id": org_id})
            # Read outside of a transaction, parts of it may be newer than its number.
            if present is not None and present.generation == book.rules.version:
                self.keep(book)
        return book

    def keep(self, book: RuleBook) -> None:
        """Remember a book. Only after the commit: a generation that is rolled back is given again."""
        if len(self._kept) >= _ORGANIZATIONS_KEPT:
            self._kept.clear()
        self._kept[book.org_id] = book


def _load(conn: Connection, organization: Row[Any]) -> RuleBook:
    org_id = OrgId(organization.id)
    known = conn.execute(select(sources).where(sources.c.org_id == org_id)).all()
    found = _sources(conn, org_id, [row for row in known if row.ended_at is None])
    archived = conn.execute(
        select(projects.c.id).where(projects.c.org_id == org_id, projects.c.archived_at.is_not(None))
    ).scalars()
    limited = conn.execute(select(pools.c.kind, pools.c.target).where(pools.c.org_id == org_id))
    default = organization.default_project_id
    decided = Rules(
        version=organization.generation,
        # With those that were ended: they assert nobody any more, and are still named as whoever did.
        sources=_source_rules(known),
        roles=_roles(conn, org_id),
        project_ranks=PROJECT_RANKS,
        default_project=ProjectId(default) if default else None,
        approval_required=organization.approval_required,
        admin_rules=_admin_rules(found),
        archived_projects=frozenset(archived),
        limited=frozenset((row.kind, row.target) for row in limited),
    )
    verified = conn.execute(
        select(domains.c.domain_key).where(domains.c.org_id == org_id, domains.c.verified_at.is_not(None))
    ).scalars()
    return RuleBook(
        org_id,
        decided,
        found,
        frozenset(verified),
        organization.seats_on_scim,
        organization.get_more_seats_url,
    )


def _admin_rules(found: Mapping[SourceId, SourceBook]) -> frozenset[tuple[SourceId, int]]:
    return frozenset(
        (source.id, rule.number)
        for source in found.values()
        for rule in source.rules
        if rule.may_give_account_admin
    )


def with_source(book: RuleBook, source: SourceBook) -> RuleBook:
    """The book as it would be if the source were this."""
    found = {**book.sources, source.id: source}
    return replace(
        book, rules=replace(book.rules, admin_rules=_admin_rules(found)), sources=found, decided={}, drawn={}
    )


class BesideBooks(RuleBooks):
    """The books of others, in which a source reads its entries by settings that are not in force.

    What its rules give, its place and its ceiling are as they are.
    """

    def __init__(self, books: RuleBooks, source_id: SourceId, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self._books, self._source_id, self._settings = books, source_id, settings

    def of(self, conn: Connection, org_id: OrgId) -> RuleBook:
        return self._beside(self._books.of(conn, org_id))

    def seen(self, conn: Connection, org_id: OrgId) -> RuleBook:
        return self._beside(self._books.seen(conn, org_id))

    def _beside(self, book: RuleBook) -> RuleBook:
        source = replace(
            book.source(self._source_id),
            join=tuple(self._settings.get("join") or ()),
            users=users_with(self._settings.get("extension") or ()),
            auto_approve=self._settings.get("auto_approve", "never"),
        )
        return with_source(book, source)


def _source_rules(rows: Iterable[Row[Any]]) -> dict[SourceId, SourceRules]:
    return {
        SourceId(row.id): SourceRules(
            id=SourceId(row.id),
            name=row.name,
            kind=row.kind,
            priority=row.priority,
            # A pause neither gives nor takes: what was in shadow gives nothing, and staged mails wait.
            state=row.paused_from or row.state,
            invite=row.invite,
            ceiling=RoleName(row.ceiling),
        )
        for row in rows
    }


def _sources(conn: Connection, org_id: OrgId, rows: Iterable[Row[Any]]) -> dict[SourceId, SourceBook]:
    by_source: dict[str, list[SourceRule]] = {}
    for rule in rules_of(conn, org_id):
        by_source.setdefault(rule.source_id, []).append(rule)
    effects = _value_effects(conn, org_id)
    linked = _with_links(conn, org_id)
    return {
        SourceId(row.id): SourceBook(
            id=SourceId(row.id),
            name=row.name,
            kind=row.kind,
            priority=row.priority,
            join=tuple(row.config.get("join") or ()),
            groups_are_projects=_groups_are_projects(row),
            rules=tuple(by_source.get(row.id, ())),
            users=users_with(row.config.get("extension") or ()),
            value_effects=by_value(by_source.get(row.id, ()), effects.get(row.id, {})),
            has_links=row.id in linked,
            auto_approve=row.config.get("auto_approve", "never"),
        )
        for row in rows
    }


def _with_links(conn: Connection, org_id: OrgId) -> set[str | None]:
    """The sources of which an entry was linked before it came."""
    column = decisions.c
    query = (
        select(column.source_id)
        .distinct()
        .where(column.org_id == org_id, column.state == "answered", column.kind == "link")
    )
    return set(conn.execute(query).scalars())


def rules_of(conn: Connection, org_id: OrgId, source_id: SourceId | None = None) -> list[SourceRule]:
    """The rules in force, by number; of one source, or of all."""
    live = select(rules.c.source_id, rules.c.body).where(
        rules.c.org_id == org_id, rules.c.until_generation.is_(None)
    )
    if source_id is not None:
        live = live.where(rules.c.source_id == source_id)
    return [rule_of(SourceId(row.source_id), row.body) for row in conn.execute(live.order_by(rules.c.number))]


def _value_effects(conn: Connection, org_id: OrgId) -> dict[str, dict[int, list[Effect]]]:
    """What the rules on values give, by source and rule."""
    column = value_effects.c
    query = select(value_effects).where(column.org_id == org_id).order_by(column.rule, column.kind)
    found: dict[str, dict[int, list[Effect]]] = {}
    for row in conn.execute(query):
        role = RoleName(row.project_role) if row.project_role else None
        effect = Effect(row.rule, row.kind, row.target, role)
        found.setdefault(row.source_id, {}).setdefault(row.rule, []).append(effect)
    return found


def by_value(ruled: Sequence[SourceRule], effects: Mapping[int, Sequence[Effect]]) -> ValueEffects:
    """``effects``: what each of the rules on values gives, by its number."""
    found: dict[tuple[ValueAttribute, str], tuple[str, tuple[Effect, ...]]] = {}
    for rule in ruled:
        named = rule.value
        if named is not None:
            attribute, value = named
            spelled, before = found.get((attribute, fold(value)), (value, ()))
            found[attribute, fold(value)] = (spelled, (*before, *effects.get(rule.number, ())))
    return found


def _groups_are_projects(source: Row[Any]) -> bool:
    """SCIM and file sources push only what was chosen; a whole directory has to name its groups."""
    default = (source.config.get("groups") or {}).get("default")
    if default is not None:
        return bool(default == "project")
    return bool(source.kind == "scim" or source.connector == "file")


def rule_of(source_id: SourceId, body: Mapping[str, Any]) -> SourceRule:
    """A rule as it is stored, and as the config has it."""
    return SourceRule(
        number=int(body["number"]),
        source_id=source_id,
        group=body.get("group"),
        pattern=body.get("pattern"),
        scim_role=body.get("scim_role"),
        entitlement=body.get("entitlement"),
        project=body.get("project"),
        project_role=RoleName(body.get("project_role") or MEMBER),
        role=RoleName(body["role"]) if body.get("role") else None,
        team=body.get("team"),
        licence=body.get("licence"),
        may_give_account_admin=bool(body.get("may_give_account_admin")),
    )


def _roles(conn: Connection, org_id: OrgId) -> dict[RoleName, OrgRole]:
    stored = {
        RoleName(row.name): OrgRole(
            RoleName(row.name), row.label, frozenset(row.permissions), row.may_hold_projects
        )
        for row in conn.execute(select(roles).where(roles.c.org_id == org_id))
    }
    return {**BUILT_IN, **stored}
