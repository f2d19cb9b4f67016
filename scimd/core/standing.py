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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple

from scimd.core.facts import (
    AssertionFact,
    AssertionState,
    Facts,
    GateFact,
    InvitationState,
    ManualGrant,
    MembershipFact,
    Reinstatement,
    Rules,
    SourceRules,
    SourceState,
    Thing,
    ValueFact,
)
from scimd.core.grants import (
    NO_PRIORITY,
    Grant,
    Ledger,
    Origin,
    Reason,
    Verdict,
    decide_licences,
    decide_team,
    offers,
)
from scimd.core.people import ProjectId, RoleName, SourceId
from scimd.core.pools import Slots
from scimd.core.projects import decide_projects, decide_roles
from scimd.core.roles import USER

__all__ = [
    "AssertionFact",
    "AssertionState",
    "Cause",
    "CauseKind",
    "Facts",
    "GateFact",
    "Grant",
    "InvitationState",
    "ManualGrant",
    "MembershipFact",
    "Origin",
    "Reason",
    "Reinstatement",
    "Rules",
    "SourceRules",
    "SourceState",
    "Standing",
    "Status",
    "Thing",
    "ValueFact",
    "Verdict",
    "kinds_of",
    "standing",
]


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
    SHADOW = "shadow"  # known only to a source in shadow, which gives nothing yet
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

    @classmethod
    def parse(cls, text: str) -> Cause:
        """A cause from the text that ``str`` makes of it, as it is stored."""
        kind, _, by = text.partition(":")
        return cls(CauseKind(kind), by)

    def __str__(self) -> str:
        return f"{self.kind}:{self.by}" if self.by else str(self.kind)


def kinds_of(causes: Iterable[str]) -> set[CauseKind]:
    """The kinds of causes as they are stored."""
    return {Cause.parse(text).kind for text in causes}


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
    #: An invitation has to be open for this person (sent at once or staged) as far as a seat allows.
    needs_invitation: bool
    grants: frozenset[Grant] = frozenset()
    #: The limited things of which the person wants a slot, or holds one with reason.
    slots: frozenset[Thing] = frozenset()
    #: Here only by an invitation that was declined, withdrawn or has expired: not in the list of people.
    lapsed: bool = False
    reasons: tuple[Reason, ...] = field(default=(), compare=False)

    @property
    def may_enter(self) -> bool:
        return self.status is Status.ACTIVE


_STRENGTH = {kind: rank for rank, kind in enumerate(CauseKind)}
_LIVE, _GONE = 0, 1


def standing(facts: Facts, rules: Rules) -> Standing:
    """Work out what follows from the facts under the rules.

    Total and deterministic: the order of the tuples does not matter, and nothing in the facts makes
    it fail. A source that the rules do not know is one that has ended: what it asserted is dropped.
    Roles, projects, team and licences are those with effect now, so that somebody Inactive is a User
    with nothing; what comes back with them is among the grants, dormant. ``owner`` stays the source
    that dropped the person last standing, until an admin detaches it.
    """
    reasons: list[Reason] = []
    sources = _hear(facts, rules, reasons)
    ends = _ends(facts, sources, reasons)
    if ends and facts.invitation == "expired":
        facts = replace(facts, invitation="none")  # so it counts from now on, and when they return
    ends.sort(key=_strength)
    ledger = Ledger(f"Inactive: {ends[0]}" if ends else "", reasons)
    found = offers(facts, rules, sources.words, reasons)
    shadowed = _only_shadow(facts, sources)
    roles, primary = decide_roles(found, rules, ledger)
    blocks = _blocks(facts, rules, sources.owner, shadowed, reasons)
    against = min(ends + blocks, key=_strength, default="")
    slots = Slots(facts, rules, barred=str(against))
    needs_project = not (facts.service_account or shadowed)
    projects, lacks = decide_projects(found, rules, primary, needs_project, slots, ledger)
    if lacks:
        blocks.append(_NO_PROJECT)
        _say(reasons, _NO_PROJECT, lacks, "a person with this role needs a project")
    outcome = _outcome(facts, sources.owner, ends, blocks, reasons)
    return Standing(
        status=outcome.status,
        causes=outcome.causes,
        owner=sources.owner_id,
        roles=(USER,) if ends else roles,
        projects=projects,
        team=decide_team(found, ledger),
        licences=decide_licences(found, slots, ledger),
        wants_seat=outcome.wants_seat,
        status_with_seat=outcome.with_seat,
        needs_invitation=outcome.needs_invitation,
        grants=frozenset(ledger.grants),
        slots=frozenset(slots.wanted),
        lapsed=not ends and _only_lapsed(facts),
        reasons=tuple(reasons),
    )


# ------------------------------------------------------------------------------ what sources say


class _Word(NamedTuple):
    """One assertion that counts; compares in the order in which sources decide."""

    priority: int
    state: int
    active: bool  # where a source asserts somebody twice, its active=false weighs more
    name: str
    source_id: SourceId
    deleted: bool


