"""Grants and the reasons for them: what hands, groups and rules offer, and what became of each offer.

An *offer* is one effect of one membership or of one value, or one grant by hand, before it is weighed
against the others. The *ledger* collects what the weighing decides; a reason is written in the same
call that gives, rests or refuses, so that no grant is without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Literal, NamedTuple

from scimd.core.facts import Facts, ManualGrant, MembershipFact, Rules, SourceRules, ValueFact
from scimd.core.people import GroupId, RoleName, SourceId
from scimd.core.pools import Slots
from scimd.core.roles import MEMBER, EffectKind


@dataclass(frozen=True, slots=True)
class Origin:
    """Who gave a grant: an admin's hand, a source's group or value by a rule, or the organization's default.

    ``by`` names the admin, or the value (``role lead``).
    """

    kind: Literal["manual", "group", "value", "default"]
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
    WAITS = "waits"  # for one of a limited number
    BLOCKED = "blocked"  # by a gate, the ceiling, a shadow source
    SETS = "sets"  # a status cause, the owner, the wish for a seat


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of ``explain``: about what, which fact or rule, what became of it, and why."""

    about: str  # status | seat | owner | role:<name> | project:<id> | team:<id> | licence:<id>
    fact: str
    verdict: Verdict
    why: str


_BY_HAND = -1
#: After every source that has a priority: a source that is no longer there.
NO_PRIORITY = 2**31


class Offer(NamedTuple):
    """Compares in the order of precedence: hands, then source priority, then rule number, then by name."""

    priority: int
    rule: int
    kind: EffectKind
    target: str
    project_role: RoleName  # empty but for projects
    group_id: GroupId  # empty by hand and for values
    source_id: SourceId  # empty by hand
    fact: str
    by: str  # the admin, or the value; empty for groups
    dormant: str  # why the offer has no effect at present; empty where it has

    @property
    def by_hand(self) -> bool:
        return self.rule == _BY_HAND

    def grant(self, dormant: bool) -> Grant:
        project_role = self.project_role or None
        if self.rule == _BY_HAND:
            origin = Origin("manual", self.by)
        elif self.group_id == _NO_GROUP:
            origin = Origin("value", self.by, self.source_id, None, self.rule)
        else:
            origin = Origin("group", "", self.source_id, self.group_id, self.rule)
        return Grant(self.kind, self.target, project_role, origin, dormant)


def offer_of(grant: Grant, rules: Rules) -> Offer:
    """The offer from which a grant with effect follows, but for its words. Not of what nobody offered."""
    origin = grant.origin
    if origin.kind == "manual":
        hand = ManualGrant(grant.kind, grant.target, origin.by, grant.project_role)
        return _by_hand(hand)
    source_id = origin.source_id or _NO_SOURCE
    source = rules.sources.get(source_id)
    return Offer(
        source.priority if source else NO_PRIORITY,
        origin.rule or 0,
        grant.kind,
        grant.target,
        grant.project_role or _NO_ROLE,
        origin.group_id or _NO_GROUP,
        source_id,
        "",
        origin.by,
        "",
    )


class Ledger:
    """What is decided about grants. ``asleep`` says why nothing has effect (Inactive), or is empty."""

    __slots__ = ("asleep", "grants", "reasons")

    def __init__(self, asleep: str, reasons: list[Reason]) -> None:
        self.asleep = asleep
        self.grants: list[Grant] = []
        self.reasons = reasons

    def give(self, offer: Offer, why: str, verdict: Verdict = Verdict.GAVE) -> None:
        """Record a grant with effect; LOST where a stronger one decides, and this one stands behind it."""
        if self.asleep:
            self.rest(offer, self.asleep)
        else:
            self.grants.append(offer.grant(dormant=False))
            self.reasons.append(Reason(f"{offer.kind}:{offer.target}", offer.fact, verdict, why))

    def rest(self, offer: Offer, why: str, verdict: Verdict = Verdict.DORMANT) -> None:
        """Keep a grant without effect."""
        self.grants.append(offer.grant(dormant=True))
        self._say(offer, verdict, why)

    def queue(self, offer: Offer, slots: Slots) -> None:
        """Keep a grant of something limited, of which the person has no slot."""
        self.rest(offer, slots.why, Verdict.DORMANT if slots.barred else Verdict.WAITS)

    def refuse(self, offer: Offer, verdict: Verdict, why: str) -> None:
        """Give nothing. A grant by hand is a fact all the same: it is kept, dormant."""
        if offer.by_hand:
            self.grants.append(offer.grant(dormant=True))
        self._say(offer, verdict, why)

    def _say(self, offer: Offer, verdict: Verdict, why: str) -> None:
        self.reasons.append(Reason(f"{offer.kind}:{offer.target}", offer.fact, verdict, why))


