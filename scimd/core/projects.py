"""Org roles and project roles out of offers: who is what, and where.

- The *primary* org role decides whether a person may hold projects at all.
- The *default project* belongs to those who must have a project and whom nothing else gives one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from scimd.core.facts import Facts, MembershipFact, Rules
from scimd.core.grants import Grant, Ledger, Offer, Origin, Reason, Verdict, offer_of, offers
from scimd.core.people import ProjectId, RoleName
from scimd.core.pools import WAITS, Slots
from scimd.core.roles import BUILT_IN, MEMBER, USER, OrgRole, above_ceiling, is_account_admin


class Roles(NamedTuple):
    """The role set with the primary one first, and what the primary one is."""

    names: tuple[RoleName, ...]
    primary: OrgRole


_ONLY_USER = Reason("role:user", "no hand, no rule", Verdict.GAVE, "everybody is at least this")


def decide_roles(found: list[Offer], rules: Rules, ledger: Ledger) -> Roles:
    """The primary role and those that join it.

    A hand outranks a rule: the primary role is a manual one if there is any (of several the one with
    the most permissions), else that of the first rule by (source priority, rule number), else User.
    """
    live = [offer for offer in found if offer.kind == "role" and _may_count(offer, rules, ledger)]
    if not live:
        ledger.reasons.append(_ONLY_USER)
        return Roles((USER,), rules.roles.get(USER) or BUILT_IN[USER])
    first = min(live, key=lambda o: -len(rules.roles[RoleName(o.target)].permissions) if o.by_hand else 1)
    primary = RoleName(first.target)
    for offer in live:
        if offer is first:
            ledger.give(offer, "primary role: by hand" if offer.by_hand else "primary role: first rule")
        else:
            ledger.give(offer, "joins the role set")
    rest = sorted({RoleName(offer.target) for offer in live} - {primary})
    return Roles((primary, *rest), rules.roles[primary])


def _may_count(offer: Offer, rules: Rules, ledger: Ledger) -> bool:
    role = rules.roles.get(RoleName(offer.target))
    if role is None:
        ledger.refuse(offer, Verdict.LOST, f"there is no role {offer.target!r}")
    elif not offer.by_hand and (barred := _barred(offer, role, rules)):
        ledger.refuse(offer, Verdict.BLOCKED, barred)
    elif offer.dormant:
        ledger.rest(offer, offer.dormant)
    else:
        return True
    return False


def _barred(offer: Offer, role: OrgRole, rules: Rules) -> str:
    """Why this source may not give this role by this rule; empty where it may.

    A rule that an admin put on the list may give Account Admin whatever the ceiling: it is a
    decision about that rule, and the ceiling is one about all the others.
    """
    source_id = offer.source_id
    if is_account_admin(role):
        return (
            ""
            if (source_id, offer.rule) in rules.admin_rules
            else "no admin allowed this rule to give Account Admin"
        )
    source = rules.sources.get(source_id)
    if source is None or above_ceiling(role.name, source.ceiling, rules.roles):
        return f"{role.label} is above the ceiling of this source"
    return ""


class Projects(NamedTuple):
    """Live project roles; ``lacks`` says why nothing gives one though one is needed, or is empty."""

    roles: Mapping[ProjectId, RoleName]
    lacks: str


def decide_projects(
    found: list[Offer], rules: Rules, role: OrgRole, needs_one: bool, slots: Slots, ledger: Ledger
) -> Projects:
    """The strongest live role per project (rank, then rule number), and the default project.

    Somebody Inactive gets the default project only when no offer at all, dormant or not, is for a
    project: their deactivation must not look like a gift. The same goes for whoever may not want what
    is limited. Whoever waits for a project is in the default project meanwhile.
    """
    live: list[Offer] = []
    kept = barred = 0
    best: dict[str, Offer] = {}
    ranks = rules.project_ranks
    for offer in found:
        if offer.kind != "project":
            continue
        if offer.project_role not in ranks:
            ledger.refuse(offer, Verdict.LOST, f"there is no project role {offer.project_role!r}")
            continue
        kept += 1
        if why := _resting(offer, rules, role):
            ledger.rest(offer, why)
            continue
        if slots.without(("project", offer.target)):
            ledger.queue(offer, slots)
            barred += bool(slots.barred)
            continue
        live.append(offer)
        held = best.get(offer.target)
        if held is None or _strength(offer, ranks) < _strength(held, ranks):
            best[offer.target] = offer
    for offer in live:
        winner = best[offer.target]
        if offer is winner:
            ledger.give(offer, f"{offer.project_role}, the strongest for this project")
        else:
            ledger.give(offer, f"{winner.project_role} {winner.fact} is stronger or first", Verdict.LOST)
    held_roles = {ProjectId(target): offer.project_role for target, offer in best.items()}
    if not (needs_one and role.may_hold_projects) or (kept if ledger.asleep else live or barred):
        return Projects({} if ledger.asleep else held_roles, lacks="")
    return _default(rules, slots, ledger)


class Regiven(NamedTuple):
    """The projects of somebody who came into a group or left it, and their grants of those concerned."""

    projects: Mapping[ProjectId, RoleName]
    grants: frozenset[Grant]


def regive(
    before: Mapping[ProjectId, RoleName],
    held: Collection[Grant],
    group: MembershipFact,
    *,
    came: bool,
    rules: Rules,
    role: OrgRole,
    needs_one: bool,
) -> Regiven | None:
    """What a membership that comes or goes changes of somebody's projects; None where more may change.

    Of somebody who is not Inactive and whom the group's source owns, where nothing is limited. The group
    gives projects alone. ``held``: their grants of these, and that of the default project.
    """
    others = [grant for grant in held if grant.origin.group_id != group.group_id]
    if len(held) - len(others) != (0 if came else len(group.effects)) or any(each.dormant for each in held):
        return None
    concerned = {effect.target for effect in group.effects} | {grant.target for grant in held}
    projects = {project: name for project, name in before.items() if project not in concerned}
    facts = Facts(memberships=(group,) if came else ())
    found = offers(facts, rules, {group.source_id: ""}, [])
    found += [offer_of(grant, rules) for grant in others if grant.origin.kind != "default"]
    found.sort()
    ledger = Ledger("", [])
    slots = Slots(facts, rules, barred="")
    decided = decide_projects(found, rules, role, needs_one and not projects, slots, ledger)
    projects |= decided.roles
    if not projects or decided.lacks or any(grant.dormant for grant in ledger.grants):
        return None
    return Regiven(projects, frozenset(ledger.grants))


def _strength(offer: Offer, ranks: Mapping[RoleName, int]) -> tuple[int, int, int]:
    return -ranks[offer.project_role], offer.rule, offer.priority


def _resting(offer: Offer, rules: Rules, role: OrgRole) -> str:
    if offer.dormant:
        return offer.dormant
    if offer.target in rules.archived_projects:
        return "the project is archived"
    return "" if role.may_hold_projects else f"the role {role.label} may not hold projects"


def _default(rules: Rules, slots: Slots, ledger: Ledger) -> Projects:
    project = rules.default_project
    if project is None or project in rules.archived_projects:
        missing = (
            "the organization has no default project"
            if project is None
            else "the default project is archived"
        )
        return Projects({}, lacks=f"no grant gives a project, and {missing}")
    without = slots.without(("project", project))
    dormant = bool(ledger.asleep) or without
    ledger.grants.append(Grant("project", project, MEMBER, Origin("default"), dormant))
    verdict, why = Verdict.GAVE, "nothing else gives a project"
    if ledger.asleep:
        verdict, why = Verdict.DORMANT, ledger.asleep
    elif without:
        verdict, why = (Verdict.DORMANT if slots.barred else Verdict.WAITS), slots.why
    ledger.reasons.append(Reason(f"project:{project}", "the organization's default project", verdict, why))
    if without and not slots.barred:
        return Projects({}, lacks=f"no grant gives a project; of the default project {WAITS}")
    return Projects({} if dormant else {project: MEMBER}, lacks="")
