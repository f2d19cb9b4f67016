from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.sync.limits import Figures, GroupLoss, Limits, TripKind, check

DEFAULT = Limits()


def kinds(limits: Limits = DEFAULT, **figures: Any) -> set[str]:
    base: dict[str, Any] = {"linked": 100, "seen": 100, "removals": 0}
    return {str(trip.kind) for trip in check(Figures(**base | figures), limits)}


@pytest.mark.parametrize(
    ("linked", "before", "removals", "expected"),
    [
        (100, 0, 0, set()),
        (100, 0, 10, set()),
        (100, 0, 11, {"removals"}),
        (20, 0, 5, set()),  # the count, where the share is below it
        (20, 0, 6, {"removals"}),
        (3000, 0, 200, set()),
        (3000, 0, 201, {"removals_most"}),
        (4, 0, 2, set()),
        (4, 0, 3, {"removals_half"}),
        (3, 0, 2, set()),
        (3, 0, 3, {"everyone"}),
        (1, 0, 1, {"everyone"}),
        (90, 10, 1, {"removals"}),  # the eleventh of 100 within 24 hours
        (91, 9, 1, set()),
        (90, 10, 0, set()),  # what was done is done: only a plan that removes is held
        (1000, 0, 1000, {"everyone", "removals", "removals_most", "removals_half"}),
    ],
)
def test_removals_are_held_above_the_limits(
    linked: int, before: int, removals: int, expected: set[str]
) -> None:
    assert kinds(linked=linked, seen=linked, removals=removals, removed_before=before) == expected


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"seen": 0}, {"empty"}),
        ({"linked": 0, "seen": 0}, set()),
        ({"linked": 0, "inactive": 3, "seen": 0}, {"empty"}),
        ({"linked": 3, "inactive": 90, "removals": 3}, {"everyone"}),
        ({"linked": 10, "inactive": 90, "removals": 6}, {"removals", "removals_half"}),
        ({"groups_linked": 4, "groups_seen": 0}, {"empty_groups"}),
        ({"complete": False}, {"incomplete"}),
        ({"admins": 1, "admins_removed": 1, "removals": 1}, {"last_admin"}),
        ({"admins": 2, "admins_removed": 1, "removals": 1}, set()),
        ({"groups_linked": 10, "groups_seen": 7, "groups_removed": 3}, set()),
        ({"groups_linked": 10, "groups_seen": 6, "groups_removed": 4}, {"groups"}),
        ({"groups_linked": 50, "groups_seen": 40, "groups_removed": 10}, set()),
        ({"groups_linked": 50, "groups_seen": 39, "groups_removed": 11}, {"groups"}),
        ({"losses": (GroupLoss("g", "Eng", 10, 5),)}, set()),
        ({"losses": (GroupLoss("g", "Eng", 10, 6),)}, {"members"}),
        ({"losses": (GroupLoss("g", "Eng", 9, 9),)}, set()),
        ({"inactive": 100, "reactivations": 20}, set()),
        ({"inactive": 100, "reactivations": 21}, {"reactivations"}),
        ({"linked": 10, "inactive": 10, "reactivations": 5}, set()),
        ({"linked": 10, "inactive": 10, "reactivations": 6}, {"reactivations"}),
        ({"groups_emptied": 1}, {"members_all"}),
        ({"new_admins": 1}, {"new_admins"}),
    ],
)
def test_other_limits(figures: dict[str, Any], expected: set[str]) -> None:
    assert kinds(**figures) == expected


@pytest.mark.parametrize(
    ("linked", "percent", "limit"),
    [
        (300, 10, 30),
        (299, 10, 29),  # nobody is nine tenths of a person
        (750, 9.2, 69),  # a bit less in floats
    ],
)
def test_sentence_names_figures_and_limit(linked: int, percent: float, limit: int) -> None:
    asked = replace(DEFAULT, removals_percent=percent)
    assert not check(Figures(linked=linked, seen=linked, removals=limit), asked)
    (trip,) = check(Figures(linked=linked, seen=linked, removals=limit + 1), asked)
    said = f"{limit + 1} of {linked} people would be removed within 24 hours"
    assert (trip.why, trip.limit) == (f"{said}; the limit is {limit} (5, or {percent:g} %)", limit)


def test_gains_and_one_group_do_not_hold_the_removals_of_people() -> None:
    figures = Figures(
        100, 100, 1, new_admins=1, losses=(GroupLoss("g", "Eng", 20, 20),), groups_emptied=1, reactivations=50
    )
    assert not any(trip.holds_removals for trip in check(figures, DEFAULT))


figures = st.builds(
    Figures,
    linked=st.integers(0, 5000),
    seen=st.integers(0, 5000),
    removals=st.integers(0, 5000),
    removed_before=st.integers(0, 5000),
    groups_linked=st.integers(0, 100),
    groups_seen=st.integers(0, 100),
    groups_removed=st.integers(0, 100),
    new_admins=st.integers(0, 5),
    complete=st.booleans(),
)
limits = st.builds(
    Limits,
    removals_count=st.integers(0, 1000),
    removals_percent=st.floats(0, 100),
    removals_most=st.integers(0, 5000),
    removals_half_from=st.integers(1, 10),
)


@given(figures, limits)
def test_no_setting_lets_everyone_go_or_trusts_an_empty_or_partial_read(
    figures: Figures, limits: Limits
) -> None:
    tripped = {trip.kind for trip in check(figures, limits)}
    assert (TripKind.INCOMPLETE in tripped) is not figures.complete
    assert (TripKind.EMPTY in tripped) is (figures.linked > 0 and figures.seen == 0)
    assert (TripKind.EVERYONE in tripped) is (figures.removals > 0 and figures.removals >= figures.linked)


@given(figures, limits, st.integers(1, 100))
def test_removing_more_never_trips_less(figures: Figures, limits: Limits, more: int) -> None:
    larger = replace(figures, removals=figures.removals + more)
    assert {t.kind for t in check(figures, limits)} <= {t.kind for t in check(larger, limits)}


@given(st.integers(10, 2000), st.lists(st.integers(1, 50), min_size=1, max_size=20), limits)
def test_many_small_plans_are_held_where_one_large_one_is(
    linked: int, steps: list[int], limits: Limits
) -> None:
    """Removing in steps within 24 hours never gets further than one plan could."""
    done = 0
    for step in steps:
        if step > linked - done:
            break
        if check(Figures(linked - done, linked, step, removed_before=done), limits):
            break
        done += step
    assert not done or not check(Figures(linked, linked, done), limits)


@given(figures)
def test_trips_do_not_depend_on_chance(figures: Figures) -> None:
    assert check(figures, DEFAULT) == check(figures, DEFAULT)
