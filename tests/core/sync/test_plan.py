from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.people import GroupId, PersonId
from scimd.core.sync.found import GroupFound, PersonFound
from scimd.core.sync.limits import Figures, GroupLoss, Limits
from scimd.core.sync.plan import Basis, Change, Plan, make
from scimd.core.sync.policy import Action, Situation
from scimd.core.sync.seat_figures import Seats
from tests.support.patience import Stopwatch

S = Situation
_AT_ONCE_S = 10


def person(name: str, situation: Situation, **more: Any) -> PersonFound:
    known = situation in (S.LINKED_CHANGED, S.GONE, S.OUT_OF_SCOPE, S.RETURNED)
    base: dict[str, Any] = {"reason": "", "person_id": PersonId(f"p-{name}") if known else None}
    if situation not in (S.GONE, S.FAILED):
        base["document"] = "{}"
    return PersonFound(situation, f"x-{name}", name, **base | more)


def group(name: str, situation: Situation, **more: Any) -> GroupFound:
    base: dict[str, Any] = {"reason": "", "group_id": None if situation is S.NEW else GroupId(f"g-{name}")}
    if situation is not S.GONE:
        base["document"] = "{}"
    return GroupFound(situation, f"x-{name}", name, **base | more)


def basis(linked: int = 100, **more: Any) -> Basis:
    figures = Figures(linked=linked, seen=linked, removals=0, groups_linked=10, groups_seen=10)
    base: dict[str, Any] = {
        "limits": Limits(),
        "seats": Seats(None, 0),
        "config_version": 1,
        "rules_version": 1,
    }
    return Basis(figures, **base | more)


def lines(plan: Plan) -> list[tuple[str, str]]:
    return [(change.name, str(change.action)) for change in plan.changes]


def of(plan: Plan, name: str) -> Change:
    return next(change for change in plan.changes if change.name == name)


def test_removals_first_then_groups_then_those_who_stay_then_newcomers() -> None:
    plan = make(
        [
            person("new", S.NEW),
            person("bad", S.FAILED),
            person("back", S.RETURNED),
            person("left", S.GONE),
            person("off", S.LINKED_CHANGED, turns_inactive=True),
            person("out", S.OUT_OF_SCOPE),
            person("changed", S.LINKED_CHANGED),
            person("several", S.AMBIGUOUS),
            person("theirs", S.FOREIGN),
            person("joined", S.MATCHES_UNLINKED),
        ],
        [group("g-changed", S.LINKED_CHANGED, add=("x",)), group("g-new", S.NEW), group("g-gone", S.GONE)],
        basis(),
    )
    assert lines(plan) == [
        ("left", "deactivate"),
        ("out", "deactivate"),
        ("off", "deactivate"),
        ("g-gone", "delete"),
        ("g-changed", "members"),
        ("g-new", "create"),
        ("changed", "update"),
        ("back", "update"),
        ("joined", "link"),
        ("new", "create"),
        ("several", "wait"),
        ("theirs", "wait"),
        ("bad", "fail"),
    ]


def test_whoever_has_access_by_another_source_is_dropped_or_updated_and_counts_as_a_removal() -> None:
    people = [
        person("elsewhere", S.GONE, stays=True, elsewhere=True),
        person("out", S.OUT_OF_SCOPE, stays=True),
        person("lower", S.LINKED_CHANGED, turns_inactive=True, stays=True, elsewhere=True),
        person("left", S.GONE),
    ]
    plan = make(people, [], basis(linked=4))
    assert dict(lines(plan)) == {
        "elsewhere": "drop", "out": "drop", "lower": "update", "left": "deactivate",
    }  # fmt: skip
    assert {change.name for change in plan.changes if change.removal} == {"elsewhere", "lower", "left"}
    said = "3 of 4 people would be removed within 24 hours (another source has 2 of them)"
    assert [trip.why for trip in plan.trips] == [f"{said}; that is more than half"]
    assert not make(people, [], basis(linked=10)).trips
    # Where removals are held, they wait as well: what they have by this source would go.
    held = make(people, [], basis(linked=1))
    assert {change.outcome for change in held.changes} == {"staged"}


def test_newcomers_stand_in_the_order_of_the_wait_for_a_seat() -> None:
    people = [
        person("a", S.NEW, place="00002:a"),
        person("b", S.NEW, place="00001:b"),
        person("c", S.RETURNED),
    ]
    assert [change.name for change in make(people, [], basis()).changes] == ["c", "b", "a"]


