"""Deleted, restored, purged (U10)."""

from __future__ import annotations

import pytest

from scimd.core.errors import NotAllowedNow, NotFound, NotUnique, OwnedBySource
from scimd.core.roles import ACCOUNT_ADMIN, USER
from scimd.db.tables import people
from scimd.org import assignments, detaching, purging
from scimd.org import gates as hand
from tests.org.by_hand.local import active, clean, kinds
from tests.org.house import House


async def test_deleting_hides_frees_the_seat_and_can_be_undone_for_30_days(acme: House) -> None:
    ann = await active(acme)
    await hand.delete(acme.door, acme.as_admin(), ann)
    row = await acme.person(ann)
    assert (row.status, row.has_seat, row.deleted_at is not None) == ("inactive", False, True)
    acme.clock.forward(days=29, hours=23)
    await hand.restore(acme.door, acme.as_admin(), ann)
    row = await acme.person(ann)
    assert (row.status, row.sign_in_address, row.deleted_at) == ("active", "ann@home.example", None)
    await clean(acme)


async def test_after_30_days_nobody_is_restored(acme: House) -> None:
    ann = await active(acme)
    await hand.delete(acme.door, acme.as_admin(), ann)
    acme.clock.forward(days=30)
    with pytest.raises(NotFound):
        await hand.restore(acme.door, acme.as_admin(), ann)


async def test_whom_a_source_asserts_is_not_deleted_by_hand(acme: House) -> None:
    pushed = await acme.create("ann")
    with pytest.raises(OwnedBySource, match="okta"):
        await hand.delete(acme.door, acme.as_admin(), pushed.person_id)


async def test_an_account_admin_is_demoted_before_they_are_deleted(acme: House) -> None:
    admin = await active(acme, role=ACCOUNT_ADMIN)
    await active(acme, "other", role=ACCOUNT_ADMIN)
    with pytest.raises(NotAllowedNow, match="is an Account Admin"):
        await hand.delete(acme.door, acme.as_admin(), admin)
    await assignments.set_role(acme.door, acme.as_admin(), admin, USER)
    await hand.delete(acme.door, acme.as_admin(), admin)


async def test_whom_a_source_deleted_is_restored_and_stays_deprovisioned_until_detached(acme: House) -> None:
    pushed = await acme.create("ann")
    await acme.delete(pushed.person_id)
    await hand.restore(acme.door, acme.as_admin(), pushed.person_id)
    assert (await acme.person(pushed.person_id)).causes == ["deprovisioned:okta"]
    await detaching.detach(acme.door, acme.as_admin(), pushed.person_id, "okta")
    row = await acme.person(pushed.person_id)
    assert "deprovisioned:okta" not in row.causes
    assert row.deleted_at is None
    await clean(acme)


async def test_an_address_that_somebody_else_has_by_now_stands_in_the_way_of_restoring(acme: House) -> None:
    ann = await active(acme)
    await hand.delete(acme.door, acme.as_admin(), ann)
    await active(acme)
    with pytest.raises(NotUnique, match="is taken"):
        await hand.restore(acme.door, acme.as_admin(), ann)


async def test_purging_leaves_the_audit_and_nothing_else(acme: House) -> None:
    ann = await active(acme)
    await hand.delete(acme.door, acme.as_admin(), ann)
    acme.clock.forward(days=29)
    assert await purging.purge_due(acme.door, acme.org_id) == 0
    acme.clock.forward(days=1)
    assert await purging.purge_due(acme.door, acme.org_id) == 1
    assert await acme.rows(people, id=ann) == []
    assert "person.purged" in await kinds(acme, ann)
    assert await purging.purge_due(acme.door, acme.org_id) == 0
