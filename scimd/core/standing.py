"""standing(facts, rules): what follows for one person from everything that is known of them.

The only place in which a status, a role, a project, a seat or their reasons are worked out. Every
door records facts and asks this function; ``explain`` prints what it returned.

- *Facts*: what the sources assert, grants by hand, gates, approval, acceptance.
- *Rules*: the sources' settings, the organization's roles, its default project.
- A *gate* is a local decision that no push undoes: deactivated, disabled (by an admin), deleted.
- A *grant* is one reason for one thing; a thing may be given by several grants.
- *Dormant*: granted, kept, and without effect for now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from scimd.core.people import GroupId, PersonId, ProjectId, RoleName, SourceId
from scimd.core.roles import Effect, EffectKind, OrgRole


class Status(StrEnum):
    ACTIVE = "active"
    PENDING = "pending"
    INACTIVE = "inactive"


class CauseKind(StrEnum):
    """Why somebody is not simply Active; the strongest first."""

    DELETED = "deleted"
    DEACTIVATED = "deactivated"  # by an admin; lifted by Reactivate or by a new invitation
    DISABLED = "disabled"  # by an admin; lifted by Enable only
    DEPROVISIONED = "deprovisioned"  # by a source
    NOT_APPROVED = "not_approved"
    NO_PROJECT = "no_project"
    NO_ADDRESS = "no_address"  # must accept an invitation, and has nowhere to be sent one
    INVITATION_DECLINED = "invitation_declined"
    INVITATION_EXPIRED = "invitation_expired"
    INVITATION_WITHDRAWN = "invitation_withdrawn"
    WAITING_FOR_SEAT = "waiting_for_seat"
    INVITED = "invited"  # not accepted yet: the invitation is staged, owed or sent


@dataclass(frozen=True, slots=True)
class Cause:
    """``by`` names the source or the admin; empty where nobody did it."""

    kind: CauseKind
    by: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.by}" if self.by else str(self.kind)


SourceState = Literal["shadow", "staged", "active", "paused"]
#: ``live``: asserted. ``gone``: dropped by the source (absent from a complete read, DELETE, out of
#: scope). ``history``: detached by an admin, says nothing any more.
AssertionState = Literal["live", "gone", "history"]
#: What became of the newest invitation; ``none`` where there never was one.
InvitationState = Literal["none", "pending", "accepted", "declined", "expired", "cancelled"]


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
    """Everything that is known of one person. Order of the tuples carries no meaning."""

    person_id: PersonId
    service_account: bool = False
    has_address: bool = True
    assertions: tuple[AssertionFact, ...] = ()
    memberships: tuple[MembershipFact, ...] = ()
    grants: tuple[ManualGrant, ...] = ()
    gates: tuple[GateFact, ...] = ()
    reinstated: tuple[Reinstatement, ...] = ()
    approved: bool = True
    #: Accepted an invitation once, or was made with a credential; then nothing is left to accept.
    accepted: bool = False
    invitation: InvitationState = "none"
    has_seat: bool = False


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


@dataclass(frozen=True, slots=True)
class Origin:
    """Who gave a grant: an admin's hand, a source's group by a rule, or the organization's default."""

    kind: Literal["manual", "group", "default"]
    by: str = ""
    source_id: SourceId | None = None
    group_id: GroupId | None = None
    rule: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """One reason for one thing. Stored as an open span for as long as standing returns it."""

    kind: EffectKind
    target: str
    project_role: RoleName | None
    origin: Origin
    dormant: bool = False


class Verdict(StrEnum):
    """What became of one fact or rule in the decision."""

    GAVE = "gave"
    LOST = "lost"  # another one won
    DORMANT = "dormant"
    BLOCKED = "blocked"  # by a gate, the ceiling, a shadow source
    SETS = "sets"  # a status cause, the owner, the wish for a seat


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of ``explain``: about what, which fact or rule, what became of it, and why."""

    about: str  # status | seat | owner | role:<name> | project:<id> | team:<id> | licence:<id>
    fact: str
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What follows. ``status`` counts the seat held in the facts; the other two are for settling."""

    status: Status
    causes: tuple[Cause, ...]
    #: The source whose document is the person's profile and whose word is their status; None: local.
    owner: SourceId | None
    #: The primary org role first, then the rest of the role set by name.
    roles: tuple[RoleName, ...]
    #: The strongest live project role per project; dormant ones are only among the grants.
    projects: Mapping[ProjectId, RoleName]
    team: str | None
    licences: frozenset[str]
    wants_seat: bool
    status_with_seat: Status
    status_without_seat: Status
    #: An invitation has to be open for this person (sent at once or staged) as far as a seat allows.
    needs_invitation: bool
    grants: frozenset[Grant] = frozenset()
    reasons: tuple[Reason, ...] = field(default=(), compare=False)

    @property
    def may_enter(self) -> bool:
        return self.status is Status.ACTIVE
