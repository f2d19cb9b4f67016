"""What is known of a person, and what an organization decided: the two things that standing takes.

Everybody but the decision's own modules imports these names from ``scimd.core.standing``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from scimd.core.people import GroupId, ProjectId, RoleName, SourceId
from scimd.core.roles import Effect, EffectKind, OrgRole, ValueAttribute

SourceState = Literal["shadow", "staged", "active", "paused"]
#: ``live``: asserted. ``gone``: dropped by the source (absent from a complete read, DELETE, out of
#: scope). ``history``: detached by an admin, says nothing any more.
AssertionState = Literal["live", "gone", "history"]
#: What became of the newest invitation; ``none`` where there never was one. ``cancelled`` is one that
#: an admin withdrew. One that scimd cancelled itself, because the person became Inactive, or that had expired
#: by then, counts as ``none``: their return makes a new one. So does one of whoever bore the name before.
InvitationState = Literal["none", "pending", "accepted", "declined", "expired", "cancelled"]
#: How a local person comes in: by an invitation, or by a link to set a password in its place, live or lapsed.
Welcome = Literal["invitation", "set_password", "set_password_expired"]
#: What people are given, by kind and id: ``("licence", …)``.
Thing: TypeAlias = tuple[EffectKind, str]


@dataclass(frozen=True, slots=True)
class AssertionFact:
    source_id: SourceId
    active: bool
    state: AssertionState = "live"
    #: The source itself was told to delete the person (SCIM DELETE), rather than losing sight.
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class MembershipFact:
    """Membership in one group, direct (path empty) or through the groups of the path, outermost last."""

    source_id: SourceId
    group_id: GroupId
    group_name: str
    path: tuple[str, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class ValueFact:
    """A value of ``roles`` or ``entitlements`` that a source asserts and a rule names (RFC 7643 §4.1.2)."""

    source_id: SourceId
    attribute: ValueAttribute
    value: str
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class ManualGrant:
    kind: EffectKind
    target: str
    by: str
    project_role: RoleName | None = None


@dataclass(frozen=True, slots=True)
class GateFact:
    kind: Literal["deactivated", "disabled", "deleted"]
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Reinstatement:
    """An admin undid this source's deactivation; counts until the source says active again."""

    source_id: SourceId
    by: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known of one person, but for who it is. Order of the tuples carries no meaning."""

    service_account: bool = False
    has_address: bool = True
    assertions: tuple[AssertionFact, ...] = ()
    memberships: tuple[MembershipFact, ...] = ()
    values: tuple[ValueFact, ...] = ()
    grants: tuple[ManualGrant, ...] = ()
    gates: tuple[GateFact, ...] = ()
    reinstated: tuple[Reinstatement, ...] = ()
    approved: bool = True
    #: Accepted an invitation once, or was made with a credential; then nothing is left to accept.
    accepted: bool = False
    invitation: InvitationState = "none"
    #: A hand invited them once, whatever became of it: somebody else's word than the sources'.
    invited_by_hand: bool = False
    welcome: Welcome = "invitation"
    has_seat: bool = False
    #: The limited things of which the person holds one: what a pool gave, until it is not wanted.
    slots: frozenset[Thing] = frozenset()


@dataclass(frozen=True, slots=True)
class SourceRules:
    id: SourceId
    name: str
    kind: Literal["scim", "connector"]
    #: The lower the number, the higher the priority; unique in an organization.
    priority: int
    state: SourceState
    invite: Literal["immediate", "never"]
    #: No source gives a role with a permission that this role lacks.
    ceiling: RoleName


@dataclass(frozen=True, slots=True)
class Rules:
    """What an organization decided, as of one generation."""

    version: int
    sources: Mapping[SourceId, SourceRules]
    roles: Mapping[RoleName, OrgRole]
    project_ranks: Mapping[RoleName, int]
    default_project: ProjectId | None
    approval_required: bool = False
    #: (source, rule number) pairs that may give Account Admin.
    admin_rules: frozenset[tuple[SourceId, int]] = frozenset()
    archived_projects: frozenset[str] = frozenset()
    #: Projects and licences that only a limited number of people may have (``core.pools``).
    limited: frozenset[Thing] = frozenset()
