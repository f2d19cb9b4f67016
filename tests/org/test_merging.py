"""Link, unlink, merge (R16): whose entry it is, by an admin's word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from scimd.core.errors import Forbidden, NotAllowedNow, NotFound, NotUnique, OwnAccount
from scimd.core.people import PersonId, RoleName
from scimd.core.roles import ACCOUNT_ADMIN, AUDITOR, MANAGER, USER
from scimd.db.tables import (
    assertions,
    credentials,
    decisions,
    deliveries,
    events,
    grants,
    group_members,
    merged_people,
    people,
    seat_pools,
)
from scimd.org.grants import assignments
from scimd.org.identities import detaching, linking, merging, unmerging
from scimd.org.organizations import organizations
from scimd.org.reading import reads
from scimd.org.rehearsal import rehearse
from scimd.org.tx import Actor, Tx
from scimd.org.users import admin_reads, local_people, purging
from scimd.org.users import gates as hand
from scimd.org.users import people as door_people
from scimd.org.users.local_people import NewPerson
from tests.org.house import House, house, user


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


async def local(acme: House, name: str, **more: Any) -> PersonId:
    new = NewPerson(email=f"{name}@home.example", display_name=name.title(), **more)
    person_id = await local_people.add(acme.door, acme.as_admin(), new)

    def accept(tx: Tx) -> None:
        tx.conn.execute(people.update().where(people.c.id == person_id).values(accepted=True))
        tx.touch([person_id])

    await acme.run(accept, acme.as_admin())
    return person_id


async def clean(acme: House) -> None:
    """V16, and the pool's count."""
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def used(acme: House) -> int:
    (row,) = await acme.rows(seat_pools)
    return int(row.used)


async def kinds(acme: House, person_id: str) -> list[str]:
    return [row.kind for row in await acme.rows(events, target_id=person_id)]


async def roles(acme: House, person_id: str) -> list[str]:
    return list((await acme.person(person_id)).roles)


# ------------------------------------------------------------------------------ merge


async def test_merging_unites_what_two_records_of_one_person_have(acme: House) -> None:
    ann = await local(acme, "ann", role=AUDITOR)
    pushed = await acme.create("annie")
    await acme.group("Research", pushed.person_id)
    await assignments.add_role(acme.door, acme.as_admin(), PersonId(pushed.person_id), MANAGER)
    assert await used(acme) == 2
    await merging.merge(acme.door, acme.as_admin(), ann, PersonId(pushed.person_id))
    row = await acme.person(ann)
    assert set(row.roles) == {AUDITOR, MANAGER}
    assert (row.status, row.display_name, row.sign_in_address) == ("active", "Annie", "ann@home.example")
    assert [a.source_id for a in await acme.rows(assertions, person_id=ann)] == [acme.scim]
    assert [m.member_key for m in await acme.rows(group_members, person_id=ann)] == [ann]
    other = await acme.person(pushed.person_id)
    assert other.deleted_at is not None
    assert not other.has_seat
    assert await used(acme) == 1
    assert (await kinds(acme, ann)).count("person.merged") == 1
    await clean(acme)


async def test_the_kept_person_signs_in_as_before(acme: House) -> None:
    ann, twin = await local(acme, "ann"), await local(acme, "twin")
    for person_id in (ann, twin):
        await acme.execute(
            credentials.insert().values(
                org_id=acme.org_id,
                person_id=person_id,
                kind="password",
                secret="x",
                changed_at=acme.clock.now,
            )
        )
    await merging.merge(acme.door, acme.as_admin(), ann, twin)
    assert [row.person_id for row in await acme.rows(credentials)] == [ann]
    assert (await acme.person(ann)).sign_in_address == "ann@home.example"
    await clean(acme)


