"""standing(facts, rules): one test per sentence of the semantics."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scimd.core.people import ProjectId, RoleName
from scimd.core.roles import ACCOUNT_ADMIN, AUDITOR, MANAGER, MEMBER, OWNER, USER, VIEWER, Effect
from scimd.core.standing import (
    Cause,
    CauseKind,
    Grant,
    ManualGrant,
    Origin,
    Reinstatement,
    Status,
    Verdict,
    standing,
)

from .people import (
    ENGINEER,
    GENERAL,
    HR,
    LDAP,
    NOON,
    OKTA,
    SUPER,
    by,
    causes,
    decide,
    facts,
    gate,
    in_group,
    project,
    role,
    rules,
    source,
    with_role,
)

INVITES = rules(source(HR, invite="immediate"))


def live(of: object) -> set[tuple[str, str]]:
    return {(g.kind, g.target) for g in of.grants if not g.dormant}  # type: ignore[attr-defined]


def why(of: object, about: str, verdict: Verdict) -> list[str]:
    return [r.why for r in of.reasons if r.about == about and r.verdict is verdict]  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------ two sources


def test_highest_priority_source_owns_the_person():
    assert decide(by(OKTA), by(HR)).owner == HR


def test_owner_that_says_inactive_makes_inactive_whoever_else_lists_the_person():
    found = decide(by(HR, active=False), by(OKTA))
    assert (found.status, causes(found), found.owner) == (Status.INACTIVE, ["deprovisioned:hr"], HR)


def test_absence_hands_over_to_the_next_source_and_the_seat_stays():
    found = decide(by(HR, state="gone"), by(OKTA))
    assert (found.status, found.owner, found.wants_seat) == (Status.ACTIVE, OKTA, True)


def test_lower_source_that_says_inactive_takes_only_its_own_grants():
    memberships = (in_group(project("apollo")), in_group(project("gemini"), OKTA))
    found = decide(by(HR), by(OKTA, active=False), memberships=memberships)
    assert found.status is Status.ACTIVE
    assert found.projects == {"apollo": MEMBER}
    assert why(found, "project:gemini", Verdict.DORMANT) == ["okta says active=false"]


def test_last_assertion_dropped_makes_inactive_by_that_source():
    found = decide(by(HR, state="gone"))
    assert (found.status, causes(found), found.owner) == (Status.INACTIVE, ["deprovisioned:hr"], HR)


def test_of_several_that_dropped_the_person_the_first_by_priority_is_named():
    assert causes(decide(by(OKTA, state="gone"), by(HR, state="gone"))) == ["deprovisioned:hr"]


def test_source_that_has_ended_counts_as_a_drop():
    found = decide(by(LDAP), memberships=(in_group(project(), LDAP),))
    assert causes(found) == ["deprovisioned:ldap"]
    assert live(found) == set()


def test_person_without_source_is_local():
    found = decide()
    assert (found.owner, found.status) == (None, Status.ACTIVE)


def test_detached_assertion_says_nothing_any_more():
    found = decide(by(HR, active=False, state="history"), memberships=(in_group(project()),))
    assert (found.owner, found.status) == (None, Status.ACTIVE)
    assert {g.target for g in found.grants} == {GENERAL}


# ------------------------------------------------------------------------------ active=false, gates


def test_deprovisioned_person_keeps_grants_dormant_and_they_come_back():
    given = {"memberships": (in_group(project()), in_group(role(MANAGER)))}
    off, on = decide(by(HR, active=False), **given), decide(by(HR), **given)
    assert live(off) == set()
    assert {replace(g, dormant=False) for g in off.grants} >= {g for g in on.grants if not g.dormant}
    assert off.roles == (USER,)
    assert on.roles == (MANAGER,)


@pytest.mark.parametrize("kind", ["deactivated", "disabled", "deleted"])
def test_gate_makes_inactive_and_survives_every_push(kind):
    found = decide(by(HR), gates=(gate(kind),), memberships=(in_group(project()),))
    assert (found.status, causes(found), found.wants_seat) == (Status.INACTIVE, [f"{kind}:ann"], False)
    assert live(found) == set()


def test_all_causes_are_shown_the_strongest_first():
    found = decide(
        by(HR, active=False),
        gates=(gate("disabled", "bob"), gate("deactivated", "ann")),
        approved=False,
        under=rules(default_project=None, approval_required=True),
    )
    assert causes(found) == [
        "deactivated:ann",
        "disabled:bob",
        "deprovisioned:hr",
        "not_approved",
        "no_project",
    ]


def test_reinstated_by_admin_lifts_the_sources_deactivation_and_wakes_its_grants():
    found = decide(
        by(HR, active=False), reinstated=(Reinstatement(HR, "ann"),), memberships=(in_group(project()),)
    )
    assert (found.status, found.projects) == (Status.ACTIVE, {"apollo": MEMBER})


@pytest.mark.parametrize(
    ("assertion", "more"),
    [
        (by(HR, active=False), {"gates": (gate(),)}),
        (by(HR, state="gone"), {}),
    ],
)
def test_reinstated_lifts_nothing_else(assertion, more):
    assert decide(assertion, reinstated=(Reinstatement(HR, "ann"),), **more).status is Status.INACTIVE


def test_deactivation_without_projects_gives_no_default_project():
    off = decide(by(HR, active=False), memberships=(in_group(project()),))
    assert {g.target for g in off.grants} == {"apollo"}


# ------------------------------------------------------------------------------ seats, invitations


@pytest.mark.parametrize(
    ("more", "status", "expected", "wants"),
    [
        ({}, Status.ACTIVE, [], True),
        ({"has_seat": False}, Status.PENDING, ["waiting_for_seat"], True),
        ({"accepted": False}, Status.PENDING, ["invited"], True),
        ({"accepted": False, "has_seat": False}, Status.PENDING, ["waiting_for_seat", "invited"], True),
        ({"accepted": False, "invitation": "pending"}, Status.PENDING, ["invited"], True),
        ({"accepted": False, "invitation": "declined"}, Status.PENDING, ["invitation_declined"], False),
        ({"accepted": False, "invitation": "expired"}, Status.PENDING, ["invitation_expired"], False),
        ({"accepted": False, "invitation": "cancelled"}, Status.PENDING, ["invitation_withdrawn"], False),
        ({"accepted": False, "has_address": False}, Status.PENDING, ["no_address"], False),
        ({"accepted": True, "invitation": "expired"}, Status.ACTIVE, [], True),
        ({"accepted": True, "has_address": False}, Status.ACTIVE, [], True),
        ({"service_account": True, "accepted": False, "has_seat": False}, Status.ACTIVE, [], False),
        ({"gates": (gate(),), "accepted": False}, Status.INACTIVE, ["deactivated:ann"], False),
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_who_takes_a_seat(local, more, status, expected, wants):
    found = decide(*(() if local else (by(HR),)), under=INVITES, **more)
    assert (found.status, causes(found), found.wants_seat) == (status, expected, wants)
    assert found.needs_invitation == ("invited" in expected)


def test_source_whose_people_sign_in_by_it_has_nothing_to_accept():
    found = decide(by(HR), accepted=False)
    assert (found.status, found.needs_invitation) == (Status.ACTIVE, False)


def test_status_with_a_seat_says_what_settling_will_find():
    found = decide(by(HR), accepted=False, has_seat=False)
    assert (found.status_with_seat, found.status) == (Status.ACTIVE, Status.PENDING)


def test_unapproved_person_is_pending_without_seat_or_mail():
    found = decide(accepted=False, approved=False, under=rules(approval_required=True))
    assert (found.status, causes(found)) == (Status.PENDING, ["not_approved"])
    assert not found.wants_seat
    assert not found.needs_invitation


def test_approval_matters_only_where_it_is_required():
    assert decide(by(HR), approved=False).status is Status.ACTIVE


# ------------------------------------------------------------------------------ source states


def test_shadow_source_is_left_out_wholly():
    under = rules(source(HR, state="shadow"), source(OKTA, 2))
    with_it = decide(by(HR, active=False), by(OKTA), memberships=(in_group(role(MANAGER)),), under=under)
    assert with_it == decide(by(OKTA), under=under)


def test_person_known_only_to_a_shadow_source_gets_neither_seat_nor_mail_nor_grant():
    found = decide(by(HR), accepted=False, has_seat=False, under=rules(source(HR, state="shadow")))
    assert (found.status, causes(found)) == (Status.PENDING, ["shadow:hr"])
    assert (found.wants_seat, found.needs_invitation, found.grants) == (False, False, frozenset())


def test_local_person_whom_a_shadow_source_lists_stays_as_they_are():
    assert decide(by(HR), under=rules(source(HR, state="shadow"))).status is Status.ACTIVE


@pytest.mark.parametrize("state", ["staged", "paused"])
def test_staged_and_paused_sources_count(state):
    found = decide(by(HR), under=rules(source(HR, state=state)), memberships=(in_group(project()),))
    assert (found.owner, found.projects) == (HR, {"apollo": MEMBER})


# ------------------------------------------------------------------------------ roles


def test_primary_role_is_that_of_the_first_matching_rule():
    memberships = (in_group(role(MANAGER, rule=2)), in_group(role(AUDITOR, rule=1)))
    under = rules(source(HR, ceiling=ACCOUNT_ADMIN))
    assert decide(by(HR), memberships=memberships, under=under).roles == (AUDITOR, MANAGER)


def test_source_priority_comes_before_the_rule_number():
    memberships = (in_group(role(MANAGER, rule=2)), in_group(role(USER, rule=1), OKTA))
    assert decide(by(HR), by(OKTA), memberships=memberships).roles == (MANAGER, USER)


def test_no_match_is_user():
    assert decide(by(HR)).roles == (USER,)


def test_role_by_hand_is_primary_and_the_rules_roles_join():
    grants = (ManualGrant("role", AUDITOR, "ann"), ManualGrant("role", MANAGER, "ann"))
    found = decide(by(HR), grants=grants, memberships=(in_group(role(ENGINEER)),))
    assert found.roles == (MANAGER, AUDITOR, ENGINEER)


def test_role_above_the_ceiling_is_blocked_with_the_reason():
    under = rules(source(HR, ceiling=AUDITOR))
    found = decide(by(HR), memberships=(in_group(role(MANAGER)),), under=under)
    assert found.roles == (USER,)
    assert why(found, "role:manager", Verdict.BLOCKED) == ["Manager is above the ceiling of this source"]


@pytest.mark.parametrize("name", [ACCOUNT_ADMIN, SUPER])
@pytest.mark.parametrize("ceiling", [MANAGER, ACCOUNT_ADMIN])
@pytest.mark.parametrize("rule", [1, 2])
def test_account_admin_comes_only_from_an_allowed_rule(name, ceiling, rule):
    under = rules(source(HR, ceiling=ceiling), admin_rules=frozenset({(HR, 2)}))
    found = decide(by(HR), memberships=(in_group(role(name, rule)),), under=under)
    assert found.roles == ((name,) if rule == 2 else (USER,))


def test_account_admin_by_hand_needs_no_list():
    assert decide(by(HR), grants=(ManualGrant("role", ACCOUNT_ADMIN, "ann"),)).roles == (ACCOUNT_ADMIN,)


def test_unknown_role_is_lost_with_a_reason():
    found = decide(by(HR), memberships=(in_group(role(RoleName("chef"))),))
    assert found.roles == (USER,)
    assert why(found, "role:chef", Verdict.LOST) == ["there is no role 'chef'"]


# ------------------------------------------------------------------------------ projects


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (project(role=VIEWER, rule=1), project(role=OWNER, rule=2), OWNER),
        (project(role=MEMBER, rule=2), project(role=MEMBER, rule=1), MEMBER),
        (project(role=MEMBER, rule=1), project(role=RoleName("no-such-rank"), rule=2), MEMBER),
    ],
)
def test_strongest_project_role_wins_then_the_rule_number(first, second, winner):
    found = decide(by(HR), memberships=(in_group(first), in_group(second, group="ops")))
    assert found.projects == {"apollo": winner}
    gave = [r.fact for r in found.reasons if r.about == "project:apollo" and r.verdict is Verdict.GAVE]
    strongest = "rule 2" if winner is OWNER else "rule 1"
    assert len(gave) == 1
    assert gave[0].endswith(strongest)


def test_weaker_grant_stays_behind_the_stronger():
    found = decide(
        by(HR), memberships=(in_group(project()),), grants=(ManualGrant("project", "apollo", "ann", OWNER),)
    )
    assert found.projects == {"apollo": OWNER}
    assert len([g for g in found.grants if not g.dormant]) == 2


def test_role_that_may_not_hold_projects_keeps_them_dormant():
    found = decide(by(HR), memberships=(in_group(project()), in_group(role(MANAGER))))
    assert (found.status, found.projects) == (Status.ACTIVE, {})
    assert why(found, "project:apollo", Verdict.DORMANT) == ["the role Manager may not hold projects"]


def test_custom_role_may_hold_projects():
    found = decide(by(HR), memberships=(in_group(project()), in_group(role(ENGINEER))))
    assert found.projects == {"apollo": MEMBER}


def test_default_project_while_nothing_else_gives_one():
    found = decide(by(HR))
    assert found.projects == {GENERAL: MEMBER}
    assert found.grants == {Grant("project", GENERAL, MEMBER, Origin("default"))}
    assert GENERAL not in decide(by(HR), memberships=(in_group(project()),)).projects


@pytest.mark.parametrize(
    "under", [rules(default_project=None), rules(archived_projects=frozenset({GENERAL}))]
)
def test_no_default_project_is_pending_without_a_seat(under):
    found = decide(by(HR), under=under)
    assert (found.status, causes(found), found.wants_seat) == (Status.PENDING, ["no_project"], False)


def test_manager_needs_no_project():
    found = decide(by(HR), memberships=(in_group(role(MANAGER)),), under=rules(default_project=None))
    assert (found.status, found.causes) == (Status.ACTIVE, ())


def test_service_account_needs_no_project():
    assert decide(service_account=True, under=rules(default_project=None)).status is Status.ACTIVE
    assert decide(service_account=True).grants == frozenset()


def test_archived_project_gives_nothing():
    under = rules(archived_projects=frozenset({"apollo"}))
    found = decide(by(HR), memberships=(in_group(project()),), under=under)
    assert found.projects == {GENERAL: MEMBER}
    assert why(found, "project:apollo", Verdict.DORMANT) == ["the project is archived"]


# ------------------------------------------------------------------------------ team, licence, groups


def test_team_is_the_first_match_and_a_hand_outranks_it():
    memberships = (in_group(Effect(2, "team", "red")), in_group(Effect(1, "team", "blue"), group="ops"))
    found = decide(by(HR), memberships=memberships)
    assert found.team == "blue"
    assert why(found, "team:red", Verdict.LOST) == ["the team blue comes first"]
    assert (
        decide(by(HR), memberships=memberships, grants=(ManualGrant("team", "gold", "ann"),)).team == "gold"
    )


def test_licences_add_up():
    found = decide(
        by(HR),
        memberships=(in_group(Effect(1, "licence", "cad")),),
        grants=(ManualGrant("licence", "cam", "ann"),),
    )
    assert found.licences == {"cad", "cam"}


def test_membership_of_a_source_that_does_not_list_the_person_is_dormant():
    found = decide(by(HR), memberships=(in_group(project(), OKTA),))
    assert why(found, "project:apollo", Verdict.DORMANT) == ["okta does not list the person"]


def test_reason_names_group_path_and_rule():
    found = decide(
        by(HR), memberships=(in_group(project(rule=3), path=("core", "all")), in_group(project(rule=0)))
    )
    facts_given = {r.fact for r in found.reasons if r.about == "project:apollo"}
    assert facts_given == {
        "group 'eng' of hr through core < all, rule 3",
        "group 'eng' of hr, default for groups",
    }


def test_cause_prints_who_did_it():
    assert str(Cause(CauseKind.DEPROVISIONED, "hr")) == "deprovisioned:hr"
    assert str(Cause(CauseKind.NO_PROJECT)) == "no_project"


def test_only_the_active_may_enter():
    assert decide(by(HR)).may_enter
    assert not decide(by(HR), has_seat=False).may_enter


def test_later_of_two_entries_of_one_source_counts_when_the_first_is_gone():
    assert decide(by(HR, active=False, state="gone"), by(HR)).status is Status.ACTIVE


def test_one_source_that_says_both_is_heard_as_inactive():
    assert decide(by(HR), by(HR, active=False)).status is Status.INACTIVE


def test_time_is_no_argument():
    early, late = gate(), replace(gate(), at=NOON.replace(year=2030))
    assert standing(facts(gates=(early,)), rules()) == standing(facts(gates=(late,)), rules())


def test_project_ids_are_the_targets():
    assert list(decide(by(HR)).projects) == [ProjectId("general")]


# ------------------------------------------------------------------------------ roles and entitlements


def test_value_gives_what_its_rule_says_and_its_origin_names_it():
    found = decide(by(), values=(with_role("lead", role(MANAGER), Effect(1, "licence", "pro")),))
    assert (found.roles, found.licences) == ((MANAGER,), {"pro"})
    assert {g.origin for g in found.grants if g.kind != "project"} == {
        Origin("value", "role lead", HR, None, 1)
    }
    assert [r.fact for r in found.reasons if r.about == "role:manager"] == ["role 'lead' of hr, rule 1"]


def test_values_and_groups_are_tried_by_one_order_of_numbers():
    group, value = in_group(role(ENGINEER, rule=2)), with_role("lead", role(MANAGER, rule=1))
    assert decide(by(), memberships=(group,), values=(value,)).roles == (MANAGER, ENGINEER)
    group, value = in_group(role(ENGINEER, rule=1)), with_role("lead", role(MANAGER, rule=2))
    assert decide(by(), memberships=(group,), values=(value,)).roles == (ENGINEER, MANAGER)


def test_value_gives_nothing_above_the_ceiling_of_its_source():
    under = rules(source(HR, ceiling=USER))
    found = decide(by(), under=under, values=(with_role("lead", role(MANAGER)),))
    assert found.roles == (USER,)
    assert why(found, "role:manager", Verdict.BLOCKED) == ["Manager is above the ceiling of this source"]


def test_value_gives_account_admin_only_by_a_rule_that_may():
    told = (with_role("boss", role(ACCOUNT_ADMIN, rule=3)),)
    assert decide(by(), values=told).roles == (USER,)
    assert decide(by(), under=rules(admin_rules=frozenset({(HR, 3)})), values=told).roles == (ACCOUNT_ADMIN,)


def test_values_of_an_inactive_or_dropped_person_rest():
    told = (with_role("lead", project()),)
    for assertion in (by(active=False), by(state="gone")):
        found = decide(assertion, values=told)
        assert {g.dormant for g in found.grants if g.target == "apollo"} == {True}


def test_values_of_a_source_in_shadow_and_of_a_detached_one_give_nothing():
    told = (with_role("lead", project()),)
    shadow = decide(by(), under=rules(source(HR, state="shadow")), values=told)
    detached = decide(by(state="history"), values=told)
    assert ("project", "apollo") not in live(shadow) | live(detached)
    assert [r.fact for r in detached.reasons if "detached" in r.why and "role" in r.fact]