def test_names_that_swap_or_ring_stand_together_under_one_mark() -> None:
    people = [
        person("a", S.LINKED_CHANGED, gives_up=frozenset("1"), takes=frozenset("2")),
        person("b", S.LINKED_CHANGED),
        person("c", S.LINKED_CHANGED, gives_up=frozenset("3"), takes=frozenset("1")),
        person("d", S.LINKED_CHANGED),
        person("e", S.LINKED_CHANGED, gives_up=frozenset("2"), takes=frozenset("3")),
    ]
    changes = make(people, [], basis()).changes
    ringed = [change.name for change in changes if change.payload.get("ring")]
    assert sorted(ringed) == ["a", "c", "e"]
    assert len({of(make(people, [], basis()), name).payload["ring"] for name in ringed}) == 1
    at = [i for i, change in enumerate(changes) if change.payload.get("ring")]
    assert at == list(range(at[0], at[0] + 3))


def test_groups_whose_names_go_round_stand_together_before_a_new_one_of_such_a_name() -> None:
    def called(name: str, before: str) -> GroupFound:
        return group(name, S.LINKED_CHANGED, renamed=True, old={"displayName": before})

    found = [group("a", S.NEW), called("b", "A"), called("x", "y"), called("c", "B"), called("d", "z")]
    changes = make([], found, basis()).changes
    assert [change.name for change in changes] == ["d", "x", "b", "c", "a"]
    assert [change.payload.get("ring") for change in changes] == [None, None, "g-b", "g-b", None]


def test_someone_who_leaves_and_gives_up_a_name_in_a_ring_goes_with_the_ring() -> None:
    people = [
        person("a", S.LINKED_CHANGED, gives_up=frozenset("1"), takes=frozenset("2"), turns_inactive=True),
        person("b", S.LINKED_CHANGED, gives_up=frozenset("2"), takes=frozenset("1")),
    ]
    one, two = make(people, [], basis()).changes
    assert one.payload["ring"] == two.payload["ring"]
    assert {str(one.action), str(two.action)} == {"deactivate", "update"}


def test_who_takes_a_name_waits_with_whoever_holds_it_and_nobody_else_does() -> None:
    people = [
        *gone(40),
        person("off", S.LINKED_CHANGED, gives_up=frozenset("1"), takes=frozenset("2"), turns_inactive=True),
        person("swaps", S.LINKED_CHANGED, gives_up=frozenset("2"), takes=frozenset("1")),
        person("after", S.LINKED_CHANGED, gives_up=frozenset("3"), takes=frozenset("g")),
        person("behind", S.LINKED_CHANGED, takes=frozenset("3")),
        person("new", S.NEW, held_by=PersonId("p-swaps")),
        person("free", S.LINKED_CHANGED, gives_up=frozenset("4")),
        person("apart", S.LINKED_CHANGED, takes=frozenset("4")),
    ]
    people[0] = replace(people[0], gives_up=frozenset("g"))
    plan = make(people, [], basis())
    told = {change.name: change.outcome for change in plan.changes if not change.name.startswith("gone")}
    assert told == {
        **dict.fromkeys(["off", "swaps", "after", "behind", "new"], "staged"),
        **dict.fromkeys(["free", "apart"], "planned"),
    }
    assert of(plan, "behind").detail == (
        "the user name or the address is held by somebody whose change waits"
    )
    skipped = make(people, [], basis(no_removals="quarantine", limits=Limits(apply_additions=False)))
    assert {of(skipped, name).outcome for name in ("swaps", "behind", "new")} == {"staged"}
    skipped = make(people, [], basis(no_removals="quarantine", linked=10_000))
    assert {of(skipped, name).outcome for name in ("off", "swaps", "behind", "new")} == {"skipped"}
    assert (
        of(skipped, "new").detail
        == "the user name or the address is held by somebody whose change is skipped"
    )


def test_a_long_chain_of_names_waits_whole_and_is_worked_out_at_once() -> None:
    """Each takes the name of the one that is planned after them: the order in which least is known early."""
    count = 20_000
    people = [
        person(
            f"{n:05}",
            S.LINKED_CHANGED if n < count else S.GONE,
            gives_up=frozenset({f"name:{n}"}),
            takes=frozenset({f"name:{n + 1}"}) if n < count else frozenset(),
        )
        for n in range(count + 1)
    ]
    watch = Stopwatch()
    plan = make(people, [], basis(linked=1))
    assert watch.seconds() < _AT_ONCE_S
    assert {change.outcome for change in plan.changes} == {"staged"}


