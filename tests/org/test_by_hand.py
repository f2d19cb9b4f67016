"""What admins do by hand: gates, deletion and return, roles, projects, new people, moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from scimd.core.errors import (
    Forbidden,
    InvalidValue,
    NotAllowedNow,
    NotFound,
    NotUnique,
    OwnAccount,
    OwnedBySource,
    Protected,
    SeatLimitReached,
)
from scimd.core.people import PersonId, ProjectId, RoleName, TeamId
from scimd.core.roles import ACCOUNT_ADMIN, MANAGER, USER, VIEWER
from scimd.db.tables import (
    assertions,
    events,
    gates,
    grants,
    links,
    people,
    projects,
    sessions,
    sources,
    waiting,
)
from scimd.org import (
    admin_reads,
    assignments,
    by_hand,
    detaching,
    local_people,
    moving,
    named,
    organizations,
    partner_approvals,
    purging,
    sign_in,
)
from scimd.org import gates as hand
from scimd.org import links as one_time
from scimd.org import (
    projects as project_rows,
)
from scimd.org import sessions as sessions_of
from scimd.org.local_people import Edit, NewPerson, NewServiceAccount
from scimd.org.organizations import NewOrganization
from scimd.org.tx import Actor, Context, Tx
from tests.org.house import House, house


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


PASSWORD = "lattice umbrella forty gnomes"


async def kinds(acme: House, person_id: str) -> list[str]:
    return [row.kind for row in await acme.rows(events, target_id=person_id)]


async def added(acme: House, name: str = "ann", **more: Any) -> PersonId:
    new = NewPerson(email=f"{name}@home.example", **more)
    return await local_people.add(acme.door, acme.as_admin(), new)


async def active(acme: House, name: str = "ann", **more: Any) -> PersonId:
    person_id = await added(acme, name, **more)
    await acme.run(lambda tx: _accept(tx, person_id), acme.as_admin())
    return person_id


def _accept(tx: Tx, person_id: PersonId) -> None:
    tx.conn.execute(people.update().where(people.c.id == person_id).values(accepted=True))
    tx.touch([person_id])


async def clean(acme: House) -> None:
    """V16: what is stored is what follows from the facts."""
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


# ------------------------------------------------------------------------------ gates (U8, U9)


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
    token = await _set_password_token(acme, ann)
    await sign_in.set_password_by_link(acme.door, token, PASSWORD, ip="", user_agent="")
    await hand.disable(acme.door, acme.as_admin(), ann)
    assert all(row.ended_at is not None for row in await acme.rows(sessions, person_id=ann))


async def _set_password_token(acme: House, person_id: PersonId) -> str:
    (row,) = [
        r
        for r in await acme.rows(links, person_id=person_id)
        if r.expires_at > acme.clock.now and not r.used_at
    ]
    return await acme.run(lambda tx: one_time.token(tx, "set_password", row.id, "mail"), acme.as_admin())


# ------------------------------------------------------------------------------ one's own account (U11)


@pytest.mark.parametrize("what", [hand.deactivate, hand.disable, hand.delete], ids=lambda f: f.__name__)
async def test_nobody_locks_their_own_account(acme: House, what: Callable[..., Any]) -> None:
    me = await active(acme, role=ACCOUNT_ADMIN)
    await active(acme, "other", role=ACCOUNT_ADMIN)
    ctx = replace(acme.as_admin(), actor=Actor("person", me, "me"))
    with pytest.raises((OwnAccount, NotAllowedNow)):
        await what(acme.door, ctx, me)
    assert (await acme.person(me)).status == "active"


async def test_nobody_changes_their_own_roles(acme: House) -> None:
    me = await active(acme, role=ACCOUNT_ADMIN)
    ctx = replace(acme.as_admin(), actor=Actor("person", me, "me"))
    with pytest.raises(OwnAccount):
        await assignments.set_role(acme.door, ctx, me, USER)


@pytest.mark.parametrize("what", ["deactivate", "disable", "demote"])
async def test_the_last_account_admin_stays(acme: House, what: str) -> None:
    """V10."""
    admin = await active(acme, role=ACCOUNT_ADMIN)
    if what == "demote":
        attempt = assignments.set_role(acme.door, acme.as_admin(), admin, USER)
    else:
        attempt = getattr(hand, what)(acme.door, acme.as_admin(), admin)
    with pytest.raises(Protected):
        await attempt
    assert (await acme.person(admin)).roles == [ACCOUNT_ADMIN]
    await clean(acme)


async def test_whoever_lacks_a_permission_does_not_touch_those_who_have_it(acme: House) -> None:
    """An admin's account is not come by through its address, its password or its role."""
    admin = await active(acme, role=ACCOUNT_ADMIN)
    helpdesk = replace(acme.as_admin(), permissions=frozenset({"users.read", "users.manage"}))
    for attempt in (
        hand.deactivate(acme.door, helpdesk, admin),
        local_people.edit(acme.door, helpdesk, admin, Edit(email="evil@home.example")),
        local_people.reset_password(acme.door, helpdesk, [admin]),
        assignments.set_role(acme.door, helpdesk, admin, USER),
    ):
        with pytest.raises(Forbidden):
            await attempt


