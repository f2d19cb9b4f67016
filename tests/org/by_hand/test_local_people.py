"""Adding people (U5), and editing what is their own (U6)."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.errors import InvalidValue, NotUnique, OwnedBySource, SeatLimitReached
from scimd.core.people import PersonId
from scimd.db.tables import people, sessions, waiting
from scimd.org.authentication import sessions as sessions_of
from scimd.org.authentication import sign_in
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.tx import Actor
from scimd.org.users import local_people
from scimd.org.users.local_people import Edit, NewPerson, NewServiceAccount
from tests.org.by_hand.local import PASSWORD, added, clean, set_password_token
from tests.org.house import House


async def test_somebody_who_is_added_sets_a_password_by_the_link_and_is_in(acme: House) -> None:
    ann = await added(acme, display_name="Ann  van der Ár")
    row = await acme.person(ann)
    assert (row.status, row.causes, row.has_seat) == ("pending", ["invited"], True)
    assert (row.local_user_name, row.display_name) == ("ann", "Ann  van der Ár")
    signed_in = await sign_in.set_password_by_link(
        acme.door, await set_password_token(acme, ann), PASSWORD, ip="", user_agent=""
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
    token = await set_password_token(acme, ann)
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
    token = await set_password_token(acme, ann)
    await sign_in.set_password_by_link(acme.door, token, PASSWORD, ip="", user_agent="")
    await local_people.reset_password(acme.door, acme.as_admin(), [ann])
    with pytest.raises(Exception, match="wrong"):
        await sign_in.by_password(
            acme.door, "acme", "ann@home.example", PASSWORD, ip="127.0.0.1", user_agent=""
        )
    token = await set_password_token(acme, ann)
    await sign_in.set_password_by_link(acme.door, token, PASSWORD + "!", ip="", user_agent="")


async def test_a_service_account_takes_no_seat_and_gets_no_mail(acme: House) -> None:
    """U20."""
    new = NewServiceAccount("deploy-bot", "Deploy bot", owner="ann@home.example")
    bot = await local_people.add_service_account(acme.door, acme.as_admin(), new)
    row = await acme.person(bot)
    assert (row.status, row.has_seat, row.sign_in_address) == ("active", False, None)