def offers(facts: Facts, rules: Rules, words: Mapping[SourceId, str], reasons: list[Reason]) -> list[Offer]:
    """Everything that is offered, in the order of precedence.

    ``words`` says of each source that counts for this person why it gives nothing at present, or "".
    """
    found: list[Offer] = [_by_hand(grant) for grant in facts.grants]
    out: list[Reason] = []
    detached = {a.source_id for a in facts.assertions if a.state == "history"} - words.keys()
    heard: tuple[MembershipFact | ValueFact, ...] = (*facts.memberships, *facts.values)
    for told in heard:
        source = rules.sources.get(told.source_id)
        if source is not None and source.state == "shadow":
            out.append(
                _left_out(told, source.name, "the source is in shadow: it only shows what it would do")
            )
        elif told.source_id in detached:
            name = source.name if source else told.source_id
            out.append(_left_out(told, name, "an admin detached the person from this source"))
        else:
            _add(found, told, source, words)
    found.sort()
    reasons += sorted(out, key=attrgetter("fact", "why"))
    return found


_NO_ROLE, _NO_GROUP, _NO_SOURCE = RoleName(""), GroupId(""), SourceId("")


def _by_hand(grant: ManualGrant) -> Offer:
    role = (grant.project_role or MEMBER) if grant.kind == "project" else _NO_ROLE
    fact = f"given by {grant.by}"
    return Offer(
        _BY_HAND, _BY_HAND, grant.kind, grant.target, role, _NO_GROUP, _NO_SOURCE, fact, grant.by, ""
    )


def _add(
    found: list[Offer],
    told: MembershipFact | ValueFact,
    source: SourceRules | None,
    words: Mapping[SourceId, str],
) -> None:
    source_id = told.source_id
    group_id, by = _NO_GROUP, ""
    if isinstance(told, ValueFact):
        by = f"{told.attribute} {told.value}"
    else:
        group_id = told.group_id
    name, priority = (source.name, source.priority) if source else (str(source_id), NO_PRIORITY)
    dormant = words.get(source_id)
    if dormant is None:
        dormant = f"{name} does not list the person"
    text = _text(told, name)
    for effect in told.effects:
        rule, kind = effect.rule, effect.kind
        role = (effect.project_role or MEMBER) if kind == "project" else _NO_ROLE
        fact = f"{text}, rule {rule}" if rule else f"{text}, default for groups"
        found.append(Offer(priority, rule, kind, effect.target, role, group_id, source_id, fact, by, dormant))


def _left_out(told: MembershipFact | ValueFact, source: str, why: str) -> Reason:
    return Reason("status", _text(told, source), Verdict.BLOCKED, why)


def _text(told: MembershipFact | ValueFact, source: str) -> str:
    if isinstance(told, ValueFact):
        return f"{told.attribute} {told.value!r} of {source}"
    text = f"group {told.group_name!r} of {source}"
    return f"{text} through {' < '.join(told.path)}" if told.path else text


def decide_team(found: list[Offer], ledger: Ledger) -> str | None:
    """The first match, by hand before all. The others are kept dormant."""
    team: str | None = None
    for offer in found:
        if offer.kind != "team":
            continue
        if offer.dormant:
            ledger.rest(offer, offer.dormant)
        elif team is None:
            team = offer.target
            ledger.give(offer, "given by hand" if offer.by_hand else "the first rule that matches")
        elif offer.target == team:
            ledger.give(offer, "gives the same team")
        else:
            ledger.rest(offer, f"the team {team} comes first", Verdict.LOST)
    return None if ledger.asleep else team


def decide_licences(found: list[Offer], slots: Slots, ledger: Ledger) -> frozenset[str]:
    """Every licence that anything gives, and of which there is one for the person."""
    held: set[str] = set()
    for offer in found:
        if offer.kind != "licence":
            continue
        if offer.dormant:
            ledger.rest(offer, offer.dormant)
        elif slots.without(("licence", offer.target)):
            ledger.queue(offer, slots)
        else:
            held.add(offer.target)
            ledger.give(offer, "every licence counts")
    return frozenset() if ledger.asleep else frozenset(held)