async def test_nobody_gives_a_role_with_permissions_that_they_lack(acme: House) -> None:
    """Lesson 7."""
    ann = await active(acme)
    helpdesk = replace(acme.as_admin(), permissions=frozenset({"users.read", "users.manage"}))
    with pytest.raises(Forbidden, match=r"invitations\.manage"):
        await assignments.set_role(acme.door, helpdesk, ann, MANAGER)


async def test_without_the_permission_nothing_happens(acme: House) -> None:
    ann = await active(acme)
    nobody = replace(acme.as_admin(), permissions=frozenset())
    for attempt in (
        hand.deactivate(acme.door, nobody, ann),
        hand.delete(acme.door, nobody, ann),
        hand.restore(acme.door, nobody, ann),
        local_people.add(acme.door, nobody, NewPerson("x@home.example")),
        assignments.set_team(acme.door, nobody, ann, None),
        detaching.detach(acme.door, nobody, ann, "okta"),
        partner_approvals.approve(acme.door, nobody, ann),
        moving.move(acme.door, nobody, ann, "beta"),
    ):
        with pytest.raises(Forbidden):
            await attempt


# ------------------------------------------------------------------------------ delete, restore (U10)


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


# ------------------------------------------------------------------------------ roles (U6, P4, P5)


async def test_a_managers_projects_go_dormant_and_come_back_with_the_role(acme: House) -> None:
    ann = await active(acme)
    await assignments.set_role(acme.door, acme.as_admin(), ann, MANAGER)
    assert (await acme.person(ann)).roles == [MANAGER]
    await assignments.set_role(acme.door, acme.as_admin(), ann, USER)
    live = await acme.rows(grants, person_id=ann, kind="project", until=None)
    assert [row.dormant for row in live] == [False]
    await clean(acme)


async def test_further_roles_join_and_leave_the_set(acme: House) -> None:
    ann = await active(acme, role=MANAGER)
    await assignments.add_role(acme.door, acme.as_admin(), ann, RoleName("auditor"))
    assert (await acme.person(ann)).roles == ["manager", "auditor"]
    await assignments.remove_role(acme.door, acme.as_admin(), ann, RoleName("auditor"))
    assert (await acme.person(ann)).roles == ["manager"]
    with pytest.raises(NotFound):
        await assignments.remove_role(acme.door, acme.as_admin(), ann, RoleName("auditor"))


async def test_an_unknown_role_is_refused_with_those_that_there_are(acme: House) -> None:
    ann = await active(acme)
    with pytest.raises(InvalidValue, match="account-admin, auditor, manager, user"):
        await assignments.set_role(acme.door, acme.as_admin(), ann, RoleName("boss"))


# ------------------------------------------------------------------------------ projects (P2, P3), teams


async def project(acme: House, name: str) -> ProjectId:
    return await acme.run(lambda tx: project_rows.make(tx, name), acme.as_admin())