async def test_scim_finds_the_kept_person_by_both_ids(acme: House) -> None:
    ann = await local(acme, "ann")
    old = (await acme.create("annie")).person_id
    await merging.merge(acme.door, acme.as_admin(), ann, PersonId(old))
    for person_id in (ann, old):
        shown = await acme.seen(person_id)
        assert shown is not None
        assert shown["id"] == ann
    assert (await acme.change(old, title="Lead")).person_id == ann
    _, listed = await acme.listed(reads.ListQuery())
    assert [each["id"] for each in listed] == [ann]
    group_id = await acme.group("Research", old)
    assert [m.person_id for m in await acme.rows(group_members, group_id=group_id)] == [ann]
    await acme.members(group_id, remove=[old])
    assert await acme.rows(group_members, group_id=group_id) == []
    await clean(acme)
    await door_people.delete_user(acme.door, acme.as_scim(), PersonId(old))
    with pytest.raises(NotFound):
        await acme.change(old, title="Gone")
    assert await acme.seen(old) is None
    await clean(acme)


async def test_admins_find_the_kept_person_by_the_old_id(acme: House) -> None:
    ann, twin, third = [await local(acme, name) for name in ("ann", "twin", "third")]
    await merging.merge(acme.door, acme.as_admin(), twin, third)
    await merging.merge(acme.door, acme.as_admin(), ann, twin)
    for old in (twin, third):
        assert await admin_reads.find_person(acme.door, acme.org_id, old) == ann
        assert (await admin_reads.show_person(acme.door, acme.org_id, old)).person.id == ann
        with pytest.raises(NotAllowedNow, match="merged into another"):
            await hand.restore(acme.door, acme.as_admin(), old)


async def test_unmerging_gives_each_back_what_was_theirs(acme: House) -> None:
    """R16: with undo. What came since stays with the one who was kept."""
    ann = await local(acme, "ann", role=AUDITOR)
    twin = await local(acme, "twin")
    third = PersonId((await acme.create("annie")).person_id)
    await acme.group("Research", third)
    await assignments.add_role(acme.door, acme.as_admin(), third, MANAGER)
    await hand.disable(acme.door, acme.as_admin(), third)
    before = {each: await state(acme, each) for each in (ann, twin, third)}
    await merging.merge(acme.door, acme.as_admin(), twin, third)
    await merging.merge(acme.door, acme.as_admin(), ann, twin)
    assert (await acme.person(ann)).status == "inactive"
    seen, events_of = await rehearse(acme.door, lambda door: unmerging.unmerge(door, acme.as_admin(), twin))
    assert seen == ann
    assert "person.unmerged" in [each.kind for each in events_of]
    assert (await acme.person(twin)).deleted_at is not None
    assert await unmerging.unmerge(acme.door, acme.as_admin(), twin) == ann
    assert await state(acme, ann) == before[ann]
    assert await admin_reads.find_person(acme.door, acme.org_id, third) == twin
    assert await unmerging.unmerge(acme.door, acme.as_admin(), third) == twin
    assert {each: await state(acme, each) for each in (ann, twin, third)} == before
    assert [m.member_key for m in await acme.rows(group_members)] == [third]
    shown = await acme.seen(third)
    assert shown is not None
    assert shown["id"] == third
    assert await acme.rows(merged_people) == []
    assert (await kinds(acme, ann)).count("person.unmerged") == 1
    await clean(acme)
    with pytest.raises(NotFound):
        await unmerging.unmerge(acme.door, acme.as_admin(), third)


async def state(acme: House, person_id: PersonId) -> tuple[Any, ...]:
    row = await acme.person(person_id)
    asserted = sorted(each.source_id for each in await acme.rows(assertions, person_id=person_id))
    return (
        row.status, row.causes, row.roles, row.sign_in_address, row.display_name, row.owner_source_id,
        row.has_seat, row.deleted_at, asserted,
    )  # fmt: skip


async def test_unmerging_gives_no_role_that_the_caller_lacks(acme: House) -> None:
    """The merge ended the role of the one, an admin took it from the other since."""
    ann, twin = await local(acme, "ann"), await local(acme, "twin", role=MANAGER)
    helpdesk = replace(acme.as_admin(), permissions=frozenset({"users.read", "users.manage"}))
    await merging.merge(acme.door, acme.as_admin(), ann, twin)
    await assignments.set_role(acme.door, acme.as_admin(), ann, USER)
    with pytest.raises(Forbidden, match=r"invitations\.manage"):
        await unmerging.unmerge(acme.door, helpdesk, twin)
    assert (await acme.person(twin)).deleted_at is not None
    assert await roles(acme, ann) == [USER]
    assert await unmerging.unmerge(acme.door, acme.as_admin(), twin) == ann
    assert await roles(acme, twin) == [MANAGER]
    await clean(acme)


