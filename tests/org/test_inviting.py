"""Invitations by hand: many at once, again, back, edited, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from scimd.core.errors import Forbidden, InvalidValue, InvitationClosed
from scimd.core.people import InvitationId, PersonId, ProjectId, RoleName, TeamId
from scimd.db.tables import deliveries, events, grants, invitations, people, seat_pools
from scimd.org.grants import catalogue_reads, named, project_upkeep
from scimd.org.identities import detaching
from scimd.org.invitations import invitation_changes, inviting
from scimd.org.invitations import invitations as invited
from scimd.org.invitations.inviting import Invited, Wish
from scimd.org.tx import Actor, DoorSettings
from scimd.org.users import admin_reads, gates, local_people, user_reads
from scimd.org.users.local_people import NewPerson
from scimd.org.windows import Window
from tests.org.house import House, house
from tests.org.looks import invitations_of

PASSWORD = "lattice umbrella forty gnomes"


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


async def invite(acme: House, *emails: Any, **wish: Any) -> list[Invited]:
    return await inviting.invite(acme.door, acme.as_admin(), emails, Wish(**wish))


async def one(acme: House, email: str = "ann@home.example", **wish: Any) -> PersonId:
    (found,) = await invite(acme, email, **wish)
    if found.refusal:
        raise found.refusal
    assert found.person_id
    return found.person_id


async def pending(acme: House, person_id: PersonId) -> Any:
    (row,) = await acme.rows(invitations, person_id=person_id, status="pending")
    return row


async def accept(acme: House, person_id: PersonId) -> invited.Accepted:
    row = await pending(acme, person_id)
    token = await invitation_changes.copy_link(acme.door, acme.as_admin(), InvitationId(row.id))
    return await invited.accept(acme.door, token, password=PASSWORD)


async def clean(acme: House) -> None:
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_many_addresses_have_a_result_each(acme: House) -> None:
    """I1."""
    found = await invite(acme, "ann@home.example", "nonsense", "bob@home.example", "ANN@home.example")
    assert [row.refusal and row.refusal.code for row in found] == [
        None, "invalid_value", None, "not_allowed_now",
    ]  # fmt: skip
    assert len(await acme.rows(deliveries, template="invitation")) == 2
    await clean(acme)


async def test_an_invitation_carries_team_role_projects_message_and_expiry(acme: House) -> None:
    team = await named.create(acme.door, acme.as_admin(), "team", "Red")
    alpha = await project_upkeep.create(acme.door, acme.as_admin(), "Alpha")
    ann = await one(
        acme,
        team=TeamId(team.id),
        projects={alpha: RoleName("owner")},
        message="Welcome!\nBring cake.",
        valid_s=3600.0,
    )
    row = await pending(acme, ann)
    assert row.message == "Welcome!\nBring cake."
    assert (row.expires_at - acme.clock.now).total_seconds() == 3600
    held = {(r.kind, r.target, r.project_role) for r in await acme.rows(grants, person_id=ann, until=None)}
    assert held == {("team", team.id, None), ("project", alpha, "owner")}


async def test_a_team_is_mandatory_where_teams_are_used(acme: House) -> None:
    await named.create(acme.door, acme.as_admin(), "team", "Red")
    with pytest.raises(InvalidValue, match="uses teams"):
        await one(acme)


async def test_a_role_user_needs_a_project(database_url: str) -> None:
    """P3."""
    async with house(database_url, default_project=None) as acme:
        with pytest.raises(Exception, match="at least one project"):
            await one(acme)
        assert await acme.rows(people) == []
        alpha = await project_upkeep.create(acme.door, acme.as_admin(), "Alpha")
        await one(acme, projects={alpha: RoleName("member")})


async def test_who_let_an_invitation_lapse_is_invited_again(acme: House) -> None:
    ann = await one(acme)
    await invitation_changes.withdraw(acme.door, acme.as_admin(), InvitationId((await pending(acme, ann)).id))
    assert (await acme.person(ann)).has_seat is False
    acme.clock.forward(seconds=1)
    assert await one(acme) == ann
    row = await acme.person(ann)
    assert (row.causes, row.has_seat) == (["invited"], True)
    accepted = await accept(acme, ann)
    assert accepted.session
    await clean(acme)


async def test_whom_an_admin_deactivated_comes_back_by_accepting(acme: House) -> None:
    """U12."""
    ann = await one(acme)
    await accept(acme, ann)
    await gates.deactivate(acme.door, acme.as_admin(), ann)
    await one(acme)
    row = await acme.person(ann)
    assert (row.status, row.has_seat) == ("inactive", False)
    assert (await acme.rows(deliveries, person_id=ann))[-1].state in ("due", "sent", "cancelled")
    accepted = await accept(acme, ann)
    assert accepted.session
    assert (await acme.person(ann)).status == "active"
    await clean(acme)


async def test_whom_a_directory_deprovisioned_is_not_invited_and_the_directory_is_named(acme: House) -> None:
    """U12."""
    pushed = await acme.create("ann")
    await acme.change(pushed.person_id, active=False)
    with pytest.raises(Exception, match="deprovisioned by okta"):
        await one(acme, "ann@acme.example")
    await detaching.detach(acme.door, acme.as_admin(), PersonId(pushed.person_id), "okta")


async def test_the_disabled_and_members_are_not_invited(acme: House) -> None:
    ann = await one(acme)
    await accept(acme, ann)
    with pytest.raises(Exception, match="member already"):
        await one(acme)
    await gates.disable(acme.door, acme.as_admin(), ann)
    with pytest.raises(Exception, match="Enable them"):
        await one(acme)


async def test_somebody_disabled_after_being_invited_back_does_not_come_in(acme: House) -> None:
    ann = await one(acme)
    await accept(acme, ann)
    await gates.deactivate(acme.door, acme.as_admin(), ann)
    await one(acme)
    row = await pending(acme, ann)
    token = await invitation_changes.copy_link(acme.door, acme.as_admin(), InvitationId(row.id))
    await gates.disable(acme.door, acme.as_admin(), ann)
    with pytest.raises(InvitationClosed):
        await invited.accept(acme.door, token, password=PASSWORD)
    assert (await acme.person(ann)).status == "inactive"
    await clean(acme)


async def test_an_edited_invitation_gives_what_it_says_now(acme: House) -> None:
    """I5."""
    alpha = await project_upkeep.create(acme.door, acme.as_admin(), "Alpha")
    beta = await project_upkeep.create(acme.door, acme.as_admin(), "Beta")
    ann = await one(acme, projects={alpha: RoleName("member")})
    invitation = InvitationId((await pending(acme, ann)).id)
    await inviting.edit(
        acme.door, acme.as_admin(), invitation, projects={beta: RoleName("owner")}, message="Hello"
    )
    held = {(r.target, r.project_role) for r in await acme.rows(grants, person_id=ann, until=None)}
    assert held == {(beta, "owner")}
    await accept(acme, ann)
    with pytest.raises(Exception, match="is over"):
        await inviting.edit(acme.door, acme.as_admin(), invitation, message="Late")
    await clean(acme)


async def test_a_deleted_invitation_leaves_the_list_and_the_audit_keeps_it(acme: House) -> None:
    """I6."""
    ann = await one(acme)
    invitation = InvitationId((await pending(acme, ann)).id)
    await invitation_changes.hide(acme.door, acme.as_admin(), invitation)
    assert await invitations_of(acme.door, acme.org_id) == []
    assert (await acme.person(ann)).causes == ["invitation_withdrawn"]
    kinds = {row.kind for row in await acme.rows(events, target_id=invitation)}
    assert {"invitation.cancelled", "invitation.deleted"} <= kinds


async def test_so_many_an_hour(database_url: str) -> None:
    """A19."""
    settings = DoorSettings(invitations_per_actor=2)
    async with house(database_url, settings=settings) as acme:
        found = await invite(acme, "a@home.example", "b@home.example", "c@home.example")
        assert [row.refusal and row.refusal.code for row in found] == [None, None, "too_many_requests"]
        acme.clock.forward(hours=1)
        await one(acme, "c@home.example")


async def test_nobody_takes_up_anothers_invitations_of_the_hour_by_their_name(database_url: str) -> None:
    """A19: who is counted is the account, whatever it is called."""
    async with house(database_url, settings=DoorSettings(invitations_per_actor=1)) as acme:
        for number, (who, code) in enumerate((("a", None), ("b", None), ("a", "too_many_requests"))):
            ctx = replace(acme.as_admin(), actor=Actor("person", who, "admin@acme.example"))
            (row,) = await inviting.invite(acme.door, ctx, [f"p{number}@home.example"], Wish())
            assert (row.refusal and row.refusal.code) == code
        renamed = replace(acme.as_admin(), actor=Actor("person", "a", "another name"))
        (row,) = await inviting.invite(acme.door, renamed, ["p9@home.example"], Wish())
        assert row.refusal is not None


async def test_64_invitations_at_once_take_the_10_free_seats_and_no_more(database_url: str) -> None:
    """V1, V2."""
    async with house(database_url, seats_=10) as acme:
        rows = await asyncio.gather(*(invite(acme, f"p{n}@home.example") for n in range(64)))
        refusals = [row.refusal for (row,) in rows if row.refusal]
        assert len(refusals) == 54
        assert {refusal.code for refusal in refusals} == {"seat_limit_reached"}
        assert all("10 of 10 used" in refusal.detail for refusal in refusals)
        assert (await acme.rows(seat_pools))[0].used == 10
        assert len(await acme.rows(people)) == 10
        await clean(acme)


async def test_without_the_permission_nobody_is_invited(acme: House) -> None:
    ctx = replace(acme.as_admin(), permissions=frozenset({"users.read"}))
    with pytest.raises(Forbidden):
        await inviting.invite(acme.door, ctx, ["ann@home.example"], Wish())
    manager = replace(acme.as_admin(), permissions=frozenset({"users.read", "invitations.manage"}))
    (found,) = await inviting.invite(
        acme.door, manager, ["ann@home.example"], Wish(role=RoleName("account-admin"))
    )
    assert isinstance(found.refusal, Forbidden)


@pytest.mark.parametrize("wish", [{"message": "x" * 2001}, {"message": "a\x00"}, {"valid_s": 1.0}])
async def test_what_is_wrong_with_all_of_them_invites_nobody(acme: House, wish: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        await invite(acme, "ann@home.example", **wish)
    assert await acme.rows(people) == []


@pytest.mark.parametrize("how", ["declined", "withdrawn", "expired", "deleted"])
async def test_who_is_here_only_by_an_invitation_that_is_over_leaves_the_list(acme: House, how: str) -> None:
    """U3, I3: and comes back by a new one, or when a source asserts them."""
    person_id = await one(acme, "ann@acme.example")
    row = await pending(acme, person_id)
    ctx, invitation = acme.as_admin(), InvitationId(row.id)
    if how == "declined":
        await invited.decline(acme.door, await invitation_changes.copy_link(acme.door, ctx, invitation))
    elif how == "withdrawn":
        await invitation_changes.withdraw(acme.door, ctx, invitation)
    elif how == "deleted":
        await invitation_changes.hide(acme.door, ctx, invitation)
    else:
        acme.clock.forward(days=8)
        await invitation_changes.expire_due(acme.door, acme.org_id)
    assert await listed(acme) == []
    assert await listed(acme, lapsed=True) == [person_id]
    # They are not deleted: the invitation still leads to them.
    assert (await admin_reads.show_person(acme.door, acme.org_id, person_id)).person.status == "pending"
    await clean(acme)
    acme.clock.forward(minutes=1)
    await one(acme, "ann@acme.example")
    assert await listed(acme) == [person_id]
    await invitation_changes.withdraw(acme.door, ctx, InvitationId((await pending(acme, person_id)).id))
    assert await listed(acme) == []
    assert (await acme.create("ann")).person_id == person_id
    assert await listed(acme) == [person_id]
    await clean(acme)


async def test_who_accepted_or_was_added_directly_stays_in_the_list(acme: House) -> None:
    added = await local_people.add(acme.door, acme.as_admin(), NewPerson("bob@home.example"))
    person_id = await one(acme)
    await accept(acme, person_id)
    acme.clock.forward(days=1)
    assert await local_people.expire_welcomes(acme.door, acme.org_id) == 1
    assert (await acme.person(added)).causes == ["invitation_expired"]
    assert await listed(acme) == sorted([added, person_id])


async def test_who_is_in_no_list_counts_in_no_project_or_team_and_keeps_none_from_going(acme: House) -> None:
    ctx, alpha = acme.as_admin(), await project_upkeep.create(acme.door, acme.as_admin(), "Alpha")
    red = TeamId((await named.create(acme.door, ctx, "team", "Red")).id)
    ann = await one(acme, projects={alpha: RoleName("member")}, team=red)
    assert await counted_in(acme, alpha, red) == (1, 1, 1)
    await invitation_changes.withdraw(acme.door, ctx, InvitationId((await pending(acme, ann)).id))
    assert await counted_in(acme, alpha, red) == (0, 0, 0)
    await named.delete(acme.door, ctx, "team", red)
    assert (await acme.person(ann)).team_id is None
    await clean(acme)


async def counted_in(acme: House, project: ProjectId, team: TeamId) -> tuple[int, int, int]:
    by_id = await catalogue_reads.get_project(acme.door, acme.org_id, project)
    lists = (
        await project_upkeep.list_projects(acme.door, acme.org_id),
        (await catalogue_reads.list_projects(acme.door, acme.org_id, Window(100))).rows,
    )
    assert {each.people for many in lists for each in many if each.id == project} == {by_id.people}
    things = (await catalogue_reads.list_things(acme.door, acme.org_id, "team", Window(100))).rows
    assert [each.people for each in things] == [by_id.people]
    by_name = await project_upkeep.by_name(acme.door, acme.org_id, project)
    return by_id.people, by_name.people, (await named.by_name(acme.door, acme.org_id, "team", "Red")).people


async def listed(acme: House, *, lapsed: bool = False) -> list[str]:
    only = user_reads.UserFilter(lapsed=lapsed)
    found = await user_reads.list_users(acme.door, acme.org_id, only, Window(100))
    return sorted(row.id for row in found.rows)
