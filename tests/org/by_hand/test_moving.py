"""Detached, approved, moved; and many at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scimd.core.errors import Forbidden, NotFound, NotUnique, Refusal, SeatLimitReached
from scimd.core.people import PersonId
from scimd.core.roles import MANAGER
from scimd.db.tables import grants, people, sources
from scimd.org.identities import detaching, moving
from scimd.org.organizations import organizations, partner_approvals
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.tx import Actor, Context
from scimd.org.users import admin_reads, by_hand
from scimd.org.users import gates as hand
from tests.org.by_hand.local import active, added, clean, kinds
from tests.org.house import House

OPERATOR = Actor("operator", "", "root")


async def test_a_detached_person_is_a_local_one(acme: House) -> None:
    pushed = await acme.create("ann")
    await acme.group("Research", pushed.person_id)
    await detaching.detach(acme.door, acme.as_admin(), pushed.person_id, "okta")
    row = await acme.person(pushed.person_id)
    assert (row.owner_source_id, row.sign_in_address) == (None, "ann@acme.example")
    assert [
        r.kind for r in await acme.rows(grants, person_id=pushed.person_id, origin="group", until=None)
    ] == []
    assert (await acme.rows(sources, id=acme.scim))[0].user_count == 0
    with pytest.raises(NotFound):
        await detaching.detach(acme.door, acme.as_admin(), pushed.person_id, "okta")
    await clean(acme)


async def test_approval_lets_a_person_queue_for_a_seat(acme: House) -> None:
    """U18."""
    await acme.execute(organizations.organizations.update().values(approval_required=True, generation=99))
    ann = await added(acme)
    row = await acme.person(ann)
    assert (row.causes, row.has_seat) == (["not_approved"], False)
    partner = replace(acme.as_admin(), permissions=frozenset({"partner.approve"}))
    await partner_approvals.approve(acme.door, partner, ann)
    row = await acme.person(ann)
    assert (row.causes, row.has_seat) == (["invited"], True)


async def test_a_move_makes_a_new_person_there_and_ends_the_old_one_here(acme: House) -> None:
    """U13."""
    operator = Actor("operator", "", "root")
    await organizations.create(acme.door, NewOrganization("beta", seats=1), operator)
    ann = await active(acme, role=MANAGER)
    ctx = Context(acme.org_id, operator, "cli", "c3")
    new = await moving.move(acme.door, ctx, ann, "beta")
    assert new != ann
    assert (await acme.person(ann)).deleted_at is not None
    beta = await organizations.by_slug(acme.door, "beta")
    page = await admin_reads.show_person(acme.door, beta.id, new)
    assert page.person.primary_role == "user"
    assert [each.name for each in page.person.projects] == ["General"]
    assert [k for k in await kinds(acme, ann) if k == "person.moved"] == ["person.moved"]


async def test_a_move_without_a_seat_there_changes_nothing_here(acme: House) -> None:
    operator = Actor("operator", "", "root")
    await organizations.create(acme.door, NewOrganization("beta", seats=0), operator)
    ann = await active(acme)
    with pytest.raises(SeatLimitReached):
        await moving.move(acme.door, Context(acme.org_id, operator, "cli", "c3"), ann, "beta")
    assert (await acme.person(ann)).status == "active"


async def other(acme: House, slug: str) -> House:
    """Another organization."""
    await organizations.create(acme.door, NewOrganization(slug), OPERATOR)
    return replace(acme, org_id=(await organizations.by_slug(acme.door, slug)).id)


def by_operator(house: House) -> Context:
    return Context(house.org_id, OPERATOR, "cli", "c4")


async def test_who_has_the_address_of_somebody_moved_there_before_is_taken_for_nobody_else(
    acme: House,
) -> None:
    beta, gamma = await other(acme, "beta"), await other(acme, "gamma")
    ann, namesake = await active(acme), await active(beta)
    moved = await moving.move(acme.door, by_operator(acme), ann, "gamma")
    with pytest.raises(NotUnique):
        await moving.move(acme.door, by_operator(beta), namesake, "gamma")
    assert (await beta.person(namesake)).deleted_at is None
    assert [row.id for row in await gamma.rows(people)] == [moved]


async def test_who_is_back_from_elsewhere_is_nobody_who_was_moved_here(acme: House) -> None:
    beta = await other(acme, "beta")
    ann = await active(acme)
    there = await moving.move(acme.door, by_operator(acme), ann, "beta")
    await hand.restore(acme.door, acme.as_admin(), ann)
    with pytest.raises(NotUnique):
        await moving.move(acme.door, by_operator(beta), there, "acme")
    assert (await beta.person(there)).deleted_at is None


async def test_a_move_that_was_cut_off_goes_on_with_the_person_whom_it_made(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await other(acme, "beta")
    here, ann = by_operator(acme), await active(acme)
    arrive, made = moving._arrive, []

    async def cut_off(*given: Any) -> PersonId:
        made.append(await arrive(*given))
        raise RuntimeError("the machine stops")

    with monkeypatch.context() as patched:
        patched.setattr(moving, "_arrive", cut_off)
        with pytest.raises(RuntimeError, match="the machine stops"):
            await moving.move(acme.door, here, ann, "beta")
    assert await moving.move(acme.door, here, ann, "beta") == made[0]
    assert (await acme.person(ann)).deleted_at is not None


async def test_a_move_that_is_refused_here_makes_nobody_there(acme: House) -> None:
    """Neither over somebody with more permissions, nor of oneself."""
    beta = await other(acme, "beta")
    ann = await active(acme, role=MANAGER)
    few = frozenset({"users.manage", "users.read"})
    lesser = Context(acme.org_id, Actor("operator", "o", "sup"), "api", "c5", permissions=few)
    with pytest.raises(Forbidden):
        await moving.move(acme.door, lesser, ann, "beta")
    oneself = Context(acme.org_id, Actor("person", ann, "ann"), "cli", "c6", permissions=few)
    with pytest.raises(Refusal):
        await moving.move(acme.door, oneself, ann, "beta")
    assert (await acme.person(ann)).status == "active"
    assert await beta.rows(people) == []


async def test_many_at_once_have_a_result_each(acme: House) -> None:
    """U17."""
    ann, bob = await active(acme), await active(acme, "bob")
    found = await by_hand.each(
        [ann, "nobody", bob], lambda who: hand.deactivate(acme.door, acme.as_admin(), who)
    )
    assert [(row.id, row.refusal and row.refusal.code) for row in found] == [
        (ann, None), ("nobody", "not_found"), (bob, None),
    ]  # fmt: skip
    assert (await acme.person(bob)).status == "inactive"