async def test_a_merge_is_final_after_thirty_days(acme: House) -> None:
    ann, twin = await local(acme, "ann"), await local(acme, "twin")
    await merging.merge(acme.door, acme.as_admin(), ann, twin)
    acme.clock.forward(days=30)
    with pytest.raises(NotFound):
        await unmerging.unmerge(acme.door, acme.as_admin(), twin)


async def test_two_people_of_one_source_are_not_merged(acme: House) -> None:
    ann, bob = await acme.create("ann"), await acme.create("bob")
    with pytest.raises(NotAllowedNow, match="okta asserts both Ann and Bob"):
        await merging.merge(acme.door, acme.as_admin(), PersonId(ann.person_id), PersonId(bob.person_id))
    assert (await acme.person(bob.person_id)).deleted_at is None
    assert await acme.rows(merged_people) == []
    with pytest.raises(NotAllowedNow, match="one and the same"):
        await merging.merge(acme.door, acme.as_admin(), PersonId(ann.person_id), PersonId(ann.person_id))


async def test_a_source_that_had_dropped_one_of_them_keeps_the_living(acme: House) -> None:
    ann, bob = await acme.create("ann"), await acme.create("bob")
    await acme.drop(ann.person_id, ctx=acme.as_scim())
    await merging.merge(acme.door, acme.as_admin(), PersonId(ann.person_id), PersonId(bob.person_id))
    (said,) = await acme.rows(assertions, person_id=ann.person_id)
    assert (said.external_id, said.state) == ("x-bob", "live")
    assert (await acme.person(ann.person_id)).status == "active"
    await clean(acme)


async def test_what_the_source_said_of_the_other_once_does_not_bring_them_back(acme: House) -> None:
    ann, bob = await acme.create("ann"), await acme.create("bob")
    await acme.drop(bob.person_id, ctx=acme.as_scim())
    await merging.merge(acme.door, acme.as_admin(), PersonId(ann.person_id), PersonId(bob.person_id))
    await acme.create("bob")
    assert (await acme.person(bob.person_id)).deleted_at is not None
    await clean(acme)


async def test_a_gate_of_either_holds_for_both(acme: House) -> None:
    ann, twin = await local(acme, "ann"), await local(acme, "twin")
    await hand.disable(acme.door, acme.as_admin(), twin)
    await merging.merge(acme.door, acme.as_admin(), ann, twin)
    assert (await acme.person(ann)).causes == ["disabled:admin@acme.example"]
    assert await used(acme) == 0
    await clean(acme)


async def test_a_seat_goes_over_where_all_are_taken(acme: House) -> None:
    twin = await local(acme, "twin")
    await organizations.set_seats(acme.door, acme.as_admin(), 1)
    pushed = await acme.create("ann")
    assert (await acme.person(pushed.person_id)).causes == ["waiting_for_seat"]
    await merging.merge(acme.door, acme.as_admin(), PersonId(pushed.person_id), twin)
    row = await acme.person(pushed.person_id)
    assert (row.status, row.has_seat, await used(acme)) == ("active", True, 1)
    await clean(acme)


async def test_the_last_admin_may_be_merged_into_the_account_that_stays(acme: House) -> None:
    ann, admin = await local(acme, "ann"), await local(acme, "admin", role=ACCOUNT_ADMIN)
    await merging.merge(acme.door, acme.as_admin(), ann, admin)
    assert await roles(acme, ann) == [ACCOUNT_ADMIN]
    me = replace(acme.as_admin(), actor=Actor("person", ann, "me"))
    with pytest.raises(OwnAccount):
        await merging.merge(acme.door, me, ann, await local(acme, "other"))


async def test_the_old_id_answers_after_the_purge(acme: House) -> None:
    ann, twin = await local(acme, "ann"), await local(acme, "twin")
    await merging.merge(acme.door, acme.as_admin(), ann, twin)
    acme.clock.forward(days=31)
    assert await purging.purge_due(acme.door, acme.org_id) == 1
    assert await acme.rows(people, id=twin) == []
    assert await admin_reads.find_person(acme.door, acme.org_id, twin) == ann


