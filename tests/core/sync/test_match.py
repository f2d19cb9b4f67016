from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.people import Keys, PersonId, keys_of
from scimd.core.sync.match import (
    AddressHolder,
    Ambiguous,
    Candidates,
    Collides,
    Linked,
    LocalPerson,
    MatchRules,
    New,
    OtherSource,
    SameSource,
    UserNameTaken,
    identify,
    losers,
)

NOW = datetime(2026, 3, 2, tzinfo=UTC)
RULES = MatchRules(join=("employeeNumber", "mail"), verified_domains=frozenset({"acme.example"}), now=NOW)
ANN, BOB = PersonId("ann"), PersonId("bob")


def keys(user_name: str = "ann@acme.example", external_id: str | None = "x1") -> Keys:
    return replace(keys_of({"userName": user_name}), external_id=external_id)


def mine(
    person: PersonId = ANN, external_id: str | None = "x1", name: str = "ann@acme.example", **more: object
) -> SameSource:
    state = {"live": True, "active": True, **more}
    return SameSource(person, external_id, name, **state)  # type: ignore[arg-type]


def found(*same: SameSource, rules: MatchRules = RULES, entry: Keys | None = None, **more: object) -> object:
    return identify(entry or keys(), Candidates(same_source=same, **more), rules)  # type: ignore[arg-type]


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def test_external_id_links_before_the_user_name() -> None:
    other = mine(BOB, "x2")
    assert found(mine(name="old@acme.example"), other) == Linked(ANN, "external_id", here=True)


def test_user_name_links_where_one_side_has_no_external_id() -> None:
    assert found(mine(external_id=None)) == Linked(ANN, "user_name", here=True)
    assert found(mine(external_id="x1"), entry=keys(external_id=None)) == Linked(ANN, "user_name", here=True)


def test_user_name_of_another_living_entry_is_taken() -> None:
    assert found(mine(external_id="x2")) == UserNameTaken(ANN)


def test_user_name_brings_back_whoever_is_inactive_without_what_they_had() -> None:
    left = mine(external_id="x2", active=False, inactive=True, since=ago(2))
    assert found(left) == Linked(ANN, "user_name", returned=True, keeps=False)


def test_user_name_of_somebody_whom_another_source_keeps_active_is_no_fit() -> None:
    """Asserted still, as inactive, it is taken; given up, it is nobody's."""
    assert found(mine(external_id="x2", active=False, since=ago(2))) == UserNameTaken(ANN)
    gone = mine(external_id="x2", live=False, since=ago(2))
    assert found(gone) == New()
    assert found(gone, other_sources=(OtherSource(BOB, "employeeNumber"),)) == Linked(BOB, "join")
    assert found(replace(gone, external_id=None)) == Linked(ANN, "user_name", returned=True, keeps=False)


def test_user_name_of_somebody_inactive_whom_the_source_asserts_as_active_is_taken() -> None:
    """Deactivated by an admin, or by their owner."""
    assert found(mine(external_id="x2", inactive=True)) == UserNameTaken(ANN)


def test_same_external_id_within_30_days_brings_everything_back() -> None:
    gone = mine(live=False, since=ago(29))
    assert found(gone) == Linked(ANN, "external_id", returned=True, keeps=True)
    assert found(replace(gone, since=ago(31))) == Linked(ANN, "external_id", returned=True, keeps=False)


def test_tombstoned_person_comes_back_by_the_external_id_within_30_days_only() -> None:
    dead = mine(live=False, tombstoned=True, since=ago(29))
    assert found(dead) == Linked(ANN, "external_id", returned=True, keeps=True)
    assert found(replace(dead, since=ago(31))) == New()
    assert found(replace(dead, external_id="x2")) == New()
    assert found(replace(dead, external_id=None), entry=keys(external_id=None)) == New()


def test_several_who_fit_at_one_rule_are_never_guessed() -> None:
    doubles = mine(live=False, since=ago(1)), mine(BOB, live=False, since=ago(1))
    assert found(*doubles) == Ambiguous("external_id", (ANN, BOB))
    assert found(*doubles, decided=BOB) == Linked(BOB, "external_id", returned=True, keeps=True)