def gone(count: int) -> list[PersonFound]:
    return [person(f"gone{n:03}", S.GONE, seat="freed") for n in range(count)]


def test_plan_over_its_limits_stages_the_removals_and_lets_the_rest_go_on() -> None:
    people = [*gone(30), person("new", S.NEW)]
    groups = [
        group("lost", S.GONE),
        group("less", S.LINKED_CHANGED, remove=("x-gone000",)),
        group("more", S.NEW),
    ]
    plan = make(people, groups, basis())
    assert plan.held
    assert {change.name for change in plan.changes if change.outcome == "planned"} == {"new", "more"}
    assert "30 of 100 people" in str(of(plan, "less").detail)


def test_plan_over_its_limits_stages_all_where_additions_may_not_go_on() -> None:
    plan = make([*gone(30), person("new", S.NEW)], [], basis(limits=Limits(apply_additions=False)))
    assert {change.outcome for change in plan.changes} == {"staged"}


def test_newcomer_waits_where_the_user_name_is_held_by_a_staged_removal() -> None:
    people = [*gone(30), person("again", S.NEW, held_by=PersonId("p-gone003"))]
    assert of(make(people, [], basis()), "again").outcome == "staged"
    assert of(make([*gone(5), people[-1]], [], basis()), "again").outcome == "planned"


@pytest.mark.parametrize(
    "figure", [{"losses": (GroupLoss("x-half", "half", 20, 11),)}, {"groups_emptied": 2}]
)
def test_loss_of_members_over_a_limit_holds_all_of_them_and_no_person(figure: dict[str, Any]) -> None:
    groups = [
        group("half", S.LINKED_CHANGED, remove=tuple("abcdefghijk")),
        group("few", S.LINKED_CHANGED, remove=("a",)),
        group("away", S.GONE),
        group("more", S.LINKED_CHANGED, add=("a",)),
    ]
    figures = replace(basis().figures, **figure)
    plan = make([person("left", S.GONE)], groups, replace(basis(), figures=figures))
    assert {change.name: change.outcome for change in plan.changes} == {
        "left": "planned", "half": "staged", "few": "staged", "away": "staged", "more": "planned",
    }  # fmt: skip


def test_new_group_waits_for_the_removal_of_the_one_of_its_name() -> None:
    groups = [
        *(group(f"Team {n}", S.GONE) for n in range(4)),
        group("team 2", S.NEW, reason="made anew"),
        group("other", S.NEW),
    ]
    plan = make([], groups, basis())
    assert (of(plan, "team 2").outcome, of(plan, "other").outcome) == ("staged", "planned")
    assert of(plan, "team 2").detail == "its name is that of a group whose removal waits"
    assert of(make([], groups[1:], basis()), "team 2").outcome == "planned"
    skipped = make([], groups, basis(no_removals="quarantine", limits=Limits(groups_count=9)))
    assert of(skipped, "team 2").detail == "its name is that of a group whose removal is skipped"


def test_gain_of_admins_is_staged_and_removals_go_on() -> None:
    people = [person("left", S.GONE), person("boss", S.NEW, becomes_admin=True), person("new", S.NEW)]
    figures = Figures(linked=100, seen=100, removals=0, new_admins=1, groups_linked=1, groups_seen=1)
    plan = make(
        people,
        [group("admins", S.LINKED_CHANGED, add=("x",), gives_admin=True)],
        replace(basis(), figures=figures),
    )
    assert {change.name: change.outcome for change in plan.changes} == {
        "left": "planned", "admins": "staged", "new": "planned", "boss": "staged",
    }  # fmt: skip


def test_run_that_may_remove_nobody_skips_removals_and_losses_of_members() -> None:
    groups = [group("less", S.LINKED_CHANGED, remove=("x",)), group("more", S.LINKED_CHANGED, add=("x",))]
    plan = make([*gone(2), person("new", S.NEW)], groups, basis(no_removals="an entry has no id"))
    assert {change.name: change.outcome for change in plan.changes} == {
        "gone000": "skipped", "gone001": "skipped", "less": "skipped", "more": "planned", "new": "planned",
    }  # fmt: skip
    assert not plan.held


