"""Factories of facts and rules that show only the telling values, and strategies that draw any."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from scimd.core.people import GroupId, ProjectId, RoleName, SourceId
from scimd.core.roles import (
    ACCOUNT_ADMIN,
    BUILT_IN,
    MANAGER,
    MEMBER,
    OWNER,
    PROJECT_RANKS,
    VIEWER,
    Effect,
    OrgRole,
)
from scimd.core.standing import (
    AssertionFact,
    Facts,
    GateFact,
    ManualGrant,
    MembershipFact,
    Reinstatement,
    Rules,
    SourceRules,
    Standing,
    ValueFact,
    standing,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HR, OKTA, LDAP = SourceId("hr"), SourceId("okta"), SourceId("ldap")
GENERAL = ProjectId("general")
ENGINEER = RoleName("engineer")
SUPER = RoleName("super")
ROLES = {
    **BUILT_IN,
    ENGINEER: OrgRole(ENGINEER, "Engineer", frozenset({"users.read"}), may_hold_projects=True),
    SUPER: OrgRole(SUPER, "Super", BUILT_IN[ACCOUNT_ADMIN].permissions, may_hold_projects=False),
}


def source(source_id: SourceId = HR, priority: int = 1, **more: Any) -> SourceRules:
    values: dict[str, Any] = {
        "name": source_id,
        "kind": "scim",
        "state": "active",
        "invite": "never",
        "ceiling": MANAGER,
    }
    return SourceRules(id=source_id, priority=priority, **(values | more))


def rules(*sources: SourceRules, **more: Any) -> Rules:
    values: dict[str, Any] = {
        "version": 1,
        "roles": ROLES,
        "project_ranks": PROJECT_RANKS,
        "default_project": GENERAL,
    }
    return Rules(sources={s.id: s for s in sources or (source(HR, 1), source(OKTA, 2))}, **(values | more))


def by(source_id: SourceId = HR, active: bool = True, **more: Any) -> AssertionFact:
    return AssertionFact(source_id, active, **more)


def in_group(
    effect: Effect, source_id: SourceId = HR, group: str = "eng", path: tuple[str, ...] = ()
) -> MembershipFact:
    return MembershipFact(source_id, GroupId(group), group, path, (effect,))


def with_role(value: str, *effects: Effect, source_id: SourceId = HR) -> ValueFact:
    return ValueFact(source_id, "role", value, effects)


def project(target: str = "apollo", role: RoleName = MEMBER, rule: int = 1) -> Effect:
    return Effect(rule, "project", target, role)


def role(name: RoleName, rule: int = 1) -> Effect:
    return Effect(rule, "role", name)


def gate(kind: Any = "deactivated", by: str = "ann") -> GateFact:
    return GateFact(kind, by, NOON)


def facts(*assertions: AssertionFact, **more: Any) -> Facts:
    return Facts(assertions=assertions, **more)


def decide(*assertions: AssertionFact, under: Rules | None = None, **more: Any) -> Standing:
    """The standing of somebody who accepted and holds a seat, unless the facts say otherwise."""
    return standing(facts(*assertions, **({"accepted": True, "has_seat": True} | more)), under or rules())


def causes(of: Standing) -> list[str]:
    return [str(cause) for cause in of.causes]


SOURCES = (HR, OKTA, LDAP)
_role_names = st.sampled_from([*ROLES, RoleName("no-such-role")])
_project_roles = st.sampled_from([OWNER, MEMBER, VIEWER, RoleName("no-such-rank")])
_targets = st.sampled_from(["apollo", "gemini", "archived", GENERAL])
_rule_numbers = st.integers(0, 3)
project_effects = st.builds(Effect, _rule_numbers, st.just("project"), _targets, _project_roles)
effects = st.one_of(
    st.builds(Effect, _rule_numbers, st.just("role"), _role_names),
    project_effects,
    st.builds(Effect, _rule_numbers, st.sampled_from(["team", "licence"]), st.sampled_from(["red", "blue"])),
)
memberships = st.builds(
    lambda source_id, group, path, effects: MembershipFact(
        source_id, GroupId(group), group, path, tuple(effects)
    ),
    st.sampled_from(SOURCES),
    st.sampled_from(["eng", "ops", "all"]),
    st.sampled_from([(), ("inner",), ("inner", "outer")]),
    st.lists(effects, max_size=3),
)
values = st.builds(
    lambda source_id, attribute, value, effects: ValueFact(source_id, attribute, value, tuple(effects)),
    st.sampled_from(SOURCES),
    st.sampled_from(["role", "entitlement"]),
    st.sampled_from(["lead", "gold"]),
    st.lists(effects.filter(lambda effect: effect.rule > 0), max_size=3),
)
_by = st.sampled_from(["ann", "bob"])
grants = st.one_of(
    st.builds(ManualGrant, st.just("role"), _role_names, _by),
    st.builds(ManualGrant, st.just("project"), _targets, _by, _project_roles),
    st.builds(ManualGrant, st.sampled_from(["team", "licence"]), st.sampled_from(["red", "blue"]), _by),
)
gates = st.builds(gate, st.sampled_from(["deactivated", "disabled", "deleted"]), _by)
assertions = st.builds(
    AssertionFact,
    st.sampled_from(SOURCES),
    st.booleans(),
    st.sampled_from(["live", "live", "gone", "history"]),
    st.booleans(),
)


def _few(of: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, max_size=most).map(tuple)


_things = st.sampled_from(
    [
        *(("project", each) for each in ("apollo", "gemini", "archived", GENERAL)),
        ("licence", "red"),
    ]
)
any_facts = st.builds(
    Facts,
    service_account=st.sampled_from([False, False, False, True]),
    has_address=st.sampled_from([True, True, False]),
    assertions=_few(assertions, 4),
    memberships=_few(memberships, 5),
    values=_few(values, 4),
    grants=_few(grants),
    gates=st.one_of(st.just(()), _few(gates, 2)),
    reinstated=_few(st.builds(Reinstatement, st.sampled_from(SOURCES), _by), 2),
    approved=st.booleans(),
    accepted=st.booleans(),
    invitation=st.sampled_from(["none", "pending", "accepted", "declined", "expired", "cancelled"]),
    invited_by_hand=st.booleans(),
    welcome=st.sampled_from(["invitation", "set_password", "set_password_expired"]),
    has_seat=st.booleans(),
    slots=st.frozensets(_things, max_size=4),
)


_states = st.sampled_from(["shadow", "staged", "active", "active", "paused"])


@st.composite
def any_rules(draw: st.DrawFn) -> Rules:
    known = draw(st.permutations(SOURCES))[: draw(st.integers(0, 3))]
    return rules(
        *(
            source(
                source_id,
                priority,
                state=draw(_states),
                invite=draw(st.sampled_from(["immediate", "never"])),
                ceiling=draw(st.sampled_from([MANAGER, MANAGER, ACCOUNT_ADMIN, RoleName("no-such-role")])),
            )
            for priority, source_id in enumerate(known)
        ),
        default_project=draw(st.sampled_from([GENERAL, None, ProjectId("archived")])),
        approval_required=draw(st.booleans()),
        admin_rules=draw(st.frozensets(st.tuples(st.sampled_from(SOURCES), _rule_numbers), max_size=2)),
        archived_projects=frozenset({"archived"}),
        limited=draw(st.one_of(st.just(frozenset()), st.frozensets(_things, max_size=4))),
    )