# ------------------------------------------------------------------------------ link


async def test_an_entry_moves_to_the_person_whose_it_is(acme: House) -> None:
    ann = await local(acme, "ann")
    pushed = await acme.create("annie")
    assert await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    assert [a.user_name for a in await acme.rows(assertions, person_id=ann)] == ["annie@acme.example"]
    assert (await acme.change(pushed.person_id, title="Lead")).person_id == ann
    assert (await kinds(acme, ann)).count("person.linked") == 1
    assert await linking.link(acme.door, acme.as_admin(), ann, "okta", "annie@acme.example")
    assert (await kinds(acme, ann)).count("person.linked") == 1
    await clean(acme)


async def test_an_entry_of_somebody_with_anything_by_hand_does_not_move(acme: House) -> None:
    ann = await local(acme, "ann")
    pushed = await acme.create("annie")
    await assignments.add_role(acme.door, acme.as_admin(), PersonId(pushed.person_id), MANAGER)
    with pytest.raises(NotAllowedNow, match="has grants by hand"):
        await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    assert await acme.rows(assertions, person_id=ann) == []


async def test_an_entry_that_is_still_to_come_is_linked_when_it_comes(acme: House) -> None:
    ann = await local(acme, "ann")
    assert not await linking.link(acme.door, acme.as_admin(), ann, "okta", "X-Annie")
    made = await acme.create("annie")
    assert made.person_id == ann
    assert await used(acme) == 1
    other = await acme.create("other")
    assert other.person_id != ann
    await clean(acme)


@pytest.mark.parametrize("how", ["merged", "linked", "linked before it came"])
async def test_an_address_is_kept_until_the_directory_has_another_one(acme: House, how: str) -> None:
    ann = await local(acme, "ann")
    await acme.execute(people.update().where(people.c.id == ann).values(address_verified_at=acme.clock.now))
    if how == "linked before it came":
        await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    pushed = PersonId((await acme.create("annie")).person_id)
    if how == "linked":
        await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    if how == "merged":
        await merging.merge(acme.door, acme.as_admin(), ann, pushed)
    for document in ({"title": "Lead"}, {"displayName": "Ann"}, {"active": False}, {"active": True}):
        await acme.change(ann, **document)
        row = await acme.person(ann)
        assert (row.sign_in_address, row.address_verified_at) == ("ann@home.example", acme.clock.now)
    assert await acme.rows(deliveries, template="address_changed") == []
    await acme.change(ann, emails=[{"value": "annie@new.example", "primary": True}])
    row = await acme.person(ann)
    assert (row.sign_in_address, row.address_verified_at) == ("annie@new.example", None)
    await clean(acme)


async def test_who_was_detached_and_is_linked_again_keeps_the_address(acme: House) -> None:
    ann = await local(acme, "ann")
    await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    await acme.create("annie")
    await detaching.detach(acme.door, acme.as_admin(), ann, "okta")
    await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    assert (await acme.create("annie")).person_id == ann
    assert (await acme.person(ann)).sign_in_address == "ann@home.example"
    assert await acme.rows(deliveries, template="address_changed") == []
    await clean(acme)


async def test_who_may_be_somebody_else_by_now_has_the_address_that_the_directory_gives(acme: House) -> None:
    ann = await local(acme, "ann")
    await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    await acme.create("annie")
    await acme.change(ann, active=False)
    assert (await acme.create("annie", external_id="other")).person_id == ann
    assert (await acme.person(ann)).sign_in_address == "annie@acme.example"
    await clean(acme)


async def test_a_link_answers_a_collision(acme: House) -> None:
    ann = await local(acme, "ann", role=RoleName("auditor"))
    with pytest.raises(NotUnique):
        await acme.create("annie", mail="ann@home.example")
    await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    assert [row.state for row in await acme.rows(decisions, kind="collision")] == ["moot"]
    assert (await acme.create("annie", mail="ann@home.example")).person_id == ann
    await clean(acme)