def test_failed_entry_is_listed_and_no_removal() -> None:
    plan = make([person("bad", S.FAILED, reason="title: no such attribute")], [], basis())
    (change,) = plan.changes
    assert (change.outcome, change.action, change.removal) == ("failed", Action.FAIL, False)
    assert change.detail == "title: no such attribute"
    assert not plan.writes


def test_seats_are_told_with_and_without_the_removals() -> None:
    people = [*gone(2), *(person(f"n{n}", S.NEW, seat="wanted") for n in range(4))]
    assert make(people, [], basis(seats=Seats(50, 49))).seats == {
        "limit": 50, "before": 49, "freed": 2, "wanted": 4,
        "after": 50, "waiting": 1, "after_if_held": 50, "waiting_if_held": 3,
    }  # fmt: skip
    assert make(people, [], basis(seats=Seats(None, 9))).seats["after"] == 11


def test_whoever_waits_already_has_a_seat_before_newcomers_do() -> None:
    people = [*gone(2), *(person(f"n{n}", S.NEW, seat="wanted") for n in range(4))]
    assert make(people, [], basis(seats=Seats(50, 49, waiting=2))).seats == {
        "limit": 50, "before": 49, "freed": 2, "wanted": 4,
        "after": 50, "waiting": 3, "after_if_held": 50, "waiting_if_held": 4,
    }  # fmt: skip


def test_whoever_waits_and_is_removed_neither_gives_a_seat_back_nor_takes_one() -> None:
    people = [*gone(1), person("waited", S.GONE, seat="waits no more")]
    assert make(people, [], basis(seats=Seats(50, 50, waiting=1))).seats == {
        "limit": 50, "before": 50, "freed": 1, "wanted": 0,
        "after": 49, "waiting": 0, "after_if_held": 50, "waiting_if_held": 0,
    }  # fmt: skip


@pytest.mark.parametrize(("seats", "mails"), [(Seats(None, 9), 4), (Seats(10, 9), 3), (Seats(10, 9, 2), 1)])
def test_mails_go_to_whoever_gets_a_seat(seats: Seats, mails: int) -> None:
    people = [*gone(2), *(person(f"n{n}", S.NEW, seat="wanted", wants_mail=True) for n in range(4))]
    assert make(people, [], basis(seats=seats)).mails == mails


def test_nothing_found_is_an_empty_plan() -> None:
    plan = make([], [], basis(unchanged={"user.linked-unchanged": 100}))
    assert plan.changes == ()
    assert not plan.writes
    assert plan.counts["situations"] == {"user.linked-unchanged": 100}


@pytest.mark.parametrize("moved", ["config_version", "rules_version"])
def test_fingerprint_follows_config_rules_and_versions(moved: str) -> None:
    people = [person("a", S.LINKED_CHANGED, version=1)]
    plan = make(people, [], basis())
    assert plan.fingerprint == make(people, [], basis()).fingerprint
    assert plan.fingerprint != make(people, [], replace(basis(), **{moved: 2})).fingerprint
    assert plan.fingerprint != make([replace(people[0], version=2)], [], basis()).fingerprint


found = st.lists(
    st.tuples(
        st.sampled_from([s for s in S if s is not S.LINKED_UNCHANGED]),
        st.booleans(),
        st.sampled_from("abcdef"),
    ),
    max_size=40,
)


@given(found, st.integers(1, 60), st.booleans())
def test_every_finding_is_one_change_and_no_held_removal_is_planned(
    rows: list[tuple[Situation, bool, str]], linked: int, additions: bool
) -> None:
    people = [
        person(
            f"{n}",
            situation,
            turns_inactive=off and situation is S.LINKED_CHANGED,
            takes=frozenset(key) if situation is S.LINKED_CHANGED else frozenset(),
            gives_up=frozenset("abcdef"[n % 6]) if situation is S.LINKED_CHANGED else frozenset(),
        )
        for n, (situation, off, key) in enumerate(rows)
    ]
    plan = make(people, [], basis(linked, limits=Limits(apply_additions=additions)))
    assert sorted(change.name for change in plan.changes) == sorted(one.name for one in people)
    if any(trip.holds_removals for trip in plan.trips):
        assert not any(change.removal and change.outcome == "planned" for change in plan.changes)
    marks = [change.payload["ring"] for change in plan.changes if change.payload.get("ring")]
    assert all(marks.count(mark) > 1 for mark in marks)
    runs = [mark for i, mark in enumerate(marks) if i == 0 or marks[i - 1] != mark]
    assert len(runs) == len(set(runs))
