"""Deactivated, disabled, and back (U8, U9)."""

from __future__ import annotations

import pytest

from scimd.core.errors import NotAllowedNow, SeatLimitReached
from scimd.db.tables import assertions, events, gates, grants, sessions
from scimd.org.authentication import sign_in
from scimd.org.organizations import organizations
from scimd.org.users import gates as hand
from tests.org.by_hand.local import PASSWORD, active, added, clean, set_password_token
from tests.org.house import House


async def test_a_deactivated_person_has_no_access_and_no_push_undoes_it(acme: House) -> None:
    pushed = await acme.create("ann")
    await hand.deactivate(acme.door, acme.as_admin(), pushed.person_id)
    row = await acme.person(pushed.person_id)
    assert (row.status, row.causes, row.has_seat) == ("inactive", ["deactivated:admin@acme.example"], False)
    await acme.change(pushed.person_id, active=True, title="Lead")
    assert (await acme.person(pushed.person_id)).status == "inactive"
    assert (await acme.rows(assertions, person_id=pushed.person_id))[0].active
    await clean(acme)


async def test_reactivating_brings_back_what_lay_dormant(acme: House) -> None:
    pushed = await acme.create("ann")
    await acme.group("Research", pushed.person_id)
    await hand.deactivate(acme.door, acme.as_admin(), pushed.person_id)
    dormant = [row.dormant for row in await acme.rows(grants, person_id=pushed.person_id, until=None)]
    assert dormant == [True]
    await hand.reactivate(acme.door, acme.as_admin(), pushed.person_id)
    row = await acme.person(pushed.person_id)
    assert (row.status, row.has_seat) == ("active", True)
    assert [row.dormant for row in await acme.rows(grants, person_id=pushed.person_id, until=None)] == [False]
    await clean(acme)


async def test_disabled_is_lifted_by_enable_only(acme: House) -> None:
    ann = await active(acme)
    await hand.disable(acme.door, acme.as_admin(), ann)
    with pytest.raises(NotAllowedNow, match="is disabled, not deactivated"):
        await hand.reactivate(acme.door, acme.as_admin(), ann)
    await hand.enable(acme.door, acme.as_admin(), ann)
    assert (await acme.person(ann)).status == "active"


async def test_both_gates_hold_until_both_are_lifted(acme: House) -> None:
    ann = await active(acme)
    await hand.disable(acme.door, acme.as_admin(), ann)
    await hand.deactivate(acme.door, acme.as_admin(), ann)
    await hand.reactivate(acme.door, acme.as_admin(), ann)
    assert (await acme.person(ann)).causes == ["disabled:admin@acme.example"]


async def test_closing_a_closed_gate_changes_nothing(acme: House) -> None:
    ann = await active(acme)
    await hand.deactivate(acme.door, acme.as_admin(), ann)
    before = len(await acme.rows(events))
    await hand.deactivate(acme.door, acme.as_admin(), ann)
    assert len(await acme.rows(events)) == before
    assert len(await acme.rows(gates, person_id=ann)) == 1


async def test_whom_a_source_deprovisioned_is_reactivated_there(acme: House) -> None:
    pushed = await acme.create("ann")
    await acme.change(pushed.person_id, active=False)
    with pytest.raises(NotAllowedNow, match="deprovisioned by okta"):
        await hand.reactivate(acme.door, acme.as_admin(), pushed.person_id)


async def test_reactivation_without_a_free_seat_is_refused_with_the_figures(acme: House) -> None:
    ann = await active(acme)
    await hand.deactivate(acme.door, acme.as_admin(), ann)
    await organizations.set_seats(acme.door, acme.as_admin(), 1)
    await active(acme, "bob")
    with pytest.raises(SeatLimitReached, match="1 of 1 used"):
        await hand.reactivate(acme.door, acme.as_admin(), ann)
    assert (await acme.person(ann)).causes == ["deactivated:admin@acme.example"]
    await clean(acme)


async def test_a_gate_ends_sessions_in_its_transaction(acme: House) -> None:
    """L4, V11."""
    ann = await added(acme)
    token = await set_password_token(acme, ann)
    await sign_in.set_password_by_link(acme.door, token, PASSWORD, ip="", user_agent="")
    await hand.disable(acme.door, acme.as_admin(), ann)
    assert all(row.ended_at is not None for row in await acme.rows(sessions, person_id=ann))
