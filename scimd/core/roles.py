"""Roles: named sets of permissions in an organization, ranks in a project, effects of groups.

An *org role* says what a person may do in scimd and in the product's organization; a *project
role* what they may do in one project. A *rule* turns membership in a group, or a value of the user's
``roles`` or ``entitlements``, into *effects*. A *ceiling* is the org role above whose permissions a
source can give nobody anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from scimd.core.people import RoleName, SourceId

Permission = Literal[
    "users.read",
    "users.manage",
    "invitations.manage",
    "projects.manage",
    "seats.manage",
    "sources.manage",
    "plans.approve",
    "audit.read",
    "organization.manage",
    "partner.approve",
    "access.read",
    "sign_ins.report",
]
EffectKind = Literal["role", "project", "team", "licence"]
#: What of a user's document a rule may name, besides groups: a value of ``roles`` or ``entitlements``.
ValueAttribute = Literal["role", "entitlement"]
#: Where in the document its values stand.
VALUED_BY: Mapping[ValueAttribute, str] = {"role": "roles", "entitlement": "entitlements"}


@dataclass(frozen=True, slots=True)
class OrgRole:
    name: RoleName
    label: str
    permissions: frozenset[str]
    may_hold_projects: bool


USER = RoleName("user")
MANAGER = RoleName("manager")
AUDITOR = RoleName("auditor")
ACCOUNT_ADMIN = RoleName("account-admin")
OWNER = RoleName("owner")
MEMBER = RoleName("member")
VIEWER = RoleName("viewer")

BUILT_IN: Mapping[RoleName, OrgRole] = {
    role.name: role
    for role in (
        OrgRole(USER, "User", frozenset(), may_hold_projects=True),
        OrgRole(AUDITOR, "Auditor", frozenset({"users.read", "audit.read"}), may_hold_projects=False),
        OrgRole(
            MANAGER,
            "Manager",
            frozenset({"users.read", "invitations.manage", "projects.manage"}),
            may_hold_projects=False,
        ),
        OrgRole(
            ACCOUNT_ADMIN,
            "Account Admin",
            frozenset(
                {
                    "users.read",
                    "users.manage",
                    "invitations.manage",
                    "projects.manage",
                    "seats.manage",
                    "sources.manage",
                    "plans.approve",
                    "audit.read",
                    "organization.manage",
                    "access.read",
                    "sign_ins.report",
                }
            ),
            may_hold_projects=False,
        ),
    )
}
#: Project roles by rank, the strongest first.
PROJECT_RANKS: Mapping[RoleName, int] = {OWNER: 300, MEMBER: 200, VIEWER: 100}


@dataclass(frozen=True, slots=True)
class Effect:
    """What a group, or a value, gives by one rule. Rule 0 is the source's default for groups.

    ``target`` is a project's, team's or licence's id, or the name of an org role.
    """

    rule: int
    kind: EffectKind
    target: str
    project_role: RoleName | None = None


@dataclass(frozen=True, slots=True)
class SourceRule:
    """One numbered rule of a source's config. It matches by exactly one of the first four.

    ``group`` is an external id; ``pattern`` is a shell pattern on the group's display name
    (``eng-*``), case-insensitive; ``scim_role`` and ``entitlement`` are values of the user's own,
    case-insensitive. What it gives names things; the door binds the names to ids when the group, or
    the rule, appears. ``project`` may hold ``{name}``, the group's display name or the value.
    """

    number: int
    source_id: SourceId
    group: str | None = None
    pattern: str | None = None
    scim_role: str | None = None
    entitlement: str | None = None
    project: str | None = None
    project_role: RoleName = MEMBER
    role: RoleName | None = None
    team: str | None = None
    licence: str | None = None
    #: Account Admin only from a rule that an admin allowed to give it (docs/semantics.md).
    may_give_account_admin: bool = False

    @property
    def value(self) -> tuple[ValueAttribute, str] | None:
        """The value of a user's own that it names; None for a rule on groups."""
        if self.scim_role is not None:
            return "role", self.scim_role
        return None if self.entitlement is None else ("entitlement", self.entitlement)


def above_ceiling(role: RoleName, ceiling: RoleName, roles: Mapping[RoleName, OrgRole]) -> bool:
    """Whether the role holds a permission that the ceiling's role lacks.

    An unknown ceiling allows nothing that has permissions; an unknown role is above any ceiling.
    """
    wanted, top = roles.get(role), roles.get(ceiling)
    return wanted is None or not wanted.permissions <= (top.permissions if top else frozenset())


def strongest(held: Iterable[tuple[str, str | None]]) -> dict[str, RoleName]:
    """The role in each project, in the order in which they come: several grants, each a project and a role
    (None: a member), count as the strongest of them."""
    found: dict[str, RoleName] = {}
    for project, said in held:
        role = RoleName(said or MEMBER)
        if project not in found or PROJECT_RANKS.get(role, 0) > PROJECT_RANKS.get(found[project], 0):
            found[project] = role
    return found


def is_account_admin(role: OrgRole) -> bool:
    """Account Admin, or a custom role that may do all that an Account Admin may."""
    return role.name == ACCOUNT_ADMIN or role.permissions >= BUILT_IN[ACCOUNT_ADMIN].permissions