class _Sources(NamedTuple):
    heard: list[_Word]  # one per source, the deciding one first
    words: dict[SourceId, str]  # why this source's grants rest at present, or ""
    owner_id: SourceId | None
    owner: SourceRules | None
    shadows: list[str]


def _hear(facts: Facts, rules: Rules, reasons: list[Reason]) -> _Sources:
    """What the sources say that count: not those in shadow, not the detached ones."""
    said: list[_Word] = []
    shadows: list[str] = []
    out: list[Reason] = []
    for assertion in facts.assertions:
        source = rules.sources.get(assertion.source_id)
        name = source.name if source else str(assertion.source_id)
        if assertion.state == "history":
            out.append(Reason("owner", name, Verdict.BLOCKED, "an admin detached the person from it"))
        elif source is not None and source.state == "shadow":
            shadows.append(name)
            out.append(Reason("owner", name, Verdict.BLOCKED, "a source in shadow gives and takes nothing"))
        else:
            state = _LIVE if source and assertion.state == "live" else _GONE
            priority = source.priority if source else NO_PRIORITY
            said.append(
                _Word(priority, state, assertion.active, name, assertion.source_id, assertion.deleted)
            )
    reasons += sorted(out, key=attrgetter("fact", "why"))
    said.sort()
    first: dict[SourceId, _Word] = {}
    for word in said:
        first.setdefault(word.source_id, word)
    heard = list(first.values())
    reinstated = {r.source_id for r in facts.reinstated}
    words = {word.source_id: _rests(word, word.source_id in reinstated) for word in heard}
    owner = next((word for word in heard if word.state == _LIVE), heard[0] if heard else None)
    _say_owner(heard, owner, reasons)
    owner_id = owner.source_id if owner else None
    return _Sources(heard, words, owner_id, rules.sources.get(owner_id) if owner_id else None, shadows)


def _rests(word: _Word, reinstated: bool) -> str:
    if word.state == _GONE:
        return f"{word.name} no longer lists the person"
    return "" if word.active or reinstated else f"{word.name} says active=false"


def _say_owner(heard: list[_Word], owner: _Word | None, reasons: list[Reason]) -> None:
    if owner is None:
        reasons.append(Reason("owner", "no source", Verdict.SETS, "the profile is a local one"))
    for word in heard:
        if word is owner:
            reasons.append(
                Reason("owner", word.name, Verdict.SETS, "the first source that asserts the person")
            )
        elif word.state == _GONE:
            reasons.append(Reason("owner", word.name, Verdict.LOST, "it no longer lists the person"))
        else:
            reasons.append(Reason("owner", word.name, Verdict.LOST, "another source comes first"))


def _only_shadow(facts: Facts, sources: _Sources) -> list[str]:
    """The shadow sources by which alone the person is known; empty where anything else speaks for them."""
    known = (
        sources.heard
        or facts.accepted
        or facts.invited_by_hand
        or facts.welcome != "invitation"
        or facts.grants
        or any(assertion.state == "history" for assertion in facts.assertions)
    )
    return [] if known else sorted(sources.shadows)


# ------------------------------------------------------------------------------ status and seat


def _ends(facts: Facts, sources: _Sources, reasons: list[Reason]) -> list[Cause]:
    """The causes that make Inactive: gates by hand, and the owner's word."""
    causes: list[Cause] = []
    for gate in sorted({(gate.kind, gate.by) for gate in facts.gates}):
        causes.append(Cause(CauseKind(gate[0]), gate[1]))
        _say(reasons, causes[-1], f"{gate[0]} by {gate[1]}", "a decision by hand, which no source undoes")
    if sources.heard:
        _hear_owner(facts, sources, causes, reasons)
    return causes


def _hear_owner(facts: Facts, sources: _Sources, causes: list[Cause], reasons: list[Reason]) -> None:
    owner = next(word for word in sources.heard if word.source_id == sources.owner_id)
    if owner.state == _GONE:
        causes.append(Cause(CauseKind.DEPROVISIONED, owner.name))
        how = "was told to delete the person" if owner.deleted else "no longer lists the person"
        _say(reasons, causes[-1], f"{owner.name} {how}", "no other source asserts the person")
    elif not owner.active:
        said = f"{owner.name} says active=false"
        by = sorted(r.by for r in facts.reinstated if r.source_id == owner.source_id)
        if by:
            why = f"reinstated by {by[0]}, until the source says active=true"
            reasons.append(Reason("status", said, Verdict.BLOCKED, why))
        else:
            causes.append(Cause(CauseKind.DEPROVISIONED, owner.name))
            _say(reasons, causes[-1], said, "the owner of the person decides, whoever else lists them")


_CLOSED: Mapping[InvitationState, CauseKind] = {
    "declined": CauseKind.INVITATION_DECLINED,
    "expired": CauseKind.INVITATION_EXPIRED,
    "cancelled": CauseKind.INVITATION_WITHDRAWN,
}