async def test_a_project_role_by_hand_is_given_changed_and_taken_back(acme: House) -> None:
    ann, alpha, beta = await active(acme), await project(acme, "Alpha"), await project(acme, "Beta")
    await assignments.set_project(acme.door, acme.as_admin(), ann, alpha)
    await assignments.set_project(acme.door, acme.as_admin(), ann, beta, VIEWER)
    await assignments.set_project(acme.door, acme.as_admin(), ann, alpha, VIEWER)
    held = await acme.rows(grants, person_id=ann, kind="project", until=None)
    assert {(row.target, row.project_role) for row in held} == {(alpha, "viewer"), (beta, "viewer")}
    await assignments.remove_project(acme.door, acme.as_admin(), ann, alpha)
    with pytest.raises(NotAllowedNow, match="at least one project"):
        await assignments.remove_project(acme.door, acme.as_admin(), ann, beta)
    await clean(acme)


async def test_a_project_that_a_group_gives_is_not_taken_by_hand(acme: House) -> None:
    pushed = await acme.create("ann")
    await acme.group("Research", pushed.person_id)
    (row,) = await acme.rows(projects, name="Research")
    with pytest.raises(OwnedBySource, match="okta"):
        await assignments.remove_project(acme.door, acme.as_admin(), pushed.person_id, ProjectId(row.id))


async def test_each_person_is_in_one_team(acme: House) -> None:
    ann = await active(acme)
    red = await acme.run(lambda tx: named.team_named(tx, "Red"), acme.as_admin())
    blue = await acme.run(lambda tx: named.team_named(tx, "Blue"), acme.as_admin())
    await assignments.set_team(acme.door, acme.as_admin(), ann, red)
    await assignments.set_team(acme.door, acme.as_admin(), ann, blue)
    assert (await acme.person(ann)).team_id == blue
    await assignments.set_team(acme.door, acme.as_admin(), ann, None)
    assert (await acme.person(ann)).team_id is None
    with pytest.raises(NotFound):
        await assignments.set_team(acme.door, acme.as_admin(), ann, TeamId("nowhere"))


async def test_each_change_by_hand_has_one_entry_of_its_own(acme: House) -> None:
    """V17."""
    ann = await active(acme)
    alpha = await project(acme, "Alpha")
    before = Counter(await kinds(acme, ann))
    await assignments.set_project(acme.door, acme.as_admin(), ann, alpha)
    assert (Counter(await kinds(acme, ann)) - before)["grant.given"] == 1
    await hand.deactivate(acme.door, acme.as_admin(), ann)
    assert (Counter(await kinds(acme, ann)) - before)["person.deactivated"] == 1


# ------------------------------------------------------------------------------ adding (U5), editing (U6)


async def test_somebody_who_is_added_sets_a_password_by_the_link_and_is_in(acme: House) -> None:
    ann = await added(acme, display_name="Ann  van der Ár")
    row = await acme.person(ann)
    assert (row.status, row.causes, row.has_seat) == ("pending", ["invited"], True)
    assert (row.local_user_name, row.display_name) == ("ann", "Ann  van der Ár")
    signed_in = await sign_in.set_password_by_link(
        acme.door, await _set_password_token(acme, ann), PASSWORD, ip="", user_agent=""
    )
    assert signed_in.session
    row = await acme.person(ann)
    assert (row.status, row.address_verified_at is not None) == ("active", True)
    await clean(acme)


async def test_the_link_is_valid_for_three_hours_and_then_the_seat_is_free(acme: House) -> None:
    ann = await added(acme)
    acme.clock.forward(hours=3)
    assert await local_people.expire_welcomes(acme.door, acme.org_id) == 1
    row = await acme.person(ann)
    assert (row.causes, row.has_seat) == (["invitation_expired"], False)
    await local_people.reset_password(acme.door, acme.as_admin(), [ann])
    row = await acme.person(ann)
    assert (row.causes, row.has_seat) == (["invited"], True)
    await clean(acme)


async def test_adding_beyond_the_seats_is_refused_and_leaves_nothing(acme: House) -> None:
    await organizations.set_seats(acme.door, acme.as_admin(), 1)
    await added(acme)
    with pytest.raises(SeatLimitReached, match="1 of 1 used"):
        await added(acme, "bob")
    assert len(await acme.rows(people)) == 1
    assert await acme.rows(waiting) == []


@pytest.mark.parametrize(
    "email",
    ["", "ann", "a@b", "a@b.example,c@d.example", "a@b.example\r\nBcc: x@y.example", ["a@b.example"], None],
)
async def test_an_address_is_one_scalar_address(acme: House, email: Any) -> None:
    """Lesson 18."""
    with pytest.raises(InvalidValue):
        await local_people.add(acme.door, acme.as_admin(), NewPerson(email))


