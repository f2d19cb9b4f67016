"""Events: names, audiences, and the difference between two standings."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given

from scimd.core.events import EventKind, changes
from scimd.core.people import PersonId
from scimd.core.roles import MANAGER
from scimd.core.standing import Facts, Rules, standing

from .people import HR, OKTA, any_facts, any_rules, by, decide, gate, in_group, project, role

DANA = PersonId("dana")


def kinds(before, after) -> list[str]:
    return [str(event.kind) for event in changes(DANA, before, after)]


def test_every_kind_is_a_dotted_name_with_an_audience():
    for kind in EventKind:
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", kind)
        assert kind.audience in {"audit", "feed"}


def test_sign_ins_tokens_and_sources_stay_in_the_audit():
    audit = {kind.partition(".")[0] for kind in EventKind if kind.audience == "audit"}
    assert audit >= {"sign_in", "session", "token", "source", "password", "organization", "admin"}
    assert EventKind.PERSON_STATUS_CHANGED.audience == "feed"


def test_new_person_begins_with_a_status_and_what_they_were_given():
    found = changes(DANA, None, decide(by(HR)))
    assert [str(e.kind) for e in found] == ["person.status_changed", "person.owner_changed", "grant.given"]
    assert (found[0].before, found[0].after) == (None, {"status": "active", "causes": []})
    assert found[2].after == {
        "kind": "project",
        "target": "general",
        "project_role": "member",
        "origin": "default",
        "dormant": False,
    }


def test_deactivation_puts_grants_to_sleep_and_return_wakes_them():
    on = decide(by(HR), memberships=(in_group(project()),))
    off = decide(by(HR), memberships=(in_group(project()),), gates=(gate(),))
    assert kinds(on, off) == ["person.status_changed", "grant.dormant"]
    assert kinds(off, on) == ["person.status_changed", "grant.woken"]


def test_handing_over_changes_the_owner_alone():
    assert kinds(decide(by(HR), by(OKTA)), decide(by(HR, state="gone"), by(OKTA))) == ["person.owner_changed"]


def test_promotion_changes_roles_and_grants():
    found = changes(DANA, decide(by(HR)), decide(by(HR), memberships=(in_group(role(MANAGER)),)))
    assert [str(e.kind) for e in found] == ["person.roles_changed", "grant.taken", "grant.given"]
    assert found[0].after == {"roles": ["manager"]}


@given(any_facts, any_rules())
def test_no_change_writes_nothing(known: Facts, under: Rules) -> None:
    assert changes(DANA, standing(known, under), standing(known, under)) == []


@given(any_facts, any_facts, any_rules())
def test_difference_is_the_same_both_ways_and_complete(one: Facts, other: Facts, under: Rules) -> None:
    before, after = standing(one, under), standing(other, under)
    there, back = changes(DANA, before, after), changes(DANA, after, before)
    assert [(e.before, e.after) for e in there] == [(e.after, e.before) for e in back]
    of_grants = [e for e in there if e.kind.startswith("grant.")]
    apart = {replace(g, dormant=False) for g in before.grants ^ after.grants}
    assert len(of_grants) == len(apart)
