"""What holds for the standing of anybody."""

from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import assume, event, given
from hypothesis import strategies as st

from scimd.core.facts import Facts, ManualGrant, MembershipFact, Rules
from scimd.core.people import GroupId, ProjectId, SourceId
from scimd.core.projects import Regiven, regive
from scimd.core.roles import MEMBER, USER, Effect, is_account_admin
from scimd.core.standing import CauseKind, Grant, Standing, Status, standing

from .people import (
    GENERAL,
    HR,
    ROLES,
    SOURCES,
    any_facts,
    any_rules,
    by,
    decide,
    gates,
    in_group,
    project,
    project_effects,
    rules,
    source,
)

_TUPLES = ("assertions", "memberships", "values", "grants", "gates", "reinstated")


def without(known: Facts, source_id: SourceId) -> Facts:
    return replace(
        known,
        assertions=tuple(a for a in known.assertions if a.source_id != source_id),
        memberships=tuple(m for m in known.memberships if m.source_id != source_id),
        values=tuple(v for v in known.values if v.source_id != source_id),
        reinstated=tuple(r for r in known.reinstated if r.source_id != source_id),
    )


def live(of: Standing) -> set[Grant]:
    return {grant for grant in of.grants if not grant.dormant}


@given(any_facts, any_rules(), st.randoms())
def test_order_of_facts_carries_no_meaning(known: Facts, under: Rules, random) -> None:
    shuffled = {
        name: tuple(random.sample(getattr(known, name), len(getattr(known, name)))) for name in _TUPLES
    }
    one, other = standing(known, under), standing(replace(known, **shuffled), under)
    assert one == other
    assert one.reasons == other.reasons


@given(any_facts, any_rules())
def test_facts_told_twice_say_the_same(known: Facts, under: Rules) -> None:
    twice = {name: getattr(known, name) * 2 for name in _TUPLES}
    assert standing(known, under) == standing(replace(known, **twice), under)


@given(any_facts, any_rules())
def test_same_facts_same_standing_and_no_grant_both_live_and_dormant(known: Facts, under: Rules) -> None:
    found = standing(known, under)
    assert standing(known, under) == found
    assert len({replace(g, dormant=False) for g in found.grants}) == len(found.grants)


@given(any_facts, any_rules(), st.sampled_from(SOURCES))
def test_source_takes_away_only_what_it_gave(known: Facts, under: Rules, gone: SourceId) -> None:
    before, after = standing(known, under), standing(without(known, gone), under)
    foreign = {g for g in before.grants if g.origin.kind != "default" and g.origin.source_id != gone}
    kept = {replace(g, dormant=False) for g in after.grants}
    assert {replace(g, dormant=False) for g in foreign} <= kept
    assume(before.owner == after.owner)
    same_holding = (
        under.roles[before.roles[0]].may_hold_projects <= under.roles[after.roles[0]].may_hold_projects
    )
    assert {g for g in foreign & live(before) if g.kind != "project" or same_holding} <= live(after)


@given(any_facts, any_rules(), gates)
def test_gate_is_undone_by_no_assertion(known: Facts, under: Rules, gate) -> None:
    gated = replace(known, gates=(*known.gates, gate))
    pushed = replace(gated, assertions=tuple(by(s) for s in SOURCES))
    for found in (standing(gated, under), standing(pushed, under)):
        assert found.status is Status.INACTIVE
        assert (gate.kind, gate.by) in {(str(c.kind), c.by) for c in found.causes}
        assert live(found) == set()


@given(any_facts, any_rules(), st.sampled_from(SOURCES))
def test_shadow_source_changes_nothing(known: Facts, under: Rules, hidden: SourceId) -> None:
    shadow = replace(under, sources={**under.sources, hidden: source(hidden, 99, state="shadow")})
    with_it, without_it = standing(known, shadow), standing(without(known, hidden), shadow)
    only = any(c.kind is CauseKind.SHADOW for c in with_it.causes)
    detached = any(a.source_id == hidden and a.state == "history" for a in known.assertions)
    if only or detached:
        assert with_it.owner is without_it.owner is None or detached
        assert not (only and (with_it.wants_seat or live(with_it)))
    else:
        assert with_it == without_it


@given(any_facts, any_rules())
def test_no_rule_leads_to_account_admin_but_an_allowed_one(known: Facts, under: Rules) -> None:
    found = standing(known, under)
    for grant in found.grants:
        if (
            grant.kind == "role"
            and grant.origin.kind in ("group", "value")
            and is_account_admin(under.roles[grant.target])
        ):
            assert (grant.origin.source_id, grant.origin.rule) in under.admin_rules
    given_roles = {g.target for g in live(found) if g.kind == "role"}
    assert set(found.roles) - {USER} <= given_roles


@given(any_facts, any_rules())
def test_inactive_people_have_nothing_and_want_nothing(known: Facts, under: Rules) -> None:
    found = standing(known, under)
    if found.status is Status.INACTIVE:
        assert not found.wants_seat
        assert not found.needs_invitation
        assert not live(found)
        assert (found.roles, dict(found.projects), found.team, found.licences) == (
            (USER,),
            {},
            None,
            frozenset(),
        )
        assert found.status_with_seat is found.status is Status.INACTIVE


@given(any_facts, any_rules())
def test_seat_decides_only_between_active_and_waiting(known: Facts, under: Rules) -> None:
    seated, waiting = (standing(replace(known, has_seat=held), under) for held in (True, False))
    for name in (f.name for f in fields(Standing)):
        if name not in {"status", "causes", "reasons"}:
            assert getattr(seated, name) == getattr(waiting, name)
    without = Status.PENDING if seated.wants_seat else seated.status_with_seat
    assert (seated.status, waiting.status) == (seated.status_with_seat, without)
    if seated.wants_seat:
        assert set(waiting.causes) - set(seated.causes) == {
            c for c in waiting.causes if c.kind is CauseKind.WAITING_FOR_SEAT
        }
        assert waiting.status is Status.PENDING
    else:
        assert seated == waiting