@pytest.mark.parametrize("tombstoned", [False, True])
def test_of_several_who_left_with_one_external_id_the_last_one_is_meant(tombstoned: bool) -> None:
    first = mine(live=False, tombstoned=tombstoned, since=ago(2))
    last = mine(BOB, live=False, tombstoned=tombstoned, since=ago(1))
    assert found(first, last) == Linked(BOB, "external_id", returned=True, keeps=True)
    assert found(last, first) == found(first, last)


def test_joins_meet_in_their_order_and_mail_only_in_a_verified_domain() -> None:
    joined = (OtherSource(ANN, "mail"), OtherSource(BOB, "employeeNumber"))
    assert found(other_sources=joined) == Linked(BOB, "join")
    assert found(other_sources=joined[:1]) == Linked(ANN, "join")
    unverified = replace(RULES, verified_domains=frozenset())
    assert found(other_sources=joined[:1], rules=unverified) == New()


def test_join_passes_over_whom_the_source_asserts_as_another_entry() -> None:
    assert found(other_sources=(OtherSource(ANN, "mail", taken=True),)) == New()


def test_local_person_links_only_if_nobody_could_be_taken_over() -> None:
    local = LocalPerson(ANN, privileged=False, address_verified=True, accepted=True)
    holder = AddressHolder(ANN, None, same_source=False)
    assert found(local=(local,), holder=holder) == Linked(ANN, "address")
    assert found(local=(replace(local, address_verified=False, accepted=False),), holder=holder) == Linked(
        ANN, "address"
    )
    for barred in (replace(local, privileged=True), replace(local, address_verified=False)):
        assert found(local=(barred,), holder=holder) == Collides(ANN, None)
    unverified = replace(RULES, verified_domains=frozenset())
    assert found(local=(local,), holder=holder, rules=unverified) == Collides(ANN, None)


def test_address_of_another_sources_person_collides_and_of_the_same_source_does_not() -> None:
    assert found(holder=AddressHolder(ANN, "hr", same_source=False)) == Collides(ANN, "hr")
    assert found(holder=AddressHolder(ANN, "okta", same_source=True)) == New()


def test_admins_word_links_what_collided() -> None:
    holder = AddressHolder(ANN, "hr", same_source=False)
    assert found(holder=holder, decided=ANN) == Linked(ANN, "decided")


# ------------------------------------------------------------------------------ names that move

names = st.sampled_from(["a", "b", "c", "d", None])
crowd = st.dictionaries(st.sampled_from([PersonId(p) for p in "pqrst"]), names, min_size=1)


@given(crowd, st.data())
def test_after_losers_give_in_nobody_shares_a_name(
    wanted: dict[PersonId, str | None], data: st.DataObject
) -> None:
    free = ["a", "b", "c", "d"]
    held: dict[PersonId, str | None] = {}
    for person in wanted:
        held[person] = data.draw(st.sampled_from([*free, None]))
        if held[person]:
            free.remove(held[person])  # type: ignore[arg-type]
    others = {key: PersonId(f"other-{key}") for key in free if data.draw(st.booleans())}
    lost = losers(wanted, held, others, list(wanted))
    final = [held[p] if p in lost else wanted[p] for p in wanted]
    final += list(others)
    taken = [key for key in final if key is not None]
    assert len(taken) == len(set(taken))
    assert all(wanted[person] is not None for person in lost)


def test_names_ring() -> None:
    a, b, c = (PersonId(p) for p in "abc")
    held = {a: "1", b: "2", c: "3"}
    assert losers({a: "2", b: "3", c: "1"}, held, {}, [a, b, c]) == set()


def test_ring_that_one_cannot_join_stands_still() -> None:
    a, b = PersonId("a"), PersonId("b")
    held = {a: "1", b: "2"}
    assert losers({a: "2", b: "3"}, held, {"3": PersonId("z")}, [a, b]) == {a, b}
