"""What nobody may do to themselves, to the last admin, or to whoever may do more (U11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scimd.core.errors import Forbidden, NotAllowedNow, NotUnique, OwnAccount, Protected
from scimd.core.people import PersonId
from scimd.core.roles import ACCOUNT_ADMIN, MANAGER, USER
from scimd.db.tables import assertions, people
from scimd.org.decisions import decisions
from scimd.org.grants import assignments
from scimd.org.identities import detaching, linking, moving
from scimd.org.organizations import partner_approvals
from scimd.org.tx import Actor
from scimd.org.users import gates as hand
from scimd.org.users import local_people
from scimd.org.users.local_people import Edit, NewPerson, NewServiceAccount
from tests.org.by_hand.local import active, clean
from tests.org.house import House, user


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


HELPDESK = frozenset({"users.read", "users.manage"})


async def test_nobody_makes_an_entry_their_own(acme: House) -> None:
    """What the directory will give with the entry is more than the caller may give."""
    me, other = await active(acme, "me"), await active(acme, "other")
    ctx = replace(acme.as_admin(), actor=Actor("person", me, "me"), permissions=HELPDESK)
    with pytest.raises(OwnAccount):
        await linking.link(acme.door, ctx, me, "okta", "ceo@acme.example")
    assert (await acme.create("ceo")).person_id != me
    for entry in ("x-ceo", "x-late"):
        with pytest.raises(OwnAccount):
            await linking.link(acme.door, ctx, me, "okta", entry)
    with pytest.raises(Forbidden, match="role Manager"):
        await linking.link(acme.door, ctx, other, "okta", "x-late")
    assert not await linking.link(acme.door, acme.as_admin(), other, "okta", "x-late")
    assert (await acme.create("late")).person_id == other


@pytest.mark.parametrize("kind", ["collision", "ambiguous"])
async def test_nobody_answers_that_an_entry_is_them(acme: House, kind: str) -> None:
    me, ctx = await _asked_whether_it_is_me(acme, kind)
    (item,) = await decisions.list_decisions(acme.door, acme.org_id)
    (answer,) = [each.answer for each in item.options if each.answer in ("link", f"link:{me}")]
    with pytest.raises(OwnAccount):
        await decisions.answer(acme.door, ctx, item.id, answer)
    assert (await decisions.get(acme.door, acme.org_id, item.id)).state == "open"
    await decisions.answer(acme.door, acme.as_admin(), item.id, answer)


@pytest.mark.parametrize("kind", ["collision", "ambiguous"])
async def test_nobody_answers_that_an_entry_is_somebody_of_their_making(acme: House, kind: str) -> None:
    me, ctx = await _asked_whether_it_is_me(acme, kind)
    another = replace(ctx, actor=Actor("person", "h", "helpdesk"))
    (item,) = await decisions.list_decisions(acme.door, acme.org_id)
    (answer,) = [each.answer for each in item.options if each.answer in ("link", f"link:{me}")]
    with pytest.raises(Forbidden, match="role Manager"):
        await decisions.answer(acme.door, another, item.id, answer)
    assert (await decisions.get(acme.door, acme.org_id, item.id)).state == "open"
    await decisions.answer(acme.door, another, item.id, "separate")


async def _asked_whether_it_is_me(acme: House, kind: str) -> tuple[PersonId, Any]:
    if kind == "collision":
        me = await active(acme, "me")
        with pytest.raises(NotUnique):
            await acme.create("ceo", mail="me@home.example")
    else:
        hr = await acme.source("hr", kind="connector", connector="file", config={"join": ["employeeNumber"]})
        number = {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "7"}}
        twins = [await acme.create(name, **number) for name in ("me", "twin")]
        me = PersonId(twins[0].person_id)
        await acme.push(user("ceo", **number), ctx=acme.as_sync(hr))
    return me, replace(acme.as_admin(), actor=Actor("person", me, "me"), permissions=HELPDESK)


async def test_nobody_frees_their_own_account_from_the_directory(acme: House) -> None:
    """Else a dismissal that the directory pushes would find nobody."""
    ann = await active(acme)
    await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    await acme.create("annie")
    ctx = replace(acme.as_admin(), actor=Actor("person", ann, "ann"), permissions=HELPDESK)
    for what in (detaching.detach, linking.unlink):
        with pytest.raises(OwnAccount):
            await what(acme.door, ctx, ann, "okta")
    assert [row.state for row in await acme.rows(assertions, person_id=ann)] == ["live"]
    await acme.change(ann, active=False)
    assert (await acme.person(ann)).status == "inactive"


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


@pytest.mark.parametrize("what", ["disable", "demote", "push"])
async def test_a_service_account_is_no_admin_who_can_sign_in(acme: House, what: str) -> None:
    """V10."""
    robot = NewServiceAccount("robot", "Robot", owner="Ann", role=ACCOUNT_ADMIN)
    bot = await local_people.add_service_account(acme.door, acme.as_admin(), robot)
    admin = PersonId((await acme.create("boss")).person_id)
    await assignments.set_role(acme.door, acme.as_admin(), admin, ACCOUNT_ADMIN)
    attempts = {
        "disable": lambda: hand.disable(acme.door, acme.as_admin(), admin),
        "demote": lambda: assignments.set_role(acme.door, acme.as_admin(), admin, USER),
        "push": lambda: acme.change(admin, active=False),
    }
    with pytest.raises(Protected):
        await attempts[what]()
    row = await acme.person(admin)
    assert (row.status, row.roles) == ("active", [ACCOUNT_ADMIN])
    await hand.disable(acme.door, acme.as_admin(), bot)
    await clean(acme)


async def test_whoever_lacks_a_permission_does_not_touch_those_who_have_it(acme: House) -> None:
    """An admin's account is not come by through its address, its password or its role."""
    admin = await active(acme, role=ACCOUNT_ADMIN)
    helpdesk = replace(acme.as_admin(), permissions=HELPDESK)
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
    helpdesk = replace(acme.as_admin(), permissions=HELPDESK)
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


async def test_an_admin_whose_primary_role_is_another_counts(acme: House) -> None:
    """V10: by the set of roles."""
    one, two = await active(acme, role=ACCOUNT_ADMIN), await active(acme, "two", role=ACCOUNT_ADMIN)
    await acme.execute(
        people.update().where(people.c.id == two).values(primary_role=USER, roles=[USER, ACCOUNT_ADMIN])
    )
    await hand.disable(acme.door, acme.as_admin(), one)
    with pytest.raises(Protected):
        await hand.disable(acme.door, acme.as_admin(), two)


async def test_of_admins_who_are_taken_away_at_once_one_stays(acme: House) -> None:
    """F9: each locks its own person; none of them waits for another's."""
    admins = [await active(acme, f"admin{n}", role=ACCOUNT_ADMIN) for n in range(6)]
    got = await asyncio.gather(
        *(hand.disable(acme.door, acme.as_admin(), each) for each in admins), return_exceptions=True
    )
    assert [type(each) for each in got if each is not None] == [Protected], got
    rows = [await acme.person(each) for each in admins]
    assert sum(row.status == "active" for row in rows) == 1
    await clean(acme)