async def test_a_person_is_one_entry_of_a_source(acme: House) -> None:
    ann, bob = await acme.create("ann"), await acme.create("bob")
    with pytest.raises(NotAllowedNow, match=r"okta asserts Ann already, as ann@acme\.example"):
        await linking.link(acme.door, acme.as_admin(), PersonId(ann.person_id), "okta", "x-bob")
    dana = await local(acme, "dana")
    await linking.link(acme.door, acme.as_admin(), dana, "okta", "x-cleo")
    await linking.link(acme.door, acme.as_admin(), dana, "okta", "x-bob")
    # The first answer is void: to link Cleo too would take Bob's entry away from Dana.
    assert (await acme.create("cleo")).person_id not in (dana, bob.person_id)
    await clean(acme)


async def test_a_link_that_was_said_ahead_is_the_kept_persons_after_a_merge(acme: House) -> None:
    ann, twin = await local(acme, "ann"), await local(acme, "twin")
    await linking.link(acme.door, acme.as_admin(), twin, "okta", "x-annie")
    await merging.merge(acme.door, acme.as_admin(), ann, twin)
    await unmerging.unmerge(acme.door, acme.as_admin(), twin)
    await merging.merge(acme.door, acme.as_admin(), ann, twin)
    assert (await acme.create("annie")).person_id == ann
    await clean(acme)


async def test_a_link_ends_where_the_person_is_detached(acme: House) -> None:
    ann = await local(acme, "ann")
    await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    assert (await acme.create("annie")).person_id == ann
    await detaching.detach(acme.door, acme.as_admin(), ann, "okta")
    assert (await acme.create("annie")).person_id != ann
    await clean(acme)


# ------------------------------------------------------------------------------ unlink


async def test_unlinking_makes_two_of_one(acme: House) -> None:
    ann = await local(acme, "ann", role=MANAGER)
    await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    made = await acme.create("annie")
    group_id = await acme.group("Research", made.person_id)
    new = await linking.unlink(acme.door, acme.as_admin(), ann, "okta")
    row, other = await acme.person(ann), await acme.person(new)
    assert (row.display_name, row.sign_in_address, row.roles) == ("Ann", "ann@home.example", [MANAGER])
    assert (other.display_name, other.sign_in_address) == ("Annie", "annie@acme.example")
    assert (other.status, other.owner_source_id) == ("active", acme.scim)
    assert [m.person_id for m in await acme.rows(group_members, group_id=group_id)] == [new]
    assert await used(acme) == 2
    assert (await kinds(acme, ann)).count("person.unlinked") == 1
    # The next push is the new person's: the answer that linked them is void.
    assert (await acme.change(new, title="Lead")).person_id == new
    await acme.delete(new)
    acme.clock.forward(days=40)
    assert (await acme.create("annie")).person_id not in (ann, new)
    await clean(acme)


async def test_there_is_nothing_to_unlink_from_a_person_of_one_source(acme: House) -> None:
    ann = await acme.create("ann")
    with pytest.raises(NotAllowedNow, match="okta is all that speaks of Ann"):
        await linking.unlink(acme.door, acme.as_admin(), PersonId(ann.person_id), "okta")
    await acme.source("hr", kind="connector", connector="file")
    with pytest.raises(NotFound):
        await linking.unlink(acme.door, acme.as_admin(), PersonId(ann.person_id), "hr")


async def test_what_is_left_follows_the_next_source(acme: House) -> None:
    hr = await acme.source("hr", kind="connector", connector="file")
    ann = await acme.create("ann")
    await linking.link(acme.door, acme.as_admin(), PersonId(ann.person_id), "hr", "x-ana")
    (said,) = await acme.push(user("ana"), ctx=acme.as_sync(hr))
    assert said.person_id == ann.person_id
    new = await linking.unlink(acme.door, acme.as_admin(), PersonId(ann.person_id), "okta")
    assert (await acme.person(ann.person_id)).display_name == "Ana"
    assert (await acme.person(new)).sign_in_address == "ann@acme.example"
    assert [g.until for g in await acme.rows(grants, person_id=new, origin="manual")] == []
    await clean(acme)