def _blocks(
    facts: Facts,
    rules: Rules,
    owner: SourceRules | None,
    shadowed: list[str],
    reasons: list[Reason],
) -> list[Cause]:
    """The causes that make Pending and leave no wish for a seat, or for anything that is limited."""
    causes: list[Cause] = []

    def block(kind: CauseKind, fact: str, why: str, by: str = "") -> None:
        causes.append(Cause(kind, by))
        _say(reasons, causes[-1], fact, why)

    if shadowed:
        block(
            CauseKind.SHADOW,
            f"known only to {', '.join(shadowed)}",
            "a source in shadow gives nothing",
            shadowed[0],
        )
    if rules.approval_required and not facts.approved:
        block(CauseKind.NOT_APPROVED, "not approved", "the partner has to approve the person first")
    if _must_accept(facts, owner):
        if not facts.has_address:
            block(CauseKind.NO_ADDRESS, "no mail address", "an invitation has nowhere to go")
        way_in = _way_in(facts, owner)
        if closed := _CLOSED.get(way_in):
            added = facts.welcome == "set_password_expired" and owner is None
            what = "link to set a password" if added else "invitation"
            block(closed, f"the {what} is {way_in}", "it was the way in; a new one opens it")
    return causes


def _must_accept(facts: Facts, owner: SourceRules | None) -> bool:
    invites = owner is None or owner.invite == "immediate"
    return invites and not facts.accepted and not facts.service_account


def _way_in(facts: Facts, owner: SourceRules | None) -> InvitationState:
    """What became of the link to set a password, where there is one in place of an invitation.

    Once it has lapsed, a source that owns the person invites them.
    """
    if facts.welcome == "set_password":
        return "pending"
    return "expired" if facts.welcome == "set_password_expired" and owner is None else facts.invitation


def _only_lapsed(facts: Facts) -> bool:
    """Nothing but an invitation ever spoke for the person, and it is over."""
    came = facts.accepted or facts.service_account or facts.assertions
    return not came and facts.welcome == "invitation" and facts.invitation in _CLOSED


class _Outcome(NamedTuple):
    status: Status
    causes: tuple[Cause, ...]
    wants_seat: bool
    with_seat: Status
    needs_invitation: bool


_INVITED = Cause(CauseKind.INVITED)
_NO_PROJECT = Cause(CauseKind.NO_PROJECT)
_WAITING = Cause(CauseKind.WAITING_FOR_SEAT)
_ACTIVE = Reason("status", "active", Verdict.SETS, "nothing stands against it")
_TAKES = "whoever is Active, or only has to accept, takes a seat"
_SEAT_HELD = Reason("seat", "held", Verdict.SETS, _TAKES)
_SEAT_WANTED = Reason("seat", "wanted", Verdict.SETS, _TAKES)
_NO_SEAT = Reason("seat", "none", Verdict.SETS, "service accounts take no seat")


def _outcome(
    facts: Facts, owner: SourceRules | None, ends: list[Cause], blocks: list[Cause], reasons: list[Reason]
) -> _Outcome:
    """Status, causes and the wish for a seat, from all that speaks against Active."""
    causes = ends + blocks
    invited = not causes and _must_accept(facts, owner)
    wants = not causes and not facts.service_account
    with_seat = Status.INACTIVE if ends else Status.PENDING if blocks or invited else Status.ACTIVE
    waits = wants and not facts.has_seat
    if waits:
        causes.append(_WAITING)
        _say(reasons, _WAITING, "no seat is held", "all seats were taken, or the seat is not given yet")
    if invited:
        causes.append(_INVITED)
        if facts.welcome == "set_password":
            _say(reasons, _INVITED, "added directly", "the person has to set a password first, by a link")
        else:
            fact = f"invitation: {_way_in(facts, owner)}"
            _say(reasons, _INVITED, fact, "the person has to accept first")
    if not causes:
        reasons.append(_ACTIVE)
    reasons.append(_seat_reason(facts, wants, causes))
    causes.sort(key=_strength)
    # Whoever was sent a link to set a password needs no second way in.
    needs_invitation = invited and facts.welcome != "set_password"
    return _Outcome(Status.PENDING if waits else with_seat, tuple(causes), wants, with_seat, needs_invitation)


def _seat_reason(facts: Facts, wants: bool, causes: list[Cause]) -> Reason:
    if wants:
        return _SEAT_HELD if facts.has_seat else _SEAT_WANTED
    if causes:
        return Reason("seat", "none", Verdict.BLOCKED, f"no seat while {causes[0]}")
    return _NO_SEAT


def _strength(cause: Cause) -> tuple[int, str]:
    return _STRENGTH[cause.kind], cause.by


def _say(reasons: list[Reason], cause: Cause, fact: str, why: str) -> None:
    reasons.append(Reason("status", fact, Verdict.SETS, f"{cause}: {why}"))