@pytest.mark.parametrize("name", ["Ann", "ann smith", "-ann", "ann_s", "änn", "a" * 65, ""])
async def test_a_user_name_is_letters_digits_and_dashes(acme: House, name: str) -> None:
    with pytest.raises(InvalidValue, match="letters, digits and dashes"):
        await added(acme, user_name=name)


async def test_names_and_addresses_are_unique_among_the_living(acme: House) -> None:
    await added(acme, user_name="boss")
    with pytest.raises(NotUnique):
        await added(acme, "ANN")
    with pytest.raises(NotUnique):
        await added(acme, "bob", user_name="boss")


async def test_a_domain_that_another_organization_proved_is_its_own(acme: House) -> None:
    """X3."""
    operator = Actor("operator", "", "root")
    await organizations.create(acme.door, NewOrganization("beta", domains=("beta.example",)), operator)
    with pytest.raises(InvalidValue, match=r"beta\.example belongs to another organization"):
        await local_people.add(acme.door, acme.as_admin(), NewPerson("eve@beta.example"))


async def test_a_new_address_signs_out_and_has_to_be_proved_again(acme: House) -> None:
    ann = await added(acme)
    token = await _set_password_token(acme, ann)
    await sign_in.set_password_by_link(acme.door, token, PASSWORD, ip="", user_agent="")
    await local_people.edit(acme.door, acme.as_admin(), ann, Edit(email="ann@new.example"))
    row = await acme.person(ann)
    assert (row.sign_in_address, row.address_verified_at) == ("ann@new.example", None)
    assert all(row.ended_at is not None for row in await acme.rows(sessions, person_id=ann))
    await clean(acme)


async def test_an_address_that_a_directory_changes_signs_out_as_well(acme: House) -> None:
    """L4: by whichever door."""
    pushed = await acme.create("ann")
    await acme.run(
        lambda tx: sessions_of.start(tx, PersonId(pushed.person_id), "127.0.0.1", "test"), acme.as_admin()
    )
    await acme.change(pushed.person_id, title="Lead")
    assert [row.ended_at for row in await acme.rows(sessions, person_id=pushed.person_id)] == [None]
    await acme.change(pushed.person_id, emails=[{"value": "ann@new.example", "primary": True}])
    (row,) = await acme.rows(sessions, person_id=pushed.person_id)
    assert (row.ended_at is not None, row.ended_by) == (True, "address changed")


async def test_what_a_directory_owns_is_refused_with_its_name(acme: House) -> None:
    """U15."""
    pushed = await acme.create("ann")
    for wanted in (Edit(email="x@home.example"), Edit(display_name="Other")):
        with pytest.raises(OwnedBySource, match="okta"):
            await local_people.edit(acme.door, acme.as_admin(), pushed.person_id, wanted)
    await local_people.edit(acme.door, acme.as_admin(), pushed.person_id, Edit(user_name="annie"))
    assert (await acme.person(pushed.person_id)).local_user_name == "annie"


async def test_a_forced_reset_signs_out_and_kills_the_old_password(acme: House) -> None:
    """U7."""
    ann = await added(acme)
    token = await _set_password_token(acme, ann)
    await sign_in.set_password_by_link(acme.door, token, PASSWORD, ip="", user_agent="")
    await local_people.reset_password(acme.door, acme.as_admin(), [ann])
    with pytest.raises(Exception, match="wrong"):
        await sign_in.by_password(
            acme.door, "acme", "ann@home.example", PASSWORD, ip="127.0.0.1", user_agent=""
        )
    token = await _set_password_token(acme, ann)
    await sign_in.set_password_by_link(acme.door, token, PASSWORD + "!", ip="", user_agent="")


async def test_a_service_account_takes_no_seat_and_gets_no_mail(acme: House) -> None:
    """U20."""
    new = NewServiceAccount("deploy-bot", "Deploy bot", owner="ann@home.example")
    bot = await local_people.add_service_account(acme.door, acme.as_admin(), new)
    row = await acme.person(bot)
    assert (row.status, row.has_seat, row.sign_in_address) == ("active", False, None)


# ------------------------------------------------------------------------------ detach, approve, move


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
