"""Deleted, restored, purged (U10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scimd.core.errors import NotAllowedNow, NotFound, NotUnique, OwnedBySource
from scimd.core.roles import ACCOUNT_ADMIN, USER
from scimd.core.sync.plan import Change
from scimd.core.sync.policy import Action, Situation
from scimd.db import tables
from scimd.db.tables import decisions, people
from scimd.org.decisions import decisions as items
from scimd.org.grants import assignments
from scimd.org.identities import detaching, linking
from scimd.org.runs import run_changes, runs
from scimd.org.tx import Tx
from scimd.org.users import gates as hand
from scimd.org.users import purging
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


async def with_rows_of(acme: House, person_id: str) -> set[str]:
    of_people = [table for table in tables.metadata.sorted_tables if "person_id" in table.c]
    return {table.name for table in of_people if await acme.rows(table, person_id=person_id)}


async def test_purging_leaves_the_audit_and_nothing_else(acme: House) -> None:
    ann = await active(acme)
    image = {"org_id": acme.org_id, "person_id": ann, "kind": "png", "image": b"", "changed_at": acme.clock()}
    await acme.execute(tables.pictures.insert().values(image))
    await hand.delete(acme.door, acme.as_admin(), ann)
    acme.clock.forward(days=29)
    assert await purging.purge_due(acme.door, acme.org_id) == 0
    assert await with_rows_of(acme, ann) > {"deliveries", "gates", "links", "pictures"}
    acme.clock.forward(days=1)
    assert await purging.purge_due(acme.door, acme.org_id) == 1
    assert await acme.rows(people, id=ann) == []
    assert await with_rows_of(acme, ann) == {"grants", "status_spans"}
    assert "person.purged" in await kinds(acme, ann)
    assert await purging.purge_due(acme.door, acme.org_id) == 0


async def test_what_was_said_of_somebody_of_the_same_name_outlives_a_purge(acme: House) -> None:
    ann = (await acme.create("ann")).person_id
    await acme.delete(ann)
    bob = await active(acme, "bob")
    await linking.link(acme.door, acme.as_admin(), bob, "okta", "ann@acme.example")
    acme.clock.forward(days=30)
    assert await purging.purge_due(acme.door, acme.org_id) == 1
    (answer,) = await acme.rows(decisions)
    assert (answer.state, answer.facts["person_id"]) == ("answered", bob)
    assert (await acme.create("ann")).person_id == bob


async def test_an_entry_that_met_somebody_is_erased_with_them(acme: House) -> None:
    ann = await active(acme, "ann")
    with pytest.raises(NotUnique):
        await acme.create("annie", mail="ann@home.example")
    refused = Change(
        "user", Situation.FAILED, Action.FAIL, "x-annie", "annie", "new", outcome="failed",
        payload={"document": '{"emails": [{"value": "Ann@home.example"}]}'},
    )  # fmt: skip

    def run(tx: Tx) -> None:
        run_id = runs.begin(tx, acme.scim, "schedule", "tests", 1, full=True)
        run_changes.add(tx, run_id, 1, [refused, replace(refused, payload={}, name="bob")])

    await acme.run(run)
    await hand.delete(acme.door, acme.as_admin(), ann)
    acme.clock.forward(days=30)
    assert await purging.purge_due(acme.door, acme.org_id) == 1
    assert sorted(row.name for row in await acme.rows(tables.run_changes)) == ["bob", "erased"]
    (item,) = await acme.rows(decisions)
    assert (item.state, item.question, item.facts, item.subject) == ("moot", "erased", {}, item.id)


@pytest.mark.parametrize("external_id", ["x-annie", "X-Annie", ""])
async def test_a_question_about_an_entry_of_theirs_that_met_somebody_else_is_erased(
    acme: House, external_id: str
) -> None:
    bob = await active(acme, "bob")
    with pytest.raises(NotUnique):
        await acme.create("Annie", mail="bob@home.example", external_id=external_id)
    (asked,) = await acme.rows(decisions)
    await items.answer(acme.door, acme.as_admin(), asked.id, "separate")
    await acme.delete((await acme.create("Annie", external_id=external_id)).person_id)
    acme.clock.forward(days=30)
    assert await purging.purge_due(acme.door, acme.org_id) == 1
    (item,) = await acme.rows(decisions)
    assert (item.state, item.question, item.facts, item.subject) == ("answered", "erased", {}, item.id)
    assert (await acme.person(bob)).status == "active"


async def test_an_external_id_of_another_source_stays_in_a_groups_change(acme: House) -> None:
    ann = (await acme.create("ann", external_id="17")).person_id
    hr = await acme.source("hr")
    staff = Change("group", Situation.NEW, Action.CREATE, "s", "Staff", "new", payload={"add": ["17", "18"]})

    def run(tx: Tx) -> None:
        for source_id in (acme.scim, hr):
            run_changes.add(tx, runs.begin(tx, source_id, "schedule", "tests", 1, full=True), 1, [staff])

    await acme.run(run)
    await acme.delete(ann)
    acme.clock.forward(days=30)
    assert await purging.purge_due(acme.door, acme.org_id) == 1
    of = {row.id: row.source_id for row in await acme.rows(tables.runs)}
    left = {of[row.run_id]: row.payload["add"] for row in await acme.rows(tables.run_changes)}
    assert left == {acme.scim: ["18"], hr: ["17", "18"]}
