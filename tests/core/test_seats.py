"""Seats: V1 and the fair order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.people import PersonId
from scimd.core.seats import Allotment, Claim, Policy, Pool, Waiter, free_seats, give, refusal

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def claim(name: str, *turn: int, policy: Policy = "hold") -> Claim:
    return Claim(PersonId(name), *turn, external_id=name, policy=policy)


def waiter(name: str, minutes: int) -> Waiter:
    return Waiter(PersonId(name), NOON + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("pool", "freed", "claims", "waiting", "expected"),
    [
        (Pool(2, 1), 0, [claim("a")], [], Allotment((), ("a",), (), (), 2)),
        (Pool(2, 2), 0, [claim("a")], [], Allotment((), (), ("a",), (), 2)),
        (Pool(2, 2), 0, [claim("a", policy="reject")], [], Allotment((), (), (), ("a",), 2)),
        (Pool(2, 2, True), 0, [claim("a", policy="allow")], [], Allotment((), ("a",), (), (), 3)),
        (Pool(2, 2), 0, [claim("a", policy="allow")], [], Allotment((), (), ("a",), (), 2)),
        (Pool(2, 2, True), 0, [claim("a")], [], Allotment((), (), ("a",), (), 2)),
        (Pool(None, 9), 0, [claim("a")], [waiter("w", 0)], Allotment(("w",), ("a",), (), (), 11)),
        (Pool(2, 2), 1, [claim("a")], [waiter("w", 0)], Allotment(("w",), (), ("a",), (), 2)),
        (Pool(2, 2), 1, [], [waiter("w", 5), waiter("v", 1)], Allotment(("v",), (), (), (), 2)),
        (Pool(2, 2), 1, [claim("w")], [waiter("v", 0), waiter("w", 1)], Allotment(("v",), (), (), (), 2)),
        (Pool(3, 0), 0, [claim("b", 2), claim("c", 1, 2), claim("a", 1, 1), claim("d", 1, 2)], [],
         Allotment((), ("a", "c", "d"), ("b",), (), 3)),
        (Pool(2, 5), 2, [claim("a")], [waiter("w", 0)], Allotment((), (), ("a",), (), 3)),
        (Pool(0, 0), 0, [claim("a")], [], Allotment((), (), ("a",), (), 0)),
    ],
)  # fmt: skip
def test_who_gets_a_seat(pool, freed, claims, waiting, expected):
    assert give(pool, freed, claims, waiting) == expected


def test_lowered_limit_frees_nobody_and_admits_nobody():
    assert free_seats(Pool(5, 10)) == 0
    assert give(Pool(5, 10), 0, [], [waiter("w", 0)]).used == 10


def test_refusal_gives_the_figures():
    assert str(refusal(Pool(50, 50), 3, "dana@example.com")) == (
        "Seat limit reached: 50 of 50 used (47 active, 3 invited). dana@example.com was not created. "
        "Free a seat or raise the limit."
    )


def test_pool_without_limit_refuses_nobody():
    with pytest.raises(ValueError, match="without a limit"):
        refusal(Pool(None, 3), 0, "dana")


names = st.sampled_from("abcdefghij")
claims = st.lists(
    st.builds(
        Claim,
        names,
        st.integers(0, 2),
        st.integers(0, 2),
        names,
        st.sampled_from(["hold", "reject", "allow"]),
    ),
    max_size=8,
    unique_by=lambda c: c.person_id,
)
waiters = st.lists(st.builds(waiter, names, st.integers(0, 3)), max_size=6, unique_by=lambda w: w.person_id)
pools = st.builds(Pool, st.one_of(st.none(), st.integers(0, 8)), st.integers(0, 10), st.booleans())


@st.composite
def changes(draw: st.DrawFn) -> tuple[Pool, int, list[Claim], list[Waiter]]:
    pool = draw(pools)
    return pool, draw(st.integers(0, pool.used)), draw(claims), draw(waiters)


@given(changes())
def test_v1_no_change_raises_used_above_the_limit_but_under_allow(change) -> None:
    pool, freed, asked, waiting = change
    found = give(pool, freed, asked, waiting)
    allowed = {c.person_id for c in asked if c.policy == "allow"} if pool.allow_overage else set()
    if pool.limit is not None and not set(found.seated) & allowed:
        assert found.used <= max(pool.limit, pool.used - freed)


@given(changes())
def test_everybody_is_answered_once(change) -> None:
    pool, freed, asked, waiting = change
    found = give(pool, freed, asked, waiting)
    queued = {w.person_id for w in waiting}
    answered = [*found.seated, *found.waiting, *found.refused]
    assert sorted(answered) == sorted(c.person_id for c in asked if c.person_id not in queued)
    assert set(found.promoted) <= queued
    assert found.used == pool.used - freed + len(found.promoted) + len(found.seated)


@given(changes(), st.randoms())
def test_order_of_the_lists_carries_no_meaning(change, random) -> None:
    pool, freed, asked, waiting = change
    mixed = random.sample(asked, len(asked)), random.sample(waiting, len(waiting))
    assert give(pool, freed, *mixed) == give(pool, freed, asked, waiting)


@given(changes())
def test_newcomer_takes_a_free_seat_only_if_nobody_waits(change) -> None:
    pool, freed, asked, waiting = change
    held = [replace(c, policy="hold") for c in asked]
    found = give(pool, freed, held, waiting)
    if found.seated:
        assert set(found.promoted) == {w.person_id for w in waiting}
    late = [w for w in waiting if w.person_id not in found.promoted]
    early = [w for w in waiting if w.person_id in found.promoted]
    assert all(one.turn < other.turn for one in early for other in late)


@given(changes())
def test_no_seat_stays_free_while_somebody_wants_it(change) -> None:
    pool, freed, asked, waiting = change
    found = give(pool, freed, asked, waiting)
    if found.waiting or found.refused or len(found.promoted) < len(waiting):
        assert pool.limit is not None
        assert found.used >= pool.limit