@given(any_facts, any_rules())
def test_seat_is_wanted_by_the_active_and_the_merely_invited(known: Facts, under: Rules) -> None:
    found = standing(replace(known, has_seat=True), under)
    merely_invited = {c.kind for c in found.causes} <= {CauseKind.INVITED}
    assert found.wants_seat == (merely_invited and not known.service_account)
    assert (found.status is Status.ACTIVE) == (not found.causes)
    assert list(found.causes) == sorted(found.causes, key=lambda c: (list(CauseKind).index(c.kind), c.by))


@given(any_facts, any_rules(), st.lists(project_effects, min_size=1, max_size=2), st.booleans())
def test_membership_that_gives_projects_changes_what_regive_says(
    known: Facts, under: Rules, effects: list[Effect], came: bool
) -> None:
    assume(HR in under.sources and len({effect.rule for effect in effects}) == len(effects))
    under = replace(under, limited=frozenset())
    group = MembershipFact(HR, GroupId("new"), "new", (), tuple(effects))
    out = replace(known, gates=(), accepted=True, approved=True, assertions=(by(HR), *known.assertions))
    into = replace(out, memberships=(*out.memberships, group))
    before, after = (standing(each, under) for each in ((out, into) if came else (into, out)))
    assume(before.owner == HR and not before.causes)
    targets = {effect.target for effect in effects}
    held = {
        grant
        for grant in before.grants
        if grant.kind == "project" and (grant.target in targets or grant.origin.kind == "default")
    }
    found = regive(
        before.projects,
        held,
        group,
        came=came,
        rules=under,
        role=under.roles[before.roles[0]],
        needs_one=not known.service_account,
    )
    if found is not None:
        grants = (before.grants - held) | found.grants
        assert after == replace(before, projects=found.projects, grants=grants)
    event(f"short: {found is not None}")


def test_whoever_has_other_projects_is_regiven_those_of_the_group() -> None:
    before = decide(by(), grants=(ManualGrant("project", "gemini", "ann"),))
    group = in_group(project("apollo"))

    def regiven(was: Standing, held: set[Grant], came: bool) -> Regiven | None:
        role = ROLES[was.roles[0]]
        return regive(was.projects, held, group, came=came, rules=rules(), role=role, needs_one=True)

    into = regiven(before, set(), came=True)
    assert into is not None
    assert into.projects == {"gemini": "member", "apollo": "member"}
    again = regiven(replace(before, projects=into.projects), set(into.grants), came=False)
    assert again is not None
    assert (again.projects, again.grants) == (before.projects, frozenset())
    # Whoever has nothing but the group's comes back to the default project.
    alone = regiven(replace(before, projects={ProjectId("apollo"): MEMBER}), set(into.grants), came=False)
    assert alone is not None
    assert alone.projects == {GENERAL: "member"}


@given(any_facts, any_rules())
def test_every_cause_and_every_grant_has_its_reason(known: Facts, under: Rules) -> None:
    found = standing(known, under)
    said = [r.why for r in found.reasons if r.about == "status"]
    assert all(any(why.startswith(f"{cause}: ") for why in said) for cause in found.causes)
    abouts = {r.about for r in found.reasons}
    assert {f"{g.kind}:{g.target}" for g in found.grants} <= abouts
    assert {"seat", "owner"} <= abouts


@given(any_facts, any_rules())
def test_every_grant_by_hand_is_kept(known: Facts, under: Rules) -> None:
    kept = {
        (g.kind, g.target, g.origin.by) for g in standing(known, under).grants if g.origin.kind == "manual"
    }
    assert kept == {(g.kind, g.target, g.by) for g in known.grants}


@given(any_facts, any_rules())
def test_projects_are_the_live_grants_and_archived_ones_never(known: Facts, under: Rules) -> None:
    found = standing(known, under)
    assert set(found.projects) == {g.target for g in live(found) if g.kind == "project"}
    assert "archived" not in found.projects


@given(any_facts, any_rules())
def test_limited_things_are_had_only_by_whoever_holds_one_and_wants_it(known: Facts, under: Rules) -> None:
    found = standing(known, under)
    had = {(g.kind, g.target) for g in live(found)} & under.limited
    assert had == found.slots & known.slots
    assert found.slots <= under.limited
    # What is held and not wanted gives nothing, and what is not limited asks nobody for a slot.
    assert found == standing(replace(known, slots=known.slots & found.slots), under)


@given(any_facts, any_rules())
def test_slot_that_is_given_unmakes_no_wish_but_for_the_default_project(known: Facts, under: Rules) -> None:
    before = standing(known, under)
    default = {("project", under.default_project)}
    for thing in before.slots - known.slots:
        after = standing(replace(known, slots=known.slots | {thing}), under)
        assert after.slots ^ before.slots <= default
        assert after.slots <= before.slots
        assert thing in {(g.kind, g.target) for g in live(after)}


@given(any_facts, any_rules())
def test_slot_is_wanted_by_nobody_against_whom_anything_stands(known: Facts, under: Rules) -> None:
    found = standing(known, under)
    merely = {CauseKind.INVITED, CauseKind.WAITING_FOR_SEAT, CauseKind.NO_PROJECT}
    if not {c.kind for c in found.causes} <= merely:
        assert not found.slots
    elsewhere = standing(known, replace(under, limited=frozenset()))
    if found.slots:
        given = {(g.kind, g.target) for g in live(elsewhere)}
        assert found.slots <= given | {("project", under.default_project)}
