"""Detached, approved, moved; and many at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scimd.core.errors import NotFound, SeatLimitReached
from scimd.core.roles import MANAGER
from scimd.db.tables import grants, sources
from scimd.org import admin_reads, by_hand, detaching, moving, organizations, partner_approvals
from scimd.org import gates as hand
from scimd.org.organizations import NewOrganization
from scimd.org.tx import Actor, Context
from tests.org.by_hand.local import active, added, clean, kinds
from tests.org.house import House


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
    assert (page.person.primary_role, page.person.projects) == ("user", ("General",))
    assert [k for k in await kinds(acme, ann) if k == "person.moved"] == ["person.moved"]


async def test_a_move_without_a_seat_there_changes_nothing_here(acme: House) -> None:
    operator = Actor("operator", "", "root")
    await organizations.create(acme.door, NewOrganization("beta", seats=0), operator)
    ann = await active(acme)
    with pytest.raises(SeatLimitReached):
        await moving.move(acme.door, Context(acme.org_id, operator, "cli", "c3"), ann, "beta")
    assert (await acme.person(ann)).status == "active"


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
